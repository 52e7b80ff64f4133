//! The record's JSON: `linger.record/1`. Keys are stable: they are added, never renamed.
//!
//! Seconds are floats in keys that end in `_seconds` (and `t`), microseconds in `_us`, rates per second in
//! `_per_second`. What was not measured is `null` or absent, never zero.

mod closings;
mod connects;
mod exec;
mod looks;
mod pool;
mod program;
mod requests;
mod sides;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::closings::{
    BothEnds, ClientWaited, ClosedFirst, Closings, Concurrency, ConcurrencyPoint, TimeWaitExpected,
};
pub use self::connects::{Connects, ConnectsCost, ConnectsFailed, ConnectsTo};
pub use self::exec::{ExecConnections, ExecEnd, ExecEndKind, ExecForecast, ExecPorts, ExecRan, ExecServer};
pub use self::looks::{LastLook, Looks};
pub use self::pool::{
    ClosedBy, Occupancy, PeakMean, PoolConnections, PoolPrediction, PoolRan, PoolRequests, RequestLatencies,
    Validations,
};
pub use self::program::ServerProgram;
pub use self::requests::Requests;
pub use self::sides::{Share, Sides};

/// The `schema` key of every record.
pub const SCHEMA: &str = "linger.record/1";

/// What one trial measured.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Always `linger.record/1`.
    pub schema: String,
    pub linger: Linger,
    /// When the trial began, RFC 3339, UTC.
    pub started_at: String,
    /// How long the trial took, the making of its lab included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_seconds: Option<f64>,
    /// The resolved plan: every default filled in.
    pub scenario: Value,
    /// The matrix cell: dotted key → value.
    pub cell: BTreeMap<String, Value>,
    /// Counts from 1.
    pub repeat: u32,
    /// Whether the user ended the trial before its time; what was measured till then is kept.
    #[serde(default)]
    pub interrupted: bool,
    pub environment: Environment,
    /// Absent when the trial was unavailable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub residual: Option<Residual>,
    /// How the load was run; absent in records of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<LoadRan>,
    /// What `[fill]` made before the load; absent without one. The ledger, the counters, TIME_WAIT and `slab` hold it too,
    /// every other figure is the load's alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<FillRan>,
    /// Of a load of kind `pool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolRan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offered: Option<Offered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcomes: Option<Outcomes>,
    /// Absent with protocols `none` and `echo`, which have no messages but bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Requests>,
    /// What the built-in server counted; absent where nobody listened, or a program of somebody else's did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerSide>,
    /// The server that served in place of the built-in one; with server.exec only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_program: Option<ServerProgram>,
    /// A program of somebody else's that ran in the lab, instead of a load; records of `linger exec` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<ExecRan>,
    /// Who closed each connection, and how, as seen on the wire; absent where nobody watched it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closings: Option<Closings>,
    /// What connect() gave the program; absent where the calls were not observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connects: Option<Connects>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latencies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<Rates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_wait: Option<TimeWait>,
    /// Time from a close to the next successful connection on the same four-tuple; with observe.tuples only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_reuse_seconds: Option<Distribution>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slab: Option<Vec<SlabRow>>,
    /// What TIME_WAIT should have cost by the sizes of the kernel's objects, and what their caches grew by; absent where
    /// slabinfo cannot be read (root only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observation: Option<Observation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub timeline: Vec<TimelinePoint>,
    /// A sequence's steps, those that were not done included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepResult>,
    /// What the steps that have a name (`as`) found, by that name: `outcome`, `took_seconds`, and by kind of step `bytes`,
    /// `text`, `port`, `connect_seconds`, `from`, `state`, `expires_seconds`, `count`, `flags`, `seq`, `ack`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub captured: BTreeMap<String, Captured>,
    /// The first segments of a sequence as the server's side saw them, those that a filter lost there included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentSeen>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    pub verdict: Verdict,
    /// What all of the scenario's records say of its claim; on the record of the trial that ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimVerdict>,
}

/// What one step of a sequence found.
pub type Captured = BTreeMap<String, Value>;

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepResult {
    /// Counts from 1.
    pub number: usize,
    /// File and line.
    pub at: String,
    /// What it does, in words.
    pub does: String,
    /// Empty where it was not done.
    pub expected: String,
    /// Absent where it was not done, because a step before it was not met or the user wanted to stop.
    pub actual: Option<String>,
    /// `met` or `unmet`; absent where it was not done.
    pub status: Option<Status>,
    /// Since the sequence began.
    pub began_seconds: Option<f64>,
    pub took_seconds: Option<f64>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentSeen {
    /// The step during which it was seen.
    pub step: usize,
    pub from: String,
    pub to: String,
    /// Such as `SYN ACK`.
    pub flags: String,
    pub seq: u32,
    /// With flag ACK only.
    pub ack: Option<u32>,
    /// Payload.
    pub bytes: usize,
    /// TSval; absent without the option.
    pub timestamp: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Linger {
    pub version: String,
}

/// Where the trial ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The kernel's release, as `uname -r`.
    pub kernel: String,
    /// The hardware's name, as `uname -m`.
    pub machine: String,
    pub cpus: u32,
    /// How the lab was made, such as `pair, user namespace`.
    pub lab: String,
    /// Whether the kernel runs on a virtual machine; null when it could not be told.
    pub virtual_machine: Option<bool>,
    /// Timer ticks per second.
    pub hz: Option<u32>,
    /// What the clocks follow; `real` in records that lack it.
    #[serde(default)]
    pub clock: Clock,
    /// Whether instructions were executed by an emulator: times are then the emulator's, and not to be compared with
    /// real ones. False in records that lack it.
    #[serde(default)]
    pub emulated: bool,
    /// Effective values, read back in each side's namespace.
    pub sysctl: SideSysctls,
}

/// What the clocks of a trial follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// The world's time.
    #[default]
    Real,
    /// Emulated instructions: one nanosecond each, and idle time is skipped.
    Virtual,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SideSysctls {
    pub client: BTreeMap<String, String>,
    pub server: BTreeMap<String, String>,
    /// Those that this kernel has once for the whole machine and that were set there (booted kernels only).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub global: Vec<String>,
}

/// What the model says before the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// Ports that connect() can choose from for one source and one destination.
    pub usable_ports: u64,
    /// Usable four-tuples over all sources and destinations; null where nothing keeps them taken (no limit), or where
    /// `undetermined` says that nobody can tell.
    pub capacity: Option<u64>,
    /// How long one four-tuple stays taken by a connection: held open plus TIME_WAIT.
    pub hold_seconds: f64,
    /// New connections a second that can be kept up; null where ports do not limit it.
    pub sustained_per_second: Option<f64>,
    /// When the first attempt fails, in seconds since the load began; null where none does or the rate is not set.
    pub first_failure_at: Option<f64>,
    /// The ordinal of the first attempt that fails, from 1; null where none does.
    pub first_failure_attempt: Option<u64>,
    /// Why a limit can be neither predicted nor excluded (close mode `quit-close`); absent where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undetermined: Option<String>,
    /// Of a pool; absent with a load of connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolPrediction>,
    /// Why: the steps of the derivation, a sentence each.
    pub because: Vec<String>,
}

/// What reality added to the prediction: measured less predicted; null where there was nothing to compare.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Residual {
    pub capacity: Option<i64>,
    pub first_failure_seconds: Option<f64>,
    pub first_failure_attempt: Option<i64>,
    pub sustained_per_second: Option<f64>,
    /// Of a pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn_per_second: Option<f64>,
}

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
    /// Of these, those answered with the protocol's error because of server.error_rate.
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
    /// From the last byte that was said to the peer's FIN, or to the server's decision to close.
    pub idle_before_close: Option<Latency>,
}

/// A distribution of counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    pub count: u64,
    pub mean: f64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub max: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    /// connect(), from the call to the established connection, of those that succeeded.
    pub connect: Option<Latency>,
    /// The connect() call itself, whatever it gave: where the port search's time goes.
    pub connect_call: Option<Latency>,
    /// The same by how full the destination was when it was called, in steps of 5 %: only steps that a call fell into.
    /// Absent where that cannot be known: it is the load's own count of four-tuples that it took and no TIME_WAIT can have
    /// given back (client closes first with FIN, no reuse, the load's first 50 s, one thread a destination, engine epoll).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connect_call_by_fill: Vec<ByFillRow>,
    /// From connect() to the end of close().
    pub session: Option<Latency>,
    /// From the intended start to the established connection; absent with arrival `max`, which intends none.
    pub from_intended_start: Option<Latency>,
    /// connect() of those that failed.
    pub connect_failed: Option<Latency>,
    /// How late attempts were begun, against their intended start.
    pub lag: Option<Latency>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    /// HdrHistogram V2 compressed, base64; its values are nanoseconds.
    pub hdr: String,
}

/// connect() calls that found so much of the destination's usable four-tuples taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ByFillRow {
    /// From this share (inclusive, 0 to 0.95) to that (exclusive); the last row is 1 to 1: every four-tuple is taken.
    pub from: f64,
    pub to: f64,
    /// Of calls whose attempt connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ok: Option<BriefLatency>,
    /// Of calls whose attempt failed to connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<BriefLatency>,
    /// Those of `ok` that got an even local port, and an odd one; with observe.tuples only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub even: Option<BriefLatency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub odd: Option<BriefLatency>,
}

/// A latency in few figures, to two significant digits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BriefLatency {
    pub count: u64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
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

/// A distribution in seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    pub count: u64,
    pub min: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    /// What the largest value is at least: values are measured from above, here from below. Lifetimes only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_at_least: Option<f64>,
    /// How far a single value may be above the truth: the longest gap between two looks.
    pub resolution_seconds: f64,
}

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
    /// Of both sides' TIME_WAIT and orphaned FIN_WAIT2 in the last dump, and of the client's ports in it.
    pub predicted_bytes: u64,
    /// What the caches of such sockets and of ports grew by, for the whole machine; less than 0 where they shrank.
    pub measured_bytes: i64,
}

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

/// The books: what we counted against what the kernel counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ledger {
    /// Whether every row that could be checked balances.
    pub balanced: bool,
    pub rows: Vec<LedgerRow>,
    /// What was still under way when the books were made up, so that they are not of one moment; absent when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsettled: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerRow {
    /// What is reconciled, such as `client opens`.
    pub name: String,
    /// What linger counted, and how it is summed.
    pub ours: i64,
    pub ours_is: String,
    /// What the kernel counted; null when this kernel has no such counter.
    pub kernel: Option<i64>,
    pub kernel_is: String,
    /// Differences up to this are explained by `note`.
    pub tolerance: i64,
    pub balanced: bool,
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Every expectation that applies holds.
    Met,
    /// One does not.
    Unmet,
    /// Something needed for the judgement was not measured, or the books do not balance.
    Inconclusive,
    /// The lab could not be made as asked.
    Unavailable,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    pub status: Status,
    /// Why, where it is not `met`: what was missing or forbidden, and what would mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    pub expectations: Vec<Judged>,
}

/// The verdict on a scenario's claim, which is another thing than the expectations': a false claim is refuted, and where
/// the kernel does what it is known to do the expectations are met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimVerdict {
    pub status: ClaimStatus,
    /// What this kernel did.
    pub figure: Option<String>,
    /// Why the claim could not be judged, or its figure not be told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimStatus {
    Holds,
    Refuted,
    /// A lab that it takes could not be made.
    Unavailable,
    /// A trial is missing, was interrupted, or measured nothing that can be judged.
    Inconclusive,
}

/// One expectation, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Judged {
    pub that: String,
    /// File, line and key.
    pub at: String,
    /// `met`, `unmet`, `inconclusive`; absent when it does not apply here.
    pub status: Option<Status>,
    /// What was expected, evaluated: the right side of a comparison, such as `28232`.
    pub expected: Option<String>,
    /// What was found, evaluated: the left side, such as `28231`.
    pub actual: Option<String>,
    /// Why it was inconclusive, or does not apply.
    pub note: Option<String>,
}
