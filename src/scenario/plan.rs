//! What will run: every default filled in, every cell of the matrix and every repeat a trial of its own.
//!
//! A plan is serialised into each record, so that a record alone tells how to run it again.

mod expected;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::pool::{LoadKind, PoolPlan};
use super::seconds;
use super::spec::{Arrival, Family, Order, Protocol, Source, Topology};
use super::step::Action;
use crate::tcp::{CloseMode, Closer};

/// A scenario's trials, in the order in which they run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub id: String,
    pub claim: String,
    pub sources: Vec<String>,
    /// Why the scenario exists: the comment at the head of its file.
    pub why: String,
    /// Where it was read: a path, or `catalogue`.
    pub origin: String,
    pub trials: Vec<TrialPlan>,
}

impl Plan {
    /// The kernels that the scenario names, in the order of its trials; none where it leaves that to the command line.
    #[must_use]
    pub fn kernels(&self) -> Vec<String> {
        let mut kernels: Vec<String> = Vec::new();
        for kernel in self.trials.iter().filter_map(|trial| trial.kernel.as_ref()) {
            if !kernels.contains(kernel) {
                kernels.push(kernel.clone());
            }
        }
        kernels
    }

    /// About how long all trials take.
    #[must_use]
    pub fn expected_duration(&self) -> Duration {
        let durations = self.trials.iter().map(TrialPlan::expected_duration);
        durations.fold(Duration::ZERO, Duration::saturating_add)
    }
}

/// One isolated run: one cell of the matrix, one repeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrialPlan {
    pub id: String,
    pub claim: String,
    /// CEL over `records`: whether the claim holds.
    #[serde(default)]
    pub holds: Option<String>,
    /// CEL over `records`: what this kernel did.
    #[serde(default)]
    pub figure: Option<String>,
    /// Whether no other trial may run beside it.
    #[serde(default)]
    pub alone: bool,
    /// Whether its figures are times that the machine takes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub real_time: bool,
    /// The kernel that runs it, where the scenario says; as `--kernel` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The kernels that the claim is about, in semver's notation; None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<String>,
    /// The keys that have another value because an emulator executes the kernel.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scaled: BTreeMap<String, serde_json::Value>,
    /// Which of the scenario's trials this is, from 1, and of how many.
    #[serde(default = "one")]
    pub trial: u32,
    #[serde(default = "one")]
    pub trials: u32,
    pub sources: Vec<String>,
    /// Where the scenario was read: a path, or `catalogue`.
    pub origin: String,
    /// The matrix cell: key → value, empty without a matrix.
    pub cell: BTreeMap<String, serde_json::Value>,
    /// Counts from 1.
    pub repeat: u32,
    pub lab: LabPlan,
    pub server: ServerPlan,
    pub client: ClientPlan,
    /// Of a load; of a sequence it says nothing.
    #[serde(default = "ClosePlan::of_no_load")]
    pub close: ClosePlan,
    /// Of a sequence: no attempt.
    #[serde(default = "LoadPlan::nothing")]
    pub load: LoadPlan,
    /// With load.kind `pool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<PoolPlan>,
    /// What is made and closed before the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fill: Option<FillPlan>,
    /// A sequence's steps; a load has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepPlan>,
    /// About how long a sequence takes.
    #[serde(with = "seconds", default, skip_serializing_if = "Duration::is_zero")]
    pub takes: Duration,
    pub sysctl: SysctlPlan,
    pub observe: ObservePlan,
    pub expect: Vec<Expectation>,
}

impl TrialPlan {
    /// Whether the trial is a sequence of steps and no load.
    #[must_use]
    pub fn is_sequence(&self) -> bool {
        !self.steps.is_empty()
    }

    /// How long the plan keeps each connection open: the server's latencies, and the hold.
    #[must_use]
    pub fn held_open(&self) -> Duration {
        let latency = self.server.manner.latency;
        latency
            .saturating_mul(self.load.requests_per_connection)
            .saturating_add(self.load.hold)
    }

    /// How long a request keeps the connection that it borrowed, as far as the plan tells.
    #[must_use]
    pub fn service(&self) -> Duration {
        self.server.manner.latency.saturating_add(self.load.hold)
    }

    /// Server addresses in all, those of the fill included.
    #[must_use]
    pub fn server_addresses(&self) -> u32 {
        let fill = self.fill.as_ref().map_or(0, |fill| fill.addresses);
        self.server.addresses.saturating_add(fill)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LabPlan {
    pub topology: Topology,
    pub family: Family,
    /// Low and high, both inclusive; with topology `nat` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_ports: Option<(u16, u16)>,
}

/// One step of a sequence, with where it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepPlan {
    /// File and line, such as `scenarios/rfc1337.toml:31`.
    pub at: String,
    /// The name of what it finds.
    #[serde(rename = "as", default, skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    #[serde(flatten)]
    pub action: Action,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerPlan {
    pub listen: bool,
    pub addresses: u32,
    /// Ports on each address.
    pub ports: u32,
    /// The shell command whose program serves in place of the built-in server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<String>,
    pub protocol: Protocol,
    pub backlog: u32,
    #[serde(with = "seconds")]
    pub accept_delay: Duration,
    /// None: as many as suit the machine.
    #[serde(default)]
    pub threads: Option<u32>,
    #[serde(flatten)]
    pub manner: Manner,
}

/// How the server treats those who speak with it. The default answers at once and without error, and closes nothing by
/// itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manner {
    /// From a request's end to its reply.
    #[serde(with = "seconds", default, skip_serializing_if = "Duration::is_zero")]
    pub latency: Duration,
    /// The share of requests that are answered with the protocol's error.
    #[serde(default, skip_serializing_if = "is_none_of_it")]
    pub error_rate: f64,
    /// How long nothing may come before the server closes; zero: for ever.
    #[serde(with = "seconds", default, skip_serializing_if = "Duration::is_zero")]
    pub idle_timeout: Duration,
    /// Requests after which the server closes; 0: it does not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_requests: u32,
}

/// Connections before the load, to server addresses that follow the load's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FillPlan {
    pub connections: u64,
    pub addresses: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientPlan {
    pub addresses: u32,
    pub source: Source,
    /// Low and high, both inclusive; with sources `port-range`, `owned` and `bind-port` only.
    pub port_range: Option<(u16, u16)>,
    pub order: Order,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClosePlan {
    pub closer: Closer,
    pub mode: CloseMode,
    /// SO_LINGER's time; with mode `lingering` only.
    pub linger_seconds: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoadPlan {
    #[serde(default, skip_serializing_if = "LoadPlan::is_of_connections")]
    pub kind: LoadKind,
    pub arrival: Arrival,
    /// Attempts per second; None with arrival `max`.
    pub rate: Option<f64>,
    /// The most connections open at once; with kind `pool` the most requests under way.
    pub in_flight: u32,
    /// At least one of `connections` (`requests` with kind `pool`) and `duration` is there; the first reached ends the load.
    pub connections: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    #[serde(with = "seconds::optional")]
    pub duration: Option<Duration>,
    pub requests_per_connection: u32,
    pub request_bytes: u32,
    pub response_bytes: u32,
    #[serde(with = "seconds")]
    pub hold: Duration,
    #[serde(with = "seconds")]
    pub connect_timeout: Duration,
    #[serde(with = "seconds")]
    pub io_timeout: Duration,
    pub seed: u64,
    /// None: as many as suit the rate and the machine.
    #[serde(default)]
    pub threads: Option<u32>,
}

impl ClosePlan {
    /// What stands where nothing is offered.
    pub(super) fn of_no_load() -> Self {
        Self {
            closer: Closer::Client,
            mode: CloseMode::Graceful,
            linger_seconds: None,
        }
    }
}

impl LoadPlan {
    /// A sequence's load.
    pub(super) fn nothing() -> Self {
        Self {
            kind: LoadKind::Connections,
            arrival: Arrival::Max,
            rate: None,
            in_flight: 0,
            connections: Some(0),
            requests: None,
            duration: None,
            requests_per_connection: 0,
            request_bytes: 0,
            response_bytes: 0,
            hold: Duration::ZERO,
            connect_timeout: Duration::ZERO,
            io_timeout: Duration::ZERO,
            seed: 0,
            threads: None,
        }
    }

    fn is_of_connections(kind: &LoadKind) -> bool {
        *kind == LoadKind::Connections
    }

    /// The number at which attempts end, be they of connections or of requests; None where only time bounds them.
    #[must_use]
    pub fn attempts(&self) -> Option<u64> {
        match self.kind {
            LoadKind::Connections => self.connections,
            LoadKind::Pool => self.requests,
        }
    }

    /// Attempts that the load is to offer; None where only time bounds it (arrival `max`).
    #[must_use]
    pub fn planned(&self) -> Option<u64> {
        let by_time = match (self.rate, self.duration) {
            (Some(rate), Some(duration)) => Some((rate * duration.as_secs_f64()).round() as u64),
            _ => None,
        };
        match (self.attempts(), by_time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Sysctls to set, by side: dotted name → value as written to /proc/sys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SysctlPlan {
    pub client: BTreeMap<String, String>,
    pub server: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub router: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObservePlan {
    /// Follow each four-tuple.
    pub tuples: bool,
    /// Observe this long after the load, or until no TIME_WAIT is left.
    #[serde(with = "seconds")]
    pub after: Duration,
}

/// One expectation, with where it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    pub when: Option<String>,
    /// A range of kernel versions in semver's notation.
    pub kernel: Option<String>,
    pub that: String,
    /// File (or `catalogue:ID`), line and key, such as `scenarios/exhaustion.toml:31 expect[0].that`.
    pub at: String,
}

/// A record made before trials were numbered is taken for the only one of its scenario.
fn one() -> u32 {
    1
}

fn is_none_of_it(share: &f64) -> bool {
    *share == 0.0
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
