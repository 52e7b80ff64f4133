//! Which sysctls a scenario may set, and to what: those of the lab's own network namespace, below `net.`.
//!
//! Whether the kernel has one, and whether it took, is found out in the lab, which reads each back.

use super::meaning::Rules;
use super::port_range;
use super::problem::{Origin, quoted, shown};
use super::spec::{SysctlValue, Topology};
use super::tree::Node;

pub(super) fn check(rules: &mut Rules<'_>) {
    let Some(sysctl) = rules.root.child("sysctl") else {
        return;
    };
    let topology = rules.read_or("lab.topology", Topology::Pair);
    for side in sysctl.entries() {
        for entry in side.node.entries() {
            let key = format!("sysctl.{}.{}", shown(&side.key), shown(&entry.key));
            // A value of another type is told by `structure`, and then the name is mostly half of one.
            let Some(value) = value(&entry.node) else {
                continue;
            };
            if let Some(fault) = name_fault(&entry.key) {
                rules.report_at(&entry.origin, &key, fault);
            } else if let Some(fault) = value_fault(&entry.key, &value) {
                rules.report_at(&entry.node.origin, &key, fault);
            }
            if topology == Some(Topology::Host) {
                let message = "topology `host` sets no sysctl: the host's own would change; \
                               remove it or choose topology `loopback` or `pair`";
                rules.report_at(&entry.origin, &key, message);
            }
        }
    }
    doubles(rules, sysctl);
    if topology == Some(Topology::Loopback) {
        contradictions(rules, sysctl);
    }
}

/// A name set for both sides and for one of them, unless the command line's is to hold.
fn doubles(rules: &mut Rules<'_>, sysctl: &Node) {
    let Some(both) = sysctl.child("both") else {
        return;
    };
    for side in ["client", "server"] {
        for entry in sysctl.child(side).map(Node::entries).unwrap_or_default() {
            let from_file = matches!(entry.node.origin, Origin::File { .. });
            if from_file && both.child(&entry.key).is_some() {
                let message = "set in sysctl.both too; remove one of them";
                rules.report_at(&entry.origin, &format!("sysctl.{side}.{}", shown(&entry.key)), message);
            }
        }
    }
}

/// With topology `loopback` both sides are one namespace: the later write would win silently.
fn contradictions(rules: &mut Rules<'_>, sysctl: &Node) {
    let side = |side: &str, name: &str| {
        let of = |table: &str| value(sysctl.child(table)?.child(name)?);
        of(side).or_else(|| of("both"))
    };
    let tables = sysctl.entries().iter().flat_map(|table| table.node.entries());
    let mut told: Vec<&str> = Vec::new();
    for entry in tables {
        let (client, server) = (side("client", &entry.key), side("server", &entry.key));
        if let (Some(client), Some(server)) = (client, server)
            && normal(&client) != normal(&server)
            && !told.contains(&entry.key.as_str())
        {
            told.push(&entry.key);
            let message = format!(
                "client {} and server {}, but with topology `loopback` both sides are one namespace; \
                 set one value or choose topology `pair`",
                quoted(&client),
                quoted(&server)
            );
            rules.report_at(&entry.origin, &format!("sysctl.{}", shown(&entry.key)), message);
        }
    }
}

fn value(node: &Node) -> Option<String> {
    let value: SysctlValue = serde_json::from_value(node.to_json()).ok()?;
    Some(value.to_string())
}

fn normal(value: &str) -> Vec<&str> {
    value.split_whitespace().collect()
}

pub(super) fn name_fault(name: &str) -> Option<String> {
    let letter = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if !name.chars().all(letter) {
        return Some(format!(
            "{} is no sysctl; allowed are letters, digits and _ . - /",
            quoted(name)
        ));
    }
    if !name.starts_with("net.") {
        return Some(
            "only sysctls that begin with `net.` belong to a network namespace; \
             this one is the whole machine's and would be written on the host"
                .to_owned(),
        );
    }
    // `/` stands for a dot within a name (sysctl.d(5)): a part of slashes alone would climb out of /proc/sys/net.
    let climbs = name.split('.').any(|part| part.trim_matches('/').is_empty());
    climbs.then(|| format!("{} has an empty part", quoted(name)))
}

fn value_fault(name: &str, value: &str) -> Option<String> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Some(format!("{} has control characters; expected one line", quoted(value)));
    }
    if value.trim().is_empty() && name != "net.ipv4.ip_local_reserved_ports" {
        return Some("empty; expected a value to write".to_owned());
    }
    let is_range = name == "net.ipv4.ip_local_port_range";
    is_range.then(|| port_range::parse(value).err()).flatten()
}
