//! Several runs of one command by `linger exec`: a line each, and below what went wrong in any of them.

use std::collections::BTreeMap;

use super::number;
use super::style::Style;
use super::table::{aligned, wrapped};
use super::terminal::{BODY, Screen};
use super::trust::ledger;
use crate::record::schema::{Connects, ExecEnd, ExecEndKind, Record, Status};

/// The headings in two lines, so that the table fits 80 columns.
const HEADINGS: [[&str; 9]; 2] = [
    ["", "", "", "", "", "a", "connect()", "TW", "TW"],
    [
        "repeat", "ended", "seconds", "opened", "requests", "request", "failed", "client", "server",
    ],
];

/// Renders these records of `linger exec`.
#[must_use]
pub(super) fn repeats(records: &[Record], style: Style) -> String {
    let mut rows: Vec<Vec<String>> = HEADINGS.iter().map(|line| line.map(str::to_owned).to_vec()).collect();
    rows.extend(records.iter().map(line));
    let mut screen = Screen::new(style);
    let command = records.iter().find_map(|record| record.exec.as_ref());
    let command = command.map(|exec| exec.command.join(" ")).unwrap_or_default();
    screen.section("command", wrapped(&command, BODY));
    screen.gap();
    // Without the sections' indentation, for which 80 columns have no room.
    for line in aligned(&rows, 2) {
        screen.text.push_str(&format!("{line}\n"));
    }
    screen.gap();
    screen.section("connect()", failures(records));
    screen.section("ledger", off(records));
    screen.section("doubts", doubts(records));
    screen.text
}

fn line(record: &Record) -> Vec<String> {
    let dash = || "–".to_owned();
    let Some(exec) = &record.exec else {
        return vec![record.repeat.to_string(), "unavailable".to_owned()];
    };
    let count = |value: Option<u64>| value.map_or_else(dash, number::count);
    let time_wait = record.time_wait.as_ref();
    vec![
        record.repeat.to_string(),
        brief(&exec.ended),
        format!("{:.3}", exec.seconds),
        count(exec.connections.opened),
        count(exec.connections.requests),
        exec.connections
            .per_request
            .map_or_else(dash, |ratio| format!("{ratio:.3}")),
        count(observed(record).map(failed)),
        count(time_wait.map(|time_wait| time_wait.client.peak)),
        count(time_wait.map(|time_wait| time_wait.server.peak)),
    ]
}

/// How the program ended, in a word or two.
pub(super) fn brief(ended: &ExecEnd) -> String {
    match (ended.kind, ended.code, &ended.signal) {
        _ if ended.timed_out => "timeout".to_owned(),
        (ExecEndKind::Exit, Some(code), _) => format!("exit {code}"),
        (ExecEndKind::Signal, _, Some(signal)) => signal.clone(),
        (ExecEndKind::NotStarted, ..) => "not started".to_owned(),
        _ => "lost".to_owned(),
    }
}

/// What connect() gave, where it was observed.
fn observed(record: &Record) -> Option<&Connects> {
    record.connects.as_ref().filter(|connects| connects.way.is_some())
}

fn failed(connects: &Connects) -> u64 {
    connects.failed.iter().map(|failed| failed.count).sum::<u64>() + connects.failed_later
}

/// `EADDRNOTAVAIL in 3 of 10 runs, 45 to 50 in each`, a line an errno.
fn failures(records: &[Record]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, Vec<u64>>::new();
    for connects in records.iter().filter_map(observed) {
        for failed in &connects.failed {
            counts.entry(&failed.errno).or_default().push(failed.count);
        }
        if connects.failed_later > 0 {
            let later = counts.entry("failed after EINPROGRESS").or_default();
            later.push(connects.failed_later);
        }
    }
    let told = counts.into_iter().flat_map(|(errno, counts)| {
        let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
        let (least, most) = (number::count(least.unwrap_or(0)), number::count(most.unwrap_or(0)));
        let each = if least == most {
            least
        } else {
            format!("{least} to {most}")
        };
        let text = format!("{errno} in {} of {} runs, {each} in each", counts.len(), records.len());
        wrapped(&text, BODY)
    });
    told.collect()
}

/// The rows of each ledger that do not balance; nothing where all do.
fn off(records: &[Record]) -> Vec<String> {
    let of_record = |record: &Record| {
        let off = record
            .ledger
            .as_ref()
            .filter(|ledger| !ledger.balanced || ledger.unsettled.is_some())?;
        let lines = std::iter::once(format!("repeat {}", record.repeat));
        Some(lines.chain(ledger(off)).collect::<Vec<_>>())
    };
    records.iter().filter_map(of_record).flatten().collect()
}

/// Why verdicts are in doubt, each reason once with the repeats that it is of.
fn doubts(records: &[Record]) -> Vec<String> {
    let mut repeats = BTreeMap::<&str, Vec<String>>::new();
    for record in records.iter().filter(|record| record.verdict.status != Status::Met) {
        for reason in &record.verdict.reasons {
            repeats.entry(reason).or_default().push(record.repeat.to_string());
        }
    }
    let told = repeats
        .into_iter()
        .map(|(reason, repeats)| format!("repeat {}: {reason}", repeats.join(", ")));
    told.flat_map(|text| wrapped(&text, BODY)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::record::schema::ConnectsFailed;
    use crate::report::table::width;

    #[test]
    fn repeats_fit_80_columns_and_tell_errnos_and_what_does_not_balance() {
        let mut records = vec![fixture::exec(), fixture::exec(), fixture::exec()];
        for (index, record) in (0..).zip(&mut records) {
            record.repeat = index + 1;
            let connects = record.connects.get_or_insert_default();
            connects.way = Some("notify".to_owned());
            connects.failed = vec![ConnectsFailed {
                errno: "EADDRNOTAVAIL".to_owned(),
                count: 45 + u64::from(index),
            }];
        }
        let exec = records[1].exec.as_mut().unwrap();
        exec.ended.kind = ExecEndKind::Signal;
        exec.ended.signal = Some("SIGTERM".into());
        exec.ended.timed_out = true;
        records[1].connects = None;
        if let Some(ledger) = &mut records[2].ledger {
            ledger.balanced = false;
            ledger.rows[0].balanced = false;
        }
        let text = repeats(&records, Style::plain());
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        assert!(
            text.contains("EADDRNOTAVAIL in 2 of 3 runs, 45 to 47 in each"),
            "{text}"
        );
        assert!(text.contains("repeat 3"), "{text}");
        insta::assert_snapshot!(text);
    }
}
