//! One judged expectation, in lines: what was asked, what was expected and found, and where it is written.

use super::style::Style;
use super::table::{width as width_of, wrapped};
use crate::record::schema::{Judged, Status};

/// The first line has the mark, the others are indented below it.
pub(super) fn lines(judged: &Judged, style: Style, width: usize) -> Vec<String> {
    let mark = match judged.status {
        Some(Status::Met) => "✓",
        Some(Status::Unmet) => "✗",
        Some(Status::Inconclusive | Status::Unavailable) => "?",
        None => "–",
    };
    let mark = judged
        .status
        .map_or_else(|| style.dim(mark), |status| style.of_status(status, mark));
    let mut lines = Vec::new();
    for (index, line) in wrapped(&judged.that, width - 2).into_iter().enumerate() {
        lines.push(if index == 0 {
            format!("{mark} {line}")
        } else {
            format!("  {line}")
        });
    }
    // What was found and where it is written share a line when there is no more to say.
    let below = match (found(judged), &judged.note) {
        (Some(found), None) if width_of(&found) + width_of(&judged.at) + 5 <= width => {
            vec![format!("{found} · {}", judged.at)]
        }
        (found, note) => found
            .into_iter()
            .chain(note.clone())
            .chain([judged.at.clone()])
            .collect(),
    };
    for text in below {
        lines.extend(wrapped(&text, width - 2).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// What was expected and what was found.
pub(super) fn found(judged: &Judged) -> Option<String> {
    match (&judged.expected, &judged.actual) {
        (Some(expected), Some(actual)) => Some(format!("expected {expected}, found {actual}")),
        (Some(expected), None) => Some(format!("expected {expected}, found nothing")),
        (None, Some(actual)) => Some(format!("found {actual}")),
        (None, None) => None,
    }
}
