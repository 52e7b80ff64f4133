//! The record's JSON: `linger.record/1`. Keys are stable: they are added, never renamed.
//!
//! Seconds are floats in keys that end in `_seconds` (and `t`), microseconds in `_us`, rates per second in
//! `_per_second`. What was not measured is `null` or absent, never zero.

mod closings;
mod connects;
mod environment;
mod exec;
mod kernel;
mod latency;
mod ledger;
mod load;
mod observation;
mod pool;
mod prediction;
mod program;
mod requests;
mod server;
mod sides;
mod steps;
mod time_wait;
mod verdict;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::closings::{
    BothEnds, ClientWaited, ClosedFirst, Closings, Concurrency, ConcurrencyPoint, Openings, TimeWaitExpected,
};
pub use self::connects::{Connects, ConnectsCost, ConnectsFailed, ConnectsTo};
pub use self::environment::{Clock, Environment, SideSysctls};
pub use self::exec::{
    ExecConnections, ExecEnd, ExecEndKind, ExecForecast, ExecForecastOf, ExecPorts, ExecRan, ExecServer,
};
pub use self::kernel::{Counters, Memory, SlabRow};
pub use self::latency::{BriefLatency, ByFillRow, Counts, Distribution, Latencies, Latency};
pub use self::ledger::{Ledger, LedgerRow};
pub use self::load::{Bottleneck, Failed, FillRan, LoadRan, Offered, Outcomes, Rates, TimelinePoint};
pub use self::observation::{LastLook, Looks, Observation};
pub use self::pool::{
    ClosedBy, Occupancy, PeakMean, PoolConnections, PoolPrediction, PoolRan, PoolRequests, RequestLatencies,
    Validations,
};
pub use self::prediction::{Prediction, Residual};
pub use self::program::{ProgramUsed, ServerProgram};
pub use self::requests::Requests;
pub use self::server::{Conversations, ServerSide};
pub use self::sides::{Share, Sides};
pub use self::steps::{Captured, SegmentSeen, StepResult};
pub use self::time_wait::{Overdue, PeakEnd, TimeWait};
pub use self::verdict::{ClaimStatus, ClaimVerdict, Judged, Status, Verdict};

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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Linger {
    pub version: String,
}
