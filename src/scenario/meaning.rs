//! Checks what the keys mean together: which combinations say nothing, contradict each other or cannot be had.
//!
//! Each rule reads only the keys that it needs and is silent where one of them is malformed (`structure` tells that),
//! so that one run names the faults of both kinds. What is spoken has rules of its own in `protocol_rules`, a pool in
//! `pool_rules`, somebody else's server in `exec_rules`, sysctls in `sysctl_rules`, steps in `sequence_rules`, expectations in
//! `expectations`.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::pool::LoadKind;
use super::port_range;
use super::problem::{Origin, Problem};
use super::spec::{Arrival, Family, Source, Span, Topology};
use super::tree::Node;
use crate::tcp::CloseMode;

/// More pairs of source and destination than this would need gigabytes of tables.
const MOST_PAIRS: u64 = 1_000_000;
/// What it takes to follow one pair: the time of the last close of each of its ports.
const BYTES_A_PAIR: u64 = 65_536 * size_of::<u64>() as u64;
/// More pairs than this are not followed: they would take more than 2 GiB.
const MOST_FOLLOWED: u64 = (2 << 30) / BYTES_A_PAIR;

/// Everything that is wrong with the combination of the document's keys.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let mut rules = Rules {
        root,
        problems: Vec::new(),
    };
    rules.arrival();
    rules.extent();
    rules.times();
    rules.close();
    rules.source();
    rules.addresses();
    rules.topology();
    super::protocol_rules::check(&mut rules);
    super::pool_rules::check(&mut rules);
    super::exec_rules::check(&mut rules);
    rules.fill();
    super::sysctl_rules::check(&mut rules);
    super::sequence_rules::check(&mut rules);
    rules.problems
}

/// The document and what was found in it so far.
pub(super) struct Rules<'a> {
    pub(super) root: &'a Node,
    problems: Vec<Problem>,
}

impl<'a> Rules<'a> {
    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        key.split('.').try_fold(self.root, |node, name| node.child(name))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// The key's value; None where it is absent or malformed.
    pub(super) fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_value(self.node(key)?.to_json()).ok()
    }

    /// The key's value or its default; None where it is malformed.
    pub(super) fn read_or<T: DeserializeOwned>(&self, key: &str, default: T) -> Option<T> {
        if self.has(key) { self.read(key) } else { Some(default) }
    }

    /// Where the key is, or where the nearest table is that could hold it.
    fn origin(&self, key: &str) -> &'a Origin {
        let mut node = self.root;
        for name in key.split('.') {
            match node.child(name) {
                Some(child) => node = child,
                None => break,
            }
        }
        &node.origin
    }

    pub(super) fn report(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.origin(key).clone();
        self.report_at(&origin, key, message);
    }

    pub(super) fn report_at(&mut self, origin: &Origin, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(origin, key, message));
    }

    fn arrival(&mut self) {
        match self.read::<Arrival>("load.arrival") {
            Some(Arrival::Max) if self.has("load.rate") => self.report(
                "load.rate",
                "arrival `max` takes no rate: it attempts as fast as in_flight allows; \
                 remove the rate or choose arrival `constant` or `poisson`",
            ),
            Some(Arrival::Constant | Arrival::Poisson) if !self.has("load.rate") => self.report(
                "load.rate",
                "missing; arrival `constant` and `poisson` need the attempts per second, 0.001 to 10000000",
            ),
            _ => {}
        }
    }

    fn extent(&mut self) {
        let kind = self.read_or("load.kind", LoadKind::Connections);
        let count = if kind == Some(LoadKind::Pool) {
            "requests"
        } else {
            "connections"
        };
        let ends = [&format!("load.{count}"), "load.duration"];
        if self.has("load") && !ends.iter().any(|key| self.has(key)) {
            self.report("load", format!("without an end; set `{count}`, `duration` or both"));
        }
        let (rate, duration) = (self.read::<f64>("load.rate"), self.read::<Span>("load.duration"));
        if let (Some(rate), Some(Span(duration))) = (rate, duration)
            && rate * duration.as_secs_f64() >= u64::MAX as f64
        {
            self.report("load.rate", "rate × duration is beyond counting; lower one of them");
        }
    }

    fn times(&mut self) {
        for key in ["load.duration", "load.connect_timeout", "load.io_timeout"] {
            if self.read::<Span>(key) == Some(Span(Duration::ZERO)) {
                self.report(key, "0s leaves no time; expected more than 0s");
            }
        }
    }

    fn close(&mut self) {
        let given = self.has("close.linger_seconds");
        match self.read::<CloseMode>("close.mode") {
            Some(CloseMode::Lingering) if !given => self.report(
                "close.linger_seconds",
                "missing; mode `lingering` needs SO_LINGER's time, an integer from 1 to 3600",
            ),
            Some(mode) if given && mode != CloseMode::Lingering => self.report(
                "close.linger_seconds",
                format!("mode `{mode}` takes no linger_seconds; remove it or choose mode `lingering`"),
            ),
            _ => {}
        }
    }

    fn source(&mut self) {
        let source = self.read_or("client.source", Source::Ephemeral);
        let range = self.node("client.port_range");
        match (source, range) {
            (Some(Source::PortRange), None) => self.report(
                "client.port_range",
                "missing; source `port-range` needs its window, such as \"40000 40099\"",
            ),
            (Some(Source::Ephemeral | Source::BindAddress | Source::BindAddressNoPort), Some(_)) => self.report(
                "client.port_range",
                "only sources `port-range`, `owned` and `bind-port` take a window; remove it or choose one of them",
            ),
            _ => {}
        }
        if let Some(Err(fault)) = range.and_then(Node::text).map(port_range::parse) {
            self.report("client.port_range", fault);
        }
        let several = self.read::<u32>("client.addresses").is_some_and(|count| count > 1);
        // A sequence's steps name the address.
        if several && source == Some(Source::Ephemeral) && !self.has("step") {
            self.report(
                "client.addresses",
                "with source `ephemeral` the kernel would use one address only; \
                 choose another source, such as `bind-address-no-port`",
            );
        }
    }

    fn addresses(&mut self) {
        let count = |key| self.read_or::<u64>(key, 1);
        let (Some(clients), Some(servers), Some(ports)) = (
            count("client.addresses"),
            count("server.addresses"),
            count("server.ports"),
        ) else {
            return;
        };
        let pairs = clients.saturating_mul(servers).saturating_mul(ports);
        if pairs > MOST_PAIRS {
            let message = format!("{pairs} pairs of source and destination; at most {MOST_PAIRS} are allowed");
            self.report("server.addresses", message);
        } else if pairs > MOST_FOLLOWED && self.read_or("observe.tuples", false) == Some(true) {
            let message = format!(
                "{pairs} pairs of source and destination, of which each takes {} KiB to follow; with observe.tuples at \
                 most {MOST_FOLLOWED} are allowed: use fewer addresses or ports, or leave it out",
                BYTES_A_PAIR / 1024
            );
            self.report("observe.tuples", message);
        }
        let on_host = self.read_or("lab.topology", Topology::Pair) == Some(Topology::Host);
        let ipv6 = self.read_or("lab.family", Family::Ipv4) == Some(Family::Ipv6);
        for (key, count) in [("client.addresses", clients), ("server.addresses", servers)] {
            if on_host && ipv6 && count > 1 {
                let message = "the host has one IPv6 loopback address, and linger adds none to it; \
                               choose topology `loopback` or `pair`, or family `ipv4`";
                self.report(key, message);
            }
        }
    }

    fn topology(&mut self) {
        let topology = self.read_or("lab.topology", Topology::Pair);
        let ports = self.node("lab.nat_ports");
        match (topology, ports) {
            (Some(Topology::Nat), None) => self.report(
                "lab.nat_ports",
                "missing; topology `nat` needs the ports that its clients share, such as \"40000 40015\"",
            ),
            (Some(Topology::Loopback | Topology::Pair | Topology::Routed | Topology::Host), Some(_)) => self.report(
                "lab.nat_ports",
                "only topology `nat` shares ports; remove it or choose topology `nat`",
            ),
            _ => {}
        }
        if let Some(Err(fault)) = ports.and_then(Node::text).map(port_range::parse) {
            self.report("lab.nat_ports", fault);
        }
        let routes = self
            .node("sysctl.router")
            .is_some_and(|router| !router.entries().is_empty());
        if routes && topology.is_some_and(|topology| topology != Topology::Nat) {
            self.report(
                "sysctl.router",
                "only topology `nat` has a router; remove it or choose topology `nat`",
            );
        }
    }

    /// A fill's TIME_WAIT must stay, lie where the load does not go, and be counted apart from the load.
    fn fill(&mut self) {
        if !self.has("fill") {
            return;
        }
        let mode = self.read::<CloseMode>("close.mode");
        let source = self.read_or("client.source", Source::Ephemeral);
        let faults = [
            (
                mode == Some(CloseMode::Abortive),
                "an abortive close leaves no TIME_WAIT to fill with; choose another close.mode",
            ),
            (
                mode == Some(CloseMode::QuitClose),
                "with mode `quit-close` nobody knows on which end TIME_WAIT is left, if on any; choose another close.mode",
            ),
            (
                self.read_or("server.listen", true) == Some(false),
                "nobody listens, so that nothing can be filled; remove server.listen",
            ),
            (
                matches!(source, Some(Source::BindAddress | Source::BindPort)),
                "with sources `bind-address` and `bind-port` a port is one for all destinations: what is filled \
                 elsewhere would be the load's; choose another source, such as `bind-address-no-port`",
            ),
        ];
        for (_, fault) in faults.into_iter().filter(|(wrong, _)| *wrong) {
            self.report("fill", fault);
        }
    }
}
