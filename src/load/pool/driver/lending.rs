//! What becomes of a connection between its opening and its closing: lent, given back, validated.

use nix::errno::Errno;

use super::{Driver, Limit};
use crate::load::conversation::Need;
use crate::load::pool::core::Why;
use crate::load::pool::link::{Link, State};
use crate::load::source::{cause, local_port};
use crate::load::{Failure, stream};
use crate::record::tally::{Cause, Phase};
use crate::scenario::pool::Validation;

impl Driver<'_> {
    pub(super) fn open(&mut self, index: usize) {
        let pair = self.pairs.next();
        let port = self.ports.next(pair);
        let mut attempt = self.measured.begin(None, pair.number, self.now());
        let socket = match self.sources.open(pair, port) {
            Ok(socket) => socket,
            Err((phase, cause)) => {
                self.measured.fail(&mut attempt, phase, cause, self.now());
                return self.no_link(index, (phase, cause));
            }
        };
        let called = self.now();
        let result = socket.connect(&self.destinations[pair.destination]);
        let now = self.now();
        self.measured.connect_returned(&mut attempt, called, now);
        if let Err(error) = result
            && stream::errno(&error) != Errno::EINPROGRESS
        {
            let failure = (Phase::Connect, cause(&error));
            self.measured.fail(&mut attempt, failure.0, failure.1, now);
            return self.no_link(index, failure);
        }
        self.links[index] = Some(Link {
            socket,
            attempt,
            state: State::Connecting,
            conversation: None,
            watched: None,
            destination: pair.destination,
            requests: 0,
            failure: None,
            closing: false,
        });
        self.advance(index);
    }

    /// A connection could not be opened, and is booked.
    pub(super) fn no_link(&mut self, index: usize, failure: Failure) {
        self.refused = failure;
        self.books.open_failed += 1;
        self.core.open_failed(index, self.now());
    }

    pub(super) fn open_failed(&mut self, index: usize, failure: Failure) {
        self.give_up(index, failure);
        self.no_link(index, failure);
    }

    pub(super) fn establish(&mut self, index: usize) {
        let now = self.now();
        let Some(link) = &mut self.links[index] else { return };
        let port = self.work.tuples.then(|| local_port(&link.socket)).flatten();
        self.measured.establish(&mut link.attempt, port, now);
        let conversation = self.conversations.begin();
        if conversation.is_ready() {
            self.opened(index);
        } else if let Some(link) = &mut self.links[index] {
            link.state = State::LoggingIn(Need::Input);
        }
        if let Some(link) = &mut self.links[index] {
            link.conversation = Some(conversation);
        }
    }

    pub(super) fn opened(&mut self, index: usize) {
        if let Some(link) = &mut self.links[index] {
            link.state = State::Idle;
        }
        self.deadlines.end(index);
        self.books.opened += 1;
        self.core.opened(index, self.now());
    }

    pub(super) fn lend(&mut self, index: usize, borrower: usize) {
        let now = self.now();
        if let Some(request) = &mut self.requests[borrower] {
            self.books.lend(request, now);
        }
        (self.lent[borrower], self.borrower_of[index]) = (Some(index), borrower);
        if let Some(link) = &mut self.links[index]
            && let Some(conversation) = &mut link.conversation
        {
            conversation.request(false);
            link.requests += 1;
            link.state = State::Asking(Need::Output);
            self.measured.said.requests += 1;
        }
        self.advance(index);
    }

    pub(super) fn answered(&mut self, index: usize, closing: bool) {
        let now = self.now();
        let borrower = self.borrower_of[index];
        self.deadlines.end(index);
        if let Some(request) = self.requests[borrower].take() {
            self.books.succeed(&request, &mut self.measured.timeline, now);
        }
        if let Some(link) = &mut self.links[index] {
            link.closing = closing;
            link.state = State::Held;
        }
        if self.work.load.hold.is_zero() {
            self.give_back(index);
        } else {
            self.deadlines.begin(Limit::Hold as usize, index, now);
        }
    }

    /// The borrower is done.
    pub(super) fn give_back(&mut self, index: usize) {
        let Some(link) = &mut self.links[index] else { return };
        link.state = State::Idle;
        let broken = match link.failure {
            Some((_, cause)) if is_servers_end(cause) => Some(Why::ServerClosed),
            Some(_) => Some(Why::Error),
            None => link.closing.then_some(Why::ServerClosed),
        };
        let borrower = self.borrower_of[index];
        self.lent[borrower] = None;
        self.free.push(borrower);
        self.deadlines.end(index);
        self.core.give_back(index, broken, self.now());
    }

    pub(super) fn request_failed(&mut self, index: usize, failure: Failure) {
        let now = self.now();
        if let Some(request) = self.requests[self.borrower_of[index]].take() {
            self.books.fail(&request, failure, &mut self.measured.timeline, now);
        }
        if let Some(link) = &mut self.links[index] {
            link.failure = Some(failure);
        }
        self.give_back(index);
    }

    pub(super) fn validate(&mut self, index: usize) {
        self.books.validation.made += 1;
        let Some(link) = &mut self.links[index] else { return };
        let asks = self.validation == Validation::RoundTrip
            && link
                .conversation
                .as_mut()
                .is_some_and(|conversation| conversation.ping());
        if asks {
            link.state = State::Validating(Need::Output);
            return self.advance(index);
        }
        let sound = link.is_quiet();
        self.books.validation.failed += u64::from(!sound);
        self.core.validated(index, sound, self.now());
    }

    /// A round trip has come to its end.
    pub(super) fn validated(&mut self, index: usize, result: Result<bool, Failure>) {
        let Some(link) = &mut self.links[index] else { return };
        link.state = State::Idle;
        link.failure = result.err();
        link.closing = result == Ok(true);
        // A server that says it will close is none to lend.
        let sound = result == Ok(false);
        self.deadlines.end(index);
        self.books.validation.failed += u64::from(!sound);
        self.core.validated(index, sound, self.now());
    }
}

/// Whether a request failed because the server had ended the connection.
fn is_servers_end(cause: Cause) -> bool {
    use nix::libc::{ECONNRESET, EPIPE};
    matches!(cause, Cause::UnexpectedEof | Cause::Errno(ECONNRESET | EPIPE))
}
