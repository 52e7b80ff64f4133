//! Redis, the server's side: what each command is answered, and which of them set a connection up.

use std::io::Write;

use super::super::server::{Asked, Turn};
use super::super::store::SPACES;
use super::super::text::decimal;
use super::keys;

pub(super) const FAILURE: &[u8] = b"-ERR linger was told to fail this request\r\n";

/// So many arguments of a command are kept.
const KEPT: usize = 32;

/// A command's arguments, its name among them: the first few, which are all that any command here takes, and how many there
/// are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arguments<'a> {
    first: [&'a [u8]; KEPT],
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

    /// The command's first argument after its name; empty where there is none.
    pub(super) fn second(&self) -> &'a [u8] {
        self.first[1]
    }

    pub(super) fn kept(&self) -> &[&'a [u8]] {
        &self.first[..self.count.min(KEPT)]
    }

    pub(super) fn last(&self) -> &'a [u8] {
        self.kept().last().copied().unwrap_or_default()
    }
}

/// What outlasts a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) id: u64,
    /// `HELLO 3` was said.
    pub(super) resp3: bool,
    /// What `SELECT` chose.
    pub(super) database: u8,
}

/// What follows the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn(Asked),
    Quit,
}

/// Answers a command; None where there is none (an empty line, `*0`).
pub(super) fn answer(
    arguments: &Arguments<'_>,
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
    let start = out.len();
    match (name, arguments.count) {
        (_, count) if count > KEPT => error("more than 32 words in", arguments.first(), out),
        (b"PING", 1) => out.extend(b"+PONG\r\n"),
        (b"PING" | b"ECHO", 2) => bulk(arguments.second(), out),
        (b"GET", 2) => keys::get(arguments.second(), connection, turn, out),
        (b"SET", 3..) => keys::set(arguments, connection, turn, out),
        (b"DEL" | b"UNLINK", 2..) => keys::delete(&arguments.kept()[1..], connection, turn, out),
        (b"EXISTS", 2..) => keys::exist(&arguments.kept()[1..], connection, turn, out),
        (b"DBSIZE", 1) => keys::size(connection, turn, out),
        (b"FLUSHDB" | b"FLUSHALL", 1..=2) => flush(name, connection, turn, out),
        (b"SELECT", 2) => select(arguments.second(), connection, out),
        (b"AUTH", 2..=3) => out.extend(b"+OK\r\n"),
        (b"RESET", 1) => {
            (connection.resp3, connection.database) = (false, 0);
            out.extend(b"+RESET\r\n");
        }
        (b"CLIENT", 2..) => client(arguments.second(), connection, out),
        (b"COMMAND", _) => command(arguments, connection, out),
        (b"INFO", _) => info(out),
        (b"HELLO", _) => hello(arguments, connection, out),
        (
            b"PING" | b"ECHO" | b"GET" | b"SET" | b"SELECT" | b"AUTH" | b"DEL" | b"UNLINK" | b"EXISTS" | b"DBSIZE"
            | b"FLUSHDB" | b"FLUSHALL" | b"RESET" | b"CLIENT",
            _,
        ) => error("wrong number of arguments for", arguments.first(), out),
        _ => error("unknown command", arguments.first(), out),
    }
    let mistaken = asked == Asked::Request && out.get(start) == Some(&b'-');
    Some(Then::GoOn(if mistaken { Asked::Mistake } else { asked }))
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

pub(super) fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
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

fn select(number: &[u8], connection: &mut Connection, out: &mut Vec<u8>) {
    match decimal(number) {
        Some(number) if number < SPACES as u64 => {
            connection.database = number as u8;
            out.extend(b"+OK\r\n");
        }
        _ => out.extend(b"-ERR DB index is out of range\r\n"),
    }
}

fn flush(name: &[u8], connection: &Connection, turn: Turn<'_>, out: &mut Vec<u8>) {
    let mine = usize::from(connection.database);
    let mut shelves = turn.store.open();
    (0..SPACES)
        .filter(|&space| name == b"FLUSHALL" || space == mine)
        .for_each(|space| shelves.clear(space));
    out.extend(b"+OK\r\n");
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

fn command(arguments: &Arguments<'_>, connection: &Connection, out: &mut Vec<u8>) {
    let mut buffer = [0; 8];
    match upper_case(arguments.second(), &mut buffer) {
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
fn hello(arguments: &Arguments<'_>, connection: &mut Connection, out: &mut Vec<u8>) {
    connection.resp3 = match (arguments.count, arguments.second()) {
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
    use super::super::super::{Settings, Store};
    use super::*;

    const fn connection() -> Connection {
        Connection {
            id: 7,
            resp3: false,
            database: 0,
        }
    }

    fn reply(words: &[&str], connection: &mut Connection, store: &Store) -> String {
        let settings = Settings::default();
        let turn = Turn {
            settings: &settings,
            store,
            last: false,
            fail: false,
        };
        let mut arguments = Arguments::default();
        words.iter().for_each(|word| arguments.push(word.as_bytes()));
        let mut out = Vec::new();
        answer(&arguments, connection, turn, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_command_has_its_reply() {
        let connection = &mut connection();
        for (words, expected) in [
            (&["echo", "a"][..], "$1\r\na\r\n"),
            (&["SET", "k", "v", "EX", "10"], "+OK\r\n"),
            (
                &["SET", "linger", "hello"],
                "-ERR the key 'linger' is the load's own and cannot be set\r\n",
            ),
            (&["GET", "linger"], "$1\r\nx\r\n"),
            (&["SELECT", "1"], "+OK\r\n"),
            (&["SELECT", "16"], "-ERR DB index is out of range\r\n"),
            (&["CLIENT", "id"], ":7\r\n"),
            (&["CLIENT", "SETINFO", "LIB-NAME", "redis-py"], "+OK\r\n"),
            (&["COMMAND", "DOCS"], "*0\r\n"),
            (&["GET"], "-ERR wrong number of arguments for 'GET'\r\n"),
            (&["BGSAVE\r\n+"], "-ERR unknown command 'BGSAVE??+'\r\n"),
        ] {
            assert_eq!(reply(words, connection, &Store::default()), expected);
        }
        assert!(reply(&["INFO", "server"], connection, &Store::default()).contains("redis_version:7.0.0\r\n"));
    }

    #[test]
    fn what_was_set_is_got_in_its_database() {
        let (connection, store) = (&mut connection(), Store::default());
        for (line, expected) in [
            ("GET k", "$-1\r\n"),
            ("SET k hello", "+OK\r\n"),
            ("GET k", "$5\r\nhello\r\n"),
            ("SET k other NX PX 5", "$-1\r\n"),
            ("SET k other XX GET", "$5\r\nhello\r\n"),
            ("SET k other PX", "-ERR syntax error\r\n"),
            ("SET k other NX XX", "-ERR syntax error\r\n"),
            ("GET k", "$5\r\nother\r\n"),
            ("EXISTS k k zz linger", ":3\r\n"),
            ("SELECT 3", "+OK\r\n"),
            ("GET k", "$-1\r\n"),
            ("SET m 1", "+OK\r\n"),
            ("FLUSHDB", "+OK\r\n"),
            ("DBSIZE", ":0\r\n"),
            ("HELLO", "*14\r\n"),
            ("HELLO 3", "%7\r\n"),
            ("GET k", "_\r\n"),
            ("RESET", "+RESET\r\n"),
            ("DBSIZE", ":1\r\n"),
            ("DEL k zz", ":1\r\n"),
            ("DEL k", ":0\r\n"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let got = reply(&words, connection, &store);
            assert!(got.starts_with(expected), "{line}: {got}");
        }
        let many = vec!["DEL"; 33];
        assert!(reply(&many, connection, &store).starts_with("-ERR more than 32 words in 'DEL'"));
    }

    #[test]
    fn what_clients_say_to_find_their_way_about_is_no_request() {
        let settings = Settings::default();
        let store = Store::default();
        let turn = Turn {
            settings: &settings,
            store: &store,
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
            let then = answer(&arguments, &mut connection(), turn, &mut out);
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
        let connection = &mut connection();
        assert!(reply(&["HELLO", "4"], connection, &Store::default()).starts_with("-NOPROTO "));
        assert!(reply(&["HELLO"], connection, &Store::default()).starts_with("*14\r\n"));
        assert!(reply(&["HELLO", "3"], connection, &Store::default()).starts_with("%7\r\n"));
        assert_eq!(reply(&["COMMAND", "DOCS"], connection, &Store::default()), "%0\r\n");
    }
}
