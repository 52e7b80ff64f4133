//! A sequence's steps, a line each: what was done, what came of it, how long it took.

use super::style::Style;
use super::table::{aligned, width, wrapped};
use super::terminal::BODY;
use super::number;
use crate::record::schema::{Record, Status, StepResult};

/// Columns of a step's own words; longer ones push the rest to a line of its own.
const WORDS: usize = 38;

/// The steps of a record that is a sequence's; nothing for a load's.
pub(super) fn steps(record: &Record, style: Style) -> Vec<String> {
    let rows: Vec<Vec<String>> = record.steps.iter().map(row).collect();
    let lines = aligned(&rows, 3);
    let mut steps = Vec::new();
    for (line, step) in lines.into_iter().zip(&record.steps) {
        let fits = width(&line) <= BODY;
        let shown = if fits { vec![line] } else { wrapped(&line, BODY) };
        match step.status {
            None => steps.extend(shown.iter().map(|line| style.dim(line))),
            Some(_) => steps.extend(shown),
        }
        if step.status == Some(Status::Unmet) {
            let found = step.actual.as_deref().unwrap_or_default();
            let text = format!("expected {}, found {found} · {}", step.expected, step.at);
            steps.extend(wrapped(&text, BODY - 4).into_iter().map(|line| format!("    {line}")));
        }
    }
    steps
}

fn row(step: &StepResult) -> Vec<String> {
    let mark = match step.status {
        Some(Status::Met) => "✓",
        Some(_) => "✗",
        None => " ",
    };
    let words: String = match step.does.chars().count() {
        length if length > WORDS => step.does.chars().take(WORDS - 1).chain(['…']).collect(),
        _ => step.does.clone(),
    };
    // What only does what it says needs no answer.
    let came = match step.actual.as_deref() {
        Some("done") => "",
        Some(came) if step.status == Some(Status::Met) => came,
        _ => "",
    };
    let took = step.took_seconds.map(number::seconds).unwrap_or_default();
    vec![format!("{mark} {}", step.number), words, came.to_owned(), took]
}
