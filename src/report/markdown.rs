//! Records as Markdown, for a repository's results and a CI summary.
//!
//! The same records give the same text: times are those of the records.

use super::pool::came_of;
use super::repeats::brief;
use super::style::Style;
use super::{cell_text, expectation, number, plain, sides, status_name, terminal};
use crate::record::schema::{Connects, ExecRan, Record, Status};

/// A table of the records, a row each; of a single record its details too.
#[must_use]
pub fn markdown(records: &[Record]) -> String {
    let headings = [
        "scenario",
        "cell",
        "claim",
        "kernel",
        "predicted",
        "measured",
        "failures",
        "verdict",
        "time",
    ];
    let mut text = row(headings.map(str::to_owned));
    text.push_str(&row(headings.map(|heading| match heading {
        "predicted" | "measured" => "--:".to_owned(),
        _ => "---".to_owned(),
    })));
    for record in records {
        text.push_str(&row(cells(record)));
    }
    text.push_str(&sides::table(records));
    if let [record] = records {
        text.push_str(&details(record));
    }
    text
}

fn cells(record: &Record) -> [String; 9] {
    let text = |key| record.scenario.get(key).map(plain).unwrap_or_default();
    let came = came_of(record);
    let failures = came.map(|(_, _, failed)| {
        let kinds = failed.iter();
        let kinds: Vec<String> = kinds
            .map(|failed| format!("{} `{}:{}`", number::count(failed.count), failed.phase, failed.errno))
            .collect();
        if kinds.is_empty() {
            "none".to_owned()
        } else {
            kinds.join(", ")
        }
    });
    let exec = record.exec.as_ref();
    [
        text("id"),
        cell_text(record),
        exec.map_or_else(|| text("claim"), |exec| format!("`{}`", exec.command.join(" "))),
        record.environment.kernel.clone(),
        record.prediction.as_ref().map(sides::capacity).unwrap_or_default(),
        came.map(|(ok, _, _)| format!("{} ok", number::count(ok)))
            .or_else(|| exec.map(opened))
            .unwrap_or_default(),
        failures
            .or_else(|| record.connects.as_ref().map(without_connection))
            .unwrap_or_default(),
        outcome(record),
        record.started_at.clone(),
    ]
}

/// The verdict; of a program that `linger exec` ran and nothing was expected of, how it ended.
fn outcome(record: &Record) -> String {
    let verdict = status_name(record.verdict.status);
    match &record.exec {
        Some(exec) if record.verdict.expectations.is_empty() => match record.verdict.status {
            Status::Met => brief(&exec.ended),
            _ => format!("{}, {verdict}", brief(&exec.ended)),
        },
        _ => verdict.to_owned(),
    }
}

/// `2,000 opened for 2,000 requests`.
fn opened(exec: &ExecRan) -> String {
    let connections = &exec.connections;
    let opened = connections.opened.map_or_else(
        || "unknown".to_owned(),
        |opened| format!("{} opened", number::count(opened)),
    );
    match connections.requests {
        Some(requests) => format!("{opened} for {}", number::things(requests, "request")),
        None => opened,
    }
}

/// A foreign program's failed connect() calls by errno.
fn without_connection(connects: &Connects) -> String {
    let failed = connects.failed.iter();
    let mut kinds: Vec<String> = failed
        .map(|failed| format!("{} `connect:{}`", number::count(failed.count), failed.errno))
        .collect();
    if connects.failed_later > 0 {
        kinds.push(format!("{} after EINPROGRESS", number::count(connects.failed_later)));
    }
    if kinds.is_empty() {
        "none".to_owned()
    } else {
        kinds.join(", ")
    }
}

pub(super) fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().map(|cell| escaped(&cell)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A bar or a line's end would end the cell.
pub(super) fn escaped(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// The expectations as a table, and the screen as it is on a terminal.
fn details(record: &Record) -> String {
    let mut text = match &record.exec {
        Some(_) if record.verdict.expectations.is_empty() => format!("\nThe program's end: **{}**.\n", outcome(record)),
        _ => format!("\nVerdict: **{}**.\n", outcome(record)),
    };
    for reason in &record.verdict.reasons {
        text.push_str(&format!("- {}\n", escaped(reason)));
    }
    if !record.verdict.expectations.is_empty() {
        text.push('\n');
        text.push_str(&row(["expectation", "status", "found", "at"].map(str::to_owned)));
        text.push_str(&row(["---"; 4].map(str::to_owned)));
    }
    for judged in &record.verdict.expectations {
        let found = [expectation::found(judged), judged.note.clone()];
        let found: Vec<String> = found.into_iter().flatten().collect();
        text.push_str(&row([
            format!("`{}`", judged.that),
            judged.status.map_or("does not apply", status_name).to_owned(),
            found.join("; "),
            judged.at.clone(),
        ]));
    }
    text.push_str(&format!("\n```text\n{}```\n", terminal::trial(record, Style::plain())));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn several_records_are_a_table() {
        let mut records = fixture::active_closer();
        records.push(fixture::unavailable());
        insta::assert_snapshot!(markdown(&records));
    }

    #[test]
    fn a_single_record_has_its_details() {
        insta::assert_snapshot!(markdown(&[fixture::exhaustion()]));
    }

    #[test]
    fn a_bar_in_a_text_does_not_break_the_table() {
        assert_eq!(
            row(["a || b".to_owned(), "two\nlines".to_owned()]),
            "| a \\|\\| b | two lines |\n"
        );
    }
}
