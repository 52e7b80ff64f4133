//! Records for tests: what runs on a real lab gave, with round figures.

mod exec;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::json;

use super::histogram::LatencyHistogram;
use super::schema::*;

pub(crate) use exec::exec;

/// The ports of the default range 32768–60999.
const PORTS: u64 = 28_232;
/// Attempts beyond them.
const REFUSED: u64 = 1_768;

/// 30,000 connections to one destination, the client closing: 28,232 succeed, the rest find no port.
pub(crate) fn exhaustion() -> Record {
    // Made once: four histograms of 30,000 values take their time in an unoptimised build.
    static EXHAUSTION: LazyLock<Record> = LazyLock::new(measured);
    EXHAUSTION.clone()
}

fn measured() -> Record {
    Record {
        schema: SCHEMA.into(),
        linger: Linger {
            version: "0.1.0".into(),
        },
        started_at: "2026-11-22T09:12:44Z".into(),
        took_seconds: Some(21.9),
        scenario: scenario(),
        cell: BTreeMap::new(),
        repeat: 1,
        interrupted: false,
        environment: environment(),
        prediction: Some(Prediction {
            usable_ports: PORTS,
            capacity: Some(PORTS),
            hold_seconds: 60.0,
            sustained_per_second: Some(470.533),
            first_failure_at: None,
            first_failure_attempt: Some(PORTS + 1),
            undetermined: None,
            pool: None,
            because: vec![
                "ip_local_port_range 32768 60999 holds 28232 ports, none of them reserved".into(),
                "the client closes first, so its side keeps each four-tuple for 60 s of TIME_WAIT".into(),
                "tcp_tw_reuse is 0: no port is taken again before that".into(),
            ],
        }),
        residual: Some(Residual {
            capacity: Some(0),
            first_failure_seconds: None,
            first_failure_attempt: Some(0),
            sustained_per_second: None,
            churn_per_second: None,
        }),
        load: None,
        fill: None,
        pool: None,
        offered: Some(Offered {
            planned: Some(PORTS + REFUSED),
            attempted: PORTS + REFUSED,
            not_offered: 0,
        }),
        requests: None,
        server_program: None,
        outcomes: Some(Outcomes {
            ok: PORTS,
            failed_total: REFUSED,
            connected: PORTS,
            failed: vec![Failed {
                phase: "connect".into(),
                errno: "EADDRNOTAVAIL".into(),
                count: REFUSED,
                first_at_seconds: 18.412,
                first_attempt: PORTS + 1,
            }],
        }),
        exec: None,
        closings: None,
        connects: None,
        server: Some(ServerSide {
            accepted: PORTS,
            closed_by_peer: PORTS,
            ..ServerSide::default()
        }),
        latency: Some(latencies()),
        rates: Some(Rates {
            load_seconds: 21.6,
            attempts_per_second: 1_388.9,
            ok_per_second: 1_307.0,
            client_cpu_seconds: 20.91,
            server_cpu_seconds: 1.34,
            threads: [("client-0".into(), 20.91), ("server".into(), 1.34)].into(),
        }),
        time_wait: Some(TimeWait {
            client: PeakEnd {
                peak: PORTS,
                end: PORTS,
            },
            server: PeakEnd::default(),
            lifetime_seconds: None,
            sides: None,
            no_sides: None,
            overdue: Overdue::default(),
            source: "sock_diag".into(),
        }),
        port_reuse_seconds: None,
        counters: Some(Counters {
            client: [("ActiveOpens".into(), PORTS as i64), ("TW".into(), 0)].into(),
            server: [("PassiveOpens".into(), PORTS as i64)].into(),
        }),
        slab: None,
        memory: None,
        observation: Some(Observation {
            cpu_seconds: 0.141,
            share_of_core: 0.0065,
            sockstat_samples: 432,
            socket_dumps: 22,
            longest_gap_seconds: 1.021,
            source: "sock_diag".into(),
            looks: BTreeMap::new(),
            last_look: None,
            trouble: None,
        }),
        timeline: timeline(),
        steps: vec![],
        captured: BTreeMap::new(),
        segments: vec![],
        ledger: Some(ledger()),
        verdict: Verdict {
            status: Status::Met,
            reasons: vec![],
            expectations: vec![
                Judged {
                    that: "outcomes.ok == prediction.capacity".into(),
                    at: "catalogue:exhaustion:31 expect[0].that".into(),
                    status: Some(Status::Met),
                    expected: Some("== 28232".into()),
                    actual: Some("28232".into()),
                    note: None,
                },
                Judged {
                    that: "outcomes.failed.all(f, f.phase == 'connect' && f.errno == 'EADDRNOTAVAIL')".into(),
                    at: "catalogue:exhaustion:34 expect[1].that".into(),
                    status: Some(Status::Met),
                    expected: None,
                    actual: None,
                    note: None,
                },
            ],
        },
        claim: None,
    }
}

/// Two closers × two repeats of a small range; the second cell has no limit.
pub(crate) fn active_closer() -> Vec<Record> {
    let mut records = Vec::new();
    for closer in ["client", "server"] {
        for repeat in [1, 2] {
            let mut record = exhaustion();
            record.scenario["id"] = json!("active-closer-holds");
            record.scenario["claim"] = json!("only the active closer holds TIME_WAIT");
            record.cell = [
                ("close.closer".to_owned(), json!(closer)),
                ("load.in_flight".to_owned(), json!(16)),
            ]
            .into();
            record.scenario["close"]["closer"] = json!(closer);
            record.repeat = repeat;
            record.verdict.expectations.truncate(1);
            if closer == "server" {
                unlimited(&mut record);
            }
            records.push(record);
        }
    }
    records[3].verdict = Verdict {
        status: Status::Unmet,
        reasons: vec![],
        expectations: vec![Judged {
            that: "time_wait.client.peak == 0 && outcomes.failed_total == 0".into(),
            at: "catalogue:active-closer-holds:40 expect[1].that".into(),
            status: Some(Status::Unmet),
            expected: Some("== 0".into()),
            actual: Some("3".into()),
            note: Some("`time_wait.client.peak == 0` does not hold".into()),
        }],
    };
    records
}

/// The same with a range of so many ports.
pub(crate) fn of_ports(mut record: Record, ports: u64) -> Record {
    record.prediction.as_mut().unwrap().capacity = Some(ports);
    record.outcomes.as_mut().unwrap().ok = ports;
    record.time_wait.as_mut().unwrap().client = PeakEnd {
        peak: ports,
        end: ports,
    };
    record
}

/// The server holds TIME_WAIT: nothing limits the client.
fn unlimited(record: &mut Record) {
    let prediction = record.prediction.as_mut().unwrap();
    (prediction.capacity, prediction.sustained_per_second) = (None, None);
    prediction.first_failure_attempt = None;
    prediction.because = vec!["the server closes first, so no port of the client's stays taken".into()];
    record.residual = Some(Residual::default());
    record.outcomes = Some(Outcomes {
        ok: 30_000,
        failed_total: 0,
        connected: 30_000,
        failed: vec![],
    });
    let time_wait = record.time_wait.as_mut().unwrap();
    std::mem::swap(&mut time_wait.client, &mut time_wait.server);
    record.latency.as_mut().unwrap().connect_failed = None;
    for point in &mut record.timeline {
        point.ok += std::mem::take(&mut point.failed).into_values().sum::<u64>();
        std::mem::swap(&mut point.time_wait_client, &mut point.time_wait_server);
    }
}

/// A trial that could not begin.
pub(crate) fn unavailable() -> Record {
    Record {
        prediction: None,
        residual: None,
        load: None,
        fill: None,
        offered: None,
        outcomes: None,
        requests: None,
        server_program: None,
        server: None,
        exec: None,
        closings: None,
        connects: None,
        latency: None,
        rates: None,
        time_wait: None,
        counters: None,
        observation: None,
        timeline: vec![],
        steps: vec![],
        captured: BTreeMap::new(),
        segments: vec![],
        ledger: None,
        verdict: Verdict {
            status: Status::Unavailable,
            reasons: vec!["net.ipv4.tcp_tw_reuse_delay does not exist on this kernel; it came with Linux 6.14".into()],
            expectations: vec![],
        },
        ..exhaustion()
    }
}

fn scenario() -> serde_json::Value {
    json!({
        "id": "exhaustion",
        "claim": "connect() gives EADDRNOTAVAIL once every port of ip_local_port_range is in TIME_WAIT or ESTABLISHED for one destination",
        "sources": ["Sejima 2017, slide 11", "Bernat 2014"],
        "origin": "catalogue",
        "cell": {}, "repeat": 1,
        "lab": {"topology": "pair", "family": "ipv4"},
        "server": {"listen": true, "addresses": 1, "ports": 1, "protocol": "none", "backlog": 4096, "accept_delay": 0.0},
        "client": {"addresses": 1, "source": "ephemeral", "port_range": null, "order": "round-robin"},
        "close": {"closer": "client", "mode": "graceful", "linger_seconds": null},
        "load": {
            "arrival": "max", "rate": null, "in_flight": 16, "connections": 30_000, "duration": null,
            "requests_per_connection": 0, "request_bytes": 1, "response_bytes": 1,
            "hold": 0.0, "connect_timeout": 10.0, "io_timeout": 10.0, "seed": 1
        },
        "sysctl": {"client": {"net.ipv4.tcp_tw_reuse": "0"}, "server": {}},
        "observe": {"tuples": false, "after": 0.0},
        "expect": []
    })
}

fn environment() -> Environment {
    let sysctls = |reuse: &str| {
        [
            ("net.ipv4.ip_local_port_range", "32768 60999"),
            ("net.ipv4.tcp_tw_reuse", reuse),
            ("net.ipv4.tcp_timestamps", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    };
    Environment {
        kernel: "6.18.44".into(),
        machine: "x86_64".into(),
        cpus: 2,
        lab: "pair, user namespace".into(),
        virtual_machine: Some(true),
        hz: Some(250),
        clock_source: Some("tsc".into()),
        clock_step_ns: Some(41),
        clock: Clock::Real,
        emulated: false,
        sysctl: SideSysctls {
            client: sysctls("0"),
            server: sysctls("2"),
            global: vec![],
        },
    }
}

/// Half of the ports are found at once, the other half after a search, the rest not at all.
fn latencies() -> Latencies {
    let of = |parts: &[(u64, u64, u64)]| {
        let mut histogram = LatencyHistogram::default();
        for (count, from, to) in parts {
            for step in 0..*count {
                histogram.record(from + (to - from) * step / count);
            }
        }
        histogram.summary()
    };
    let (fast, slow) = ((14_116, 18_000, 60_000), (14_116, 600_000, 2_900_000));
    Latencies {
        connect: of(&[fast, slow]),
        connect_call: of(&[(14_116, 5_000, 20_000), slow, (REFUSED, 1_500_000, 3_800_000)]),
        connect_call_by_fill: vec![],
        session: of(&[(14_116, 40_000, 110_000), (14_116, 640_000, 3_100_000)]),
        from_intended_start: None,
        connect_failed: of(&[(REFUSED, 1_500_000, 3_800_000)]),
        lag: None,
    }
}

/// 0.2 s a point: a burst, the search for the second half, then failure.
fn timeline() -> Vec<TimelinePoint> {
    let (mut ok_left, mut failed_left, mut taken) = (PORTS, REFUSED, 0);
    (0..108)
        .map(|index| {
            let ok = if index < 3 { 4_700 } else { 184 - (index - 3) / 2 }.min(ok_left);
            ok_left -= ok;
            taken += ok;
            let failed = if index < 92 { 0 } else { 112.min(failed_left) };
            failed_left -= failed;
            TimelinePoint {
                t: index as f64 * 0.2,
                ok,
                failed: (failed > 0)
                    .then(|| ("connect:EADDRNOTAVAIL".to_owned(), failed))
                    .into_iter()
                    .collect(),
                time_wait_client: Some(taken),
                time_wait_server: Some(0),
                open: None,
                p99_us: (ok > 0).then_some(2_500.0),
            }
        })
        .collect()
}

fn ledger() -> Ledger {
    let ports = PORTS as i64;
    let row = |name: &str, ours_is: &str, kernel_is: &str, value: i64| LedgerRow {
        name: name.into(),
        ours: value,
        ours_is: ours_is.into(),
        kernel: Some(value),
        kernel_is: kernel_is.into(),
        tolerance: 0,
        balanced: true,
        note: None,
    };
    Ledger {
        balanced: true,
        rows: vec![
            row(
                "client opens",
                "connect() begun that found a port",
                "client ActiveOpens",
                ports,
            ),
            row("server opens", "accept() succeeded", "server PassiveOpens", ports),
            row("client TIME_WAIT", "graceful closes by the client", "client tw", ports),
            row("server TIME_WAIT", "graceful closes by the server", "server tw", 0),
        ],
        unsettled: None,
    }
}
