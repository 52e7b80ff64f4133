//! A server that is a program of somebody else's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The program that `server.exec` named, as it was at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServerProgram {
    /// The shell command that was started.
    pub command: String,
    /// How it ended, such as `ended with exit code 0`; absent where not even SIGKILL ended it in time.
    pub ended: Option<String>,
    /// Whether it had ended before it was told to: connections may have found nobody.
    pub ended_early: bool,
    /// Whether SIGTERM was not enough.
    pub killed: bool,
    /// Of all its processes.
    pub cpu_seconds: Option<f64>,
    /// What its threads had of the CPUs during the load; absent where the kernel does not tell, and where it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub during_load: Option<ProgramUsed>,
    /// What could not be arranged for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trouble: Vec<String>,
}

/// What a program's threads had of the CPUs (/proc/PID/task/TID/schedstat).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramUsed {
    /// Seconds on a CPU, over all threads.
    pub cpu_seconds: f64,
    /// Seconds in which they could have run and others had the CPUs.
    pub waited_seconds: f64,
    /// Both of these, of the thread that had most.
    pub busiest_thread_seconds: f64,
    /// Threads that ran at all.
    pub threads: u32,
}
