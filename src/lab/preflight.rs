//! What this machine allows, thing by thing, with a remedy for each that it does not: `linger check`.
//!
//! Everything is tried and nothing is inferred from a version, and whatever is tried happens inside namespaces that are
//! gone afterwards: the host is not written. A check that needs a namespace on a machine that forbids them is `Unknown`.

use std::fs;
use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::os::fd::AsFd;

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};
use nix::libc;

use super::address::End;
use super::machine::Machine;
use super::namespace::Namespace;
use super::privilege::{self, DEBIAN_RESTRICTION, Privilege, USER_NAMESPACES, kernel_setting};
use super::{Side, Unavailable, limits, sysctl, topology};
use crate::scenario::spec::{Family, Source};
use crate::tcp::{errno, options};

/// One thing that the machine may or may not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub state: State,
    /// What was found: a value, or why not.
    pub found: String,
    /// What would mend it; there wherever `state` is `No`.
    pub remedy: Option<String>,
}

/// Whether the machine allows a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Yes,
    No,
    /// It could not be tried.
    Unknown,
}

impl Check {
    fn of(name: &'static str, result: Result<String, Unavailable>) -> Self {
        match result {
            Ok(found) => Self {
                name,
                state: State::Yes,
                found,
                remedy: None,
            },
            Err(Unavailable { reason, remedy }) => Self {
                name,
                state: State::No,
                found: reason,
                remedy: Some(remedy),
            },
        }
    }

    fn untried(name: &'static str) -> Self {
        Self {
            name,
            state: State::Unknown,
            found: "not tried: it takes a network namespace".to_owned(),
            remedy: None,
        }
    }
}

/// The check without which there is no lab.
const NETWORK_NAMESPACES: &str = "network namespaces";

/// Whether a lab can be made at all.
#[must_use]
pub fn allows_a_lab(checks: &[Check]) -> bool {
    checks
        .iter()
        .any(|check| check.name == NETWORK_NAMESPACES && check.state == State::Yes)
}

/// Every check, in the order in which the later build on the earlier. To be called while the process has one thread and
/// nothing else to do: without root it moves the process into a user namespace for good.
#[must_use]
pub fn checks() -> Vec<Check> {
    let machine = Machine::here();
    let privilege = privilege::acquire();
    let sides = [End::Client, End::Server].map(|end| {
        let addresses = vec![end.first_address(Family::Ipv4)];
        let namespace = privilege.clone().and_then(|_| Namespace::create());
        namespace.map(|namespace| Side::new(end, Some(namespace.into()), addresses))
    });
    let [client, server] = &sides;
    let inside = |name, probe: &dyn Fn(&Side) -> Result<String, Unavailable>| match client {
        Ok(side) => Check::of(name, probe(side)),
        Err(_) => Check::untried(name),
    };
    vec![
        Check::of("kernel", kernel(&machine)),
        Check::of("timer", timer(&machine)),
        Check::of("processors", Ok(processors(&machine))),
        Check::of("user namespaces", user_namespaces(privilege)),
        Check::of(
            NETWORK_NAMESPACES,
            client.as_ref().map(|_| "allowed".to_owned()).map_err(Clone::clone),
        ),
        match (client, server) {
            (Ok(client), Ok(server)) => Check::of("veth", veth(client, server)),
            _ => Check::untried("veth"),
        },
        inside("IPv6", &ipv6),
        inside("sysctls per namespace", &sysctls),
        // It only reads, and so may be tried on the host.
        Check::of(
            "sock_diag",
            client
                .as_ref()
                .map_or_else(|_| sock_diag(), |side| side.run(sock_diag)?),
        ),
        Check::of("IP_BIND_ADDRESS_NO_PORT", bind_address_no_port()),
        Check::of("IP_LOCAL_PORT_RANGE", local_port_range()),
        Check::of("file descriptors", descriptors()),
        Check::of("slab sizes", slabinfo()),
    ]
}

fn kernel(machine: &Machine) -> Result<String, Unavailable> {
    let mut numbers = machine
        .kernel
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse::<u32>().ok());
    let found = format!("Linux {}, {}", machine.kernel, machine.machine);
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (3, 13) => Ok(found),
        _ => Err(Unavailable::new(
            found,
            "use Linux 3.13 or later; nothing older was tried",
        )),
    }
}

fn timer(machine: &Machine) -> Result<String, Unavailable> {
    machine.hz.map(|hz| format!("HZ = {hz}")).ok_or_else(|| {
        Unavailable::new(
            "HZ could not be told from the resolution of CLOCK_MONOTONIC_COARSE",
            "read CONFIG_HZ in the kernel's configuration; TIME_WAIT lifetimes are judged without it",
        )
    })
}

fn processors(machine: &Machine) -> String {
    let on = match machine.virtual_machine {
        Some(true) => ", of a virtual machine: its host's load is in every latency",
        Some(false) => ", of a physical machine",
        None => "",
    };
    format!("{}{on}", machine.cpus)
}

fn user_namespaces(privilege: Result<Privilege, Unavailable>) -> Result<String, Unavailable> {
    let values = [USER_NAMESPACES, DEBIAN_RESTRICTION, privilege::APPARMOR_RESTRICTION]
        .into_iter()
        .filter_map(|name| Some(format!("{name} = {}", kernel_setting(name)?)))
        .collect::<Vec<_>>()
        .join(", ");
    match (privilege?, privilege::forbidding_setting()) {
        (Privilege::Root, Some(setting)) => Err(Unavailable::new(
            format!("not needed as root; for others, {}", setting.reason),
            setting.remedy,
        )),
        (Privilege::Root, None) => Ok(format!("not needed as root; {values}")),
        _ => Ok(format!("allowed; {values}")),
    }
}

fn veth(client: &Side, server: &Side) -> Result<String, Unavailable> {
    topology::join_by_veth(client, server, Family::Ipv4)?;
    Ok("a pair came up".to_owned())
}

fn ipv6(side: &Side) -> Result<String, Unavailable> {
    topology::raise_loopback(side, Family::Ipv6, &[])?;
    side.run(|| TcpListener::bind((Ipv6Addr::LOCALHOST, 0)))?
        .map_err(|error| {
            Unavailable::new(
                format!("bind to ::1: {error}"),
                "boot without ipv6.disable=1, or keep to family ipv4",
            )
        })?;
    Ok("::1 can be bound".to_owned())
}

/// Gives each sysctl that scenarios set the value that it has, in a namespace of its own.
fn sysctls(side: &Side) -> Result<String, Unavailable> {
    let mut writable = 0;
    let mut missing = Vec::new();
    let host = sysctl::read_all(sysctl::THAT_SCENARIOS_SET);
    let ours = side.run(|| sysctl::read_all(sysctl::THAT_SCENARIOS_SET))?;
    for name in host.keys() {
        match ours.get(name).map(|value| sysctl::set(side, name, value)) {
            Some(Ok(())) => writable += 1,
            Some(Err(error)) if error == sysctl::read_only() => return Err(error),
            _ => missing.push(name.as_str()),
        }
    }
    if missing.is_empty() {
        return Ok(format!(
            "all {writable} of those that scenarios set and this kernel has"
        ));
    }
    Err(Unavailable::new(
        format!("not per namespace: {}", missing.join(", ")),
        "use Linux 4.15 or later, or a machine of its own, for scenarios that set them",
    ))
}

/// Asks for a dump of the IPv4 sockets in a state that none is in, as sock_diag(7) has it.
fn sock_diag() -> Result<String, Unavailable> {
    const SOCK_DIAG_BY_FAMILY: u8 = 20;
    const NLM_F_REQUEST_DUMP: u16 = 0x301;
    const NLMSG_ERROR: u16 = 2;
    // struct nlmsghdr (16 bytes) and struct inet_diag_req_v2 (56), whose state mask stays 0.
    let mut request = [0_u8; 72];
    request[0] = 72;
    request[4] = SOCK_DIAG_BY_FAMILY;
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request[16] = libc::AF_INET as u8;
    request[17] = libc::IPPROTO_TCP as u8;
    let ask = || -> io::Result<Vec<u8>> {
        let socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
        Ok(socket.recv_from_full()?.0)
    };
    let trouble = match ask() {
        Err(error) => error.to_string(),
        Ok(answer) => match answer.get(4..6).zip(answer.get(16..20)) {
            Some((kind, code)) if kind == NLMSG_ERROR.to_ne_bytes() => {
                let code = i32::from_ne_bytes(code.try_into().expect("four bytes were taken"));
                errno::name(code.abs())
            }
            _ => return Ok("dumps TCP sockets".to_owned()),
        },
    };
    Err(Unavailable::new(
        format!("no dump of TCP sockets: {trouble}; /proc/net/tcp takes its place, at a higher cost"),
        "as root: modprobe inet_diag tcp_diag",
    ))
}

/// Refuses a source of ports whose socket option this kernel has not; asked of the kernel, since stable ones take options over.
///
/// # Errors
/// Names the option, and the version that has it.
pub(super) fn require_options(source: Source) -> Result<(), Unavailable> {
    let (option, taken) = match source {
        Source::PortRange => ("IP_LOCAL_PORT_RANGE", local_port_range()),
        Source::BindAddressNoPort => ("IP_BIND_ADDRESS_NO_PORT", bind_address_no_port()),
        _ => return Ok(()),
    };
    taken.map(drop).map_err(|why| Unavailable {
        reason: format!("this kernel does not take the socket option {option}: {}", why.reason),
        ..why
    })
}

fn bind_address_no_port() -> Result<String, Unavailable> {
    on_a_socket(&|socket| options::set_bind_address_no_port(socket.as_fd()), "4.2")
}

fn local_port_range() -> Result<String, Unavailable> {
    on_a_socket(
        &|socket| options::set_local_port_range(socket.as_fd(), 40_000, 40_001),
        "6.3",
    )
}

fn on_a_socket(set: &dyn Fn(&socket2::Socket) -> io::Result<()>, since: &str) -> Result<String, Unavailable> {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
        .and_then(|socket| set(&socket))
        .map(|()| "taken by a TCP socket".to_owned())
        .map_err(|error| {
            Unavailable::new(
                error.to_string(),
                format!("use Linux {since} or later for scenarios that set it"),
            )
        })
}

fn descriptors() -> Result<String, Unavailable> {
    const ENOUGH: u64 = 4096;
    let remedy = "raise the hard limit (as root: ulimit -Hn 1048576; systemd: LimitNOFILE=1048576)";
    let limit = limits::raise_descriptor_limit()
        .map_err(|error| Unavailable::new(format!("the limit could not be raised: {error}"), remedy))?;
    let ceiling = limits::nr_open().map_or(String::new(), |ceiling| format!(" (fs.nr_open = {ceiling})"));
    let found = format!("{limit} may be open{ceiling}; each connection in flight takes two");
    if limit < ENOUGH {
        Err(Unavailable::new(found, remedy))
    } else {
        Ok(found)
    }
}

fn slabinfo() -> Result<String, Unavailable> {
    match fs::read("/proc/slabinfo") {
        Ok(_) => Ok("/proc/slabinfo can be read".to_owned()),
        Err(error) => Err(Unavailable::new(
            format!("/proc/slabinfo: {error}"),
            "run as root; only the memory that sockets take goes unmeasured without it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_no_has_a_remedy_and_every_row_says_what_was_found() {
        let checks = checks();
        assert_eq!(checks.len(), 13);
        for check in checks {
            assert!(!check.found.is_empty(), "{check:?}");
            assert_eq!(check.state == State::No, check.remedy.is_some(), "{check:?}");
        }
    }

    #[test]
    fn a_kernel_older_than_any_tried_is_told_apart() {
        let of = |release: &str| {
            kernel(&Machine {
                kernel: release.to_owned(),
                ..Machine::here()
            })
            .is_ok()
        };
        assert!(of("3.13.0-170-generic") && of("6.18.44") && of("10.0"));
        assert!(!of("3.12.74") && !of("2.6.32-754.el6") && !of("unknown"));
    }
}
