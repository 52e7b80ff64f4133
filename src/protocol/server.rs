//! The server's side of one connection, whatever is spoken: dispatch, what is a request, the limit of requests, and the end.

use std::sync::Arc;

use super::{Kind, Settings, Store, echo, http, memcached, mysql, redis};

/// What a call of [`ServerSession::receive`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are dealt with: the caller drops them. 0: more must come first.
    pub consumed: usize,
    /// What the message was that was completed, where it is one to answer; its reply, where it has one, is in `out`.
    pub asked: Option<Asked>,
    /// Set once the connection is to be closed after `out` is sent. Whatever is received after that is dropped.
    pub end: Option<End>,
}

impl Step {
    pub(super) const WAIT: Self = Self::pass(0);

    /// Part of a message, or one that is no request.
    pub(super) const fn pass(consumed: usize) -> Self {
        Self {
            consumed,
            asked: None,
            end: None,
        }
    }

    pub(super) const fn request(consumed: usize) -> Self {
        Self::answered(consumed, Asked::Request)
    }

    pub(super) const fn answered(consumed: usize, asked: Asked) -> Self {
        Self {
            consumed,
            asked: Some(asked),
            end: None,
        }
    }

    pub(super) const fn end(consumed: usize, end: End) -> Self {
        Self {
            consumed,
            asked: None,
            end: Some(end),
        }
    }
}

/// What a message that is answered was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// What the connection is there for. Only requests are failed on purpose, and count against `max_requests`.
    Request,
    /// A request too, and one that is answered with the protocol's error whatever is planned: the server knows no such
    /// command, or not what is asked for with it.
    Mistake,
    /// What is about the connection and not done over it: who the client is and how it wants to be spoken to, who the
    /// server is, and whether it is still there. Drivers and pools say it of their own accord, so often on a connection or
    /// a loan; the program asked for nothing by it. Each codec says which messages these are; echo and HTTP have none.
    SetUp,
}

/// Why the server is to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client asked for it: COM_QUIT, `quit`, QUIT, or `Connection: close`.
    Quit,
    /// `max_requests` are answered.
    MaxRequests,
    /// The login was refused.
    Denied,
    /// What came is not the protocol; the protocol's own error reply is in `out` where it has one.
    Malformed(&'static str),
}

/// What a codec is told about the request that it may be about to answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn<'a> {
    pub(super) settings: &'a Settings,
    pub(super) store: &'a Store,
    /// The connection ends after this request.
    pub(super) last: bool,
    /// The reply is to be the protocol's error, if it is to a request.
    pub(super) fail: bool,
}

/// The server's side of one connection.
#[derive(Debug)]
pub struct ServerSession {
    settings: Arc<Settings>,
    store: Arc<Store>,
    kind: Kind,
    codec: Codec,
    /// Requests answered on this connection.
    requests: u32,
    fail_next: bool,
    end: Option<End>,
}

#[derive(Debug)]
enum Codec {
    Echo(echo::Server),
    Http(http::Server),
    Mysql(mysql::Server),
    Memcached(memcached::Server),
    Redis(redis::Server),
}

impl Codec {
    fn new(kind: Kind, settings: &Settings, connection: u64) -> Self {
        match kind {
            Kind::Echo => Self::Echo(echo::Server::new(settings)),
            Kind::Http => Self::Http(http::Server::default()),
            Kind::Mysql => Self::Mysql(mysql::Server::new(connection)),
            Kind::Memcached => Self::Memcached(memcached::Server::default()),
            Kind::Redis => Self::Redis(redis::Server::new(connection)),
        }
    }
}

impl ServerSession {
    /// A server with a store of its own. `connection` numbers the connection: MySQL's connection id and scramble and
    /// Redis' client id come from it.
    #[must_use]
    pub fn new(kind: Kind, settings: Arc<Settings>, connection: u64) -> Self {
        Self::sharing(kind, settings, Arc::default(), connection)
    }

    /// The same, with the store that it shares with others.
    #[must_use]
    pub fn sharing(kind: Kind, settings: Arc<Settings>, store: Arc<Store>, connection: u64) -> Self {
        Self {
            codec: Codec::new(kind, &settings, connection),
            settings,
            store,
            kind,
            requests: 0,
            fail_next: false,
            end: None,
        }
    }

    /// Makes the session that of a new connection.
    pub fn reset(&mut self, connection: u64) {
        match &mut self.codec {
            Codec::Mysql(mysql) => mysql.reset(connection),
            codec => *codec = Codec::new(self.kind, &self.settings, connection),
        }
        self.requests = 0;
        self.fail_next = false;
        self.end = None;
    }

    /// Appends what the server sends before the client says anything: MySQL's greeting, else nothing.
    pub fn greet(&mut self, out: &mut Vec<u8>) {
        if let Codec::Mysql(mysql) = &mut self.codec {
            mysql.greet(out);
        }
    }

    /// Makes the reply to the next request the protocol's error (503, ERR 1105, `SERVER_ERROR`, `-ERR`). Echo knows none.
    pub fn fail_next(&mut self) {
        self.fail_next = true;
    }

    /// Requests answered so far, without set-up.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Handles at most one message of `input` and appends the reply to `out`: call again until nothing is consumed.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        if let Some(end) = self.end {
            return Step::end(input.len(), end);
        }
        if input.is_empty() {
            return Step::WAIT;
        }
        let turn = Turn {
            settings: &self.settings,
            store: &self.store,
            last: self.settings.max_requests == self.requests.saturating_add(1),
            fail: self.fail_next,
        };
        let mut step = match &mut self.codec {
            Codec::Echo(codec) => codec.receive(turn, input, out),
            Codec::Http(codec) => codec.receive(turn, input, out),
            Codec::Mysql(codec) => codec.receive(turn, input, out),
            Codec::Memcached(codec) => codec.receive(turn, input, out),
            Codec::Redis(codec) => codec.receive(turn, input, out),
        };
        if matches!(step.asked, Some(Asked::Request | Asked::Mistake)) {
            if turn.last {
                step.end = step.end.or(Some(End::MaxRequests));
            }
            self.requests = self.requests.saturating_add(1);
            self.fail_next = false;
        }
        self.end = step.end;
        step
    }
}

/// For tests: all replies of a server of its own to a whole stream, with values of three bytes; its requests and its end.
#[cfg(test)]
pub(super) fn served(kind: Kind, connection: u64, input: &str) -> (String, u32, Option<End>) {
    let settings = Settings {
        response_bytes: 3,
        ..Settings::default()
    };
    let mut session = ServerSession::new(kind, Arc::new(settings), connection);
    let (mut out, mut left, mut end) = (Vec::new(), input.as_bytes(), None);
    while !left.is_empty() && end.is_none() {
        let step = session.receive(left, &mut out);
        assert!(step.consumed > 0 || step.end.is_some(), "incomplete: {input:?}");
        left = &left[step.consumed..];
        end = step.end;
    }
    (String::from_utf8(out).unwrap(), session.requests(), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert!(size_of::<ServerSession>() <= 144, "{}", size_of::<ServerSession>());
    }

    #[test]
    fn what_comes_after_the_end_is_dropped_and_a_reset_session_starts_anew() {
        let mut session = ServerSession::new(Kind::Memcached, Arc::default(), 1);
        let mut out = Vec::new();
        assert_eq!(session.receive(b"quit\r\n", &mut out), Step::end(6, End::Quit));
        assert_eq!(session.receive(b"version\r\n", &mut out), Step::end(9, End::Quit));
        assert!(out.is_empty());
        session.reset(2);
        assert_eq!(session.receive(b"get k\r\n", &mut out), Step::request(7));
    }

    #[test]
    fn the_connection_ends_with_the_last_request_allowed() {
        let settings = Settings {
            max_requests: 2,
            ..Settings::default()
        };
        for (kind, request) in [
            (Kind::Echo, &b"x"[..]),
            (Kind::Http, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
            (Kind::Memcached, b"get k\r\n"),
            (Kind::Redis, b"GET k\r\n"),
        ] {
            let mut session = ServerSession::new(kind, Arc::new(settings.clone()), 1);
            let mut out = Vec::new();
            assert_eq!(session.receive(request, &mut out).end, None);
            let step = session.receive(request, &mut out);
            assert_eq!(step.asked, Some(Asked::Request));
            assert_eq!(step.end, Some(End::MaxRequests), "{kind:?}");
        }
    }

    #[test]
    fn sessions_that_share_a_store_see_what_the_others_set() {
        let store = Arc::<Store>::default();
        for (kind, set, get, value) in [
            (
                Kind::Memcached,
                &b"set k 0 0 2\r\nhi\r\n"[..],
                &b"get k\r\n"[..],
                "VALUE k 0 2\r\nhi\r\nEND\r\n",
            ),
            (Kind::Redis, b"SET k hi\r\n", b"GET k\r\n", "$2\r\nhi\r\n"),
        ] {
            let session = |number| ServerSession::sharing(kind, Arc::default(), Arc::clone(&store), number);
            let (mut one, mut other, mut out) = (session(1), session(2), Vec::new());
            let mut consumed = 0;
            while consumed < set.len() {
                consumed += one.receive(&set[consumed..], &mut out).consumed;
            }
            out.clear();
            other.receive(get, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), value);
        }
    }

    #[test]
    fn set_up_is_answered_as_ever_and_counts_against_no_limit() {
        let settings = Settings {
            max_requests: 1,
            ..Settings::default()
        };
        for (kind, set_up, request, fine) in [
            (Kind::Memcached, &b"version\r\n"[..], &b"get k\r\n"[..], "VERSION "),
            (Kind::Redis, b"CLIENT SETNAME a\r\n", b"GET k\r\n", "+OK\r\n"),
        ] {
            let mut session = ServerSession::new(kind, Arc::new(settings.clone()), 1);
            session.fail_next();
            for _ in 0..3 {
                let mut out = Vec::new();
                let step = session.receive(set_up, &mut out);
                assert_eq!(step, Step::answered(set_up.len(), Asked::SetUp));
                assert!(out.starts_with(fine.as_bytes()), "{kind:?}: {}", out.escape_ascii());
            }
            assert_eq!(session.requests(), 0);
            let mut out = Vec::new();
            let step = session.receive(request, &mut out);
            assert_eq!((step.end, session.requests()), (Some(End::MaxRequests), 1));
            assert!(!out.starts_with(b"VALUE") && !out.starts_with(b"$"), "it was to fail");
        }
    }

    #[test]
    fn a_reply_can_be_made_the_protocols_error_once() {
        for (kind, request, error, fine) in [
            (
                Kind::Http,
                &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
                "HTTP/1.1 503 ",
                "HTTP/1.1 200 ",
            ),
            (Kind::Memcached, b"get k\r\n", "SERVER_ERROR ", "END\r\n"),
            (Kind::Redis, b"GET k\r\n", "-ERR ", "$-1\r\n"),
        ] {
            let mut session = ServerSession::new(kind, Arc::default(), 1);
            session.fail_next();
            for start in [error, fine] {
                let mut out = Vec::new();
                assert_eq!(session.receive(request, &mut out), Step::request(request.len()));
                assert!(out.starts_with(start.as_bytes()), "{kind:?}: {}", out.escape_ascii());
            }
        }
    }
}
