//! Where a trial ran.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the trial ran.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The kernel's release, as `uname -r`.
    pub kernel: String,
    /// The hardware's name, as `uname -m`.
    pub machine: String,
    /// 0 where no machine came up.
    pub cpus: u32,
    /// How the lab was made, such as `pair, user namespace`.
    pub lab: String,
    /// Whether the kernel runs on a virtual machine; null when it could not be told.
    pub virtual_machine: Option<bool>,
    /// Timer ticks per second.
    pub hz: Option<u32>,
    /// What the kernel's clocks are read from, such as `tsc`; null where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_source: Option<String>,
    /// The smallest step of CLOCK_MONOTONIC that was seen, in nanoseconds: no shorter time can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_step_ns: Option<u64>,
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

/// A clock of longer steps than this, in nanoseconds, is worth a word.
const COARSE_NS: u64 = 1_000;
/// A clock of longer steps than this, in nanoseconds, tells nothing of latencies: it is a timer's tick.
const TICK_NS: u64 = 100_000;

impl Environment {
    /// Whether the trial came as far as a machine. Where it did not, `kernel` is only what was named, or its image's release.
    #[must_use]
    pub fn was_seen(&self) -> bool {
        self.cpus > 0
    }

    /// The clock's step in nanoseconds, where it is coarser than a microsecond.
    #[must_use]
    pub fn coarse_clock(&self) -> Option<u64> {
        self.clock_step_ns.filter(|step| *step > COARSE_NS)
    }

    /// The clock's step in nanoseconds, where latencies drown in it.
    #[must_use]
    pub fn ticking_clock(&self) -> Option<u64> {
        self.clock_step_ns.filter(|step| *step > TICK_NS)
    }
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
