//! Redis, the server's side: finds the command's arguments in the stream.
//!
//! A command that fits into [`MAX_MESSAGE`] is waited for and read in place. Of a longer one only the first arguments
//! are read; what follows them is passed over as it comes.

use super::super::server::{End, Step, Turn};
use super::super::text::{Line, decimal, first_line, words};
use super::super::{MAX_MESSAGE, pass_over};
use super::command::{self, Arguments, Connection};
use super::{MAX_BULK, MAX_HEADER};

/// As Redis: more arguments are an invalid multibulk length.
const MAX_ARGUMENTS: u64 = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Server {
    connection: Connection,
    long: Option<Long>,
}

/// A command too long to be read whole.
#[derive(Clone, Copy, Debug)]
struct Long {
    /// Whether it is a SET, the one command whose long arguments matter to nobody.
    set: bool,
    /// Arguments whose header is still to come.
    arguments: u64,
    /// Bytes of the argument that is coming, with its CR LF.
    bytes: u64,
}

/// What there is of a command.
enum Parsed<'a> {
    Incomplete,
    Whole(Arguments<'a>, usize),
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
            },
            long: None,
        }
    }

    pub(crate) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        if self.long.is_some() {
            return self.pass_over(turn, input, out);
        }
        let parsed = if input[0] == b'*' { array(input) } else { inline(input) };
        match parsed {
            Parsed::Incomplete => Step::WAIT,
            Parsed::Whole(arguments, length) => match command::answer(arguments, &mut self.connection, turn, out) {
                None => Step::pass(length),
                Some(command::Then::GoOn(asked)) => Step::answered(length, asked),
                Some(command::Then::Quit) => Step::end(length, End::Quit),
            },
            Parsed::Long(long, length) => {
                self.long = Some(long);
                Step::pass(length)
            }
            Parsed::Malformed(reason) => malformed(reason, out),
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
        if long.bytes > 0 || long.arguments > 0 {
            return Step::pass(consumed);
        }
        match (long.set, turn.fail) {
            (true, false) => out.extend(b"+OK\r\n"),
            (true, true) => out.extend(command::FAILURE),
            (false, _) => out.extend(b"-ERR command longer than 16 KiB\r\n"),
        }
        self.long = None;
        Step::request(consumed)
    }
}

fn inline(input: &[u8]) -> Parsed<'_> {
    match first_line(input, MAX_MESSAGE) {
        Line::Incomplete => Parsed::Incomplete,
        Line::TooLong => Parsed::Malformed("too big inline request"),
        Line::Complete(line, length) => {
            let mut arguments = Arguments::default();
            words(line).for_each(|word| arguments.push(word));
            Parsed::Whole(arguments, length)
        }
    }
}

fn array(input: &[u8]) -> Parsed<'_> {
    let (count, mut at) = match header(b'*', input, MAX_ARGUMENTS) {
        Header::Incomplete => return Parsed::Incomplete,
        Header::Malformed => return Parsed::Malformed("invalid multibulk length"),
        Header::Number(count, length) => (count, length),
    };
    let mut arguments = Arguments::default();
    for index in 0..count {
        let (bytes, length) = match header(b'$', &input[at..], MAX_BULK) {
            Header::Incomplete => return Parsed::Incomplete,
            Header::Malformed => return Parsed::Malformed("invalid bulk length"),
            Header::Number(bytes, length) => (bytes, length),
        };
        at += length;
        // Leaves room for the next header, which is read before it is known how long the next argument is.
        if at as u64 + bytes + 2 > (MAX_MESSAGE - MAX_HEADER) as u64 {
            let long = Long {
                set: arguments.first().eq_ignore_ascii_case(b"set"),
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
    Parsed::Whole(arguments, at)
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

    use super::super::super::{Kind, ServerSession, Settings};
    use super::*;

    /// The replies to a whole stream, its requests and its end.
    fn serve(input: &str) -> (String, u32, Option<End>) {
        let settings = Settings {
            response_bytes: 3,
            ..Settings::default()
        };
        let mut session = ServerSession::new(Kind::Redis, Arc::new(settings), 7);
        let (mut out, mut left, mut end) = (Vec::new(), input.as_bytes(), None);
        while !left.is_empty() && end.is_none() {
            let step = session.receive(left, &mut out);
            assert!(step.consumed > 0 || step.end.is_some(), "incomplete: {input:?}");
            left = &left[step.consumed..];
            end = step.end;
        }
        (String::from_utf8(out).unwrap(), session.requests(), end)
    }

    #[test]
    fn commands_come_as_arrays_and_inline() {
        let (reply, requests, _) = serve("*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\necho hello\r\n\r\n*0\r\n");
        assert_eq!(reply, "+PONG\r\n$3\r\nxxx\r\n$5\r\nhello\r\n");
        assert_eq!(requests, 2);
    }

    #[test]
    fn a_set_of_any_length_is_taken_and_other_long_commands_are_errors() {
        let value = "v".repeat(100_000);
        let set = format!("*3\r\n$3\r\nset\r\n$1\r\nk\r\n$100000\r\n{value}\r\n");
        let echo = format!("*2\r\n$4\r\nECHO\r\n$100000\r\n{value}\r\n");
        let (reply, requests, _) = serve(&format!("{set}{echo}{set}"));
        assert_eq!(reply, "+OK\r\n-ERR command longer than 16 KiB\r\n+OK\r\n");
        assert_eq!(requests, 3);
        let many = format!("*10001\r\n$4\r\nMSET\r\n{}", "$1\r\nk\r\n".repeat(10_000));
        assert_eq!(serve(&many).0, "-ERR command longer than 16 KiB\r\n");
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
