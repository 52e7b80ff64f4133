//! How the sides are joined: over one namespace's loopback interface, by a veth pair between two, by two such pairs
//! that make a round trip, or by a router between.
//!
//! The first connection must cost what the thousandth costs, so that nothing is left to be found out over the wire.
//! Both veth ends are NOARP and bear one MAC address: the kernel then fills a neighbour entry with the device's own
//! address (arp_constructor, ndisc_constructor), which is the peer's too. No ARP, no neighbour or duplicate-address
//! discovery, no multicast group for each IPv6 address. Everything is routed by way of a gateway that nobody is, so
//! that there is one neighbour entry a side and not one an address: the neighbour tables belong to the whole machine
//! (gc_thresh3 = 1024 entries over all namespaces), and 4,096 entries would crowd out the host's. The routes name the
//! side's first address as the preferred source, which spares IPv6 a search through all of them at each connect().

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State,
};
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc::EOPNOTSUPP;

use super::address::End;
use super::netlink::{NetlinkError, Request, RouteSocket, family_and_length};
use super::{Side, Unavailable, sysctl};
use crate::scenario::spec::Family;

/// The same at both ends; 02 marks it as locally administered.
const MAC: [u8; 6] = [0x02, b'l', b'i', b'n', b'g', b'r'];
/// The kernel gives every namespace's loopback interface this index.
const LOOPBACK_INDEX: u32 = 1;
/// Gateways that nobody is. IPv6 before 4.16 takes a link-local one only, where none is known on the link.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// How long the kernel may take to finish what it does in the background; it takes milliseconds.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Brings the loopback interface of a side's namespace up and gives it those addresses that it does not have by nature.
pub(super) fn raise_loopback(side: &Side, family: Family, addresses: &[&[IpAddr]]) -> Result<(), Unavailable> {
    if family == Family::Ipv6 {
        // Absent where the kernel has no IPv6, and 1 where the host forbids it to new namespaces.
        sysctl::set(side, "net.ipv6.conf.all.disable_ipv6", "0")?;
    }
    let foreign = addresses
        .iter()
        .copied()
        .flatten()
        .filter(|address| !address.is_loopback());
    let mut requests = vec![link_up("lo", LOOPBACK_INDEX)];
    requests.extend(foreign.map(|address| add_address(*address, "lo", LOOPBACK_INDEX)));
    configure(side, |socket| socket.change(&requests))?;
    addresses
        .iter()
        .try_for_each(|addresses| await_addresses(side, addresses))
}

/// Joins two sides by a veth pair, with addresses and routes, and returns when packets pass.
pub(super) fn join_by_veth(client: &Side, server: &Side, family: Family) -> Result<(), Unavailable> {
    let ends = [client, server];
    raise_loopbacks(&ends, family)?;
    let links = link([(client, "client"), (server, "server")])?;
    inhabit(client, &links[0], client.addresses())?;
    inhabit(server, &links[1], server.addresses())?;
    route(client, &links[0], End::Server, family)?;
    route(server, &links[1], End::Client, family)
}

/// Joins two sides by two veth pairs: the client's packets take the first, the server's the second. Both sides begin
/// without reverse-path filtering, whatever the host hands down to new namespaces.
pub(super) fn join_by_two_ways(client: &Side, server: &Side, family: Family) -> Result<(), Unavailable> {
    let ends = [client, server];
    raise_loopbacks(&ends, family)?;
    let there = link([(client, "client"), (server, "server")])?;
    let back = link([(client, "client-back"), (server, "server-back")])?;
    for (side, links) in [
        (client, ["all", "client", "client-back"]),
        (server, ["all", "server", "server-back"]),
    ] {
        for link in links {
            sysctl::set(side, &format!("net.ipv4.conf.{link}.rp_filter"), "0")?;
        }
    }
    inhabit(client, &there[0], client.addresses())?;
    inhabit(server, &there[1], server.addresses())?;
    inhabit(client, &back[0], &[End::Client.back_address(family)])?;
    inhabit(server, &back[1], &[End::Server.back_address(family)])?;
    route(client, &there[0], End::Server, family)?;
    route(server, &back[1], End::Client, family)
}

/// Joins two sides by a router with a veth pair to each. The server knows the router's address and none of the clients'.
pub(super) fn join_by_router(client: &Side, router: &Side, server: &Side, family: Family) -> Result<(), Unavailable> {
    raise_loopbacks(&[client, router, server], family)?;
    let inside = link([(client, "client"), (router, "inside")])?;
    let outside = link([(router, "outside"), (server, "server")])?;
    inhabit(client, &inside[0], client.addresses())?;
    inhabit(router, &outside[0], router.addresses())?;
    inhabit(server, &outside[1], server.addresses())?;
    route(client, &inside[0], End::Server, family)?;
    route(server, &outside[1], End::Router, family)?;
    route(router, &inside[1], End::Client, family)?;
    route(router, &outside[0], End::Server, family)?;
    let forwarding = match family {
        Family::Ipv4 => "net.ipv4.ip_forward",
        Family::Ipv6 => "net.ipv6.conf.all.forwarding",
    };
    sysctl::set(router, forwarding, "1")
}

/// One end of a veth pair that is up.
struct Link {
    name: &'static str,
    index: u32,
}

fn raise_loopbacks(sides: &[&Side], family: Family) -> Result<(), Unavailable> {
    sides.iter().try_for_each(|side| raise_loopback(side, family, &[]))
}

/// Makes a veth pair and brings it up.
fn link(ends: [(&Side, &'static str); 2]) -> Result<[Link; 2], Unavailable> {
    configure(ends[0].0, |socket| socket.change(&[create_veth(ends)]))?;
    for (side, name) in ends {
        configure(side, |socket| {
            let index = socket.link(name)?.header.index;
            socket.change(&[link_up(name, index)])
        })?;
    }
    // The carrier is there once both ends are up. Till then packets are dropped, and older kernels leave IPv6
    // addresses tentative in spite of NODAD and so refuse routes that prefer them.
    let up = |(side, name): (&Side, &'static str)| {
        let mut index = 0;
        configure(side, |socket| {
            index = await_carrier(socket, name)?;
            Ok(())
        })?;
        Ok(Link { name, index })
    };
    Ok([up(ends[0])?, up(ends[1])?])
}

/// Gives addresses to a side's link, and returns when they can be used.
fn inhabit(side: &Side, link: &Link, addresses: &[IpAddr]) -> Result<(), Unavailable> {
    let requests: Vec<_> = addresses
        .iter()
        .map(|address| add_address(*address, link.name, link.index))
        .collect();
    configure(side, |socket| socket.change(&requests))?;
    await_addresses(side, addresses)
}

/// Sends what is for any of `to`'s addresses over a link.
fn route(side: &Side, link: &Link, to: End, family: Family) -> Result<(), Unavailable> {
    configure(side, |socket| socket.change(&[add_route(side, to, family, link.index)]))
}

/// Whether the host has the addresses that topology host would use; it is given none.
pub(super) fn check_host(addresses: &[&[IpAddr]]) -> Result<(), Unavailable> {
    for address in addresses.iter().copied().flatten() {
        TcpListener::bind((*address, 0)).map_err(|error| {
            Unavailable::new(
                format!("the host has no address {address}, and topology host adds none: {error}"),
                "ask for one address a side, for family ipv4, or use --lab loopback",
            )
        })?;
    }
    Ok(())
}

const NO_VETH: &str = "the kernel has no veth links";

/// What mends it in a machine that was booted for the trial: nobody can load a module there.
pub(super) fn in_a_booted_machine(why: Unavailable) -> Unavailable {
    if why.reason != NO_VETH {
        return why;
    }
    Unavailable {
        remedy:
            "put the kernel's modules beside its image (docs/kernels.md tells where), name its package, or use --lab \
                 loopback"
                .to_owned(),
        ..why
    }
}

/// Does rtnetlink work inside a side's namespace.
fn configure(
    side: &Side,
    work: impl FnOnce(&mut RouteSocket) -> Result<(), NetlinkError> + Send,
) -> Result<(), Unavailable> {
    side.run(|| work(&mut RouteSocket::open()?))?
        .map_err(|error| match error {
            NetlinkError::Refused {
                errno: EOPNOTSUPP,
                ref what,
            } if what.contains("veth") => Unavailable::new(
                NO_VETH,
                "load the module as root (modprobe veth), use a kernel with CONFIG_VETH, or use --lab loopback",
            ),
            error => Unavailable::new(error.to_string(), "use --lab loopback, or --lab host"),
        })
}

/// Polls until the link can carry packets, which its operational state tells (RFC 2863), and returns its index. The
/// kernel brings that up to date in a work queue.
fn await_carrier(socket: &mut RouteSocket, name: &str) -> Result<u32, NetlinkError> {
    poll(format!("link {name} to come up"), || {
        let link = socket.link(name)?;
        let up = link.attributes.contains(&LinkAttribute::OperState(State::Up));
        Ok(up.then_some(link.header.index))
    })
}

/// Polls until the kernel takes packets to each IPv6 address in. It adds the local route that does so in a work queue,
/// after the request is acknowledged and NODAD notwithstanding (addrconf_dad_work), and a SYN that comes earlier is
/// lost. An IPv4 address has its route with the acknowledgement.
fn await_addresses(side: &Side, addresses: &[IpAddr]) -> Result<(), Unavailable> {
    configure(side, |socket| {
        for address in addresses.iter().filter(|address| address.is_ipv6()) {
            let local = || Ok(socket.is_local(*address)?.then_some(()));
            poll(format!("address {address} to be usable"), local)?;
        }
        Ok(())
    })
}

/// Asks once a millisecond until there is an answer.
fn poll<T>(what: String, mut ask: impl FnMut() -> Result<Option<T>, NetlinkError>) -> Result<T, NetlinkError> {
    let given_up = Instant::now() + READY_WITHIN;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > given_up {
            return Err(NetlinkError::Late {
                what,
                after: READY_WITHIN,
            });
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn create_veth([(_, name), (peer_side, peer_name)]: [(&Side, &str); 2]) -> Request {
    let end = |name: &str| {
        let mut link = LinkMessage::default();
        // Not up yet: it takes its flags and its MAC address together, before anything is sent.
        link.header.flags = LinkFlags::Noarp;
        link.header.change_mask = LinkFlags::Noarp;
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::Address(MAC.to_vec()),
        ];
        link
    };
    let mut peer = end(peer_name);
    peer.attributes
        .extend(peer_side.namespace_descriptor().map(LinkAttribute::NetNsFd));
    let mut link = end(name);
    link.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    Request {
        what: "create a veth pair".to_owned(),
        message: RouteNetlinkMessage::NewLink(link),
    }
}

fn link_up(name: &str, index: u32) -> Request {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    Request {
        what: format!("bring link {name} up"),
        message: RouteNetlinkMessage::SetLink(link),
    }
}

/// Adds an address without a prefix: what is reached through the link is the route's matter.
fn add_address(address: IpAddr, link: &str, index: u32) -> Request {
    let mut message = AddressMessage::default();
    message.header.index = index;
    (message.header.family, message.header.prefix_len) = family_and_length(address);
    message.header.flags = AddressHeaderFlags::Nodad;
    message.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    Request {
        what: format!("add address {address} to link {link}"),
        message: RouteNetlinkMessage::NewAddress(message),
    }
}

/// The way to all of an end's addresses.
fn add_route(side: &Side, to: End, family: Family, index: u32) -> Request {
    let (address_family, gateway) = match family {
        Family::Ipv4 => (AddressFamily::Inet, IpAddr::V4(GATEWAY_V4)),
        Family::Ipv6 => (AddressFamily::Inet6, IpAddr::V6(GATEWAY_V6)),
    };
    let (prefix, length) = to.prefix(family);
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family,
        destination_prefix_length: length,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        kind: RouteType::Unicast,
        // Take it for a neighbour although no prefix covers it.
        flags: RouteFlags::Onlink,
        ..RouteHeader::default()
    };
    message.attributes = vec![
        RouteAttribute::Destination(prefix.into()),
        RouteAttribute::Gateway(gateway.into()),
        RouteAttribute::Oif(index),
    ];
    let source = side.addresses().first();
    message
        .attributes
        .extend(source.map(|source| RouteAttribute::PrefSource((*source).into())));
    Request {
        what: format!("route {prefix}/{length} by way of {gateway}"),
        message: RouteNetlinkMessage::NewRoute(message),
    }
}
