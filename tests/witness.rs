//! Our figures against other instruments: ss, strace and tcpdump watch the same trial.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{inside, lab_namespace, linger, records, require, run, said, scenario};
use tempfile::tempdir;

fn start(directory: &Path, arguments: &[&str]) -> Child {
    linger(directory, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn finish(child: Child) -> Value {
    let output = child.wait_with_output().unwrap();
    records(&output).pop().unwrap_or_else(|| panic!("{}", said(&output)))
}

/// Local and remote address of each socket that `ss` lists in a state.
fn ss(namespace: &File, state: &str) -> Vec<String> {
    let output = inside(namespace, || {
        Command::new("ss")
            .args(["-tanH", "state", state])
            .output()
            .expect("iproute2")
    });
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| line.split_whitespace().skip(2).take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        if let Some(found) = found() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{what}: not within 30 s");
}

#[test]
fn ss_counts_the_same_time_wait_and_established_sockets_on_both_ends() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            ("connections = 130", "connections = 130\nin_flight = 200\nhold = \"2s\""),
            ("[[expect]]", "[observe]\nafter = \"3s\"\n[[expect]]"),
        ],
    );
    let child = start(directory.path(), &["run", &path, "--json"]);
    let client = lab_namespace(child.id(), "client");
    let server = lab_namespace(child.id(), "server");
    until("100 established connections", || {
        (ss(&client, "established").len() == 100).then_some(())
    });
    assert_eq!(ss(&server, "established").len(), 100);
    until("100 sockets in TIME_WAIT", || {
        (ss(&client, "time-wait").len() == 100).then_some(())
    });
    assert_eq!(ss(&server, "time-wait").len(), 0);
    let record = finish(child);
    assert_eq!(record["time_wait"]["client"]["end"], 100);
    assert_eq!(record["time_wait"]["client"]["peak"], 100);
    assert_eq!(record["time_wait"]["server"]["peak"], 0);
}

#[test]
fn ss_sees_time_wait_live_as_long_as_the_record_says() {
    let directory = tempdir().unwrap();
    let child = start(
        directory.path(),
        &["run", "lifetime-60", "--set", "load.connections=100", "--json"],
    );
    let client = lab_namespace(child.id(), "client");
    let (mut seen, mut gone) = (BTreeMap::new(), BTreeMap::new());
    let end = Instant::now() + Duration::from_secs(80);
    while Instant::now() < end && (seen.is_empty() || gone.len() < seen.len()) {
        let now = Instant::now();
        let here = ss(&client, "time-wait");
        for tuple in seen.keys() {
            if !here.contains(tuple) {
                gone.entry(tuple.clone()).or_insert(now);
            }
        }
        for tuple in here {
            seen.entry(tuple).or_insert(now);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let record = finish(child);
    assert_eq!(gone.len(), 100, "every TIME_WAIT came and went");
    let lives: Vec<f64> = gone
        .iter()
        .map(|(tuple, gone)| (*gone - seen[tuple]).as_secs_f64())
        .collect();
    let ours = &record["time_wait"]["lifetime_seconds"];
    assert_eq!(ours["count"], 100);
    let (shortest, longest) = (ours["min"].as_f64().unwrap(), ours["max"].as_f64().unwrap());
    // Each of ss's times is off by a look or two.
    let near = |a: f64, b: f64| (a - b).abs() < 1.0;
    assert!(
        near(lives.iter().copied().fold(f64::MAX, f64::min), shortest),
        "{lives:?} {ours}"
    );
    assert!(
        near(lives.iter().copied().fold(0.0, f64::max), longest),
        "{lives:?} {ours}"
    );
    assert!(shortest >= 60.0, "TCP_TIMEWAIT_LEN is 60 s: {ours}");
}

/// `connect()` calls that strace saw fail with EADDRNOTAVAIL, with their durations in seconds.
fn failed_connects(trace: &str) -> Vec<f64> {
    trace
        .lines()
        .filter(|line| line.contains("EADDRNOTAVAIL"))
        .filter_map(|line| line.rsplit_once('<')?.1.trim_end_matches('>').parse().ok())
        .collect()
}

#[test]
fn strace_sees_as_many_failed_connects_and_as_long_ones() {
    require("strace", "strace");
    let directory = tempdir().unwrap();
    // Wide enough for a failing search to take longer than strace's own time.
    let path = scenario(
        directory.path(),
        &[
            ("40000 40099", "40000 45999"),
            ("connections = 130", "connections = 6200"),
        ],
    );
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-f", "-T", "-e", "trace=connect", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_linger"))
        .args(["run", &path, "--json"])
        .current_dir(directory.path());
    let output = run(command);
    let record = records(&output).pop().unwrap_or_else(|| panic!("{}", said(&output)));
    let mut times = failed_connects(&std::fs::read_to_string(&trace).unwrap());
    assert_eq!(record["outcomes"]["failed"][0]["count"], times.len());
    assert_eq!(record["outcomes"]["failed"][0]["count"], 200);
    times.sort_by(f64::total_cmp);
    let theirs = times[times.len() / 2] * 1e6;
    let ours = record["latency"]["connect_failed"]["p50_us"].as_f64().unwrap();
    let ratio = ours / theirs;
    assert!(
        (0.7..1.5).contains(&ratio),
        "median of a failing connect(): ours {ours} µs, strace's {theirs} µs"
    );
}

/// What tcpdump tells of one connection.
#[derive(Debug, Default)]
struct Seen {
    whole: bool,
    first_to_end: Option<(String, char)>,
    up: u64,
    down: u64,
}

/// Captured connections: each port's incarnations begin with a SYN. Lines look like
/// `IP 10.1.0.1.40000 > 10.2.0.1.7000: Flags [F.], seq 1, ack 1, …, length 0`.
fn captured(text: &str) -> Vec<Seen> {
    let mut ports: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for line in text.lines() {
        let Some((addresses, rest)) = line
            .split_once("IP ")
            .and_then(|(_, rest)| rest.split_once(": Flags ["))
        else {
            continue;
        };
        let (from, to) = addresses.split_once(" > ").unwrap();
        let from_client = to.ends_with(".7000");
        let port = if from_client { from } else { to };
        let incarnations = ports.entry(port.to_owned()).or_default();
        let flags = rest.split(']').next().unwrap();
        if flags == "S" || incarnations.is_empty() {
            incarnations.push(Seen {
                whole: flags == "S",
                ..Seen::default()
            });
        }
        let connection = incarnations.last_mut().unwrap();
        if let Some(flag) = flags.chars().find(|flag| "FR".contains(*flag)) {
            let side = if from_client { "client" } else { "server" };
            connection.first_to_end.get_or_insert((side.to_owned(), flag));
        }
        let length: u64 = rest
            .rsplit_once("length ")
            .map_or(0, |(_, length)| length.trim().parse().unwrap());
        *(if from_client {
            &mut connection.up
        } else {
            &mut connection.down
        }) += length;
    }
    ports.into_values().flatten().collect()
}

#[test]
fn tcpdump_sees_who_closes_first_how_and_how_many_bytes() {
    require("tcpdump", "tcpdump");
    let directory = tempdir().unwrap();
    for (closer, mode, flag) in [
        ("client", "graceful", 'F'),
        ("client", "abortive", 'R'),
        ("server", "graceful", 'F'),
        ("server", "abortive", 'R'),
        ("client", "half-close", 'F'),
        ("server", "half-close", 'F'),
    ] {
        let path = scenario(
            directory.path(),
            &[
                ("closer = \"client\"", &format!("closer = \"{closer}\"")),
                ("mode = \"graceful\"", &format!("mode = \"{mode}\"")),
                ("arrival = \"max\"", "arrival = \"constant\"\nrate = 50"),
                (
                    "connections = 130",
                    "connections = 90\nrequests_per_connection = 3\nrequest_bytes = 10\nresponse_bytes = 20",
                ),
                ("[close]", "[server]\nprotocol = \"echo\"\n[close]"),
            ],
        );
        let child = start(directory.path(), &["run", &path, "--json"]);
        let client = lab_namespace(child.id(), "client");
        let mut capture = inside(&client, || {
            Command::new("tcpdump")
                .args(["-n", "-l", "-i", "any", "-B", "16384", "tcp"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        });
        let record = finish(child);
        // The lab is gone and with it what tcpdump listens to; it ends by our signal.
        let pid = nix::unistd::Pid::from_raw(capture.id().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(capture.stdout.as_mut().unwrap(), &mut text).unwrap();
        capture.wait().unwrap();

        assert_eq!(record["outcomes"]["ok"], 90, "{closer} {mode}: {}", record["outcomes"]);
        assert_eq!(record["server"]["bytes_received"], 90 * 3 * 10);
        assert_eq!(record["server"]["bytes_sent"], 90 * 3 * 20);
        let seen = captured(&text);
        let whole: Vec<_> = seen
            .iter()
            .filter(|seen| seen.whole && seen.first_to_end.is_some())
            .collect();
        // tcpdump starts while the load runs, so that it sees the later ones, and a busy machine makes it lose a packet
        // here and there; it never makes one up.
        let expected = (Some((closer.to_owned(), flag)), 30, 60);
        let (agree, differ): (Vec<_>, Vec<_>) = whole
            .into_iter()
            .map(|seen| (seen.first_to_end.clone(), seen.up, seen.down))
            .partition(|seen| *seen == expected);
        assert!(
            agree.len() > 20,
            "{closer} {mode}: {} of 90 agree, {differ:?} do not",
            agree.len()
        );
        assert!(
            differ.len() * 20 <= agree.len(),
            "{closer} {mode}: {} agree, {differ:?} do not",
            agree.len()
        );
    }
}

#[test]
fn the_kernels_own_counters_agree_with_nstat() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            ("connections = 130", "connections = 130\nin_flight = 200\nhold = \"1s\""),
            ("[[expect]]", "[observe]\nafter = \"3s\"\n[[expect]]"),
        ],
    );
    let child = start(directory.path(), &["run", &path, "--json"]);
    let client = lab_namespace(child.id(), "client");
    until("100 sockets in TIME_WAIT", || {
        (ss(&client, "time-wait").len() == 100).then_some(())
    });
    let output = inside(&client, || {
        Command::new("nstat").args(["-asz"]).output().expect("iproute2")
    });
    let nstat = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| -> i64 {
        let line = nstat.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_else(|| panic!("{name} in {nstat}"))
    };
    let record = finish(child);
    // A fresh namespace began at 0.
    for (name, full) in [
        ("ActiveOpens", "TcpActiveOpens"),
        ("TW", "TcpExtTW"),
        ("EstabResets", "TcpEstabResets"),
    ] {
        assert_eq!(record["counters"]["client"][name], value(full), "{name}");
    }
}

#[test]
fn ss_finds_the_same_closes_on_each_side_after_a_quit_that_nobody_waited_for() {
    let directory = tempdir().unwrap();
    let arguments = "run quit-libmysqlclient --set server.protocol=mysql --set lab.topology=pair --set load.connections=500 \
                     --set observe.after=4s --json";
    let child = start(directory.path(), &arguments.split_whitespace().collect::<Vec<_>>());
    let client = lab_namespace(child.id(), "client");
    let server = lab_namespace(child.id(), "server");
    // As the client names them.
    let reversed = |tuple: String| {
        let (local, remote) = tuple.split_once(' ').unwrap();
        format!("{remote} {local}")
    };
    let [client, server] = until("500 closes in TIME_WAIT on either end", || {
        let client: BTreeSet<String> = ss(&client, "time-wait").into_iter().collect();
        let server: BTreeSet<String> = ss(&server, "time-wait").into_iter().map(reversed).collect();
        (client.union(&server).count() == 500).then_some([client, server])
    });
    let record = finish(child);
    let sides = &record["time_wait"]["sides"];
    let counts = ["client", "server", "both", "neither"].map(|side| sides[side]["count"].as_u64().unwrap() as usize);
    let both = client.intersection(&server).count();
    assert_eq!(counts, [client.len() - both, server.len() - both, both, 0], "{sides}");
}
