//! The four-tuple: what names one TCP connection, and what a TIME_WAIT socket keeps taken (RFC 9293, 3.3.1).
#![forbid(unsafe_code)]

use std::fmt;
use std::net::SocketAddr;

/// One connection's addresses and ports as one end sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FourTuple {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

impl FourTuple {
    /// The same connection as the other end names it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            local: self.remote,
            remote: self.local,
        }
    }
}

impl fmt::Display for FourTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.local, self.remote)
    }
}
