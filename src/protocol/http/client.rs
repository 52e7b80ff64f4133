//! HTTP/1.1, the client's side: GET, or POST with a body, and the end of its response by Content-Length, by chunks or by
//! the server's FIN (RFC 9112 section 6.3).

use std::io::Write;

use super::super::client::{ClientStep, Event};
use super::super::text::{Line, decimal, first_line, hexadecimal};
use super::super::{Settings, fill, pass_over};
use super::{Coding, Framing, Head, head};

/// The longest line that opens a chunk, and the longest trailer field.
const MAX_CHUNK_LINE: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Client {
    state: State,
    /// The response's status.
    status: u16,
    /// The server will close after this response.
    closing: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Head,
    /// Bytes of the body still to come.
    Body(u64),
    ChunkSize,
    /// Bytes of the chunk still to come.
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClose,
}

impl Client {
    pub(crate) fn request(&mut self, settings: &Settings, last: bool, out: &mut Vec<u8>) {
        *self = Self::default();
        let connection = if last { "Connection: close\r\n" } else { "" };
        // Writing to a Vec cannot fail.
        let _ = match settings.request_bytes {
            0 => write!(out, "GET / HTTP/1.1\r\nHost: linger\r\n{connection}\r\n"),
            bytes => write!(
                out,
                "POST / HTTP/1.1\r\nHost: linger\r\nContent-Length: {bytes}\r\n{connection}\r\n"
            ),
        };
        fill(out, settings.request_bytes);
    }

    pub(crate) fn receive(&mut self, input: &[u8]) -> ClientStep {
        match &mut self.state {
            State::Head => self.head(input),
            State::Body(left) => {
                let taken = pass_over(left, input);
                match *left {
                    0 => self.complete(taken),
                    _ => ClientStep::pass(taken),
                }
            }
            State::Chunk(left) => {
                let taken = pass_over(left, input);
                if *left == 0 {
                    self.state = State::ChunkEnd;
                }
                ClientStep::pass(taken)
            }
            State::UntilClose => ClientStep::pass(input.len()),
            State::ChunkSize | State::ChunkEnd | State::Trailer => match first_line(input, MAX_CHUNK_LINE) {
                Line::Incomplete => ClientStep::WAIT,
                Line::TooLong => ClientStep::malformed("a line of a chunked body longer than 1 KiB"),
                Line::Complete(line, length) => self.chunk_line(line, length),
            },
        }
    }

    /// The FIN ends a response that has no other end.
    pub(crate) fn end_of_stream(&self) -> Option<Event> {
        matches!(self.state, State::UntilClose).then(|| self.response())
    }

    fn response(&self) -> Event {
        Event::Response {
            error: (self.status >= 400).then_some(self.status),
            closing: self.closing,
        }
    }

    fn complete(&mut self, consumed: usize) -> ClientStep {
        self.state = State::Head;
        ClientStep::event(consumed, self.response())
    }

    fn head(&mut self, input: &[u8]) -> ClientStep {
        let (start_line, fields, length) = match head(input) {
            Head::Incomplete => return ClientStep::WAIT,
            Head::TooLong => return ClientStep::malformed("a head longer than 16 KiB"),
            Head::Complete {
                start_line,
                fields,
                length,
            } => (start_line, fields, length),
        };
        let Some((status, http_1_0)) = status_line(start_line) else {
            return ClientStep::malformed("a status line that is not `HTTP/1.x NNN`");
        };
        let framing = match Framing::read(fields) {
            Ok(framing) => framing,
            Err(reason) => return ClientStep::malformed(reason),
        };
        if status < 200 {
            // 100 (Continue) and its like come before the response.
            return ClientStep::pass(length);
        }
        self.status = status;
        self.closing = !framing.persists(http_1_0);
        self.state = match (status, framing.transfer_coding, framing.content_length) {
            (204 | 304, ..) | (_, None, Some(0)) => return self.complete(length),
            (_, Some(Coding::Chunked), _) => State::ChunkSize,
            (_, None, Some(bytes)) => State::Body(bytes),
            (_, Some(Coding::Other), _) | (_, None, None) => State::UntilClose,
        };
        self.closing |= matches!(self.state, State::UntilClose);
        ClientStep::pass(length)
    }

    /// RFC 9112 section 7.1: size, data, empty line; after the size 0, trailer fields and an empty line.
    fn chunk_line(&mut self, line: &[u8], length: usize) -> ClientStep {
        self.state = match self.state {
            State::ChunkSize => {
                let digits = line.split(|&byte| byte == b';').next().unwrap_or(line).trim_ascii_end();
                match hexadecimal(digits) {
                    None => return ClientStep::malformed("a chunk size that is no number"),
                    Some(0) => State::Trailer,
                    Some(bytes) => State::Chunk(bytes),
                }
            }
            State::ChunkEnd if !line.is_empty() => return ClientStep::malformed("a chunk longer than its size"),
            State::ChunkEnd => State::ChunkSize,
            _ if line.is_empty() => return self.complete(length),
            _ => State::Trailer,
        };
        ClientStep::pass(length)
    }
}

/// The status, and whether the version is HTTP/1.0.
fn status_line(line: &[u8]) -> Option<(u16, bool)> {
    let (version, rest) = line.split_at_checked(9)?;
    let status = decimal(rest.get(..3)?)?;
    if !matches!(rest.get(3), None | Some(b' ')) || !(100..600).contains(&status) {
        return None;
    }
    match version {
        b"HTTP/1.1 " => Some((status as u16, false)),
        b"HTTP/1.0 " => Some((status as u16, true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first event, and what of the response is left.
    fn event(response: &str) -> (Option<Event>, usize) {
        let mut client = Client::default();
        client.request(&Settings::default(), false, &mut Vec::new());
        let mut left = response.as_bytes();
        loop {
            let step = client.receive(left);
            left = &left[step.consumed..];
            if step.event.is_some() || step.consumed == 0 {
                return (step.event.or_else(|| client.end_of_stream()), left.len());
            }
        }
    }

    fn response(error: Option<u16>, closing: bool) -> Option<Event> {
        Some(Event::Response { error, closing })
    }

    #[test]
    fn a_response_ends_by_its_length() {
        assert_eq!(
            event("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabrest"),
            (response(None, false), 4)
        );
        assert_eq!(event("HTTP/1.1 204 No Content\r\n\r\n"), (response(None, false), 0));
        assert_eq!(
            event(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
            (response(Some(404), true), 0)
        );
    }

    #[test]
    fn a_response_ends_by_its_last_chunk() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let body = "3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nrest";
        assert_eq!(event(&format!("{head}{body}")), (response(None, false), 4));
        for bad in ["3\r\nabcd\r\n", "-3\r\nabc\r\n", "\r\n"] {
            assert!(
                matches!(event(&format!("{head}{bad}")).0, Some(Event::Malformed(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_response_without_a_length_ends_with_the_connection() {
        assert_eq!(event("HTTP/1.1 200 OK\r\n\r\nabc"), (response(None, true), 0));
    }

    #[test]
    fn what_is_no_response_is_malformed() {
        for bad in [
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
        ] {
            assert!(matches!(event(bad).0, Some(Event::Malformed(_))), "{bad:?}");
        }
    }
}
