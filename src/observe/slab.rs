//! /proc/slabinfo: the kernel memory that connections take, for the whole machine; readable by root only.
//!
//! A cache that the kernel merged with others of the same size has no row of its own there, but a link in
//! /sys/kernel/slab to what they are all in. That is read instead, and named by those of ours that are in it; what others
//! keep there is in its figures too.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

/// The caches that a connection, its TIME_WAIT and its port take objects from (bind2: Linux 6.1).
const CACHES: [&str; 10] = [
    "TCP",
    "TCPv6",
    "tw_sock_TCP",
    "tw_sock_TCPv6",
    "request_sock_TCP",
    "request_sock_TCPv6",
    "tcp_bind_bucket",
    "tcp_bind2_bucket",
    "inet_bind_bucket",
    "sock_inode_cache",
];

/// One cache at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Slab {
    pub active_objects: u64,
    pub object_bytes: u64,
}

/// Whether the kernel lets this process read them.
///
/// # Errors
/// As open(2) gives it: EACCES for all but root, ENOENT without CONFIG_SLUB_DEBUG.
pub fn readable() -> std::io::Result<()> {
    std::fs::File::open("/proc/slabinfo").map(drop)
}

/// The caches' state by name; None where slabinfo cannot be read.
#[must_use]
pub fn read() -> Option<BTreeMap<String, Slab>> {
    let mut slabs = parse(&std::fs::read_to_string("/proc/slabinfo").ok()?);
    let mut merged: BTreeMap<PathBuf, Vec<&str>> = BTreeMap::new();
    for name in CACHES.into_iter().filter(|name| !slabs.contains_key(*name)) {
        if let Ok(target) = std::fs::canonicalize(Path::new("/sys/kernel/slab").join(name)) {
            merged.entry(target).or_default().push(name);
        }
    }
    for (directory, names) in merged {
        if let Some(slab) = merged_cache(&directory) {
            slabs.insert(format!("{} (merged)", names.join(", ")), slab);
        }
    }
    Some(slabs)
}

/// Waits until the kernel has freed what earlier trials left, which it does some 100 ms after their labs are gone: until
/// the caches of TIME_WAIT sockets and of ports stand still in three looks, or five seconds.
pub fn settle() {
    const LOOKS: u32 = 3;
    const BETWEEN: Duration = Duration::from_millis(200);
    let active = || {
        let slabs = read()?;
        let held = slabs
            .iter()
            .filter(|(name, _)| name.starts_with("tw_sock") || name.contains("bind"));
        Some(held.map(|(_, slab)| slab.active_objects).sum::<u64>())
    };
    // Others use the caches too.
    let stands = |now: Option<u64>, last: Option<u64>| now.unwrap_or(0).abs_diff(last.unwrap_or(0)) < 100;
    let end = Instant::now() + Duration::from_secs(5);
    let (mut last, mut same) = (active(), 1);
    while last.is_some() && same < LOOKS && Instant::now() < end {
        std::thread::sleep(BETWEEN);
        let now = active();
        same = if stands(now, last) { same + 1 } else { 1 };
        last = now;
    }
}

/// The files' first word is the number; one for each memory node follows it.
fn merged_cache(directory: &Path) -> Option<Slab> {
    let number = |file| -> Option<u64> {
        let text = std::fs::read_to_string(directory.join(file)).ok()?;
        text.split_ascii_whitespace().next()?.parse().ok()
    };
    Some(Slab {
        active_objects: number("objects")?,
        object_bytes: number("slab_size")?,
    })
}

/// Lines are `name active_objs num_objs objsize …`; headings have no number in second place.
fn parse(text: &str) -> BTreeMap<String, Slab> {
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().filter(|name| CACHES.contains(name))?;
        let slab = Slab {
            active_objects: words.next()?.parse().ok()?,
            object_bytes: words.nth(1)?.parse().ok()?,
        };
        Some((name.to_owned(), slab))
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_read_by_name_and_a_merged_one_is_absent() {
        let text = "slabinfo - version: 2.1\n\
            # name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables\n\
            tw_sock_TCP        28232  28240    256   16    1 : tunables    0    0    0 : slabdata   1   1   0\n\
            dentry             1000   1000    192   21    1 : tunables    0    0    0 : slabdata   1   1   0\n\
            TCP                cut\n";
        let slabs = parse(text);
        assert_eq!(slabs.len(), 1);
        let expected = Slab {
            active_objects: 28_232,
            object_bytes: 256,
        };
        assert_eq!(slabs["tw_sock_TCP"], expected);
    }
}
