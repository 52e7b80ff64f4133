//! The scenarios that linger ships: `scenarios/ID.toml`, embedded in the binary.

use include_dir::{Dir, include_dir};

use super::plan::Plan;
use super::problem::Problems;
use super::read;

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/scenarios");

/// Every scenario's id, sorted.
#[must_use]
pub fn ids() -> Vec<&'static str> {
    let mut ids: Vec<&str> = FILES
        .files()
        .filter(|file| file.path().extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|file| file.path().file_stem()?.to_str())
        .collect();
    ids.sort_unstable();
    ids
}

/// A scenario's file; None where there is no such id.
#[must_use]
pub fn text(id: &str) -> Option<&'static str> {
    FILES.get_file(format!("{id}.toml"))?.contents_utf8()
}

/// How a scenario's file is named in problems and expectations.
#[must_use]
pub fn file(id: &str) -> String {
    format!("scenarios/{id}.toml")
}

/// Every scenario's plan, sorted by id.
///
/// # Errors
/// A scenario that is wrong, which the tests keep from being shipped.
pub fn all() -> Result<Vec<Plan>, Problems> {
    let ids: Vec<String> = ids().into_iter().map(str::to_owned).collect();
    read::load(&ids, &[], None, None)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::*;
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
        let mut context = crate::judge::language::context();
        for (name, value) in record.as_object().unwrap() {
            context.add_variable_from_value(name, cel_value(value));
        }
        let program = cel::Program::compile(expression).unwrap();
        match program.execute(&context) {
            Ok(cel::Value::Bool(truth)) => truth,
            other => panic!("{}: {expression}: {other:?}", trial.id),
        }
    }

    /// As the judge has them: whole numbers are CEL's ints, signed or not.
    fn cel_value(json: &Json) -> cel::Value {
        match json {
            Json::Null => cel::Value::Null,
            Json::Bool(truth) => (*truth).into(),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => integer.into(),
                None => number.as_f64().unwrap().into(),
            },
            Json::String(text) => text.as_str().into(),
            Json::Array(items) => items.iter().map(cel_value).collect::<Vec<_>>().into(),
            Json::Object(map) => {
                let entries = map.iter().map(|(key, value)| (key.clone(), cel_value(value)));
                entries.collect::<HashMap<String, cel::Value>>().into()
            }
        }
    }

    #[test]
    fn every_scenario_is_valid_and_named_as_its_file() {
        let plans = all().unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(plans.iter().map(|plan| plan.id.as_str()).collect::<Vec<_>>(), ids());
        for plan in &plans {
            assert_eq!(plan.origin, "catalogue");
            assert!(plan.why.len() > 40, "{} does not say why it is", plan.id);
            assert!(!plan.sources.is_empty(), "{} names no source", plan.id);
            // The longest keeps a load up for 225 s and waits for the last TIME_WAIT; `verify` has them side by side.
            let longest = plan.trials.iter().map(TrialPlan::expected_duration).max();
            assert!(
                longest < Some(Duration::from_secs(300)),
                "{} takes {longest:?}",
                plan.id
            );
        }
    }

    #[test]
    fn every_trial_has_an_expectation_and_each_is_a_truth_value_of_the_record() {
        // What a sequence's steps find cannot be made up here; that its expressions are CEL was checked on reading.
        let plans = all().unwrap();
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

    /// A figure that an expectation or the table asks for must have a step that finds it.
    #[test]
    fn every_fact_that_a_sequence_asks_for_is_found_by_a_step() {
        for trial in all().unwrap().iter().flat_map(|plan| &plan.trials) {
            let expressions = trial.expect.iter().map(|expect| &expect.that);
            for expression in expressions.chain(&trial.holds).chain(&trial.figure) {
                for rest in expression.split("captured.").skip(1) {
                    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let found = trial.steps.iter().any(|step| step.named.as_deref() == Some(&name));
                    assert!(found, "{}: no step finds `{name}` of {expression}", trial.id);
                }
            }
            if trial.is_sequence() {
                assert!(!trial.expect.is_empty(), "nothing is expected of {}", trial.id);
                assert!(
                    trial.holds.is_some() && trial.figure.is_some(),
                    "{}: the claim's verdict",
                    trial.id
                );
            }
        }
    }

    fn figures(id: &str, figure: impl Fn(&TrialPlan) -> u64) -> Vec<u64> {
        let plan = read::from_text(&file(id), text(id).unwrap()).unwrap();
        plan.trials.iter().map(figure).collect()
    }

    /// The arithmetic of the files: enough attempts to reach each limit, and not many more.
    #[test]
    fn attempts_exceed_the_ports_there_are() {
        let ports = |trial: &TrialPlan| {
            let range = trial.sysctl.client.get("net.ipv4.ip_local_port_range");
            // Linux's own, since 4.2.
            let range = range.map_or("32768 60999", String::as_str);
            let (low, high) = crate::scenario::port_range::parse(range).unwrap();
            u64::from(high - low) + 1
        };
        let four_tuples = |trial: &TrialPlan| {
            ports(trial) * u64::from(trial.client.addresses * trial.server.addresses * trial.server.ports)
        };
        assert_eq!(figures("exhaustion", ports), [28_232]);
        assert_eq!(figures("exhaustion-established", ports), [1000]);
        // A tenth of 28232 and 36775, and even.
        assert_eq!(figures("widen-range", ports), [2_824, 3_678]);
        assert_eq!(
            figures("more-destinations", four_tuples),
            [1000, 2000, 2000, 4000, 4000, 8000]
        );
        assert_eq!(figures("more-sources", four_tuples), [300, 600, 1200, 300, 600, 1200]);
        for id in [
            "exhaustion",
            "exhaustion-established",
            "widen-range",
            "reserved-ports",
            "more-destinations",
            "more-sources",
        ] {
            let attempts = figures(id, |trial| trial.load.planned().unwrap());
            for (ports, attempts) in figures(id, four_tuples).into_iter().zip(attempts) {
                assert!(attempts > ports, "{id}: {attempts} attempts at {ports} four-tuples");
            }
        }
        assert_eq!(
            figures("reuse-one-second", |trial| trial.load.planned().unwrap()),
            [2900]
        );
        assert_eq!(
            figures("reuse-matrix", |trial| trial.load.planned().unwrap()),
            [950; 12]
        );
    }
}
