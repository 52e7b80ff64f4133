//! Records for tests of comparison and reports: what a trial measured, with figures that the test chooses.

use linger::record::histogram::LatencyHistogram;
use linger::record::schema::Record;
use serde_json::{Value, json};

/// A record of 2,000 connections on kernel 6.18.44, all of them successful, as JSON to be changed.
pub fn json(repeat: usize) -> Value {
    let mut histogram = LatencyHistogram::default();
    (1..=100).for_each(|i| histogram.record(i * 1_000));
    json!({
        "schema": "linger.record/1",
        "linger": {"version": "0.1.0"},
        "started_at": format!("2026-11-22T09:12:{repeat:02}Z"),
        "scenario": {
            "id": "pool-baseline", "claim": "a pool keeps its connections", "repeat": repeat,
            "load": {"rate": 400.0}, "sysctl": {"client": {}, "server": {}},
        },
        "cell": {"close.closer": "client"},
        "repeat": repeat,
        "environment": {
            "kernel": "6.18.44", "machine": "x86_64", "cpus": 2, "lab": "pair", "virtual_machine": true, "hz": 250,
            "sysctl": {"client": {"net.ipv4.tcp_tw_reuse": "0"}, "server": {"net.ipv4.tcp_tw_reuse": "0"}},
        },
        "offered": {"planned": 2000, "attempted": 2000, "not_offered": 0},
        "outcomes": {"ok": 2000, "failed_total": 0, "connected": 2000, "failed": []},
        "latency": {"connect": histogram.summary()},
        "rates": {
            "load_seconds": 5.0, "attempts_per_second": 400.0, "ok_per_second": 400.0,
            "client_cpu_seconds": 0.5, "server_cpu_seconds": 0.4, "threads": {},
        },
        "time_wait": {
            "client": {"peak": 2000, "end": 2000}, "server": {"peak": 0, "end": 0},
            "lifetime_seconds": null, "overdue": {"client_peak": 0, "server_peak": 0}, "source": "sock_diag",
        },
        "timeline": [
            {"t": 0.0, "ok": 900, "failed": {}, "time_wait_client": 900, "time_wait_server": 0, "p99_us": 61.0},
            {"t": 0.1, "ok": 1100, "failed": {"connect:EADDRNOTAVAIL": 3}, "time_wait_client": null, "time_wait_server": null, "p99_us": null},
        ],
        "verdict": {"status": "met", "reasons": [], "expectations": []},
    })
}

/// The record that a JSON says.
pub fn record(json: Value) -> Record {
    serde_json::from_value(json).expect("the JSON of a record")
}

/// Records of as many repeats as there are values of connect()'s p99, in µs.
#[allow(dead_code)]
pub fn with_p99(values: &[f64]) -> Vec<Record> {
    let one = |(index, p99): (usize, &f64)| {
        let mut json = json(index + 1);
        json["latency"]["connect"]["p99_us"] = json!(p99);
        record(json)
    };
    values.iter().enumerate().map(one).collect()
}
