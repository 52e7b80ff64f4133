//! What the model says before the run, and what reality added.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PoolPrediction;

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
