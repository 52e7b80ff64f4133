//! The gate as CI uses it: records of real pools, `linger compare`, and its exit code.

mod support;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::{linger, records, run, said};
use tempfile::tempdir;

/// A pool of eight, a hundred requests of a millisecond.
const POOLED: &str = r#"# Why: a small pool for tests.
id = "gated"
claim = "a pool keeps its connections"
[server]
protocol = "redis"
latency = "1ms"
[close]
closer = "client"
mode = "graceful"
[load]
kind = "pool"
arrival = "constant"
rate = 400
requests = 100
in_flight = 100
[pool]
size = 8
[[expect]]
that = "pool.requests.ok == 100"
"#;

/// Records so many repeats of the pool as `sets` change it, into `DIRECTORY/NAME.jsonl`.
fn measure(directory: &Path, name: &str, repeats: u32, sets: &[&str]) {
    std::fs::write(directory.join("gated.toml"), POOLED).unwrap();
    let repeats = repeats.to_string();
    let mut arguments = vec!["run", "gated.toml", "--json", "--repeat", &repeats];
    arguments.extend(sets.iter().flat_map(|set| ["--set", set]));
    let output = run(linger(directory, &arguments));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    for record in records(&output) {
        assert_eq!(record["ledger"]["balanced"], true, "{:#}", record["ledger"]);
    }
    std::fs::write(directory.join(format!("{name}.jsonl")), &output.stdout).unwrap();
}

fn compare(directory: &Path, arguments: &[&str]) -> Output {
    run(linger(
        directory,
        &[&["compare", "base.jsonl", "new.jsonl"][..], arguments].concat(),
    ))
}

fn shown(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_pools_record_fits_the_schema_and_tells_of_requests_and_connections_apart() {
    let directory = tempdir().unwrap();
    measure(
        directory.path(),
        "base",
        1,
        &["load.arrival=poisson", "pool.min_idle=8"],
    );
    let text = std::fs::read_to_string(directory.path().join("base.jsonl")).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    let schema = std::fs::read_to_string("schema/record.schema.json").unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<_> = validator.iter_errors(&record).map(|it| it.to_string()).collect();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(record["pool"]["requests"]["ok"], 100);
    assert_eq!(
        (&record["offered"]["planned"], &record["outcomes"]["ok"]),
        (&Value::Null, &8.into())
    );
    assert_eq!(record["server"]["conversations"]["requests"], 100);
    assert_eq!(record["counters"]["client"]["ActiveOpens"], 8);
    let formats = [
        ("markdown", "pool of 8"),
        ("hdr", "Tag=pool.borrow_wait,"),
        ("csv", "pool.churn_ratio"),
    ];
    for (format, word) in formats {
        let output = run(linger(directory.path(), &["report", "base.jsonl", "--format", format]));
        assert!(shown(&output).contains(word), "{format}: {}", said(&output));
    }
}

#[test]
fn a_pool_that_says_quit_says_it_on_each_connection_and_both_books_agree() {
    let directory = tempdir().unwrap();
    for (closer, mode) in [("server", "quit-wait"), ("client", "quit-close")] {
        for protocol in ["mysql", "memcached", "redis"] {
            let sets = [
                format!("close.closer={closer}"),
                format!("close.mode={mode}"),
                format!("server.protocol={protocol}"),
            ];
            measure(directory.path(), "quits", 1, &sets.each_ref().map(String::as_str));
            let text = std::fs::read_to_string(directory.path().join("quits.jsonl")).unwrap();
            let record: Value = serde_json::from_str(&text).unwrap();
            let opened = &record["pool"]["connections"]["opened"];
            assert_eq!(&record["server"]["conversations"]["quit"], opened, "{protocol} {mode}");
            if mode == "quit-wait" {
                assert_eq!(&record["time_wait"]["server"]["end"], opened, "{protocol}");
                assert_eq!(record["time_wait"]["client"]["end"], 0, "{protocol}");
            } else {
                assert!(record["prediction"]["undetermined"].is_string(), "{protocol}");
            }
        }
    }
}

const WORSE: [&str; 1] = ["pool.on_return=close"];
const GATE: [&str; 4] = [
    "--fail-if",
    "pool.churn_ratio > 2",
    "--fail-if",
    "new: pool.requests.failed_total > 0",
];

#[test]
fn a_pool_made_worse_on_purpose_fails_the_gate_and_the_same_one_passes_it() {
    let directory = tempdir().unwrap();
    let directory = directory.path();
    measure(directory, "base", 5, &[]);
    measure(directory, "new", 5, &WORSE);

    // It is another plan: that is refused, and named, unless it is said to be what is wanted.
    let refused = compare(directory, &GATE);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    let told = support::stderr(&refused);
    assert!(
        told.contains("scenario.pool.on_return: base keep, new close") && told.contains("--allow scenario"),
        "{told}"
    );

    let gate = [&["--allow", "scenario"][..], &GATE].concat();
    let failed = compare(directory, &gate);
    assert_eq!(failed.status.code(), Some(3), "{}", said(&failed));
    assert!(
        shown(&failed).contains("regression: 1 of 2 limits crossed"),
        "{}",
        said(&failed)
    );

    let json = compare(directory, &[&gate[..], &["--format", "json"]].concat());
    let comparison: Value = serde_json::from_str(&shown(&json)).unwrap();
    assert_eq!(comparison["status"], "unmet");
    let limits = comparison["limits"].as_array().unwrap();
    let crossed: Vec<_> = limits.iter().map(|limit| &limit["status"]).collect();
    assert_eq!(crossed, ["unmet", "met"], "{limits:#?}");
    let metrics = comparison["groups"][0]["metrics"].as_array().unwrap();
    let opened = metrics
        .iter()
        .find(|metric| metric["metric"] == "pool.connections.opened");
    assert_eq!(opened.unwrap()["verdict"], "worse", "{opened:#?}");
    // More connections are no success of a pool's.
    let ended_well = metrics.iter().find(|metric| metric["metric"] == "outcomes.ok");
    assert_eq!(ended_well.unwrap()["verdict"], "changed", "{ended_well:#?}");

    let markdown = shown(&compare(directory, &[&gate[..], &["--format", "markdown"]].concat()));
    assert!(markdown.contains("| pool.churn\\_ratio \\> 2 |"), "{markdown}");
    let junit = shown(&compare(directory, &[&gate[..], &["--format", "junit"]].concat()));
    assert!(junit.contains("failures=\"1\""), "{junit}");

    // The same pool again.
    measure(directory, "new", 5, &[]);
    let passed = compare(directory, &GATE);
    assert_eq!(passed.status.code(), Some(0), "{}", said(&passed));
    assert!(
        shown(&passed).contains("no regression: 2 of 2 limits kept"),
        "{}",
        said(&passed)
    );
}

#[test]
fn too_few_repeats_are_inconclusive_and_say_how_many_it_takes() {
    let directory = tempdir().unwrap();
    measure(directory.path(), "base", 2, &[]);
    measure(directory.path(), "new", 2, &WORSE);
    let output = compare(
        directory.path(),
        &["--allow", "scenario", "--fail-if", "pool.churn_ratio > 1.10"],
    );
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(
        shown(&output).contains("2 and 2 repeats cannot tell; at least 5 a side can"),
        "{}",
        said(&output)
    );
}

#[test]
fn two_settings_of_a_sysctl_are_compared_with_the_difference_as_the_heading() {
    let directory = tempdir().unwrap();
    measure(directory.path(), "base", 1, &["net.ipv4.tcp_tw_reuse=0"]);
    measure(directory.path(), "new", 1, &["net.ipv4.tcp_tw_reuse=1"]);
    let output = compare(directory.path(), &["--allow", "sysctl"]);
    assert!(
        shown(&output).starts_with("gated: net.ipv4.tcp_tw_reuse 0 against 1\n"),
        "{}",
        said(&output)
    );
}
