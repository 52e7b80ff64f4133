//! The report formats as they are written, in snapshots; and that other programs can read them again.

mod records;

use std::collections::BTreeSet;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use linger::judge::compare::comparable::Class;
use linger::judge::compare::{Comparison, Options, compare};
use linger::record::schema::{Judged, Record, Status};
use linger::report;
use records::{json, record, with_p99};
use serde_json::json;

/// Seven repeats, another kernel, a p99 a third higher, three limits.
fn comparison() -> Comparison {
    let base = with_p99(&[80.1, 81.5, 79.2, 80.8, 82.0, 78.9, 80.4]);
    let mut new = with_p99(&[107.0, 106.2, 109.9, 105.1, 108.8, 107.4, 106.0]);
    for record in &mut new {
        record.environment.kernel = "6.1.0".into();
    }
    let limits = [
        "latency.connect.p99_us > 1.10",
        "outcomes.ok < 0.99",
        "new: outcomes.failed_total > 0",
    ];
    let options = Options {
        limits: limits.map(|text| text.parse().unwrap()).into(),
        allow: BTreeSet::from([Class::Kernel]),
        ..Options::default()
    };
    compare(
        &base,
        &new,
        &options,
        &|_, _| Err("the record has no `outcomes`".into()),
    )
    .unwrap()
}

fn judged(that: &str, status: Option<Status>) -> Judged {
    Judged {
        that: that.into(),
        at: "catalogue:exhaustion:31 expect[0].that".into(),
        status,
        expected: Some("28232".into()),
        actual: Some("28231".into()),
        note: status.is_none().then(|| "applies to kernels <4.1".into()),
    }
}

fn judged_records() -> Vec<Record> {
    let mut records = vec![record(json(1)), record(json(2))];
    records[0].verdict.status = Status::Unmet;
    records[0].verdict.expectations = vec![
        judged("outcomes.ok == prediction.capacity", Some(Status::Unmet)),
        judged("outcomes.failed_total < 1 && \"<&>\" != ''", Some(Status::Met)),
        judged("ledger.balanced", Some(Status::Inconclusive)),
        judged("true", None),
    ];
    records[1].verdict.status = Status::Unavailable;
    records[1].verdict.reasons = vec!["user namespaces are forbidden".into()];
    records
}

#[test]
fn a_comparison_on_the_terminal() {
    insta::assert_snapshot!(report::compare::terminal(&comparison(), None));
}

#[test]
fn a_comparison_in_markdown() {
    insta::assert_snapshot!(report::compare::markdown(&comparison()));
}

#[test]
fn a_comparison_in_junit() {
    insta::assert_snapshot!(report::junit::comparison(&comparison()));
}

#[test]
fn records_in_junit() {
    insta::assert_snapshot!(report::junit::records(&judged_records()));
}

#[test]
fn a_summary_in_csv() {
    let mut other = json(2);
    other["cell"] = json!({"load.rate": 400});
    other["latency"] = json!({});
    insta::assert_snapshot!(report::csv::summary(&[record(json(1)), record(other)]));
}

#[test]
fn timelines_in_csv() {
    insta::assert_snapshot!(report::csv::timeline(&[record(json(1)), record(json(2))]));
}

#[test]
fn percentiles_in_hdrhistograms_text() {
    insta::assert_snapshot!(report::hdr::percentiles(&[record(json(1))]).unwrap());
}

#[test]
fn an_interval_log_is_read_again_by_the_library_with_nothing_lost() {
    let records = [record(json(1)), record(json(2))];
    let log = report::hdr::interval_log(&records).unwrap();
    let entries: Vec<_> = IntervalLogIterator::new(log.as_bytes()).map(Result::unwrap).collect();
    let mut intervals = Vec::new();
    for entry in &entries {
        if let LogEntry::Interval(interval) = entry {
            intervals.push(interval);
        }
    }
    assert_eq!(intervals.len(), 2);
    for (interval, record) in intervals.iter().zip(&records) {
        assert_eq!(interval.tag().unwrap().as_str(), format!("connect.{}", record.repeat));
        assert_eq!(interval.duration().as_secs(), 5);
        let hdr = &record.latency.as_ref().unwrap().connect.as_ref().unwrap().hdr;
        assert_eq!(interval.encoded_histogram(), hdr);
    }
}

/// A program that `linger exec` ran, with one call of connect().
fn ran(ended: serde_json::Value) -> Record {
    let mut json = json(1);
    let call = json["latency"]["connect"].clone();
    for section in ["latency", "outcomes", "offered", "rates"] {
        json[section] = serde_json::Value::Null;
    }
    json["timeline"] = json!([{"t": 0.0, "ok": 3, "failed": {}, "open": 2}]);
    json["verdict"]["reasons"] = json!(["no expectations: measured only"]);
    json["connects"] = json!({
        "way": "notify", "attempts": 1, "ok": 1, "failed": [], "failed_later": 0, "unknown": 0, "connecting_at_end": 0,
        "repeated_calls": 0, "other_calls": 0, "call": call, "destinations": [], "other_destinations": 0,
        "cost": {"stops": 0, "stopped_seconds": 0.0, "cpu_seconds": 0.0},
    });
    json["exec"] = json!({
        "command": ["python", "new.py"], "server": {"address": "10.2.0.1:6379", "protocol": "redis"},
        "ended": ended, "seconds": 0.5, "cpu_seconds": 0.2, "left_behind": 0,
        "connections": {"opened": 1}, "ports": {"usable": 28232, "held_at_end": 1},
    });
    record(json)
}

#[test]
fn how_a_program_ended_is_told_in_junit_and_markdown() {
    let ended = |kind: &str, code: i32| json!({"kind": kind, "code": code, "signal": null, "timed_out": false});
    for (ended, counts, shown) in [
        (ended("exit", 0), ["failures=\"0\"", "errors=\"0\""], "**exit 0**"),
        (ended("exit", 3), ["failures=\"1\"", "errors=\"0\""], "**exit 3**"),
        (
            ended("not-started", 127),
            ["failures=\"0\"", "errors=\"1\""],
            "**not started**",
        ),
    ] {
        let records = [ran(ended)];
        let junit = report::junit::records(&records);
        assert!(counts.iter().all(|count| junit.contains(count)), "{junit}");
        let markdown = report::markdown(&records);
        assert!(markdown.contains(shown) && !markdown.contains("met**"), "{markdown}");
    }
}

#[test]
fn a_programs_histograms_and_open_connections_are_written() {
    let records = [ran(
        json!({"kind": "exit", "code": 0, "signal": null, "timed_out": false}),
    )];
    let log = report::hdr::interval_log(&records).unwrap();
    assert!(log.contains("Tag=connects.call,"), "{log}");
    let text = report::hdr::percentiles(&records).unwrap();
    assert!(text.contains(": connects.call, µs]"), "{text}");
    let csv = report::csv::timeline(&records);
    assert!(csv.contains("t,ok,opened,open,time_wait_client"), "{csv}");
    assert!(csv.contains("0,3,3,2,"), "{csv}");
    let mut none = records;
    none[0].connects = None;
    let error = report::hdr::interval_log(&none).unwrap_err().to_string();
    assert!(error.starts_with("no latency histogram in 1 records: "), "{error}");
}

#[test]
fn a_damaged_histogram_or_time_is_told_with_its_record_and_key() {
    let mut damaged = json(1);
    damaged["latency"]["connect"]["hdr"] = json!("HISTFAAAA");
    let error = report::hdr::percentiles(&[record(damaged)]).unwrap_err().to_string();
    assert!(
        error.starts_with("pool-baseline, close.closer = client, repeat 1: latency.connect.hdr is damaged"),
        "{error}"
    );
    let mut timeless = json(1);
    timeless["started_at"] = json!("yesterday");
    let error = report::hdr::interval_log(&[record(timeless)]).unwrap_err().to_string();
    assert!(error.contains("started_at is `yesterday`"), "{error}");
}
