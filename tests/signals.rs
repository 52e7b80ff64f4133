//! What a signal leaves behind: records after Ctrl-C, nothing after SIGKILL.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{linger, scenario};
use tempfile::tempdir;

/// A load that goes on until it is ended.
fn long_load(directory: &Path) -> Child {
    let path = scenario(
        directory,
        &[
            ("arrival = \"max\"", "arrival = \"constant\"\nrate = 200"),
            ("connections = 130", "duration = \"60s\""),
        ],
    );
    linger(directory, &["run", &path, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Network namespaces that any process of this machine is in.
fn namespaces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for task in fs::read_dir(process.path().join("task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            if let Ok(link) = fs::read_link(task.path().join("ns/net")) {
                found.insert(link.to_string_lossy().into_owned());
            }
        }
    }
    found
}

/// Network namespaces of this process's threads.
fn namespaces_of(pid: u32) -> BTreeSet<String> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|task| fs::read_link(task.path().join("ns/net")).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect()
}

/// Waits until the load runs: its threads stand in namespaces that this test is not in.
fn until_the_lab_stands(child: &mut Child) -> BTreeSet<String> {
    let own = namespaces_of(std::process::id());
    for _ in 0..3000 {
        let others: BTreeSet<_> = namespaces_of(child.id()).difference(&own).cloned().collect();
        if others.len() >= 2 {
            return others;
        }
        assert!(child.try_wait().unwrap().is_none(), "linger ended before its lab stood");
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no lab after 30 s");
}

/// Waits until `phase` is told to stderr.
fn until_told(child: &mut Child, phase: &str) -> BufReader<std::process::ChildStderr> {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if line.contains(phase) {
            return lines;
        }
        line.clear();
    }
    panic!("linger ended without `{phase}`");
}

#[test]
fn sigkill_leaves_no_namespace_behind() {
    let directory = tempdir().unwrap();
    let before = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    let mut child = long_load(directory.path());
    let lab = until_the_lab_stands(&mut child);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    let left: Vec<_> = namespaces().intersection(&lab).cloned().collect();
    assert!(left.is_empty(), "{left:?} outlived the process");
    let after = fs::read_to_string("/proc/net/dev").unwrap().lines().count();
    assert_eq!(before, after, "the host's interfaces changed");
}

#[test]
fn ctrl_c_keeps_what_was_measured_marks_it_and_exits_130() {
    let directory = tempdir().unwrap();
    let mut child = long_load(directory.path());
    let stderr = until_told(&mut child, " ok");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    std::thread::spawn(move || stderr.lines().count());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let record: Value = serde_json::from_slice(&output.stdout).expect("one whole record");
    assert_eq!(record["interrupted"], true);
    assert_eq!(record["verdict"]["status"], "inconclusive");
    let (attempted, ok) = (&record["offered"]["attempted"], &record["outcomes"]["ok"]);
    assert!(
        attempted.as_u64().unwrap() > 0 && ok.as_u64().unwrap() > 0,
        "{attempted} {ok}"
    );
    assert_eq!(record["ledger"]["balanced"], true, "{}", record["ledger"]);
}

#[test]
fn ctrl_c_while_connections_still_end_after_the_load_keeps_the_record() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    // With the accept queue full, a client's last ACK and FIN are dropped and sent again for many seconds.
    let arguments = [
        "run",
        &path,
        "--set",
        "server.backlog=0",
        "--set",
        "load.connections=100",
        "--json",
    ];
    let mut child = linger(directory.path(), &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = until_told(&mut child, "observing");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    std::thread::spawn(move || stderr.lines().count());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let record: Value = serde_json::from_slice(&output.stdout).expect("one whole record");
    assert_eq!(record["interrupted"], true);
    let unsettled = record["ledger"]["unsettled"]
        .as_str()
        .expect("what was still under way");
    assert!(unsettled.contains("FIN_WAIT1"), "{unsettled}");
}
