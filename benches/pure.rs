//! What the books of one connection cost, the pacer, and a look at the clock: the parts on the client's path that are not
//! the kernel's.
//!
//! `cargo bench --bench pure`

use std::hint::black_box;

use divan::Bencher;
use linger::load::{Clock, Pacer};
use linger::record::histogram::LatencyHistogram;
use linger::record::tally::{Cause, First, Phase, Tally};
use linger::record::timeline::Timeline;
use linger::scenario::plan::{LoadPlan, TrialPlan};
use linger::scenario::spec::Arrival;

fn main() {
    divan::main();
}

fn plan(arrival: Arrival) -> LoadPlan {
    let plan = include_str!("../tests/fixtures/plan.json");
    let plan: TrialPlan = serde_json::from_str(plan).expect("the plan of the tests is one");
    LoadPlan {
        arrival,
        rate: (arrival != Arrival::Max).then_some(100_000.0),
        connections: None,
        ..plan.load
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

#[divan::bench]
fn clock_look(bencher: Bencher<'_, '_>) {
    let clock = Clock::start();
    bencher.bench_local(|| black_box(clock.nanos()));
}
