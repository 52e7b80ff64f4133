//! What the choice of the source port costs: by `connect()` in its range, or by the harness, one port a call (`owned`).
//!
//! `cargo bench --bench ports [-- ROUNDS [MILLISECONDS]]`. First one destination whose client closes gracefully, with
//! tcp_tw_reuse=1 and 20,000 ports, as fast as it goes: what is sustained. `owned` also with a rate that its ports can
//! serve, so that neither has failures and the work is equal. Then a fresh destination, tcp_tw_reuse=0, the default range, filled
//! once and beyond: the connect() call by how full the destination is, and what a failing attempt takes.

mod common;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use common::report::{Report, figure};
use common::{Server, close, enter_namespace, numbers, pin, sysctl, work};
use linger::load::{Clock, Control, Engine, EpollEngine, Measured, Work};
use linger::scenario::spec::{Arrival, Source};
use linger::tcp::{CloseMode, Closer};

/// Ports of the sustained part, and what it may reuse a second (tcp_tw_reuse_delay: each after 1 s).
const SUSTAINED: std::ops::RangeInclusive<u16> = 36_000..=55_999;
/// A little below 20,000 a second: each port is free again when its turn comes.
const EQUAL_RATE: f64 = 19_600.0;
const DEFAULT: std::ops::RangeInclusive<u16> = 32_768..=60_999;

fn one_destination(source: Source, to: SocketAddr, ports: std::ops::RangeInclusive<u16>) -> Work {
    let mut work = work(0);
    work.destinations = vec![to];
    work.close = close(Closer::Client, CloseMode::Graceful);
    work.client.source = source;
    work.sources = vec![[127, 0, 0, 1].into()];
    work.load.connections = None;
    if source == Source::Owned {
        work.ports = ports.collect();
    }
    work
}

fn run(work: &Work) -> (Measured, f64) {
    let began = Instant::now();
    let measured = EpollEngine
        .run(work, &Clock::start(), &Control::default())
        .expect("the load runs");
    (measured, began.elapsed().as_secs_f64())
}

/// A destination that nobody has connected to yet.
struct Destinations(u16);

impl Destinations {
    fn next(&mut self) -> SocketAddr {
        self.0 += 1;
        SocketAddr::from(([127, 1, (self.0 >> 8) as u8, self.0 as u8], 7000))
    }
}

fn main() {
    let [rounds, millis] = numbers([5, 3_000]);
    enter_namespace();
    sysctl("tcp_rfc1337", "1");
    sysctl("tcp_max_tw_buckets", "4000000");
    pin(0);
    let mut report = Report::new(
        "ports",
        "What the choice of the source port costs",
        &format!(
            "{rounds} interleaved rounds, engine epoll, 16 in flight, over loopback, client on CPU 0, server on CPU 1, the \
             client closes with FIN."
        ),
    );
    let mut destinations = Destinations(0);
    sustained(&mut report, &mut destinations, rounds, Duration::from_millis(millis));
    by_fill(&mut report, &mut destinations, rounds);
    report.write();
}

fn sustained(report: &mut Report, destinations: &mut Destinations, rounds: u64, length: Duration) {
    sysctl("tcp_tw_reuse", "1");
    sysctl(
        "ip_local_port_range",
        &format!("{} {}", SUSTAINED.start(), SUSTAINED.end()),
    );
    let variants = [
        ("ephemeral", Source::Ephemeral, None),
        ("owned", Source::Owned, None),
        ("owned at 19,600/s", Source::Owned, Some(EQUAL_RATE)),
    ];
    for round in 1..=rounds {
        for (name, source, rate) in variants {
            let mut work = one_destination(source, destinations.next(), SUSTAINED);
            work.load.duration = Some(length);
            if let Some(rate) = rate {
                work.load.arrival = Arrival::Constant;
                work.load.rate = Some(rate);
            }
            let server = Server::start(&work, 1);
            let (measured, seconds) = run(&work);
            drop(server);
            let figures = [
                ("ok_per_second", measured.tally.ok as f64 / seconds),
                ("ok_per_cpu_second", measured.tally.ok as f64 / measured.cpu_seconds),
                ("failed", measured.tally.failed() as f64),
                (
                    "call_p50_us",
                    measured.connect_call.quantile(0.5).unwrap_or(0) as f64 / 1e3,
                ),
            ];
            report.round(figure(&[("source", name)], round, &figures));
        }
    }
    report.line(&format!(
        "\n## Sustained: one destination, tcp_tw_reuse=1, 20,000 ports, {:.1} s each\n",
        length.as_secs_f64()
    ));
    report
        .line("| source | ok/s | to ephemeral | ok per client CPU second | to ephemeral | failed | p50 of the call |");
    report.line("|---|---:|---:|---:|---:|---:|---:|");
    for (name, ..) in variants {
        let of = [("source", name)];
        let [ok, cpu, failed, call] =
            ["ok_per_second", "ok_per_cpu_second", "failed", "call_p50_us"].map(|figure| report.median(&of, figure));
        let [rate, cost] =
            ["ok_per_second", "ok_per_cpu_second"].map(|figure| report.ratio("source", name, "ephemeral", figure));
        report.line(&format!(
            "| {name} | {ok:.0} | {rate:.2} × | {cpu:.0} | {cost:.2} × | {failed:.0} | {call:.1} µs |"
        ));
    }
}

fn by_fill(report: &mut Report, destinations: &mut Destinations, rounds: u64) {
    const BEYOND: u64 = 3_000;
    sysctl("tcp_tw_reuse", "0");
    sysctl("ip_local_port_range", &format!("{} {}", DEFAULT.start(), DEFAULT.end()));
    let usable = DEFAULT.len() as u64;
    // Beyond half of the range each of connect()'s own searches takes milliseconds: it is not filled to the end.
    let variants = [
        ("owned", Source::Owned, usable + BEYOND),
        ("ephemeral", Source::Ephemeral, usable * 51 / 100),
    ];
    for round in 1..=rounds {
        for (name, source, connections) in variants {
            let mut work = one_destination(source, destinations.next(), DEFAULT);
            work.load.connections = Some(connections);
            work.tuples_a_pair = Some(usable);
            let server = Server::start(&work, 1);
            let (measured, _) = run(&work);
            drop(server);
            let steps = measured.by_fill.as_ref().expect("the level is known").steps();
            let p50 = |step: usize| {
                steps[step]
                    .ok
                    .quantile(0.5)
                    .map_or(f64::NAN, |nanos| nanos as f64 / 1e3)
            };
            let failed = measured
                .connect_failed
                .quantile(0.5)
                .map_or(f64::NAN, |nanos| nanos as f64 / 1e3);
            let figures = [
                ("ok", measured.tally.ok as f64),
                ("at_5_us", p50(1)),
                ("at_45_us", p50(9)),
                ("at_50_us", p50(10)),
                ("at_90_us", p50(18)),
                ("at_95_us", p50(19)),
                ("fails_us", failed),
            ];
            report.round(figure(&[("filled by", name)], round, &figures));
        }
    }
    report.line(&format!(
        "\n## By how full the destination is: tcp_tw_reuse=0, {usable} ports, p50 of the connect() call\n"
    ));
    report.line("| source | 5 to 10 % | 45 to 50 % | 50 to 55 % | 90 to 95 % | 95 to 100 % | 90 % to 5 % | a failing attempt | ok |");
    report.line("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for (name, ..) in variants {
        let of = [("filled by", name)];
        let figure = |figure| report.median(&of, figure);
        let cell = |figure: f64| {
            if figure.is_nan() {
                "–".to_owned()
            } else {
                format!("{figure:.1} µs")
            }
        };
        let ratio = figure("at_90_us") / figure("at_5_us");
        let line = format!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {:.0} |",
            cell(figure("at_5_us")),
            cell(figure("at_45_us")),
            cell(figure("at_50_us")),
            cell(figure("at_90_us")),
            cell(figure("at_95_us")),
            if ratio.is_nan() {
                "–".to_owned()
            } else {
                format!("{ratio:.2} ×")
            },
            cell(figure("fails_us")),
            figure("ok")
        );
        report.line(&line);
    }
}
