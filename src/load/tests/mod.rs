//! The load put to the running kernel: each test in a network namespace of its own, counts compared with arithmetic
//! and with the kernel's own counters.

use std::time::Duration;

use super::Work;
use crate::scenario::plan::{ClientPlan, ClosePlan, LoadPlan};
use crate::scenario::spec::{Arrival, Order, Protocol, Source};
use crate::tcp::{CloseMode, Closer};

/// A plan for tests to vary: ten connections as fast as they go.
pub(super) fn load_plan() -> LoadPlan {
    LoadPlan {
        arrival: Arrival::Max,
        rate: None,
        in_flight: 16,
        connections: Some(10),
        duration: None,
        requests_per_connection: 0,
        request_bytes: 1,
        response_bytes: 1,
        hold: Duration::ZERO,
        connect_timeout: Duration::from_secs(10),
        io_timeout: Duration::from_secs(10),
        seed: 1,
    }
}

/// Work for tests to vary: the client closes gracefully, source and port are connect()'s choice.
pub(super) fn work() -> Work {
    Work {
        load: load_plan(),
        close: ClosePlan {
            closer: Closer::Client,
            mode: CloseMode::Graceful,
            linger_seconds: None,
        },
        client: ClientPlan {
            addresses: 1,
            source: Source::Ephemeral,
            port_range: None,
            order: Order::RoundRobin,
        },
        protocol: Protocol::None,
        sources: vec![[127, 0, 0, 1].into()],
        destinations: vec![([127, 0, 0, 1], 7_000).into()],
        tuples: false,
    }
}
