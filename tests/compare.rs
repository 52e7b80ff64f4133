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
            .filter(|[base, new]| compared(base, new, &options).exit_code() != 0)
            .count();
        assert!(
            alarms <= 1,
            "{alarms} false alarms of 20 at noise {sigma}, {repeats} repeats"
        );
    }
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
