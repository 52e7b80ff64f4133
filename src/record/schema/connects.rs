//! What connect() gave a program that was not changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Latency;

/// connect(2) of a foreign program's TCP sockets, its children's included.
///
/// `attempts = ok + failed (all) + failed_later + unknown + connecting_at_end`. An attempt is one connection tried: a
/// further call on a socket that is already connecting is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connects {
    /// `notify` (seccomp user notification) or `trace` (ptrace); null where the calls were not observed.
    pub way: Option<String>,
    /// Why they were not, or not in the better way, and what else the figures lack; a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    pub attempts: u64,
    pub ok: u64,
    /// By the errno that the program got, most frequent first.
    pub failed: Vec<ConnectsFailed>,
    /// Failed after connect() had answered EINPROGRESS: the program learns the errno by SO_ERROR, which nobody else can
    /// read without taking it away.
    pub failed_later: u64,
    /// Neither an established connection nor a failure was seen before the socket was gone, or the attempt could not be
    /// followed.
    pub unknown: u64,
    pub connecting_at_end: u64,
    /// Calls on sockets that were connecting or connected already: no attempts.
    pub repeated_calls: u64,
    /// Calls on other than TCP sockets, and such as no TCP connection could come of (bad descriptor, AF_UNSPEC).
    pub other_calls: u64,
    /// The call itself, of attempts whose call answered at once or within a few milliseconds. `notify`: the call as made
    /// in the program's place; `trace`: as the program made it, with the tracer's two stops in it.
    pub call: Option<Latency>,
    /// The most frequent first.
    pub destinations: Vec<ConnectsTo>,
    /// Attempts to destinations that found no place in that list.
    pub other_destinations: u64,
    pub cost: ConnectsCost,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectsFailed {
    /// The errno's symbol.
    pub errno: String,
    pub count: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectsTo {
    pub destination: String,
    pub attempts: u64,
    /// Of these, those that are known to have failed.
    pub failed: u64,
}

/// What observing cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectsCost {
    /// Times that the program was stopped.
    pub stops: u64,
    /// How long it stood still in them beyond the calls themselves, over all its threads.
    pub stopped_seconds: f64,
    /// CPU time of the observing threads, the calls made in the program's place included.
    pub cpu_seconds: f64,
}
