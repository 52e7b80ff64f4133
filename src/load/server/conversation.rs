//! One connection over which a protocol is spoken: receives, answers when and how the plan says, and says when it is to
//! be closed and by whom.
//!
//! What the peer sends is kept only as far as no whole message of it is there yet ([`MAX_MESSAGE`] bytes at the most),
//! and nothing more is read while replies are waiting to be sent: a peer that sends garbage, half a message or nothing,
//! or does not read, holds one connection and no more. Buffers pass from connection to connection.

use std::sync::Arc;

use nix::errno::Errno;
use socket2::Socket;

use super::served::Conversations;
use super::work::ServerWork;
use crate::load::Clock;
use crate::load::clock::nanos;
use crate::load::random::Random;
use crate::load::session;
use crate::load::stream::{self, Received, Transfer};
use crate::protocol::{Asked, End, Kind, MAX_MESSAGE, ServerSession, Settings, Store};
use crate::record::schema::ServerSide;

/// No further message is answered while this many bytes wait to be sent.
const ENOUGH: usize = 64 * 1024;
/// Receptions before other connections get their turn: a peer that never pauses must not have the thread for itself.
const ROUNDS: usize = 32;

/// What all conversations of a server thread share.
#[derive(Debug)]
pub(super) struct Dialogue {
    kind: Kind,
    settings: Arc<Settings>,
    /// What all threads' clients have set.
    store: Arc<Store>,
    clock: Clock,
    delays: bool,
    error_rate: f64,
    random: Random,
    /// Numbers the connections; those of several threads do not meet.
    next_number: u64,
    threads: u64,
    /// Those that have ended, with their buffers.
    #[expect(
        clippy::vec_box,
        reason = "the boxes themselves are used again: a connection allocates none"
    )]
    spare: Vec<Box<Conversation>>,
    pub(super) told: Conversations,
}

impl Dialogue {
    /// None where nothing is spoken, or what is spoken is but so many bytes there and back.
    pub(super) fn new(work: &ServerWork, store: &Arc<Store>, clock: Clock, thread: (usize, usize)) -> Option<Self> {
        let kind = work.is_conversation().then(|| session::kind(work.server.protocol))??;
        let manner = &work.server.manner;
        Some(Self {
            kind,
            settings: Arc::new(session::settings(
                work.request_bytes,
                work.response_bytes,
                work.most_requests(),
            )),
            store: Arc::clone(store),
            clock,
            delays: nanos(manner.latency) > 0,
            error_rate: manner.error_rate,
            random: Random::new(work.seed ^ thread.0 as u64),
            next_number: thread.0 as u64 + 1,
            threads: thread.1 as u64,
            spare: Vec::new(),
            told: Conversations::default(),
        })
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.nanos()
    }

    /// The conversation on a new connection; what the server says first waits to be sent.
    pub(super) fn open(&mut self) -> Box<Conversation> {
        let number = self.next_number;
        self.next_number += self.threads;
        let now = self.now();
        let mut conversation = match self.spare.pop() {
            Some(mut spare) => {
                spare.begin_anew(number, now);
                spare
            }
            None => Box::new(Conversation {
                session: ServerSession::sharing(self.kind, Arc::clone(&self.settings), Arc::clone(&self.store), number),
                input: Vec::new(),
                output: Vec::new(),
                sent: 0,
                fails: false,
                thinking: false,
                leaving: None,
                accepted_at: now,
                active_at: now,
                active_before: now,
                idle_since: None,
                ended_at: None,
            }),
        };
        conversation.session.greet(&mut conversation.output);
        conversation.next_request(self);
        conversation
    }

    /// The connection is closed: what is known of it is booked.
    pub(super) fn close(&mut self, conversation: Box<Conversation>) {
        let now = self.now();
        let told = &mut self.told;
        match conversation.leaving {
            Some(Leaving::Quit) => told.quit += 1,
            Some(Leaving::MaxRequests) => told.max_requests += 1,
            Some(Leaving::Refused) => told.malformed += 1,
            Some(Leaving::Idle) => told.idle_timeout += 1,
            None => {}
        }
        told.requests_per_connection
            .record(conversation.session.requests().into());
        told.lifetime.record(now - conversation.accepted_at);
        let ended_at = conversation.ended_at.unwrap_or(now);
        let idle_since = conversation.idle_since.unwrap_or(conversation.active_at);
        told.idle_before_close.record(ended_at - idle_since);
        self.spare.push(conversation);
    }
}

/// Why the server is to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// The client asked for it.
    Quit,
    MaxRequests,
    /// What came is not the protocol, or the login was refused.
    Refused,
    Idle,
}

impl From<End> for Leaving {
    fn from(end: End) -> Self {
        match end {
            End::Quit => Self::Quit,
            End::MaxRequests => Self::MaxRequests,
            End::Denied | End::Malformed(_) => Self::Refused,
        }
    }
}

/// What a conversation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Input,
    Output,
    /// The reply is not due yet.
    Time,
}

/// How far a conversation came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Wait(Need),
    /// There may be more to do at once, when others have had their turn.
    Again,
    /// Everything is said.
    Leave(Leaving),
    PeerClosed,
    Reset,
}

#[derive(Debug)]
pub(super) struct Conversation {
    session: ServerSession,
    /// Received and not dealt with yet.
    input: Vec<u8>,
    /// Replies, of which the first `sent` bytes are sent.
    output: Vec<u8>,
    sent: usize,
    /// Whether the reply to the next request is the protocol's error.
    fails: bool,
    /// Whether the reply in `output` waits until it is due.
    thinking: bool,
    leaving: Option<Leaving>,
    accepted_at: u64,
    /// When something was last received, or the last of a reply sent.
    active_at: u64,
    /// The same, before what came last.
    active_before: u64,
    /// Where the client said its quit, which is no use of the connection: when it was last used before.
    idle_since: Option<u64>,
    /// When it was left.
    ended_at: Option<u64>,
}

impl Conversation {
    fn begin_anew(&mut self, number: u64, now: u64) {
        self.session.reset(number);
        self.input.clear();
        self.output.clear();
        self.sent = 0;
        (self.fails, self.thinking) = (false, false);
        (self.leaving, self.ended_at, self.idle_since) = (None, None, None);
        (self.accepted_at, self.active_at, self.active_before) = (now, now, now);
    }

    pub(super) fn active_at(&self) -> u64 {
        self.active_at
    }

    /// The reply is due.
    pub(super) fn think_no_longer(&mut self) {
        self.thinking = false;
    }

    /// Nothing has come for too long.
    pub(super) fn tire(&mut self, dialogue: &Dialogue) -> Leaving {
        self.leave(Leaving::Idle, dialogue)
    }

    fn leave(&mut self, why: Leaving, dialogue: &Dialogue) -> Leaving {
        self.ended_at = Some(dialogue.now());
        *self.leaving.insert(why)
    }

    /// Goes on as far as it goes without waiting.
    pub(super) fn go_on(
        &mut self,
        socket: &Socket,
        dialogue: &mut Dialogue,
        buffer: &mut [u8],
        counts: &mut ServerSide,
    ) -> Turn {
        let mut received = 0;
        loop {
            if self.thinking {
                return Turn::Wait(Need::Time);
            }
            match self.speak(socket, dialogue, counts) {
                Ok(Transfer::Done) => {}
                Ok(_) => return Turn::Wait(Need::Output),
                Err(_) => return Turn::Reset,
            }
            if let Some(why) = self.leaving {
                return Turn::Leave(self.leave(why, dialogue));
            }
            if self.answer(dialogue) {
                continue;
            }
            // Not after receiving: what is here already brings no event, and its sender waits for a reply.
            if received == ROUNDS {
                return Turn::Again;
            }
            received += 1;
            let room = MAX_MESSAGE - self.input.len();
            match stream::receive_some(socket, &mut buffer[..room]) {
                Ok(Received::Bytes(count)) => {
                    counts.bytes_received += count as u64;
                    self.input.extend_from_slice(&buffer[..count]);
                    self.active_before = std::mem::replace(&mut self.active_at, dialogue.now());
                }
                Ok(Received::Blocked) => return Turn::Wait(Need::Input),
                Ok(Received::Eof) => return Turn::PeerClosed,
                Err(_) => return Turn::Reset,
            }
        }
    }

    /// Sends what is to be sent.
    fn speak(&mut self, socket: &Socket, dialogue: &Dialogue, counts: &mut ServerSide) -> Result<Transfer, Errno> {
        if self.output.is_empty() {
            return Ok(Transfer::Done);
        }
        let before = self.output.len() - self.sent;
        let mut left = before as u32;
        let result = stream::send(socket, &self.output, &mut left);
        let sent = before - left as usize;
        self.sent += sent;
        counts.bytes_sent += sent as u64;
        if left == 0 {
            self.output.clear();
            self.sent = 0;
            self.active_at = dialogue.now();
        }
        result
    }

    /// Deals with the messages that are there, until a reply has to wait. Whether anything came of it.
    fn answer(&mut self, dialogue: &mut Dialogue) -> bool {
        let (mut consumed, mut used) = (0, false);
        while !self.thinking && self.output.len() < ENOUGH {
            let step = self.session.receive(&self.input[consumed..], &mut self.output);
            if step.end.is_none() {
                used |= step.consumed > 0;
            }
            consumed += step.consumed;
            if let Some(asked) = step.asked {
                self.count(asked, dialogue);
                self.thinking = dialogue.delays;
            }
            if let Some(end) = step.end {
                if end == End::Quit && step.asked.is_none() {
                    // What came with it and before it was a use.
                    self.idle_since = Some(if used { self.active_at } else { self.active_before });
                }
                // The time is taken when the last of it is sent.
                self.leaving = Some(end.into());
                self.input.clear();
                return true;
            }
            if step.consumed == 0 {
                break;
            }
        }
        self.input.drain(..consumed);
        consumed > 0
    }

    fn count(&mut self, asked: Asked, dialogue: &mut Dialogue) {
        match asked {
            Asked::Request | Asked::Mistake => {
                dialogue.told.requests += 1;
                dialogue.told.errors_answered += u64::from(self.fails || asked == Asked::Mistake);
                self.next_request(dialogue);
            }
            Asked::SetUp => dialogue.told.setup += 1,
        }
    }

    /// Decides what the next request will be answered.
    fn next_request(&mut self, dialogue: &mut Dialogue) {
        self.fails = dialogue.error_rate > 0.0 && dialogue.random.unit() <= dialogue.error_rate;
        if self.fails {
            self.session.fail_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use socket2::{Domain, Type};

    use super::*;
    use crate::load::tests::{server_of, work};
    use crate::scenario::spec::Protocol;

    #[test]
    fn a_reply_that_is_due_when_others_get_their_turn_is_sent_before() {
        let mut work = work();
        work.protocol = Protocol::Redis;
        let mut dialogue = Dialogue::new(&server_of(&work), &Arc::default(), Clock::start(), (0, 1)).unwrap();
        let mut conversation = dialogue.open();
        let (mut client, server) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_send_buffer_size(1 << 20).unwrap();
        for socket in [&client, &server] {
            socket.set_nonblocking(true).unwrap();
        }
        // The last piece of the last round makes the reply: its sender waits for it, and no event would come.
        let request = |bytes: usize| format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${bytes}\r\n{}\r\n", "x".repeat(bytes));
        let whole = MAX_MESSAGE * ROUNDS;
        let request = request(whole - (request(whole).len() - whole));
        assert_eq!(
            (request.len(), client.write(request.as_bytes()).unwrap()),
            (whole, whole)
        );
        let (mut buffer, mut counts) = (vec![0; MAX_MESSAGE], ServerSide::default());
        let mut go_on = || conversation.go_on(&server, &mut dialogue, &mut buffer, &mut counts);
        assert_eq!(go_on(), Turn::Again);
        let mut reply = [0; 5];
        assert_eq!((client.read(&mut reply).unwrap(), &reply), (5, b"+OK\r\n"));
        assert_eq!(go_on(), Turn::Wait(Need::Input));
    }
}
