//! The connection phase's packets, both to write and to read: Protocol::HandshakeV10, Protocol::HandshakeResponse41 and
//! Protocol::AuthSwitchRequest.

use super::auth::Scramble;
use super::packet::Reader;
use super::{CHARSET, PLUGIN, capability};

/// What the server says it is. 5.7 is the last version whose clients expect `mysql_native_password`.
pub(super) const SERVER_VERSION: &str = "5.7.44-linger";

const SERVER_CAPABILITIES: u32 = capability::LONG_PASSWORD
    | capability::FOUND_ROWS
    | capability::LONG_FLAG
    | capability::CONNECT_WITH_DB
    | capability::PROTOCOL_41
    | capability::TRANSACTIONS
    | capability::SECURE_CONNECTION
    | capability::PLUGIN_AUTH
    | capability::CONNECT_ATTRS
    | capability::PLUGIN_AUTH_LENENC_CLIENT_DATA;

const CLIENT_CAPABILITIES: u32 = capability::LONG_PASSWORD
    | capability::LONG_FLAG
    | capability::PROTOCOL_41
    | capability::TRANSACTIONS
    | capability::SECURE_CONNECTION
    | capability::PLUGIN_AUTH;

/// The client's `max_packet`: advice to the server, 16 MiB.
const MAX_PACKET: u32 = 16 << 20;

/// Appends the greeting's payload.
pub(super) fn write_greeting(out: &mut Vec<u8>, connection: u32, scramble: &Scramble, status: u16) {
    let [low_0, low_1, high_0, high_1] = SERVER_CAPABILITIES.to_le_bytes();
    out.push(10);
    out.extend(SERVER_VERSION.as_bytes());
    out.push(0);
    out.extend(connection.to_le_bytes());
    out.extend(&scramble[..8]);
    out.push(0);
    out.extend([low_0, low_1, CHARSET]);
    out.extend(status.to_le_bytes());
    out.extend([high_0, high_1, scramble.len() as u8 + 1]);
    out.extend([0; 10]);
    out.extend(&scramble[8..]);
    out.push(0);
    out.extend(PLUGIN);
    out.push(0);
}

/// The greeting's scramble; None where it is no greeting of protocol 10 with one of 20 bytes.
pub(super) fn read_greeting(payload: &[u8]) -> Option<Scramble> {
    let mut reader = Reader(payload);
    if reader.u8()? != 10 {
        return None;
    }
    reader.c_string()?;
    reader.u32()?;
    let first = reader.bytes(8)?;
    reader.u8()?;
    let low = reader.u16()?;
    if u32::from(low) & capability::SECURE_CONNECTION == 0 {
        return None;
    }
    // Character set, status, upper capabilities, length of the scramble, ten bytes reserved.
    reader.bytes(1 + 2 + 2 + 1 + 10)?;
    let second = reader.bytes(12)?;
    Some(join(first, second))
}

fn join(first: &[u8], second: &[u8]) -> Scramble {
    let mut scramble = [0; 20];
    scramble[..8].copy_from_slice(first);
    scramble[8..].copy_from_slice(second);
    scramble
}

/// Appends the payload of the client's answer to the greeting.
pub(super) fn write_response(out: &mut Vec<u8>, user: &str, token: &[u8]) {
    out.extend(CLIENT_CAPABILITIES.to_le_bytes());
    out.extend(MAX_PACKET.to_le_bytes());
    out.push(CHARSET);
    out.extend([0; 23]);
    // A NUL would end the name early.
    out.extend(user.bytes().filter(|&byte| byte != 0).take(80));
    out.push(0);
    out.push(token.len() as u8);
    out.extend(token);
    out.extend(PLUGIN);
    out.push(0);
}

/// What the server must know of the client's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response<'a> {
    pub(super) user: &'a [u8],
    /// Empty where none is chosen.
    pub(super) database: &'a [u8],
    pub(super) token: &'a [u8],
    /// The token is another plugin's.
    pub(super) other_plugin: bool,
}

/// None where it is no HandshakeResponse41, or asks for TLS, which was not offered.
pub(super) fn read_response(payload: &[u8]) -> Option<Response<'_>> {
    let mut reader = Reader(payload);
    let capabilities = reader.u32()?;
    let has = |flag| capabilities & flag != 0;
    if !has(capability::PROTOCOL_41) || has(capability::SSL) {
        return None;
    }
    // Largest packet, character set, 23 bytes reserved.
    reader.bytes(4 + 1 + 23)?;
    let user = reader.c_string()?;
    let token = if has(capability::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
        reader.string()?
    } else if has(capability::SECURE_CONNECTION) {
        let length = reader.u8()?;
        reader.bytes(length.into())?
    } else {
        reader.c_string()?
    };
    let database = match has(capability::CONNECT_WITH_DB) {
        true => reader.c_string()?,
        false => b"",
    };
    // Some clients leave out the NUL after the plugin, some the plugin. Connection attributes may follow it.
    let plugin = match has(capability::PLUGIN_AUTH) {
        true => reader.0.split(|&byte| byte == 0).next().unwrap_or(b""),
        false => b"",
    };
    Some(Response {
        user,
        database,
        token,
        other_plugin: !plugin.is_empty() && plugin != PLUGIN,
    })
}

/// Appends the payload of the server's wish for [`PLUGIN`].
pub(super) fn write_switch(out: &mut Vec<u8>, scramble: &Scramble) {
    out.push(0xfe);
    out.extend(PLUGIN);
    out.push(0);
    out.extend(scramble);
    out.push(0);
}

/// The scramble of a wish for [`PLUGIN`]; None for another plugin.
pub(super) fn read_switch(payload: &[u8]) -> Option<Scramble> {
    let mut reader = Reader(payload);
    if reader.u8()? != 0xfe || reader.c_string()? != PLUGIN {
        return None;
    }
    reader.bytes(20)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::auth::scramble;
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let (scramble, mut out) = (scramble(5), Vec::new());
        write_greeting(&mut out, 5, &scramble, 2);
        assert_eq!(read_greeting(&out), Some(scramble));
        out.clear();
        write_switch(&mut out, &scramble);
        assert_eq!(read_switch(&out), Some(scramble));
        out.clear();
        write_response(&mut out, "me", b"token");
        let expected = Response {
            user: b"me",
            database: b"",
            token: b"token",
            other_plugin: false,
        };
        assert_eq!(read_response(&out), Some(expected));
    }

    #[test]
    fn a_packet_cut_short_anywhere_is_none() {
        let (scramble, mut greeting, mut response) = (scramble(5), Vec::new(), Vec::new());
        write_greeting(&mut greeting, 5, &scramble, 2);
        for end in 0..greeting.len() - PLUGIN.len() - 2 {
            assert_eq!(read_greeting(&greeting[..end]), None);
        }
        write_response(&mut response, "me", b"token");
        for end in 0..response.len() - PLUGIN.len() - 1 {
            assert_eq!(read_response(&response[..end]), None);
        }
    }
}
