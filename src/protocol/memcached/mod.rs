//! memcached's text protocol (protocol.txt of memcached 1.6): get, gets, the storage commands, delete, flush_all, version,
//! verbosity, stats, quit.
//!
//! What is set is kept in the store and got back, but for the key that linger's own client asks for, which is always
//! there with `response_bytes` bytes. Nothing expires but what was to have expired already (a negative exptime). `version`,
//! `verbosity` and `stats` ask nothing of the cache: they are set-up and no requests.

mod client;
mod server;
mod storing;

pub(super) use client::Client;
pub(super) use server::Server;

/// The client's quit: the server closes without a reply.
pub(super) const QUIT: &[u8] = b"quit\r\n";
/// Asks only whether the server is there.
pub(super) const PING: &[u8] = b"version\r\n";

/// protocol.txt: "the length limit of a key is set at 250 characters".
const MAX_KEY: usize = 250;
