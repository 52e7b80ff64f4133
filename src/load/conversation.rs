//! The client's side of one connection over which a protocol is spoken: sends, receives, and says what came.
//!
//! [`Conversation::go_on`] goes as far as it goes without waiting and returns with each event, so that whoever drives it
//! (an engine that makes one connection after the other, a pool that keeps them) decides what follows: the next request,
//! a pause, the quit, close(). It never closes. What is received is kept only as far as no whole message of it is there
//! yet ([`MAX_MESSAGE`] bytes at the most). Buffers pass from connection to connection: in steady state nothing is
//! allocated. Knows no poller and no clock.

use std::sync::Arc;

use nix::errno::Errno;
use socket2::Socket;

use super::stream::{self, Received, Transfer};
use super::{Work, is_understood, session};
use crate::protocol::{ClientSession, Event, Kind, MAX_MESSAGE, Settings};
use crate::record::tally::{Cause, Phase};

/// Conversations that are not under way, to be used again with their buffers.
#[derive(Debug)]
pub(super) struct Conversations {
    kind: Kind,
    settings: Arc<Settings>,
    #[expect(
        clippy::vec_box,
        reason = "the boxes themselves are used again: a connection allocates none"
    )]
    spare: Vec<Box<Conversation>>,
}

impl Conversations {
    /// None where nothing is said, or so many bytes that are but counted.
    pub(super) fn of(work: &Work) -> Option<Self> {
        let kind = session::kind(work.protocol).filter(|_| is_understood(work.protocol))?;
        // When the server closes is its own affair.
        let settings = session::settings(work.load.request_bytes, work.load.response_bytes, 0);
        Some(Self::new(kind, settings))
    }

    pub(super) fn new(kind: Kind, settings: Settings) -> Self {
        Self {
            kind,
            settings: Arc::new(settings),
            spare: Vec::new(),
        }
    }

    /// The conversation on a new connection.
    pub(super) fn begin(&mut self) -> Box<Conversation> {
        match self.spare.pop() {
            Some(mut spare) => {
                spare.reset();
                spare
            }
            None => Box::new(Conversation::new(self.kind, Arc::clone(&self.settings))),
        }
    }

    /// The connection is closed.
    pub(super) fn end(&mut self, conversation: Box<Conversation>) {
        self.spare.push(conversation);
    }
}

/// What a conversation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Input,
    Output,
}

/// How far a conversation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The socket would block: the last call gave EAGAIN.
    Wait(Need),
    /// The server let us in: requests may be sent.
    Ready,
    /// The response to the request is complete.
    Response {
        /// The protocol's own error: see [`Event::Response`].
        error: Option<u16>,
        /// The server said that it will close, or has closed.
        closing: bool,
    },
    /// The server's FIN. No more will come, and nothing can be said.
    PeerClosed,
    /// The server refuses to talk, sends what is not the protocol, or the system call failed.
    Failed(Phase, Cause),
}

/// One connection's conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    session: ClientSession,
    /// Received and not dealt with yet.
    input: Vec<u8>,
    /// What is to be said, of which the first `sent` bytes are sent.
    output: Vec<u8>,
    sent: usize,
}

impl Conversation {
    fn new(kind: Kind, settings: Arc<Settings>) -> Self {
        Self {
            session: ClientSession::new(kind, settings),
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
        }
    }

    /// Makes the conversation that on a new connection.
    fn reset(&mut self) {
        self.session.reset();
        self.input.clear();
        self.output.clear();
        self.sent = 0;
    }

    /// Whether a request may be made now; with a login only after [`Turn::Ready`].
    pub(super) fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    /// Makes a request, which [`go_on`](Self::go_on) sends. After the `last` one HTTP's server is asked to close.
    pub(super) fn request(&mut self, last: bool) {
        self.session.request(last, &mut self.output);
    }

    /// Asks whether the other end is there, as a request that is answered by [`Turn::Response`]. False where the protocol
    /// has no such request: then nothing is asked.
    pub(super) fn ping(&mut self) -> bool {
        self.session.ping(&mut self.output)
    }

    /// Says the protocol's quit, which [`go_on`](Self::go_on) sends. What comes after it is dropped, up to
    /// [`Turn::PeerClosed`].
    pub(super) fn quit(&mut self) {
        self.session.quit(&mut self.output);
        self.input.clear();
    }

    /// What is to be sent now.
    pub(super) fn unsaid(&self) -> &[u8] {
        &self.output[self.sent..]
    }

    /// Whether something that came has not been dealt with.
    pub(super) fn keeps(&self) -> bool {
        !self.input.is_empty()
    }

    /// So many bytes of [`unsaid`](Self::unsaid) are sent.
    pub(super) fn said(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.output.len());
        if self.sent == self.output.len() {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Sends what is to be sent: `Done` or `Blocked`.
    pub(super) fn speak(&mut self, socket: &Socket) -> Result<Transfer, Errno> {
        if self.output.is_empty() {
            return Ok(Transfer::Done);
        }
        let mut left = (self.output.len() - self.sent) as u32;
        let result = stream::send(socket, &self.output, &mut left);
        self.said(self.output.len() - self.sent - left as usize);
        result
    }

    /// Goes on until something has come or the socket would block. `buffer` is what all connections of a thread receive
    /// into, and not empty.
    pub(super) fn go_on(&mut self, socket: &Socket, buffer: &mut [u8]) -> Turn {
        loop {
            match self.speak(socket) {
                Ok(Transfer::Done) => {}
                Ok(_) => return Turn::Wait(Need::Output),
                Err(errno) => return failed(Phase::Send, errno),
            }
            if let Some(turn) = self.think() {
                return turn;
            }
            if !self.output.is_empty() {
                continue;
            }
            let room = buffer.len().min(self.room());
            match stream::receive_some(socket, &mut buffer[..room]) {
                Ok(Received::Bytes(count)) => {
                    if let Some(turn) = self.hear(&buffer[..count]) {
                        return turn;
                    }
                }
                Ok(Received::Blocked) => return Turn::Wait(Need::Input),
                Ok(Received::Eof) => return self.hang_up(),
                Err(errno) => return failed(Phase::Recv, errno),
            }
        }
    }

    /// What has come is dealt with in place, up to the first event; only what is left is kept.
    pub(super) fn hear(&mut self, came: &[u8]) -> Option<Turn> {
        if !self.input.is_empty() {
            self.input.extend_from_slice(came);
            return self.think();
        }
        let (consumed, turn) = deal_with(&mut self.session, came, &mut self.output);
        self.input.extend_from_slice(&came[consumed..]);
        turn.or_else(|| self.overfull())
    }

    /// Deals with what was kept, up to the first event.
    pub(super) fn think(&mut self) -> Option<Turn> {
        let (consumed, turn) = deal_with(&mut self.session, &self.input, &mut self.output);
        self.input.drain(..consumed);
        turn.or_else(|| self.overfull())
    }

    /// No session waits for a message that does not fit: that none does is a promise of `protocol`'s, held here.
    fn overfull(&self) -> Option<Turn> {
        (self.input.len() >= MAX_MESSAGE).then_some(Turn::Failed(Phase::Recv, Cause::Malformed))
    }

    /// What may come at once, at the most: more has no room.
    pub(super) fn room(&self) -> usize {
        MAX_MESSAGE - self.input.len()
    }

    /// The server's FIN has come.
    pub(super) fn hang_up(&mut self) -> Turn {
        match self.session.end_of_stream() {
            Some(event) => turn(event),
            None => Turn::PeerClosed,
        }
    }
}

/// Deals with message after message, up to the first event: how many bytes that were, and what came of it.
fn deal_with(session: &mut ClientSession, input: &[u8], output: &mut Vec<u8>) -> (usize, Option<Turn>) {
    let mut consumed = 0;
    while consumed < input.len() {
        let step = session.receive(&input[consumed..], output);
        consumed += step.consumed;
        if let Some(event) = step.event {
            return (consumed, Some(turn(event)));
        }
        if step.consumed == 0 {
            break;
        }
    }
    (consumed, None)
}

fn turn(event: Event) -> Turn {
    match event {
        Event::LoggedIn => Turn::Ready,
        Event::Response { error, closing } => Turn::Response { error, closing },
        Event::Refused(_) => Turn::Failed(Phase::Recv, Cause::Refused),
        Event::Malformed(_) => Turn::Failed(Phase::Recv, Cause::Malformed),
    }
}

fn failed(phase: Phase, errno: Errno) -> Turn {
    Turn::Failed(phase, Cause::Errno(errno as i32))
}
