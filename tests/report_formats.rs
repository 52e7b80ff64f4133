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
    insta::assert_snapshot!(report::compare::terminal(&comparison()));
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
