//! CSV (RFC 4180): the timelines, a row an interval; or a summary, a row a record.
//!
//! Columns are the record's keys. What was not measured is an empty field, never 0.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::judge::compare::metrics;
use crate::record::schema::Record;

/// What names a record in each row; the keys of the cells follow.
const NAMES: [&str; 3] = ["scenario.id", "repeat", "started_at"];

/// Every interval of every record's timeline. Kinds of failure are columns, `failed.connect:EADDRNOTAVAIL`.
#[must_use]
pub fn timeline(records: &[Record]) -> String {
    let kinds: BTreeSet<&String> = records
        .iter()
        .flat_map(|record| &record.timeline)
        .flat_map(|point| point.failed.keys())
        .collect();
    let cells = cell_keys(records);
    let mut heading = names(&cells);
    heading.extend(["t", "ok"].map(str::to_owned));
    heading.extend(kinds.iter().map(|kind| format!("failed.{kind}")));
    // Of programs that `linger exec` ran: what they opened, which stands in `ok` too, and the most that were open at once.
    let is_of_programs = records.iter().any(|record| record.exec.is_some());
    heading.extend(
        ["opened", "open"]
            .into_iter()
            .filter(|_| is_of_programs)
            .map(str::to_owned),
    );
    heading.extend(["time_wait_client", "time_wait_server", "p99_us"].map(str::to_owned));
    let rows = records.iter().flat_map(|record| {
        let (kinds, cells) = (&kinds, &cells);
        record.timeline.iter().map(move |point| {
            let mut row = name_fields(record, cells);
            row.extend([point.t.to_string(), point.ok.to_string()]);
            // An interval in which a kind did not happen had none of it.
            row.extend(
                kinds
                    .iter()
                    .map(|kind| point.failed.get(*kind).unwrap_or(&0).to_string()),
            );
            let opened = record.exec.is_some().then_some(point.ok);
            row.extend(
                [shown(opened), shown(point.open)]
                    .into_iter()
                    .filter(|_| is_of_programs),
            );
            row.extend([
                shown(point.time_wait_client),
                shown(point.time_wait_server),
                shown(point.p99_us),
            ]);
            row
        })
    });
    written(heading, rows)
}

/// One row a record: what names it, where it ran, its verdict, the prediction, and every metric that is compared.
#[must_use]
pub fn summary(records: &[Record]) -> String {
    const WHERE: [&str; 6] = [
        "environment.kernel",
        "environment.machine",
        "environment.cpus",
        "interrupted",
        "verdict.status",
        "prediction.capacity",
    ];
    let cells = cell_keys(records);
    let metrics = metrics::METRICS.map(|(metric, _)| metric);
    let mut heading = names(&cells);
    heading.extend(WHERE.iter().chain(&metrics).map(|key| (*key).to_owned()));
    let rows = records.iter().map(|record| {
        let json = serde_json::to_value(record).unwrap_or(Value::Null);
        let mut row = name_fields(record, &cells);
        row.extend(
            WHERE
                .iter()
                .map(|key| field(json.pointer(&format!("/{}", key.replace('.', "/"))))),
        );
        row.extend(metrics.iter().map(|metric| shown(metrics::number(&json, metric))));
        row
    });
    written(heading, rows)
}

fn cell_keys(records: &[Record]) -> BTreeSet<&String> {
    records.iter().flat_map(|record| record.cell.keys()).collect()
}

fn names(cells: &BTreeSet<&String>) -> Vec<String> {
    let names = NAMES.iter().map(|name| (*name).to_owned());
    names.chain(cells.iter().map(|key| format!("cell.{key}"))).collect()
}

fn name_fields(record: &Record, cells: &BTreeSet<&String>) -> Vec<String> {
    let mut fields = vec![
        field(record.scenario.get("id")),
        record.repeat.to_string(),
        record.started_at.clone(),
    ];
    fields.extend(cells.iter().map(|key| field(record.cell.get(*key))));
    fields
}

fn field(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

fn written(heading: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for row in std::iter::once(heading).chain(rows) {
        writer
            .write_record(row)
            .expect("rows as long as the heading, written to memory");
    }
    String::from_utf8(writer.into_inner().expect("written to memory")).expect("every field is text")
}
