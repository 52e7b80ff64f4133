//! What TIME_WAIT should have cost in memory, from the sizes of the kernel's objects, against what the caches grew by.
//!
//! By net/ipv4 of Linux 6.18: a TIME_WAIT (or orphaned FIN_WAIT2) is one `tw_sock_TCP`; the client's ports have one
//! `tcp_bind_bucket` each and, since 6.1, one `tcp_bind2_bucket` for each address and port. The server's TIME_WAIT shares
//! the listener's. Caches are the whole machine's, and a CPU's own slab counts as full: a few dozen objects either way.

use std::collections::BTreeMap;

use crate::observe::PortCount;
use crate::observe::slab::Slab;
use crate::record::schema::Memory;

type Caches = BTreeMap<String, Slab>;

/// Where TIME_WAIT sockets lie, and the ports' buckets.
const SOCKETS: [&str; 2] = ["tw_sock_TCP", "tw_sock_TCPv6"];
const PORTS: &str = "tcp_bind_bucket";
const ADDRESS_PORTS: &str = "tcp_bind2_bucket";

/// `minis` are both sides' TIME_WAIT and orphaned FIN_WAIT2, `client` the ports of the client's; where these are not known,
/// it is the sockets' memory alone. None where the sockets' cache cannot be read.
pub(super) fn memory(before: &Caches, after: &Caches, minis: u64, client: Option<PortCount>) -> Option<Memory> {
    let size = |names: &[&str]| {
        let sizes = after.iter().filter(|(cache, _)| holds(cache, names));
        sizes.map(|(_, slab)| slab.object_bytes).max()
    };
    let mut predicted_bytes = size(&SOCKETS)? * minis;
    let mut counted = SOCKETS.to_vec();
    if let Some(client) = client {
        predicted_bytes +=
            size(&[PORTS]).unwrap_or(0) * client.ports + size(&[ADDRESS_PORTS]).unwrap_or(0) * client.address_ports;
        counted.extend([PORTS, ADDRESS_PORTS]);
    }
    let grew = after
        .iter()
        .filter(|(cache, _)| holds(cache, &counted))
        .map(|(cache, now)| {
            let then = before.get(cache).map_or(0, |slab| slab.active_objects as i64);
            (now.active_objects as i64 - then) * now.object_bytes as i64
        });
    Some(Memory {
        predicted_bytes,
        measured_bytes: grew.sum(),
    })
}

/// Whether a cache holds objects of one of these names: a merged cache's name lists those of ours that are in it.
fn holds(cache: &str, names: &[&str]) -> bool {
    let mut held = cache.trim_end_matches(" (merged)").split(", ");
    held.any(|name| names.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caches(rows: &[(&str, u64, u64)]) -> Caches {
        let cache = |(name, active_objects, object_bytes): &(&str, u64, u64)| {
            let slab = Slab {
                active_objects: *active_objects,
                object_bytes: *object_bytes,
            };
            ((*name).to_owned(), slab)
        };
        rows.iter().map(cache).collect()
    }

    #[test]
    fn an_outgoing_time_wait_is_a_socket_and_two_buckets() {
        let ports = "tcp_bind_bucket, tcp_bind2_bucket (merged)";
        let before = caches(&[("tw_sock_TCP", 10, 256), (ports, 100, 128), ("TCP", 5, 2048)]);
        let after = caches(&[("tw_sock_TCP", 1_010, 256), (ports, 2_148, 128), ("TCP", 50, 2048)]);
        let client = PortCount {
            ports: 1_000,
            address_ports: 1_000,
        };
        let expected = Memory {
            predicted_bytes: 1_000 * 256 + 2_000 * 128,
            measured_bytes: 1_000 * 256 + 2_048 * 128,
        };
        assert_eq!(memory(&before, &after, 1_000, Some(client)), Some(expected));
        // Where nobody counted the ports, their cache tells nothing of TIME_WAIT.
        let sockets = Memory {
            predicted_bytes: 1_000 * 256,
            measured_bytes: 1_000 * 256,
        };
        assert_eq!(memory(&before, &after, 1_000, None), Some(sockets));
    }

    #[test]
    fn an_incoming_one_is_a_socket_alone_and_no_cache_is_no_prediction() {
        let (before, after) = (caches(&[]), caches(&[("tw_sock_TCP", 1_000, 256)]));
        let memory = |after| super::memory(&before, after, 1_000, Some(PortCount::default()));
        assert_eq!(memory(&after).map(|memory| memory.predicted_bytes), Some(256_000));
        assert_eq!(memory(&before), None);
    }
}
