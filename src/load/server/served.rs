//! What a server counted: the books of its threads, and their sum.

use crate::record::histogram::{CountHistogram, LatencyHistogram};
use crate::record::schema::{self, ServerSide};

/// What the server counted. Each accepted connection is in one of `closed_by_peer`, `closed_first`, `reset_by_peer`
/// and `open_at_end`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    pub counts: ServerSide,
    /// Of `counts.closed_first`, those that were closed with RST.
    pub aborted: u64,
    /// CPU seconds of the server's threads.
    pub cpu_seconds: f64,
    /// Seconds in which they could have run and other threads had the CPUs.
    pub waited_seconds: f64,
    /// What was said; None where no protocol is spoken, or echo that is but counted.
    pub conversations: Option<Conversations>,
}

/// What was said over all connections that have ended. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversations {
    /// Requests answered.
    pub requests: u64,
    /// Messages answered that set a connection up and are no requests.
    pub setup: u64,
    /// Of the requests, those answered with the protocol's error: because the plan says so, or because the server does not
    /// know what is asked.
    pub errors_answered: u64,
    /// Connections on which the client said the protocol's quit.
    pub quit: u64,
    /// Connections that we closed because nothing came for idle_timeout.
    pub idle_timeout: u64,
    /// Connections that we closed after the last request that they might make.
    pub max_requests: u64,
    /// Connections that we closed because what came was not the protocol, or the login was refused.
    pub malformed: u64,
    pub requests_per_connection: CountHistogram,
    /// From accept() to close().
    pub lifetime: LatencyHistogram,
    /// From the last that was said, a quit left out, to the peer's FIN, or our decision to close.
    pub idle_before_close: LatencyHistogram,
}

impl Conversations {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.setup += other.setup;
        self.errors_answered += other.errors_answered;
        self.quit += other.quit;
        self.idle_timeout += other.idle_timeout;
        self.max_requests += other.max_requests;
        self.malformed += other.malformed;
        self.requests_per_connection.merge(&other.requests_per_connection);
        self.lifetime.merge(&other.lifetime);
        self.idle_before_close.merge(&other.idle_before_close);
    }

    /// The record's form.
    #[must_use]
    pub fn summary(&self) -> schema::Conversations {
        schema::Conversations {
            requests: self.requests,
            setup: Some(self.setup),
            errors_answered: self.errors_answered,
            quit: self.quit,
            idle_timeout: self.idle_timeout,
            max_requests: self.max_requests,
            malformed: self.malformed,
            requests_per_connection: self.requests_per_connection.summary(),
            lifetime: self.lifetime.summary(),
            idle_before_close: self.idle_before_close.summary(),
        }
    }
}

impl Served {
    /// The record's `server`.
    #[must_use]
    pub fn summary(&self) -> ServerSide {
        ServerSide {
            conversations: self.conversations.as_ref().map(Conversations::summary),
            ..self.counts.clone()
        }
    }

    /// Adds another thread's counts.
    pub(super) fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (&mut self.counts, &other.counts);
        mine.accepted += theirs.accepted;
        mine.closed_by_peer += theirs.closed_by_peer;
        mine.closed_first += theirs.closed_first;
        mine.reset_by_peer += theirs.reset_by_peer;
        mine.open_at_end += theirs.open_at_end;
        mine.bytes_received += theirs.bytes_received;
        mine.bytes_sent += theirs.bytes_sent;
        for (errno, count) in &theirs.accept_failed {
            *mine.accept_failed.entry(errno.clone()).or_default() += count;
        }
        self.aborted += other.aborted;
        self.cpu_seconds += other.cpu_seconds;
        self.waited_seconds += other.waited_seconds;
        if let (Some(mine), Some(theirs)) = (&mut self.conversations, &other.conversations) {
            mine.merge(theirs);
        }
    }
}
