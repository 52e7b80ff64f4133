//! What a pool's requests came to, and what became of its connections.

use super::measured::{aligned_right, failure_table, latency_table};
use super::number;
use super::table::wrapped;
use super::terminal::BODY;
use crate::record::schema::{Failed, Occupancy, PoolPrediction, PoolRan, Record};

/// What the load was of: how many ended ok, how many failed, and how. Requests of a pool, else connections.
pub(super) fn came_of(record: &Record) -> Option<(u64, u64, &[Failed])> {
    if let Some(pool) = &record.pool {
        let requests = &pool.requests;
        return Some((requests.ok, requests.failed_total, &requests.failed));
    }
    let outcomes = record.outcomes.as_ref()?;
    Some((outcomes.ok, outcomes.failed_total, &outcomes.failed))
}

/// Requests by outcome, and what they waited for.
pub(super) fn requests(pool: &PoolRan) -> Vec<String> {
    let requests = &pool.requests;
    let planned = requests
        .planned
        .map(|planned| format!(" of {} planned", number::count(planned)));
    let line = format!(
        "{} attempted{}; {} not offered; {}/s ok",
        number::count(requests.attempted),
        planned.unwrap_or_default(),
        number::count(requests.not_offered),
        number::per_second_of(requests.ok_per_second)
    );
    let mut lines = wrapped(&line, BODY);
    lines.extend(failure_table(requests.ok, requests.attempted, &requests.failed));
    let latency = &pool.latency;
    lines.extend(latency_table([
        ("wait for a connection", &latency.borrow_wait),
        ("then to the reply", &latency.request),
        ("from intended start", &latency.from_intended_start),
        ("asked late by", &latency.lag),
    ]));
    lines
}

/// What the pool did with its connections, against what was predicted.
pub(super) fn connections(pool: &PoolRan, predicted: Option<&PoolPrediction>, residual: Option<f64>) -> Vec<String> {
    let connections = &pool.connections;
    let mut parts = vec![format!("{} opened", number::count(connections.opened))];
    if connections.open_failed > 0 {
        parts.push(format!("{} could not be", number::count(connections.open_failed)));
    }
    if let Some(ratio) = pool.churn_ratio {
        parts.push(format!("{ratio:.3} a request"));
    }
    if let Some(counts) = &pool.requests_per_connection {
        parts.push(format!(
            "requests on each: mean {:.1}, min {}, max {}",
            counts.mean,
            number::count(counts.min),
            number::count(counts.max)
        ));
    }
    let mut lines = wrapped(&parts.join("; "), BODY);
    lines.extend(wrapped(&closed(pool), BODY));
    lines.extend(levels(pool, predicted, residual));
    lines
}

/// Why connections were closed: those reasons that there were.
fn closed(pool: &PoolRan) -> String {
    let closed = &pool.connections.closed;
    let reasons = [
        (closed.lifetime, "for their lifetime"),
        (closed.idle, "idle for too long"),
        (closed.validation, "found dead by validation"),
        (closed.error, "for an error"),
        (closed.server_closed, "ended by the server"),
        (closed.on_return, "on return"),
        (closed.end, "at the end"),
    ];
    let reasons: Vec<String> = reasons
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{} {why}", number::count(count)))
        .collect();
    match reasons.is_empty() {
        true => "none closed".to_owned(),
        false => format!("closed: {}", reasons.join(", ")),
    }
}

fn levels(pool: &PoolRan, predicted: Option<&PoolPrediction>, residual: Option<f64>) -> Vec<String> {
    let Occupancy { open, lent, waiting } = pool.occupancy;
    let mean = |value: f64| format!("{value:.2}");
    let row = |name: &str, predicted: Option<String>, measured: String, residual: Option<String>, peak: String| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        vec![name.to_owned(), or_dash(predicted), measured, or_dash(residual), peak]
    };
    let busy = predicted.and_then(|predicted| predicted.busy);
    let opened = predicted.and_then(|predicted| predicted.open);
    let churn = predicted.and_then(|predicted| predicted.churn_per_second);
    let rows = [
        ["", "predicted", "mean", "residual", "peak"]
            .map(str::to_owned)
            .to_vec(),
        row(
            "open",
            opened.map(number::count),
            mean(open.mean),
            opened.map(|opened| format!("{:+.2}", open.mean - opened as f64)),
            number::count(open.peak),
        ),
        row(
            "lent",
            busy.map(mean),
            mean(lent.mean),
            busy.map(|busy| format!("{:+.2}", lent.mean - busy)),
            number::count(lent.peak),
        ),
        row(
            "requests waiting",
            None,
            mean(waiting.mean),
            None,
            number::count(waiting.peak),
        ),
        row(
            "closed a second",
            churn.map(mean),
            mean(pool.churn_per_second),
            residual.map(|residual| format!("{residual:+.2}")),
            String::new(),
        ),
    ];
    aligned_right(&rows)
}
