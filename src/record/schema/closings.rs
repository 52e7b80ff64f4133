//! What was seen on the wire of who closed each connection, and how.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Latency;

/// Who closed, and how, told from SYN, FIN and RST segments in the client's network namespace.
///
/// `opened = established + refused + unanswered + abandoned`, and `established = closed_first (all five) + open_at_end`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Closings {
    /// Connections that sent a SYN; retransmissions are not counted again.
    pub opened: u64,
    /// Of these, those that the server's SYN-ACK answered: connect() succeeded.
    pub established: u64,
    /// Those that a RST answered: connect() gave ECONNREFUSED.
    pub refused: u64,
    /// Those that nothing answered till the end of the watch (or till the four-tuple was used anew): connect() gave
    /// ETIMEDOUT, was given up by the program, or was still waiting.
    pub unanswered: u64,
    /// Those whose SYN-ACK came when the program had given up: the client's kernel answered it with RST.
    pub abandoned: u64,
    pub syn_retransmissions: u64,
    /// The server's: the client's ACK was lost, or the accept queue was full.
    pub syn_ack_retransmissions: u64,
    pub fin_retransmissions: u64,
    pub closed_first: ClosedFirst,
    pub client_waited: ClientWaited,
    pub reset_after_fin: BothEnds,
    pub time_wait: TimeWaitExpected,
    /// Established connections of which neither end had closed.
    pub open_at_end: u64,
    /// Connections of which one end had sent its FIN and the other nothing.
    pub half_closed_at_end: u64,
    /// From the first SYN to the SYN-ACK.
    pub handshake: Option<Latency>,
    /// From the SYN-ACK to the first FIN or RST.
    pub lifetime: Option<Latency>,
    /// From the first FIN to the other end's FIN, or to a RST.
    pub half_closed: Option<Latency>,
    /// How long the end that closed first had got nothing from its peer, to the millisecond: told by the timestamp that
    /// its FIN or RST echoes (RFC 7323), so that a quit which it says just before does not count. A RST that carries none
    /// is left out; absent without timestamps (`net.ipv4.tcp_timestamps`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_before_close: Option<Latency>,
    /// At what pace connections were established; absent where none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openings: Option<Openings>,
    /// The most four-tuples that the client had taken at one time: by connections, from the SYN on, and by TIME_WAIT, each
    /// for 67.5 s (the longest of any kernel) unless it was replaced. What was given up unseen counts as taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_taken_peak: Option<u64>,
    /// TIME_WAIT sockets of the server that an incoming SYN replaced: no counter of the kernel tells of them.
    #[serde(default)]
    pub server_time_wait_replaced: u64,
    pub concurrency: Concurrency,
    /// Connections to other destinations than those watched, or towards the client; in no other figure.
    pub elsewhere: u64,
    /// FIN and RST segments of connections whose SYN was not seen, or that were over long ago.
    pub strays: u64,
    /// Segments that were looked at.
    pub segments: u64,
    /// Why figures are too low, a sentence each; empty when every connection was followed from SYN to end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

/// Connections by who sent the first FIN or RST, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClosedFirst {
    pub client_fin: u64,
    pub client_rst: u64,
    pub server_fin: u64,
    pub server_rst: u64,
    /// Both ends sent FIN before the other's had come (RFC 9293, 3.6, case 3).
    pub simultaneous: u64,
}

/// Whether the client had got the server's FIN when it sent its own FIN or RST; connections on which it sent one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClientWaited {
    pub yes: u64,
    pub no: u64,
}

/// Connections that one end reset although a FIN had been sent, by the end that sent the RST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BothEnds {
    pub client: u64,
    pub server: u64,
}

/// Established connections that are over, by the end that should hold TIME_WAIT after them (RFC 9293, 3.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeWaitExpected {
    pub client: u64,
    pub server: u64,
    /// After a simultaneous close.
    pub both: u64,
    /// After a RST.
    pub neither: u64,
}

/// At what pace connections were established (SYN-ACK).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Openings {
    /// From the first to the last.
    pub seconds: f64,
    /// Those that came after the first of all had ended: what a pool opens at its start is not among them.
    pub after_first_end: u64,
    /// From the first of these to the last.
    pub after_first_end_seconds: f64,
    /// The most SYNs (retransmissions left out) within `busiest_seconds`.
    pub busiest: u64,
    /// 1 s, or one interval of `concurrency.over_time` where that is longer.
    pub busiest_seconds: f64,
}

/// Established connections that the client had open at once: from the SYN-ACK to its own FIN, or to a RST of either end.
/// What the server closes later does not count: the client needs it no more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Concurrency {
    pub peak: u64,
    /// How long one of `over_time` is.
    pub interval_seconds: f64,
    pub over_time: Vec<ConcurrencyPoint>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConcurrencyPoint {
    /// The interval's beginning, in seconds since the watch's origin.
    pub t: f64,
    /// Connections that sent their SYN in it.
    pub opened: u64,
    /// The most that were open at once in it.
    pub peak: u64,
}
