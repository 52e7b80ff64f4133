//! What the engines' benches share: a network namespace, pinned threads, the built-in server, medians, and a report that
//! is printed and written to results/bench/ as Markdown and as a JSON line a round.
#![allow(dead_code, reason = "each bench uses its part")]

pub mod report;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use linger::load::server::{Listeners, Served, ServerControl, ServerWork};
use linger::load::{EngineError, Pacing, Shard, Work};
use linger::scenario::plan::{ClosePlan, LoadPlan, ServerPlan, TrialPlan};
use linger::scenario::spec::Protocol;
use linger::tcp::{CloseMode, Closer};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::unistd::Pid;

pub const DESTINATION: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7000);
pub const IN_FLIGHT: u32 = 16;

/// What is done over one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// connect(), then RST.
    Reset,
    /// connect(), a byte there and a byte back, then RST.
    Echo,
    /// connect(), a byte there and a byte back, then the server closes and the client reads its FIN.
    ServerCloses,
}

impl Exchange {
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Reset, "connect + RST"),
        (Self::Echo, "1-byte echo + RST"),
        (Self::ServerCloses, "1-byte echo, server closes"),
    ];

    pub fn work(self, connections: u64) -> Work {
        let mut work = work(connections);
        if self != Self::Reset {
            work.protocol = Protocol::Echo;
            work.load.requests_per_connection = 1;
        }
        if self == Self::ServerCloses {
            work.close = close(Closer::Server, CloseMode::Graceful);
        }
        work
    }
}

/// The plan that tests vary too.
fn plan() -> TrialPlan {
    serde_json::from_str(include_str!("../../tests/fixtures/plan.json")).expect("the plan of the tests is one")
}

/// So many connections as fast as they go: connect(), then RST.
pub fn work(connections: u64) -> Work {
    let plan = plan();
    Work {
        load: LoadPlan {
            in_flight: IN_FLIGHT,
            connections: Some(connections),
            ..plan.load
        },
        close: close(Closer::Client, CloseMode::Abortive),
        client: plan.client,
        protocol: Protocol::None,
        sources: vec![],
        destinations: vec![DESTINATION],
        tuples: false,
        tuples_a_pair: None,
        ports: vec![],
        pool: None,
        shard: Shard::WHOLE,
        pacing: Pacing::Timer,
        reuse_descriptor: false,
    }
}

pub fn close(closer: Closer, mode: CloseMode) -> ClosePlan {
    ClosePlan {
        closer,
        mode,
        linger_seconds: None,
    }
}

/// The built-in server on a thread of its own, until it is dropped.
pub struct Server {
    control: Arc<ServerControl>,
    thread: Option<JoinHandle<Result<Served, EngineError>>>,
}

impl Server {
    /// Listens where the work's destinations are, on the CPU.
    pub fn start(work: &Work, cpu: usize) -> Self {
        let server = ServerWork::of_load(
            ServerPlan {
                protocol: work.protocol,
                ..plan().server
            },
            work.close.clone(),
            &work.load,
        );
        let control = Arc::new(ServerControl::default());
        let listeners = Listeners::bind(&work.destinations, 4096).expect("a port in a fresh namespace is free");
        let shared = Arc::clone(&control);
        let thread = std::thread::spawn(move || {
            pin(cpu);
            listeners.serve(&server, &shared, None)
        });
        Self {
            control,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a scenario's one trial with this build's `linger`, as a user would, with keys set.
pub fn trial(file: &str, set: &[String]) -> serde_json::Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linger"));
    command
        .args(["run", file, "--json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    for key in set {
        command.args(["--set", key]);
    }
    let output = command.stderr(Stdio::inherit()).output().expect("linger runs");
    let mut lines = output.stdout.split(|byte| *byte == b'\n');
    let record = lines.find_map(|line| serde_json::from_slice(line).ok());
    // A verdict of not met is an exit code too.
    record.unwrap_or_else(|| panic!("linger run {file} gave no record: {}", output.status))
}

/// A network namespace of the process's own, with its loopback up.
pub fn enter_namespace() {
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("a network namespace: run as root or under unshare --user --map-root-user");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("needs `ip` (iproute2)").success());
}

/// Sets a sysctl of the namespace.
pub fn sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv4/{name}");
    std::fs::write(&path, value).unwrap_or_else(|error| panic!("{path} = {value}: {error}"));
}

/// Pins the calling thread; a machine with one CPU has nothing to choose.
pub fn pin(cpu: usize) {
    let mut set = CpuSet::new();
    if set.set(cpu).is_ok() {
        let _ = sched_setaffinity(Pid::from_raw(0), &set);
    }
}

/// The numbers of the command line: rounds, connections and so on; `defaults` where there are none.
pub fn numbers<const N: usize>(defaults: [u64; N]) -> [u64; N] {
    let mut given = std::env::args().filter_map(|argument| argument.parse().ok());
    defaults.map(|default| given.next().unwrap_or(default))
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}
