//! Sums a pool's books up into the record's `pool`.

use super::load::failures;
use crate::load::pool::PoolBooks;
use crate::record::schema::{PoolConnections, PoolRan, PoolRequests, RequestLatencies};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Arrival;

/// Connections closed a second until the last request had ended.
pub(super) fn churn_per_second(books: &PoolBooks) -> f64 {
    per_second(books.closed.during_load(), books)
}

fn per_second(count: u64, books: &PoolBooks) -> f64 {
    match books.ended_at {
        0 => 0.0,
        nanos => count as f64 / (nanos as f64 / 1e9),
    }
}

pub(super) fn ran(plan: &TrialPlan, books: &PoolBooks) -> PoolRan {
    let requests = &books.requests;
    let timeout = (
        crate::record::tally::Phase::Borrow,
        crate::record::tally::Cause::LingerTimeout,
    );
    PoolRan {
        requests: PoolRequests {
            planned: plan.load.planned(),
            attempted: requests.attempted,
            not_offered: books.not_offered,
            ok: requests.ok,
            failed_total: requests.failed(),
            borrow_timeouts: requests.count(timeout.0, timeout.1),
            failed: failures(requests),
            ok_per_second: per_second(requests.ok, books),
        },
        latency: RequestLatencies {
            borrow_wait: books.borrow_wait.summary(),
            request: books.request.summary(),
            from_intended_start: books.from_intended_start.summary(),
            lag: books.lag.summary().filter(|_| plan.load.arrival != Arrival::Max),
        },
        connections: PoolConnections {
            opened: books.opened,
            open_failed: books.open_failed,
            closed: books.closed,
        },
        churn_ratio: (requests.attempted > 0).then(|| books.opened as f64 / requests.attempted as f64),
        churn_per_second: churn_per_second(books),
        requests_per_connection: books.requests_per_connection.summary(),
        occupancy: books.occupancy(),
        validation: books.validation,
    }
}
