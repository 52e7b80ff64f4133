//! /proc/net/sockstat and sockstat6: the numbers of mini-sockets and of others, for 10 µs a look.
//!
//! `tw` counts TIME_WAIT and orphaned FIN_WAIT2 of both families together. Before Linux 4.12 it is the whole machine's.

/// The `tw` of the `TCP:` line; None when there is no such line.
#[must_use]
pub fn time_wait(text: &[u8]) -> Option<u64> {
    number(text, "TCP:", "tw")
}

/// The `inuse` of the `TCP:` or `TCP6:` line: listeners and all connections but mini-sockets and handshakes that the
/// server has not ended. None when there is no such line.
#[must_use]
pub fn in_use(text: &[u8]) -> Option<u64> {
    number(text, "TCP:", "inuse").or_else(|| number(text, "TCP6:", "inuse"))
}

fn number(text: &[u8], line: &str, name: &str) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|text| text.strip_prefix(line))?;
    let mut words = line.split_ascii_whitespace();
    words.find(|word| *word == name)?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{in_use, time_wait};
    use proptest::prelude::*;

    #[test]
    fn tw_is_found_by_name() {
        let text = b"sockets: used 13\nTCP: inuse 1 orphan 0 tw 28232 alloc 1 mem 116\nUDP: inuse 0 mem 0\n";
        assert_eq!(time_wait(text), Some(28_232));
        assert_eq!(in_use(text), Some(1));
        assert_eq!(in_use(b"TCP6: inuse 7\nUDP6: inuse 0\n"), Some(7));
        assert_eq!(time_wait(b"sockets: used 13\nTCP: inuse 1\n"), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (time_wait(&bytes), in_use(&bytes));
        }
    }
}
