//! What the built-in server counted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counts, Latency};

/// What the built-in server counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerSide {
    pub accepted: u64,
    /// Connections whose peer's FIN came before our close.
    pub closed_by_peer: u64,
    /// Connections that we closed first.
    pub closed_first: u64,
    /// Connections ended by the peer's RST.
    pub reset_by_peer: u64,
    /// accept() failures by errno.
    pub accept_failed: BTreeMap<String, u64>,
    /// Connections still open when the trial ended.
    pub open_at_end: u64,
    pub bytes_received: u64,
    pub bytes_sent: u64,
    /// What was said, where the server understands what it is told; absent with protocol `none`, and with `echo` that is
    /// but counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversations: Option<Conversations>,
}

/// What was said over the built-in server's connections. Of connections that have ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Conversations {
    /// Requests answered, those of `setup` left out.
    pub requests: u64,
    /// Messages answered that are about the connection and no requests: what a client says to find its way about (`SET
    /// NAMES`, `CLIENT SETINFO`) and pings. Absent in older records, where `requests` counts them too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<u64>,
    /// Of `requests`, those answered with the protocol's error: because of server.error_rate, or because the built-in server
    /// does not know what is asked.
    pub errors_answered: u64,
    /// Connections on which the client said the protocol's quit.
    pub quit: u64,
    /// Connections that the server closed because nothing came for server.idle_timeout.
    pub idle_timeout: u64,
    /// Connections that the server closed after the last request that they might make.
    pub max_requests: u64,
    /// Connections that the server closed because what came was not the protocol.
    pub malformed: u64,
    pub requests_per_connection: Option<Counts>,
    /// From accept() to close().
    pub lifetime: Option<Latency>,
    /// From the last byte that was said, but for the protocol's quit, to the peer's FIN, or to the server's decision to close.
    pub idle_before_close: Option<Latency>,
}
