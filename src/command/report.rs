//! `linger report`: records from files, rendered.

use std::io;
use std::path::Path;

use anyhow::Result;

use super::{Exit, Usage, run, tell, write};
use crate::cli::{Format, Report};
use linger::record::schema::Record;
use linger::record::store;
use linger::report::{self, Style};

/// Lines of a file that are no records, told one by one: a file that is something else has many.
const PROBLEMS_TOLD: usize = 5;

pub(crate) fn report(options: &Report) -> Result<Exit> {
    let (records, problems) = read(&options.records)?;
    let text = match options.format {
        Format::Terminal => by_scenario(&records)
            .into_iter()
            .map(|records| run::screen(records, style(options)))
            .collect::<Vec<_>>()
            .join("\n"),
        Format::Markdown => report::markdown(&records),
        Format::Junit => report::junit::records(&records),
        Format::Csv => report::csv::summary(&records),
        Format::CsvTimeline => report::csv::timeline(&records),
        Format::Hdr => report::hdr::interval_log(&records)?,
        Format::HdrPercentiles => report::hdr::percentiles(&records)?,
    };
    write(options.output.as_deref(), &text)?;
    // What could be read was rendered; that something could not be is the user's to know.
    Ok(if problems == 0 { Exit::Met } else { Exit::Invalid })
}

/// Every record of the files and directories, and how many lines gave none: each of these is told on stderr.
pub(super) fn read(paths: &[impl AsRef<Path>]) -> Result<(Vec<Record>, usize)> {
    let mut records = Vec::new();
    let mut problems = 0;
    for path in paths {
        let read = store::read(path.as_ref())?;
        problems += read.problems.len();
        for problem in read.problems.iter().take(PROBLEMS_TOLD) {
            tell(format_args!("linger: {problem}"));
        }
        if read.problems.len() > PROBLEMS_TOLD {
            tell(format_args!(
                "linger: and {} more like these",
                read.problems.len() - PROBLEMS_TOLD
            ));
        }
        records.extend(read.records);
    }
    if records.is_empty() {
        return Err(Usage(format!(
            "no record in {}; expected JSON Lines as `linger run` writes them",
            names(paths)
        ))
        .into());
    }
    Ok((records, problems))
}

fn style(options: &Report) -> Style {
    if options.output.is_some() {
        Style::plain()
    } else {
        Style::of(&io::stdout())
    }
}

fn names(paths: &[impl AsRef<Path>]) -> String {
    let names = paths.iter().map(|path| path.as_ref().display().to_string());
    names.collect::<Vec<_>>().join(", ")
}

/// Neighbours of the same scenario.
fn by_scenario(records: &[Record]) -> Vec<&[Record]> {
    records.chunk_by(|a, b| a.scenario["id"] == b.scenario["id"]).collect()
}
