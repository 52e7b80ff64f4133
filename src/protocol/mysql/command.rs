//! The command phase: what a command is answered, judged by its first bytes ("Text Protocol", "Utility Commands").
//!
//! There is no SQL here. A query is known by its first words, as clients' start-up queries are; what a SELECT asks for is
//! answered with one row of one column, and everything that is no question with OK.
//!
//! What drivers and pools say of their own accord is set-up and no request: COM_PING, COM_INIT_DB, COM_RESET_CONNECTION,
//! COM_CHANGE_USER, COM_SET_OPTION, and the queries `SET …`, `USE …`, `SELECT` of a `@@variable` or of what is known of the
//! connection (`VERSION()`, `DATABASE()`, …), `SHOW VARIABLES`, `SHOW WARNINGS`. `SELECT 1` and `COMMIT` are requests: who
//! means what by them cannot be seen.

use super::super::fill;
use super::super::server::Asked;
use super::super::text::{decimal, words};
use super::login::SERVER_VERSION;
use super::packet::{integer, string, write};

/// So many bytes of a command are looked at.
pub(super) const LOOKED_AT: usize = 512;

pub(super) const STATUS_AUTOCOMMIT: u16 = 2;

/// What a command is answered: small, so that it can wait until the rest of the command is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ok,
    /// OK to `SET autocommit`.
    Autocommit(bool),
    Eof,
    /// The one row of a SELECT, by what it asks for.
    Number(u64),
    VersionComment,
    Version,
    Value,
    /// SHOW WARNINGS, SHOW ERRORS: no rows.
    Warnings,
    /// Another SHOW: no rows.
    Nothing,
    Statistics,
    Unknown,
}

/// What a command asks for, its first byte among the [`LOOKED_AT`] given, and what for; None for COM_QUIT.
pub(super) fn read(command: &[u8]) -> Option<(Answer, Asked)> {
    Some(match command {
        [0x01, ..] => return None,
        // COM_INIT_DB, COM_PING, COM_RESET_CONNECTION
        [0x02 | 0x0e | 0x1f, ..] => (Answer::Ok, Asked::SetUp),
        [0x03, query @ ..] => read_query(query),
        [0x09, ..] => (Answer::Statistics, Asked::Request),
        // COM_CHANGE_USER
        [0x11, ..] => (Answer::Unknown, Asked::SetUp),
        // COM_SET_OPTION
        [0x1b, ..] => (Answer::Eof, Asked::SetUp),
        _ => (Answer::Unknown, Asked::Request),
    })
}

fn read_query(query: &[u8]) -> (Answer, Asked) {
    let query = without_comments(query).trim_ascii();
    let query = query.strip_suffix(b";").unwrap_or(query);
    let mut words = words(query);
    let verb = words.next().unwrap_or_default();
    let object = words.next().unwrap_or_default();
    if is(verb, "select") {
        let answer = match decimal(object) {
            Some(number) if words.next().is_none() => Answer::Number(number),
            _ if is(object, "@@version_comment") => Answer::VersionComment,
            _ if is(object, "@@version") || is(object, "version()") => Answer::Version,
            _ => Answer::Value,
        };
        return (answer, select_is(object));
    }
    if is(verb, "show") {
        return show(object, words.next().unwrap_or_default());
    }
    if is(verb, "set") {
        let answer = autocommit(query).map_or(Answer::Ok, Answer::Autocommit);
        return (answer, Asked::SetUp);
    }
    let asked = if is(verb, "use") { Asked::SetUp } else { Asked::Request };
    (Answer::Ok, asked)
}

/// Whether a SELECT of this, its first word, is a request.
fn select_is(object: &[u8]) -> Asked {
    const OF_THE_CONNECTION: [&str; 6] = [
        "version()",
        "database()",
        "schema()",
        "connection_id()",
        "user()",
        "current_user()",
    ];
    let object = object.strip_suffix(b",").unwrap_or(object);
    match object.starts_with(b"@@") || OF_THE_CONNECTION.iter().any(|name| is(object, name)) {
        true => Asked::SetUp,
        false => Asked::Request,
    }
}

/// `SHOW [GLOBAL|SESSION] VARIABLES`, `SHOW WARNINGS`, `SHOW ERRORS`, or another.
fn show(object: &[u8], next: &[u8]) -> (Answer, Asked) {
    let whose = is(object, "global") || is(object, "session");
    match if whose { next } else { object } {
        what if is(what, "warnings") || is(what, "errors") => (Answer::Warnings, Asked::SetUp),
        what if is(what, "variables") => (Answer::Nothing, Asked::SetUp),
        _ => (Answer::Nothing, Asked::Request),
    }
}

fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// Drivers put comments before their queries. `/*!` is none: what is in it is to be executed.
fn without_comments(query: &[u8]) -> &[u8] {
    let mut query = query.trim_ascii_start();
    while query.starts_with(b"/*") && !query.starts_with(b"/*!") {
        let Some(end) = query[2..].windows(2).position(|pair| pair == b"*/") else {
            return b"";
        };
        query = query[2 + end + 2..].trim_ascii_start();
    }
    query
}

/// `SET [SESSION|@@[session.]]autocommit = 0|1|off|on`. Drivers compare the status flag with what they set.
fn autocommit(set: &[u8]) -> Option<bool> {
    let equals = set.iter().position(|&byte| byte == b'=')?;
    let name = set[..equals].trim_ascii_end();
    let name = &name[name.len().checked_sub("autocommit".len())?..];
    let value = set[equals + 1..].trim_ascii();
    match is(name, "autocommit") {
        true if value == b"1" || is(value, "on") => Some(true),
        true if value == b"0" || is(value, "off") => Some(false),
        _ => None,
    }
}

/// Column types of Protocol::ColumnDefinition41.
const LONGLONG: u8 = 8;
const VAR_STRING: u8 = 253;

/// Where a reply is written, and what each of its packets must tell.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) sequence: &'a mut u8,
    /// The status flags.
    pub(super) status: u16,
    /// The length of [`Answer::Value`].
    pub(super) value_bytes: u32,
}

impl Reply<'_> {
    pub(super) fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Ok | Answer::Autocommit(_) => self.ok(),
            Answer::Eof => self.eof(),
            Answer::Number(number) => {
                let mut digits = [0; 20];
                let digits = decimal_digits(number, &mut digits);
                self.rows(&[digits], LONGLONG, Some(digits.len() as u64), |out| out.extend(digits));
            }
            Answer::VersionComment => self.text_row(b"@@version_comment", b"linger"),
            Answer::Version => self.text_row(b"version()", SERVER_VERSION),
            Answer::Value => {
                let bytes = self.value_bytes;
                self.rows(&[b"value"], VAR_STRING, Some(bytes.into()), |out| fill(out, bytes));
            }
            Answer::Warnings => self.rows(&[b"Level", b"Code", b"Message"], VAR_STRING, None, |_| {}),
            Answer::Nothing => self.rows(&[b"Variable_name", b"Value"], VAR_STRING, None, |_| {}),
            Answer::Statistics => write(self.out, self.sequence, |out| out.extend(b"Uptime: 0  Threads: 1")),
            Answer::Unknown => self.error(1047, b"08S01", b"unknown command", b""),
        }
    }

    /// OK_Packet: no row changed, no id, no warning.
    pub(super) fn ok(&mut self) {
        let [low, high] = self.status.to_le_bytes();
        write(self.out, self.sequence, |out| out.extend([0x00, 0, 0, low, high, 0, 0]));
    }

    /// ERR_Packet; `detail` is what the client sent, cut short.
    pub(super) fn error(&mut self, code: u16, state: &[u8; 5], message: &[u8], detail: &[u8]) {
        write(self.out, self.sequence, |out| {
            out.push(0xff);
            out.extend(code.to_le_bytes());
            out.push(b'#');
            out.extend(state);
            out.extend(message);
            out.extend(&detail[..detail.len().min(80)]);
        });
    }

    fn eof(&mut self) {
        let [low, high] = self.status.to_le_bytes();
        write(self.out, self.sequence, |out| out.extend([0xfe, 0, 0, low, high]));
    }

    fn text_row(&mut self, name: &[u8], value: &[u8]) {
        self.rows(&[name], VAR_STRING, Some(value.len() as u64), |out| out.extend(value));
    }

    /// ProtocolText::Resultset: the columns, and one row of one value whose length is given, or none.
    fn rows(&mut self, names: &[&[u8]], kind: u8, length: Option<u64>, value: impl FnOnce(&mut Vec<u8>)) {
        write(self.out, self.sequence, |out| integer(out, names.len() as u64));
        for name in names {
            write(self.out, self.sequence, |out| {
                column(out, name, kind, length.unwrap_or(255))
            });
        }
        self.eof();
        if let Some(length) = length {
            write(self.out, self.sequence, |out| {
                integer(out, length);
                value(out);
            });
        }
        self.eof();
    }
}

/// Protocol::ColumnDefinition41.
fn column(out: &mut Vec<u8>, name: &[u8], kind: u8, length: u64) {
    // Catalogue, schema, table, table's own name, name, column's own name.
    for text in [b"def", &b""[..], b"", b"", name, b""] {
        string(out, text);
    }
    // The length of what follows.
    out.push(0x0c);
    out.extend([super::CHARSET, 0]);
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.push(kind);
    // Flags, decimals, two bytes reserved.
    out.extend([0, 0, 0, 0, 0]);
}

/// The number's digits, in the buffer's end.
fn decimal_digits(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_up_queries_are_known_by_their_first_words() {
        for (query, answer) in [
            ("select @@version_comment limit 1", Answer::VersionComment),
            ("SELECT VERSION()", Answer::Version),
            ("SET NAMES utf8mb4", Answer::Ok),
            ("SET AUTOCOMMIT = 0", Answer::Autocommit(false)),
            ("set @@session.autocommit=ON", Answer::Autocommit(true)),
            ("SET sql_mode = ''", Answer::Ok),
            ("SELECT @@session.a AS a, @@b AS b", Answer::Value),
            ("select database(), user()", Answer::Value),
            ("SHOW WARNINGS", Answer::Warnings),
            ("SHOW SESSION VARIABLES LIKE 'a'", Answer::Nothing),
            ("USE db", Answer::Ok),
        ] {
            assert_eq!(read_query(query.as_bytes()), (answer, Asked::SetUp), "{query}");
        }
        for (query, answer) in [
            ("SELECT 1;", Answer::Number(1)),
            ("/* ping */ SELECT 42", Answer::Number(42)),
            ("SELECT 1, 2", Answer::Value),
            ("SELECT 'a'", Answer::Value),
            ("SELECT a FROM t WHERE b = @@c", Answer::Value),
            ("SHOW TABLES", Answer::Nothing),
            ("BEGIN", Answer::Ok),
            ("/* without end", Answer::Ok),
            ("", Answer::Ok),
        ] {
            assert_eq!(read_query(query.as_bytes()), (answer, Asked::Request), "{query}");
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 7, 10, u64::MAX] {
            assert_eq!(decimal_digits(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
