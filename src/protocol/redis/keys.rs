//! The commands that are about keys: what they find in the store and leave in it.

use std::io::Write;

use super::super::fill;
use super::super::server::Turn;
use super::super::store::{self, MAX_VALUE, OWN_KEY};
use super::command::{Arguments, Connection, bulk};
use super::server::{NOT_OWN, TOO_LONG};

pub(super) fn get(key: &[u8], connection: &Connection, turn: Turn<'_>, out: &mut Vec<u8>) {
    if key == OWN_KEY {
        let bytes = turn.settings.response_bytes;
        // Writing to a Vec cannot fail.
        let _ = write!(out, "${bytes}\r\n");
        fill(out, bytes);
        out.extend(b"\r\n");
        return;
    }
    match turn.store.open().get(connection.database.into(), key) {
        Some(entry) => bulk(&entry.value, out),
        None => null(connection, out),
    }
}

/// `SET <key> <value> [NX|XX] [GET] [KEEPTTL|EX <n>|PX <n>|EXAT <n>|PXAT <n>]`, of which the last changes nothing: nothing
/// expires.
pub(super) fn set(arguments: &Arguments<'_>, connection: &Connection, turn: Turn<'_>, out: &mut Vec<u8>) {
    let [_, key, value, options @ ..] = arguments.kept() else {
        return;
    };
    let Some(options) = Options::read(options) else {
        out.extend(b"-ERR syntax error\r\n");
        return;
    };
    if *key == OWN_KEY {
        out.extend::<&[u8]>(match store::is_own_value(value) {
            true => b"+OK\r\n",
            false => NOT_OWN,
        });
        return;
    }
    if value.len() > MAX_VALUE {
        out.extend(TOO_LONG);
        return;
    }
    let space = connection.database.into();
    let mut shelves = turn.store.open();
    let held = shelves.get(space, key);
    let sets = match options.only_if {
        None => true,
        Some(OnlyIf::Absent) => held.is_none(),
        Some(OnlyIf::Present) => held.is_some(),
    };
    match (options.get, held) {
        (true, Some(entry)) => bulk(&entry.value, out),
        (true, None) => null(connection, out),
        (false, _) if sets => out.extend(b"+OK\r\n"),
        (false, _) => null(connection, out),
    }
    if sets {
        shelves.set(space, key, 0, value);
    }
}

#[derive(Debug, Default)]
struct Options {
    only_if: Option<OnlyIf>,
    /// The reply is the value before.
    get: bool,
}

#[derive(Clone, Copy, Debug)]
enum OnlyIf {
    Absent,
    Present,
}

impl Options {
    fn read(words: &[&[u8]]) -> Option<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
            if is("nx") || is("xx") {
                let only_if = if is("nx") { OnlyIf::Absent } else { OnlyIf::Present };
                options.only_if.replace(only_if).is_none().then_some(())?;
            } else if is("get") {
                options.get = true;
            } else if ["ex", "px", "exat", "pxat"].into_iter().any(is) {
                super::super::text::decimal(words.next()?)?;
            } else if !is("keepttl") {
                return None;
            }
        }
        Some(options)
    }
}

/// `DEL` and `UNLINK`: how many of the keys were there.
pub(super) fn delete(keys: &[&[u8]], connection: &Connection, turn: Turn<'_>, out: &mut Vec<u8>) {
    let mut shelves = turn.store.open();
    let count = keys
        .iter()
        .filter(|key| shelves.delete(connection.database.into(), key) || **key == OWN_KEY);
    number(count.count(), out);
}

/// `EXISTS`: how many of the keys are there; one that is named twice counts twice.
pub(super) fn exist(keys: &[&[u8]], connection: &Connection, turn: Turn<'_>, out: &mut Vec<u8>) {
    let shelves = turn.store.open();
    let is_there = |key: &&&[u8]| **key == OWN_KEY || shelves.get(connection.database.into(), key).is_some();
    number(keys.iter().filter(is_there).count(), out);
}

/// `DBSIZE`
pub(super) fn size(connection: &Connection, turn: Turn<'_>, out: &mut Vec<u8>) {
    number(turn.store.open().len(connection.database.into()), out);
}

fn number(number: usize, out: &mut Vec<u8>) {
    let _ = write!(out, ":{number}\r\n");
}

fn null(connection: &Connection, out: &mut Vec<u8>) {
    out.extend::<&[u8]>(if connection.resp3 { b"_\r\n" } else { b"$-1\r\n" });
}
