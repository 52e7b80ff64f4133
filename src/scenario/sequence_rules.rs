//! What the steps of a sequence mean together: one kind each, names that are there before they are used, arguments
//! that go together.
//!
//! A malformed step is silent here (`structure` tells it).

use std::collections::BTreeSet;

use super::meaning::Rules;
use super::problem::{listed, member, nearest, quoted};
use super::spec::Topology;
use super::step::{Action, Connect, Counter, End, Lose, Outcome, Step, Undrop};
use super::tree::Node;
use crate::tcp::CloseMode;

pub(super) fn check(rules: &mut Rules<'_>) {
    let steps = rules.root.child("step").map(Node::items).unwrap_or_default();
    if rules.root.child("step").is_none() {
        if rules.root.child("takes").is_some() {
            rules.report("takes", "a load takes as long as its rate and duration say; remove it");
        }
        return;
    }
    alone(rules);
    if steps.is_empty() {
        rules.report("step", "no step; expected at least one");
    }
    let mut names = Names::default();
    let mut facts = BTreeSet::new();
    for (index, node) in steps.iter().enumerate() {
        let key = member("step", index);
        let mut report = |message: String| rules.report_at(&node.origin, &key, message);
        kinds(node, &mut report);
        if let Some(name) = node.child("as").and_then(Node::text)
            && !facts.insert(name)
        {
            report(format!(
                "an earlier step keeps what it found as {} already; name each anew",
                quoted(name)
            ));
        }
        let Ok(step) = serde_json::from_value::<Step>(node.to_json()) else {
            continue;
        };
        if let Some(action) = step.action() {
            names.follow(&action, &mut report);
            arguments(&action, &mut report);
        }
    }
    addresses(rules, steps);
}

/// A sequence is no load and has a lab of its own.
fn alone(rules: &mut Rules<'_>) {
    for key in ["load", "close", "fill", "observe"] {
        if rules.root.child(key).is_some() {
            rules.report(
                key,
                "a scenario is a load or a sequence; remove this, or the steps".to_owned(),
            );
        }
    }
    if rules.read_or("lab.topology", Topology::Pair) == Some(Topology::Host) {
        rules.report(
            "lab.topology",
            "a sequence counts on what nobody else touches; choose topology `loopback` or `pair`",
        );
    }
}

fn kinds(node: &Node, report: &mut impl FnMut(String)) {
    let kinds: Vec<&str> = node
        .entries()
        .iter()
        .map(|entry| entry.key.as_str())
        .filter(|key| Action::KINDS.contains(key))
        .collect();
    match kinds.as_slice() {
        [_] => {}
        // Then the one key there is was misspelt, and that is told.
        [] if !node.entries().is_empty() && node.child("as").is_none() => {}
        [] => report(format!(
            "a step does one thing; expected one of {}",
            listed(Action::KINDS.iter().copied())
        )),
        several => report(format!(
            "a step does one thing; expected one of {}, came all",
            listed(several.iter().copied())
        )),
    }
}

/// What the steps so far have named.
#[derive(Default)]
struct Names {
    connections: BTreeSet<String>,
    accepted: BTreeSet<String>,
    listeners: BTreeSet<String>,
    moments: BTreeSet<String>,
}

impl Names {
    fn follow(&mut self, action: &Action, report: &mut impl FnMut(String)) {
        match action {
            Action::Listen(step) => {
                self.listeners.insert(step.listener.clone());
            }
            Action::StopListening(step) => known("listener", &self.listeners, &step.listener, report),
            Action::Connect(step) | Action::StartConnect(step) => self.new_connection(step, report),
            Action::AwaitConnect(step) => known("connection", &self.connections, &step.connection, report),
            Action::Accept(step) => {
                known("connection", &self.connections, &step.connection, report);
                known("listener", &self.listeners, &step.listener, report);
                if !self.accepted.insert(step.connection.clone()) {
                    report(format!("{} is accepted already", quoted(&step.connection)));
                }
            }
            Action::Mark(step) => {
                self.moments.insert(step.moment.clone());
            }
            Action::ExpectCounter(step) | Action::AwaitCounter(step) => {
                if let Some(since) = &step.since {
                    known("mark", &self.moments, since, report);
                }
            }
            Action::Drop(Lose {
                listener: Some(listener),
                ..
            })
            | Action::Undrop(Undrop {
                listener: Some(listener),
                ..
            }) => known("listener", &self.listeners, listener, report),
            other => ends(other)
                .into_iter()
                .for_each(|(end, socket)| self.end(end, socket, report)),
        }
    }

    fn new_connection(&mut self, step: &Connect, report: &mut impl FnMut(String)) {
        if !self.connections.insert(step.connection.clone()) {
            report(format!(
                "a connection {} is there already; name each anew",
                quoted(&step.connection)
            ));
        }
    }

    fn end(&self, end: &End, socket: bool, report: &mut impl FnMut(String)) {
        known("connection", &self.connections, &end.connection, report);
        if socket && end.server && !self.accepted.contains(&end.connection) {
            report(format!(
                "{} has no socket before it is accepted",
                quoted(&end.to_string())
            ));
        }
    }
}

/// The ends that an action names, and whether it needs the socket.
fn ends(action: &Action) -> Vec<(&End, bool)> {
    match action {
        Action::Send(step) => vec![(&step.end, true)],
        Action::Recv(step) => vec![(&step.end, true)],
        Action::Transfer(step) => vec![(&step.from, true)],
        Action::Shutdown(step) => vec![(&step.end, true)],
        Action::Close(step) => vec![(&step.end, true)],
        Action::Drop(step) => step.end.iter().map(|end| (end, true)).collect(),
        Action::Undrop(step) => step.end.iter().map(|end| (end, true)).collect(),
        Action::ExpectState(step) | Action::AwaitState(step) => vec![(&step.end, false)],
        Action::Inject(step) => vec![(&step.to, false)],
        Action::Replay(step) => [Some(&step.of), step.into.as_ref()]
            .into_iter()
            .flatten()
            .map(|end| (end, false))
            .collect(),
        Action::AwaitSegment(step) => vec![(&step.from, false)],
        _ => vec![],
    }
}

fn known(what: &str, names: &BTreeSet<String>, name: &str, report: &mut impl FnMut(String)) {
    if names.contains(name) {
        return;
    }
    let known = || names.iter().map(String::as_str);
    let meant = super::problem::did_you_mean(nearest(name, known()));
    let there = if names.is_empty() {
        "none".to_owned()
    } else {
        listed(known())
    };
    report(format!(
        "no earlier step has a {what} {}{meant} (there are: {there})",
        quoted(name)
    ));
}

/// Arguments that exclude or need each other.
fn arguments(action: &Action, report: &mut impl FnMut(String)) {
    match action {
        Action::Send(step) if step.text.is_some() == step.bytes.is_some() => {
            report("send takes one of `text` and `bytes`".to_owned());
        }
        Action::Recv(step) => match (&step.text, step.bytes, step.expect) {
            (Some(_), Some(_), _) => report("recv takes one of `text` and `bytes`".to_owned()),
            (None, None, Outcome::Ok) => {
                report("recv needs `text` or `bytes`, or to expect `eof`, an errno or `any`".to_owned());
            }
            _ => {}
        },
        Action::Close(step) => close(step.mode, step.linger_seconds, report),
        Action::ExpectCounter(step) => counter(step, false, report),
        Action::AwaitCounter(step) => counter(step, true, report),
        Action::ExpectState(step) if step.within.is_some() => report(AT_ONCE.to_owned()),
        Action::Drop(Lose { end, listener, .. }) | Action::Undrop(Undrop { end, listener, .. })
            if end.is_some() == listener.is_some() =>
        {
            report("it is one of `end` and `listener` whose segments are meant".to_owned());
        }
        Action::Undrop(step) if step.within.is_some() && step.after == 0 => {
            report("nothing is waited for; say `after` how many are lost, or remove `within`".to_owned());
        }
        Action::Connect(step) | Action::StartConnect(step) if step.port_range.is_some() => {
            let range = step.port_range.as_deref().map(super::port_range::parse);
            if let Some(Err(fault)) = range {
                report(format!("port_range: {fault}"));
            } else if step.from_port > 0 {
                report(
                    "connect() chooses no port where from_port names one; remove one of port_range and from_port"
                        .to_owned(),
                );
            }
        }
        Action::Drop(step) if step.listener.is_some() && step.acknowledging_fin => {
            report("a listener sends no FIN; remove acknowledging_fin".to_owned());
        }
        Action::Sysctl(step) => {
            if let Some(fault) = super::sysctl_rules::name_fault(&step.name) {
                report(fault);
            }
        }
        _ => {}
    }
    let expect = match action {
        Action::Listen(step) => step.expect,
        Action::Connect(step) | Action::StartConnect(step) => step.expect,
        Action::AwaitConnect(step) => step.expect,
        Action::Send(step) => step.expect,
        _ => Outcome::Ok,
    };
    if expect == Outcome::Eof {
        report("only recv can come to `eof`".to_owned());
    }
}

const AT_ONCE: &str = "what is expected is looked at once; choose the await of the same name, or remove `within`";

fn close(mode: CloseMode, linger: Option<u32>, report: &mut impl FnMut(String)) {
    match (mode, linger) {
        (CloseMode::Lingering, None) => report("mode `lingering` needs linger_seconds".to_owned()),
        (CloseMode::Graceful | CloseMode::Abortive, Some(_)) => {
            report(format!("mode `{mode}` takes no linger_seconds"));
        }
        (CloseMode::Graceful | CloseMode::Abortive | CloseMode::Lingering, _) => {}
        (other, _) => report(format!(
            "mode `{other}` is several steps; expected `graceful`, `abortive` or `lingering`"
        )),
    }
}

fn counter(step: &Counter, awaits: bool, report: &mut impl FnMut(String)) {
    if step.is.is_none() && step.at_least.is_none() && step.at_most.is_none() {
        report("a counter needs `is`, `at_least` or `at_most`".to_owned());
    }
    if !awaits && step.within.is_some() {
        report(AT_ONCE.to_owned());
    }
}

/// Addresses beyond those that the sides have.
fn addresses(rules: &mut Rules<'_>, steps: &[Node]) {
    let (Some(clients), Some(servers)) = (
        rules.read_or::<u32>("client.addresses", 1),
        rules.read_or::<u32>("server.addresses", 1),
    ) else {
        return;
    };
    for (index, node) in steps.iter().enumerate() {
        let Some(action) = serde_json::from_value::<Step>(node.to_json())
            .ok()
            .and_then(Step::action)
        else {
            continue;
        };
        let (from, to) = match &action {
            Action::Listen(step) => (0, step.address),
            Action::Connect(step) | Action::StartConnect(step) => (step.from_address, step.address),
            _ => continue,
        };
        for (number, count, key) in [(from, clients, "client.addresses"), (to, servers, "server.addresses")] {
            if number > count {
                let message = format!("address {number} is beyond {key}, which is {count}");
                rules.report_at(&node.origin, &member("step", index), message);
            }
        }
    }
}
