//! What `linger exec` ran, how it ended, and what it did to connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A program of somebody else's that ran in the lab's client namespace. What its connections did is in `closings`,
/// `server`, `time_wait` and `counters`; here is what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecRan {
    /// The program and its arguments.
    pub command: Vec<String>,
    pub server: ExecServer,
    pub ended: ExecEnd,
    /// From the program's start to its own end.
    pub seconds: f64,
    /// Of the program and all that it started, user and system.
    pub cpu_seconds: f64,
    /// Processes that were still alive when the program had ended, or when its time was over, and were killed.
    pub left_behind: u32,
    pub connections: ExecConnections,
    pub ports: ExecPorts,
    /// What this churn comes to if it goes on; absent where no connection was opened, and where too few were opened in the
    /// place of others for a rate: fewer than ten, as of a pool that opens its connections and keeps them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ExecForecast>,
    /// What is not known, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<String>,
    /// What could not be arranged for the program, and what it shall be known of its end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What the program talked to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecServer {
    /// Address and port.
    pub address: String,
    /// `none` where the server is a real one whose protocol was not told.
    pub protocol: String,
    /// The real server's command line; absent where the server is the built-in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How a real server ended that ended before it was told to, or would not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// How the program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecEnd {
    pub kind: ExecEndKind,
    /// Its exit code; with kind `exit` only.
    pub code: Option<i32>,
    /// Such as `SIGSEGV`; with kind `signal` only.
    pub signal: Option<String>,
    /// Whether --timeout ended it.
    pub timed_out: bool,
    /// Why it did not start; with kind `not-started` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExecEndKind {
    Exit,
    Signal,
    /// There is no such program, or it cannot be executed.
    NotStarted,
    /// Something outside of the lab killed it with all that it had started.
    Lost,
}

/// The program's connections to the lab's server; null where this kernel lacks a counter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecConnections {
    /// Connections that were established: those whose SYN-ACK was seen on the wire (`closings.established`). Where the wire
    /// was not seen, or not whole: the client's ActiveOpens less AttemptFails and less connections that the program made to
    /// itself (the client's PassiveOpens); attempts that the program gave up while nothing answered then count as opened.
    pub opened: Option<u64>,
    /// The server's PassiveOpens.
    pub accepted: Option<u64>,
    /// SYNs sent that did not come to a connection: AttemptFails.
    pub failed: Option<u64>,
    /// `opened` over the time from the program's start to its end, pauses and all.
    pub opened_per_second: Option<f64>,
    /// From the first connection that was established to the last, as seen on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_seconds: Option<f64>,
    /// The rate while it opened them: those after the first, over `opening_seconds`; absent with fewer than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening_per_second: Option<f64>,
    /// Requests that the built-in server answered, without those about the connection itself
    /// (`server.conversations.setup`); absent with a real server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// `requests` over the time from the program's start to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<f64>,
    /// The churn ratio, `opened` over `requests`: 1 is a connection a request, near 0 are connections that are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request: Option<f64>,
    /// The share of established connections on which the client's FIN was first, or crossed the server's: of each its port
    /// stays in TIME_WAIT.
    pub client_first_share: Option<f64>,
    /// What told who closed first: `packets` or `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
}

/// Ports of the client against its range.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecPorts {
    /// Usable for one source and one destination.
    pub usable: u64,
    /// Held by TIME_WAIT when the program had ended.
    pub held_at_end: u64,
    /// The most that were taken at one time, by connections and TIME_WAIT together (`closings.client_taken_peak`), and no
    /// more than there are four-tuples.
    pub peak_at_most: Option<u64>,
    /// `peak_at_most` over `usable`.
    pub share_at_most: Option<f64>,
    /// connect() calls that found no port (EADDRNOTAVAIL): the ports were used up in this run. Absent where the calls were
    /// not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_found: Option<u64>,
}

/// What the observed churn comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExecForecast {
    /// Connections a second whose ports stay in TIME_WAIT on the client: the rate that `of` says × `client_first_share`.
    pub holding_per_second: f64,
    /// Which rate it is; absent in older records, whose rate is that of the program's whole life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ExecForecastOf>,
    /// The time over which that rate was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_seconds: Option<f64>,
    /// Connections a second that one source can keep opening to one destination, where the client holds the share of them
    /// that was seen; null where nothing keeps ports, or next to nothing: fewer than ten of them, or less than 1 %.
    pub ceiling_per_second: Option<f64>,
    /// When the ports are used up if this goes on, from the first of these connections; null where they never are. In this
    /// run they were where `exec.ports.not_found` is not 0.
    pub exhausted_after_seconds: Option<f64>,
}

/// Which rate a forecast goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExecForecastOf {
    /// Of the connections that were established after the first of all had ended, from the first of these to the last.
    Replacements,
    /// Of all, over the program's whole life: the wire was not seen.
    WholeLife,
}
