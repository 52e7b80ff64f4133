//! What the books of one connection cost, and the pacer: the pure parts on the client's path.
//!
//! `cargo bench --bench pure`

use std::hint::black_box;
use std::time::Duration;

use divan::Bencher;
use linger::load::Pacer;
use linger::record::histogram::LatencyHistogram;
use linger::record::tally::{Cause, First, Phase, Tally};
use linger::record::timeline::Timeline;
use linger::scenario::plan::LoadPlan;
use linger::scenario::spec::Arrival;

fn main() {
    divan::main();
}

fn plan(arrival: Arrival) -> LoadPlan {
    LoadPlan {
        kind: Default::default(),
        requests: None,
        arrival,
        rate: (arrival != Arrival::Max).then_some(100_000.0),
        in_flight: 16,
        connections: None,
        duration: None,
        requests_per_connection: 0,
        request_bytes: 1,
        response_bytes: 1,
        hold: Duration::ZERO,
        connect_timeout: Duration::from_secs(10),
        io_timeout: Duration::from_secs(10),
        seed: 1,
        threads: None,
    }
}

#[divan::bench(args = ["constant", "poisson"])]
fn pacer_next(bencher: Bencher<'_, '_>, arrival: &str) {
    let arrival = if arrival == "poisson" {
        Arrival::Poisson
    } else {
        Arrival::Constant
    };
    let mut pacer = Pacer::new(&plan(arrival));
    bencher.bench_local(|| black_box(pacer.next()));
}

#[divan::bench]
fn histogram_record(bencher: Bencher<'_, '_>) {
    let (mut histogram, mut value) = (LatencyHistogram::default(), 5_000);
    bencher.bench_local(|| {
        value = (value * 7 + 13) % 100_000;
        histogram.record(black_box(value));
    });
}

#[divan::bench]
fn tally_fail(bencher: Bencher<'_, '_>) {
    let mut tally = Tally::default();
    let first = First { at: 1, attempt: 1 };
    bencher.bench_local(|| tally.fail(black_box(Phase::Connect), Cause::Errno(99), first));
}

#[divan::bench]
fn timeline_ok(bencher: Bencher<'_, '_>) {
    let (mut timeline, mut at) = (Timeline::default(), 0);
    bencher.bench_local(|| {
        at += 10_000;
        timeline.ok(black_box(at), 6_000);
    });
}
