//! `linger compare BASE NEW`: two sets of records side by side.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Exit, Usage, report, write};
use crate::cli::{Compare, ComparisonFormat};
use linger::judge;
use linger::judge::compare::comparable::Class;
use linger::judge::compare::limit::Limit;
use linger::judge::compare::{self, Options};
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
        .map_err(|error| Usage(error.to_string()))?;
    let text = match options.format {
        ComparisonFormat::Terminal => render::terminal(&comparison),
        ComparisonFormat::Markdown => render::markdown(&comparison),
        ComparisonFormat::Junit => junit::comparison(&comparison),
        ComparisonFormat::Json => serde_json::to_string(&comparison)? + "\n",
    };
    write(options.output.as_deref(), &text)?;
    Ok(Exit::of(comparison.exit_code().into()))
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
