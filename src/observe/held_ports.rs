//! Which local ports a side's TIME_WAIT sockets keep: the kernel has a bind bucket for each port, and since 6.1 another
//! for each address and port (net/ipv4/inet_hashtables.c). Pure.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use super::census::QuickHash;

/// A bit a port.
type Ports = [u64; 1024];

/// The ports seen in one dump, by address.
#[derive(Debug, Default)]
pub(super) struct HeldPorts(HashMap<IpAddr, Box<Ports>, QuickHash>);

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCount {
    /// Distinct ports, whatever the address.
    pub ports: u64,
    /// Distinct pairs of address and port.
    pub address_ports: u64,
}

impl HeldPorts {
    pub(super) fn see(&mut self, local: SocketAddr) {
        let ports = self.0.entry(local.ip()).or_insert_with(|| Box::new([0; 1024]));
        let port = usize::from(local.port());
        ports[port / 64] |= 1 << (port % 64);
    }

    pub(super) fn count(&self) -> PortCount {
        let ones = |word: u64| u64::from(word.count_ones());
        let any = |word: usize| self.0.values().fold(0, |any, ports| any | ports[word]);
        PortCount {
            ports: (0..1024).map(|word| ones(any(word))).sum(),
            address_ports: self.0.values().flat_map(|ports| ports.iter().copied()).map(ones).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_on_two_addresses_is_one_port_and_two_pairs() {
        let mut held = HeldPorts::default();
        for local in ["10.0.0.1:65535", "10.0.0.2:65535", "10.0.0.1:0", "10.0.0.1:0"] {
            held.see(local.parse().unwrap());
        }
        let expected = PortCount {
            ports: 2,
            address_ports: 3,
        };
        assert_eq!(held.count(), expected);
    }
}
