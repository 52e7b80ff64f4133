//! Distributions: of times, and of counts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
