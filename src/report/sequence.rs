//! A sequence's steps, a line each: what was done, what came of it, how long it took.

use super::number;
use super::style::Style;
use super::table::{aligned, wrapped};
use super::terminal::BODY;
use crate::record::schema::{Record, Status, StepResult};

/// The most columns of a step's own words and of what came; the record has them whole.
const WORDS: usize = 31;
const CAME: usize = 19;

/// The steps of a record that is a sequence's; nothing for a load's.
pub(super) fn steps(record: &Record, style: Style) -> Vec<String> {
    let rows: Vec<Vec<String>> = record.steps.iter().map(row).collect();
    let lines = aligned(&rows, 3);
    let mut steps = Vec::new();
    for (line, step) in lines.into_iter().zip(&record.steps) {
        steps.push(if step.status.is_none() { style.dim(&line) } else { line });
        if matches!(step.status, Some(Status::Unmet | Status::Inconclusive)) {
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
        Some(Status::Unmet) => "✗",
        Some(_) => "?",
        None => " ",
    };
    // What only does what it says needs no answer.
    let came = match step.actual.as_deref() {
        Some("done") => "",
        Some(came) if step.status == Some(Status::Met) => came,
        // An unmet step has lines of its own for it.
        _ => "",
    };
    let took = step.took_seconds.map(number::seconds).unwrap_or_default();
    let number = format!("{mark} {:>2}", step.number);
    vec![number, cut(&step.does, WORDS), cut(came, CAME), took]
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns - 1).chain(['…']).collect()
}
