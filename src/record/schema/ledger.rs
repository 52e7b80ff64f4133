//! The books: what linger counted against what the kernel counted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
