//! `linger compare BASE NEW`: two sets of records side by side.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use console::Term;

use super::{Exit, Usage, report, write};
use crate::cli::{Compare, ComparisonFormat};
use linger::judge;
use linger::judge::compare::comparable::{self, Class};
use linger::judge::compare::limit::Limit;
use linger::judge::compare::{self, CompareError, Options};
use linger::record::schema::Record;
use linger::record::store;
use linger::report::{compare as render, junit};

pub(crate) fn compare(options: &Compare) -> Result<Exit> {
    let limits = options
        .fail_if
        .iter()
        .map(|text| limit(text))
        .collect::<Result<Vec<_>>>()?;
    let question = Options {
        limits,
        allow: allowed(&options.allow)?,
        ..Options::default()
    };
    let (base, _) = report::read(std::slice::from_ref(&options.base))?;
    let (new, _) = report::read(std::slice::from_ref(&options.new))?;
    let comparison = compare::compare(&base, &new, &question, &|record, cel| judge::is_true(record, cel))
        .map_err(|error| Usage(format!("{error}{}", where_mixed(&error, options))))?;
    let text = match options.format {
        ComparisonFormat::Terminal => {
            let columns = columns(&Term::stdout()).filter(|_| options.output.is_none());
            render::terminal(&comparison, columns)
        }
        ComparisonFormat::Markdown => render::markdown(&comparison),
        ComparisonFormat::Junit => junit::comparison(&comparison),
        ComparisonFormat::Json => serde_json::to_string(&comparison)? + "\n",
    };
    write(options.output.as_deref(), &text)?;
    Ok(Exit::of(comparison.exit_code().into()))
}

/// Which files of a side are not of one measurement.
fn where_mixed(error: &CompareError, options: &Compare) -> String {
    let CompareError::NotComparable(differences) = error else {
        return String::new();
    };
    let mut told = String::new();
    for difference in differences {
        for side in &difference.mixed {
            let path = if *side == "base" { &options.base } else { &options.new };
            let by_file = comparable::by_file(&difference.path, &by_file(path));
            told.push_str(&format!("\n{side}: {}: {by_file}", difference.path));
        }
    }
    told
}

/// The records by file, once more: this is for an error's message.
fn by_file(path: &Path) -> Vec<(String, Vec<Record>)> {
    let files = store::files(path).unwrap_or_default().into_iter();
    let read = files.filter_map(|file| Some((file.display().to_string(), store::read(&file).ok()?.records)));
    read.collect()
}

/// How wide the terminal is; None where there is none.
pub(super) fn columns(terminal: &Term) -> Option<usize> {
    terminal.is_term().then(|| terminal.size().1.into())
}

pub(super) fn limit(text: &str) -> Result<Limit> {
    let limit: Limit = text.parse().map_err(|error| Usage(format!("--fail-if: {error}")))?;
    if let Limit::Condition { cel, .. } = &limit {
        judge::check(cel).map_err(|error| Usage(format!("--fail-if `{text}`: {error}")))?;
    }
    Ok(limit)
}

fn allowed(names: &[String]) -> Result<BTreeSet<Class>> {
    if names.iter().any(|name| name == "all") {
        return Ok(Class::ALL.into_iter().collect());
    }
    let class = |name: &String| {
        name.parse::<Class>()
            .map_err(|error| Usage(format!("--allow: {error}")).into())
    };
    names.iter().map(class).collect()
}
