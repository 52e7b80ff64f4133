//! MySQL's client/server protocol: handshake v10, `mysql_native_password`, OK, ERR and EOF packets, text resultsets
//! (MySQL Source Code Documentation, "Client/Server Protocol"; MariaDB Knowledge Base, "Clients & Server Protocol").
//!
//! There are no tables. A SELECT of constants, of `@@variables` or of what is known of the connection is answered with just
//! these, and so are SHOW VARIABLES and a few more; SET, USE, transactions and what changes data or tables are answered with
//! OK, and nothing comes of them but autocommit and the database; what would take tables or expressions is answered with ERR
//! 1235, and what is no SQL with ERR 1064. [`OWN_QUERY`] begins what linger's own client asks for: a string of
//! `response_bytes`.
//!
//! No TLS, no compression, no prepared statements: the server does not offer them.

mod auth;
mod client;
mod command;
mod constant;
mod lexer;
mod login;
mod packet;
mod reply;
mod server;
mod sql;
mod variables;

pub(super) use client::Client;
pub(super) use server::Server;

/// COM_QUIT: the server closes without a reply.
pub(super) const QUIT: &[u8] = &[1, 0, 0, 0, 0x01];

/// How linger's own client's queries with a payload begin. Other clients have no reason to say this.
const OWN_QUERY: &[u8] = b"SELECT /* linger */ ";

/// The longest command that is kept and answered, in bytes; `max_allowed_packet`.
const MAX_COMMAND: usize = 1 << 20;

/// The one authentication plugin that is spoken.
const PLUGIN: &[u8] = b"mysql_native_password";

/// utf8mb4_general_ci.
const CHARSET: u8 = 45;

/// Capability flags, those that are used.
mod capability {
    pub(super) const LONG_PASSWORD: u32 = 1;
    pub(super) const FOUND_ROWS: u32 = 1 << 1;
    pub(super) const LONG_FLAG: u32 = 1 << 2;
    pub(super) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(super) const PROTOCOL_41: u32 = 1 << 9;
    pub(super) const SSL: u32 = 1 << 11;
    pub(super) const TRANSACTIONS: u32 = 1 << 13;
    pub(super) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(super) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(super) const CONNECT_ATTRS: u32 = 1 << 20;
    pub(super) const PLUGIN_AUTH_LENENC_CLIENT_DATA: u32 = 1 << 21;
}
