//! Fills in every default: a checked scenario file becomes what one trial will run.
//!
//! The defaults are those that the doc comments of `spec` (and so the JSON Schema) name.

use std::collections::BTreeMap;
use std::time::Duration;

use super::matrix::Cell;
use super::plan::{
    ClientPlan, ClosePlan, Expectation, FillPlan, LabPlan, LoadPlan, Manner, ObservePlan, ServerPlan, StepPlan,
    SysctlPlan, TrialPlan,
};
use super::pool::{LoadKind, Pool};
use super::port_range;
use super::problem::Origin;
use super::spec::{Expect, Family, Load, Order, Protocol, Scenario, Source, Span, SysctlValue, Sysctls, Topology};
use super::step::{Action, Step};
use super::tree::Node;

/// What names a scenario's place: the file as problems and expectations name it, and where it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    /// A path, or `catalogue`.
    pub(super) origin: &'a str,
}

/// One cell's trial, as repeat 1. `root` is the document that `scenario` was read from.
pub(super) fn trial(scenario: Scenario, root: &Node, cell: &Cell, place: Place<'_>) -> TrialPlan {
    let protocol = scenario.server.protocol.unwrap_or(Protocol::None);
    let steps = steps(scenario.step, root, place.file);
    TrialPlan {
        takes: scenario.takes.map_or_else(|| waits(&steps), |Span(takes)| takes),
        steps,
        expect: expectations(scenario.expect, root, place.file),
        id: scenario.id,
        claim: scenario.claim,
        holds: scenario.holds,
        figure: scenario.figure,
        alone: scenario.alone.unwrap_or(false),
        real_time: scenario.real_time.unwrap_or(false),
        kernel: scenario.kernel,
        kernels: scenario.kernels,
        scaled: BTreeMap::new(),
        trial: 1,
        trials: 1,
        sources: scenario.sources,
        origin: place.origin.to_owned(),
        cell: cell
            .iter()
            .map(|(key, node)| (key.to_string(), node.to_json()))
            .collect(),
        repeat: 1,
        lab: LabPlan {
            topology: scenario.lab.topology.unwrap_or(Topology::Pair),
            family: scenario.lab.family.unwrap_or(Family::Ipv4),
            nat_ports: scenario.lab.nat_ports.and_then(|text| port_range::parse(&text).ok()),
        },
        server: ServerPlan {
            listen: scenario.server.listen.unwrap_or(true),
            addresses: scenario.server.addresses.unwrap_or(1),
            ports: scenario.server.ports.unwrap_or(1),
            exec: scenario.server.exec,
            protocol,
            backlog: scenario.server.backlog.unwrap_or(4096),
            accept_delay: length(scenario.server.accept_delay, Duration::ZERO),
            threads: scenario.server.threads,
            manner: Manner {
                latency: length(scenario.server.latency, Duration::ZERO),
                error_rate: scenario.server.error_rate.unwrap_or(0.0),
                idle_timeout: length(scenario.server.idle_timeout, Duration::ZERO),
                max_requests: scenario.server.max_requests.unwrap_or(0),
            },
        },
        client: ClientPlan {
            addresses: scenario.client.addresses.unwrap_or(1),
            source: scenario.client.source.unwrap_or(Source::Ephemeral),
            port_range: scenario
                .client
                .port_range
                .and_then(|text| port_range::parse(&text).ok()),
            order: scenario.client.order.unwrap_or(Order::RoundRobin),
        },
        close: scenario.close.map_or_else(ClosePlan::of_no_load, |close| ClosePlan {
            closer: close.closer,
            mode: close.mode,
            linger_seconds: close.linger_seconds,
        }),
        load: scenario
            .load
            .map_or_else(LoadPlan::nothing, |given| load(given, protocol)),
        pool: scenario.pool.map(Pool::resolve),
        fill: scenario.fill.map(|fill| FillPlan {
            connections: fill.connections,
            addresses: fill.addresses.unwrap_or(1),
        }),
        sysctl: sysctls(scenario.sysctl),
        observe: ObservePlan {
            tuples: scenario.observe.tuples.unwrap_or(false),
            after: length(scenario.observe.after, Duration::ZERO),
        },
    }
}

fn load(load: Load, protocol: Protocol) -> LoadPlan {
    const PATIENCE: Duration = Duration::from_secs(10);
    let kind = load.kind.unwrap_or_default();
    // How many requests a pool's connection serves shows in the end.
    let requests_per_connection = match kind {
        LoadKind::Pool => 0,
        LoadKind::Connections => u32::from(protocol != Protocol::None),
    };
    LoadPlan {
        kind,
        arrival: load.arrival,
        rate: load.rate,
        in_flight: load.in_flight.unwrap_or(16),
        connections: load.connections,
        requests: load.requests,
        duration: load.duration.map(|Span(length)| length),
        requests_per_connection: load.requests_per_connection.unwrap_or(requests_per_connection),
        request_bytes: load
            .request_bytes
            .unwrap_or(u32::from(matches!(protocol, Protocol::None | Protocol::Echo))),
        response_bytes: load.response_bytes.unwrap_or(1),
        hold: length(load.hold, Duration::ZERO),
        connect_timeout: length(load.connect_timeout, PATIENCE),
        io_timeout: length(load.io_timeout, PATIENCE),
        seed: load.seed.unwrap_or(1),
        threads: load.threads,
    }
}

/// A side's own value goes before that of both (the command line may set one).
fn sysctls(sysctls: Sysctls) -> SysctlPlan {
    let side = |own: BTreeMap<String, SysctlValue>| {
        let both = sysctls
            .both
            .iter()
            .map(|(name, value)| (name.clone(), value.to_string()));
        let own = own.into_iter().map(|(name, value)| (name, value.to_string()));
        both.chain(own).collect()
    };
    SysctlPlan {
        client: side(sysctls.client),
        server: side(sysctls.server),
        router: sysctls
            .router
            .into_iter()
            .map(|(name, value)| (name, value.to_string()))
            .collect(),
    }
}

fn steps(steps: Vec<Step>, root: &Node, file: &str) -> Vec<StepPlan> {
    let nodes = root.child("step").map(Node::items).unwrap_or_default();
    let step = |(index, step): (usize, Step)| {
        let line = match nodes.get(index).map(|node| &node.origin) {
            Some(Origin::File { line, .. }) => format!(":{line}"),
            _ => String::new(),
        };
        Some(StepPlan {
            at: format!("{file}{line}"),
            named: step.named.clone(),
            action: step.action()?,
        })
    };
    steps.into_iter().enumerate().filter_map(step).collect()
}

/// How long the steps take by their own word, and a second for everything else; a load has none.
fn waits(steps: &[StepPlan]) -> Duration {
    if steps.is_empty() {
        return Duration::ZERO;
    }
    let wait = |step: &StepPlan| match &step.action {
        Action::Wait(wait) => wait.time.0,
        Action::Close(close) => Duration::from_secs(close.linger_seconds.unwrap_or(0).into()),
        _ => Duration::ZERO,
    };
    Duration::from_secs(1) + steps.iter().map(wait).sum::<Duration>()
}

fn expectations(expectations: Vec<Expect>, root: &Node, file: &str) -> Vec<Expectation> {
    let nodes = root.child("expect").map(Node::items).unwrap_or_default();
    let at = |index: usize| {
        let that = nodes.get(index).and_then(|node| node.child("that"));
        match that.map(|node| &node.origin) {
            Some(Origin::File { line, .. }) => format!("{file}:{line} expect[{index}].that"),
            Some(Origin::Option(option)) => format!("{file}: {option} expect[{index}].that"),
            None => format!("{file} expect[{index}].that"),
        }
    };
    let expectation = |(index, expect): (usize, Expect)| Expectation {
        when: expect.when,
        kernel: expect.kernel,
        that: expect.that,
        at: at(index),
    };
    expectations.into_iter().enumerate().map(expectation).collect()
}

fn length(span: Option<Span>, default: Duration) -> Duration {
    span.map_or(default, |Span(length)| length)
}
