//! The kernel's own numbers: its counters, and the caches of its objects.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Changes of /proc/net/snmp and /proc/net/netstat over the trial, by `Group.Name` without the group (`ActiveOpens`,
/// `TW`). A counter that the kernel lacks is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    pub client: BTreeMap<String, i64>,
    pub server: BTreeMap<String, i64>,
}

/// A slab cache of the whole machine, before the load and at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlabRow {
    pub cache: String,
    pub object_bytes: u64,
    pub active_before: u64,
    pub active_after: u64,
}

/// Kernel memory of TIME_WAIT sockets and of the ports that they keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Memory {
    /// Of both sides' TIME_WAIT and orphaned FIN_WAIT2 in the last dump, and of the client's ports in it; of the sockets alone
    /// where the last look only counted (observation.last_look.by).
    pub predicted_bytes: u64,
    /// What the caches of such sockets and of ports grew by, for the whole machine; less than 0 where they shrank.
    pub measured_bytes: i64,
}
