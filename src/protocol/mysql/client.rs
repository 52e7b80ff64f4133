//! MySQL, the client's side: the login with `mysql_native_password`, then one query after the other.
//!
//! Packets that carry rows and columns are passed over as they come; the others are waited for.

use super::super::client::{ClientStep, Event};
use super::super::{MAX_MESSAGE, Settings, fill, pass_over};
use super::OWN_QUERY;
use super::auth::{self, Scramble};
use super::login;
use super::packet::{self, HEADER, MAX_LENGTH, Reader};

/// COM_QUERY.
const QUERY: u8 = 0x03;
/// COM_PING.
const PING: u8 = 0x0e;
/// How the packets OK and ERR begin.
const OK: u8 = 0x00;
const ERR: u8 = 0xff;

#[derive(Debug, Default)]
pub(crate) struct Client {
    state: State,
    /// The sequence number of the next packet, whoever sends it.
    sequence: u8,
    /// Bytes of a row or a column definition still to come.
    left: u64,
    /// The packet before this one had the greatest length: this one continues it.
    continued: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Greeting,
    /// Our token is sent.
    Login,
    Idle,
    /// The query is sent.
    Response,
    /// So many column definitions are to come, and an EOF packet.
    Columns(u64),
    Rows,
}

impl Client {
    /// `SELECT 1`, or a SELECT of a string of `request_bytes`, which our own server answers with one of `response_bytes`.
    pub(crate) fn request(&mut self, settings: &Settings, out: &mut Vec<u8>) {
        self.state = State::Response;
        self.sequence = 0;
        packet::write(out, &mut self.sequence, |out| {
            out.push(QUERY);
            match settings.request_bytes {
                0 => out.extend(b"SELECT 1"),
                bytes => {
                    out.extend(OWN_QUERY);
                    out.push(b'\'');
                    // A query is one packet here.
                    fill(out, bytes.min(MAX_LENGTH - 32));
                    out.push(b'\'');
                }
            }
        });
    }

    /// COM_PING, answered by an OK packet.
    pub(crate) fn ping(&mut self, out: &mut Vec<u8>) {
        self.state = State::Response;
        self.sequence = 0;
        packet::write(out, &mut self.sequence, |out| out.push(PING));
    }

    pub(crate) fn receive(&mut self, settings: &Settings, input: &[u8], out: &mut Vec<u8>) -> ClientStep {
        if self.left > 0 {
            return ClientStep::pass(pass_over(&mut self.left, input));
        }
        let Some((length, sequence)) = packet::header(input) else {
            return ClientStep::WAIT;
        };
        // A server that ends an idle connection says so in a packet that answers none.
        let expected = if matches!(self.state, State::Idle) {
            0
        } else {
            self.sequence
        };
        if sequence != expected {
            return ClientStep::malformed("packets out of order");
        }
        self.sequence = sequence.wrapping_add(1);
        let step = match (self.state, input.get(HEADER)) {
            _ if self.continued => self.skip(length),
            (_, None) if length > 0 => ClientStep::WAIT,
            (State::Columns(left @ 1..), _) => {
                self.state = State::Columns(left - 1);
                self.skip(length)
            }
            (State::Rows, Some(&first)) if first != ERR && !is_eof(first, length) => self.skip(length),
            _ => self.whole(length, settings, &input[HEADER..], out),
        };
        if step == ClientStep::WAIT {
            // The same packet will be looked at again.
            self.sequence = expected;
        }
        step
    }

    /// A packet of which nothing matters but its end.
    fn skip(&mut self, length: u32) -> ClientStep {
        self.left = length.into();
        self.continued = length == MAX_LENGTH;
        ClientStep::pass(HEADER)
    }

    /// A packet that says how things go on.
    fn whole(&mut self, length: u32, settings: &Settings, input: &[u8], out: &mut Vec<u8>) -> ClientStep {
        let length = length as usize;
        if length > MAX_MESSAGE - HEADER {
            return ClientStep::malformed("a packet longer than 16 KiB that is no row");
        }
        let Some(payload) = input.get(..length) else {
            return ClientStep::WAIT;
        };
        let consumed = HEADER + length;
        let Some(&first) = payload.first() else {
            return ClientStep::malformed("an empty packet");
        };
        if first == ERR {
            return self.error(payload, consumed);
        }
        match self.state {
            State::Greeting => self.log_in(login::read_greeting(payload), settings, consumed, out),
            State::Login if first == OK => {
                self.state = State::Idle;
                ClientStep::event(consumed, Event::LoggedIn)
            }
            State::Login => match login::read_switch(payload) {
                Some(scramble) => self.switch(&scramble, settings, consumed, out),
                None => ClientStep::malformed("a login with another plugin than mysql_native_password"),
            },
            State::Idle => ClientStep::malformed("bytes that answer no request"),
            State::Response => self.response(payload, consumed),
            State::Columns(_) if is_eof(first, length as u32) => {
                self.state = State::Rows;
                ClientStep::pass(consumed)
            }
            State::Columns(_) => ClientStep::malformed("no EOF packet after the column definitions"),
            // `receive` leaves no other packet than EOF to us.
            State::Rows => self.complete(consumed),
        }
    }

    fn complete(&mut self, consumed: usize) -> ClientStep {
        self.state = State::Idle;
        ClientStep::response(consumed)
    }

    /// ERR_Packet: 0xff, the number, and the text for people.
    fn error(&mut self, payload: &[u8], consumed: usize) -> ClientStep {
        let Some(code) = Reader(&payload[1..]).u16() else {
            return ClientStep::malformed("an ERR packet without a number");
        };
        match self.state {
            State::Greeting | State::Login | State::Idle => ClientStep::event(consumed, Event::Refused(code)),
            State::Response | State::Columns(_) | State::Rows => {
                self.state = State::Idle;
                ClientStep::error(consumed, code)
            }
        }
    }

    fn log_in(
        &mut self,
        scramble: Option<Scramble>,
        settings: &Settings,
        consumed: usize,
        out: &mut Vec<u8>,
    ) -> ClientStep {
        let Some(scramble) = scramble else {
            return ClientStep::malformed("a greeting that is not protocol 10 with a scramble of 20 bytes");
        };
        self.state = State::Login;
        packet::write(out, &mut self.sequence, |out| match password(settings) {
            Some(password) => login::write_response(out, &settings.user, &auth::token(password, &scramble)),
            None => login::write_response(out, &settings.user, b""),
        });
        ClientStep::pass(consumed)
    }

    fn switch(&mut self, scramble: &Scramble, settings: &Settings, consumed: usize, out: &mut Vec<u8>) -> ClientStep {
        packet::write(out, &mut self.sequence, |out| {
            if let Some(password) = password(settings) {
                out.extend(auth::token(password, scramble));
            }
        });
        ClientStep::pass(consumed)
    }

    /// The first packet that answers a query: OK, or the number of columns.
    fn response(&mut self, payload: &[u8], consumed: usize) -> ClientStep {
        match (payload[0], Reader(payload).integer()) {
            (OK, _) => self.complete(consumed),
            (_, Some(columns @ 1..=4096)) => {
                self.state = State::Columns(columns);
                ClientStep::pass(consumed)
            }
            _ => ClientStep::malformed("neither OK, ERR nor the number of columns"),
        }
    }
}

fn password(settings: &Settings) -> Option<&str> {
    settings.password.as_deref().filter(|password| !password.is_empty())
}

/// EOF_Packet: a row may begin with the same byte, but is longer.
fn is_eof(first: u8, length: u32) -> bool {
    first == 0xfe && length < 9
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that sent its first query.
    fn asking() -> Client {
        Client {
            state: State::Response,
            sequence: 1,
            ..Client::default()
        }
    }

    fn packets(payloads: &[&[u8]]) -> Vec<u8> {
        let (mut out, mut sequence) = (Vec::new(), 1);
        for payload in payloads {
            packet::write(&mut out, &mut sequence, |out| out.extend(*payload));
        }
        out
    }

    fn event(client: &mut Client, mut input: &[u8]) -> Option<Event> {
        loop {
            let step = client.receive(&Settings::default(), input, &mut Vec::new());
            input = &input[step.consumed..];
            if step.event.is_some() || step.consumed == 0 {
                return step.event;
            }
        }
    }

    const EOF: &[u8] = &[0xfe, 0, 0, 2, 0];

    #[test]
    fn a_resultset_ends_with_its_second_eof() {
        let long_row = [&[0xfe, 9, 0, 0, 0, 0, 0, 0, 0][..], b"xxxxxxxxx"].concat();
        let set = packets(&[&[1], b"\x03def", EOF, b"\x01a", &long_row, EOF]);
        let done = Some(Event::Response {
            error: None,
            closing: false,
        });
        assert_eq!(event(&mut asking(), &set), done);
        assert_eq!(event(&mut asking(), &set[..set.len() - 1]), None);
    }

    #[test]
    fn an_error_answers_a_query_or_refuses_the_connection() {
        let error = packets(&[b"\xff\x28\x04#42000no"]);
        let answer = Event::Response {
            error: Some(1064),
            closing: false,
        };
        assert_eq!(event(&mut asking(), &error), Some(answer));
        assert_eq!(
            event(&mut Client::default(), b"\x05\0\0\0\xff\x10\x04no"),
            Some(Event::Refused(1040))
        );
    }

    #[test]
    fn a_row_of_16_mib_goes_on_in_the_next_packet() {
        let mut client = Client {
            state: State::Rows,
            ..asking()
        };
        let receive = |client: &mut Client, input: &[u8]| client.receive(&Settings::default(), input, &mut Vec::new());
        assert_eq!(receive(&mut client, b"\xff\xff\xff\x01\xfd"), ClientStep::pass(4));
        assert_eq!(receive(&mut client, &vec![0; 0xff_ffff]), ClientStep::pass(0xff_ffff));
        // Looks like EOF, but is the rest of the row.
        assert_eq!(event(&mut client, b"\x05\0\0\x02\xfe\0\0\0\0"), None);
        assert!(event(&mut client, b"\x05\0\0\x03\xfe\0\0\0\0").is_some());
    }

    #[test]
    fn what_is_not_asked_for_is_malformed() {
        for payloads in [&[&b"\xfbfile"[..]][..], &[b""], &[&[1], b"\x03def", b"\x01a"]] {
            let event = event(&mut asking(), &packets(payloads));
            assert!(matches!(event, Some(Event::Malformed(_))), "{payloads:?}: {event:?}");
        }
    }
}
