//! What the client said and heard, where a protocol is spoken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests over all of the load's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// Requests that the client made.
    pub sent: u64,
    /// Complete responses that came.
    pub answered: u64,
    /// Of these, those that tell of an error in the protocol's own words (HTTP's status from 400, MySQL's ERR packet,
    /// `SERVER_ERROR`, `-ERR`): data, and no failure of the attempt.
    pub errors: u64,
}
