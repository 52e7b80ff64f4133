//! What single looks at the kernel cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
