//! The wire protocols that the built-in server and client speak, enough for real clients and servers to talk to.
//!
//! Bytes in, events and bytes out: no socket, no thread, no clock, and, between two sessions of this module, no allocation
//! once the caller's `out` has grown.
//! A [`ServerSession`] or a [`ClientSession`] is the state of one connection, small and of fixed size; the caller owns
//! the socket and both buffers. What is set in memcached and Redis is kept in a [`Store`], one for all of a server's
//! sessions; everything else is made up. Each call of `receive` handles at most one message:
//!
//! - an incomplete message consumes nothing and waits, and no message is longer than [`MAX_MESSAGE`];
//! - what has no such bound (bodies, values, rows, long queries) is consumed as it comes. A server's session keeps what the
//!   reply depends on (a value to store, a query), no more than 1 MiB of it, and nothing of what a [`ClientSession`] sends.
//!
//! So an input buffer of [`MAX_MESSAGE`] bytes always makes progress, and the caller may stop between two messages: to
//! send what is in `out`, to let time pass, or to make the next reply an error.
//!
//! What it must not know: who drives it, and why a connection is closed.
#![forbid(unsafe_code)]

mod client;
mod echo;
mod http;
mod memcached;
mod mysql;
mod redis;
mod server;
mod store;
mod text;

pub use client::{ClientSession, ClientStep, Event};
pub use server::{Asked, End, ServerSession, Step};
pub use store::Store;

/// No incomplete message makes a session wait for more bytes than this: the smallest input buffer that will do.
pub const MAX_MESSAGE: usize = 16 * 1024;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes of anything come back (RFC 862), and each `request_bytes` of them are a request. Where `response_bytes` is
    /// another number, it is a count: each request is answered with so many bytes of `x`.
    Echo,
    /// HTTP/1.1: RFC 9112.
    Http,
    /// MySQL's client/server protocol: handshake v10, `mysql_native_password`, text resultsets.
    Mysql,
    /// memcached's text protocol: its protocol.txt.
    Memcached,
    /// Redis' RESP2, and RESP3 after `HELLO 3`.
    Redis,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Echo, Self::Http, Self::Mysql, Self::Memcached, Self::Redis];
}

/// What both ends of a trial's connections have in common; shared by all of its sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes that the client's request carries: the body of a POST, the value of a `set`, the string of a SELECT. With 0
    /// it carries none (GET, `get`, `SELECT 1`). Echo sends at least 1.
    pub request_bytes: u32,
    /// Bytes that the server's reply carries: HTTP's body, the value of the key that the client asks for, the string that
    /// the client's SELECT is answered with, echo's reply.
    pub response_bytes: u32,
    /// The server ends a connection after so many requests; 0 sets no limit.
    pub max_requests: u32,
    /// MySQL's user name. The server lets in any.
    pub user: String,
    /// MySQL's password. Without one the client sends none and the server accepts any.
    pub password: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_bytes: 0,
            response_bytes: 1,
            max_requests: 0,
            user: "linger".into(),
            password: None,
        }
    }
}

/// How a TLS record of a handshake begins (RFC 8446, section 5.1), and no message of a text protocol.
const TLS_HANDSHAKE: u8 = 0x16;

/// Appends `count` bytes of payload.
fn fill(out: &mut Vec<u8>, count: u32) {
    out.resize(out.len() + count as usize, b'x');
}

/// Takes what `input` holds of the `left` bytes still to be passed over, and says how many these were.
fn pass_over(left: &mut u64, input: &[u8]) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
    *left -= taken as u64;
    taken
}
