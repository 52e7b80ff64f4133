//! Whose sockets a dump lists, and how many in which state.
//!
//! A socket is the server's when its own end is one of the server's endpoints, the client's when its other end is, and
//! nobody's otherwise (another program of the host). The same rule serves one namespace for both sides and one each.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;

use super::socket::{Socket, endpoint};
use crate::tcp::{FourTuple, State};

/// Which end of the trial's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    Client,
    Server,
}

/// The addresses and ports that the trial's server listens on.
#[derive(Debug)]
pub(super) struct Endpoints {
    addresses: HashSet<SocketAddr, QuickHash>,
    /// A bit for each port that any of them has: most sockets' own ports are not among them.
    ports: Box<[u64; 1024]>,
}

impl Endpoints {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let mut ports = Box::new([0; 1024]);
        for address in addresses {
            ports[usize::from(address.port()) / 64] |= 1 << (address.port() % 64);
        }
        Self {
            addresses: addresses.iter().copied().map(endpoint).collect(),
            ports,
        }
    }

    fn contains(&self, address: &SocketAddr) -> bool {
        let port = address.port();
        self.ports[usize::from(port) / 64] & 1 << (port % 64) != 0 && self.addresses.contains(address)
    }

    pub(super) fn side(&self, tuple: &FourTuple) -> Option<Side> {
        if self.contains(&tuple.local) {
            Some(Side::Server)
        } else {
            self.contains(&tuple.remote).then_some(Side::Client)
        }
    }
}

/// One side's sockets in one dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// By the kernel's number of the state.
    states: [u64; 13],
    /// TIME_WAIT and FIN_WAIT2 mini-sockets.
    pub(super) minis: u64,
    /// TIME_WAIT whose timer had reached 0.
    pub(super) overdue: u64,
}

impl Census {
    pub(super) fn count(&mut self, socket: &Socket) {
        self.states[socket.state as usize] += 1;
        self.minis += u64::from(socket.mini);
        self.overdue += u64::from(socket.overdue());
    }

    /// Enters as TIME_WAIT what is left of so many mini-sockets beside those counted already.
    pub(super) fn count_time_wait(&mut self, minis: u64) {
        let time_wait = minis.saturating_sub(self.minis);
        self.states[State::TimeWait as usize] += time_wait;
        self.minis += time_wait;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, add) in self.states.iter_mut().zip(other.states) {
            *sum += add;
        }
        self.minis += other.minis;
        self.overdue += other.overdue;
    }

    pub(super) fn time_wait(&self) -> u64 {
        self.states[State::TimeWait as usize]
    }

    /// The states that occurred.
    pub(super) fn by_state(&self) -> BTreeMap<State, u64> {
        let states = State::ALL.into_iter().map(|state| (state, self.states[state as usize]));
        states.filter(|(_, count)| *count > 0).collect()
    }
}

pub(super) type QuickHash = BuildHasherDefault<QuickHasher>;

/// Multiplies and rotates, for tens of thousands of four-tuples a dump: keys come from our own lab, so nobody aims at
/// collisions, and SipHash's protection would be half the cost of tracking.
#[derive(Debug, Default)]
pub(super) struct QuickHasher(u64);

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // An odd constant near 2^64 divided by the golden ratio spreads neighbouring ports widely.
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        // Tables take the lowest bits, which a multiplication mixes least.
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(local: &str, remote: &str) -> FourTuple {
        FourTuple {
            local: endpoint(local.parse().unwrap()),
            remote: endpoint(remote.parse().unwrap()),
        }
    }

    #[test]
    fn a_socket_belongs_to_the_side_that_its_server_end_tells() {
        let endpoints = Endpoints::new(&["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()]);
        assert_eq!(
            endpoints.side(&tuple("127.0.0.1:80", "127.0.0.1:40000")),
            Some(Side::Server)
        );
        assert_eq!(
            endpoints.side(&tuple("127.0.0.1:40000", "127.0.0.1:80")),
            Some(Side::Client)
        );
        assert_eq!(endpoints.side(&tuple("[::1]:40000", "[::1]:80")), Some(Side::Client));
        assert_eq!(endpoints.side(&tuple("127.0.0.1:40000", "127.0.0.1:81")), None);
        let mapped = tuple("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:40000");
        assert_eq!(endpoints.side(&mapped), Some(Side::Server));
    }

    #[test]
    fn what_the_kernel_counts_beside_fin_wait2_is_time_wait() {
        let socket = Socket {
            tuple: tuple("127.0.0.1:40000", "127.0.0.1:80"),
            state: State::FinWait2,
            mini: true,
            expires_ms: 1,
            cookie: 1,
        };
        let mut census = Census::default();
        census.count(&socket);
        census.count_time_wait(10);
        assert_eq!((census.minis, census.time_wait()), (10, 9));
        census.count_time_wait(4);
        assert_eq!(
            (census.minis, census.time_wait()),
            (10, 9),
            "fewer than are known already"
        );
    }

    #[test]
    fn neighbouring_ports_fall_into_different_slots() {
        use std::hash::BuildHasher;
        let slots: HashSet<u64> = (32_768u16..61_000)
            .map(|port| {
                let local = SocketAddr::from(([10, 0, 0, 1], port));
                let remote = SocketAddr::from(([10, 0, 0, 2], 80));
                QuickHash::default().hash_one(FourTuple { local, remote }) & 0xffff
            })
            .collect();
        // 28,232 balls thrown at random into 65,536 slots fill 65,536 × (1 − e^(−28,232/65,536)) = 22,930 of them.
        assert!(slots.len() > 20_000, "{} slots", slots.len());
    }
}
