//! What a sequence found, step by step.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Status;

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
    /// Absent where it was not done, because a step before it ended the sequence or the user wanted to stop.
    pub actual: Option<String>,
    /// `met`, `unmet`, or `inconclusive` where the kernel does not tell; absent where it was not done.
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
