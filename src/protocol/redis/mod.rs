//! Redis: RESP2, RESP3 after `HELLO 3`, and inline commands (redis.io, "Redis serialization protocol specification").
//!
//! What is set is kept in the store, in sixteen databases, and got back, but for the key that linger's own client asks for,
//! which is always there with `response_bytes` bytes. Nothing expires, whatever `SET` says.

mod client;
mod command;
mod keys;
mod server;

pub(super) use client::Client;
pub(super) use server::Server;

/// The client's quit: the server answers `+OK` and closes.
pub(super) const QUIT: &[u8] = b"*1\r\n$4\r\nQUIT\r\n";

/// Asks only whether the server is there: it answers `+PONG`.
pub(super) const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// The longest line that opens an array or a bulk string, with its CR LF: `$`, twenty digits and a sign would do.
const MAX_HEADER: usize = 32;
/// The longest bulk string (Redis: `proto-max-bulk-len`).
const MAX_BULK: u64 = 512 << 20;
