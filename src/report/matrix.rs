//! Several trials in one table, a row a trial, and below it what was expected of those that are not met.

use std::collections::BTreeSet;

use super::pool::came_of;
use super::repeats::repeats;
use super::style::Style;
use super::table::{aligned, wrapped};
use super::{cell_text, expectation, number, plain, sides};
use crate::record::schema::{Latency, Record, Share, Sides, Status};

/// A record's value in a column, if it has one.
type Value = Box<dyn Fn(&Record) -> Option<String>>;
/// A column: its heading and its values.
type Column = (String, Value);

/// Renders the table of `records`. A column that no record has a value for is left out.
#[must_use]
pub fn matrix(records: &[Record], style: Style) -> String {
    if records.iter().any(|record| record.exec.is_some()) {
        return repeats(records, style);
    }
    let columns: Vec<Column> = columns(records)
        .into_iter()
        .filter(|(_, value)| records.iter().any(|record| value(record).is_some()))
        .collect();
    let names = columns.iter().take_while(|(heading, _)| heading != "ok").count();
    let mut rows = headings(&columns);
    let heading_lines = rows.len();
    for record in records {
        let cell = |(_, value): &Column| value(record).unwrap_or_else(|| "–".to_owned());
        let mut row: Vec<String> = columns.iter().map(cell).collect();
        row.push(style.status(record.verdict.status));
        rows.push(row);
    }
    let mut text = String::new();
    for (index, line) in aligned(&rows, names).into_iter().enumerate() {
        text.push_str(&if index < heading_lines { style.bold(&line) } else { line });
        text.push('\n');
    }
    if records.iter().any(|record| record.environment.emulated) {
        text.push_str(if times_alike(records) {
            "times are an emulator's, not to be compared with real ones\n"
        } else {
            "times are left out: an emulator's are not to be compared with real ones\n"
        });
    }
    for record in records.iter().filter(|record| record.verdict.status != Status::Met) {
        if several_kernels(records) {
            text.push_str(&format!("\n{}", heading(record)));
        }
        text.push_str(&why_not(record, style));
    }
    text.push_str(&format!("\n{}\n", summary(records)));
    text
}

/// Trials of one scenario have a column a key of the matrix. Trials of several share no keys: theirs is one column, and
/// the figures that only compare within a scenario are left out, so that the table stays within a hundred columns.
fn columns(records: &[Record]) -> Vec<Column> {
    let is_one_scenario = is_one_scenario(records);
    let keys: BTreeSet<String> = records.iter().flat_map(|record| record.cell.keys().cloned()).collect();
    let mut columns: Vec<Column> = Vec::new();
    let mut push = |heading: &str, value: Value| columns.push((heading.to_owned(), value));
    if several_kernels(records) {
        push("kernel", Box::new(|record| Some(record.environment.kernel.clone())));
    }
    if is_one_scenario {
        let is_told = told_by_release(records);
        for key in keys.iter().filter(|key| *key != KERNEL || !is_told) {
            let whole = key.clone();
            push(
                if key == KERNEL { "image" } else { short(key, &keys) },
                Box::new(move |record| record.cell.get(&whole).map(plain)),
            );
        }
    } else {
        push("scenario", Box::new(|record| Some(id(record))));
        push("cell", Box::new(move |record| short_cell(record, &keys)));
    }
    if is_one_scenario && records.iter().any(|record| record.repeat > 1) {
        push("repeat", Box::new(|record| Some(record.repeat.to_string())));
    }
    push("ok", Box::new(|record| Some(number::count(came_of(record)?.0))));
    columns.push(failed(records));
    let mut push = |heading: &str, value: Value| columns.push((heading.to_owned(), value));
    push(
        "opened",
        Box::new(|record| Some(number::count(record.pool.as_ref()?.connections.opened))),
    );
    push(
        "a request",
        Box::new(|record| Some(format!("{:.3}", record.pool.as_ref()?.churn_ratio?))),
    );
    if is_one_scenario && times_alike(records) {
        push(
            "connect p50",
            Box::new(|record| Some(number::micros(connect(record)?.p50_us))),
        );
        push(
            "connect p99",
            Box::new(|record| Some(number::micros(connect(record)?.p99_us))),
        );
    }
    if is_one_scenario {
        push(
            "TW client",
            Box::new(|record| Some(number::count(record.time_wait.as_ref()?.client.end))),
        );
        push(
            "TW server",
            Box::new(|record| Some(number::count(record.time_wait.as_ref()?.server.end))),
        );
    }
    if is_one_scenario {
        let share = |of: fn(&Sides) -> Share| -> Value {
            Box::new(move |record| {
                let sides = sides::sides(record).filter(|_| sides::is_open(record))?;
                Some(sides::percent(of(sides).share))
            })
        };
        push("TW both", share(|sides| sides.both));
        push("TW neither", share(|sides| sides.neither));
    }
    push("capacity", Box::new(predicted));
    columns
}

/// The key of a matrix over kernels.
const KERNEL: &str = "kernel";

/// Whether each image of a matrix over kernels is told by its release, so that its own column would say it twice.
fn told_by_release(records: &[Record]) -> bool {
    let images: BTreeSet<String> = records
        .iter()
        .filter_map(|record| record.cell.get(KERNEL).map(plain))
        .collect();
    let releases: BTreeSet<&str> = records
        .iter()
        .map(|record| record.environment.kernel.as_str())
        .collect();
    releases.len() > 1 && images.len() == releases.len()
}

fn is_one_scenario(records: &[Record]) -> bool {
    records.iter().map(id).collect::<BTreeSet<_>>().len() <= 1
}

/// Whether all trials that ran took their times in the same way.
fn times_alike(records: &[Record]) -> bool {
    let ran = records.iter().filter(|record| record.outcomes.is_some());
    let mut ways = ran.map(|record| (record.environment.clock, record.environment.emulated));
    let first = ways.next();
    ways.all(|way| Some(way) == first)
}

fn several_kernels(records: &[Record]) -> bool {
    let mut kernels = records.iter().map(|record| &record.environment.kernel);
    let first = kernels.next();
    kernels.any(|kernel| Some(kernel) != first)
}

/// Failures in all and the kind that most were of, `1,768 EADDRNOTAVAIL`; where all were of one kind, the heading has it.
fn failed(records: &[Record]) -> Column {
    let came = records.iter().filter_map(came_of);
    let kinds: BTreeSet<&str> = came
        .flat_map(|(_, _, failed)| failed)
        .map(|failed| failed.errno.as_str())
        .collect();
    let only = (kinds.len() == 1).then(|| kinds.into_iter().collect::<String>());
    let heading = only
        .as_ref()
        .map_or("failed".to_owned(), |kind| format!("failed {kind}"));
    let value = move |record: &Record| {
        let (_, total, kinds) = came_of(record)?;
        let total = number::count(total);
        let top = kinds
            .iter()
            .max_by_key(|failed| failed.count)
            .filter(|_| only.is_none());
        Some(top.map_or(total.clone(), |top| format!("{total} {}", top.errno)))
    };
    (heading, Box::new(value))
}

/// `Linux 6.1.0`; what never came up as a kernel is not called one.
fn heading(record: &Record) -> String {
    match record.environment.was_seen() {
        true => format!("Linux {}", record.environment.kernel),
        false => record.environment.kernel.clone(),
    }
}

/// The capacity that was predicted.
fn predicted(record: &Record) -> Option<String> {
    record.prediction.as_ref().map(sides::capacity)
}

fn short_cell(record: &Record, keys: &BTreeSet<String>) -> Option<String> {
    let pairs = record
        .cell
        .iter()
        .map(|(key, value)| format!("{}={}", short(key, keys), plain(value)));
    let repeat = (record.repeat > 1).then(|| format!("#{}", record.repeat));
    let parts: Vec<String> = pairs.chain(repeat).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

pub(super) fn id(record: &Record) -> String {
    record.scenario.get("id").map(plain).unwrap_or_default()
}

/// The shortest end of a dotted key that no other key has: `tcp_tw_reuse` of `sysctl.client.net.ipv4.tcp_tw_reuse`.
fn short<'a>(key: &'a str, keys: &BTreeSet<String>) -> &'a str {
    let ends =
        |key: &str, end: &str| key == end || key.strip_suffix(end).is_some_and(|rest| rest.ends_with(['.', '"']));
    let mut end = key.len();
    while let Some(dot) = key[..end].rfind(['.', '"']) {
        let candidate = &key[dot + 1..];
        if !candidate.is_empty() && keys.iter().filter(|other| ends(other, candidate)).count() == 1 {
            return candidate.trim_end_matches('"');
        }
        end = dot;
    }
    key
}

/// None as well where the clock only ticks.
fn connect(record: &Record) -> Option<&Latency> {
    if record.environment.ticking_clock().is_some() {
        return None;
    }
    record.latency.as_ref()?.connect.as_ref()
}

/// The headings, each broken into as many lines as keep its column narrow, aligned at the bottom.
fn headings(columns: &[Column]) -> Vec<Vec<String>> {
    let headings = columns.iter().map(|(heading, _)| heading.as_str()).chain(["verdict"]);
    let broken: Vec<Vec<String>> = headings
        .map(|heading| wrapped(&heading.replace('_', "_ "), 8))
        .collect();
    let broken: Vec<Vec<String>> = broken
        .into_iter()
        .map(|lines| lines.into_iter().map(|line| line.replace("_ ", "_")).collect())
        .collect();
    let height = broken.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|line| {
            let cell = |lines: &Vec<String>| {
                (line + lines.len())
                    .checked_sub(height)
                    .map_or(String::new(), |at| lines[at].clone())
            };
            broken.iter().map(cell).collect()
        })
        .collect()
}

/// A trial that is not met: its cell, and the expectations that do not hold.
pub(super) fn why_not(record: &Record, style: Style) -> String {
    let cell = cell_text(record);
    let name = if cell.is_empty() {
        id(record)
    } else {
        format!("{} ({cell})", id(record))
    };
    let heading = format!("{}: {}", style.bold(&name), style.status(record.verdict.status));
    let mut text = format!("\n{}\n", wrapped(&heading, style.columns()).join("\n  "));
    let verdict = &record.verdict;
    let failing = verdict
        .expectations
        .iter()
        .filter(|judged| judged.status.is_some_and(|status| status != Status::Met));
    let width = style.columns() - 2;
    let reasons = verdict.reasons.iter().flat_map(|reason| wrapped(reason, width));
    for line in reasons.chain(failing.flat_map(|judged| expectation::lines(judged, style, width))) {
        text.push_str(&format!("  {line}\n"));
    }
    text
}

/// `8 of 8 met`; `6 of 8 met, 1 unmet, 1 unavailable`.
fn summary(records: &[Record]) -> String {
    let count = |status| records.iter().filter(|record| record.verdict.status == status).count();
    let mut text = format!("{} of {} met", count(Status::Met), records.len());
    for status in [Status::Unmet, Status::Inconclusive, Status::Unavailable] {
        if count(status) > 0 {
            text.push_str(&format!(", {} {}", count(status), super::status_name(status)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::report::table::width;
    use serde_json::json;

    #[test]
    fn a_matrix_is_one_table_with_the_reasons_below() {
        insta::assert_snapshot!(matrix(&fixture::active_closer(), Style::plain()));
    }

    #[test]
    fn several_scenarios_and_a_trial_that_could_not_begin_share_a_table() {
        let mut records = vec![fixture::exhaustion(), fixture::unavailable()];
        records.extend(fixture::active_closer());
        let text = matrix(&records, Style::plain());
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_matrix_of_two_sysctls_and_the_closer_fits_a_hundred_columns() {
        let mut records = Vec::new();
        for reuse in 0..3 {
            let mut record = fixture::of_ports(fixture::exhaustion(), 100);
            record.cell = [
                ("close.closer", json!("client")),
                ("sysctl.client.net.ipv4.tcp_tw_reuse", json!(reuse)),
                ("sysctl.client.\"net.ipv4.tcp_timestamps\"", json!(1)),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
            records.push(record);
        }
        let text = matrix(&records, Style::plain());
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn kernels_have_a_column_and_an_emulators_times_are_not_beside_real_ones() {
        let mut booted = fixture::exhaustion();
        booted.environment.kernel = "6.1.0-50-cloud-amd64".to_owned();
        booted.environment.emulated = true;
        let mut failed = fixture::unavailable();
        failed.scenario = booted.scenario.clone();
        let mixed = matrix(&[fixture::exhaustion(), booted.clone(), failed.clone()], Style::plain());
        let alike = matrix(&[booted, failed], Style::plain());
        for text in [&mixed, &alike] {
            assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        }
        insta::assert_snapshot!(format!("{mixed}\n{alike}"));
    }

    #[test]
    fn a_matrix_over_kernels_has_one_column_of_kernels_where_the_release_tells_the_image() {
        let of = |image: &str, release: &str| {
            let mut record = fixture::exhaustion();
            record.cell = [("kernel".to_owned(), json!(image))].into();
            record.environment.kernel = release.to_owned();
            record
        };
        let told = matrix(&[of("host", "6.18.44"), of("vmlinuz-a", "4.4.11")], Style::plain());
        assert_eq!(told.matches("kernel").count(), 1, "{told}");
        assert!(!told.contains("image") && !told.contains("vmlinuz-a"), "{told}");
        let alike = [
            of("host", "6.18.44"),
            of("vmlinuz-a", "4.4.11"),
            of("vmlinuz-b", "4.4.11"),
        ];
        let alike = matrix(&alike, Style::plain());
        assert!(alike.contains("image") && alike.contains("vmlinuz-b"), "{alike}");
    }

    #[test]
    fn a_key_is_shortened_as_far_as_it_stays_the_only_one() {
        let keys: BTreeSet<String> = ["sysctl.client.a.b", "sysctl.server.a.b", "load.rate"]
            .map(str::to_owned)
            .into();
        assert_eq!(short("load.rate", &keys), "rate");
        assert_eq!(short("sysctl.client.a.b", &keys), "client.a.b");
    }

    #[test]
    fn no_record_is_an_empty_table() {
        assert_eq!(matrix(&[], Style::plain()).lines().last(), Some("0 of 0 met"));
    }
}
