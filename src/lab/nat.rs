//! The router's address translation: all clients behind one address and a pool of ports, by nftables.
//!
//! The program `nft` is asked: the kernel's own interface for it, netlink with expressions in registers, would be a
//! translator of its own, and Debian's package is everywhere where there is nftables.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use super::address::End;
use super::{Side, Unavailable};
use crate::scenario::spec::Family;

/// Users' paths lack the directories of administrators' programs.
const PLACES: [&str; 3] = ["nft", "/usr/sbin/nft", "/sbin/nft"];

/// Translates what the clients send to the server: their addresses become the router's, their ports one of `ports`.
pub(super) fn translate(router: &Side, family: Family, ports: Option<(u16, u16)>) -> Result<(), Unavailable> {
    let rules = rules(router, family, ports.unwrap_or((1024, u16::MAX)));
    let output = router.run(|| nft(&rules))?.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unavailable::new(
            "topology nat needs the program nft, which is not here",
            "install it (Debian: apt install nftables)",
        ),
        _ => Unavailable::new(
            format!("nft could not be run: {error}"),
            "make the program nft runnable for this user",
        ),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Unavailable::new(
        format!(
            "nft refused the router's rules: {}",
            said.lines().next().unwrap_or_default()
        ),
        "use a kernel with nf_tables and nft_nat (CONFIG_NF_TABLES, CONFIG_NFT_NAT), or topology pair",
    ))
}

fn rules(router: &Side, family: Family, (low, high): (u16, u16)) -> String {
    let (clients, length) = End::Client.prefix(family);
    let (name, address) = match (family, router.addresses().first()) {
        (Family::Ipv4, Some(address)) => ("ip", address.to_string()),
        (Family::Ipv6, Some(address)) => ("ip6", format!("[{address}]")),
        (_, None) => unreachable!("a router is made with its address"),
    };
    format!(
        "table {name} linger {{\n  chain out {{\n    type nat hook postrouting priority 100;\n    \
         {name} saddr {clients}/{length} meta l4proto tcp snat to {address}:{low}-{high}\n  }}\n}}\n"
    )
}

/// Runs nft in the calling thread's network namespace, which the child inherits.
fn nft(rules: &str) -> io::Result<Output> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for place in PLACES {
        let child = Command::new(place)
            .args(["-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Ok(mut child) => {
                if let Some(mut stdin) = child.stdin.take() {
                    stdin.write_all(rules.as_bytes())?;
                }
                return child.wait_with_output();
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
