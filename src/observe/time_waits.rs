//! Which end of each four-tuple is in TIME_WAIT, in one dump of both sides: two bits a port. Pure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::census::{QuickHash, Side};
use crate::tcp::FourTuple;

/// Pairs of client address and server endpoint that are told apart: 16 KiB each.
const MOST_PAIRS: usize = 1024;

/// A bit a port, of the client's and of the server's TIME_WAIT.
type Ports = [[u64; 1024]; 2];

/// The TIME_WAIT sockets seen in one dump.
#[derive(Debug, Default)]
pub(super) struct TimeWaits {
    /// By the client's address and the server's endpoint.
    pairs: HashMap<(IpAddr, SocketAddr), Box<Ports>, QuickHash>,
    too_many: bool,
}

/// Four-tuples to one endpoint of the server by who is in TIME_WAIT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnSides {
    pub client_alone: u64,
    pub server_alone: u64,
    pub both: u64,
}

impl TimeWaits {
    pub(super) fn see(&mut self, side: Side, tuple: FourTuple) {
        let tuple = match side {
            Side::Client => tuple,
            Side::Server => tuple.reversed(),
        };
        let pair = (tuple.local.ip(), tuple.remote);
        if self.pairs.len() >= MOST_PAIRS && !self.pairs.contains_key(&pair) {
            self.too_many = true;
            return;
        }
        let ports = self.pairs.entry(pair).or_insert_with(|| Box::new([[0; 1024]; 2]));
        let port = usize::from(tuple.local.port());
        ports[side as usize][port / 64] |= 1 << (port % 64);
    }

    /// By the server's endpoint; None where there were more pairs than are told apart.
    pub(super) fn count(&self) -> Option<Vec<(SocketAddr, OnSides)>> {
        let ones = |word: u64| u64::from(word.count_ones());
        let counted = self.pairs.iter().map(|((_, server), ports)| {
            let [client, servers] = &**ports;
            let mut sum = OnSides::default();
            for (client, server) in client.iter().zip(servers) {
                sum.client_alone += ones(client & !server);
                sum.server_alone += ones(server & !client);
                sum.both += ones(client & server);
            }
            (*server, sum)
        });
        (!self.too_many).then(|| counted.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(client: &str, server: &str) -> FourTuple {
        FourTuple {
            local: client.parse().unwrap(),
            remote: server.parse().unwrap(),
        }
    }

    #[test]
    fn each_four_tuple_is_the_clients_the_servers_or_both() {
        let mut seen = TimeWaits::default();
        for (port, client, server) in [
            (1, true, false),
            (2, false, true),
            (3, true, true),
            (65535, false, true),
        ] {
            let tuple = tuple(&format!("10.0.0.1:{port}"), "10.0.0.2:80");
            if client {
                seen.see(Side::Client, tuple);
            }
            if server {
                seen.see(Side::Server, tuple.reversed());
            }
        }
        // Another source's port 1 is another four-tuple.
        seen.see(Side::Server, tuple("10.0.0.9:1", "10.0.0.2:80").reversed());
        let mut sum = OnSides::default();
        for (server, on) in seen.count().unwrap() {
            assert_eq!(server, "10.0.0.2:80".parse().unwrap());
            sum.client_alone += on.client_alone;
            sum.server_alone += on.server_alone;
            sum.both += on.both;
        }
        assert_eq!((sum.client_alone, sum.server_alone, sum.both), (1, 3, 1));
    }

    #[test]
    fn too_many_pairs_are_not_told() {
        let mut seen = TimeWaits::default();
        for port in 1..=MOST_PAIRS + 1 {
            seen.see(Side::Client, tuple("10.0.0.1:1", &format!("10.0.0.2:{port}")));
        }
        assert_eq!(seen.count(), None);
    }
}
