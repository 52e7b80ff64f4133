//! `linger verify`: claims put to this kernel, as a user does it, in real namespaces.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{linger, linger_as_nobody, records, run, said, scenario, stderr};
use tempfile::tempdir;

/// The verdicts on the claims, by scenario, in the order of their ids.
fn claims(output: &Output) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut claims: Vec<_> = records(output)
        .iter()
        .filter(|record| record["claim"].is_object())
        .map(|record| {
            let claim = &record["claim"];
            (
                text(&record["scenario"]["id"]),
                text(&claim["status"]),
                text(&claim["figure"]),
            )
        })
        .collect();
    claims.sort();
    claims
}

#[test]
fn a_true_claim_holds_a_false_one_is_refuted_and_both_meet_their_expectations() {
    let directory = tempdir().unwrap();
    let ids = ["verify", "tuning-table", "reserved-ports", "default-range", "--json"];
    let output = run(linger(directory.path(), &ids));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let expected = [
        ("default-range", "holds", "32768 60999"),
        ("reserved-ports", "holds", "90 of 100 ports, 10 of them reserved"),
        (
            "tuning-table",
            "refuted",
            "100, 100, 100, 228, 200, 456 (default; fin_timeout; max_tw_buckets; range; reuse; all)",
        ),
    ]
    .map(|(id, status, figure)| (id.to_owned(), status.to_owned(), figure.to_owned()));
    // A busy machine may not offer all attempts: how many those were is left out.
    let without_attempts = |figure: String| match figure.split_once(" attempts succeed: ") {
        Some((_, succeeded)) => succeeded.to_owned(),
        None => figure,
    };
    let told: Vec<_> = claims(&output)
        .into_iter()
        .map(|(id, status, figure)| (id, status, without_attempts(figure)))
        .collect();
    assert_eq!(told, expected, "{}", said(&output));
    // One record a trial, and a claim's verdict once a scenario.
    assert_eq!(records(&output).len(), 1 + 1 + 6);
    assert!(
        stderr(&output).contains("3 claims, 2 hold, 1 refuted; expectations: 3 met"),
        "{}",
        said(&output)
    );
}

#[test]
fn an_unprivileged_user_gets_the_same_verdicts() {
    let directory = tempdir().unwrap();
    let output = run(linger_as_nobody(
        directory.path(),
        &["verify", "reserved-ports", "keepalive", "--json"],
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let statuses: Vec<String> = claims(&output).into_iter().map(|(_, status, _)| status).collect();
    assert_eq!(statuses, ["holds", "holds"], "{}", said(&output));
}

#[test]
fn memory_cost_is_unavailable_to_an_ordinary_user_in_verify_run_and_list() {
    let directory = tempdir().unwrap();
    // On stdout: the directory is another user's.
    for arguments in [["verify", "memory-cost", "--json"], ["run", "memory-cost", "--json"]] {
        let output = run(linger_as_nobody(directory.path(), &arguments));
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let said = stderr(&output);
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("cannot be read: Permission denied"), "{said}");
        assert!(words.contains("to mend it: run as root"), "{said}");
        assert!(!said.contains("double("), "no expression: {said}");
    }
    let output = run(linger_as_nobody(directory.path(), &["list"]));
    let list = String::from_utf8_lossy(&output.stdout);
    let entry = list
        .split("\nmemory-cost ")
        .nth(1)
        .and_then(|rest| rest.split_once("\nmore-"))
        .unwrap()
        .0;
    assert!(
        entry.contains("unavailable here") && entry.contains("/proc/slabinfo"),
        "{entry}"
    );
}

#[test]
fn a_claim_of_other_kernels_is_told_and_does_not_make_the_exit_code() {
    let directory = tempdir().unwrap();
    let output = run(linger(
        directory.path(),
        &["verify", "tw-recycle-nat", "reserved-ports"],
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the claim is of Linux < 4.12"), "{text}");
    assert!(
        text.contains("2 claims, 1 holds, 1 not of this kernel; expectations: 1 met;"),
        "{text}"
    );
    assert!(stderr(&output).contains("3 records →"), "{}", said(&output));
    // What is missing for another reason still makes it.
    let path = scenario(
        directory.path(),
        &[("net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_tw_recycle")],
    );
    let output = run(linger(directory.path(), &["verify", "tw-recycle-nat", &path, "--json"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let reasons: Vec<_> = records(&output)
        .iter()
        .map(|record| record["verdict"]["reasons"][0].to_string())
        .collect();
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("not of this kernel: the claim is of Linux < 4.12")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("use a kernel that has it (Linux 4.11 or earlier)")),
        "{reasons:?}"
    );
    // Alone it says nothing of this kernel, and that is no pass.
    let output = run(linger(directory.path(), &["verify", "tw-recycle-nat"]));
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
}

#[test]
fn two_scenarios_of_one_id_are_refused_and_one_named_twice_is_run_once() {
    let directory = tempdir().unwrap();
    let text = std::fs::read_to_string(scenario(directory.path(), &[])).unwrap();
    std::fs::write(directory.path().join("one.toml"), &text).unwrap();
    std::fs::write(directory.path().join("other.toml"), text.replace("130", "131")).unwrap();
    let output = run(linger(directory.path(), &["verify", "one.toml", "other.toml"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        stderr(&output).contains("one.toml and other.toml both have the id"),
        "{}",
        said(&output)
    );
    let output = run(linger(
        directory.path(),
        &["verify", "one.toml", "./one.toml", "--set", "load.in_flight=2"],
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(
        stderr(&output).contains("1 claim, 1 trial, with load.in_flight=2: about"),
        "{}",
        said(&output)
    );
    assert!(
        String::from_utf8_lossy(&output.stdout).ends_with("set: load.in_flight=2\n"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_sequence_that_ends_early_refutes_the_claim_that_its_steps_contradict() {
    let directory = tempdir().unwrap();
    let output = run(linger(
        directory.path(),
        &[
            "verify",
            "last-ack-reuse-timestamps",
            "--set",
            "sysctl.client.net.ipv4.tcp_tw_reuse=0",
            "--json",
        ],
    ));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let (_, status, figure) = claims(&output).remove(0);
    assert_eq!(
        (status.as_str(), figure.as_str()),
        ("refuted", "EADDRNOTAVAIL in ? ms"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_is_told_at_the_end_is_told_again_from_the_records() {
    let directory = tempdir().unwrap();
    let ids = [
        "verify",
        "reserved-ports",
        "range-per-socket",
        "--set",
        "lab.family=ipv6",
        "--out",
        "kept",
    ];
    let output = run(linger(directory.path(), &ids));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout);
    let again = run(linger(directory.path(), &["report", "kept", "--format", "verify"]));
    let again = String::from_utf8_lossy(&again.stdout);
    let of_claims = |text: &str| -> Vec<String> { text.lines().take(8).map(str::to_owned).collect() };
    assert!(told.contains("90 of 100 ports"), "{told}");
    assert_eq!(of_claims(&told), of_claims(&again));
    let page = run(linger(directory.path(), &["report", "kept", "--format", "claims"]));
    let page = String::from_utf8_lossy(&page.stdout);
    assert!(
        page.contains("### reserved-ports") && page.contains("IPv6 | 90 of 100 ports"),
        "{page}"
    );
}

#[test]
fn an_unmet_expectation_exits_3_whatever_the_claim() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            ("outcomes.ok == prediction.capacity", "outcomes.ok == 99"),
            ("[close]", "holds = \"records[0].outcomes.ok == 100\"\n[close]"),
        ],
    );
    let output = run(linger(directory.path(), &["verify", &path, "--json"]));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(claims(&output)[0].1, "holds", "{}", said(&output));
    assert!(
        stderr(&output).contains("expected == 99, found 100"),
        "{}",
        said(&output)
    );
}

#[test]
fn an_interrupt_keeps_what_is_done_and_judges_no_claim_by_a_part() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            (
                "arrival = \"max\"\nconnections = 130",
                "arrival = \"constant\"\nrate = 20\nduration = \"60s\"",
            ),
            ("[close]", "holds = \"true\"\n[close]"),
        ],
    );
    let mut child = linger(directory.path(), &["verify", &path, "default-range", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["scenario"]["id"], "default-range", "the short one ends first");
    assert_eq!(first["claim"]["status"], "holds");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let second: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(
        (&second["interrupted"], &second["claim"]["status"]),
        (&true.into(), &"inconclusive".into())
    );
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn what_takes_long_is_left_out_of_a_quick_look() {
    let directory = tempdir().unwrap();
    let output = run(linger(
        directory.path(),
        &["verify", "--quick", "lifetime-60", "ceiling-500"],
    ));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(stderr(&output).contains("takes more than 15 s"), "{}", said(&output));
}
