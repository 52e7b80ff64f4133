//! Redis, the client's side: GET, or SET with a value, and the one reply to it.

use std::io::Write;

use super::super::client::ClientStep;
use super::super::text::{Line, decimal, first_line};
use super::super::{MAX_MESSAGE, Settings, fill, pass_over};
use super::MAX_BULK;

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Bytes of a bulk string, with its CR LF, still to come.
    bulk: u64,
}

impl Client {
    pub(crate) fn request(&mut self, settings: &Settings, out: &mut Vec<u8>) {
        match settings.request_bytes {
            0 => out.extend(b"*2\r\n$3\r\nGET\r\n$6\r\nlinger\r\n"),
            bytes => {
                // Writing to a Vec cannot fail.
                let _ = write!(out, "*3\r\n$3\r\nSET\r\n$6\r\nlinger\r\n${bytes}\r\n");
                fill(out, bytes);
                out.extend(b"\r\n");
            }
        }
    }

    pub(crate) fn receive(&mut self, input: &[u8]) -> ClientStep {
        if self.bulk > 0 {
            let taken = pass_over(&mut self.bulk, input);
            return match self.bulk {
                0 => ClientStep::response(taken),
                _ => ClientStep::pass(taken),
            };
        }
        let (line, length) = match first_line(input, MAX_MESSAGE) {
            Line::Incomplete => return ClientStep::WAIT,
            Line::TooLong => return ClientStep::malformed("a line longer than 16 KiB"),
            Line::Complete(line, length) => (line, length),
        };
        match line {
            // A key that is not there: RESP2's and RESP3's null.
            [b'+' | b':' | b'_', ..] | b"$-1" => ClientStep::response(length),
            [b'-', ..] => ClientStep::error(length, 0),
            [b'$', digits @ ..] => match decimal(digits).filter(|&bytes| bytes <= MAX_BULK) {
                Some(bytes) => {
                    self.bulk = bytes + 2;
                    ClientStep::pass(length)
                }
                None => ClientStep::malformed("a bulk string without its length"),
            },
            _ => ClientStep::malformed("a reply that answers neither GET nor SET"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_reply_ends_where_it_should() {
        let mut client = Client::default();
        assert_eq!(client.receive(b"+OK\r\n+OK\r\n"), ClientStep::response(5));
        assert_eq!(client.receive(b"$-1\r\n"), ClientStep::response(5));
        assert_eq!(client.receive(b"-OOM x\r\n"), ClientStep::error(8, 0));
        assert_eq!(client.receive(b"$3\r\n"), ClientStep::pass(4));
        assert_eq!(client.receive(b"x\r"), ClientStep::pass(2));
        assert_eq!(client.receive(b"x\r\n"), ClientStep::response(3));
        assert!(client.receive(b"*1\r\n").event.is_some());
    }
}
