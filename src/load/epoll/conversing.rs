//! A connection's steps where a protocol is spoken: login, requests, responses.

use super::connection::{Client, Connection, State, Step};
use crate::load::Failure;
use crate::load::conversation::{Need, Turn};
use crate::load::stream::Transfer;
use crate::record::tally::{Cause, Phase};

impl Connection {
    /// Makes a request, which is sent next.
    pub(super) fn ask(&mut self, client: &mut Client<'_>) -> Step {
        if let Some(conversation) = &mut self.conversation {
            conversation.request(false);
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
            let need = match conversation.speak(&self.socket) {
                Ok(Transfer::Done) => Need::Input,
                Ok(_) => Need::Output,
                Err(errno) => return Err((Phase::Send, Cause::Errno(errno as i32))),
            };
            self.state = State::Conversing(need);
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
}
