//! Comparison through its public face: what is told, what is refused, and how often a gate cries wolf.

mod records;

use std::collections::BTreeSet;

use linger::judge::compare::comparable::Class;
use linger::judge::compare::{Change, CompareError, Compared, Comparison, Options, compare};
use linger::record::schema::{Record, Status};
use records::{json, record, with_p99};
use serde_json::{Value, json};

const P99: &str = "latency.connect.p99_us";

fn options(fail_if: &[&str]) -> Options {
    Options {
        limits: fail_if.iter().map(|text| text.parse().unwrap()).collect(),
        ..Options::default()
    }
}

fn no_cel(_: &Record, _: &str) -> Result<bool, String> {
    panic!("no condition was asked for")
}

fn compared(base: &[Record], new: &[Record], options: &Options) -> Comparison {
    compare(base, new, options, &no_cel).unwrap()
}

fn metric<'c>(comparison: &'c Comparison, name: &str) -> &'c Compared {
    comparison.groups[0]
        .metrics
        .iter()
        .find(|metric| metric.metric == name)
        .unwrap()
}

/// Log-normal noise, by Box and Muller over a fixed linear congruential sequence.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn values(&mut self, n: usize, median: f64, sigma: f64) -> Vec<f64> {
        let mut normal = || (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos();
        (0..n).map(|_| median * (sigma * normal()).exp()).collect()
    }
}

/// Changed records of base's figures.
fn five(change: impl Fn(&mut Value)) -> Vec<Record> {
    let one = |repeat| {
        let mut json = json(repeat);
        change(&mut json);
        record(json)
    };
    (1..=5).map(one).collect()
}

#[test]
fn the_same_build_against_itself_twenty_times_gives_no_more_than_one_false_alarm() {
    let mut noise = Noise(7);
    // The hardest limit there is: any rise at all, with no room for noise.
    let options = options(&["latency.connect.p99_us > 1.0"]);
    for (sigma, repeats) in [(0.02, 5), (0.10, 9), (0.50, 5)] {
        let alarms = (0..20)
            .map(|_| [(); 2].map(|()| with_p99(&noise.values(repeats, 80.0, sigma))))
            .filter(|[base, new]| compared(base, new, &options).exit_code() == 3)
            .count();
        assert!(
            alarms <= 1,
            "{alarms} false alarms of 20 at noise {sigma}, {repeats} repeats"
        );
    }
}

#[test]
fn counts_that_are_the_same_keep_their_limit_and_a_little_noise_does_not_hinder_it() {
    let mut noise = Noise(5);
    let options = options(&["latency.connect.p99_us > 1.10", "time_wait.client.peak > 1.10"]);
    let inconclusive = (0..20)
        .map(|_| [(); 2].map(|()| with_p99(&noise.values(6, 80.0, 0.02))))
        .filter(|[base, new]| compared(base, new, &options).exit_code() != 0)
        .count();
    assert!(inconclusive <= 1, "{inconclusive} of 20 at 2 % of noise");
    let comparison = compared(&with_p99(&[80.0; 6]), &with_p99(&[80.0; 6]), &options);
    assert_eq!(comparison.exit_code(), 0);
    assert_eq!(comparison.limits[0].why, "the whole interval is within the limit");
    // One connection more, once, is within ten per cent of eight.
    let new = vec![8.0, 8.0, 9.0, 8.0, 8.0, 8.0];
    let comparison = compared(&with_p99(&[8.0; 6]), &with_p99(&new), &options);
    assert_eq!(comparison.exit_code(), 0, "{:#?}", comparison.limits);
}

#[test]
fn what_half_of_the_runs_break_is_never_a_pass() {
    let flaky = [200.0, 1.0, 200.0, 1.0, 200.0, 1.0, 200.0, 1.0, 200.0, 1.0];
    let gate = options(&["latency.connect.p99_us > 1.10"]);
    let comparison = compared(&with_p99(&[1.0; 10]), &with_p99(&flaky), &gate);
    assert_eq!(comparison.exit_code(), 5);
    assert_eq!(
        comparison.limits[0].why,
        "5 of 10 new repeats are beyond the limit; 1000 or more repeats a side would tell"
    );
    // The metric's row says the same.
    let row = metric(&comparison, P99);
    assert_eq!(
        (row.interval, row.repeats_needed),
        (comparison.limits[0].interval, comparison.limits[0].repeats_needed)
    );
    // The other way about: what was flaky before says nothing of new.
    let comparison = compared(&with_p99(&flaky), &with_p99(&[200.0; 10]), &gate);
    assert_eq!(comparison.exit_code(), 5, "{:#?}", comparison.limits);
}

#[test]
fn noise_that_hides_any_change_is_inconclusive_and_limit_and_row_show_the_same() {
    let mut noise = Noise(3);
    let gate = options(&["latency.connect.p99_us > 1.10", "outcomes.ok < 0.99"]);
    for _ in 0..20 {
        let [base, new] = [(); 2].map(|()| with_p99(&noise.values(6, 80.0, 1.0)));
        let comparison = compared(&base, &new, &gate);
        let (limit, row) = (&comparison.limits[0], metric(&comparison, P99));
        // A new that came out much better by chance is within the limit in truth.
        if limit.status == Status::Met {
            assert!(limit.ratio.unwrap() < 0.6, "{limit:#?}");
            continue;
        }
        assert_eq!(limit.status, Status::Inconclusive);
        assert_eq!(
            (limit.interval, limit.repeats_needed),
            (row.interval, row.repeats_needed)
        );
        assert_eq!(comparison.limits[1].status, Status::Met);
    }
}

#[test]
fn a_limit_just_crossed_is_hardly_ever_passed() {
    let mut noise = Noise(17);
    let gate = options(&["latency.connect.p99_us > 1.10"]);
    let passed = (0..100)
        .map(|_| {
            (
                with_p99(&noise.values(8, 80.0, 0.2)),
                with_p99(&noise.values(8, 88.8, 0.2)),
            )
        })
        .filter(|(base, new)| compared(base, new, &gate).exit_code() == 0)
        .count();
    assert!(passed <= 9, "{passed} of 100 passed");
}

#[test]
fn a_rise_of_a_third_under_three_per_cent_of_noise_fails_each_time() {
    let mut noise = Noise(11);
    for _ in 0..20 {
        let (base, new) = (
            with_p99(&noise.values(5, 80.0, 0.03)),
            with_p99(&noise.values(5, 107.0, 0.03)),
        );
        let comparison = compared(&base, &new, &options(&["latency.connect.p99_us > 1.10"]));
        assert_eq!(comparison.exit_code(), 3, "{:?}", comparison.limits);
        assert_eq!(metric(&comparison, P99).verdict, Change::Worse);
    }
}

#[test]
fn a_pool_that_opens_a_connection_a_request_fails_the_gate() {
    let base = five(|record| record["time_wait"]["client"]["peak"] = json!(8));
    let new = five(|_| {});
    let comparison = compared(&base, &new, &options(&["time_wait.client.peak > 1.5"]));
    assert_eq!(comparison.exit_code(), 3);
    assert_eq!(metric(&comparison, "time_wait.client.peak").ratio, Some(250.0));
    assert_eq!(metric(&comparison, "outcomes.ok").verdict, Change::Same);
}

#[test]
fn failures_where_there_were_none_are_infinitely_more() {
    let new = five(|record| record["outcomes"]["failed_total"] = json!(17));
    let comparison = compared(&five(|_| {}), &new, &options(&["outcomes.failed_total > 1.10"]));
    assert_eq!(comparison.exit_code(), 3);
    let failed = metric(&comparison, "outcomes.failed_total");
    assert_eq!((failed.verdict, failed.ratio), (Change::Worse, None));
    assert_eq!(
        serde_json::to_value(&comparison).unwrap()["groups"][0]["metrics"][1]["interval"]["low"],
        Value::Null
    );
}

#[test]
fn too_few_repeats_are_inconclusive_and_say_how_many_it_takes() {
    let comparison = compared(
        &with_p99(&[80.0; 3]),
        &with_p99(&[800.0; 3]),
        &options(&["latency.connect.p99_us > 1.1"]),
    );
    assert_eq!(comparison.exit_code(), 5);
    // 1/C(10,5) = 1/252 is the first below half a hundredth
    assert_eq!(comparison.limits[0].repeats_needed, Some(5));
    assert_eq!(
        comparison.limits[0].why,
        "3 and 3 repeats cannot tell; at least 5 a side can"
    );
    assert_eq!(metric(&comparison, P99).verdict, Change::Inconclusive);
    assert_eq!(metric(&comparison, P99).repeats_needed, Some(5));
}

#[test]
fn without_limits_nothing_fails_but_nothing_told_is_inconclusive() {
    let worse = compared(&with_p99(&[80.0; 5]), &with_p99(&[800.0; 5]), &options(&[]));
    assert_eq!((worse.exit_code(), metric(&worse, P99).verdict), (0, Change::Worse));
    assert_eq!(
        compared(&with_p99(&[80.0]), &with_p99(&[80.0]), &options(&[])).exit_code(),
        5
    );
}

#[test]
fn more_limits_share_one_error_and_need_more_repeats() {
    let (base, new) = (with_p99(&[80.0; 5]), with_p99(&[800.0; 5]));
    let two = options(&["latency.connect.p99_us > 1.1", "outcomes.ok < 0.99"]);
    let comparison = compared(&base, &new, &two);
    // 0.005 / 2 < 1/252; 1/C(12,6) = 1/924
    assert_eq!(comparison.exit_code(), 5);
    assert_eq!(comparison.limits[0].repeats_needed, Some(6));
    let comparison = compared(&with_p99(&[80.0; 6]), &with_p99(&[800.0; 6]), &two);
    assert_eq!(comparison.exit_code(), 3);
    assert_eq!(comparison.limits[1].status, Status::Met);
}

#[test]
fn a_metric_that_no_record_has_is_inconclusive_and_its_nearest_name_is_told() {
    let comparison = compared(&five(|_| {}), &five(|_| {}), &options(&["latency.conect.p99_us > 1.1"]));
    assert_eq!(comparison.exit_code(), 5);
    assert_eq!(
        comparison.limits[0].why,
        "no record has latency.conect.p99_us; the nearest metric is latency.connect.p99_us"
    );
}

#[test]
fn a_metric_that_one_side_lacks_is_inconclusive_and_shown() {
    let new = five(|record| record["latency"]["connect"] = Value::Null);
    let comparison = compared(&five(|_| {}), &new, &options(&["latency.connect.p99_us > 1.1"]));
    assert_eq!(comparison.limits[0].why, "no record of new has latency.connect.p99_us");
    assert_eq!(metric(&comparison, P99).verdict, Change::Inconclusive);
    assert_eq!(metric(&comparison, P99).repeats_needed, None);
}

#[test]
fn a_condition_on_new_records_fails_when_it_is_true_of_any() {
    let gate = options(&["new: outcomes.failed_total > 0"]);
    let judge = |evaluate: &dyn Fn(&Record, &str) -> Result<bool, String>| {
        let comparison = compare(&five(|_| {}), &five(|_| {}), &gate, evaluate).unwrap();
        (comparison.exit_code(), comparison.limits[0].why.clone())
    };
    assert_eq!(
        judge(&|record, _| Ok(record.repeat == 3)),
        (3, "true of 1 of 5 new records".into())
    );
    assert_eq!(judge(&|_, _| Ok(false)), (0, "false of all 5 new records".into()));
    let half = |record: &Record, _: &str| {
        if record.repeat > 2 {
            Err("it is missing".into())
        } else {
            Ok(false)
        }
    };
    assert_eq!(judge(&half), (5, "it is missing".into()));
}

#[test]
fn another_kernel_is_refused_until_allowed_and_then_is_the_heading() {
    let new = five(|record| {
        record["environment"]["kernel"] = json!("6.1.0");
        record["environment"]["hz"] = json!(1000);
        record["environment"]["sysctl"]["client"]["net.ipv4.tcp_tw_reuse_delay"] = json!("1000");
    });
    let error = compare(&five(|_| {}), &new, &options(&[]), &no_cel).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("kernel: environment.kernel: base 6.18.44, new 6.1.0"),
        "{told}"
    );
    assert!(
        told.contains("base absent, new 1000") && told.ends_with("--allow kernel"),
        "{told}"
    );
    let allow = BTreeSet::from([Class::Kernel]);
    let comparison = compared(&five(|_| {}), &new, &Options { allow, ..options(&[]) });
    assert_eq!(comparison.heading.as_deref(), Some("kernel 6.18.44 against 6.1.0"));
    assert_eq!(comparison.differences.len(), 3);
}

#[test]
fn an_emulators_times_are_not_compared_with_real_ones_and_its_counts_are() {
    let new = five(|record| record["environment"]["emulated"] = json!(true));
    let error = compare(&five(|_| {}), &new, &options(&[]), &no_cel).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("kernel: environment.emulated: base false, new true"),
        "{error}"
    );
    let allow = BTreeSet::from([Class::Kernel]);
    let options = Options {
        allow,
        ..options(&["latency.connect.p99_us > 1.10"])
    };
    let mixed = compared(&five(|_| {}), &new, &options);
    assert_eq!(mixed.limits[0].status, Status::Inconclusive);
    assert!(
        mixed.limits[0].why.contains("of an emulator"),
        "{}",
        mixed.limits[0].why
    );
    let metrics: Vec<_> = mixed.groups[0].metrics.iter().map(|it| it.metric.as_str()).collect();
    assert!(metrics.contains(&"outcomes.ok"), "{metrics:?}");
    assert!(!metrics.iter().any(|it| it.starts_with("latency.")), "{metrics:?}");
    let alike = compared(&new, &new, &options);
    assert_ne!(alike.limits[0].status, Status::Inconclusive);
}

#[test]
fn another_sysctl_is_the_heading_once_for_both_sides() {
    let new = five(|record| {
        for side in ["client", "server"] {
            record["environment"]["sysctl"][side]["net.ipv4.tcp_tw_reuse"] = json!("1");
            record["scenario"]["sysctl"][side]["net.ipv4.tcp_tw_reuse"] = json!("1");
        }
    });
    let allow = BTreeSet::from([Class::Sysctl]);
    let comparison = compared(&five(|_| {}), &new, &Options { allow, ..options(&[]) });
    assert_eq!(comparison.heading.as_deref(), Some("net.ipv4.tcp_tw_reuse 0 against 1"));
}

#[test]
fn allowing_one_difference_does_not_hide_another() {
    let new = five(|record| {
        record["environment"]["kernel"] = json!("6.1.0");
        record["environment"]["cpus"] = json!(64);
        record["scenario"]["id"] = json!("no-pool");
    });
    let allow = BTreeSet::from([Class::Kernel]);
    let error = compare(&five(|_| {}), &new, &Options { allow, ..options(&[]) }, &no_cel).unwrap_err();
    let CompareError::NotComparable(differences) = &error else {
        panic!("{error}")
    };
    let paths: Vec<&str> = differences.iter().map(|difference| difference.path.as_str()).collect();
    assert_eq!(paths, ["scenario.id", "environment.cpus"]);
    let allow = BTreeSet::from(Class::ALL);
    assert_eq!(
        compared(&five(|_| {}), &new, &Options { allow, ..options(&[]) }).heading,
        None
    );
}

#[test]
fn a_base_of_two_machines_is_not_comparable_even_with_its_like() {
    let mixed = || {
        let mut records = five(|_| {});
        records[0].environment.cpus = 64;
        records
    };
    let error = compare(&mixed(), &mixed(), &options(&[]), &no_cel).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("machine: environment.cpus: base 2, 64, new 2, 64"),
        "{error}"
    );
}

#[test]
fn cells_are_compared_with_their_like_and_a_missing_one_is_told() {
    let both = || {
        let server = five(|record| record["cell"]["close.closer"] = json!("server"));
        five(|_| {}).into_iter().chain(server).collect::<Vec<_>>()
    };
    let comparison = compared(&both(), &both(), &options(&[]));
    let names: Vec<String> = comparison.groups.iter().map(|group| group.name()).collect();
    assert_eq!(
        names,
        [
            "pool-baseline, close.closer = client",
            "pool-baseline, close.closer = server"
        ]
    );
    let error = compare(&both(), &five(|_| {}), &options(&[]), &no_cel).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("scenario: cell: base pool-baseline, close.closer = server, new absent"),
        "{told}"
    );
}

/// Five runs of a program that opened one connection each.
fn runs(command: &str, change: impl Fn(usize, &mut Value)) -> Vec<Record> {
    let one = |repeat| {
        let mut json = json(repeat);
        json["exec"] = json!({
            "command": ["sh", "-c", command],
            "server": {"address": "10.2.0.1:6379", "protocol": "redis"},
            "ended": {"kind": "exit", "code": 0, "signal": null, "timed_out": false},
            "seconds": 0.5, "cpu_seconds": 0.2, "left_behind": 0,
            "connections": {"opened": 1, "accepted": 1, "failed": 0, "requests": 200, "per_request": 0.005},
            "ports": {"usable": 28232, "held_at_end": 1},
        });
        change(repeat, &mut json);
        record(json)
    };
    (1..=5).map(one).collect()
}

const OPENED: [&str; 1] = ["exec.connections.opened > 1.10"];

#[test]
fn runs_that_failed_are_no_pass_and_no_improvement() {
    let good = runs("old", |_, _| {});
    let failed = |how: Value| {
        let new = runs("new", |repeat, record| {
            if repeat == 2 {
                record["exec"]["ended"] = how.clone();
                record["exec"]["connections"]["opened"] = json!(0);
            }
        });
        compared(&good, &new, &options(&OPENED))
    };
    for (how, told) in [
        (
            json!({"kind": "exit", "code": 3, "signal": null, "timed_out": false}),
            "ended with exit code 3",
        ),
        (
            json!({"kind": "signal", "code": null, "signal": "SIGSEGV", "timed_out": false}),
            "ended by SIGSEGV",
        ),
        (
            json!({"kind": "signal", "code": null, "signal": "SIGTERM", "timed_out": true}),
            "ended by --timeout",
        ),
        (
            json!({"kind": "not-started", "code": 127, "signal": null, "timed_out": false}),
            "ended before it started",
        ),
    ] {
        let comparison = failed(how);
        assert_eq!(comparison.exit_code(), 5);
        assert!(
            comparison.limits[0].why.contains(&format!("1 of 5 of new {told}")),
            "{:?}",
            comparison.limits[0]
        );
        assert_eq!(
            metric(&comparison, "exec.connections.opened").verdict,
            Change::Inconclusive
        );
        let shown = linger::report::compare::terminal(&comparison, Some(80));
        assert!(shown.ends_with("inconclusive: runs of the program failed\n"), "{shown}");
        // Without a limit, too.
        assert_eq!(
            compared(
                &good,
                &runs("new", |_, record| record["exec"]["ended"]["code"] = json!(3)),
                &options(&[])
            )
            .exit_code(),
            5
        );
    }
}

#[test]
fn runs_that_all_failed_alike_are_compared_and_that_is_told() {
    let all = |command: &str, opened: u64| {
        runs(command, |_, record| {
            record["exec"]["ended"]["code"] = json!(1);
            record["exec"]["connections"]["opened"] = json!(opened);
        })
    };
    let comparison = compared(&all("old", 1), &all("new", 1), &options(&OPENED));
    assert_eq!(comparison.exit_code(), 0);
    assert_eq!(
        comparison.notes,
        ["all runs of both sides ended with exit code 1: compared, as they failed alike"]
    );
    assert_eq!(
        compared(&all("old", 1), &all("new", 200), &options(&OPENED)).exit_code(),
        3
    );
    // What never started did nothing.
    let none = || {
        runs("nothing", |_, record| {
            record["exec"]["ended"]["kind"] = json!("not-started")
        })
    };
    assert_eq!(compared(&none(), &none(), &options(&OPENED)).exit_code(), 5);
}

#[test]
fn failed_connect_calls_are_compared_in_all_and_by_errno() {
    let connects = |count: u64| {
        let failed = if count == 0 {
            json!([])
        } else {
            json!([{"errno": "EADDRNOTAVAIL", "count": count}])
        };
        json!({
            "way": "notify", "attempts": 200 + count, "ok": 200, "failed": failed, "failed_later": 0, "unknown": 0,
            "connecting_at_end": 0, "repeated_calls": 0, "other_calls": 0, "call": null, "destinations": [],
            "other_destinations": 0, "cost": {"stops": 0, "stopped_seconds": 0.0, "cpu_seconds": 0.0},
        })
    };
    let base = runs("old", |_, record| record["connects"] = connects(0));
    let new = runs("new", |repeat, record| {
        record["connects"] = connects(45 + repeat as u64)
    });
    let comparison = compared(&base, &new, &options(&["connects.failed_total > 1.10"]));
    assert_eq!(comparison.exit_code(), 3);
    for name in [
        "connects.failed_total",
        "connects.failed.EADDRNOTAVAIL",
        "connects.attempts",
    ] {
        assert_eq!(metric(&comparison, name).verdict, Change::Worse, "{name}");
    }
}

#[test]
fn a_side_of_two_commands_is_refused_and_base_may_have_another_than_new() {
    let mixed = [runs("old", |_, _| {}), runs("older", |_, _| {})].concat();
    let error = compare(&mixed, &runs("new", |_, _| {}), &options(&OPENED), &no_cel).unwrap_err();
    let told = error.to_string();
    assert!(
        told.contains("exec.command: base sh -c old, sh -c older, new sh -c new"),
        "{told}"
    );
    assert!(
        told.ends_with(
            "a side must be of one command and one setting: give it only the files of one, or say --allow scenario"
        ),
        "{told}"
    );
    let files =
        [("a.jsonl", "old"), ("b.jsonl", "older")].map(|(file, command)| (file.to_owned(), runs(command, |_, _| {})));
    assert_eq!(
        linger::judge::compare::comparable::by_file("exec.command", &files),
        "sh -c old in a.jsonl, sh -c older in b.jsonl"
    );
}

#[test]
fn records_that_count_requests_otherwise_are_told() {
    let said = |setup: Value| {
        runs("it", move |_, record| {
            record["server"] = json!({
                "accepted": 1, "closed_by_peer": 1, "closed_first": 0, "reset_by_peer": 0, "open_at_end": 0, "accept_failed": {},
                "bytes_received": 1, "bytes_sent": 1,
                "conversations": {
                    "requests": 204, "setup": setup, "errors_answered": 0, "quit": 0, "idle_timeout": 0, "max_requests": 0,
                    "malformed": 0, "requests_per_connection": null, "lifetime": null, "idle_before_close": null,
                },
            });
        })
    };
    let older = compared(&said(Value::Null), &said(json!(4)), &options(&OPENED));
    assert!(
        older.notes[0].starts_with("5 records of base and 0 of new are older"),
        "{:?}",
        older.notes
    );
    assert!(
        compared(&said(json!(4)), &said(json!(4)), &options(&OPENED))
            .notes
            .is_empty()
    );
}

#[test]
fn a_comparison_fits_80_and_120_columns_and_breaks_no_number() {
    let mut noise = Noise(13);
    let [base, new] = [(); 2].map(|()| with_p99(&noise.values(6, 80.0, 1.0)));
    let comparison = compared(
        &base,
        &new,
        &options(&["latency.connect.p99_us > 1.10", "outcomes.ok < 0.9"]),
    );
    let whole = linger::report::compare::terminal(&comparison, None);
    for columns in [80, 120] {
        let text = linger::report::compare::terminal(&comparison, Some(columns));
        for line in text.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
        }
        let words = |text: &str| {
            let words = text
                .split_whitespace()
                .map(|word| word.trim_end_matches(':').to_owned());
            words.collect::<BTreeSet<_>>()
        };
        let torn: Vec<_> = words(&text)
            .into_iter()
            .filter(|word| !words(&whole).contains(word))
            .collect();
        assert!(torn.is_empty(), "{torn:?}");
    }
}

#[test]
fn interrupted_and_unavailable_records_are_left_out_and_counted() {
    let mut base = five(|_| {});
    base.push(record(json(6)));
    base[5].interrupted = true;
    let comparison = compared(&base, &five(|_| {}), &options(&[]));
    assert_eq!(comparison.groups[0].base_repeats, 5);
    assert_eq!(
        comparison.notes,
        ["1 of 6 records of base left out: interrupted or unavailable"]
    );
    base.drain(..5);
    let error = compare(&base, &five(|_| {}), &options(&[]), &no_cel).unwrap_err();
    assert_eq!(
        error.to_string(),
        "base has no record to compare (1 given, 1 of them interrupted or unavailable)"
    );
    assert!(compare(&[], &base, &options(&[]), &no_cel).is_err());
}
