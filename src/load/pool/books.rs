//! A pool's books: each request is entered when it asks for a connection and struck off when it has its reply or has
//! failed; each connection when it is open and when it is closed. Knows no system call. Nothing is allocated after `new`.

use super::core::Why;
use crate::record::histogram::{CountHistogram, LatencyHistogram};
use crate::record::schema::{ClosedBy, Occupancy, PeakMean, Validations};
use crate::record::tally::{Cause, First, Phase, Tally};
use crate::record::timeline::Timeline;

/// What a pool did. Times are nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct PoolBooks {
    /// Requests by outcome.
    pub requests: Tally,
    /// Those of them that failed.
    pub failed: u64,
    /// Requests that were due and could not ask before the load's end.
    pub not_offered: u64,
    /// From asking to having a connection.
    pub borrow_wait: LatencyHistogram,
    /// From having the connection to the reply.
    pub request: LatencyHistogram,
    /// From the intended start (with arrival `max` from asking) to the reply.
    pub from_intended_start: LatencyHistogram,
    /// From the intended start to asking; empty with arrival `max`.
    pub lag: LatencyHistogram,
    pub opened: u64,
    pub open_failed: u64,
    pub closed: ClosedBy,
    /// Requests tried on each connection that was closed.
    pub requests_per_connection: CountHistogram,
    pub validation: Validations,
    /// When the last request had ended.
    pub ended_at: u64,
    open: Level,
    lent: Level,
    waiting: Level,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    ordinal: u64,
    /// The intended start, or with arrival `max` the asking.
    due: u64,
    asked: u64,
    lent: u64,
}

impl PoolBooks {
    /// A request asks for a connection. `due` is its intended start, None with arrival `max`.
    pub(super) fn ask(&mut self, due: Option<u64>, now: u64) -> Request {
        self.requests.attempted += 1;
        if let Some(due) = due {
            self.lag.record(now.saturating_sub(due));
        }
        Request {
            ordinal: self.requests.attempted,
            due: due.unwrap_or(now),
            asked: now,
            lent: now,
        }
    }

    /// The request has a connection.
    pub(super) fn lend(&mut self, request: &mut Request, now: u64) {
        request.lent = now;
        self.borrow_wait.record(now - request.asked);
    }

    /// The whole reply has come.
    pub(super) fn succeed(&mut self, request: &Request, timeline: &mut Timeline, now: u64) {
        self.requests.ok += 1;
        self.request.record(now - request.lent);
        let whole = now.saturating_sub(request.due);
        self.from_intended_start.record(whole);
        timeline.ok(now, whole);
        self.ended_at = now;
    }

    pub(super) fn fail(
        &mut self,
        request: &Request,
        (phase, cause): (Phase, Cause),
        timeline: &mut Timeline,
        now: u64,
    ) {
        let first = First {
            at: now,
            attempt: request.ordinal,
        };
        self.requests.fail(phase, cause, first);
        self.failed += 1;
        timeline.failed(now, phase, cause);
        self.ended_at = now;
    }

    /// A connection on which so many requests were tried is closed.
    pub(super) fn close(&mut self, why: Why, requests: u64) {
        self.requests_per_connection.record(requests);
        let closed = &mut self.closed;
        match why {
            Why::Lifetime => closed.lifetime += 1,
            Why::Idle => closed.idle += 1,
            Why::Validation => closed.validation += 1,
            Why::Error => closed.error += 1,
            Why::ServerClosed => closed.server_closed += 1,
            Why::OnReturn => closed.on_return += 1,
            Why::End => closed.end += 1,
        }
    }

    /// How full the pool is from now on.
    pub(super) fn occupied(&mut self, open: usize, lent: usize, waiting: usize, now: u64) {
        self.open.set(open, now);
        self.lent.set(lent, now);
        self.waiting.set(waiting, now);
    }

    /// At the most, and in the mean from the load's beginning to the last change.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            open: self.open.summary(),
            lent: self.lent.summary(),
            waiting: self.waiting.summary(),
        }
    }
}

/// A number that changes over time, and what it was in the mean.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    value: u64,
    since: u64,
    /// Value × nanoseconds.
    area: u128,
    peak: u64,
}

impl Level {
    fn set(&mut self, value: usize, now: u64) {
        self.area += u128::from(self.value) * u128::from(now.saturating_sub(self.since));
        self.since = now.max(self.since);
        self.value = value as u64;
        self.peak = self.peak.max(self.value);
    }

    fn summary(&self) -> PeakMean {
        let mean = self.area as f64 / self.since as f64;
        PeakMean {
            peak: self.peak,
            mean: if self.since > 0 { mean } else { 0.0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_over_time_and_not_over_changes() {
        let mut level = Level::default();
        for (value, now) in [(4, 10), (0, 20), (1, 90), (0, 100)] {
            level.set(value, now);
        }
        // 4 for 10, 1 for 10, of 100.
        assert_eq!(level.summary(), PeakMean { peak: 4, mean: 0.5 });
        assert_eq!(Level::default().summary(), PeakMean::default());
    }
}
