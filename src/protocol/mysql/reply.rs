//! What the server answers in the command phase: OK, ERR, EOF and text resultsets ("Text Resultset").

use std::io::Write;

use super::super::fill;
use super::CHARSET;
use super::constant::{Item, Value};
use super::lexer::Text;
use super::login::SERVER_VERSION;
use super::packet::{integer, string, write};
use super::sql::{Problem, Select, Wanted};
use super::variables::{Setting, VARIABLES, Variable};

/// Column types of Protocol::ColumnDefinition41.
const DOUBLE: u8 = 5;
const NULL: u8 = 6;
const LONGLONG: u8 = 8;
const NEWDECIMAL: u8 = 246;
const VAR_STRING: u8 = 253;
/// The character set of what is no text.
const BINARY: u8 = 63;
/// The longest name of a column, in bytes: its length is one byte.
const MAX_NAME: usize = 250;

const UNSUPPORTED: &[u8] =
    b"the built-in server answers SELECTs of constants, @@variables, VERSION(), DATABASE(), USER() and \
CONNECTION_ID() alone; for tables and expressions use a real one (--server-exec)";

/// What a connection knows of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) connection: u32,
    pub(super) user: &'a [u8],
    /// Empty: none is chosen.
    pub(super) database: &'a [u8],
    pub(super) autocommit: bool,
    /// The status flags.
    pub(super) status: u16,
}

/// Where a reply is written, and what each of its packets must tell.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) sequence: &'a mut u8,
    pub(super) facts: Facts<'a>,
}

impl Reply<'_> {
    /// OK_Packet: no row changed, no id, no warning.
    pub(super) fn ok(&mut self) {
        let [low, high] = self.facts.status.to_le_bytes();
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

    pub(super) fn problem(&mut self, problem: Problem<'_>) {
        match problem {
            Problem::Empty => self.error(1065, b"42000", b"Query was empty", b""),
            Problem::Syntax(from) => self.error(1064, b"42000", b"this is no SQL statement: ", from),
            Problem::Unsupported => self.error(1235, b"42000", UNSUPPORTED, b""),
            Problem::UnknownVariable(name) => self.error(1193, b"HY000", b"Unknown system variable ", name),
        }
    }

    pub(super) fn eof(&mut self) {
        let [low, high] = self.facts.status.to_le_bytes();
        write(self.out, self.sequence, |out| out.extend([0xfe, 0, 0, low, high]));
    }

    /// COM_STATISTICS
    pub(super) fn statistics(&mut self) {
        write(self.out, self.sequence, |out| out.extend(b"Uptime: 0  Threads: 1"));
    }

    /// The row that linger's own client asks for: a string of so many bytes.
    pub(super) fn own(&mut self, bytes: u32) {
        self.columns(1, |out, sequence| {
            column(out, sequence, Text::plain(b"value"), VAR_STRING, 0)
        });
        write(self.out, self.sequence, |out| {
            integer(out, bytes.into());
            fill(out, bytes);
        });
        self.eof();
    }

    /// The one row of a SELECT of constants.
    pub(super) fn select(&mut self, select: Select<'_>) {
        self.columns(select.columns, |out, sequence| {
            for Item { name, value } in select.items() {
                let (kind, decimals) = kind(value);
                column(out, sequence, name, kind, decimals);
            }
        });
        let facts = self.facts;
        write(self.out, self.sequence, |out| {
            select.items().for_each(|item| cell(out, item.value, facts))
        });
        self.eof();
    }

    pub(super) fn variables(&mut self, wanted: Wanted<'_>) {
        self.texts(&["Variable_name", "Value"]);
        let facts = self.facts;
        for variable in VARIABLES.iter().filter(|variable| wanted.is(variable)) {
            write(self.out, self.sequence, |out| {
                string(out, variable.name.as_bytes());
                match setting(variable, facts) {
                    Setting::Switch(true) => string(out, b"ON"),
                    Setting::Switch(false) => string(out, b"OFF"),
                    _ => cell(out, Value::Variable(variable), facts),
                }
            });
        }
        self.eof();
    }

    /// No row of these columns.
    pub(super) fn no_rows(&mut self, names: &[&str]) {
        self.texts(names);
        self.eof();
    }

    fn texts(&mut self, names: &[&str]) {
        self.columns(names.len(), |out, sequence| {
            for name in names {
                column(out, sequence, Text::plain(name.as_bytes()), VAR_STRING, 0);
            }
        });
    }

    /// The number of columns, their definitions and what ends these.
    fn columns(&mut self, count: usize, definitions: impl FnOnce(&mut Vec<u8>, &mut u8)) {
        write(self.out, self.sequence, |out| integer(out, count as u64));
        definitions(self.out, self.sequence);
        self.eof();
    }
}

/// What a variable is on this connection.
fn setting(variable: &Variable, facts: Facts<'_>) -> Setting {
    match variable.setting {
        Setting::Autocommit => Setting::Switch(facts.autocommit),
        setting => setting,
    }
}

/// The type of a value, and how many digits after the point it has.
fn kind(value: Value<'_>) -> (u8, u8) {
    match value {
        Value::Null => (NULL, 0),
        Value::Integer { .. } | Value::ConnectionId => (LONGLONG, 0),
        Value::Decimal { scale, .. } => (NEWDECIMAL, scale),
        // "Not fixed".
        Value::Double { .. } => (DOUBLE, 31),
        Value::Variable(variable) => match variable.setting {
            Setting::Text(_) => (VAR_STRING, 0),
            Setting::Number(_) | Setting::Switch(_) | Setting::Autocommit => (LONGLONG, 0),
        },
        Value::String(_) | Value::Version | Value::Database | Value::User => (VAR_STRING, 0),
    }
}

/// One value of a row: a length-encoded string, or NULL.
fn cell(out: &mut Vec<u8>, value: Value<'_>, facts: Facts<'_>) {
    match value {
        Value::Null => out.push(0xfb),
        Value::Integer { negative, digits }
        | Value::Decimal { negative, digits, .. }
        | Value::Double { negative, digits } => {
            integer(out, digits.len() as u64 + u64::from(negative));
            out.extend::<&[u8]>(if negative { b"-" } else { b"" });
            out.extend(digits);
        }
        Value::String(text) => {
            integer(out, text.len() as u64);
            out.extend(text.bytes());
        }
        Value::Variable(variable) => match setting(variable, facts) {
            Setting::Text(text) => string(out, text.as_bytes()),
            Setting::Number(number) => decimal(out, number),
            Setting::Switch(on) => decimal(out, on.into()),
            Setting::Autocommit => decimal(out, facts.autocommit.into()),
        },
        Value::Version => string(out, SERVER_VERSION.as_bytes()),
        Value::Database if facts.database.is_empty() => out.push(0xfb),
        Value::Database => string(out, facts.database),
        Value::User => {
            // Any user is let in from anywhere.
            integer(out, facts.user.len() as u64 + 2);
            out.extend(facts.user);
            out.extend(b"@%");
        }
        Value::ConnectionId => decimal(out, facts.connection.into()),
    }
}

/// A number's digits, as a length-encoded string.
fn decimal(out: &mut Vec<u8>, number: u64) {
    out.push(0);
    let start = out.len();
    // Writing to a Vec cannot fail. No number has more than 20 digits.
    let _ = write!(out, "{number}");
    out[start - 1] = (out.len() - start) as u8;
}

/// Protocol::ColumnDefinition41.
fn column(out: &mut Vec<u8>, sequence: &mut u8, name: Text<'_>, kind: u8, decimals: u8) {
    write(out, sequence, |out| {
        // Catalogue, schema, table, table's own name.
        for text in [b"def", &b""[..], b"", b""] {
            string(out, text);
        }
        out.push(0);
        let start = out.len();
        out.extend(name.bytes().take(MAX_NAME));
        if name.bytes().nth(MAX_NAME).is_some_and(continues_a_character) {
            // No character is cut in two.
            while out.len() > start && out.pop().is_some_and(continues_a_character) {}
        }
        out[start - 1] = (out.len() - start) as u8;
        // The column's own name, and the length of what follows.
        string(out, b"");
        out.push(0x0c);
        out.extend([if kind == VAR_STRING { CHARSET } else { BINARY }, 0]);
        out.extend(u32::from(u16::MAX).to_le_bytes());
        // Flags; decimals; two bytes reserved.
        out.extend([kind, 0, 0, decimals, 0, 0]);
    });
}

/// Whether it is not the first byte of its character in UTF-8.
fn continues_a_character(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
