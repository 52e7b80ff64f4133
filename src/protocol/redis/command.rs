//! Redis, the server's side: what each command is answered, and which of them set a connection up.

use std::io::Write;

use super::super::fill;
use super::super::server::{Asked, Turn};

pub(super) const FAILURE: &[u8] = b"-ERR linger was told to fail this request\r\n";

/// A command's arguments, its name among them: the first few, which are all that any command here looks at, and how many
/// there are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arguments<'a> {
    first: [&'a [u8]; 2],
    count: usize,
}

impl<'a> Arguments<'a> {
    pub(super) fn push(&mut self, argument: &'a [u8]) {
        if let Some(slot) = self.first.get_mut(self.count) {
            *slot = argument;
        }
        self.count += 1;
    }

    /// The command's name; empty where nothing came.
    pub(super) fn first(&self) -> &'a [u8] {
        self.first[0]
    }
}

/// What outlasts a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    /// `HELLO 3` was said.
    pub(super) resp3: bool,
}

/// What follows the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn(Asked),
    Quit,
}

/// Answers a command; None where there is none (an empty line, `*0`).
pub(super) fn answer(
    arguments: Arguments<'_>,
    connection: &mut Connection,
    turn: Turn<'_>,
    out: &mut Vec<u8>,
) -> Option<Then> {
    if arguments.count == 0 {
        return None;
    }
    let mut buffer = [0; 8];
    let name = upper_case(arguments.first(), &mut buffer);
    if name == b"QUIT" {
        out.extend(b"+OK\r\n");
        return Some(Then::Quit);
    }
    let asked = asked(name);
    if turn.fail && asked == Asked::Request {
        out.extend(FAILURE);
        return Some(Then::GoOn(asked));
    }
    match (name, arguments.count) {
        (b"PING", 1) => out.extend(b"+PONG\r\n"),
        (b"PING" | b"ECHO", 2) => bulk(arguments.first[1], out),
        (b"GET", 2) => {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "${}\r\n", turn.settings.response_bytes);
            fill(out, turn.settings.response_bytes);
            out.extend(b"\r\n");
        }
        (b"SET", 3..) | (b"SELECT", 2) | (b"AUTH", 2..=3) => out.extend(b"+OK\r\n"),
        (b"DEL", 2..) => {
            let _ = write!(out, ":{}\r\n", arguments.count - 1);
        }
        (b"CLIENT", 2..) => client(arguments.first[1], connection, out),
        (b"COMMAND", _) => command(arguments, connection, out),
        (b"INFO", _) => info(out),
        (b"HELLO", _) => hello(arguments, connection, out),
        (b"PING" | b"ECHO" | b"GET" | b"SET" | b"SELECT" | b"AUTH" | b"DEL" | b"CLIENT", _) => {
            error("wrong number of arguments for", arguments.first(), out);
        }
        _ => error("unknown command", arguments.first(), out),
    }
    Some(Then::GoOn(asked))
}

/// Whether a command is a request. What Redis' manual groups as connection management is set-up (but ECHO, which answers
/// what the program sends), and so is what clients ask of a server before they use it: COMMAND (cluster clients, redis-cli)
/// and INFO (ioredis waits until it says that nothing is loading).
fn asked(name: &[u8]) -> Asked {
    match name {
        b"AUTH" | b"CLIENT" | b"COMMAND" | b"HELLO" | b"INFO" | b"PING" | b"READONLY" | b"RESET" | b"SELECT" => {
            Asked::SetUp
        }
        _ => Asked::Request,
    }
}

/// The word in upper case, or nothing where it is longer than any that is known.
fn upper_case<'a>(word: &[u8], buffer: &'a mut [u8; 8]) -> &'a [u8] {
    let Some(upper) = buffer.get_mut(..word.len()) else {
        return b"";
    };
    upper.copy_from_slice(word);
    upper.make_ascii_uppercase();
    upper
}

fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "${}\r\n", bytes.len());
    out.extend(bytes);
    out.extend(b"\r\n");
}

/// `-ERR <what> '<word>'`, the word cut short and without what would break the line.
fn error(what: &str, word: &[u8], out: &mut Vec<u8>) {
    let _ = write!(out, "-ERR {what} '");
    out.extend(
        word.iter()
            .take(128)
            .map(|&byte| if matches!(byte, b' '..=b'~') { byte } else { b'?' }),
    );
    out.extend(b"'\r\n");
}

fn client(subcommand: &[u8], connection: &Connection, out: &mut Vec<u8>) {
    let mut buffer = [0; 8];
    match upper_case(subcommand, &mut buffer) {
        b"ID" => {
            let _ = write!(out, ":{}\r\n", connection.id);
        }
        b"GETNAME" => bulk(b"", out),
        // SETNAME, SETINFO, REPLY, NO-EVICT and the like.
        _ => out.extend(b"+OK\r\n"),
    }
}

fn command(arguments: Arguments<'_>, connection: &Connection, out: &mut Vec<u8>) {
    let mut buffer = [0; 8];
    match upper_case(arguments.first[1], &mut buffer) {
        b"COUNT" => out.extend(b":0\r\n"),
        // A map: redis-cli asks for it to help with completion.
        b"DOCS" if connection.resp3 => out.extend(b"%0\r\n"),
        _ => out.extend(b"*0\r\n"),
    }
}

fn info(out: &mut Vec<u8>) {
    bulk(b"# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n", out);
}

/// `HELLO [2|3 [AUTH user password] [SETNAME name]]`: switches the protocol and tells of the server, as a map in RESP3
/// and as its flat array in RESP2.
fn hello(arguments: Arguments<'_>, connection: &mut Connection, out: &mut Vec<u8>) {
    connection.resp3 = match (arguments.count, arguments.first[1]) {
        (1, _) => connection.resp3,
        (_, b"2") => false,
        (_, b"3") => true,
        _ => {
            out.extend(b"-NOPROTO unsupported protocol version\r\n");
            return;
        }
    };
    let (head, proto) = if connection.resp3 { ("%7", 3) } else { ("*14", 2) };
    let id = connection.id;
    let _ = write!(
        out,
        "{head}\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:{proto}\r\n\
         $2\r\nid\r\n:{id}\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
    );
}

#[cfg(test)]
mod tests {
    use super::super::super::Settings;
    use super::*;

    fn reply(words: &[&str], connection: &mut Connection) -> String {
        let settings = Settings::default();
        let turn = Turn {
            settings: &settings,
            last: false,
            fail: false,
        };
        let mut arguments = Arguments::default();
        words.iter().for_each(|word| arguments.push(word.as_bytes()));
        let mut out = Vec::new();
        answer(arguments, connection, turn, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_command_has_its_reply() {
        let connection = &mut Connection { id: 7, resp3: false };
        for (words, expected) in [
            (&["echo", "a"][..], "$1\r\na\r\n"),
            (&["SET", "k", "v", "EX", "10"], "+OK\r\n"),
            (&["DEL", "a", "b"], ":2\r\n"),
            (&["SELECT", "1"], "+OK\r\n"),
            (&["CLIENT", "id"], ":7\r\n"),
            (&["CLIENT", "SETINFO", "LIB-NAME", "redis-py"], "+OK\r\n"),
            (&["COMMAND", "DOCS"], "*0\r\n"),
            (&["GET"], "-ERR wrong number of arguments for 'GET'\r\n"),
            (&["FLUSHALL\r\n+"], "-ERR unknown command 'FLUSHALL??+'\r\n"),
        ] {
            assert_eq!(reply(words, connection), expected);
        }
        assert!(reply(&["INFO", "server"], connection).contains("redis_version:7.0.0\r\n"));
    }

    #[test]
    fn what_clients_say_to_find_their_way_about_is_no_request() {
        let settings = Settings::default();
        let turn = Turn {
            settings: &settings,
            last: false,
            fail: true,
        };
        for (line, expected) in [
            ("CLIENT SETINFO LIB-NAME redis-py", Asked::SetUp),
            ("hello 3", Asked::SetUp),
            ("AUTH secret", Asked::SetUp),
            ("SELECT 3", Asked::SetUp),
            ("PING", Asked::SetUp),
            ("INFO", Asked::SetUp),
            ("COMMAND DOCS", Asked::SetUp),
            ("READONLY", Asked::SetUp),
            ("GET k", Asked::Request),
            ("SET k v", Asked::Request),
            ("ECHO a", Asked::Request),
            ("ZRANGEBYSCORE z 0 1", Asked::Request),
        ] {
            let mut arguments = Arguments::default();
            line.split(' ').for_each(|word| arguments.push(word.as_bytes()));
            let mut out = Vec::new();
            let then = answer(arguments, &mut Connection { id: 7, resp3: false }, turn, &mut out);
            assert_eq!(then, Some(Then::GoOn(expected)), "{line}");
            assert_eq!(
                out == FAILURE,
                expected == Asked::Request,
                "{line}: {}",
                out.escape_ascii()
            );
        }
    }

    #[test]
    fn hello_switches_the_protocol() {
        let connection = &mut Connection { id: 7, resp3: false };
        assert!(reply(&["HELLO", "4"], connection).starts_with("-NOPROTO "));
        assert!(reply(&["HELLO"], connection).starts_with("*14\r\n"));
        assert!(reply(&["HELLO", "3"], connection).starts_with("%7\r\n"));
        assert_eq!(reply(&["COMMAND", "DOCS"], connection), "%0\r\n");
    }
}
