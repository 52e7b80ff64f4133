//! The storage commands: set, add, replace, append, prepend and cas.

use super::super::store::{MAX_VALUE, OWN_KEY, Store};
use super::super::text::decimal;
use super::MAX_KEY;

pub(super) const TOO_LARGE: &[u8] = b"SERVER_ERROR object too large for cache\r\n";

/// A storage command whose data block is coming.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storing {
    pub(super) how: How,
    /// Bytes of the data still to come, without the CR LF after them.
    pub(super) left: u32,
    pub(super) flags: u32,
    pub(super) key_length: u8,
    pub(super) fate: Fate,
    pub(super) noreply: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Set,
    Add,
    Replace,
    Append,
    Prepend,
    /// Set, if this is still the version.
    Cas(u64),
}

/// What becomes of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    /// It is for [`OWN_KEY`]: dropped, as long as it is what linger's own client sends.
    Own,
    /// It is for [`OWN_KEY`] and was something else.
    NotOwn,
    /// Too large.
    Refused,
    /// It has expired before it came.
    Expired,
}

/// Which storage command this is, if it is one.
pub(super) fn how(name: &[u8]) -> Option<How> {
    Some(match name {
        b"set" => How::Set,
        b"add" => How::Add,
        b"replace" => How::Replace,
        b"append" => How::Append,
        b"prepend" => How::Prepend,
        b"cas" => How::Cas(0),
        _ => return None,
    })
}

/// `<key> <flags> <exptime> <bytes> [<version>, for cas] [noreply]`
pub(super) fn read<'a>(mut how: How, mut arguments: impl Iterator<Item = &'a [u8]>) -> Option<(&'a [u8], Storing)> {
    let key = arguments.next()?;
    let flags = u32::try_from(decimal(arguments.next()?)?).ok()?;
    // A negative exptime is one that has passed.
    let exptime = arguments.next()?;
    let expired = exptime.strip_prefix(b"-");
    decimal(expired.unwrap_or(exptime))?;
    let left = u32::try_from(decimal(arguments.next()?)?).ok()?;
    if let How::Cas(version) = &mut how {
        *version = decimal(arguments.next()?)?;
    }
    let noreply = match arguments.next() {
        None => false,
        Some(b"noreply") => true,
        Some(_) => return None,
    };
    let fate = match key {
        _ if left as usize > MAX_VALUE => Fate::Refused,
        OWN_KEY => Fate::Own,
        _ if expired.is_some() => Fate::Expired,
        _ => Fate::Kept,
    };
    let key_length = u8::try_from(key.len()).ok().filter(|_| key.len() <= MAX_KEY)?;
    let storing = Storing {
        how,
        left,
        flags,
        key_length,
        fate,
        noreply,
    };
    Some((key, storing))
}

/// Stores it, or does not, and says so.
pub(super) fn keep(storing: Storing, key: &[u8], value: &[u8], store: &Store) -> &'static [u8] {
    let mut shelves = store.open();
    let held = shelves.get(0, key);
    let joined = match (storing.how, held) {
        (How::Set, _) | (How::Add, None) | (How::Replace, Some(_)) => None,
        (How::Add, Some(_)) | (How::Replace | How::Append | How::Prepend, None) => return b"NOT_STORED\r\n",
        (How::Cas(_), None) => return b"NOT_FOUND\r\n",
        (How::Cas(version), Some(entry)) if entry.version != version => return b"EXISTS\r\n",
        (How::Cas(_), Some(_)) => None,
        (How::Append, Some(entry)) => Some((entry.flags, [&entry.value, value].concat())),
        (How::Prepend, Some(entry)) => Some((entry.flags, [value, &entry.value].concat())),
    };
    match (storing.fate, joined) {
        (_, Some((_, joined))) if joined.len() > MAX_VALUE => return TOO_LARGE,
        // They leave flags and exptime as they are.
        (_, Some((flags, joined))) => shelves.set(0, key, flags, &joined),
        (Fate::Expired, None) => {
            shelves.delete(0, key);
        }
        (_, None) => shelves.set(0, key, storing.flags, value),
    }
    b"STORED\r\n"
}
