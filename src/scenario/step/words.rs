//! The words that steps share: sides, ends, states, flags and outcomes, each a text in the file.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tcp::{State, errno};

/// What the name of an end looks like.
pub(in crate::scenario) const END_PATTERN: &str = r"^[a-z0-9]+(-[a-z0-9]+)*\.(client|server)$";
/// What an outcome looks like.
pub(in crate::scenario) const OUTCOME_PATTERN: &str = "^(ok|eof|any|E[A-Z0-9]+)$";

/// Which side of the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SideName {
    Client,
    Server,
}

impl SideName {
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for SideName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A flag of the TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Flag {
    Fin,
    Syn,
    Rst,
    Psh,
    Ack,
}

impl Flag {
    /// The flag's bit in the header's 14th byte (RFC 9293, 3.1).
    #[must_use]
    pub fn bit(self) -> u8 {
        match self {
            Self::Fin => 0x01,
            Self::Syn => 0x02,
            Self::Rst => 0x04,
            Self::Psh => 0x08,
            Self::Ack => 0x10,
        }
    }

    #[must_use]
    pub fn bits(flags: &[Self]) -> u8 {
        flags.iter().fold(0, |bits, flag| bits | flag.bit())
    }
}

/// The state of an end: the kernel's name, or ABSENT where the kernel has no such socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum EndState {
    Established,
    SynSent,
    SynRecv,
    #[serde(rename = "FIN_WAIT1")]
    FinWait1,
    #[serde(rename = "FIN_WAIT2")]
    FinWait2,
    TimeWait,
    CloseWait,
    LastAck,
    Closing,
    Absent,
}

impl EndState {
    /// None for ABSENT.
    #[must_use]
    pub fn of_kernel(self) -> Option<State> {
        Some(match self {
            Self::Established => State::Established,
            Self::SynSent => State::SynSent,
            Self::SynRecv => State::SynRecv,
            Self::FinWait1 => State::FinWait1,
            Self::FinWait2 => State::FinWait2,
            Self::TimeWait => State::TimeWait,
            Self::CloseWait => State::CloseWait,
            Self::LastAck => State::LastAck,
            Self::Closing => State::Closing,
            Self::Absent => return None,
        })
    }
}

/// One end of a connection, such as `first.client`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub connection: String,
    pub server: bool,
}

impl End {
    #[must_use]
    pub fn side(&self) -> SideName {
        if self.server {
            SideName::Server
        } else {
            SideName::Client
        }
    }

    /// The connection's other end.
    #[must_use]
    pub fn peer(&self) -> Self {
        Self {
            server: !self.server,
            connection: self.connection.clone(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.connection, self.side())
    }
}

impl FromStr for End {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match text.rsplit_once('.') {
            Some((connection, side @ ("client" | "server")))
                if !connection.is_empty() && connection.chars().all(word) =>
            {
                Ok(Self {
                    connection: connection.to_owned(),
                    server: side == "server",
                })
            }
            _ => Err("not an end of a connection; expected NAME.client or NAME.server".to_owned()),
        }
    }
}

/// What a call is to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    #[default]
    Ok,
    /// The end of the stream.
    Eof,
    /// Whatever it is: the record tells, and the expectations judge.
    Any,
    Errno(i32),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Eof => f.write_str("eof"),
            Self::Any => f.write_str("any"),
            Self::Errno(raw) => f.write_str(&errno::name(*raw)),
        }
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Linux has no errno above this one (EHWPOISON).
        const LAST: i32 = 133;
        match text {
            "ok" => Ok(Self::Ok),
            "eof" => Ok(Self::Eof),
            "any" => Ok(Self::Any),
            _ => (1..=LAST)
                .find(|raw| errno::name(*raw) == text)
                .map(Self::Errno)
                .ok_or_else(|| "no outcome; expected `ok`, `eof`, `any` or an errno such as `ECONNREFUSED`".to_owned()),
        }
    }
}

/// Serde and schema of a type that is a text in a file.
macro_rules! as_text {
    ($type:ident, $pattern:expr, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "description": $description, "pattern": $pattern })
            }
        }
    };
}

as_text!(End, END_PATTERN, "An end of a connection: NAME.client or NAME.server.");
as_text!(
    Outcome,
    OUTCOME_PATTERN,
    "An outcome: `ok`, `eof`, `any` or an errno such as `ECONNREFUSED`."
);
