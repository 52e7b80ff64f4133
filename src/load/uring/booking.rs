//! What came of each step, booked to its attempt.

use nix::libc;

use super::Loop;
use super::connection::{Connection, State, bytes, our_ending};
use super::ring::{Done, Step};
use crate::load::measured::Ending;
use crate::record::tally::{Cause, Phase};
use crate::tcp::{CloseMode, Closer};

impl Loop<'_> {
    /// Books what came of a step.
    pub(super) fn note(&mut self, done: Done, now: u64) -> std::io::Result<()> {
        let slot = done.slot;
        let Some(mut connection) = self.slots[slot] else {
            return Ok(());
        };
        match done.step {
            // Whatever it found, the steps themselves tell how they ended.
            Step::Cancel => return Ok(()),
            Step::Discard => {
                self.release(slot);
                return Ok(());
            }
            _ if connection.state == State::Failed => {}
            step if done.result < 0 => self.note_failure(&mut connection, step, -done.result, now),
            Step::Connect => {
                self.measured.establish(&mut connection.attempt, None, now);
                if connection.state == State::Connecting {
                    connection.state = State::Exchanging;
                }
                self.wait_for_io(slot, &connection, now);
            }
            step @ (Step::Send | Step::Recv) => {
                self.note_transfer(&mut connection, step, done.result as u32, now);
                self.wait_for_io(slot, &connection, now);
            }
            Step::Say => self.note_said(slot, &mut connection, done.result as u32, now),
            Step::Hear => self.note_heard(slot, &mut connection, done.result as usize, now),
            Step::Shutdown => {
                connection.state = State::Draining;
                self.measured.ending(&mut connection.attempt, Ending::ClosedFirst, now);
            }
            Step::Drain if done.result == 0 && connection.requests_left > 0 => {
                // The server had enough before the client had.
                self.fail(&mut connection, Phase::Recv, Cause::UnexpectedEof, now);
            }
            Step::Drain if done.result == 0 => {
                self.measured
                    .ending(&mut connection.attempt, Ending::PeerClosedFirst, now);
                connection.state = State::Closing;
            }
            Step::Close => {
                self.measured
                    .ending(&mut connection.attempt, our_ending(self.work), now);
                self.measured.succeed(&connection.attempt, now);
                self.release(slot);
                return Ok(());
            }
            Step::Drain | Step::Socket | Step::SetLinger | Step::ShutdownBoth => {}
        }
        self.slots[slot] = Some(connection);
        if done.last { self.go_on(slot, done, now) } else { Ok(()) }
    }

    /// A step failed, and with it the rest of its chain; unless the server was to reset the connection.
    fn note_failure(&mut self, connection: &mut Connection, step: Step, errno: i32, now: u64) {
        // The kernel cancels what follows a step that came short or that the planned reset ended.
        if errno == libc::ECANCELED && (connection.short.is_some() || connection.state == State::Closing) {
            return;
        }
        let expects_reset = (self.work.close.closer, self.work.close.mode) == (Closer::Server, CloseMode::Abortive);
        match step {
            Step::Connect if errno == libc::ECONNRESET && expects_reset && self.exchange.requests == 0 => {
                self.measured.establish(&mut connection.attempt, None, now);
            }
            Step::Drain if errno == libc::ECONNRESET && expects_reset => {}
            _ => {
                let cause = match connection.cancelled {
                    Some(cause) if errno == libc::ECANCELED => cause,
                    _ => Cause::Errno(errno),
                };
                return self.fail(connection, Connection::phase(step), cause, now);
            }
        }
        self.measured.ending(&mut connection.attempt, Ending::PeerReset, now);
        connection.state = State::Closing;
    }

    fn note_transfer(&mut self, connection: &mut Connection, step: Step, moved: u32, now: u64) {
        let wanted = match connection.short.take() {
            Some((short, left)) if short == step => left,
            _ => bytes(&self.exchange, step),
        };
        if moved == wanted {
            return;
        }
        if moved == 0 && step == Step::Recv {
            return self.fail(connection, Phase::Recv, Cause::UnexpectedEof, now);
        }
        connection.short = Some((step, wanted - moved));
    }

    pub(super) fn fail(&mut self, connection: &mut Connection, phase: Phase, cause: Cause, now: u64) {
        self.measured.fail(&mut connection.attempt, phase, cause, now);
        connection.state = State::Failed;
    }
}
