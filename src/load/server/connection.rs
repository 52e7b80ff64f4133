//! One accepted connection's steps, and the system call of each.

use nix::errno::Errno;
use socket2::Socket;

use super::Service;
use super::conversation::{Conversation, Dialogue, Leaving, Need, Turn};
use super::work::ServerWork;
use crate::load::poller::Interest;
use crate::load::stream::{self, Received, Transfer};
use crate::tcp::{CloseMode, Closer};

/// Pieces that are received at the most after a FIN of ours.
const MOST_DRAINED: usize = 64;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// What the poller was last told to watch for.
    pub(super) watched: Option<Interest>,
    /// What is spoken, where it has to be understood.
    pub(super) conversation: Option<Box<Conversation>>,
    state: State,
    /// The limit that runs, and since when nothing was said, where that is limited.
    limit: Option<(Limit, u64)>,
    requests_left: u32,
    bytes_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A protocol is spoken, and waits for something.
    Conversing(Need),
    Receiving,
    Sending,
    /// Everything was said; held open until its time is over.
    Held,
    /// We are to close first, now.
    Closing,
    /// We have sent our FIN with shutdown() and wait for the peer's.
    Draining,
    /// The client is to close first.
    AwaitingClose,
}

/// For how long a connection waits at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Hold,
    Latency,
    Idle,
    Drain,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    Wait,
    /// There may be more to do at once, but others have their turn first.
    Again,
    End(End),
}

/// Who ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    ClosedFirst,
    /// Closed first, with RST.
    Aborted,
    PeerClosed,
    Reset,
}

impl Connection {
    pub(super) fn new(socket: Socket, service: &mut Service<'_>) -> Self {
        let mut connection = Self {
            socket,
            state: State::Conversing(Need::Input),
            watched: None,
            conversation: service.dialogue.as_mut().map(Dialogue::open),
            limit: None,
            requests_left: service.exchange.requests,
            bytes_left: 0,
        };
        if connection.conversation.is_none() {
            connection.next_request(service);
        }
        connection
    }

    /// Tries what the state is about.
    pub(super) fn step(&mut self, service: &mut Service<'_>) -> Step {
        match self.state {
            State::Conversing(_) => self.conversing(service),
            State::Receiving => self.receiving(service),
            State::Sending => self.sending(service),
            State::Held | State::AwaitingClose => self.until_peer_ends(service),
            State::Closing => self.closing(service),
            State::Draining => self.draining(service),
        }
    }

    /// What the poller is to tell of.
    pub(super) fn wants(&self) -> Interest {
        match self.state {
            State::Sending | State::Conversing(Need::Output) => Interest::Output,
            _ => Interest::Input,
        }
    }

    /// The limit that begins now, if one does.
    pub(super) fn next_limit(&mut self, work: &ServerWork) -> Option<Limit> {
        let limits_idleness = !work.server.manner.idle_timeout.is_zero();
        let next = match (self.state, &self.conversation) {
            (State::Held, _) => (Limit::Hold, 0),
            (State::Conversing(Need::Time), Some(conversation)) => (Limit::Latency, conversation.active_at()),
            (State::Conversing(_), Some(conversation)) if limits_idleness => (Limit::Idle, conversation.active_at()),
            (State::Draining, Some(_)) => (Limit::Drain, 0),
            _ => return None,
        };
        (self.limit.replace(next) != Some(next)).then_some(next.0)
    }

    /// A limit has passed: goes on with what it kept from happening.
    pub(super) fn expire(&mut self, service: &Service<'_>) -> Step {
        match (self.state, &mut self.conversation, &service.dialogue) {
            (State::Held, ..) => self.state = State::Closing,
            (State::Draining, ..) => return Step::End(End::ClosedFirst),
            (State::Conversing(Need::Time), Some(conversation), _) => conversation.think_no_longer(),
            (State::Conversing(_), Some(conversation), Some(dialogue)) => {
                let why = conversation.tire(dialogue);
                self.leave(why, service);
            }
            _ => {}
        }
        Step::Next
    }

    fn conversing(&mut self, service: &mut Service<'_>) -> Step {
        let (Some(conversation), Some(dialogue)) = (&mut self.conversation, &mut service.dialogue) else {
            return Step::End(End::Reset);
        };
        let counts = &mut service.served.counts;
        match conversation.go_on(&self.socket, dialogue, &mut service.buffer, counts) {
            Turn::Wait(need) => {
                self.state = State::Conversing(need);
                Step::Wait
            }
            Turn::Again => {
                // Nothing is due: only what the socket still holds is left, and the poller tells of that once more.
                self.state = State::Conversing(Need::Input);
                Step::Again
            }
            // As it asked for. Whether its own FIN was faster, only the kernel knows.
            Turn::Leave(Leaving::Quit) => Step::End(End::ClosedFirst),
            Turn::Leave(why) => {
                self.leave(why, service);
                Step::Next
            }
            Turn::PeerClosed => Step::End(End::PeerClosed),
            Turn::Reset => Step::End(End::Reset),
        }
    }

    /// We are to close first: as the plan says, or, where it did not want us to, politely.
    fn leave(&mut self, why: Leaving, service: &Service<'_>) {
        let close = &service.work.close;
        // A quit's server closes first, but when is the client's word.
        let planned = close.closer == Closer::Server && !close.mode.says_quit();
        self.state = match why {
            Leaving::MaxRequests if planned && !service.work.hold.is_zero() => State::Held,
            _ => State::Closing,
        };
    }

    /// Reads on after our FIN until the peer's, so that no RST destroys what we sent.
    fn draining(&mut self, service: &mut Service<'_>) -> Step {
        if self.conversation.is_none() {
            return match stream::drain(&self.socket, &mut service.buffer) {
                Ok(Transfer::Blocked) => Step::Wait,
                // Whatever the peer did since, our FIN was first.
                _ => Step::End(End::ClosedFirst),
            };
        }
        // A peer that never stops is not to be drained for ever.
        for _ in 0..MOST_DRAINED {
            match stream::receive_some(&self.socket, &mut service.buffer) {
                Ok(Received::Bytes(_)) => {}
                Ok(Received::Blocked) => return Step::Wait,
                Ok(Received::Eof) | Err(_) => break,
            }
        }
        Step::End(End::ClosedFirst)
    }

    /// The next request, or what follows the last response.
    fn next_request(&mut self, service: &Service<'_>) {
        self.state = if self.requests_left > 0 {
            self.requests_left -= 1;
            self.bytes_left = service.exchange.request_bytes;
            State::Receiving
        } else {
            match service.work.close.closer {
                Closer::Client => State::AwaitingClose,
                Closer::Server if service.work.hold.is_zero() => State::Closing,
                Closer::Server => State::Held,
            }
        };
    }

    fn receiving(&mut self, service: &mut Service<'_>) -> Step {
        let before = self.bytes_left;
        let result = stream::receive(&self.socket, &mut service.buffer, &mut self.bytes_left);
        service.served.counts.bytes_received += u64::from(before - self.bytes_left);
        match result {
            Ok(Transfer::Done) => {
                self.state = State::Sending;
                self.bytes_left = service.exchange.response_bytes;
                Step::Next
            }
            result => peer_ended(result),
        }
    }

    fn sending(&mut self, service: &mut Service<'_>) -> Step {
        let before = self.bytes_left;
        let result = stream::send(&self.socket, &service.buffer, &mut self.bytes_left);
        service.served.counts.bytes_sent += u64::from(before - self.bytes_left);
        match result {
            Ok(Transfer::Done) => {
                self.next_request(service);
                Step::Next
            }
            result => peer_ended(result),
        }
    }

    /// Nothing more is due from the peer but its end.
    fn until_peer_ends(&mut self, service: &mut Service<'_>) -> Step {
        peer_ended(stream::drain(&self.socket, &mut service.buffer))
    }

    fn closing(&mut self, service: &Service<'_>) -> Step {
        let close = &service.work.close;
        // Of a conversation that we end against the plan, and of a graceful one, nothing sent is to be lost.
        let drains = match close.mode {
            _ if self.conversation.is_some() && close.closer == Closer::Client => true,
            CloseMode::Graceful => self.conversation.is_some(),
            // That the client's quit ends the connection was the plan: it did not come to that.
            CloseMode::HalfClose | CloseMode::QuitWait | CloseMode::QuitClose => true,
            CloseMode::Abortive | CloseMode::Lingering => false,
        };
        if drains {
            return match self.socket.shutdown(std::net::Shutdown::Write) {
                Ok(()) => {
                    self.state = State::Draining;
                    Step::Next
                }
                // ENOTCONN: the peer's RST was faster.
                Err(_) => Step::End(End::Reset),
            };
        }
        match stream::set_linger(&self.socket, close) {
            Ok(()) if close.mode == CloseMode::Abortive => Step::End(End::Aborted),
            Ok(()) => Step::End(End::ClosedFirst),
            Err(_) => Step::End(End::Reset),
        }
    }
}

/// A transfer that did not come to its end: it waits, or the peer has ended the connection.
fn peer_ended(result: Result<Transfer, Errno>) -> Step {
    match result {
        Ok(Transfer::Eof) => Step::End(End::PeerClosed),
        Ok(_) => Step::Wait,
        Err(_) => Step::End(End::Reset),
    }
}
