//! /proc/net/sockstat: the number of mini-sockets, for 10 µs a look.
//!
//! `tw` counts TIME_WAIT and orphaned FIN_WAIT2 of both families together. Before Linux 4.12 it is the whole machine's.

/// The `tw` of the `TCP:` line; None when there is no such line.
#[must_use]
pub fn time_wait(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == "tw")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::time_wait;
    use proptest::prelude::*;

    #[test]
    fn tw_is_found_by_name() {
        let text = b"sockets: used 13\nTCP: inuse 1 orphan 0 tw 28232 alloc 1 mem 116\nUDP: inuse 0 mem 0\n";
        assert_eq!(time_wait(text), Some(28_232));
        assert_eq!(time_wait(b"sockets: used 13\nTCP: inuse 1\n"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = time_wait(&bytes);
        }
    }
}
