//! MySQL, the server's side: the login, then one command after the other.

use super::super::server::{Asked, End, Step, Turn};
use super::super::{MAX_MESSAGE, pass_over};
use super::auth::{self, Scramble};
use super::command::{self, Answer, LOOKED_AT, Reply, STATUS_AUTOCOMMIT};
use super::login;
use super::packet::{self, HEADER, MAX_LENGTH};

#[derive(Debug)]
pub(crate) struct Server {
    connection: u32,
    scramble: Scramble,
    autocommit: bool,
    /// The sequence number of the next packet, whoever sends it.
    sequence: u8,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The answer to the greeting is to come.
    Login,
    /// The answer to the wish for another plugin is to come.
    Switch,
    Command,
    /// So many bytes of a command are still to come before it is answered.
    Rest(u64, Answer, Asked),
}

impl Server {
    pub(crate) fn new(connection: u64) -> Self {
        Self {
            connection: connection as u32,
            scramble: auth::scramble(connection),
            autocommit: true,
            sequence: 0,
            state: State::Login,
        }
    }

    pub(crate) fn greet(&mut self, out: &mut Vec<u8>) {
        let (connection, scramble) = (self.connection, self.scramble);
        self.sequence = 0;
        packet::write(out, &mut self.sequence, |out| {
            login::write_greeting(out, connection, &scramble, STATUS_AUTOCOMMIT);
        });
    }

    pub(crate) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        if let State::Rest(left, answer, asked) = &mut self.state {
            let taken = pass_over(left, input);
            return match (*left, *answer, *asked) {
                (0, answer, asked) => self.answer(answer, asked, taken, turn, out),
                _ => Step::pass(taken),
            };
        }
        let Some((length, sequence)) = packet::header(input) else {
            return Step::WAIT;
        };
        let expected = if matches!(self.state, State::Command) {
            0
        } else {
            self.sequence
        };
        self.sequence = sequence.wrapping_add(1);
        if sequence != expected {
            return self.malformed(1156, "packets out of order", turn, out);
        }
        let step = match self.state {
            State::Command => self.command(length, &input[HEADER..], turn, out),
            _ => self.login(length, &input[HEADER..], turn, out),
        };
        if step.consumed == 0 && step.end.is_none() {
            // Not whole yet: the same packet will be looked at again.
            self.sequence = expected;
        }
        step
    }

    fn login(&mut self, length: u32, input: &[u8], turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        let length = length as usize;
        if length > MAX_MESSAGE - HEADER {
            return self.malformed(1043, "a login longer than 16 KiB", turn, out);
        }
        let Some(payload) = input.get(..length) else {
            return Step::WAIT;
        };
        let consumed = HEADER + length;
        let (user, token): (&[u8], _) = match self.state {
            State::Switch => (b"", payload),
            _ => match login::read_response(payload) {
                None => return self.malformed(1043, "a login that is no HandshakeResponse41", turn, out),
                Some(response) if response.other_plugin => {
                    self.state = State::Switch;
                    let scramble = self.scramble;
                    packet::write(out, &mut self.sequence, |out| login::write_switch(out, &scramble));
                    return Step::pass(consumed);
                }
                Some(response) => (response.user, response.token),
            },
        };
        if !auth::accepts(turn.settings.password.as_deref(), &self.scramble, token) {
            self.reply(turn, out)
                .error(1045, b"28000", b"Access denied for user ", user);
            return Step::end(consumed, End::Denied);
        }
        self.state = State::Command;
        self.reply(turn, out).ok();
        Step::pass(consumed)
    }

    /// Judges a command by its first bytes; what follows them is passed over as it comes.
    fn command(&mut self, length: u32, input: &[u8], turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        if length == 0 {
            return self.malformed(1835, "a packet without a command", turn, out);
        }
        if length == MAX_LENGTH {
            return self.malformed(1153, "a command of 16 MiB or more", turn, out);
        }
        let looked_at = (length as usize).min(LOOKED_AT);
        let Some(start) = input.get(..looked_at) else {
            return Step::WAIT;
        };
        let consumed = HEADER + looked_at;
        match (command::read(start), u64::from(length) - looked_at as u64) {
            (None, _) => Step::end(consumed, End::Quit),
            (Some((answer, asked)), 0) => self.answer(answer, asked, consumed, turn, out),
            (Some((answer, asked)), left) => {
                self.state = State::Rest(left, answer, asked);
                Step::pass(consumed)
            }
        }
    }

    fn answer(&mut self, answer: Answer, asked: Asked, consumed: usize, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        self.state = State::Command;
        if turn.fail && asked == Asked::Request {
            let message = b"linger was told to fail this request";
            self.reply(turn, out).error(1105, b"HY000", message, b"");
            return Step::answered(consumed, asked);
        }
        if let Answer::Autocommit(on) = answer {
            self.autocommit = on;
        }
        self.reply(turn, out).answer(answer);
        Step::answered(consumed, asked)
    }

    fn reply<'a>(&'a mut self, turn: Turn<'_>, out: &'a mut Vec<u8>) -> Reply<'a> {
        Reply {
            out,
            sequence: &mut self.sequence,
            status: if self.autocommit { STATUS_AUTOCOMMIT } else { 0 },
            // A row is one packet here.
            value_bytes: turn.settings.response_bytes.min(MAX_LENGTH - 16),
        }
    }

    fn malformed(&mut self, code: u16, reason: &'static str, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        self.reply(turn, out).error(code, b"08S01", reason.as_bytes(), b"");
        Step::end(0, End::Malformed(reason))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::{Kind, ServerSession, Settings};
    use super::*;

    fn logged_in(settings: Settings) -> ServerSession {
        let mut session = ServerSession::new(Kind::Mysql, Arc::new(settings), 9);
        let mut out = Vec::new();
        session.greet(&mut out);
        out.clear();
        let mut sequence = 1;
        packet::write(&mut out, &mut sequence, |out| login::write_response(out, "me", b""));
        let (login, mut reply) = (out, Vec::new());
        assert_eq!(session.receive(&login, &mut reply), Step::pass(login.len()));
        assert_eq!(reply, [7, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]);
        session
    }

    fn command(session: &mut ServerSession, payload: &[u8]) -> (Step, Vec<u8>) {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        packet::write(&mut input, &mut 0, |out| out.extend(payload));
        let step = session.receive(&input, &mut out);
        (step, out)
    }

    #[test]
    fn ping_and_use_are_ok_and_quit_ends_without_a_reply() {
        let mut session = logged_in(Settings::default());
        let ok = [7, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0];
        let set_up = |consumed| Step::answered(consumed, Asked::SetUp);
        assert_eq!(command(&mut session, b"\x0e"), (set_up(5), ok.to_vec()));
        assert_eq!(command(&mut session, b"\x02db"), (set_up(7), ok.to_vec()));
        assert_eq!(command(&mut session, b"\x01"), (Step::end(5, End::Quit), vec![]));
    }

    #[test]
    fn an_unknown_command_is_an_error_that_the_connection_outlives() {
        let mut session = logged_in(Settings::default());
        let (step, reply) = command(&mut session, b"\x16SELECT ?");
        assert_eq!(step, Step::request(13));
        assert!(reply[4..].starts_with(b"\xff\x17\x04#08S01"));
    }

    #[test]
    fn a_select_has_one_row_of_the_bytes_set() {
        let mut session = logged_in(Settings {
            response_bytes: 300,
            ..Settings::default()
        });
        let (_, reply) = command(&mut session, b"\x03SELECT 'a'");
        let row = [&[0x2f, 1, 0, 4, 0xfc, 0x2c, 1][..], &[b'x'; 300]].concat();
        assert!(reply.windows(row.len()).any(|window| window == row));
        assert!(reply.ends_with(&[5, 0, 0, 5, 0xfe, 0, 0, 2, 0]));
    }

    #[test]
    fn a_long_query_is_answered_at_its_end() {
        let mut session = logged_in(Settings::default());
        let (step, reply) = command(&mut session, &[b"\x03INSERT ", &[b'x'; 100_000][..]].concat());
        assert_eq!((step, reply.len()), (Step::pass(HEADER + LOOKED_AT), 0));
        let mut out = Vec::new();
        let left = 100_008 - LOOKED_AT;
        assert_eq!(session.receive(&vec![b'x'; left], &mut out), Step::request(left));
        assert_eq!(out.len(), 11);
    }

    #[test]
    fn the_status_tells_of_autocommit() {
        let mut session = logged_in(Settings::default());
        let (_, reply) = command(&mut session, b"\x03SET AUTOCOMMIT = 0");
        assert_eq!(reply, [7, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_wrong_password_is_denied_and_another_plugin_is_asked_for_ours() {
        let settings = Arc::new(Settings {
            password: Some("secret".into()),
            ..Settings::default()
        });
        let mut session = ServerSession::new(Kind::Mysql, settings, 9);
        session.greet(&mut Vec::new());
        let (mut login, mut reply) = (Vec::new(), Vec::new());
        packet::write(&mut login, &mut 1, |out| {
            login::write_response(out, "me", b"");
            out.truncate(out.len() - b"mysql_native_password\0".len());
            out.extend(b"caching_sha2_password\0");
        });
        assert_eq!(session.receive(&login, &mut reply), Step::pass(login.len()));
        assert!(reply[4..].starts_with(b"\xfemysql_native_password\0"));
        let wrong = [&[20, 0, 0, 3][..], &[1; 20]].concat();
        reply.clear();
        assert_eq!(session.receive(&wrong, &mut reply), Step::end(24, End::Denied));
        assert!(reply[4..].starts_with(b"\xff\x15\x04#28000Access denied"));
    }

    #[test]
    fn packets_out_of_order_or_too_long_end_the_connection() {
        for (input, code) in [
            (&b"\x01\0\0\x05\x0e"[..], 1156u16),
            (b"\xff\xff\xff\0\x03", 1153),
            (b"\0\0\0\0", 1835),
        ] {
            let mut out = Vec::new();
            let step = logged_in(Settings::default()).receive(input, &mut out);
            assert!(matches!(step.end, Some(End::Malformed(_))));
            assert_eq!(out[5..7], code.to_le_bytes());
        }
    }
}
