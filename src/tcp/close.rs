//! Who closes first, and how.
#![forbid(unsafe_code)]

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The active closer (RFC 9293, 3.6): the end that closes first and, after a graceful close, holds TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Closer {
    Client,
    Server,
}

/// What the closer does to end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CloseMode {
    /// close() with default options: FIN, and TIME_WAIT on the closer.
    Graceful,
    /// SO_LINGER 0 and close(): RST, and TIME_WAIT nowhere.
    Abortive,
    /// SO_LINGER n and close(): FIN, and close() blocks until it is acknowledged or n seconds have passed.
    Lingering,
    /// shutdown(SHUT_WR), read to the peer's FIN, close().
    HalfClose,
    /// The client says the protocol's quit, reads to the server's FIN and closes: the server closes first, and holds
    /// TIME_WAIT.
    QuitWait,
    /// The client says the protocol's quit, then shutdown() and close() at once without reading, as libmysqlclient does:
    /// the server closes for the quit, the client for itself, and the kernel decides who holds TIME_WAIT.
    QuitClose,
}

impl CloseMode {
    /// Whether the client says the protocol's quit.
    #[must_use]
    pub fn says_quit(self) -> bool {
        matches!(self, Self::QuitWait | Self::QuitClose)
    }
}

impl fmt::Display for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

impl fmt::Display for CloseMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Graceful => "graceful",
            Self::Abortive => "abortive",
            Self::Lingering => "lingering",
            Self::HalfClose => "half-close",
            Self::QuitWait => "quit-wait",
            Self::QuitClose => "quit-close",
        })
    }
}
