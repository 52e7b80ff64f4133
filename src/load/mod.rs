//! Offers connections at set times and accounts for every attempt.
//!
//! The flow of one attempt: [`Pacer`] says when it is due, `Pairs` which source and destination it takes, an
//! [`Engine`] makes the system calls, [`Measured`] books what came of it. Everything but the system calls is pure and
//! shared by all engines, so that engines can differ in speed and in nothing else. [`server`] is the other end.
//!
//! Knows sockets (RFC 9293, socket(7), tcp(7)); knows nothing of namespaces, sysctls, records or verdicts: it is
//! called on a thread that already stands where its sockets belong.
#![forbid(unsafe_code)]

pub mod clock;
pub mod control;
pub mod epoll;
pub mod measured;
pub mod pacer;
pub mod server;

mod deadlines;
mod pairs;
mod poller;
mod random;
mod stream;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

pub use clock::Clock;
pub use control::{Control, Live};
pub use epoll::EpollEngine;
pub use measured::Measured;
pub use pacer::Pacer;

use crate::scenario::plan::{ClientPlan, ClosePlan, LoadPlan};
use crate::scenario::spec::Protocol;

/// What one engine thread is to do.
#[derive(Clone, Debug)]
pub struct Work {
    pub load: LoadPlan,
    pub close: ClosePlan,
    pub client: ClientPlan,
    pub protocol: Protocol,
    /// The client's addresses; at least one, unless connect() chooses the address (source `ephemeral`).
    pub sources: Vec<IpAddr>,
    /// At least one.
    pub destinations: Vec<SocketAddr>,
    /// Follow each four-tuple.
    pub tuples: bool,
}

/// A way to make connections: the only part of the load that calls the kernel.
pub trait Engine: Send {
    /// The name in the record, such as `epoll`.
    fn name(&self) -> &'static str;

    /// Offers the whole load on the calling thread and returns when its last attempt has ended.
    ///
    /// # Errors
    /// What the engine itself needs was refused. A failed attempt is no error: it is counted.
    fn run(&mut self, work: &Work, clock: &Clock, control: &Control) -> Result<Measured, EngineError>;
}

/// The kernel refused what an engine or the server needs before, or beside, any connection.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the load needs at least one {0}, got none")]
    Missing(&'static str),
    #[error("{call} for the event loop failed: {errno}")]
    EventLoop {
        call: &'static str,
        errno: nix::errno::Errno,
    },
    #[error("the server cannot {call} on {address}: {error}")]
    Listen {
        call: &'static str,
        address: SocketAddr,
        error: std::io::Error,
    },
}

/// What is said over one connection: `requests` times `request_bytes` up and `response_bytes` down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    requests: u32,
    request_bytes: u32,
    response_bytes: u32,
}

impl Exchange {
    fn new(load: &LoadPlan, protocol: Protocol) -> Self {
        Self {
            requests: match protocol {
                Protocol::None => 0,
                Protocol::Echo => load.requests_per_connection,
            },
            request_bytes: load.request_bytes,
            response_bytes: load.response_bytes,
        }
    }

    /// Room for the longer of the two messages.
    fn buffer(&self) -> Vec<u8> {
        vec![0; self.request_bytes.max(self.response_bytes).max(1) as usize]
    }
}
