//! Offers connections at set times and accounts for every attempt.
//!
//! The flow of one attempt: [`Pacer`] says when it is due, `Pairs` which source and destination it takes, an
//! [`Engine`] makes the system calls, [`Measured`] books what came of it. Everything but the system calls is pure and
//! shared by all engines, so that engines can differ in speed and in nothing else. [`pool`] offers requests instead, over
//! connections that are borrowed. [`server`] is the other end; what both say is [`protocol`](crate::protocol)'s.
//!
//! Knows sockets (RFC 9293, socket(7), tcp(7)), and the record's accumulators, which it fills; knows nothing of namespaces,
//! sysctls or verdicts: it is called on a thread that already stands where its sockets belong.

pub mod bottleneck;
pub mod choice;
pub mod clock;
pub mod control;
pub mod cpus;
pub mod epoll;
pub mod fill_level;
pub mod measured;
pub mod pacer;
pub mod pacing;
pub mod pool;
pub mod server;
pub mod shard;
pub mod threads;
pub mod uring;

mod conversation;
mod deadlines;
mod offer;
mod pairs;
mod poller;
mod ports;
mod random;
mod session;
mod source;
mod stream;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

pub use bottleneck::{Evidence, ServerTime};
pub use choice::Choice;
pub use clock::Clock;
pub use control::{Control, Live};
pub use cpus::Cpus;
pub use epoll::EpollEngine;
pub use measured::Measured;
pub use pacer::Pacer;
pub use pacing::Pacing;
pub use shard::Shard;
pub use uring::UringEngine;

use crate::record::tally::{Cause, Phase};
use crate::scenario::plan::{ClientPlan, ClosePlan, LoadPlan};
use crate::scenario::pool::PoolPlan;
use crate::scenario::spec::{Protocol, Source};
use crate::tcp::options::has_local_port_range;
use crate::tcp::{CloseMode, Closer};

/// What one engine thread is to do.
#[derive(Clone, Debug)]
pub struct Work {
    pub load: LoadPlan,
    /// The pool that requests borrow from; None where each attempt is a connection.
    pub pool: Option<PoolPlan>,
    pub close: ClosePlan,
    pub client: ClientPlan,
    pub protocol: Protocol,
    /// The client's addresses; at least one, unless connect() chooses the address (source `ephemeral`).
    pub sources: Vec<IpAddr>,
    /// At least one.
    pub destinations: Vec<SocketAddr>,
    /// Follow each four-tuple.
    pub tuples: bool,
    /// Usable four-tuples of each pair of source and destination, where those that the load takes stay taken while it
    /// runs: then the connect() call is timed by the share of them that is taken.
    pub tuples_a_pair: Option<u64>,
    /// Ports for sources `owned` and `bind-port`, in the order in which they are used; at least one there.
    pub ports: Vec<u16>,
    /// The thread's part of the load.
    pub shard: Shard,
    pub pacing: Pacing,
    /// Connect the same socket again after an abortive close: connect(AF_UNSPEC) sends the RST and spares close() and
    /// socket(). The `epoll` engine alone does it, and where [`Work::reuses_descriptors`] says so.
    pub reuse_descriptor: bool,
}

impl Work {
    /// Whether an abortive close leaves the socket for the next connection. A port that bind() gave it the socket would
    /// keep: it cannot be bound to another.
    #[must_use]
    pub fn reuses_descriptors(&self) -> bool {
        let binds_ports = match self.client.source {
            Source::BindPort => true,
            Source::Owned => !has_local_port_range(),
            _ => false,
        };
        self.reuse_descriptor
            && !binds_ports
            && (self.close.closer, self.close.mode) == (Closer::Client, CloseMode::Abortive)
    }

    /// What a connection does once all is said.
    fn then(&self) -> Then {
        let close = &self.close;
        if close.closer == Closer::Server && close.mode != CloseMode::QuitWait {
            Then::Await
        } else if self.load.hold.is_zero() {
            Then::Part
        } else {
            Then::Hold
        }
    }

    /// Whether it has what every engine needs.
    fn check(&self) -> Result<(), EngineError> {
        if self.destinations.is_empty() {
            return Err(EngineError::Missing("destination"));
        }
        if self.sources.is_empty() && self.client.source != Source::Ephemeral {
            return Err(EngineError::Missing("source address"));
        }
        Ok(())
    }
}

/// See [`Work::then`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It waits for the server to close.
    Await,
    /// It is held open for a time, and then closes, or says the protocol's quit.
    Hold,
    /// It closes, or says the protocol's quit.
    Part,
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
    #[error("engine `uring` cannot serve here: {0}")]
    NoUring(String),
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

/// Whether what is said has to be understood; else bytes are counted, which is faster.
pub(crate) fn is_understood(protocol: Protocol) -> bool {
    match protocol {
        Protocol::None | Protocol::Echo => false,
        Protocol::Http | Protocol::Mysql | Protocol::Memcached | Protocol::Redis => true,
    }
}

/// The phase and cause of a failed attempt.
type Failure = (Phase, Cause);

/// Bytes received at once of what nobody has asked for.
const PIECE: u32 = 4096;

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
                _ => load.requests_per_connection,
            },
            request_bytes: load.request_bytes,
            response_bytes: load.response_bytes,
        }
    }

    /// Room for either message, and for a piece of what comes before a FIN.
    fn buffer(&self, piece: usize) -> Vec<u8> {
        vec![0; piece.max(self.request_bytes.max(self.response_bytes) as usize)]
    }

    /// The message that the client sends.
    fn request(&self) -> Vec<u8> {
        vec![0; self.request_bytes as usize]
    }
}
