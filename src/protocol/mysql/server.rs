//! MySQL, the server's side: the login, then one command after the other.

use super::super::server::{Asked, End, Step, Turn};
use super::super::{MAX_MESSAGE, pass_over};
use super::MAX_COMMAND;
use super::auth::{self, Scramble};
use super::command::{self, Command, Effect};
use super::login;
use super::packet::{self, HEADER, MAX_LENGTH};
use super::reply::{Facts, Reply};

const STATUS_AUTOCOMMIT: u16 = 2;

/// So many bytes of a command that does not fit into [`MAX_MESSAGE`] are waited for before it is judged.
const LOOKED_AT: usize = 512;
/// The longest name of a user or a database that is remembered: 64 characters.
const MAX_NAME: usize = 192;
/// Room for names that a session keeps for its next connection.
const NAMES_ROOM: usize = 2 * MAX_NAME;

#[derive(Debug)]
pub(crate) struct Server {
    connection: u32,
    scramble: Scramble,
    autocommit: bool,
    /// The sequence number of the next packet, whoever sends it.
    sequence: u8,
    state: State,
    /// The user's name, and then the database's.
    names: Vec<u8>,
    user_length: u8,
    /// What has come of a long command that is kept.
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// The answer to the greeting is to come.
    Login,
    /// The answer to the wish for another plugin is to come.
    Switch,
    Command,
    /// So many bytes of a command are still to come before it is answered.
    Rest(u32, Fate),
}

/// What becomes of a command that does not fit into [`MAX_MESSAGE`].
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is read when it is whole.
    Kept,
    /// Linger's own client's, passed over as it comes.
    Own,
    /// Even longer.
    TooLong,
}

impl Server {
    pub(crate) fn new(connection: u64) -> Self {
        Self {
            connection: connection as u32,
            scramble: auth::scramble(connection),
            autocommit: true,
            sequence: 0,
            state: State::Login,
            names: Vec::new(),
            user_length: 0,
            kept: Vec::new(),
        }
    }

    /// Makes it that of a new connection. The room for names is kept: no connection allocates any.
    pub(crate) fn reset(&mut self, connection: u64) {
        let mut names = std::mem::take(&mut self.names);
        names.clear();
        *self = Self {
            names,
            ..Self::new(connection)
        };
    }

    pub(crate) fn greet(&mut self, out: &mut Vec<u8>) {
        let (connection, scramble) = (self.connection, self.scramble);
        self.sequence = 0;
        packet::write(out, &mut self.sequence, |out| {
            login::write_greeting(out, connection, &scramble, STATUS_AUTOCOMMIT);
        });
    }

    pub(crate) fn receive(&mut self, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        if let State::Rest(left, fate) = self.state {
            return self.rest(left, fate, turn, input, out);
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
            return self.malformed(1156, "packets out of order", out);
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
            return self.malformed(1043, "a login longer than 16 KiB", out);
        }
        let Some(payload) = input.get(..length) else {
            return Step::WAIT;
        };
        let consumed = HEADER + length;
        let token = match self.state {
            State::Switch => payload,
            _ => match login::read_response(payload) {
                None => return self.malformed(1043, "a login that is no HandshakeResponse41", out),
                Some(response) => {
                    self.name(response.user, response.database);
                    if response.other_plugin {
                        self.state = State::Switch;
                        let scramble = self.scramble;
                        packet::write(out, &mut self.sequence, |out| login::write_switch(out, &scramble));
                        return Step::pass(consumed);
                    }
                    response.token
                }
            },
        };
        if !auth::accepts(turn.settings.password.as_deref(), &self.scramble, token) {
            let mut reply = self.reply(out);
            let user = reply.facts.user;
            reply.error(1045, b"28000", b"Access denied for user ", user);
            return Step::end(consumed, End::Denied);
        }
        self.state = State::Command;
        self.reply(out).ok();
        Step::pass(consumed)
    }

    /// Remembers who the client is, and the database that it chose.
    fn name(&mut self, user: &[u8], database: &[u8]) {
        let user = &user[..user.len().min(MAX_NAME)];
        self.names.clear();
        self.names.reserve_exact(NAMES_ROOM);
        self.names.extend_from_slice(user);
        self.user_length = user.len() as u8;
        self.choose(database.iter().copied());
    }

    fn choose(&mut self, database: impl Iterator<Item = u8>) {
        self.names.truncate(self.user_length.into());
        self.names.extend(database.take(MAX_NAME));
    }

    /// Waits for the whole command, or, where that is too long, for enough of it to see what becomes of the rest.
    fn command(&mut self, length: u32, input: &[u8], turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        if length == 0 {
            return self.malformed(1835, "a packet without a command", out);
        }
        if length == MAX_LENGTH {
            return self.malformed(1153, "a command of 16 MiB or more", out);
        }
        let whole = length as usize;
        if whole <= MAX_MESSAGE - HEADER {
            return match input.get(..whole) {
                Some(command) => self.answer(command, HEADER + whole, turn, out),
                None => Step::WAIT,
            };
        }
        let Some(start) = input.get(..LOOKED_AT) else {
            return Step::WAIT;
        };
        let fate = match whole {
            _ if command::is_own(start) => Fate::Own,
            ..=MAX_COMMAND => Fate::Kept,
            _ => Fate::TooLong,
        };
        if let Fate::Kept = fate {
            self.kept.extend_from_slice(start);
        }
        self.state = State::Rest(length - LOOKED_AT as u32, fate);
        Step::pass(HEADER + LOOKED_AT)
    }

    /// Goes on in a long command.
    fn rest(&mut self, left: u32, fate: Fate, turn: Turn<'_>, input: &[u8], out: &mut Vec<u8>) -> Step {
        let mut left = left.into();
        let taken = pass_over(&mut left, input);
        if let Fate::Kept = fate {
            self.kept.extend_from_slice(&input[..taken]);
        }
        if left > 0 {
            self.state = State::Rest(left as u32, fate);
            return Step::pass(taken);
        }
        self.state = State::Command;
        match fate {
            Fate::Kept => {
                let kept = std::mem::take(&mut self.kept);
                self.answer(&kept, taken, turn, out)
            }
            Fate::Own => self.respond(Command::Own, taken, turn, out),
            Fate::TooLong if turn.fail => self.respond(Command::Unknown, taken, turn, out),
            Fate::TooLong => {
                let message = b"Got a packet bigger than 'max_allowed_packet' bytes";
                self.reply(out).error(1153, b"08S01", message, b"");
                Step::answered(taken, Asked::Mistake)
            }
        }
    }

    fn answer(&mut self, command: &[u8], consumed: usize, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        self.respond(Command::read(command), consumed, turn, out)
    }

    fn respond(&mut self, command: Command<'_>, consumed: usize, turn: Turn<'_>, out: &mut Vec<u8>) -> Step {
        if let Command::Quit = command {
            return Step::end(consumed, End::Quit);
        }
        let asked = command.asked();
        if turn.fail && asked != Asked::SetUp {
            let message = b"linger was told to fail this request";
            self.reply(out).error(1105, b"HY000", message, b"");
            return Step::request(consumed);
        }
        match command.effect() {
            Some(Effect::Autocommit(on)) => self.autocommit = on,
            Some(Effect::Database(name)) => self.choose(name.bytes()),
            None => {}
        }
        // A row is one packet here.
        let own_bytes = turn.settings.response_bytes.min(MAX_LENGTH - 16);
        command.answer(own_bytes, &mut self.reply(out));
        Step::answered(consumed, asked)
    }

    fn reply<'a>(&'a mut self, out: &'a mut Vec<u8>) -> Reply<'a> {
        let (user, database) = self.names.split_at(self.user_length.into());
        Reply {
            out,
            sequence: &mut self.sequence,
            facts: Facts {
                connection: self.connection,
                user,
                database,
                autocommit: self.autocommit,
                status: if self.autocommit { STATUS_AUTOCOMMIT } else { 0 },
            },
        }
    }

    fn malformed(&mut self, code: u16, reason: &'static str, out: &mut Vec<u8>) -> Step {
        self.reply(out).error(code, b"08S01", reason.as_bytes(), b"");
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
        assert_eq!(step, Step::answered(13, Asked::Mistake));
        assert!(reply[4..].starts_with(b"\xff\x17\x04#08S01"));
    }

    #[test]
    fn the_loads_own_select_has_one_row_of_the_bytes_set() {
        let mut session = logged_in(Settings {
            response_bytes: 300,
            ..Settings::default()
        });
        let (_, reply) = command(&mut session, b"\x03SELECT /* linger */ 'a'");
        let row = [&[0x2f, 1, 0, 4, 0xfc, 0x2c, 1][..], &[b'x'; 300]].concat();
        assert!(reply.windows(row.len()).any(|window| window == row));
        assert!(reply.ends_with(&[5, 0, 0, 5, 0xfe, 0, 0, 2, 0]));
    }

    #[test]
    fn a_long_query_is_answered_at_its_end() {
        for (query, answer) in [
            ("INSERT ", &b"\0\0\0\x02\0\0\0"[..]),
            ("SELECT /* linger */ '", b"\x01"),
            ("xxxx", b"\xff\x28\x04#42000this is no SQL statement: xxxxx"),
        ] {
            let mut session = logged_in(Settings::default());
            let query = [b"\x03", query.as_bytes(), &[b'x'; 100_000][..]].concat();
            let (step, reply) = command(&mut session, &query);
            assert_eq!((step, reply.len()), (Step::pass(HEADER + LOOKED_AT), 0));
            let mut out = Vec::new();
            let rest = &query[LOOKED_AT..];
            assert_eq!(session.receive(rest, &mut out).consumed, rest.len());
            assert!(out[4..].starts_with(answer), "{}", out.escape_ascii());
        }
        let mut session = logged_in(Settings::default());
        command(&mut session, &[&b"\x03SELECT '"[..], &vec![b'x'; MAX_COMMAND]].concat());
        let (mut out, left) = (Vec::new(), MAX_COMMAND + 9 - LOOKED_AT);
        let step = session.receive(&vec![b'x'; left], &mut out);
        assert_eq!(step, Step::answered(left, Asked::Mistake));
        assert!(out[4..].starts_with(b"\xff\x81\x04#08S01"));
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
