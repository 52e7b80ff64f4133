//! HTTP/1.1, the server's side: every request is answered 200 with a body of `response_bytes`.
//!
//! Request bodies are counted off by Content-Length. A chunked one is refused with 411, as RFC 9112 section 6.3 allows a
//! server that wants a length. A TLS handshake gets no answer, and the connection ends at once: its client would wait for
//! one.

use std::io::Write;

use super::super::server::{End, Step, Turn};
use super::super::{TLS_HANDSHAKE, fill, pass_over};
use super::{Coding, Framing, Head, head, is_token};

/// The longest request body; longer ones are refused with 413.
const MAX_BODY: u64 = 64 << 20;

#[derive(Debug, Default)]
pub(crate) struct Server {
    /// The request whose body is coming, and the bytes of it that are still to come.
    body: Option<(Request, u64)>,
}

/// What the reply must know of the request.
#[derive(Clone, Copy, Debug)]
struct Request {
    /// HEAD: the reply has no body.
    head_only: bool,
    http_1_0: bool,
    persists: bool,
}

/// The status line of a refusal, and why.
type Refusal = (&'static str, &'static str);

impl Server {
    pub(crate) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        if let Some((request, left)) = &mut self.body {
            let taken = pass_over(left, input);
            if *left > 0 {
                return Step::pass(taken);
            }
            let request = *request;
            self.body = None;
            return answer(request, turn, taken, out);
        }
        // RFC 9112 section 2.2: an empty line before the request line is ignored.
        if let [b'\n', ..] | [b'\r', b'\n', ..] = input {
            return Step::pass(if input[0] == b'\r' { 2 } else { 1 });
        }
        if input[0] == TLS_HANDSHAKE {
            return Step::end(0, End::Malformed("a TLS handshake"));
        }
        match head(input) {
            Head::Incomplete => Step::WAIT,
            Head::TooLong => refuse(
                ("431 Request Header Fields Too Large", "a head longer than 16 KiB"),
                out,
            ),
            Head::Complete {
                start_line,
                fields,
                length,
            } => match read(start_line, fields) {
                Err(refusal) => refuse(refusal, out),
                Ok((request, 0, _)) => answer(request, turn, length, out),
                Ok((request, body, expects_continue)) => {
                    if expects_continue {
                        out.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    self.body = Some((request, body));
                    Step::pass(length)
                }
            },
        }
    }
}

/// The request, its body's length, and whether the client waits for 100 (Continue).
fn read(request_line: &[u8], fields: &[u8]) -> Result<(Request, u64, bool), Refusal> {
    let bad = |reason| ("400 Bad Request", reason);
    let mut parts = request_line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad("a request line that is not `METHOD TARGET VERSION`"));
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(bad("a method or target that is none"));
    }
    let http_1_0 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ if version.starts_with(b"HTTP/") => {
            return Err((
                "505 HTTP Version Not Supported",
                "a version that is not HTTP/1.1 or HTTP/1.0",
            ));
        }
        _ => return Err(bad("a version that is not HTTP")),
    };
    if method == b"CONNECT" {
        return Err(("501 Not Implemented", "CONNECT"));
    }
    let framing = Framing::read(fields).map_err(bad)?;
    if framing.hosts != 1 && !(http_1_0 && framing.hosts == 0) {
        return Err(bad("not one Host"));
    }
    let request = Request {
        head_only: method == b"HEAD",
        http_1_0,
        persists: framing.persists(http_1_0),
    };
    Ok((request, body_length(&framing)?, framing.expects_continue && !http_1_0))
}

fn body_length(framing: &Framing) -> Result<u64, Refusal> {
    match (framing.transfer_coding, framing.content_length) {
        (Some(_), Some(_)) => Err(("400 Bad Request", "both Transfer-Encoding and Content-Length")),
        (Some(Coding::Chunked), None) => Err(("411 Length Required", "a chunked request")),
        (Some(Coding::Other), None) => Err(("501 Not Implemented", "a transfer coding other than chunked")),
        (None, Some(length)) if length > MAX_BODY => Err(("413 Content Too Large", "a body longer than 64 MiB")),
        (None, length) => Ok(length.unwrap_or(0)),
    }
}

fn answer(request: Request, turn: Turn<'_>, consumed: usize, out: &mut Vec<u8>) -> Step {
    let (status, length) = match turn.fail {
        true => ("503 Service Unavailable", 0),
        false => ("200 OK", turn.settings.response_bytes),
    };
    let connection = match (request.persists && !turn.last, request.http_1_0) {
        (false, _) => "Connection: close\r\n",
        (true, true) => "Connection: keep-alive\r\n",
        (true, false) => "",
    };
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n{connection}\r\n"
    );
    if !request.head_only {
        fill(out, length);
    }
    Step {
        end: (!request.persists).then_some(End::Quit),
        ..Step::request(consumed)
    }
}

fn refuse((status, reason): Refusal, out: &mut Vec<u8>) -> Step {
    let _ = write!(
        out,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    Step::end(0, End::Malformed(reason))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::{Kind, ServerSession, Settings};
    use super::*;

    fn exchange(request: &str) -> (Step, String) {
        let settings = Settings {
            response_bytes: 3,
            ..Settings::default()
        };
        let mut session = ServerSession::new(Kind::Http, Arc::new(settings), 1);
        let mut out = Vec::new();
        let mut step = session.receive(request.as_bytes(), &mut out);
        while step.end.is_none() && step.consumed < request.len() {
            let more = session.receive(&request.as_bytes()[step.consumed..], &mut out);
            assert_ne!(more.consumed, 0, "{request:?} is incomplete");
            step = Step {
                consumed: step.consumed + more.consumed,
                ..more
            };
        }
        (step, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_get_is_answered_with_the_bytes_set_and_the_connection_stays() {
        let (step, reply) = exchange("GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(step, Step::request(30));
        assert_eq!(
            reply,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nxxx"
        );
    }

    #[test]
    fn a_head_has_the_length_but_no_body() {
        let (_, reply) = exchange("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(reply.contains("Content-Length: 3\r\n") && reply.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_client_that_asks_for_the_end_gets_it_after_the_reply() {
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab",
        ] {
            let (step, reply) = exchange(request);
            assert_eq!(step.end, Some(End::Quit));
            assert!(step.asked.is_some() && reply.contains("Connection: close\r\n"));
        }
        let (step, reply) = exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(step.end, None);
        assert!(reply.contains("Connection: keep-alive\r\n"));
    }

    #[test]
    fn what_cannot_be_served_gets_its_status_and_ends_the_connection() {
        for (request, status) in [
            ("\u{1}\u{3}\u{1}\n\r\n", "400"),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "501"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                "411",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                "501",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n",
                "413",
            ),
        ] {
            let (step, reply) = exchange(request);
            assert!(matches!(step.end, Some(End::Malformed(_))), "{request:?}");
            assert!(
                reply.starts_with(&format!("HTTP/1.1 {status} ")),
                "{request:?}: {reply}"
            );
        }
    }

    #[test]
    fn a_tls_handshake_gets_no_answer_and_ends_the_connection() {
        let (step, reply) = exchange("\u{16}\u{3}\u{1}\u{2}");
        assert!(matches!(step.end, Some(End::Malformed(_))) && reply.is_empty());
    }

    #[test]
    fn an_expecting_client_is_told_to_go_on() {
        let (step, reply) =
            exchange("\r\nPUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nz");
        assert!(step.asked.is_some());
        assert!(reply.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
    }
}
