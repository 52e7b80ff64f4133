//! What a second core gives: one pair of client and server threads on CPU 0, against two such pairs on CPUs 0 and 1.
//!
//! `cargo bench --bench cores [-- ROUNDS [CONNECTIONS]]`. A pair is pinned together to one CPU, so that a second pair
//! adds one core and nothing else; each connection's work is the same. The two pairs are one load, divided as the
//! product divides it: two threads, a destination each, and their books merged. Prints wall-clock rates and, since
//! other programs take time from both CPUs, connections per CPU second: where a second pair makes nothing dearer, two
//! cores give twice what one gives.

mod common;

use std::net::SocketAddr;
use std::time::Instant;

use common::report::{Report, figure};
use common::{Exchange, Server, enter_namespace, numbers, pin};
use linger::load::{Clock, Control, Engine, EpollEngine, UringEngine, Work};
use nix::time::{ClockId, clock_gettime};

const ONE: &str = "1 core";
const TWO: &str = "2 cores";

fn work(exchange: Exchange, connections: u64, pairs: usize) -> Work {
    let mut work = exchange.work(connections);
    work.destinations = (0..pairs as u16)
        .map(|pair| SocketAddr::from(([127, 0, 0, 1], 7000 + pair)))
        .collect();
    work.load.in_flight *= pairs as u32;
    work
}

/// CPU seconds of the whole process: clients and servers.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("the process's clock");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

/// Wall-clock and CPU seconds of a load of `connections` by so many pairs.
fn run(engine: &str, exchange: Exchange, connections: u64, pairs: usize) -> (f64, f64) {
    let work = work(exchange, connections, pairs);
    let divided = work.divide(pairs as u32);
    let servers: Vec<Server> = work
        .destinations
        .iter()
        .enumerate()
        .map(|(cpu, destination)| {
            let mut mine = work.clone();
            mine.destinations = vec![*destination];
            Server::start(&mine, cpu)
        })
        .collect();
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let (clock, control) = (Clock::start(), Control::default());
    let mut ok = 0;
    std::thread::scope(|scope| {
        let clients: Vec<_> = divided
            .iter()
            .enumerate()
            .map(|(cpu, work)| {
                let (clock, control) = (&clock, &control);
                scope.spawn(move || {
                    pin(cpu);
                    let mut engine: Box<dyn Engine> = match engine {
                        "uring" => Box::new(UringEngine),
                        _ => Box::new(EpollEngine),
                    };
                    engine.run(work, clock, control).expect("the load runs").tally.ok
                })
            })
            .collect();
        ok = clients.into_iter().map(|client| client.join().expect("a client")).sum();
    });
    assert_eq!(ok, connections);
    let took = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    drop(servers);
    took
}

fn main() {
    let [rounds, connections] = numbers([9, 10_000]);
    enter_namespace();
    let mut report = Report::new(
        "cores",
        "Two cores against one",
        &format!(
            "{rounds} interleaved rounds. One core: a client and a server thread on CPU 0, {connections} connections; two: \
             such a pair on each of CPUs 0 and 1, {} connections. 16 in flight a pair, over loopback. CPU seconds are both \
             ends'. Ratios are medians of the rounds' own.",
            connections * 2
        ),
    );
    report
        .line("| exchange | engine | 1 core, conn/s | 2 cores, conn/s | 2 to 1 by the clock | 2 to 1 by CPU seconds |");
    report.line("|---|---|---:|---:|---:|---:|");
    for (exchange, name) in [Exchange::ALL[0], Exchange::ALL[2]] {
        for engine in ["epoll", "uring"] {
            for round in 0..=rounds {
                for (cores, pairs) in [(ONE, 1), (TWO, 2)] {
                    let connections = connections * pairs as u64;
                    let (seconds, cpu) = run(engine, exchange, connections, pairs);
                    if round > 0 {
                        let keys = [("exchange", name), ("engine", engine), ("cores", cores)];
                        let figures = [
                            ("per_second", connections as f64 / seconds),
                            ("per_cpu_second", connections as f64 / cpu),
                        ];
                        report.round(figure(&keys, round, &figures));
                    }
                }
            }
            let of = [("exchange", name), ("engine", engine)];
            let [one, two] = [ONE, TWO].map(|cores| report.median(&[of[0], of[1], ("cores", cores)], "per_second"));
            let clock = report.ratio_where(&of, "cores", TWO, ONE, "per_second");
            let cpu = 2.0 * report.ratio_where(&of, "cores", TWO, ONE, "per_cpu_second");
            report.line(&format!(
                "| {name} | {engine} | {one:.0} | {two:.0} | {clock:.2} × | {cpu:.2} × |"
            ));
        }
    }
    report.write();
}
