//! What tells whether the figures can be trusted: the ledger, and what observing cost.

use std::collections::BTreeMap;

use super::number;
use super::table::wrapped;
use super::terminal::BODY;
use crate::record::ledger::NOT_CHECKED;
use crate::record::schema::{Ledger, LedgerRow, Record};

/// One line when the books balance; the rows that do not, in full.
pub(super) fn ledger(ledger: &Ledger) -> Vec<String> {
    let checked = ledger.rows.iter().filter(|row| row.kernel.is_some()).count() as u64;
    let first = match (ledger.balanced, checked) {
        (false, _) => "does not balance".to_owned(),
        (true, 1) => "1 row balances".to_owned(),
        (true, _) => format!("{} balance", number::things(checked, "row")),
    };
    let mut lines = wrapped(&first, BODY);
    for (reason, rows) in unchecked(ledger) {
        let text = format!(
            "{} not checked: {reason} ({})",
            number::things(rows.len() as u64, "row"),
            rows.join("; ")
        );
        lines.extend(wrapped(&text, BODY));
    }
    for row in ledger.rows.iter().filter(|row| !row.balanced) {
        lines.extend(wrapped(&off(row), BODY));
    }
    if let Some(unsettled) = &ledger.unsettled {
        lines.extend(wrapped(&format!("not of one moment: {unsettled}"), BODY));
    }
    lines
}

/// The rows that could not be checked, by the reason that their note gives.
fn unchecked(ledger: &Ledger) -> BTreeMap<&str, Vec<&str>> {
    let mut by_reason = BTreeMap::<&str, Vec<&str>>::new();
    for row in ledger.rows.iter().filter(|row| row.kernel.is_none()) {
        let note = row.note.as_deref().unwrap_or("no reason was noted");
        let reason = note.strip_prefix(NOT_CHECKED).unwrap_or(note);
        by_reason.entry(reason).or_default().push(&row.name);
    }
    by_reason
}

/// `✗ server opens: accept() succeeded 28,232, server PassiveOpens 28,230 (-2; up to 0 is explained)`.
fn off(row: &LedgerRow) -> String {
    let kernel = row.kernel.unwrap_or_default();
    let mut text = format!(
        "✗ {}: {} {}, {} {} ({}; up to {} is explained)",
        row.name,
        row.ours_is,
        signed(row.ours),
        row.kernel_is,
        signed(kernel),
        number::difference(kernel.saturating_sub(row.ours)),
        signed(row.tolerance)
    );
    if let Some(note) = &row.note {
        text.push_str(&format!("; {note}"));
    }
    text
}

fn signed(value: i64) -> String {
    number::difference(value).trim_start_matches('+').to_owned()
}

pub(super) fn observation(record: &Record) -> Vec<String> {
    let Some(cost) = &record.observation else { return vec![] };
    let line = format!(
        "took {:.2} % of one core; {} of sockstat, {} by {}, at most {} apart",
        cost.share_of_core * 100.0,
        number::things(cost.sockstat_samples, "sample"),
        number::things(cost.socket_dumps, "dump"),
        cost.source,
        number::seconds(cost.longest_gap_seconds)
    );
    let mut lines = wrapped(&line, BODY);
    if let Some(trouble) = &cost.trouble {
        lines.extend(wrapped(&format!("incomplete, since a look failed: {trouble}"), BODY));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn rows_that_were_not_checked_are_told_by_their_own_reasons() {
        let mut record = fixture::exhaustion();
        let books = record.ledger.as_mut().unwrap();
        for (row, note) in [
            (1, "other programs"),
            (2, "this kernel has no TW"),
            (3, "other programs"),
        ] {
            books.rows[row].kernel = None;
            books.rows[row].note = Some(format!("{NOT_CHECKED}{note}"));
        }
        assert_eq!(
            ledger(books),
            [
                "1 row balances",
                "2 rows not checked: other programs (server opens; server TIME_WAIT)",
                "1 row not checked: this kernel has no TW (client TIME_WAIT)",
            ]
        );
    }

    #[test]
    fn a_look_that_failed_is_told() {
        let mut record = fixture::exhaustion();
        let complete = observation(&record);
        record.observation.as_mut().unwrap().trouble = Some("cannot read sockstat".into());
        let lines = observation(&record);
        assert_eq!(lines[..complete.len()], complete);
        assert_eq!(
            lines[complete.len()..],
            ["incomplete, since a look failed: cannot read sockstat"]
        );
    }
}
