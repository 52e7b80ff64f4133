//! How late attempts begin at half of what the engine can do.
//!
//! `cargo bench --bench lag [-- ROUNDS [MILLISECONDS]]`. Each round first finds the most that this placement of client and
//! server does (arrival `max`), then offers half of it at a constant rate and reads the lag of each attempt: from its
//! intended start to the moment before its first system call. With a free core: client and server on a CPU each, hybrid
//! pacing; without: both on CPU 0, timer pacing.

mod common;

use std::time::{Duration, Instant};

use common::report::{Report, figure};
use common::{Server, enter_namespace, numbers, pin, work};
use linger::load::{Clock, Control, Engine, EpollEngine, Measured, Pacing};
use linger::scenario::spec::Arrival;

/// What the round's maximum is found with.
const PROBE: u64 = 4_000;

struct Placement {
    name: &'static str,
    server_cpu: usize,
    pacing: Pacing,
}

const PLACEMENTS: [Placement; 2] = [
    Placement {
        name: "a core each, hybrid",
        server_cpu: 1,
        pacing: Pacing::Hybrid,
    },
    Placement {
        name: "one core for both, timer",
        server_cpu: 0,
        pacing: Pacing::Timer,
    },
];

fn run(work: &linger::load::Work) -> Measured {
    EpollEngine
        .run(work, &Clock::start(), &Control::default())
        .expect("the load runs")
}

/// The most per second, what was offered, and the load at half of it.
fn half_of_max(placement: &Placement, length: Duration) -> (f64, Measured) {
    let mut work = work(PROBE);
    work.pacing = placement.pacing;
    let server = Server::start(&work, placement.server_cpu);
    let began = Instant::now();
    run(&work);
    let most = PROBE as f64 / began.elapsed().as_secs_f64();
    work.load.arrival = Arrival::Constant;
    work.load.rate = Some(most / 2.0);
    work.load.connections = None;
    work.load.duration = Some(length);
    work.load.in_flight = 1_000;
    let measured = run(&work);
    drop(server);
    (most, measured)
}

fn main() {
    let [rounds, millis] = numbers([15, 1_000]);
    enter_namespace();
    pin(0);
    let mut report = Report::new(
        "lag",
        "How late attempts begin at half of the maximum",
        &format!(
            "{rounds} interleaved rounds of {millis} ms each, connect + RST over loopback, engine epoll, one client thread. \
             Medians of the rounds' own figures; the lowest p99 of a round is the one that other programs disturbed least."
        ),
    );
    for round in 1..=rounds {
        for placement in &PLACEMENTS {
            let (most, measured) = half_of_max(placement, Duration::from_millis(millis));
            let lag = |q| measured.lag.quantile(q).map_or(f64::NAN, |nanos| nanos as f64 / 1e3);
            let figures = [
                ("max_per_second", most),
                ("attempted", measured.tally.attempted as f64),
                ("not_offered", measured.not_offered as f64),
                ("lag_p50_us", lag(0.5)),
                ("lag_p90_us", lag(0.9)),
                ("lag_p99_us", lag(0.99)),
            ];
            report.round(figure(&[("placement", placement.name)], round, &figures));
        }
    }
    report.line("| client and server on | rate offered | p50 lag | p90 | p99 | lowest p99 |");
    report.line("|---|---:|---:|---:|---:|---:|");
    for placement in &PLACEMENTS {
        let of = [("placement", placement.name)];
        let [most, p50, p90, p99] =
            ["max_per_second", "lag_p50_us", "lag_p90_us", "lag_p99_us"].map(|figure| report.median(&of, figure));
        let lowest = report.lowest(&of, "lag_p99_us");
        report.line(&format!(
            "| {} | {:.0}/s | {p50:.2} µs | {p90:.1} µs | {p99:.0} µs | {lowest:.1} µs |",
            placement.name,
            most / 2.0
        ));
    }
    report.write();
}
