//! What a load of kind `pool` did: its requests, the connections that they took, and how full the pool was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counts, Failed, Latency};

/// A pool's books. With them `offered`, `outcomes`, `latency` and `rates` tell of connections, `timeline` of requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolRan {
    pub requests: PoolRequests,
    pub latency: RequestLatencies,
    pub connections: PoolConnections,
    /// Connections opened ÷ requests begun: 1 without a pool, 0.01 where each connection serves a hundred. Absent without a
    /// request.
    pub churn_ratio: Option<f64>,
    /// Connections closed a second while the load ran, its end left out.
    pub churn_per_second: f64,
    /// Requests tried on each connection, of those that have ended.
    pub requests_per_connection: Option<Counts>,
    pub occupancy: Occupancy,
    pub validation: Validations,
}

/// Requests by what became of them. `ok + failed_total = attempted`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolRequests {
    /// Requests that were due; null where only time bounds the load.
    pub planned: Option<u64>,
    /// Those that asked the pool for a connection.
    pub attempted: u64,
    /// Those that were due and could not ask before the load's end, because in_flight others were under way.
    pub not_offered: u64,
    pub ok: u64,
    pub failed_total: u64,
    /// Those of them that got no connection within pool.borrow_timeout: `borrow:LINGER_TIMEOUT`.
    pub borrow_timeouts: u64,
    /// By kind, earliest first; `borrow` is a phase too, and one whose connection could not be opened fails as that did.
    pub failed: Vec<Failed>,
    pub ok_per_second: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestLatencies {
    /// From asking for a connection to having one, of the requests that got one. Validation, and the opening of a connection
    /// that was waited for, are in it.
    pub borrow_wait: Option<Latency>,
    /// From having the connection to the whole reply, of the requests that ended ok.
    pub request: Option<Latency>,
    /// From the intended start to the whole reply, of the requests that ended ok; with arrival `max` from asking for the
    /// connection.
    pub from_intended_start: Option<Latency>,
    /// How late requests asked; absent with arrival `max`.
    pub lag: Option<Latency>,
}

/// Connections of the pool. `opened` is the sum of those closed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolConnections {
    /// Established, and logged in where the protocol has a login.
    pub opened: u64,
    /// Connections that could not be had.
    pub open_failed: u64,
    pub closed: ClosedBy,
}

/// Why connections were closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedBy {
    /// pool.max_lifetime.
    pub lifetime: u64,
    /// pool.idle_timeout.
    pub idle: u64,
    /// pool.validation found it dead.
    pub validation: u64,
    /// A request on it failed, the server's end apart.
    pub error: u64,
    /// A request on it met the server's FIN or RST, or the reply said that the server closes.
    pub server_closed: u64,
    /// pool.on_return `close`.
    pub on_return: u64,
    /// The load was over.
    pub end: u64,
}

impl ClosedBy {
    /// All but the load's end.
    #[must_use]
    pub fn during_load(&self) -> u64 {
        self.lifetime + self.idle + self.validation + self.error + self.server_closed + self.on_return
    }

    /// All.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.during_load() + self.end
    }
}

/// How full the pool was: at the most, and in the mean over the load's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Occupancy {
    /// Connections open: idle, lent and being validated.
    pub open: PeakMean,
    /// Of these, lent or being validated.
    pub lent: PeakMean,
    /// Requests that waited for a connection.
    pub waiting: PeakMean,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeakMean {
    pub peak: u64,
    pub mean: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Validations {
    pub made: u64,
    pub failed: u64,
}

/// What the model says of a pool before the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolPrediction {
    /// Connections lent in the mean, by Little's law: rate × service time. Null with arrival `max`, and where the plan says
    /// nothing of the service time.
    pub busy: Option<f64>,
    /// Requests a second that the pool can serve: size ÷ service time; null where that is not known.
    pub ceiling_per_second: Option<f64>,
    /// Whether requests come faster than that, so that they wait and in the end time out; null where it is not known.
    pub too_small: Option<bool>,
    /// Connections that are open in the long run; null where it depends on how requests crowd.
    pub open: Option<u64>,
    /// Connections closed, and opened again, a second; null where it is not known.
    pub churn_per_second: Option<f64>,
    /// TIME_WAIT that this churn keeps in the long run, on whichever side closes first.
    pub time_wait_held: Option<f64>,
    /// The share of the client's four-tuples that these are; null where the client does not hold them.
    pub share_of_capacity: Option<f64>,
}
