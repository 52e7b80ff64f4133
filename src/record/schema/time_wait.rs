//! TIME_WAIT on both sides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Sides};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TimeWait {
    pub client: PeakEnd,
    pub server: PeakEnd,
    /// Observed lifetimes; with observe.tuples only.
    pub lifetime_seconds: Option<Distribution>,
    /// Who was left with TIME_WAIT, close by close, as the look at the load's end found it. Absent where that cannot be
    /// known: see `no_sides`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<Sides>,
    /// Why there are no `sides`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_sides: Option<String>,
    /// Sockets still there though their timer had reached 0.
    pub overdue: Overdue,
    /// sock_diag or /proc/net/tcp: what told states and timers.
    pub source: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PeakEnd {
    /// The most TIME_WAIT sockets at once.
    pub peak: u64,
    /// TIME_WAIT sockets when the load had ended.
    pub end: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Overdue {
    /// The most at once on the client.
    pub client_peak: u64,
    /// The most at once on the server.
    pub server_peak: u64,
}
