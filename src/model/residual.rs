//! What reality added to the prediction.

use crate::record::schema::{Outcomes, Prediction, Residual, TimelinePoint};

/// Failures by which the kernel says that no port is left.
const OUT_OF_PORTS: [(&str, &str); 2] = [("connect", "EADDRNOTAVAIL"), ("bind", "EADDRINUSE")];

/// Measured less predicted, where both are there.
#[must_use]
pub fn residual(
    prediction: &Prediction,
    outcomes: &Outcomes,
    timeline: &[TimelinePoint],
    load_seconds: f64,
) -> Residual {
    let first = outcomes
        .failed
        .iter()
        .find(|failed| OUT_OF_PORTS.contains(&(failed.phase.as_str(), failed.errno.as_str())));
    let attempt = first.map(|failed| failed.first_attempt);
    Residual {
        capacity: prediction
            .capacity
            .zip(attempt)
            .map(|(capacity, attempt)| signed(attempt) - 1 - signed(capacity)),
        first_failure_attempt: prediction
            .first_failure_attempt
            .zip(attempt)
            .map(|(predicted, measured)| signed(measured) - signed(predicted)),
        first_failure_seconds: prediction
            .first_failure_at
            .zip(first)
            .map(|(predicted, failed)| failed.first_at_seconds - predicted),
        sustained_per_second: first
            .and(prediction.sustained_per_second)
            .zip(sustained(timeline, prediction.hold_seconds, load_seconds))
            .map(|(predicted, measured)| measured - predicted),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Successful connections a second after the first hold time has passed, over whole hold times; None when the load
/// was shorter than two of them.
fn sustained(timeline: &[TimelinePoint], hold: f64, load_seconds: f64) -> Option<f64> {
    let whole = (load_seconds / hold).floor() - 1.0;
    if hold <= 0.0 || whole < 1.0 {
        return None;
    }
    let (from, to) = (load_seconds - whole * hold, load_seconds);
    let ok: u64 = timeline
        .iter()
        .filter(|point| point.t >= from && point.t < to)
        .map(|point| point.ok)
        .sum();
    Some(ok as f64 / (to - from))
}
