//! The binary as its users run it, and records as they read them.
#![allow(dead_code)] // Each test binary uses its own part.

pub mod emulator;
pub mod kernels;

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

/// The network namespace of the thread called `name` of a running linger: that side of its lab.
pub fn lab_namespace(pid: u32, name: &str) -> std::fs::File {
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    for _ in 0..3000 {
        for task in std::fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = task.path();
            let comm = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
            if comm.trim() != name || std::fs::read_link(path.join("ns/net")).is_ok_and(|link| link == own) {
                continue;
            }
            if let Ok(namespace) = std::fs::File::open(path.join("ns/net")) {
                return namespace;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("no thread called {name} stands in a lab after 15 s");
}

/// Runs `work` on a thread inside the namespace; commands that it starts are inside too.
pub fn inside<T: Send>(namespace: &std::fs::File, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("entering the lab needs root");
            work()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The first of `programs` must be there: says which Debian package has it otherwise.
pub fn require(program: &str, package: &str) {
    let found = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|directory: std::path::PathBuf| directory.join(program).exists());
    assert!(
        found,
        "this test needs `{program}`: apt-get install {package} (scripts/test does)"
    );
}
