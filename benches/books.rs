//! What linger's own accounting costs: the same loads with and without histograms, timeline, endings and levels of fill.
//!
//! `cargo bench --bench books [-- ROUNDS [CONNECTIONS]]`. Without them an engine still counts attempts and their ends,
//! which its loop needs, and still looks at the clock; what the looks cost that only the books need, three a connection
//! with `epoll`, is measured beside and added. Rounds are interleaved, and the order turns within them.

mod common;

use std::hint::black_box;
use std::time::Instant;

use common::report::{Report, figure};
use common::{Exchange, IN_FLIGHT, Server, enter_namespace, numbers, pin};
use linger::load::{Clock, Control, Engine, EpollEngine, UringEngine};

const KEPT: &str = "kept";
const NOT_KEPT: &str = "not kept";
/// Looks at the clock that only the books need: before connect(), at the handshake's end, and after close().
const LOOKS: f64 = 3.0;

fn run(engine: &str, exchange: Exchange, connections: u64, books: &str) -> f64 {
    let mut work = exchange.work(connections);
    // Also by how full the destination is: everything that a trial could ask for.
    work.tuples_a_pair = Some(28_232);
    let control = match books {
        KEPT => Control::default(),
        _ => Control::without_books(),
    };
    let mut engine: Box<dyn Engine> = match engine {
        "uring" => Box::new(UringEngine),
        _ => Box::new(EpollEngine),
    };
    let measured = engine.run(&work, &Clock::start(), &control).expect("the load runs");
    assert_eq!(measured.tally.ok, connections);
    measured.cpu_seconds / connections as f64 * 1e6
}

/// Nanoseconds of one look at the clock.
fn look() -> f64 {
    const LOOKS: u32 = 10_000;
    let clock = Clock::start();
    let once = || {
        let began = Instant::now();
        for _ in 0..LOOKS {
            black_box(clock.nanos());
        }
        began.elapsed().as_nanos() as f64 / f64::from(LOOKS)
    };
    // The quickest: other programs can only add to it.
    (0..99).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn main() {
    let [rounds, connections] = numbers([31, 3_000]);
    enter_namespace();
    pin(0);
    let look = look();
    let mut report = Report::new(
        "books",
        "What the books cost",
        &format!(
            "{rounds} interleaved rounds of {connections} connections, {IN_FLIGHT} in flight, over loopback, client on \
             CPU 0, server on CPU 1: CPU microseconds of the client's thread for one connection, medians. Ratios are medians \
             of the rounds' own. A look at the clock takes {look:.0} ns; those that only the books need are added in the last \
             column."
        ),
    );
    report.line("| exchange | engine | books kept | not kept | books cost | with the clock |");
    report.line("|---|---|---:|---:|---:|---:|");
    for (exchange, name) in [Exchange::ALL[0], Exchange::ALL[2]] {
        let server = Server::start(&exchange.work(connections), 1);
        for engine in ["epoll", "uring"] {
            for round in 0..=rounds {
                let order = if round % 2 == 0 {
                    [KEPT, NOT_KEPT]
                } else {
                    [NOT_KEPT, KEPT]
                };
                for books in order {
                    let micros = run(engine, exchange, connections, books);
                    if round > 0 {
                        let keys = [("exchange", name), ("engine", engine), ("books", books)];
                        report.round(figure(&keys, round, &[("cpu_us", micros)]));
                    }
                }
            }
            let of = [("exchange", name), ("engine", engine)];
            let [kept, not] = [KEPT, NOT_KEPT].map(|books| report.median(&[of[0], of[1], ("books", books)], "cpu_us"));
            let cost = report.ratio_where(&of, "books", KEPT, NOT_KEPT, "cpu_us") - 1.0;
            // A batch of `uring` is timed by its completions: the clock is looked at once for all of them.
            let looks = if engine == "uring" { 0.0 } else { LOOKS };
            let with_clock = cost + looks * look / 1e3 / not;
            report.line(&format!(
                "| {name} | {engine} | {kept:.2} µs | {not:.2} µs | {:.1} % | {:.1} % |",
                cost * 100.0,
                with_clock * 100.0
            ));
        }
        drop(server);
    }
    report.write();
}
