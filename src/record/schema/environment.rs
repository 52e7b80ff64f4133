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
