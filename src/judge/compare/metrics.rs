//! Which numbers of a record are compared, and which way is better.
//!
//! A metric is a dotted path into the record's JSON, as in an expectation. Derived here are [`CONNECTIONS_PER_CPU_SECOND`],
//! [`CONNECTS_FAILED`] and its parts by errno.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::record::schema::Record;

/// outcomes.connected ÷ (rates.client_cpu_seconds less load.spun_seconds): how much client a connection costs, whatever the
/// rate offered and the pacing.
pub const CONNECTIONS_PER_CPU_SECOND: &str = "rates.connections_per_client_cpu_second";

/// connect() calls of a foreign program that came to no connection: the sum of connects.failed, and connects.failed_later.
pub const CONNECTS_FAILED: &str = "connects.failed_total";

/// Followed by an errno: the calls that failed with it, `connects.failed.EADDRNOTAVAIL`.
const CONNECTS_FAILED_WITH: &str = "connects.failed.";

/// Which way a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    LowerIsBetter,
    HigherIsBetter,
    /// A change is neither good nor bad by itself.
    Neither,
}

use Direction::{HigherIsBetter, LowerIsBetter, Neither};

/// Every metric that is compared without being asked for, in the order of the table.
pub const METRICS: [(&str, Direction); 65] = [
    ("outcomes.ok", HigherIsBetter),
    ("outcomes.failed_total", LowerIsBetter),
    ("offered.not_offered", LowerIsBetter),
    ("rates.ok_per_second", HigherIsBetter),
    (CONNECTIONS_PER_CPU_SECOND, HigherIsBetter),
    ("rates.server_cpu_seconds", LowerIsBetter),
    ("latency.connect.p50_us", LowerIsBetter),
    ("latency.connect.p90_us", LowerIsBetter),
    ("latency.connect.p99_us", LowerIsBetter),
    ("latency.connect_call.p50_us", LowerIsBetter),
    ("latency.connect_call.p90_us", LowerIsBetter),
    ("latency.connect_call.p99_us", LowerIsBetter),
    ("latency.session.p50_us", LowerIsBetter),
    ("latency.session.p90_us", LowerIsBetter),
    ("latency.session.p99_us", LowerIsBetter),
    ("latency.from_intended_start.p50_us", LowerIsBetter),
    ("latency.from_intended_start.p90_us", LowerIsBetter),
    ("latency.from_intended_start.p99_us", LowerIsBetter),
    ("latency.connect_failed.p50_us", LowerIsBetter),
    ("latency.connect_failed.p90_us", LowerIsBetter),
    ("latency.connect_failed.p99_us", LowerIsBetter),
    ("latency.lag.p50_us", LowerIsBetter),
    ("latency.lag.p90_us", LowerIsBetter),
    ("latency.lag.p99_us", LowerIsBetter),
    ("time_wait.client.peak", LowerIsBetter),
    ("time_wait.server.peak", LowerIsBetter),
    ("time_wait.overdue.client_peak", LowerIsBetter),
    ("time_wait.overdue.server_peak", LowerIsBetter),
    ("time_wait.lifetime_seconds.p50", Neither),
    ("time_wait.lifetime_seconds.p99", Neither),
    ("port_reuse_seconds.p50", LowerIsBetter),
    ("port_reuse_seconds.p99", LowerIsBetter),
    ("server.accepted", Neither),
    ("pool.requests.ok", HigherIsBetter),
    ("pool.requests.failed_total", LowerIsBetter),
    ("pool.requests.borrow_timeouts", LowerIsBetter),
    ("pool.requests.not_offered", LowerIsBetter),
    ("pool.requests.ok_per_second", HigherIsBetter),
    ("pool.connections.opened", LowerIsBetter),
    ("pool.churn_ratio", LowerIsBetter),
    ("pool.churn_per_second", LowerIsBetter),
    ("pool.occupancy.open.peak", Neither),
    ("pool.latency.borrow_wait.p50_us", LowerIsBetter),
    ("pool.latency.borrow_wait.p99_us", LowerIsBetter),
    ("pool.latency.request.p50_us", LowerIsBetter),
    ("pool.latency.request.p99_us", LowerIsBetter),
    ("pool.latency.from_intended_start.p50_us", LowerIsBetter),
    ("pool.latency.from_intended_start.p99_us", LowerIsBetter),
    ("exec.connections.opened", LowerIsBetter),
    ("exec.connections.per_request", LowerIsBetter),
    ("exec.connections.failed", LowerIsBetter),
    ("connects.attempts", LowerIsBetter),
    (CONNECTS_FAILED, LowerIsBetter),
    ("exec.connections.requests", Neither),
    // Among them are those that a client says on each new connection: more of them is not more work done.
    ("exec.connections.requests_per_second", Neither),
    ("exec.connections.client_first_share", Neither),
    ("exec.seconds", LowerIsBetter),
    ("exec.cpu_seconds", LowerIsBetter),
    ("closings.concurrency.peak", Neither),
    ("closings.closed_first.simultaneous", LowerIsBetter),
    // An abortive close leaves no TIME_WAIT, and may lose what was sent.
    ("closings.closed_first.client_rst", Neither),
    ("closings.closed_first.server_rst", LowerIsBetter),
    ("closings.reset_after_fin.client", LowerIsBetter),
    ("closings.reset_after_fin.server", LowerIsBetter),
    ("server.conversations.quit", Neither),
];

/// Whether a metric is no path of the record, but made from what it has.
pub(super) fn is_derived(metric: &str) -> bool {
    [CONNECTIONS_PER_CPU_SECOND, CONNECTS_FAILED].contains(&metric) || metric.starts_with(CONNECTS_FAILED_WITH)
}

/// Every metric to compare in these records: [`METRICS`], and the failed connect() calls by errno after their sum.
pub(super) fn of_records<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<(String, Direction)> {
    let failed = records.into_iter().filter_map(|record| record.connects.as_ref());
    let errnos: BTreeSet<&str> = failed
        .flat_map(|connects| &connects.failed)
        .map(|failed| failed.errno.as_str())
        .collect();
    let mut metrics = Vec::new();
    for (metric, direction) in METRICS {
        metrics.push((metric.to_owned(), direction));
        if metric == CONNECTS_FAILED {
            let of_errno = |errno: &&str| (format!("{CONNECTS_FAILED_WITH}{errno}"), LowerIsBetter);
            metrics.extend(errnos.iter().map(of_errno));
        }
    }
    metrics
}

/// A foreign program's failed connect() calls: all, or those with one errno. None where they were not observed.
fn connects_failed(record: &Value, errno: Option<&str>) -> Option<f64> {
    let connects = record.get("connects").filter(|connects| connects["way"].is_string())?;
    let kinds = connects.get("failed")?.as_array()?.iter();
    let kinds = kinds.filter(|kind| errno.is_none_or(|errno| kind["errno"] == errno));
    // Not sum(): that of no floats is -0.
    let known = kinds
        .filter_map(|kind| kind["count"].as_f64())
        .fold(0.0, |sum, count| sum + count);
    let later = connects.get("failed_later").and_then(Value::as_f64).unwrap_or_default();
    Some(if errno.is_none() { known + later } else { known })
}

/// Which way a metric improves where the load is of a pool's requests: then how many connections there were, how fast, and
/// how long each lasted is the pool's doing, and only its churn is good or bad.
#[must_use]
pub fn direction_of_pool(metric: &str, direction: Direction) -> Direction {
    let counts_connections = ["outcomes.ok", "rates.ok_per_second", CONNECTIONS_PER_CPU_SECOND].contains(&metric);
    if counts_connections || metric.starts_with("latency.session.") {
        Neither
    } else {
        direction
    }
}

/// Whether a metric is a time that an emulator takes instead of the kernel, or is made from one. What the kernel's timers
/// decide (TIME_WAIT's lifetime, when a port is used again) is not.
#[must_use]
pub fn is_of_the_machine(metric: &str) -> bool {
    ["latency.", "rates.", "pool.latency."]
        .iter()
        .any(|times| metric.starts_with(times))
        || (metric.starts_with("pool.") && metric.ends_with("_per_second"))
}

/// The number at a dotted path of a record's JSON; None where it was not measured. A key may itself have dots.
#[must_use]
pub fn number(record: &Value, path: &str) -> Option<f64> {
    if path == CONNECTIONS_PER_CPU_SECOND {
        let connected = number(record, "outcomes.connected")?;
        let spun = number(record, "load.spun_seconds").unwrap_or(0.0);
        let seconds = number(record, "rates.client_cpu_seconds")? - spun;
        return (seconds > 0.0).then(|| connected / seconds);
    }
    if path == CONNECTS_FAILED {
        return connects_failed(record, None);
    }
    if let Some(errno) = path.strip_prefix(CONNECTS_FAILED_WITH) {
        return connects_failed(record, Some(errno));
    }
    match record.get(path) {
        Some(value) => value.as_f64(),
        None => path
            .split_once('.')
            .and_then(|(key, rest)| number(record.get(key)?, rest)),
    }
}

/// The path nearest to `wanted` among all numbers of these records, if one is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(wanted: &str, records: impl IntoIterator<Item = &'a Value>) -> Option<String> {
    let mut paths: Vec<String> = METRICS.iter().map(|(path, _)| (*path).to_owned()).collect();
    records
        .into_iter()
        .for_each(|record| number_paths(record, "", &mut paths));
    paths
        .into_iter()
        .map(|path| (strsim::jaro_winkler(&path, wanted), path))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, path)| path)
}

fn number_paths(value: &Value, prefix: &str, into: &mut Vec<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if value.is_number() {
            into.push(path);
        } else {
            number_paths(value, &path, into);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_not_measured_is_absent_and_not_zero() {
        let record = json!({"latency": {"connect": null}, "outcomes": {"ok": 3}, "cell": {"load.rate": 400}});
        assert_eq!(number(&record, "outcomes.ok"), Some(3.0));
        assert_eq!(number(&record, "latency.connect.p99_us"), None);
        assert_eq!(number(&record, "outcomes"), None);
        assert_eq!(number(&record, "cell.load.rate"), Some(400.0));
        assert_eq!(number(&record, CONNECTIONS_PER_CPU_SECOND), None);
    }

    #[test]
    fn connections_per_cpu_second_is_a_quotient_and_needs_cpu_time() {
        let record = |cpu: f64| json!({"outcomes": {"connected": 3000}, "rates": {"client_cpu_seconds": cpu}});
        assert_eq!(number(&record(1.5), CONNECTIONS_PER_CPU_SECOND), Some(2000.0));
        assert_eq!(number(&record(0.0), CONNECTIONS_PER_CPU_SECOND), None);
    }

    #[test]
    fn failed_connect_calls_are_summed_and_told_by_errno_where_they_were_observed() {
        let failed = json!([{"errno": "EADDRNOTAVAIL", "count": 45}, {"errno": "ECONNREFUSED", "count": 2}]);
        let record = json!({"connects": {"way": "notify", "failed": failed, "failed_later": 3}});
        assert_eq!(number(&record, CONNECTS_FAILED), Some(50.0));
        assert_eq!(number(&record, "connects.failed.EADDRNOTAVAIL"), Some(45.0));
        assert_eq!(number(&record, "connects.failed.EMFILE"), Some(0.0));
        let unobserved = json!({"connects": {"way": null, "failed": [], "failed_later": 0}});
        assert_eq!(number(&unobserved, CONNECTS_FAILED), None);
        assert_eq!(number(&json!({}), "connects.failed.EMFILE"), None);
    }

    #[test]
    fn a_misspelt_metric_has_a_nearest_name() {
        let record = json!({"counters": {"client": {"ActiveOpens": 3}}});
        assert_eq!(
            nearest("latency.conect.p99_us", [&record]).unwrap(),
            "latency.connect.p99_us"
        );
        assert_eq!(
            nearest("counters.client.ActiveOpen", [&record]).unwrap(),
            "counters.client.ActiveOpens"
        );
        assert_eq!(nearest("zzz", [&record]), None);
    }
}
