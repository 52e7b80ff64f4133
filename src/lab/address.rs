//! Which addresses the sides have. Pure.
//!
//! ```text
//! loopback, host   127.0.0.1 and ::1 on both sides; further ones 127.1.… and fd6c:696e:6765:1::… on the client,
//!                  127.2.… and fd6c:696e:6765:2::… on the server
//! pair, nat,
//! routed           10.1.0.1, 10.1.0.2, … and fd6c:696e:6765:1::1, … on the client,
//!                  10.2.0.1, 10.2.0.2, … and fd6c:696e:6765:2::1, … on the server
//! nat              10.3.0.1 and fd6c:696e:6765:3::1 on the router, which all clients share
//! ```
//!
//! tcp_tw_reuse=2 tells loopback by address (127/8, ::1) or by interface (lo): every loopback address here is one, and
//! none of the pair's is. The fd6c:… prefix is a unique local one (RFC 4193), `linge` in ASCII.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::{Family, Topology};

/// A side's number in its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Client = 1,
    Server = 2,
    /// Between the two, in topology `nat`.
    Router = 3,
}

impl End {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Router => "router",
        }
    }

    /// The first of a side's addresses in a pair.
    pub(super) fn first_address(self, family: Family) -> IpAddr {
        address(Topology::Pair, family, self, 0)
    }

    /// What a side's second link bears in topology `routed`. Nobody is sent there, but reverse-path filtering asks a link
    /// without an address no questions and drops everything.
    pub(super) fn back_address(self, family: Family) -> IpAddr {
        let network = 10 + self as u8;
        match family {
            Family::Ipv4 => Ipv4Addr::new(10, network, 0, 1).into(),
            Family::Ipv6 => Ipv6Addr::new(0xfd6c, 0x696e, 0x6765, network.into(), 0, 0, 0, 1).into(),
        }
    }

    /// The prefix that a side's addresses in a pair have in common.
    pub(super) fn prefix(self, family: Family) -> (IpAddr, u8) {
        match family {
            Family::Ipv4 => (v4(10, self, 0), 16),
            Family::Ipv6 => (v6(self, 0), 64),
        }
    }
}

/// The client's and the server's addresses.
pub(super) fn addresses(plan: &TrialPlan) -> [Vec<IpAddr>; 2] {
    let (topology, family) = (plan.lab.topology, plan.lab.family);
    let take = |end, count| (0..count).map(|index| address(topology, family, end, index)).collect();
    [
        take(End::Client, plan.client.addresses),
        take(End::Server, plan.server_addresses()),
    ]
}

/// A side's address number `index`, from 0; distinct below 65,535 (scenarios ask for up to 4,096).
fn address(topology: Topology, family: Family, end: End, index: u32) -> IpAddr {
    match (topology, family) {
        (Topology::Pair | Topology::Nat | Topology::Routed, Family::Ipv4) => v4(10, end, index + 1),
        (Topology::Pair | Topology::Nat | Topology::Routed, Family::Ipv6) => v6(end, index + 1),
        (_, Family::Ipv4) if index == 0 => Ipv4Addr::LOCALHOST.into(),
        (_, Family::Ipv6) if index == 0 => Ipv6Addr::LOCALHOST.into(),
        (_, Family::Ipv4) => v4(127, end, index),
        (_, Family::Ipv6) => v6(end, index),
    }
}

fn v4(network: u8, end: End, host: u32) -> IpAddr {
    let [_, _, high, low] = host.to_be_bytes();
    Ipv4Addr::new(network, end as u8, high, low).into()
}

fn v6(end: End, host: u32) -> IpAddr {
    let [_, _, high, low] = host.to_be_bytes();
    Ipv6Addr::new(
        0xfd6c,
        0x696e,
        0x6765,
        end as u16,
        0,
        0,
        0,
        u16::from_be_bytes([high, low]),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const TOPOLOGIES: [Topology; 3] = [Topology::Loopback, Topology::Pair, Topology::Host];
    const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

    #[test]
    fn loopback_addresses_are_loopback_and_the_pairs_are_not() {
        for index in [0, 1, 255, 256, 4095] {
            for end in [End::Client, End::Server] {
                assert!(address(Topology::Loopback, Family::Ipv4, end, index).is_loopback());
                assert!(!address(Topology::Pair, Family::Ipv4, end, index).is_loopback());
            }
        }
        assert!(address(Topology::Loopback, Family::Ipv6, End::Server, 0).is_loopback());
    }

    #[test]
    fn addresses_count_on_over_the_octets() {
        assert_eq!(
            address(Topology::Pair, Family::Ipv4, End::Server, 0).to_string(),
            "10.2.0.1"
        );
        // The 256th: 0.1 counts as the first, so 1.0.
        assert_eq!(
            address(Topology::Pair, Family::Ipv4, End::Client, 255).to_string(),
            "10.1.1.0"
        );
        assert_eq!(
            address(Topology::Pair, Family::Ipv6, End::Server, 15).to_string(),
            "fd6c:696e:6765:2::10"
        );
    }

    proptest! {
        #[test]
        fn no_two_addresses_of_a_pair_are_alike(count in 1u32..4096) {
            for family in FAMILIES {
                let all: BTreeSet<_> = [End::Client, End::Server]
                    .into_iter()
                    .flat_map(|end| (0..count).map(move |index| address(Topology::Pair, family, end, index)))
                    .collect();
                prop_assert_eq!(all.len(), 2 * count as usize);
            }
        }

        #[test]
        fn no_two_addresses_of_a_side_are_alike(a in 0u32..4096, b in 0u32..4096) {
            for topology in TOPOLOGIES {
                for family in FAMILIES {
                    let [one, other] = [a, b].map(|index| address(topology, family, End::Server, index));
                    prop_assert_eq!(one == other, a == b);
                }
            }
        }
    }
}
