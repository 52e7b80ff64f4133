//! One accepted connection's steps, and the system call of each.

use nix::errno::Errno;
use socket2::Socket;

use super::Service;
use crate::load::poller::Interest;
use crate::load::stream::{self, Transfer};
use crate::tcp::{CloseMode, Closer};

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: Socket,
    pub(super) state: State,
    /// What the poller was last told to watch for.
    pub(super) watched: Option<Interest>,
    /// Whether the hold's time runs.
    pub(super) holding: bool,
    requests_left: u32,
    bytes_left: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
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

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Next,
    Wait,
    End(End),
}

/// Who ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    ClosedFirst,
    PeerClosed,
    Reset,
}

impl Connection {
    pub(super) fn new(socket: Socket, service: &Service<'_>) -> Self {
        let mut connection = Self {
            socket,
            state: State::Receiving,
            watched: None,
            holding: false,
            requests_left: service.exchange.requests,
            bytes_left: 0,
        };
        connection.next_request(service);
        connection
    }

    /// Tries what the state is about.
    pub(super) fn step(&mut self, service: &mut Service<'_>) -> Step {
        match self.state {
            State::Receiving => self.receiving(service),
            State::Sending => self.sending(service),
            State::Held | State::AwaitingClose => self.until_peer_ends(service),
            State::Closing => self.closing(service),
            State::Draining => match stream::drain(&self.socket, &mut service.buffer) {
                Ok(Transfer::Blocked) => Step::Wait,
                // Whatever the peer did since, our FIN was first.
                _ => Step::End(End::ClosedFirst),
            },
        }
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
                Closer::Server if service.work.load.hold.is_zero() => State::Closing,
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
        if close.mode == CloseMode::HalfClose {
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
