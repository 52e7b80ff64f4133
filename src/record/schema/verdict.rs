//! What the judge says: on expectations, and on a claim.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
