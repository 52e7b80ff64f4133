//! Records as Markdown, for a repository's results and a CI summary.
//!
//! The same records give the same text: times are those of the records.

use super::style::Style;
use super::{cell_text, expectation, number, plain, status_name, terminal};
use crate::record::schema::Record;

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
    if let [record] = records {
        text.push_str(&details(record));
    }
    text
}

fn cells(record: &Record) -> [String; 9] {
    let text = |key| record.scenario.get(key).map(plain).unwrap_or_default();
    let capacity = |capacity: Option<u64>| capacity.map_or_else(|| "no limit".to_owned(), number::count);
    let outcomes = record.outcomes.as_ref();
    let failures = outcomes.map(|outcomes| {
        let kinds = outcomes.failed.iter();
        let kinds: Vec<String> = kinds
            .map(|failed| format!("{} `{}:{}`", number::count(failed.count), failed.phase, failed.errno))
            .collect();
        if kinds.is_empty() {
            "none".to_owned()
        } else {
            kinds.join(", ")
        }
    });
    [
        text("id"),
        cell_text(record),
        text("claim"),
        record.environment.kernel.clone(),
        record
            .prediction
            .as_ref()
            .map(|prediction| capacity(prediction.capacity))
            .unwrap_or_default(),
        outcomes
            .map(|outcomes| format!("{} ok", number::count(outcomes.ok)))
            .unwrap_or_default(),
        failures.unwrap_or_default(),
        status_name(record.verdict.status).to_owned(),
        record.started_at.clone(),
    ]
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
    let mut text = format!("\nVerdict: **{}**.\n", status_name(record.verdict.status));
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
