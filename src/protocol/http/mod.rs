//! HTTP/1.1 (RFC 9112): the head of a message and what its fields say of its length and of the connection's end.
//!
//! No `Date` is sent: an origin server without a clock must not (RFC 9110 section 6.6.1), and the codecs have none.

mod client;
mod server;

pub(super) use client::Client;
pub(super) use server::Server;

use super::text::{Line, decimal, first_line};

/// The first part of a message, up to the empty line.
enum Head<'a> {
    Incomplete,
    TooLong,
    Complete {
        start_line: &'a [u8],
        /// The field lines, each with its end.
        fields: &'a [u8],
        /// The whole head's length with the empty line.
        length: usize,
    },
}

/// Splits the head off; no head is longer than [`MAX_MESSAGE`](super::MAX_MESSAGE).
fn head(input: &[u8]) -> Head<'_> {
    let mut at = 0;
    let mut start = None;
    loop {
        match (first_line(&input[at..], super::MAX_MESSAGE - at), start) {
            (Line::Incomplete, _) => return Head::Incomplete,
            (Line::TooLong, _) => return Head::TooLong,
            (Line::Complete(line, length), None) => {
                start = Some((line, length));
                at += length;
            }
            (Line::Complete(line, length), Some((start_line, fields_at))) => {
                if line.is_empty() {
                    return Head::Complete {
                        start_line,
                        fields: &input[fields_at..at],
                        length: at + length,
                    };
                }
                at += length;
            }
        }
    }
}

/// What the fields say of the body's length and of the connection, whichever side sent them.
#[derive(Clone, Copy, Debug, Default)]
struct Framing {
    content_length: Option<u64>,
    transfer_coding: Option<Coding>,
    /// `Connection: close`.
    close: bool,
    /// `Connection: keep-alive`, which HTTP/1.0 needs.
    keep_alive: bool,
    /// `Host` fields.
    hosts: u32,
    /// `Expect: 100-continue`.
    expects_continue: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

impl Framing {
    fn read(fields: &[u8]) -> Result<Self, &'static str> {
        let mut framing = Self::default();
        for line in fields.split_inclusive(|&byte| byte == b'\n') {
            let (name, value) = field(line.trim_ascii_end())?;
            framing.apply(name, value)?;
        }
        Ok(framing)
    }

    fn apply(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).ok_or("a Content-Length that is no number")?;
            if self.content_length.is_some_and(|earlier| earlier != length) {
                return Err("two values of Content-Length");
            }
            self.content_length = Some(length);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // Chunked and nothing else, or a coding that we do not know: several codings are one we do not know.
            let chunked = self.transfer_coding.is_none() && value.eq_ignore_ascii_case(b"chunked");
            self.transfer_coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case(b"host") {
            self.hosts = self.hosts.saturating_add(1);
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        }
        Ok(())
    }

    /// RFC 9112 section 9.3: whether the sender would go on after this message.
    fn persists(&self, http_1_0: bool) -> bool {
        !self.close && (!http_1_0 || self.keep_alive)
    }
}

/// Splits a field line. No space before the colon and no folded line: both are ways to smuggle (RFC 9112 section 5).
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let colon = line.iter().position(|&byte| byte == b':');
    let colon = colon.ok_or("a field without a colon")?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if !is_token(name) {
        return Err("a field name that is no token");
    }
    if value.iter().any(|&byte| matches!(byte, 0 | b'\r' | b'\n')) {
        return Err("a NUL, CR or LF in a field value");
    }
    Ok((name, value))
}

/// RFC 9110 section 5.6.2.
fn is_token(word: &[u8]) -> bool {
    !word.is_empty()
        && word
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line() {
        let Head::Complete {
            start_line,
            fields,
            length,
        } = head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody")
        else {
            panic!("no head");
        };
        assert_eq!(
            (start_line, fields, length),
            (&b"GET / HTTP/1.1"[..], &b"Host: a\r\n"[..], 27)
        );
        assert!(matches!(head(b"GET / HTTP/1.1\r\nHost: a\r\n\r"), Head::Incomplete));
        assert!(matches!(head(&[b'a'; super::super::MAX_MESSAGE]), Head::TooLong));
    }

    #[test]
    fn fields_that_could_smuggle_a_request_are_refused() {
        for fields in [
            &b"Content-Length: 1\r\nContent-Length: 2\r\n"[..],
            b"Content-Length: +1\r\n",
            b"Content-Length: 1, 1\r\n",
            b"Content-Length : 1\r\n",
            b"Host: a\r\n folded\r\n",
            b"no colon\r\n",
        ] {
            assert!(Framing::read(fields).is_err(), "{}", fields.escape_ascii());
        }
    }

    #[test]
    fn the_connection_field_is_a_list_without_regard_to_case() {
        let framing = Framing::read(b"connection: Upgrade, CLOSE\r\n").unwrap();
        assert!(!framing.persists(false));
        assert!(!Framing::default().persists(true));
        assert!(Framing::read(b"Connection: Keep-Alive\r\n").unwrap().persists(true));
    }
}
