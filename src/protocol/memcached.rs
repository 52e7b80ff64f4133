//! memcached's text protocol (protocol.txt of memcached 1.6): get, gets, the storage commands, delete, version, verbosity,
//! quit.
//!
//! Nothing is stored: every key is there, and holds `response_bytes` bytes. `delete` finds every key too. `version` and
//! `verbosity` ask nothing of the cache: they are set-up and no requests.

use std::io::Write;

use super::client::ClientStep;
use super::server::{Asked, End, Step, Turn};
use super::text::{Line, decimal, first_line, words};
use super::{MAX_MESSAGE, Settings, fill, pass_over};

/// The client's quit: the server closes without a reply.
pub(super) const QUIT: &[u8] = b"quit\r\n";
/// Asks only whether the server is there.
pub(super) const PING: &[u8] = b"version\r\n";

/// protocol.txt: "the length limit of a key is set at 250 characters".
const MAX_KEY: usize = 250;
/// memcached's default item size (`-I`).
const MAX_ITEM: u64 = 1 << 20;
/// The values of one `get` hold no more than this together: further keys are misses, which any key may be.
const MAX_VALUES: u64 = 4 << 20;

const BAD_FORMAT: &[u8] = b"CLIENT_ERROR bad command line format\r\n";
const FAILURE: &[u8] = b"SERVER_ERROR linger was told to fail this request\r\n";

#[derive(Debug, Default)]
pub(super) struct Server {
    storing: Option<Store>,
}

/// A storage command whose data block is coming.
#[derive(Clone, Copy, Debug)]
struct Store {
    /// Bytes of the data still to come, without the CR LF after them.
    left: u64,
    too_large: bool,
    noreply: bool,
}

impl Server {
    pub(super) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        match &mut self.storing {
            Some(store) if store.left > 0 => Step::pass(pass_over(&mut store.left, input)),
            Some(store) => {
                let store = *store;
                match input {
                    [b'\r', b'\n', ..] => {
                        self.storing = None;
                        stored(store, turn, out)
                    }
                    [b'\r'] => Step::WAIT,
                    _ => malformed(
                        b"CLIENT_ERROR bad data chunk\r\n",
                        "a data block of another length than announced",
                        out,
                    ),
                }
            }
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
        match arguments.next() {
            Some(b"quit") => return Step::end(length, End::Quit),
            Some(b"set" | b"add" | b"replace" | b"append" | b"prepend") => {
                return match store(arguments) {
                    Some(store) => {
                        self.storing = Some(store);
                        Step::pass(length)
                    }
                    // Without the length, the data that follows would be taken for commands.
                    None => malformed(BAD_FORMAT, "a storage command without key, flags, time and length", out),
                };
            }
            Some(b"version") => {
                out.extend(b"VERSION 1.6.0-linger\r\n");
                return Step::answered(length, Asked::SetUp);
            }
            Some(b"verbosity") => {
                if !line.ends_with(b" noreply") {
                    out.extend(b"OK\r\n");
                }
                return Step::answered(length, Asked::SetUp);
            }
            Some(b"delete") if line.ends_with(b" noreply") => {}
            _ if turn.fail => out.extend(FAILURE),
            Some(b"get") => get(arguments, false, turn.settings.response_bytes, out),
            Some(b"gets") => get(arguments, true, turn.settings.response_bytes, out),
            Some(b"delete") => match arguments.next() {
                Some(key) if key.len() <= MAX_KEY => out.extend(b"DELETED\r\n"),
                _ => out.extend(BAD_FORMAT),
            },
            _ => out.extend(b"ERROR\r\n"),
        }
        Step::request(length)
    }
}

/// `<key> <flags> <exptime> <bytes> [noreply]`
fn store<'a>(mut arguments: impl Iterator<Item = &'a [u8]>) -> Option<Store> {
    let key = arguments.next()?;
    decimal(arguments.next()?)?;
    // A negative exptime is one that has passed.
    let exptime = arguments.next()?;
    decimal(exptime.strip_prefix(b"-").unwrap_or(exptime))?;
    let left = decimal(arguments.next()?)?;
    let noreply = match arguments.next() {
        None => false,
        Some(b"noreply") => true,
        Some(_) => return None,
    };
    (key.len() <= MAX_KEY && left <= u32::MAX.into()).then_some(Store {
        left,
        too_large: left > MAX_ITEM,
        noreply,
    })
}

fn stored(store: Store, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
    match store {
        Store { noreply: true, .. } => {}
        Store { too_large: true, .. } => out.extend(b"SERVER_ERROR object too large for cache\r\n"),
        _ if turn.fail => out.extend(FAILURE),
        _ => out.extend(b"STORED\r\n"),
    }
    Step::request(2)
}

fn get<'a>(keys: impl Iterator<Item = &'a [u8]>, with_cas: bool, bytes: u32, out: &mut Vec<u8>) {
    let start = out.len();
    let mut values = 0;
    let mut any = false;
    for key in keys {
        any = true;
        if key.len() > MAX_KEY {
            out.truncate(start);
            out.extend(BAD_FORMAT);
            return;
        }
        values += u64::from(bytes);
        if values > MAX_VALUES && values > u64::from(bytes) {
            break;
        }
        out.extend(b"VALUE ");
        out.extend(key);
        // Writing to a Vec cannot fail.
        let _ = write!(out, " 0 {bytes}{}\r\n", if with_cas { " 1" } else { "" });
        fill(out, bytes);
        out.extend(b"\r\n");
    }
    out.extend::<&[u8]>(if any { b"END\r\n" } else { b"ERROR\r\n" });
}

fn malformed(reply: &[u8], reason: &'static str, out: &mut Vec<u8>) -> Step {
    out.extend(reply);
    Step::end(0, End::Malformed(reason))
}

#[derive(Debug, Default)]
pub(super) struct Client {
    /// Bytes of a value, with its CR LF, still to come.
    value: u64,
}

impl Client {
    pub(super) fn request(&mut self, settings: &Settings, out: &mut Vec<u8>) {
        match settings.request_bytes {
            0 => out.extend(b"get linger\r\n"),
            bytes => {
                let _ = write!(out, "set linger 0 0 {bytes}\r\n");
                fill(out, bytes);
                out.extend(b"\r\n");
            }
        }
    }

    pub(super) fn receive(&mut self, input: &[u8]) -> ClientStep {
        if self.value > 0 {
            return ClientStep::pass(pass_over(&mut self.value, input));
        }
        let (line, length) = match first_line(input, MAX_MESSAGE) {
            Line::Incomplete => return ClientStep::WAIT,
            Line::TooLong => return ClientStep::malformed("a line longer than 16 KiB"),
            Line::Complete(line, length) => (line, length),
        };
        let mut words = words(line);
        match words.next() {
            Some(b"VALUE") => match words.nth(2).and_then(decimal).filter(|&bytes| bytes <= u32::MAX.into()) {
                Some(bytes) => {
                    self.value = bytes + 2;
                    ClientStep::pass(length)
                }
                None => ClientStep::malformed("a VALUE without its length"),
            },
            Some(b"END" | b"STORED" | b"NOT_STORED" | b"VERSION") => ClientStep::response(length),
            Some(b"ERROR" | b"CLIENT_ERROR" | b"SERVER_ERROR") => ClientStep::error(length, 0),
            _ => ClientStep::malformed("a line that answers neither get nor set nor version"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies and steps of a whole stream.
    fn serve(input: &str) -> (String, u32, Option<End>) {
        let settings = Settings {
            response_bytes: 3,
            ..Settings::default()
        };
        let turn = Turn {
            settings: &settings,
            last: false,
            fail: false,
        };
        let (mut server, mut out, mut left, mut requests) = (Server::default(), Vec::new(), input.as_bytes(), 0);
        while !left.is_empty() {
            let step = server.receive(turn, left, &mut out);
            left = &left[step.consumed..];
            requests += u32::from(step.asked == Some(Asked::Request));
            if step.end.is_some() || step.consumed == 0 {
                return (String::from_utf8(out).unwrap(), requests, step.end);
            }
        }
        (String::from_utf8(out).unwrap(), requests, None)
    }

    #[test]
    fn every_key_is_there() {
        let (reply, requests, _) = serve("get a b\r\ngets c\r\ndelete d\r\n");
        assert_eq!(requests, 3);
        assert_eq!(
            reply,
            "VALUE a 0 3\r\nxxx\r\nVALUE b 0 3\r\nxxx\r\nEND\r\nVALUE c 0 3 1\r\nxxx\r\nEND\r\nDELETED\r\n"
        );
    }

    #[test]
    fn a_set_is_answered_unless_it_wants_no_reply() {
        assert_eq!(serve("set k 0 -1 4\r\nget \r\n").0, "STORED\r\n");
        assert_eq!(
            serve("set k 0 0 0 noreply\r\n\r\ndelete k noreply\r\nversion\r\n"),
            ("VERSION 1.6.0-linger\r\n".into(), 2, None)
        );
        assert_eq!(
            serve("verbosity 1\r\nverbosity 2 noreply\r\n"),
            ("OK\r\n".into(), 0, None)
        );
        let large = format!("set k 0 0 1048577\r\n{}\r\n", "x".repeat(1_048_577));
        assert_eq!(serve(&large).0, "SERVER_ERROR object too large for cache\r\n");
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
        let turn = Turn {
            settings: &settings,
            last: false,
            fail: false,
        };
        let mut out = Vec::new();
        Server::default().receive(turn, b"get 1 2 3 4 5 6\r\n", &mut out);
        assert!(out.len() < 5 << 20 && out.ends_with(b"END\r\n"));
    }

    #[test]
    fn the_client_reads_values_to_their_end() {
        let mut client = Client::default();
        assert_eq!(client.receive(b"VALUE linger 0 5\r\nEND\r\n"), ClientStep::pass(18));
        assert_eq!(client.receive(b"END\r\n\r\nEND\r\n"), ClientStep::pass(7));
        assert_eq!(client.receive(b"END\r\n"), ClientStep::response(5));
        assert_eq!(
            client.receive(b"SERVER_ERROR out of memory\r\n"),
            ClientStep::error(28, 0)
        );
    }
}
