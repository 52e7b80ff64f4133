//! What observing cost, in all and look by look.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What observing cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observation {
    pub cpu_seconds: f64,
    /// CPU seconds of the observer over the time it observed: 0.02 is 2 % of a core.
    pub share_of_core: f64,
    pub sockstat_samples: u64,
    pub socket_dumps: u64,
    /// The longest time between two dumps, in seconds.
    pub longest_gap_seconds: f64,
    /// sock_diag or /proc/net/tcp.
    pub source: String,
    /// What the looks cost, by kind: `sockstat`, `listing of what waits` (TIME_WAIT and FIN_WAIT2), `listing of what
    /// moves` (neither TIME_WAIT nor a listener), `listing of all`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub looks: BTreeMap<String, Looks>,
    /// The look that gave the `end` values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_look: Option<LastLook>,
    /// The first look that failed; absent when none did. What was observed is then incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Looks of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Looks {
    pub count: u64,
    /// Sockets that they listed, added up.
    pub sockets: u64,
    pub cpu_seconds: f64,
}

/// The look at the load's end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LastLook {
    /// `listing`: each socket was listed. `counts`: that would have cost more than observing may; TIME_WAIT is what
    /// sockstat counts, less the FIN_WAIT2 mini-sockets that were listed, and the client's ports are the last listing's.
    pub by: String,
    /// Sockets of both sides that it counted.
    pub sockets: u64,
    pub cpu_seconds: f64,
}
