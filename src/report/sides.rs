//! Which end was left with TIME_WAIT: shares of all closes with their intervals, on the screen and in Markdown.

use super::markdown::row;
use super::table::{aligned, wrapped};
use super::terminal::BODY;
use super::{cell_text, matrix, number};
use crate::record::schema::{Prediction, Record, Share, Sides};

/// Whether who holds TIME_WAIT is what the record is about: nobody could predict it, or FINs crossed.
pub(super) fn is_open(record: &Record) -> bool {
    let undetermined = |prediction: &Prediction| prediction.undetermined.is_some();
    record.prediction.as_ref().is_some_and(undetermined) || sides(record).is_some_and(|sides| sides.both.count > 0)
}

pub(super) fn sides(record: &Record) -> Option<&Sides> {
    record.time_wait.as_ref()?.sides.as_ref()
}

/// The capacity that was predicted, in a word.
pub(super) fn capacity(prediction: &Prediction) -> String {
    match prediction.capacity {
        Some(capacity) => number::count(capacity),
        None if prediction.undetermined.is_some() => "not determined".to_owned(),
        None => "no limit".to_owned(),
    }
}

pub(super) fn lines(record: &Record) -> Vec<String> {
    if !is_open(record) {
        return vec![];
    }
    let Some(sides) = sides(record) else {
        let why = record
            .time_wait
            .as_ref()
            .and_then(|time_wait| time_wait.no_sides.as_ref());
        return why.map_or_else(Vec::new, |why| wrapped(&format!("not known: {why}"), BODY));
    };
    let closes = format!("of {} closes", number::count(sides.closes));
    let mut rows = vec![
        [&*closes, "count", "share", "95 % interval"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (name, share) in named(sides) {
        let cells = [
            name.to_owned(),
            number::count(share.count),
            percent(share.share),
            interval(share),
        ];
        rows.push(cells.to_vec());
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| [row, vec![String::new()]].concat())
        .collect();
    aligned(&rows, 1)
}

/// A table of the records of which it is a question; nothing where there are none.
pub(super) fn table(records: &[Record]) -> String {
    let mut text = String::new();
    for record in records.iter().filter(|record| is_open(record)) {
        let Some(sides) = sides(record) else { continue };
        if text.is_empty() {
            let headings = [
                "scenario",
                "cell",
                "closes",
                "client alone",
                "server alone",
                "both",
                "neither",
            ];
            text.push_str("\nWho was left with TIME_WAIT, with 95 % intervals (Wilson):\n\n");
            text.push_str(&row(headings.map(str::to_owned)));
            text.push_str(&row(
                ["---", "---", "--:", "--:", "--:", "--:", "--:"].map(str::to_owned)
            ));
        }
        let [client, server, both, neither] =
            named(sides).map(|(_, share)| format!("{} ({})", percent(share.share), interval(share)));
        let (id, cell, closes) = (matrix::id(record), cell_text(record), number::count(sides.closes));
        text.push_str(&row([id, cell, closes, client, server, both, neither]));
    }
    text
}

fn named(sides: &Sides) -> [(&'static str, Share); 4] {
    [
        ("client alone", sides.client),
        ("server alone", sides.server),
        ("both", sides.both),
        ("neither", sides.neither),
    ]
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn interval(share: Share) -> String {
    format!("{:.1}–{:.1} %", share.low * 100.0, share.high * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    fn open() -> Record {
        let mut record = fixture::exhaustion();
        record.time_wait.as_mut().unwrap().sides = Sides::of(400, [264, 130, 2]);
        record
    }

    #[test]
    fn shares_come_with_their_intervals() {
        assert_eq!(
            lines(&open()),
            [
                "of 400 closes  count   share  95 % interval",
                "client alone     264  66.0 %    61.2–70.5 %",
                "server alone     130  32.5 %    28.1–37.2 %",
                "both               2   0.5 %      0.1–1.8 %",
                "neither            4   1.0 %      0.4–2.5 %",
            ]
            .map(str::to_owned)
            .map(|line| line.trim_end().to_owned())
        );
        let table = table(&[open(), fixture::exhaustion()]);
        assert!(table.contains("| 400 | 66.0 % (61.2–70.5 %) |"), "{table}");
        assert_eq!(table.lines().count(), 6, "one record of the two");
    }

    #[test]
    fn where_it_was_a_question_and_could_not_be_answered_the_reason_is_told() {
        let mut record = fixture::exhaustion();
        assert!(lines(&record).is_empty());
        record.prediction.as_mut().unwrap().undetermined = Some("who knows".into());
        record.time_wait.as_mut().unwrap().no_sides = Some("it ran too long".into());
        assert_eq!(lines(&record), ["not known: it ran too long"]);
    }
}
