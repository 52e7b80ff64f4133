//! The system calls on a connected, non-blocking socket, for both ends alike.

use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{self, MsgFlags};
use socket2::{Domain, Protocol, Socket, Type};

use crate::scenario::plan::ClosePlan;
use crate::tcp::CloseMode;

/// How far a transfer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// Everything was moved.
    Done,
    /// The socket would block.
    Blocked,
    /// The peer's FIN came first.
    Eof,
}

/// A non-blocking TCP socket, in one system call.
pub(super) fn open(domain: Domain) -> std::io::Result<Socket> {
    Socket::new_raw(domain, Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))
}

/// Sends the last `left` bytes of a message.
pub(super) fn send(socket: &Socket, message: &[u8], left: &mut u32) -> Result<Transfer, Errno> {
    while *left > 0 {
        let rest = &message[message.len() - *left as usize..];
        match socket::send(socket.as_raw_fd(), rest, MsgFlags::MSG_NOSIGNAL) {
            Ok(sent) => *left -= sent as u32,
            Err(Errno::EAGAIN) => return Ok(Transfer::Blocked),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Transfer::Done)
}

/// Receives `left` more bytes, and not a byte beyond.
pub(super) fn receive(socket: &Socket, buffer: &mut [u8], left: &mut u32) -> Result<Transfer, Errno> {
    while *left > 0 {
        match socket::recv(socket.as_raw_fd(), &mut buffer[..*left as usize], MsgFlags::empty()) {
            Ok(0) => return Ok(Transfer::Eof),
            Ok(received) => *left -= received as u32,
            Err(Errno::EAGAIN) => return Ok(Transfer::Blocked),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Transfer::Done)
}

/// What one recv() gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes(usize),
    Blocked,
    Eof,
}

/// Receives what is there, as far as it fits. `buffer` is not empty.
pub(super) fn receive_some(socket: &Socket, buffer: &mut [u8]) -> Result<Received, Errno> {
    loop {
        match socket::recv(socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(0) => return Ok(Received::Eof),
            Ok(count) => return Ok(Received::Bytes(count)),
            Err(Errno::EAGAIN) => return Ok(Received::Blocked),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Receives up to the peer's FIN, so that close() finds no unread byte: it would send RST (RFC 9293, 3.6).
pub(super) fn drain(socket: &Socket, buffer: &mut [u8]) -> Result<Transfer, Errno> {
    loop {
        let mut left = buffer.len() as u32;
        match receive(socket, buffer, &mut left)? {
            Transfer::Done => {}
            end => return Ok(end),
        }
    }
}

/// How the closer's close() goes about it; half-close is shutdown() first and a plain close() in the end.
///
/// With a lingering close, close() blocks the calling thread until the FIN is acknowledged, O_NONBLOCK or not: that is
/// what the option does, and what it costs an event loop.
pub(super) fn set_linger(socket: &Socket, close: &ClosePlan) -> std::io::Result<()> {
    match close.mode {
        CloseMode::Graceful | CloseMode::HalfClose | CloseMode::QuitWait | CloseMode::QuitClose => Ok(()),
        CloseMode::Abortive => socket.set_linger(Some(Duration::ZERO)),
        CloseMode::Lingering => socket.set_linger(Some(Duration::from_secs(close.linger_seconds.unwrap_or(1).into()))),
    }
}

/// close(), with what it returned; the descriptor is gone either way.
pub(super) fn close(socket: Socket) -> Result<(), Errno> {
    nix::unistd::close(socket)
}

/// The errno of a socket2 call.
pub(super) fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}
