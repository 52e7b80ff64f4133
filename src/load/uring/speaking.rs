//! A connection over which a protocol is spoken: what is said and heard between its chains, and the chain that follows.
//!
//! What comes has to be understood before the next step is known, so that a chain ends with each [`Step::Hear`]. What
//! follows is as in `epoll::conversing`.

use super::Loop;
use super::connection::{Chain, Connection, State, closing};
use super::ring::Step;
use crate::load::Then;
use crate::load::conversation::{Conversation, Turn};
use crate::load::measured::Ending;
use crate::record::tally::{Cause, Phase};
use crate::tcp::CloseMode;

impl Loop<'_> {
    /// The chain that begins an attempt: with the first request, where the server does not speak first.
    pub(super) fn begin_speaking(
        &mut self,
        slot: usize,
        connection: &mut Connection,
        conversation: Box<Conversation>,
    ) -> Chain {
        let ready = conversation.is_ready();
        self.spoken[slot] = Some(conversation);
        if ready {
            self.next_request(slot, connection);
        } else {
            connection.state = State::Speaking;
        }
        self.follow_up(slot, connection, Chain::of([Step::Socket, Step::Connect]))
    }

    /// What has come so far is dealt with; the chain that follows, or none where the connection is held.
    pub(super) fn speak_on(&mut self, slot: usize, connection: &mut Connection, last: Step, now: u64) -> Option<Chain> {
        while matches!(connection.state, State::Speaking | State::Quitting)
            && let Some(conversation) = &mut self.spoken[slot]
            && conversation.unsaid().is_empty()
            && let Some(turn) = conversation.think()
        {
            self.take_turn(slot, connection, turn, now);
        }
        match (connection.state, last) {
            // Nobody asks what a connection says that has failed: it is closed.
            (State::Failed, _) => Some(Chain::of([Step::Discard])),
            (State::Closing, _) => Some(Chain::of([Step::Close])),
            (State::Held, _) => None,
            _ => Some(self.follow_up(slot, connection, Chain::default())),
        }
    }

    /// Adds to the chain what the connection's state asks for next.
    fn follow_up(&mut self, slot: usize, connection: &mut Connection, chain: Chain) -> Chain {
        let mode = self.work.close.mode;
        let quits = connection.state == State::Quitting && mode == CloseMode::QuitClose;
        connection.short = None;
        match (connection.state, &self.spoken[slot]) {
            (State::Speaking | State::Quitting, Some(conversation)) => {
                let unsaid = conversation.unsaid();
                let (all, keeps) = (unsaid.len(), conversation.keeps());
                connection.to_say = self.ring.say(slot, unsaid);
                let chain = if all > 0 { chain.then(Step::Say) } else { chain };
                match () {
                    () if all > connection.to_say as usize => chain,
                    () if quits => closing(mode, chain),
                    // What is kept is dealt with first, once all is said.
                    () if keeps && all > 0 => chain,
                    () => chain.then(Step::Hear),
                }
            }
            (State::Awaiting, _) => chain.then(Step::Drain),
            (State::Parting, _) => closing(mode, chain),
            _ => chain,
        }
    }

    /// The chain that ends a connection whose hold is over.
    pub(super) fn release_held(&mut self, slot: usize, connection: &mut Connection) -> Chain {
        if self.spoken[slot].is_none() {
            return connection.release(self.work);
        }
        self.part(slot, connection);
        self.follow_up(slot, connection, Chain::default())
    }

    /// Keeps what a connection spoke with for the next one.
    pub(super) fn retire(&mut self, slot: usize) {
        if let (Some(conversations), Some(conversation)) = (&mut self.conversations, self.spoken[slot].take()) {
            conversations.end(conversation);
        }
    }

    pub(super) fn note_said(&mut self, slot: usize, connection: &mut Connection, moved: u32, now: u64) {
        let Some(conversation) = &mut self.spoken[slot] else {
            return;
        };
        conversation.said(moved as usize);
        if moved < connection.to_say {
            connection.short = Some((Step::Say, connection.to_say - moved));
        }
        if connection.state == State::Quitting
            && self.work.close.mode == CloseMode::QuitClose
            && conversation.unsaid().is_empty()
        {
            self.measured.ending(&mut connection.attempt, Ending::QuitClosed, now);
        }
        self.wait_for_io(slot, connection, now);
    }

    pub(super) fn note_heard(&mut self, slot: usize, connection: &mut Connection, count: usize, now: u64) {
        let Some(conversation) = &mut self.spoken[slot] else {
            return;
        };
        let turn = match count {
            0 => Some(conversation.hang_up()),
            _ => conversation.hear(self.ring.heard(slot, count)),
        };
        if let Some(turn) = turn {
            self.take_turn(slot, connection, turn, now);
        }
        if connection.state != State::Failed {
            self.wait_for_io(slot, connection, now);
        }
    }

    fn take_turn(&mut self, slot: usize, connection: &mut Connection, turn: Turn, now: u64) {
        let quitting = connection.state == State::Quitting;
        match turn {
            Turn::PeerClosed if quitting => {
                self.measured
                    .ending(&mut connection.attempt, Ending::PeerClosedFirst, now);
                connection.state = State::Closing;
            }
            Turn::PeerClosed => self.fail(connection, Phase::Recv, Cause::UnexpectedEof, now),
            Turn::Failed(phase, cause) => self.fail(connection, phase, cause, now),
            // Whatever else comes after the quit says nothing any more.
            Turn::Ready | Turn::Response { .. } | Turn::Wait(_) if quitting => {}
            Turn::Wait(_) => {}
            Turn::Ready => self.next_request(slot, connection),
            Turn::Response { error, closing } => {
                self.measured.said.responses += 1;
                self.measured.said.errors += u64::from(error.is_some());
                if closing && connection.requests_left > 0 {
                    connection.state = State::Awaiting;
                } else {
                    self.next_request(slot, connection);
                }
            }
        }
    }

    /// Makes the next request, or goes on to what follows the last response.
    fn next_request(&mut self, slot: usize, connection: &mut Connection) {
        if connection.requests_left > 0 {
            connection.requests_left -= 1;
            connection.state = State::Speaking;
            if let Some(conversation) = &mut self.spoken[slot] {
                // HTTP's quit is in the last request.
                conversation.request(connection.requests_left == 0 && self.work.close.mode.says_quit());
                self.measured.said.requests += 1;
            }
            return;
        }
        match self.work.then() {
            Then::Await => connection.state = State::Awaiting,
            Then::Part => self.part(slot, connection),
            Then::Hold => connection.state = State::Held,
        }
    }

    /// We are to close, or to say quit, now.
    fn part(&mut self, slot: usize, connection: &mut Connection) {
        connection.state = State::Parting;
        if self.work.close.mode.says_quit()
            && let Some(conversation) = &mut self.spoken[slot]
        {
            conversation.quit();
            connection.state = State::Quitting;
        }
    }
}
