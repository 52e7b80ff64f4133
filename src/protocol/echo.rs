//! Echo: what comes goes back as it comes (RFC 862), and each `request_bytes` of it are a request. Where responses are to be
//! of another length, so many bytes answer so many: a count, and no format to get wrong.

use super::client::ClientStep;
use super::server::{Step, Turn};
use super::{Settings, fill, pass_over};

fn request_bytes(settings: &Settings) -> u32 {
    settings.request_bytes.max(1)
}

/// The bytes of the request that are still to come.
#[derive(Debug)]
pub(super) struct Server {
    left: u64,
}

impl Server {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            left: request_bytes(settings).into(),
        }
    }

    pub(super) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        let taken = pass_over(&mut self.left, input);
        let response_bytes = turn.settings.response_bytes.max(1);
        let echoes = request_bytes(turn.settings) == response_bytes;
        if echoes {
            out.extend_from_slice(&input[..taken]);
        }
        if self.left > 0 {
            return Step::pass(taken);
        }
        *self = Self::new(turn.settings);
        if !echoes {
            fill(out, response_bytes);
        }
        Step::request(taken)
    }
}

/// The bytes of the response that are still to come.
#[derive(Debug, Default)]
pub(super) struct Client {
    left: u64,
}

impl Client {
    pub(super) fn request(&mut self, settings: &Settings, out: &mut Vec<u8>) {
        self.left = settings.response_bytes.max(1).into();
        fill(out, request_bytes(settings));
    }

    pub(super) fn receive(&mut self, input: &[u8]) -> ClientStep {
        let taken = pass_over(&mut self.left, input);
        match self.left {
            0 => ClientStep::response(taken),
            _ => ClientStep::pass(taken),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(settings: &Settings) -> Turn<'_> {
        static STORE: std::sync::LazyLock<super::super::Store> = std::sync::LazyLock::new(Default::default);
        Turn {
            settings,
            store: &STORE,
            last: false,
            fail: false,
        }
    }

    #[test]
    fn what_comes_goes_back_and_requests_are_counted_off_by_length_alone() {
        let settings = Settings {
            request_bytes: 3,
            response_bytes: 3,
            ..Settings::default()
        };
        let mut out = Vec::new();
        let mut server = Server::new(&settings);
        assert_eq!(server.receive(turn(&settings), b"ab", &mut out), Step::pass(2));
        assert_eq!(out, b"ab", "no byte waits for another");
        assert_eq!(server.receive(turn(&settings), b"cde", &mut out), Step::request(1));
        assert_eq!(server.receive(turn(&settings), b"de", &mut out), Step::pass(2));
        assert_eq!(out, b"abcde");
    }

    #[test]
    fn a_response_of_another_length_is_a_count() {
        let settings = Settings {
            request_bytes: 3,
            response_bytes: 2,
            ..Settings::default()
        };
        let mut out = Vec::new();
        let mut server = Server::new(&settings);
        assert_eq!(server.receive(turn(&settings), b"ab", &mut out), Step::pass(2));
        assert_eq!(server.receive(turn(&settings), b"cde", &mut out), Step::request(1));
        assert_eq!(out, b"xx");
    }
}
