//! What memcached's and Redis' clients have set: a small cache, one for all sessions of a server.
//!
//! Bounded: no more than [`MAX_ENTRIES`] entries and [`MAX_BYTES`] bytes of keys and values together; where one more would
//! not fit, the entry that was set the longest ago goes. Nothing expires: the codecs have no clock.
//!
//! [`OWN_KEY`] is not kept here. It is what linger's own client asks for, over every connection of a load: its value is
//! `response_bytes` bytes, made up on the spot, without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The key that is always there and holds `response_bytes` bytes.
pub(super) const OWN_KEY: &[u8] = b"linger";
/// Entries at the most.
pub(super) const MAX_ENTRIES: usize = 10_000;
/// Bytes of keys and values at the most.
pub(super) const MAX_BYTES: usize = 64 << 20;
/// The longest value: memcached's default (`-I`).
pub(super) const MAX_VALUE: usize = 1 << 20;
/// Redis' databases, as many as it has by default; memcached uses the first.
pub(super) const SPACES: usize = 16;

/// Whether a value for [`OWN_KEY`] is what linger's own client sets it to: any other would be lost, and its client must
/// be told.
pub(super) fn is_own_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'x')
}

/// The entries of a server; all its sessions, on whatever threads, share one.
#[derive(Debug, Default)]
pub struct Store(Mutex<Shelves>);

impl Store {
    /// Alone with the entries: what is looked at and then changed is not changed by others in between.
    pub(super) fn open(&self) -> MutexGuard<'_, Shelves> {
        // Nothing below leaves the entries half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One key's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Box<[u8]>,
    /// memcached's.
    pub(super) flags: u32,
    /// Which set() it comes from: numbers grow, and no two are the same. memcached's `cas unique`.
    pub(super) version: u64,
}

#[derive(Debug, Default)]
pub(super) struct Shelves {
    spaces: [HashMap<Arc<[u8]>, Entry>; SPACES],
    by_version: BTreeMap<u64, (usize, Arc<[u8]>)>,
    bytes: usize,
    last_version: u64,
}

impl Shelves {
    pub(super) fn get(&self, space: usize, key: &[u8]) -> Option<&Entry> {
        self.spaces.get(space)?.get(key)
    }

    /// Sets a key, and lets the oldest go until there is room for it. A value longer than [`MAX_VALUE`] is not kept; its
    /// key is gone then.
    pub(super) fn set(&mut self, space: usize, key: &[u8], flags: u32, value: &[u8]) {
        self.delete(space, key);
        if value.len() > MAX_VALUE || space >= SPACES {
            return;
        }
        let size = key.len() + value.len();
        while self.by_version.len() >= MAX_ENTRIES || self.bytes + size > MAX_BYTES {
            let Some((_, (space, key))) = self.by_version.pop_first() else {
                break;
            };
            self.take(space, &key);
        }
        self.last_version += 1;
        let (key, version): (Arc<[u8]>, _) = (key.into(), self.last_version);
        let value = value.into();
        self.bytes += size;
        self.by_version.insert(version, (space, Arc::clone(&key)));
        self.spaces[space].insert(key, Entry { value, flags, version });
    }

    /// Whether the key was there.
    pub(super) fn delete(&mut self, space: usize, key: &[u8]) -> bool {
        let Some(version) = self.take(space, key) else {
            return false;
        };
        self.by_version.remove(&version);
        true
    }

    /// Takes a key from its space alone, and says which version it was.
    fn take(&mut self, space: usize, key: &[u8]) -> Option<u64> {
        let entry = self.spaces.get_mut(space)?.remove(key)?;
        self.bytes -= key.len() + entry.value.len();
        Some(entry.version)
    }

    /// How many keys a space has.
    pub(super) fn len(&self, space: usize) -> usize {
        self.spaces.get(space).map_or(0, HashMap::len)
    }

    /// Bytes of all keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self, space: usize) {
        let keys: Vec<_> = self
            .spaces
            .get(space)
            .into_iter()
            .flatten()
            .map(|(key, _)| Arc::clone(key))
            .collect();
        for key in keys {
            self.delete(space, &key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Act {
        Set(usize, Vec<u8>, u32, Vec<u8>),
        Delete(usize, Vec<u8>),
        Clear(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let key = || prop::collection::vec(0..3u8, 0..3);
        let act = prop_oneof![
            6 => (0..2usize, key(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..5))
                .prop_map(|(space, key, flags, value)| Act::Set(space, key, flags, value)),
            3 => (0..2usize, key()).prop_map(|(space, key)| Act::Delete(space, key)),
            1 => (0..2usize).prop_map(Act::Clear),
        ];
        prop::collection::vec(act, 0..60)
    }

    proptest! {
        #[test]
        fn it_holds_what_was_set_last(acts in acts()) {
            let (store, mut model) = (Store::default(), HashMap::new());
            let mut shelves = store.open();
            for act in acts {
                match act {
                    Act::Set(space, key, flags, value) => {
                        shelves.set(space, &key, flags, &value);
                        model.insert((space, key), (flags, value));
                    }
                    Act::Delete(space, key) => {
                        prop_assert_eq!(shelves.delete(space, &key), model.remove(&(space, key)).is_some());
                    }
                    Act::Clear(space) => {
                        shelves.clear(space);
                        model.retain(|(other, _), _| *other != space);
                    }
                }
                for ((space, key), (flags, value)) in &model {
                    let entry = shelves.get(*space, key).unwrap();
                    prop_assert_eq!((entry.flags, &*entry.value), (*flags, &**value));
                }
                prop_assert_eq!(shelves.len(0) + shelves.len(1), model.len());
                prop_assert_eq!(shelves.by_version.len(), model.len());
                let bytes: usize = model.iter().map(|((_, key), (_, value))| key.len() + value.len()).sum();
                prop_assert_eq!(shelves.bytes(), bytes);
            }
        }
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many_or_too_much() {
        let store = Store::default();
        let mut shelves = store.open();
        for number in 0..=MAX_ENTRIES as u32 {
            shelves.set(0, &number.to_le_bytes(), 0, b"v");
        }
        assert_eq!(
            (shelves.len(0), shelves.get(0, &0u32.to_le_bytes())),
            (MAX_ENTRIES, None)
        );
        shelves.set(0, &1u32.to_le_bytes(), 0, b"anew");
        shelves.set(1, b"one more", 0, b"v");
        assert!(shelves.get(0, &1u32.to_le_bytes()).is_some() && shelves.get(0, &2u32.to_le_bytes()).is_none());
        let large = vec![0; MAX_VALUE];
        for number in 0..70u8 {
            shelves.set(2, &[number], 0, &large);
        }
        assert!(shelves.bytes() <= MAX_BYTES);
        assert_eq!((shelves.len(0), shelves.len(1), shelves.len(2)), (0, 0, 63));
        shelves.set(2, &[69], 0, &vec![0; MAX_VALUE + 1]);
        assert_eq!(shelves.get(2, &[69]), None, "not the value before");
    }
}
