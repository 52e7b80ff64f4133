//! What a step says of segments: which are lost, crafted, sent again or waited for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{End, Flag, within};
use crate::scenario::spec::{ID_PATTERN, Span};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lose {
    /// The end that they do not reach.
    pub end: Option<End>,
    /// Or the listener, and the handshakes under way with it.
    #[schemars(regex(pattern = ID_PATTERN))]
    pub listener: Option<String>,
    /// Lose segments that have all of these flags (default: any).
    #[serde(default)]
    pub with: Vec<Flag>,
    /// … and none of these.
    #[serde(default)]
    pub without: Vec<Flag>,
    /// … and acknowledge everything that the end has sent and will send up to its FIN.
    #[serde(default)]
    pub acknowledging_fin: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Undrop {
    pub end: Option<End>,
    #[schemars(regex(pattern = ID_PATTERN))]
    pub listener: Option<String>,
    /// Once so many segments have been lost since the `drop` (default 0: at once). A classic BPF filter cannot count: they are
    /// counted as they come, so that further ones may be lost where they follow within a millisecond.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub after: u32,
    /// How long to wait for them; with `after` only (default 10s).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// The end that receives it.
    pub to: End,
    pub flags: Vec<Flag>,
    /// The sequence number, counted from the one that the receiver has acknowledged last (default 0).
    #[serde(default)]
    #[schemars(range(min = -2_147_483_647, max = 2_147_483_647))]
    pub seq: i64,
    /// The acknowledgement number, counted from the one that the receiver sends next (default 0); with flag `ack`.
    #[serde(default)]
    #[schemars(range(min = -2_147_483_647, max = 2_147_483_647))]
    pub ack: i64,
    /// The timestamp value, counted from the last that the receiver's peer has sent; without it there is no option.
    #[schemars(range(min = -2_147_483_647, max = 2_147_483_647))]
    pub timestamp: Option<i64>,
    /// What it carries (default nothing).
    #[serde(default)]
    pub text: String,
    /// Another source port than the peer's.
    #[schemars(range(min = 1))]
    pub from_port: Option<u16>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// The end that sent it.
    pub of: End,
    /// The first segment with all of these flags (default: any) …
    #[serde(default)]
    pub with: Vec<Flag>,
    /// … and none of these.
    #[serde(default)]
    pub without: Vec<Flag>,
    /// Instead of the first: the one that holds the sequence number which this end of a later incarnation expects next,
    /// cut to begin there and to fit one packet.
    pub into: Option<End>,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwaitSegment {
    pub from: End,
    /// All of these flags (default: any) …
    #[serde(default)]
    pub with: Vec<Flag>,
    /// … and none of these.
    #[serde(default)]
    pub without: Vec<Flag>,
    /// Default 10s.
    #[serde(default = "within")]
    pub within: Span,
}
