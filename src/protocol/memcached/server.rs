//! memcached, the server's side.

use std::io::Write;

use super::super::server::{Asked, End, Step, Turn};
use super::super::store::{self, OWN_KEY, Store};
use super::super::text::{Line, first_line, words};
use super::super::{MAX_MESSAGE, TLS_HANDSHAKE, fill};
use super::MAX_KEY;
use super::storing::{self, Fate, Storing, TOO_LARGE};

/// The values of one `get` hold no more than this together: further keys are misses, which any key may be.
const MAX_VALUES: usize = 4 << 20;
/// Room for a key and a value that is given back after the command, so that idle connections hold no more.
const KEPT_ROOM: usize = 64 << 10;

const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const NOT_OWN: &[u8] = b"SERVER_ERROR the key linger is the load's own and cannot be set\r\n";
const FAILURE: &[u8] = b"SERVER_ERROR linger was told to fail this request\r\n";

#[derive(Debug, Default)]
pub(crate) struct Server {
    storing: Option<Storing>,
    /// The key, and what has come of the value.
    kept: Vec<u8>,
}

impl Server {
    pub(crate) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        match &mut self.storing {
            Some(storing) if storing.left > 0 => {
                let taken = input.len().min(storing.left as usize);
                storing.left -= taken as u32;
                match storing.fate {
                    Fate::Kept => self.kept.extend_from_slice(&input[..taken]),
                    Fate::Own if !store::is_own_value(&input[..taken]) => storing.fate = Fate::NotOwn,
                    _ => {}
                }
                Step::pass(taken)
            }
            Some(storing) => {
                let storing = *storing;
                match input {
                    [b'\r', b'\n', ..] => self.stored(storing, turn, out),
                    [b'\r'] => Step::WAIT,
                    _ => malformed(
                        b"CLIENT_ERROR bad data chunk\r\n",
                        "a data block of another length than announced",
                        out,
                    ),
                }
            }
            None if input[0] == TLS_HANDSHAKE => malformed(b"", "a TLS handshake", out),
            None if input[0] & 0x80 != 0 => malformed(b"ERROR\r\n", "memcached's binary protocol", out),
            None => match first_line(input, MAX_MESSAGE) {
                Line::Incomplete => Step::WAIT,
                Line::TooLong => malformed(b"CLIENT_ERROR line too long\r\n", "a line longer than 16 KiB", out),
                Line::Complete(line, length) => self.command(line, length, turn, out),
            },
        }
    }

    fn command(&mut self, line: &[u8], length: usize, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        let mut arguments = words(line);
        let name = arguments.next().unwrap_or_default();
        if let Some(how) = storing::how(name) {
            return match storing::read(how, arguments) {
                Some((key, storing)) => {
                    self.kept.clear();
                    // Nothing of what linger's own client sets: its connections allocate nothing.
                    if matches!(storing.fate, Fate::Kept | Fate::Expired) {
                        self.kept.extend_from_slice(key);
                    }
                    self.storing = Some(storing);
                    Step::pass(length)
                }
                // Without the length, the data that follows would be taken for commands.
                None => malformed(BAD_FORMAT, "a storage command without key, flags, time and length", out),
            };
        }
        let noreply = line.ends_with(b" noreply");
        let start = out.len();
        match name {
            b"quit" => return Step::end(length, End::Quit),
            b"version" => out.extend(b"VERSION 1.6.0-linger\r\n"),
            b"verbosity" => out.extend(b"OK\r\n"),
            b"stats" => stats(turn.store, out),
            _ if turn.fail => out.extend(FAILURE),
            b"get" => get(arguments, false, turn, out),
            b"gets" => get(arguments, true, turn, out),
            b"delete" => match arguments.next() {
                Some(key) if key.len() <= MAX_KEY => {
                    out.extend(match turn.store.open().delete(0, key) || key == OWN_KEY {
                        true => &b"DELETED\r\n"[..],
                        false => b"NOT_FOUND\r\n",
                    })
                }
                _ => out.extend(BAD_FORMAT),
            },
            b"flush_all" => {
                turn.store.open().clear(0);
                out.extend(b"OK\r\n");
            }
            _ => out.extend(b"ERROR\r\n"),
        }
        let asked = match name {
            b"version" | b"verbosity" | b"stats" => Asked::SetUp,
            _ => asked(turn, &out[start..]),
        };
        if noreply && matches!(name, b"verbosity" | b"delete" | b"flush_all") {
            out.truncate(start);
        }
        Step::answered(length, asked)
    }

    /// The data block is whole.
    fn stored(&mut self, storing: Storing, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        self.storing = None;
        let start = out.len();
        match storing.fate {
            _ if turn.fail => out.extend(FAILURE),
            Fate::Refused => out.extend(TOO_LARGE),
            Fate::NotOwn => out.extend(NOT_OWN),
            Fate::Own => out.extend(b"STORED\r\n"),
            Fate::Kept | Fate::Expired => {
                let (key, value) = self.kept.split_at(storing.key_length.into());
                out.extend(storing::keep(storing, key, value, turn.store));
            }
        }
        if self.kept.capacity() > KEPT_ROOM {
            self.kept = Vec::new();
        }
        let asked = asked(turn, &out[start..]);
        if storing.noreply {
            out.truncate(start);
        }
        Step::answered(2, asked)
    }
}

/// What a request was, by its reply.
fn asked(turn: Turn<'_>, reply: &[u8]) -> Asked {
    let error = [&b"ERROR"[..], b"CLIENT_ERROR", b"SERVER_ERROR"]
        .iter()
        .any(|error| reply.starts_with(error));
    match error && !turn.fail {
        true => Asked::Mistake,
        false => Asked::Request,
    }
}

fn get<'a>(keys: impl Iterator<Item = &'a [u8]>, with_version: bool, turn: Turn<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    let mut any = false;
    for key in keys {
        any = true;
        if key.len() > MAX_KEY {
            out.truncate(start);
            out.extend(BAD_FORMAT);
            return;
        }
        if key == OWN_KEY {
            let bytes = turn.settings.response_bytes;
            if out.len() - start + bytes as usize > MAX_VALUES && out.len() > start {
                break;
            }
            head(key, 0, bytes as usize, with_version.then_some(0), out);
            fill(out, bytes);
            out.extend(b"\r\n");
        } else if let Some(entry) = turn.store.open().get(0, key) {
            if out.len() - start + entry.value.len() > MAX_VALUES {
                break;
            }
            head(
                key,
                entry.flags,
                entry.value.len(),
                with_version.then_some(entry.version),
                out,
            );
            out.extend_from_slice(&entry.value);
            out.extend(b"\r\n");
        }
    }
    out.extend::<&[u8]>(if any { b"END\r\n" } else { b"ERROR\r\n" });
}

/// `VALUE <key> <flags> <bytes> [<version>]`
fn head(key: &[u8], flags: u32, bytes: usize, version: Option<u64>, out: &mut Vec<u8>) {
    out.extend(b"VALUE ");
    out.extend(key);
    // Writing to a Vec cannot fail.
    let _ = write!(out, " {flags} {bytes}");
    if let Some(version) = version {
        let _ = write!(out, " {version}");
    }
    out.extend(b"\r\n");
}

fn stats(store: &Store, out: &mut Vec<u8>) {
    let shelves = store.open();
    let _ = write!(
        out,
        "STAT version 1.6.0-linger\r\nSTAT curr_items {}\r\nSTAT bytes {}\r\nEND\r\n",
        shelves.len(0),
        shelves.bytes()
    );
}

fn malformed(reply: &[u8], reason: &'static str, out: &mut Vec<u8>) -> Step {
    out.extend(reply);
    Step::end(0, End::Malformed(reason))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::server::served;
    use super::super::super::{Kind, ServerSession, Settings};
    use super::*;

    /// Replies and steps of a whole stream.
    fn serve(input: &str) -> (String, u32, Option<End>) {
        served(Kind::Memcached, 1, input)
    }

    #[test]
    fn what_was_set_is_got_and_nothing_else() {
        let (reply, requests, _) =
            serve("set a 7 0 2\r\nhi\r\nget a zz linger\r\ngets a\r\ndelete a\r\ndelete a\r\nget a\r\n");
        assert_eq!(requests, 6);
        assert_eq!(
            reply,
            "STORED\r\nVALUE a 7 2\r\nhi\r\nVALUE linger 0 3\r\nxxx\r\nEND\r\nVALUE a 7 2 1\r\nhi\r\nEND\r\n\
             DELETED\r\nNOT_FOUND\r\nEND\r\n"
        );
    }

    #[test]
    fn each_way_to_store_looks_at_what_is_there() {
        for (input, expected) in [
            (
                "add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n2\r\n",
                "STORED NOT_STORED VALUE a 0 1 1 END ",
            ),
            ("replace a 0 0 1\r\n1\r\n", "NOT_STORED END "),
            ("append a 0 0 1\r\n1\r\n", "NOT_STORED END "),
            (
                "set a 3 0 1\r\n1\r\nappend a 0 0 1\r\n2\r\nprepend a 0 0 1\r\n0\r\n",
                "STORED STORED STORED VALUE a 3 3 012 END ",
            ),
            (
                "set a 0 0 1\r\n1\r\ncas a 0 0 1 1\r\n2\r\n",
                "STORED STORED VALUE a 0 1 2 END ",
            ),
            (
                "set a 0 0 1\r\n1\r\ncas a 0 0 1 9\r\n2\r\n",
                "STORED EXISTS VALUE a 0 1 1 END ",
            ),
            ("cas a 0 0 1 9\r\n2\r\n", "NOT_FOUND END "),
            ("set a 0 0 1\r\n1\r\nset a 0 -1 1\r\n2\r\n", "STORED STORED END "),
            ("set a 0 0 1\r\n1\r\nflush_all\r\n", "STORED OK END "),
        ] {
            assert_eq!(
                serve(&format!("{input}get a\r\n")).0.replace("\r\n", " "),
                expected,
                "{input:?}"
            );
        }
    }

    #[test]
    fn the_loads_own_key_takes_what_the_load_sets_and_nothing_else() {
        let (reply, ..) = serve("set linger 0 0 3\r\nxxx\r\nset linger 0 0 2\r\nhi\r\n");
        assert_eq!(reply.as_bytes(), [b"STORED\r\n", NOT_OWN].concat());
    }

    #[test]
    fn a_set_is_answered_unless_it_wants_no_reply() {
        assert_eq!(
            serve("set k 0 0 0 noreply\r\n\r\ndelete k noreply\r\nversion\r\n"),
            ("VERSION 1.6.0-linger\r\n".into(), 2, None)
        );
        assert_eq!(
            serve("verbosity 1\r\nverbosity 2 noreply\r\n"),
            ("OK\r\n".into(), 0, None)
        );
        let large = format!("set k 0 0 1048577\r\n{}\r\nget k\r\n", "x".repeat(1_048_577));
        assert_eq!(serve(&large).0, "SERVER_ERROR object too large for cache\r\nEND\r\n");
    }

    #[test]
    fn unknown_commands_and_long_keys_are_errors_that_the_connection_outlives() {
        let long = "k".repeat(251);
        let (reply, requests, end) = serve(&format!("bogus\r\n\r\nget\r\nget {long}\r\n"));
        assert_eq!(
            reply,
            "ERROR\r\nERROR\r\nERROR\r\nCLIENT_ERROR bad command line format\r\n"
        );
        assert_eq!((requests, end), (4, None));
    }

    #[test]
    fn a_stream_whose_next_command_cannot_be_found_ends() {
        for input in [
            "set k 0 0\r\n",
            "set k 0 0 1\r\nabc\r\n",
            "set k 0 0 x\r\n",
            "set k 0 0 -1\r\n",
        ] {
            let (reply, _, end) = serve(input);
            assert!(
                matches!(end, Some(End::Malformed(_))) && reply.starts_with("CLIENT_ERROR "),
                "{input:?}"
            );
        }
    }

    #[test]
    fn the_values_of_one_get_are_bounded() {
        let settings = Settings {
            response_bytes: 1 << 20,
            ..Settings::default()
        };
        let mut out = Vec::new();
        let mut session = ServerSession::new(Kind::Memcached, Arc::new(settings), 1);
        session.receive(b"get linger linger linger linger linger linger\r\n", &mut out);
        assert!(out.len() < 5 << 20 && out.ends_with(b"END\r\n"));
    }

    #[test]
    fn an_unknown_command_is_a_mistake_and_tls_is_not_answered() {
        let mut session = ServerSession::new(Kind::Memcached, Arc::default(), 1);
        let mut out = Vec::new();
        assert_eq!(
            session.receive(b"bogus\r\n", &mut out),
            Step::answered(7, Asked::Mistake)
        );
        assert_eq!(
            (session.requests(), std::mem::take(&mut out)),
            (1, b"ERROR\r\n".to_vec())
        );
        let step = session.receive(b"\x16\x03\x01", &mut out);
        assert_eq!((step, out.len()), (Step::end(0, End::Malformed("a TLS handshake")), 0));
    }
}
