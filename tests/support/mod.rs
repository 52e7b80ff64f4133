//! The binary as its users run it, and records as they read them.
#![allow(dead_code)] // Each test binary uses its own part.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// `linger ARGS` in a directory of its own.
pub fn linger(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linger"));
    command
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// The same as an unprivileged user: nobody, with no groups and no capabilities.
pub fn linger_as_nobody(directory: &Path, arguments: &[&str]) -> Command {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test changes to user 65534 by itself and so needs root; as a user, run the other tests"
    );
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(env!("CARGO_BIN_EXE_linger"))
        .args(arguments)
        .current_dir(directory)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

pub fn run(mut command: Command) -> Output {
    command.output().expect("starting linger")
}

/// The records that `--json` wrote to stdout.
pub fn records(output: &Output) -> Vec<Value> {
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect()
}

/// Both streams, for a failing assertion.
pub fn said(output: &Output) -> String {
    format!(
        "exit {:?}\nstdout:\n{}\nstderr:\n{}",
        output.status.code(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A scenario on 100 ports, the client closing first: `edits` replace text in it.
pub fn scenario(directory: &Path, edits: &[(&str, &str)]) -> String {
    let mut text = r#"# Why: a small exhaustion for tests.
id = "small"
claim = "connect() fails when 100 ports are in TIME_WAIT"
[close]
closer = "client"
mode = "graceful"
[load]
arrival = "max"
connections = 130
[sysctl.both]
"net.ipv4.tcp_rfc1337" = 1
[sysctl.client]
"net.ipv4.ip_local_port_range" = "40000 40099"
"net.ipv4.tcp_tw_reuse" = 0
[[expect]]
that = "outcomes.ok == prediction.capacity"
"#
    .to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the scenario");
        text = text.replace(from, to);
    }
    let path = directory.join("small.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}
