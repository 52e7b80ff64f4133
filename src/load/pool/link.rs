//! One of the pool's connections, and the system calls on it. A step tries at once and says what came of it.

use std::net::Shutdown;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags};
use socket2::{SockAddr, Socket};

use crate::load::Failure;
use crate::load::conversation::{Conversation, Need};
use crate::load::measured::{Attempt, Ending};
use crate::load::poller::Interest;
use crate::load::source::cause;
use crate::load::stream::{self, Received, Transfer, errno};
use crate::record::tally::{Cause, Phase};
use crate::scenario::plan::ClosePlan;
use crate::tcp::CloseMode;

#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Socket,
    pub(super) attempt: Attempt,
    pub(super) state: State,
    /// What is said, once established.
    pub(super) conversation: Option<Box<Conversation>>,
    /// What the poller was last told to watch for.
    pub(super) watched: Option<Interest>,
    pub(super) destination: usize,
    /// Requests tried on it.
    pub(super) requests: u64,
    /// What was wrong with it.
    pub(super) failure: Option<Failure>,
    /// The server said that it closes after this response.
    pub(super) closing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Connecting,
    LoggingIn(Need),
    Idle,
    Validating(Need),
    /// A request is under way.
    Asking(Need),
    /// The reply has come, and the borrower is not done with it yet.
    Held,
    /// The protocol's quit is said, and not all of it sent.
    Quitting,
    /// We have said what we had to say and wait for the server's FIN.
    Leaving,
}

impl State {
    /// The phase to which a failure in this state counts.
    pub(super) fn phase(self) -> Phase {
        match self {
            Self::Connecting => Phase::Connect,
            Self::LoggingIn(Need::Output)
            | Self::Validating(Need::Output)
            | Self::Asking(Need::Output)
            | Self::Quitting => Phase::Send,
            Self::LoggingIn(_) | Self::Validating(_) | Self::Asking(_) | Self::Leaving => Phase::Recv,
            Self::Idle | Self::Held => Phase::Close,
        }
    }
}

/// How a connection that was not needed any more stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goodbye {
    /// Only close() is left.
    Close,
    /// The rest of the quit must be sent first.
    Quit,
    /// close() waits for the server's FIN.
    Await,
}

impl Link {
    /// A further connect() tells what became of the first. Whether it is established.
    pub(super) fn is_connected(&self, destination: &SockAddr) -> Result<bool, Failure> {
        match self.socket.connect(destination) {
            Ok(()) => Ok(true),
            Err(error) if matches!(errno(&error), Errno::EALREADY | Errno::EINPROGRESS) => Ok(false),
            Err(error) => Err((Phase::Connect, cause(&error))),
        }
    }

    /// Whether neither FIN nor RST has come, and no byte that answers nothing: one look without waiting.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match socket::recv(
            self.socket.as_raw_fd(),
            &mut byte,
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        ) {
            Err(Errno::EAGAIN | Errno::EINTR) => true,
            Ok(_) => false,
            Err(errno) => {
                self.failure = Some((Phase::Recv, Cause::Errno(errno as i32)));
                false
            }
        }
    }

    /// Begins to end a sound connection, as the plan says, or as the server has begun already: what it ended first is not
    /// ours. Returns how it goes on and who was first; the ending is None while that shows only later.
    pub(super) fn say_goodbye(
        &mut self,
        close: &ClosePlan,
        buffer: &mut [u8],
    ) -> Result<(Goodbye, Option<Ending>), Failure> {
        if self.drain(buffer)? {
            return Ok((Goodbye::Close, Some(Ending::PeerClosedFirst)));
        }
        if self.closing {
            return Ok((Goodbye::Await, None));
        }
        let failed = |error: std::io::Error| (Phase::Close, cause(&error));
        stream::set_linger(&self.socket, close).map_err(failed)?;
        match close.mode {
            CloseMode::Graceful | CloseMode::Lingering => Ok((Goodbye::Close, Some(Ending::ClosedFirst))),
            CloseMode::Abortive => Ok((Goodbye::Close, Some(Ending::Aborted))),
            CloseMode::HalfClose => {
                self.socket.shutdown(Shutdown::Write).map_err(failed)?;
                Ok((Goodbye::Await, Some(Ending::ClosedFirst)))
            }
            CloseMode::QuitWait | CloseMode::QuitClose => {
                if let Some(conversation) = &mut self.conversation {
                    conversation.quit();
                }
                self.quit(close.mode)
            }
        }
    }

    /// Sends what is left of the quit, and ends our side at once where the mode does not wait for the server.
    pub(super) fn quit(&mut self, mode: CloseMode) -> Result<(Goodbye, Option<Ending>), Failure> {
        let sent = match &mut self.conversation {
            Some(conversation) => conversation.speak(&self.socket),
            None => Ok(Transfer::Done),
        };
        match sent {
            Ok(Transfer::Done) if mode == CloseMode::QuitWait => Ok((Goodbye::Await, None)),
            Ok(Transfer::Done) => match self.socket.shutdown(Shutdown::Both) {
                Ok(()) => Ok((Goodbye::Close, Some(Ending::QuitClosed))),
                Err(error) => Err((Phase::Close, cause(&error))),
            },
            Ok(_) => Ok((Goodbye::Quit, None)),
            Err(errno) => Err((Phase::Send, Cause::Errno(errno as i32))),
        }
    }

    /// Receives up to the server's FIN: whether it has come.
    pub(super) fn drain(&mut self, buffer: &mut [u8]) -> Result<bool, Failure> {
        loop {
            match stream::receive_some(&self.socket, buffer) {
                Ok(Received::Bytes(_)) => {}
                Ok(Received::Blocked) => return Ok(false),
                Ok(Received::Eof) => return Ok(true),
                Err(errno) => return Err((Phase::Recv, Cause::Errno(errno as i32))),
            }
        }
    }
}
