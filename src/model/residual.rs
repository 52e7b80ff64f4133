//! What reality added to the prediction.

use crate::record::schema::{Outcomes, Prediction, Residual, TimelinePoint};

/// Failures by which the kernel says that no port is left.
const OUT_OF_PORTS: [(&str, &str); 2] = [("connect", "EADDRNOTAVAIL"), ("bind", "EADDRINUSE")];

/// Measured less predicted, where both are there. `churn_per_second` is a pool's.
#[must_use]
pub fn residual(
    prediction: &Prediction,
    outcomes: &Outcomes,
    timeline: &[TimelinePoint],
    load_seconds: f64,
    churn_per_second: Option<f64>,
) -> Residual {
    let first = outcomes
        .failed
        .iter()
        .find(|failed| OUT_OF_PORTS.contains(&(failed.phase.as_str(), failed.errno.as_str())));
    let attempt = first.map(|failed| failed.first_attempt);
    // Successes are the capacity where ports ran out and none came back meanwhile.
    let exhausted = first.is_some() && load_seconds < prediction.hold_seconds;
    Residual {
        capacity: prediction
            .capacity
            .filter(|_| exhausted)
            .map(|capacity| signed(outcomes.ok) - signed(capacity)),
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
        churn_per_second: prediction
            .pool
            .as_ref()
            .and_then(|pool| pool.churn_per_second)
            .zip(churn_per_second)
            .map(|(predicted, measured)| measured - predicted),
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Successful connections a second over whole hold times at the load's end, the first hold time left out; None when the
/// load was shorter than two of them, or the timeline too coarse for a hold time.
fn sustained(timeline: &[TimelinePoint], hold: f64, load_seconds: f64) -> Option<f64> {
    let interval = timeline.get(1)?.t - timeline[0].t;
    let whole = (load_seconds / hold).floor() - 1.0;
    if hold < 20.0 * interval || whole < 1.0 {
        return None;
    }
    // Whole intervals only: what a hold time's end cuts off is at most a twentieth of it.
    let last = (load_seconds / interval).floor() as usize;
    let first = last.checked_sub((whole * hold / interval).round() as usize)?;
    let window = timeline.get(first..last)?;
    let ok: u64 = window.iter().map(|point| point.ok).sum();
    Some(ok as f64 / (window.len() as f64 * interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(ok: impl Fn(usize) -> u64, count: usize, interval: f64) -> Vec<TimelinePoint> {
        let point = |index: usize| TimelinePoint {
            t: index as f64 * interval,
            ok: ok(index),
            failed: Default::default(),
            time_wait_client: None,
            time_wait_server: None,
            open: None,
            p99_us: None,
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn the_sustained_rate_is_that_of_whole_hold_times() {
        // 1000 ports taken in the first tenth of each 60 s, over 190 s: 1000 / 60 = 16.7 a second.
        let bursts = timeline(|index| if index % 60 < 6 { 167 } else { 0 }, 190, 1.0);
        let measured = sustained(&bursts, 60.0, 190.0).unwrap();
        assert!((measured - 1002.0 / 60.0).abs() < 0.01, "{measured}");
    }

    #[test]
    fn a_hold_time_shorter_than_the_timeline_can_tell_gives_no_sustained_rate() {
        assert_eq!(sustained(&timeline(|_| 10, 30, 0.1), 1.0, 3.0), None);
        assert_eq!(
            sustained(&timeline(|_| 10, 100, 1.0), 60.0, 100.0),
            None,
            "one hold time only"
        );
        assert_eq!(sustained(&[], 60.0, 300.0), None);
    }
}
