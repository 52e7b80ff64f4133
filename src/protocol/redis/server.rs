//! Redis, the server's side: finds the command's arguments in the stream.
//!
//! A command that fits into [`MAX_MESSAGE`] is waited for and read in place. A longer one is kept as it comes, up to
//! [`MAX_KEPT`], and read when it is whole; what is longer still, and what linger's own client sets, is passed over.

use super::super::server::{Asked, End, Step, Turn};
use super::super::store::{MAX_VALUE, OWN_KEY};
use super::super::text::{Line, decimal, first_line, words};
use super::super::{MAX_MESSAGE, TLS_HANDSHAKE, pass_over};
use super::command::{self, Arguments, Connection};
use super::{MAX_BULK, MAX_HEADER};

/// As Redis: more arguments are an invalid multibulk length.
const MAX_ARGUMENTS: u64 = 1024 * 1024;

/// The longest command that is kept: the longest value with its key and its options.
const MAX_KEPT: usize = MAX_VALUE + MAX_MESSAGE;

pub(super) const TOO_LONG: &[u8] = b"-ERR longer than the 1 MiB that the built-in server keeps\r\n";

pub(super) const NOT_OWN: &[u8] = b"-ERR the key 'linger' is the load's own and cannot be set\r\n";

#[derive(Debug)]
pub(crate) struct Server {
    connection: Connection,
    long: Option<Long>,
    /// What has come of a long command that is kept.
    kept: Vec<u8>,
}

/// A command too long to be read whole.
#[derive(Clone, Copy, Debug)]
struct Long {
    fate: Fate,
    /// Arguments whose header is still to come.
    arguments: u64,
    /// Bytes of the argument that is coming, with its CR LF.
    bytes: u64,
}

/// What becomes of a long command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is read when it is whole.
    Kept,
    /// A SET of [`OWN_KEY`]: passed over, as long as it is what linger's own client sends.
    Own,
    /// A SET of [`OWN_KEY`] to something else.
    NotOwn,
    /// Even longer.
    TooLong,
}

/// What there is of a command.
enum Parsed {
    Incomplete,
    /// All of it, with its arguments: so many bytes.
    Whole(usize),
    /// What there is to pass over after so many bytes.
    Long(Long, usize),
    Malformed(&'static str),
}

impl Server {
    pub(crate) fn new(connection: u64) -> Self {
        Self {
            connection: Connection {
                id: connection,
                resp3: false,
                database: 0,
            },
            long: None,
            kept: Vec::new(),
        }
    }

    pub(crate) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        if self.long.is_some() {
            return self.pass_over(turn, input, out);
        }
        if input[0] == TLS_HANDSHAKE {
            return Step::end(0, End::Malformed("a TLS handshake"));
        }
        let mut arguments = Arguments::default();
        let parsed = if input[0] == b'*' {
            array(input, MAX_MESSAGE - MAX_HEADER, &mut arguments)
        } else {
            inline(input, &mut arguments)
        };
        match parsed {
            Parsed::Incomplete => Step::WAIT,
            Parsed::Whole(length) => answer(&arguments, &mut self.connection, length, turn, out),
            Parsed::Long(long, length) => {
                self.long = Some(long);
                self.keep(&input[..length]);
                Step::pass(length)
            }
            Parsed::Malformed(reason) => malformed(reason, out),
        }
    }

    /// Keeps what has come of a long command, as long as that is to be kept.
    fn keep(&mut self, came: &[u8]) {
        let Some(long) = self.long.as_mut().filter(|long| long.fate == Fate::Kept) else {
            return;
        };
        if self.kept.len() + came.len() > MAX_KEPT {
            long.fate = Fate::TooLong;
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(came);
        }
    }

    /// Goes on in a long command, an argument or its header at a time.
    fn pass_over(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        let Some(long) = &mut self.long else {
            return Step::WAIT;
        };
        let mut consumed = 0;
        if long.bytes > 0 {
            consumed = pass_over(&mut long.bytes, input);
        } else if long.arguments > 0 {
            match header(b'$', input, MAX_BULK) {
                Header::Incomplete => return Step::WAIT,
                Header::Malformed => return malformed("invalid bulk length", out),
                Header::Number(bytes, length) => {
                    long.arguments -= 1;
                    long.bytes = bytes + 2;
                    consumed = length;
                }
            }
        }
        let (goes_on, fate) = (long.bytes > 0 || long.arguments > 0, long.fate);
        let came = &input[..consumed];
        self.keep(came);
        if let Some(long @ Long { fate: Fate::Own, .. }) = &mut self.long
            && !came.iter().all(|byte| matches!(byte, b'x' | b'\r' | b'\n'))
        {
            long.fate = Fate::NotOwn;
        }
        if goes_on {
            return Step::pass(consumed);
        }
        let fate = self.long.take().map_or(fate, |long| long.fate);
        let kept = std::mem::take(&mut self.kept);
        match fate {
            _ if turn.fail => out.extend(command::FAILURE),
            Fate::Own => out.extend(b"+OK\r\n"),
            Fate::TooLong | Fate::NotOwn => {
                out.extend(if fate == Fate::NotOwn { NOT_OWN } else { TOO_LONG });
                return Step::answered(consumed, Asked::Mistake);
            }
            Fate::Kept => {
                let mut arguments = Arguments::default();
                return match array(&kept, usize::MAX, &mut arguments) {
                    Parsed::Whole(_) => answer(&arguments, &mut self.connection, consumed, turn, out),
                    Parsed::Malformed(reason) => malformed(reason, out),
                    Parsed::Incomplete | Parsed::Long(..) => malformed("invalid multibulk length", out),
                };
            }
        }
        Step::request(consumed)
    }
}

fn answer(
    arguments: &Arguments<'_>,
    connection: &mut Connection,
    length: usize,
    turn: Turn<'_>,
    out: &mut Vec<u8>,
) -> Step {
    match command::answer(arguments, connection, turn, out) {
        None => Step::pass(length),
        Some(command::Then::GoOn(asked)) => Step::answered(length, asked),
        Some(command::Then::Quit) => Step::end(length, End::Quit),
    }
}

fn inline<'a>(input: &'a [u8], arguments: &mut Arguments<'a>) -> Parsed {
    match first_line(input, MAX_MESSAGE) {
        Line::Incomplete => Parsed::Incomplete,
        Line::TooLong => Parsed::Malformed("too big inline request"),
        Line::Complete(line, length) => {
            words(line).for_each(|word| arguments.push(word));
            // Redis, too, ends a connection on which somebody speaks HTTP: each line would be a command.
            if arguments.last().starts_with(b"HTTP/") {
                return Parsed::Malformed("an HTTP request");
            }
            Parsed::Whole(length)
        }
    }
}

/// A command of which no more than `most` bytes are waited for.
fn array<'a>(input: &'a [u8], most: usize, arguments: &mut Arguments<'a>) -> Parsed {
    let (count, mut at) = match header(b'*', input, MAX_ARGUMENTS) {
        Header::Incomplete => return Parsed::Incomplete,
        Header::Malformed => return Parsed::Malformed("invalid multibulk length"),
        Header::Number(count, length) => (count, length),
    };
    for index in 0..count {
        let (bytes, length) = match header(b'$', &input[at..], MAX_BULK) {
            Header::Incomplete => return Parsed::Incomplete,
            Header::Malformed => return Parsed::Malformed("invalid bulk length"),
            Header::Number(bytes, length) => (bytes, length),
        };
        at += length;
        // Leaves room for the next header, which is read before it is known how long the next argument is.
        if at as u64 + bytes + 2 > most as u64 {
            let own = arguments.first().eq_ignore_ascii_case(b"set") && arguments.second() == OWN_KEY;
            let long = Long {
                fate: if own { Fate::Own } else { Fate::Kept },
                arguments: count - index - 1,
                bytes: bytes + 2,
            };
            return Parsed::Long(long, at);
        }
        let end = at + bytes as usize;
        let Some(argument) = input.get(at..end) else {
            return Parsed::Incomplete;
        };
        match input.get(end..end + 2) {
            None => return Parsed::Incomplete,
            Some(b"\r\n") => {}
            Some(_) => return Parsed::Malformed("a bulk string longer than its length"),
        }
        arguments.push(argument);
        at = end + 2;
    }
    Parsed::Whole(at)
}

enum Header {
    Incomplete,
    Malformed,
    /// The number, and the line's length.
    Number(u64, usize),
}

/// `*<number>` or `$<number>`, at most `limit`.
fn header(mark: u8, input: &[u8], limit: u64) -> Header {
    match (input.first(), first_line(input, MAX_HEADER)) {
        (None, _) => Header::Incomplete,
        (Some(&first), _) if first != mark => Header::Malformed,
        (_, Line::Incomplete) => Header::Incomplete,
        (_, Line::TooLong) => Header::Malformed,
        (_, Line::Complete(line, length)) => match decimal(&line[1..]) {
            Some(number) if number <= limit => Header::Number(number, length),
            _ => Header::Malformed,
        },
    }
}

fn malformed(reason: &'static str, out: &mut Vec<u8>) -> Step {
    out.extend(b"-ERR Protocol error: ");
    out.extend(reason.as_bytes());
    out.extend(b"\r\n");
    Step::end(0, End::Malformed(reason))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::server::served;
    use super::super::super::{Kind, ServerSession};
    use super::*;

    /// The replies to a whole stream, its requests and its end.
    fn serve(input: &str) -> (String, u32, Option<End>) {
        served(Kind::Redis, 7, input)
    }

    #[test]
    fn commands_come_as_arrays_and_inline() {
        let (reply, requests, _) = serve("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\necho hello\r\n\r\n*0\r\n");
        assert_eq!(reply, "+PONG\r\n$-1\r\n$5\r\nhello\r\n");
        assert_eq!(requests, 2);
    }

    #[test]
    fn long_commands_are_answered_as_short_ones_are_up_to_their_limit() {
        let array = |words: &[&str]| {
            let words: String = words
                .iter()
                .map(|word| format!("${}\r\n{word}\r\n", word.len()))
                .collect();
            format!("*{}\r\n{words}", words.matches('$').count())
        };
        let value = "v".repeat(100_000);
        let stream = [
            array(&["set", "k", &value, "NX"]),
            array(&["set", "k", &value, "NX"]),
            array(&["GET", "k"]),
            array(&["ECHO", &value]),
            array(&["set", "linger", &value]),
            array(&["set", "linger", &value.replace('v', "x")]),
        ];
        let bulk = format!("$100000\r\n{value}\r\n");
        let (reply, requests, _) = serve(&stream.concat());
        let not_own = String::from_utf8_lossy(NOT_OWN);
        assert_eq!(reply, format!("+OK\r\n$-1\r\n{bulk}{bulk}{not_own}+OK\r\n"));
        assert_eq!(requests, 6);
        let largest = "v".repeat(MAX_VALUE);
        let stream = [array(&["SET", "k", &largest]), array(&["EXISTS", "k"])];
        assert_eq!(serve(&stream.concat()).0, "+OK\r\n:1\r\n");
        for larger in [MAX_VALUE + 1, 3 * MAX_VALUE] {
            let stream = [array(&["SET", "k", &"v".repeat(larger)]), array(&["EXISTS", "k"])];
            assert_eq!(serve(&stream.concat()).0.as_bytes(), [TOO_LONG, b":0\r\n"].concat());
        }
        let many = format!("*10001\r\n$4\r\nMSET\r\n{}", "$1\r\nk\r\n".repeat(10_000));
        assert_eq!(serve(&many).0, "-ERR more than 32 words in 'MSET'\r\n");
    }

    #[test]
    fn what_speaks_something_else_is_told_so_once_at_the_most() {
        let (reply, requests, end) = serve("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((&*reply, requests), ("-ERR Protocol error: an HTTP request\r\n", 0));
        assert_eq!(end, Some(End::Malformed("an HTTP request")));
        assert_eq!(
            serve("\u{16}\u{3}\u{1}"),
            (String::new(), 0, Some(End::Malformed("a TLS handshake")))
        );
        let mut session = ServerSession::new(Kind::Redis, Arc::default(), 7);
        assert_eq!(
            session.receive(b"hello?\r\n", &mut Vec::new()),
            Step::answered(8, Asked::Mistake)
        );
    }

    #[test]
    fn a_quit_is_answered_and_ends_the_connection() {
        assert_eq!(
            serve("*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n"),
            ("+OK\r\n".into(), 0, Some(End::Quit))
        );
    }

    #[test]
    fn what_is_not_resp_is_a_protocol_error() {
        for input in [
            "*x\r\n",
            "*-1\r\n",
            "*1048577\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n$536870913\r\n",
            "*1\r\n$1\r\nabc\r\n",
            &format!("*{}", "1".repeat(40)),
        ] {
            let (reply, _, end) = serve(input);
            assert!(reply.starts_with("-ERR Protocol error: "), "{input:?}: {reply}");
            assert!(matches!(end, Some(End::Malformed(_))));
        }
    }
}
