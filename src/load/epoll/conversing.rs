//! A connection's steps where a protocol is spoken: login, requests, responses, the quit.

use std::net::Shutdown;

use socket2::Socket;

use super::connection::{Client, Connection, State, Step};
use crate::load::Failure;
use crate::load::conversation::{Conversation, Need, Turn};
use crate::load::measured::Ending;
use crate::load::stream::{Transfer, errno};
use crate::record::tally::{Cause, Phase};
use crate::tcp::CloseMode;

impl Client<'_> {
    /// Keeps what a connection spoke with for the next one.
    pub(super) fn retire(&mut self, conversation: Option<Box<Conversation>>) {
        if let (Some(conversations), Some(conversation)) = (&mut self.conversations, conversation) {
            conversations.end(conversation);
        }
    }
}

impl Connection {
    /// Makes a request, which is sent next.
    pub(super) fn ask(&mut self, client: &mut Client<'_>) -> Step {
        if let Some(conversation) = &mut self.conversation {
            // HTTP's quit is in the last request.
            let last = self.requests_left == 0 && client.work.close.mode.says_quit();
            conversation.request(last);
            client.measured.said.requests += 1;
        }
        self.state = State::Conversing(Need::Output);
        Step::Next
    }

    pub(super) fn conversing(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(Step::Close);
        };
        if self.watched.is_none() {
            // A first wait for the peer needs no try: the poller tells of what is there already.
            self.state = State::Conversing(speak(conversation, &self.socket)?);
            return Ok(Step::Wait);
        }
        match conversation.go_on(&self.socket, &mut client.buffer) {
            Turn::Wait(need) => {
                self.state = State::Conversing(need);
                Ok(Step::Wait)
            }
            Turn::Ready => Ok(self.next_request(client)),
            Turn::Response { error, closing } => {
                client.measured.said.responses += 1;
                client.measured.said.errors += u64::from(error.is_some());
                if closing && self.requests_left > 0 {
                    return Ok(self.await_peer(State::AwaitingClose));
                }
                Ok(self.next_request(client))
            }
            Turn::PeerClosed => Err((Phase::Recv, Cause::UnexpectedEof)),
            Turn::Failed(phase, cause) => Err((phase, cause)),
        }
    }
    /// Says the protocol's quit, which is sent next.
    pub(super) fn quit(&mut self) -> Step {
        if let Some(conversation) = &mut self.conversation {
            conversation.quit();
        }
        self.state = State::Quitting(Need::Output);
        Step::Next
    }

    /// Sends the quit, and either waits for the server's FIN or does not.
    pub(super) fn quitting(&mut self, client: &mut Client<'_>) -> Result<Step, Failure> {
        let Some(conversation) = &mut self.conversation else {
            return Ok(Step::Close);
        };
        if client.work.close.mode == CloseMode::QuitClose {
            if speak(conversation, &self.socket)? == Need::Output {
                self.state = State::Quitting(Need::Output);
                return Ok(Step::Wait);
            }
            let now = client.clock.nanos();
            client.measured.ending(&mut self.attempt, Ending::QuitClosed, now);
            let shut = self.socket.shutdown(Shutdown::Both);
            return match shut {
                Ok(()) => Ok(Step::Close),
                Err(error) => Err((Phase::Close, Cause::Errno(errno(&error) as i32))),
            };
        }
        if self.watched.is_none() {
            self.state = State::Quitting(speak(conversation, &self.socket)?);
            return Ok(Step::Wait);
        }
        match conversation.go_on(&self.socket, &mut client.buffer) {
            Turn::Wait(need) => {
                self.state = State::Quitting(need);
                Ok(Step::Wait)
            }
            Turn::PeerClosed => Ok(self.peer_ends(client, Ending::PeerClosedFirst)),
            Turn::Failed(phase, cause) => Err((phase, cause)),
            // Whatever else comes after the quit says nothing any more.
            Turn::Ready | Turn::Response { .. } => Ok(Step::Next),
        }
    }
}

/// Sends what is to be sent, and says what there is to wait for then.
fn speak(conversation: &mut Conversation, socket: &Socket) -> Result<Need, Failure> {
    match conversation.speak(socket) {
        Ok(Transfer::Done) => Ok(Need::Input),
        Ok(_) => Ok(Need::Output),
        Err(errno) => Err((Phase::Send, Cause::Errno(errno as i32))),
    }
}
