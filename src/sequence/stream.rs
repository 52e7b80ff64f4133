//! Steps that use a connection's stream: send, receive, shut down, close.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::poll::PollFlags;
use socket2::Socket;

use super::SequenceError;
use super::finding::{Came, Finding};
use super::stage::Stage;
use crate::scenario::step::{self, CloseEnd, End, Outcome, Recv, SendBytes, Transfer};
use crate::tcp::CloseMode;

/// Bytes moved at a time: the tap's queue must hold what they become.
const PIECE: usize = 16 * 1024;
/// How often the peer's window is looked at while the buffer is full.
const LOOK: Duration = Duration::from_millis(2);
/// How far an answer is behind what it answers.
const BEHIND: u64 = 24 * 1024;
/// The clock of initial sequence numbers (secure_tcp_seq in net/core/secure_seq.c; RFC 6528, 3, has it slower).
const NANOS_A_NUMBER: u128 = 64;
/// Of a received text, as much is kept for the record.
const KEPT: usize = 64;

impl Stage<'_> {
    pub(super) fn send(&mut self, step: &SendBytes) -> Result<Finding, SequenceError> {
        let given_up = Instant::now() + step.within.0;
        let total = step.text.as_ref().map_or(step.bytes, |text| Some(text.len() as u64));
        // 0 bytes: until there is no room.
        let limit = total.filter(|total| *total > 0);
        let mut sent = 0;
        let came = loop {
            if limit.is_some_and(|limit| sent >= limit) {
                break Came::Ok;
            }
            let piece = piece(step.text.as_deref(), &step.end, sent, limit);
            let Some(socket) = self.socket(&step.end) else {
                return Ok(closed(&step.end));
            };
            match (&mut &*socket).write(&piece) {
                Ok(length) => sent += length as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The window is looked at before the socket is: what makes room comes with a window.
                    let shut = limit.is_none() && self.window_is_shut(&step.end)?;
                    let Some(socket) = self.socket(&step.end) else {
                        return Ok(closed(&step.end));
                    };
                    let until = if limit.is_none() {
                        Instant::now() + LOOK
                    } else {
                        given_up
                    };
                    match self.ready(socket, PollFlags::POLLOUT, until.min(given_up))? {
                        true => {}
                        false if shut => break Came::Ok,
                        false if Instant::now() >= given_up || self.stopped() => break Came::Nothing(step.within.0),
                        false => {}
                    }
                }
                Err(error) => break Came::of(&Err(error)),
            }
        };
        Ok(Finding::outcome(step.expect, came).with("bytes", sent))
    }

    /// Whether the last that the end's peer has said is that it takes no more.
    fn window_is_shut(&mut self, end: &End) -> Result<bool, SequenceError> {
        self.drain_tap()?;
        Ok(self.last_window(&end.peer()) == Some(0))
    }

    pub(super) fn recv(&mut self, step: &Recv) -> Result<Finding, SequenceError> {
        let Some(socket) = self.socket(&step.end) else {
            return Ok(closed(&step.end));
        };
        let wanted = step.text.as_ref().map_or(step.bytes, |text| Some(text.len() as u64));
        let mut received = Received::default();
        let came = self.receive(socket, wanted, step.within.0, &mut received)?;
        let Received { bytes, text } = received;
        let text = String::from_utf8_lossy(&text).into_owned();
        let as_asked = step
            .text
            .as_ref()
            .is_none_or(|wanted| came != Came::Ok || text == wanted.chars().take(KEPT).collect::<String>());
        Ok(Finding::outcome(step.expect, came)
            .provided(as_asked, || format!("the text `{}`", text.escape_debug()))
            .with("bytes", bytes)
            .with("text", text))
    }

    /// Reads to the bytes that are wanted, the stream's end, an error or the time's end.
    fn receive(
        &self,
        socket: &Socket,
        wanted: Option<u64>,
        within: Duration,
        into: &mut Received,
    ) -> Result<Came, SequenceError> {
        let given_up = Instant::now() + within;
        let mut buffer = [0; PIECE];
        loop {
            let left = wanted.map_or(PIECE as u64, |wanted| wanted - into.bytes);
            if left == 0 {
                return Ok(Came::Ok);
            }
            let room = buffer.len().min(usize::try_from(left).unwrap_or(PIECE));
            match (&mut &*socket).read(&mut buffer[..room]) {
                Ok(0) => return Ok(Came::Eof),
                Ok(length) => into.take(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.ready(socket, PollFlags::POLLIN, given_up)? {
                        return Ok(Came::Nothing(within));
                    }
                }
                Err(error) => return Ok(Came::of(&Err(error))),
            }
        }
    }

    /// Sends a piece, receives it, and so on: neither buffer fills, and the tap keeps up.
    pub(super) fn transfer(&mut self, step: &Transfer) -> Result<Finding, SequenceError> {
        let given_up = Instant::now() + step.within.0;
        let peer = step.from.peer();
        let (mut sent, mut answered) = (0, 0);
        let mut came = Came::Ok;
        let limit = step.ahead_of_clock.map_or(step.bytes, |_| u64::MAX);
        while came == Came::Ok && (sent < step.bytes || self.behind_clock(step, sent)) {
            if Instant::now() > given_up || self.stopped() {
                came = Came::Nothing(step.within.0);
                break;
            }
            came = self.move_piece(&step.from, &mut sent, limit, given_up)?;
            if came == Came::Ok && step.answered && sent > BEHIND {
                came = self.move_piece(&peer, &mut answered, sent - BEHIND, given_up)?;
            }
        }
        Ok(Finding::outcome(Outcome::Ok, came).with("bytes", sent))
    }

    /// Whether the stream has yet to get as far ahead of the clock as it is to be.
    fn behind_clock(&self, step: &Transfer, sent: u64) -> bool {
        let Some((ahead, connection)) = step.ahead_of_clock.zip(self.connection(&step.from.connection)) else {
            return false;
        };
        let counted = connection.begun.elapsed().as_nanos() / NANOS_A_NUMBER;
        u128::from(sent) < counted + u128::from(ahead)
    }

    /// Sends a piece of what is left up to `limit`, and has the other end receive it.
    fn move_piece(
        &mut self,
        from: &End,
        moved: &mut u64,
        limit: u64,
        given_up: Instant,
    ) -> Result<Came, SequenceError> {
        let (Some(source), Some(sink)) = (self.socket(from), self.socket(&from.peer())) else {
            return Ok(Came::Errno(nix::libc::EBADF));
        };
        let length = match (&mut &*source).write(&piece(None, from, *moved, Some(limit))) {
            Ok(length) => length as u64,
            Err(error) => return Ok(Came::of(&Err(error))),
        };
        let left = given_up.saturating_duration_since(Instant::now());
        let came = self.receive(sink, Some(length), left, &mut Received::default())?;
        *moved += length;
        self.drain_tap()?;
        Ok(came)
    }

    pub(super) fn shutdown(&mut self, step: &step::Shutdown) -> Result<Finding, SequenceError> {
        let Some(socket) = self.socket(&step.end) else {
            return Ok(closed(&step.end));
        };
        let result = socket.shutdown(Shutdown::Write);
        Ok(Finding::outcome(Outcome::Ok, Came::of(&result)))
    }

    /// close(), as blocking as SO_LINGER makes it: O_NONBLOCK does not shorten it (inet_release).
    pub(super) fn close(&mut self, step: &CloseEnd) -> Result<Finding, SequenceError> {
        let sockets = self.connections.get_mut(&step.end.connection);
        let Some(socket) = sockets.and_then(|connection| connection.sockets[usize::from(step.end.server)].take())
        else {
            return Ok(closed(&step.end));
        };
        let linger = match step.mode {
            CloseMode::Abortive => Some(Duration::ZERO),
            CloseMode::Lingering => step.linger_seconds.map(|seconds| Duration::from_secs(seconds.into())),
            _ => None,
        };
        socket
            .set_linger(linger)
            .map_err(self.failed("setsockopt(SO_LINGER)"))?;
        let begun = Instant::now();
        drop(socket);
        Ok(Finding::done().with("took_seconds", begun.elapsed().as_secs_f64()))
    }
}

/// What was received: how much, and how it begins.
#[derive(Default)]
struct Received {
    bytes: u64,
    text: Vec<u8>,
}

impl Received {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let room = KEPT.saturating_sub(self.text.len()).min(bytes.len());
        self.text.extend(&bytes[..room]);
    }
}

/// The next bytes to send: of the text, or the first letter of the connection's name over and over, so that bytes tell
/// where they are from.
fn piece(text: Option<&str>, end: &End, sent: u64, limit: Option<u64>) -> Vec<u8> {
    if let Some(text) = text {
        return text.as_bytes()[sent as usize..].to_vec();
    }
    let left = limit.map_or(PIECE as u64, |limit| limit - sent);
    let letter = end.connection.as_bytes().first().copied().unwrap_or(b'x');
    vec![letter; PIECE.min(usize::try_from(left).unwrap_or(PIECE))]
}

fn closed(end: &End) -> Finding {
    Finding::impossible(format!("`{end}` has no socket: it is closed, or was never accepted"))
}
