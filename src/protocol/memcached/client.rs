//! memcached, the client's side: `get`, or `set` with a value, and the reply to it.

use std::io::Write;

use super::super::client::ClientStep;
use super::super::text::{Line, decimal, first_line, words};
use super::super::{MAX_MESSAGE, Settings, fill, pass_over};

#[derive(Debug, Default)]
pub(crate) struct Client {
    /// Bytes of a value, with its CR LF, still to come.
    value: u64,
}

impl Client {
    pub(crate) fn request(&mut self, settings: &Settings, out: &mut Vec<u8>) {
        match settings.request_bytes {
            0 => out.extend(b"get linger\r\n"),
            bytes => {
                let _ = write!(out, "set linger 0 0 {bytes}\r\n");
                fill(out, bytes);
                out.extend(b"\r\n");
            }
        }
    }

    pub(crate) fn receive(&mut self, input: &[u8]) -> ClientStep {
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
