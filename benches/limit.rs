//! How far the engines are from the limit: connections per client CPU second, against loops of bare system calls.
//!
//! `cargo bench --bench limit [-- ROUNDS [CONNECTIONS]]`. Everything runs over loopback in a network namespace of its
//! own. Client and server are pinned to the first two CPUs; the variants take turns within each round, so that what
//! else the machine does falls on all alike.

mod bare;
mod common;

use common::report::{Report, figure};
use common::{DESTINATION, Exchange, IN_FLIGHT, Server, enter_namespace, numbers, pin};
use linger::load::{Clock, Control, Engine, EpollEngine, UringEngine, Work};

/// A client: makes so many connections and gives the CPU seconds of its thread.
type Client = (&'static str, fn(Exchange, u64) -> Option<f64>);

const BLOCKING: &str = "blocking loop, 1 in flight";
const BARE: &str = "bare epoll loop";
const CLIENTS: [Client; 6] = [
    (BLOCKING, |exchange, n| Some(bare::blocking(exchange, DESTINATION, n))),
    ("the same, non-blocking, connect() called twice", |exchange, n| {
        (exchange == Exchange::Reset).then(|| bare::asking_twice(DESTINATION, n))
    }),
    (BARE, |exchange, n| {
        Some(bare::epoll(exchange, DESTINATION, n, IN_FLIGHT as usize, &[0]))
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
    let [rounds, connections] = numbers([9, 5_000]);
    enter_namespace();
    pin(0);
    let mut report = Report::new(
        "limit",
        "linger against loops of bare system calls",
        &format!(
            "{rounds} interleaved rounds of {connections} connections, {IN_FLIGHT} in flight, over loopback, client on \
             CPU 0, the built-in server on CPU 1. Rates are medians of connections per CPU second of the client's thread; \
             ratios are medians of the rounds' own."
        ),
    );
    report.line("| exchange | client | per client CPU second | to the bare epoll loop | to the blocking loop |");
    report.line("|---|---|---:|---:|---:|");
    for (exchange, name) in Exchange::ALL {
        let server = Server::start(&exchange.work(connections), 1);
        for round in 0..=rounds {
            for (client, run) in CLIENTS {
                // The first round only warms the caches up.
                if let Some(seconds) = run(exchange, connections)
                    && round > 0
                {
                    let keys = [("exchange", name), ("client", client)];
                    report.round(figure(
                        &keys,
                        round,
                        &[("per_cpu_second", connections as f64 / seconds)],
                    ));
                }
            }
        }
        drop(server);
        for (client, _) in CLIENTS {
            let of = [("exchange", name)];
            let rate = report.median(&[("exchange", name), ("client", client)], "per_cpu_second");
            if rate.is_nan() {
                continue;
            }
            let [epoll, blocking] =
                [BARE, BLOCKING].map(|bare| report.ratio_where(&of, "client", client, bare, "per_cpu_second"));
            report.line(&format!(
                "| {name} | {client} | {rate:.0} | {epoll:.3} | {blocking:.3} |"
            ));
        }
    }
    report.write();
}
