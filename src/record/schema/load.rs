//! How the load was run, what of it was offered, and what came of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the load was run: what of it the machine, not the plan, decided.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadRan {
    /// The client engine: `epoll` or `uring`. With `uring` connect() is timed from the submission of its batch, and the
    /// call alone is not timed.
    pub engine: String,
    /// With several, `first_attempt` and the order of attempts are exact only within a thread.
    pub client_threads: u32,
    pub server_threads: u32,
    /// How intended starts were waited for: `hybrid` (sleep, then spin) or `timer`; null with arrival `max`.
    pub pacing: Option<String>,
    /// Whether each thread was pinned to a CPU of its own.
    pub pinned: bool,
    /// Whether connect(AF_UNSPEC) sent the RST and one socket made many connections.
    pub descriptor_reused: bool,
    /// How the harness took the source ports that it chose; null where the kernel chose.
    pub source_port: Option<String>,
    /// Client CPU seconds that were spun away until intended starts.
    pub spun_seconds: f64,
    /// What kept the load from its rate; null where the rate was kept or none was set.
    pub bottleneck: Option<Bottleneck>,
}

/// Connections that were made and closed before the load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FillRan {
    pub planned: u64,
    pub ok: u64,
    pub failed_total: u64,
    /// By kind, earliest first; times count from the fill's beginning.
    pub failed: Vec<Failed>,
    /// Server addresses × ports that were filled.
    pub destinations: u64,
    /// TIME_WAIT sockets when the fill had come to rest.
    pub time_wait_client: u64,
    pub time_wait_server: u64,
    /// From the fill's beginning to its rest.
    pub seconds: f64,
}

/// Who was in the way of the load, with what shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bottleneck {
    /// `client-cpu`, `server-cpu`, `port-search`, `ports`, `in-flight` or `unknown`.
    pub who: String,
    /// A sentence each.
    pub evidence: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Offered {
    /// Attempts that were due; null where only time bounds the load.
    pub planned: Option<u64>,
    pub attempted: u64,
    /// Attempts that were due and could not be begun before the load's end.
    pub not_offered: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcomes {
    pub ok: u64,
    /// Failed attempts in all.
    pub failed_total: u64,
    /// Attempts whose connect() succeeded.
    pub connected: u64,
    /// By kind, earliest first.
    pub failed: Vec<Failed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failed {
    /// socket, bind, connect, send, recv or close; of a pool's requests also borrow.
    pub phase: String,
    /// The errno's symbol, or LINGER_TIMEOUT, UNEXPECTED_EOF, CANCELLED.
    pub errno: String,
    pub count: u64,
    pub first_at_seconds: f64,
    /// The ordinal of the first such attempt, from 1.
    pub first_attempt: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// How long the load ran.
    pub load_seconds: f64,
    pub attempts_per_second: f64,
    pub ok_per_second: f64,
    pub client_cpu_seconds: f64,
    pub server_cpu_seconds: f64,
    /// CPU seconds by thread name.
    pub threads: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimelinePoint {
    /// The interval's beginning in seconds since the load began.
    pub t: f64,
    pub ok: u64,
    /// Failures by `phase:ERRNO`.
    #[serde(default)]
    pub failed: BTreeMap<String, u64>,
    pub time_wait_client: Option<u64>,
    pub time_wait_server: Option<u64>,
    /// The most connections that were open at once in the interval; records of `linger exec` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<u64>,
    /// The 99th percentile of connect() in the interval; of a pool, of the requests that ended ok.
    pub p99_us: Option<f64>,
}
