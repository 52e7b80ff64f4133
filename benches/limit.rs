//! How far the engines are from the limit: connections per client CPU second, against loops of bare system calls.
//!
//! `cargo bench --bench limit [-- ROUNDS [CONNECTIONS]]`. Everything runs over loopback in a network namespace of its
//! own. Client and server are pinned to the first two CPUs; the variants take turns within each round, so that what
//! else the machine does falls on all alike; medians and ratios are printed as Markdown, and each round as JSON.

mod bare;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use linger::load::server::{Listeners, ServerControl, ServerWork};
use linger::load::{Clock, Control, Engine, EpollEngine, Pacing, Shard, UringEngine, Work};
use linger::scenario::plan::{ClientPlan, ClosePlan, LoadPlan, ServerPlan};
use linger::scenario::spec::{Arrival, Order, Protocol, Source};
use linger::tcp::{CloseMode, Closer};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;

const DESTINATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7000);
const IN_FLIGHT: u32 = 16;

/// What is done over one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// connect(), then RST.
    Reset,
    /// connect(), a byte there and a byte back, then RST.
    Echo,
    /// connect(), a byte there and a byte back, then the server closes and the client reads its FIN.
    ServerCloses,
}

impl Exchange {
    const ALL: [(Self, &str); 3] = [
        (Self::Reset, "connect + RST"),
        (Self::Echo, "1-byte echo + RST"),
        (Self::ServerCloses, "1-byte echo, server closes"),
    ];

    fn work(self, connections: u64) -> Work {
        Work {
            pool: None,
            load: LoadPlan {
                kind: Default::default(),
                requests: None,
                arrival: Arrival::Max,
                rate: None,
                in_flight: IN_FLIGHT,
                connections: Some(connections),
                duration: None,
                requests_per_connection: u32::from(self != Self::Reset),
                request_bytes: 1,
                response_bytes: 1,
                hold: Duration::ZERO,
                connect_timeout: Duration::from_secs(10),
                io_timeout: Duration::from_secs(10),
                seed: 1,
                threads: None,
            },
            close: match self {
                Self::ServerCloses => close(Closer::Server, CloseMode::Graceful),
                _ => close(Closer::Client, CloseMode::Abortive),
            },
            client: ClientPlan {
                addresses: 1,
                source: Source::Ephemeral,
                port_range: None,
                order: Order::RoundRobin,
            },
            protocol: if self == Self::Reset {
                Protocol::None
            } else {
                Protocol::Echo
            },
            sources: vec![],
            destinations: vec![DESTINATION],
            tuples: false,
            tuples_a_pair: None,
            request: vec![],
            ports: vec![],
            shard: Shard::WHOLE,
            pacing: Pacing::Timer,
            reuse_descriptor: false,
        }
    }
}

fn close(closer: Closer, mode: CloseMode) -> ClosePlan {
    ClosePlan {
        closer,
        mode,
        linger_seconds: None,
    }
}

/// A client: makes so many connections and gives the CPU seconds of its thread.
type Client = (&'static str, fn(Exchange, u64) -> Option<f64>);

const CLIENTS: [Client; 5] = [
    ("blocking, 1 in flight", |exchange, n| {
        Some(bare::blocking(exchange, DESTINATION, n))
    }),
    ("bare epoll", |exchange, n| {
        Some(bare::epoll(exchange, DESTINATION, n, IN_FLIGHT as usize))
    }),
    ("linger epoll", |exchange, n| {
        linger(&mut EpollEngine, &exchange.work(n))
    }),
    ("linger uring", |exchange, n| {
        linger(&mut UringEngine, &exchange.work(n))
    }),
    ("linger epoll, descriptors reused", |exchange, n| {
        let mut work = exchange.work(n);
        work.reuse_descriptor = true;
        (exchange != Exchange::ServerCloses)
            .then(|| linger(&mut EpollEngine, &work))
            .flatten()
    }),
];

fn linger(engine: &mut dyn Engine, work: &Work) -> Option<f64> {
    let measured = engine
        .run(work, &Clock::start(), &Control::default())
        .expect("the load runs");
    assert_eq!(
        Some(measured.tally.ok),
        work.load.connections,
        "{:?}",
        measured.tally.failures()
    );
    Some(measured.cpu_seconds)
}

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(7);
    let connections = numbers.get(1).copied().unwrap_or(20_000);
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("a network namespace: run as root or under unshare --user --map-root-user");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("needs `ip` (iproute2)").success());
    pin(0);
    println!(
        "| {rounds} rounds of {connections} connections | client | median conn/client-CPU-s | to bare epoll | to blocking |\n|---|---|---:|---:|---:|"
    );
    for (exchange, name) in Exchange::ALL {
        measure(exchange, name, rounds, connections);
    }
}

fn measure(exchange: Exchange, name: &str, rounds: u64, connections: u64) {
    let work = exchange.work(connections);
    let server = ServerWork::of_load(
        ServerPlan {
            listen: true,
            addresses: 1,
            ports: 1,
            protocol: work.protocol,
            backlog: 4096,
            accept_delay: Duration::ZERO,
            threads: None,
            manner: Default::default(),
        },
        work.close,
        &work.load,
    );
    let control = Arc::new(ServerControl::default());
    let listeners = Listeners::bind(&[DESTINATION], 4096).expect("a port in a fresh namespace is free");
    let shared = Arc::clone(&control);
    let serving = std::thread::spawn(move || {
        pin(1);
        listeners.serve(&server, &shared, None)
    });
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 0..=rounds {
        for (client, run) in CLIENTS {
            // The first round only warms the caches up.
            if let Some(seconds) = run(exchange, connections)
                && round > 0
            {
                let rate = connections as f64 / seconds;
                println!(
                    "{{\"exchange\": \"{name}\", \"client\": \"{client}\", \"round\": {round}, \"per_cpu_second\": {rate:.0}}}"
                );
                rates.entry(client).or_default().push(rate);
            }
        }
    }
    control.stop();
    serving.join().expect("the server").expect("the server");
    let of = |client: &str| median(rates.get(client).cloned().unwrap_or_default());
    for (client, _) in CLIENTS {
        let rate = of(client);
        let (epoll, blocking) = (rate / of("bare epoll"), rate / of("blocking, 1 in flight"));
        println!("| {name} | {client} | {rate:.0} | {epoll:.3} | {blocking:.3} |");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Pins the calling thread; a machine with one CPU has nothing to choose.
fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}
