//! The steps of a sequence: what a scenario says of an order of events, `[[step]]` by `[[step]]`.
//!
//! Doc comments here become the schema's descriptions. A step's table says all that will be done once serde has filled
//! its defaults in, so that what is parsed and what runs are one type here; only the choice of the kind differs, a
//! table of optional keys in the file ([`Step`]) and an enum in the plan ([`Action`]).
//!
//! Connections and listeners have names. An end of a connection is `NAME.client` or `NAME.server`.

mod segments;
mod words;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{ID_PATTERN, Span, SysctlValue};
use crate::tcp::CloseMode;

pub use segments::{AwaitSegment, Inject, Lose, Replay, Undrop};
pub(super) use words::{END_PATTERN, OUTCOME_PATTERN};
pub use words::{End, EndState, Flag, Outcome, SideName};

/// How long an await lasts at most where the step does not say.
pub const WITHIN: Duration = Duration::from_secs(10);

/// Defines the kinds of steps once, as keys of a table and as variants of an enum.
macro_rules! kinds {
    ($($(#[$doc:meta])* $key:ident => $kind:ident($arguments:ty),)+) => {
        /// One step; exactly one kind a step.
        #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Step {
            /// Keeps what the step found as `captured.NAME` of the record: its outcome, how long it took, and more by kind.
            #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
            #[schemars(regex(pattern = NAME_PATTERN))]
            pub named: Option<String>,
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $key: Option<$arguments>,)+
        }

        /// What a step does.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $($(#[$doc])* $kind($arguments),)+
        }

        impl Step {
            /// The step's one kind; None where there is none.
            #[must_use]
            pub fn action(self) -> Option<Action> {
                $(if let Some(arguments) = self.$key { return Some(Action::$kind(arguments)); })+
                None
            }
        }

        impl Action {
            /// Every kind's key.
            pub const KINDS: &'static [&'static str] = &[$(stringify!($key)),+];

            /// The key that names the kind in a file.
            #[must_use]
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$kind(_) => stringify!($key),)+ }
            }
        }
    };
}

/// Names of facts are CEL's, so that `captured.NAME` can be written.
pub(super) const NAME_PATTERN: &str = "^[a-z][a-z0-9_]*$";

kinds! {
    /// The server side listens.
    listen => Listen(Listen),
    /// A listener is closed, and with it what it has not accepted.
    stop_listening => StopListening(StopListening),
    /// The client side connects and waits for the outcome.
    connect => Connect(Connect),
    /// The client side begins to connect and leaves it hanging.
    start_connect => StartConnect(Connect),
    /// The outcome of a connect that was left hanging.
    await_connect => AwaitConnect(AwaitConnect),
    /// The server side accepts the next connection of a listener.
    accept => Accept(Accept),
    /// An end sends.
    send => Send(SendBytes),
    /// An end receives up to the bytes that are asked for, the end of the stream or an error.
    recv => Recv(Recv),
    /// An end sends while the other receives, as one that keeps up.
    transfer => Transfer(Transfer),
    /// An end sends FIN and stays open: shutdown(SHUT_WR).
    shutdown => Shutdown(Shutdown),
    /// An end closes; how long close() took is kept.
    close => Close(CloseEnd),
    /// Segments that come to an end are lost from now on: a classic BPF filter on its socket, which stays with an orphan.
    drop => Drop(Lose),
    /// Segments are lost no longer. An end that is closed has no socket to take the filter off.
    undrop => Undrop(Undrop),
    /// The state of an end now, by sock_diag.
    expect_state => ExpectState(StateOf),
    /// Waits until an end is in a state, by sock_diag.
    await_state => AwaitState(StateOf),
    /// What a counter of the kernel has grown by, now.
    expect_counter => ExpectCounter(Counter),
    /// Waits until a counter of the kernel has grown.
    await_counter => AwaitCounter(Counter),
    /// Names a moment from which counters are counted.
    mark => Mark(Mark),
    /// A crafted segment is sent to an end as if its peer had sent it, from a raw socket on the peer's side.
    inject => Inject(Inject),
    /// A captured segment is sent again.
    replay => Replay(Replay),
    /// Waits for a segment that an end has sent since the last inject or replay.
    await_segment => AwaitSegment(AwaitSegment),
    /// Sets a sysctl in mid-run.
    sysctl => Sysctl(SetSysctl),
    /// Lets time pass, where time is what is asked about.
    wait => Wait(Wait),
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The listener's name (default `main`).
    #[serde(default = "main_listener")]
    #[schemars(regex(pattern = ID_PATTERN))]
    pub listener: String,
    /// Default 7000.
    #[serde(default = "server_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Which of server.addresses, from 1 (default 1).
    #[serde(default = "first")]
    #[schemars(range(min = 1, max = 4096))]
    pub address: u32,
    /// listen()'s backlog (default 4096).
    #[serde(default = "backlog")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub backlog: u32,
    /// SO_REUSEADDR, set before bind() (default false, as the kernel's).
    #[serde(default)]
    pub reuse_address: bool,
    /// Default `ok`.
    #[serde(default)]
    pub expect: Outcome,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StopListening {
    /// Default `main`.
    #[serde(default = "main_listener")]
    #[schemars(regex(pattern = ID_PATTERN))]
    pub listener: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The new connection's name; its end is `NAME.client`.
    #[schemars(regex(pattern = ID_PATTERN))]
    pub connection: String,
    /// The server's port (default 7000).
    #[serde(default = "server_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Which of server.addresses, from 1 (default 1).
    #[serde(default = "first")]
    #[schemars(range(min = 1, max = 4096))]
    pub address: u32,
    /// The source port, bound before connect(); 0, the default, leaves it to connect().
    #[serde(default)]
    pub from_port: u16,
    /// Which of client.addresses to bind, from 1; 0, the default, binds none.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4096))]
    pub from_address: u32,
    /// IP_LOCAL_PORT_RANGE of the socket, `LOW HIGH` (Linux 6.3): connect() chooses within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_range: Option<String>,
    /// SO_REUSEADDR, set before bind() (default false, as the kernel's).
    #[serde(default)]
    pub reuse_address: bool,
    /// Default `ok`.
    #[serde(default)]
    pub expect: Outcome,
    /// How long to wait for the outcome (default 10s).
    #[serde(default = "within")]
    pub within: Span,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwaitConnect {
    #[schemars(regex(pattern = ID_PATTERN))]
    pub connection: String,
    /// Default `ok`.
    #[serde(default)]
    pub expect: Outcome,
    /// How long to wait for the outcome (default 10s).
    #[serde(default = "within")]
    pub within: Span,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// The connection whose other end is accepted: `NAME.server`.
    #[schemars(regex(pattern = ID_PATTERN))]
    pub connection: String,
    /// Default `main`.
    #[serde(default = "main_listener")]
    #[schemars(regex(pattern = ID_PATTERN))]
    pub listener: String,
    /// Default 10s.
    #[serde(default = "within")]
    pub within: Span,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendBytes {
    pub end: End,
    /// What is sent.
    pub text: Option<String>,
    /// How many bytes are sent instead of a text; 0 sends until nothing moves: the send buffer is full, and the last that the
    /// peer has said is that it takes no more (a window of 0).
    #[schemars(range(min = 0, max = 1_073_741_824))]
    pub bytes: Option<u64>,
    /// Default `ok`.
    #[serde(default)]
    pub expect: Outcome,
    /// How long to wait for room in the send buffer (default 10s).
    #[serde(default = "within")]
    pub within: Span,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recv {
    pub end: End,
    /// What is to come.
    pub text: Option<String>,
    /// How many bytes are to come, whatever they are.
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub bytes: Option<u64>,
    /// `ok`, the default: the bytes came; `eof`: the stream's end; an errno; `any`.
    #[serde(default)]
    pub expect: Outcome,
    /// Default 10s.
    #[serde(default = "within")]
    pub within: Span,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    pub from: End,
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub bytes: u64,
    /// Go on until this many bytes are sent more than the clock of initial sequence numbers has counted since connect():
    /// one each 64 ns.
    #[schemars(range(min = 0, max = 1_073_741_824))]
    pub ahead_of_clock: Option<u64>,
    /// Whether the other end sends as much back, 24 KiB behind (default false).
    #[serde(default)]
    pub answered: bool,
    /// Default 10s.
    #[serde(default = "within")]
    pub within: Span,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    pub end: End,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseEnd {
    pub end: End,
    /// `graceful`, `abortive` or `lingering`.
    pub mode: CloseMode,
    /// SO_LINGER's time for mode `lingering`.
    #[schemars(range(min = 1, max = 3600))]
    pub linger_seconds: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateOf {
    pub end: End,
    pub state: EndState,
    /// The least that its timer has left.
    pub expires_at_least: Option<Span>,
    /// The most that its timer has left.
    pub expires_at_most: Option<Span>,
    /// How long to wait for it; with await_state only (default 10s).
    pub within: Option<Span>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    pub side: SideName,
    /// A name of /proc/net/snmp or netstat, such as `TWRecycled`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What it has grown by, exactly.
    pub is: Option<i64>,
    pub at_least: Option<i64>,
    pub at_most: Option<i64>,
    /// Counted from this mark (default: from the first step).
    pub since: Option<String>,
    /// How long to wait for it; with await_counter only (default 10s).
    pub within: Option<Span>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The moment's name.
    #[schemars(length(min = 1))]
    pub moment: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetSysctl {
    pub side: SideName,
    #[schemars(length(min = 1))]
    pub name: String,
    pub value: SysctlValue,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    pub time: Span,
}

fn main_listener() -> String {
    "main".to_owned()
}

fn server_port() -> u16 {
    7000
}

fn first() -> u32 {
    1
}

fn backlog() -> u32 {
    4096
}

fn within() -> Span {
    Span(WITHIN)
}
