//! The catalogue's expectations put to the judge's own CEL.

use cel::{Program, Value};
use serde_json::json;

use super::expression::cel_value;
use super::language;
use crate::scenario::catalogue;
use crate::scenario::plan::TrialPlan;

/// A CEL truth value over a record that holds every key that expectations name.
fn evaluate(expression: &str, trial: &TrialPlan) -> bool {
    let side = json!({"peak": 1, "end": 1});
    let distribution = json!({"count": 1, "min": 60.0, "p50": 60.0, "p99": 61.0, "max": 62.0, "max_at_least": 61.9,
            "resolution_seconds": 1.0});
    let share = json!({"count": 125, "share": 0.25, "low": 0.2, "high": 0.3});
    let counters = json!({"TCPAbortOnData": 0, "TWRecycled": 0, "TCPTimeWaitOverflow": 0, "TW": 0, "ListenOverflows": 1,
            "TCPSynRetrans": 0, "PAWSTimewait": 0});
    let latency = json!({"count": 1, "p50_us": 1.0, "p90_us": 2.0, "max_us": 3.0});
    let range = json!({"net.ipv4.ip_local_port_range": "32768 60999"});
    let closed = json!({"lifetime": 60, "idle": 1, "validation": 1, "server_closed": 0, "end": 8});
    let pool = json!({
        "requests": {"attempted": 1000, "ok": 1000, "failed_total": 0, "borrow_timeouts": 0, "failed": []},
        "connections": {"opened": 8, "closed": closed},
        "occupancy": {"open": {"peak": 8, "mean": 8.0}, "lent": {"peak": 8, "mean": 4.0},
            "waiting": {"peak": 8, "mean": 4.0}},
        "churn_ratio": 0.008, "churn_per_second": 16.0,
    });
    let record = json!({
        "pool": pool,
        "residual": {"churn_per_second": 0.0},
        "cell": trial.cell,
        "scenario": trial,
        "environment": {"hz": 250, "sysctl": {"client": range, "server": range}},
        "prediction": {"usable_ports": 100, "capacity": 100,
            "pool": {"too_small": false, "churn_per_second": 16.0}},
        "offered": {"attempted": 200},
        "server": {"bytes_received": 1000, "closed_first": 500, "conversations": {"quit": 500, "requests": 1000}},
        "requests": {"sent": 500, "answered": 500, "errors": 0},
        "latency": {"connect": latency, "connect_call": latency, "lag": latency, "connect_call_by_fill": (0..21)
            .map(|step| json!({"from": f64::from(step) / 20.0, "ok": latency, "failed": latency, "even": latency,
                "odd": latency}))
            .collect::<Vec<_>>()},
        "fill": {"planned": 100, "ok": 100, "failed_total": 0, "seconds": 1.0},
        "memory": {"predicted_bytes": 1000, "measured_bytes": 1000},
        "timeline": [{"t": 120.0, "ok": 5}],
        "slab": [{"cache": "tw_sock_TCP", "object_bytes": 256, "active_before": 0, "active_after": 20000}],
        "outcomes": {"ok": 100, "failed_total": 100, "failed": [
            {"phase": "connect", "errno": "EADDRNOTAVAIL", "count": 100, "first_attempt": 101}
        ]},
        "rates": {"load_seconds": 1.0},
        "time_wait": {"client": side, "server": side, "lifetime_seconds": distribution, "sides": {
            "closes": 500, "client": share, "server": share, "both": share, "neither": share}},
        "port_reuse_seconds": distribution,
        "counters": {"client": counters, "server": counters},
    });
    let mut context = language::context();
    for (name, value) in record.as_object().unwrap() {
        context.add_variable_from_value(name, cel_value(value.clone()).unwrap());
    }
    let program = Program::compile(expression).unwrap();
    match program.execute(&context) {
        Ok(Value::Bool(truth)) => truth,
        other => panic!("{}: {expression}: {other:?}", trial.id),
    }
}

#[test]
fn every_trial_has_an_expectation_and_each_is_a_truth_value_of_the_record() {
    // What a sequence's steps find cannot be made up here; that its expressions are CEL was checked on reading.
    let plans = catalogue::all().unwrap();
    for trial in plans
        .iter()
        .flat_map(|plan| &plan.trials)
        .filter(|it| !it.is_sequence())
    {
        let applying = trial.expect.iter().filter(|expect| {
            let applies = expect.when.as_deref().is_none_or(|when| evaluate(when, trial));
            evaluate(&expect.that, trial);
            applies
        });
        assert!(
            applying.count() > 0,
            "nothing is expected of {} {:?}",
            trial.id,
            trial.cell
        );
    }
}
