//! The client's side of one connection, whatever is spoken: login where there is one, one request at a time, the quit.

use std::sync::Arc;

use super::{Kind, Settings, echo, http, memcached, mysql, redis};

/// What a call of [`ClientSession::receive`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientStep {
    /// Bytes of the input that are dealt with: the caller drops them. 0: more must come first.
    pub consumed: usize,
    pub event: Option<Event>,
}

impl ClientStep {
    pub(super) const WAIT: Self = Self::pass(0);

    pub(super) const fn pass(consumed: usize) -> Self {
        Self { consumed, event: None }
    }

    pub(super) const fn event(consumed: usize, event: Event) -> Self {
        Self {
            consumed,
            event: Some(event),
        }
    }

    /// A complete response without error.
    pub(super) const fn response(consumed: usize) -> Self {
        Self::event(
            consumed,
            Event::Response {
                error: None,
                closing: false,
            },
        )
    }

    /// A complete response that tells of an error.
    pub(super) const fn error(consumed: usize, code: u16) -> Self {
        Self::event(
            consumed,
            Event::Response {
                error: Some(code),
                closing: false,
            },
        )
    }

    pub(super) const fn malformed(reason: &'static str) -> Self {
        Self::event(0, Event::Malformed(reason))
    }
}

/// What became of the login or of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server let us in: requests may be sent.
    LoggedIn,
    /// The response to the request is complete.
    Response {
        /// The server's error: HTTP's status from 400, MySQL's error number, 0 where the protocol's errors have no number.
        error: Option<u16>,
        /// The server said that it will close after this response.
        closing: bool,
    },
    /// The server ends the connection with an error that answers no request (MySQL: too many connections, access
    /// denied, idle for too long): its number.
    Refused(u16),
    /// What came is not the protocol, or more of it than this client speaks.
    Malformed(&'static str),
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct ClientSession {
    settings: Arc<Settings>,
    kind: Kind,
    codec: Codec,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Login,
    Idle,
    Waiting,
    /// After the quit, the server's last response, or what could not be understood: what comes is dropped.
    Over,
}

#[derive(Debug)]
enum Codec {
    Echo(echo::Client),
    Http(http::Client),
    Mysql(mysql::Client),
    Memcached(memcached::Client),
    Redis(redis::Client),
}

impl Codec {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Echo => Self::Echo(echo::Client::default()),
            Kind::Http => Self::Http(http::Client::default()),
            Kind::Mysql => Self::Mysql(mysql::Client::default()),
            Kind::Memcached => Self::Memcached(memcached::Client::default()),
            Kind::Redis => Self::Redis(redis::Client::default()),
        }
    }
}

impl Phase {
    fn at_start(kind: Kind) -> Self {
        match kind {
            Kind::Mysql => Self::Login,
            _ => Self::Idle,
        }
    }
}

impl ClientSession {
    #[must_use]
    pub fn new(kind: Kind, settings: Arc<Settings>) -> Self {
        Self {
            settings,
            kind,
            codec: Codec::new(kind),
            phase: Phase::at_start(kind),
        }
    }

    /// Makes the session that of a new connection.
    pub fn reset(&mut self) {
        self.codec = Codec::new(self.kind);
        self.phase = Phase::at_start(self.kind);
    }

    /// Whether a request may be sent now. A protocol with a login is ready after [`Event::LoggedIn`], others at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Idle
    }

    /// Appends one request. With `last` HTTP asks the server to close after its response; the others' word for that is
    /// [`quit`](Self::quit). Only where the session [is ready](Self::is_ready): else nothing is appended.
    pub fn request(&mut self, last: bool, out: &mut Vec<u8>) {
        debug_assert!(self.is_ready(), "a request in phase {:?}", self.phase);
        if !self.is_ready() {
            return;
        }
        self.phase = Phase::Waiting;
        match &mut self.codec {
            Codec::Echo(codec) => codec.request(&self.settings, out),
            Codec::Http(codec) => codec.request(&self.settings, last, out),
            Codec::Mysql(codec) => codec.request(&self.settings, out),
            Codec::Memcached(codec) => codec.request(&self.settings, out),
            Codec::Redis(codec) => codec.request(&self.settings, out),
        }
    }

    /// Appends the request that asks only whether the other end is there, and is answered by a response as any other is:
    /// COM_PING, `version`, PING. False, and nothing appended, for echo and HTTP, which have none, and where the session is
    /// not ready.
    pub fn ping(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.is_ready() {
            return false;
        }
        match &mut self.codec {
            Codec::Echo(_) | Codec::Http(_) => return false,
            Codec::Mysql(codec) => codec.ping(out),
            Codec::Memcached(_) => out.extend(memcached::PING),
            Codec::Redis(_) => out.extend(redis::PING),
        }
        self.phase = Phase::Waiting;
        true
    }

    /// Appends the polite goodbye: COM_QUIT, `quit`, QUIT; nothing for echo and HTTP. What comes after it is dropped.
    pub fn quit(&mut self, out: &mut Vec<u8>) {
        self.phase = Phase::Over;
        match self.kind {
            Kind::Echo | Kind::Http => {}
            Kind::Mysql => out.extend(mysql::QUIT),
            Kind::Memcached => out.extend(memcached::QUIT),
            Kind::Redis => out.extend(redis::QUIT),
        }
    }

    /// Handles at most one message of `input`: call again until nothing is consumed. What the login has to send is
    /// appended to `out`.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> ClientStep {
        if self.phase == Phase::Over {
            return ClientStep::pass(input.len());
        }
        if input.is_empty() {
            return ClientStep::WAIT;
        }
        let step = match &mut self.codec {
            Codec::Mysql(codec) => codec.receive(&self.settings, input, out),
            _ if self.phase == Phase::Idle => ClientStep::malformed("bytes that answer no request"),
            Codec::Echo(codec) => codec.receive(input),
            Codec::Http(codec) => codec.receive(input),
            Codec::Memcached(codec) => codec.receive(input),
            Codec::Redis(codec) => codec.receive(input),
        };
        match step.event {
            None => {}
            Some(Event::LoggedIn | Event::Response { closing: false, .. }) => self.phase = Phase::Idle,
            Some(Event::Response { closing: true, .. } | Event::Refused(_) | Event::Malformed(_)) => {
                self.phase = Phase::Over;
            }
        }
        step
    }

    /// The server sent FIN: the event that this is, where it completes a response (HTTP without a length).
    pub fn end_of_stream(&mut self) -> Option<Event> {
        let event = match &self.codec {
            Codec::Http(codec) if self.phase == Phase::Waiting => codec.end_of_stream(),
            _ => None,
        };
        self.phase = Phase::Over;
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_answer_no_request_are_told_and_then_dropped() {
        for kind in [Kind::Echo, Kind::Http, Kind::Memcached, Kind::Redis] {
            let mut session = ClientSession::new(kind, Arc::default());
            let mut out = Vec::new();
            let step = session.receive(b"END\r\n", &mut out);
            assert!(matches!(step.event, Some(Event::Malformed(_))), "{kind:?}");
            assert_eq!(session.receive(b"END\r\n", &mut out), ClientStep::pass(5));
        }
    }

    #[test]
    fn the_answer_to_a_quit_is_dropped() {
        let mut session = ClientSession::new(Kind::Redis, Arc::default());
        let mut out = Vec::new();
        session.quit(&mut out);
        assert_eq!(out, b"*1\r\n$4\r\nQUIT\r\n");
        assert_eq!(session.receive(b"+OK\r\n", &mut out), ClientStep::pass(5));
        session.reset();
        assert!(session.is_ready());
    }
}
