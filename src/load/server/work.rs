//! What a server is to do, be it the other end of a load that linger offers or a server for somebody else's client.

use std::time::Duration;

use crate::load::{Exchange, is_understood};
use crate::scenario::plan::{ClosePlan, LoadPlan, ServerPlan};
use crate::scenario::pool::LoadKind;
use crate::scenario::spec::Protocol;
use crate::tcp::{CloseMode, Closer};

/// What the server is to do.
#[derive(Clone, Debug)]
pub struct ServerWork {
    pub server: ServerPlan,
    pub close: ClosePlan,
    /// Requests on each connection, after which the closer closes; None: as many as the client wants.
    pub requests: Option<u32>,
    pub request_bytes: u32,
    pub response_bytes: u32,
    /// How long the server holds a connection before it closes it, where it closes first.
    pub hold: Duration,
    /// Of the requests that are answered with an error.
    pub seed: u64,
}

impl ServerWork {
    /// The other end of a load.
    #[must_use]
    pub fn of_load(server: ServerPlan, close: ClosePlan, load: &LoadPlan) -> Self {
        Self {
            server,
            close,
            // A pool's client makes as many as it likes.
            requests: (load.kind == LoadKind::Connections).then_some(load.requests_per_connection),
            request_bytes: load.request_bytes,
            response_bytes: load.response_bytes,
            hold: load.hold,
            seed: load.seed,
        }
    }

    /// A server for clients of which nothing is known, for as long as they come. With closer `client` it waits for their
    /// quit or FIN (idle_timeout and max_requests may come first); with closer `server` it closes after max_requests, or
    /// after each request where none is set. `response_bytes` is the size of what it makes up; with 1, echo sends back what
    /// came, and else a count of bytes.
    #[must_use]
    pub fn by_itself(server: ServerPlan, close: ClosePlan, response_bytes: u32) -> Self {
        Self {
            server,
            close,
            requests: None,
            request_bytes: 1,
            response_bytes,
            hold: Duration::ZERO,
            seed: 1,
        }
    }

    /// What is said where bytes are but counted.
    pub(super) fn exchange(&self) -> Exchange {
        Exchange {
            requests: match self.server.protocol {
                Protocol::None => 0,
                _ => self.requests.unwrap_or(0),
            },
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
        }
    }

    /// Whether messages have to be understood: else bytes are counted, which is faster.
    pub(super) fn is_conversation(&self) -> bool {
        match self.server.protocol {
            Protocol::Echo => self.requests.is_none() || self.server.manner != Default::default(),
            protocol => is_understood(protocol),
        }
    }

    /// The server closes a connection after so many requests; 0: it does not.
    pub(super) fn most_requests(&self) -> u32 {
        let limit = self.server.manner.max_requests;
        match (self.close.closer, limit) {
            (Closer::Client, limit) => limit,
            // It closes when the client says quit.
            (Closer::Server, limit) if self.close.mode == CloseMode::QuitWait => limit,
            (Closer::Server, 0) => self.requests.unwrap_or(1),
            (Closer::Server, limit) => self.requests.map_or(limit, |requests| requests.min(limit)),
        }
    }
}
