//! `linger report`: records from files, rendered.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Exit, Usage, print, run};
use crate::cli::{Format, Report};
use linger::record::schema::Record;
use linger::record::store;
use linger::report::{self, Style};
use linger::scenario::catalogue;

pub(crate) fn report(options: &Report) -> Result<Exit> {
    let mut records = Vec::new();
    let mut problems = Vec::new();
    for path in &options.records {
        let read = store::read(path)?;
        records.extend(read.records);
        problems.extend(read.problems);
    }
    for problem in &problems {
        eprintln!("linger: {problem}");
    }
    if records.is_empty() {
        return Err(Usage(format!(
            "no record in {}; expected JSON Lines as `linger run` writes them",
            names(&options.records)
        ))
        .into());
    }
    let text = match options.format {
        Format::Terminal => by_scenario(&records)
            .into_iter()
            .map(|records| run::screen(records, style(options)))
            .collect::<Vec<_>>()
            .join("\n"),
        Format::Markdown => report::markdown(&records),
        Format::Verify => report::verify(&records, style(options)),
        Format::Claims => report::claims(&catalogue::all()?, &records),
    };
    match &options.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?,
        None => {
            print(text.as_bytes())?;
        }
    }
    // What could be read was rendered; that something could not be is the user's to know.
    Ok(if problems.is_empty() { Exit::Met } else { Exit::Invalid })
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
