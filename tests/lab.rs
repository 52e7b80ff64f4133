//! The lab for real: namespaces, links, addresses and sysctls, as root and as an unprivileged user.
//!
//! A user namespace is acquired by a process of one thread, and the standard harness runs every test on a thread. So
//! this binary runs each test in a child process of its own, itself with `--only NAME`: once as the user it is, and
//! once more as uid 65534 when that is root.
#![forbid(unsafe_code)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Barrier;
use std::thread;

use linger::lab::{FIRST_SERVER_PORT, Lab, Privilege, Side, Unavailable, preflight, privilege};
use linger::scenario::plan::TrialPlan;
use linger::scenario::spec::{Family, Topology};
use nix::sched::{CloneFlags, unshare};

const NOBODY: u32 = 65534;
/// Children that a test starts itself, in surroundings that it has prepared.
const REENTER: &str = "--acquire";
const TABLE: &str = "net.ipv4.tcp_ehash_entries";
const HOLD: &str = "--hold-a-lab";

macro_rules! tests {
    ($($name:ident),* $(,)?) => { [$((stringify!($name), $name as fn())),*] };
}

fn main() -> ExitCode {
    let tests = tests![
        acquiring_gives_what_the_user_is_entitled_to,
        a_process_with_threads_is_refused_a_user_namespace,
        a_user_namespace_forbidden_by_its_limit_is_told_by_name,
        preflight_prints_every_row_where_namespaces_are_forbidden,
        every_topology_and_family_exchanges_bytes_both_ways,
        sixteen_first_connections_at_once_all_succeed,
        four_thousand_addresses_a_side_are_usable,
        an_unbound_connection_comes_from_the_first_address,
        sysctls_differ_by_side_and_are_read_back,
        loopback_gives_both_sides_one_namespace_and_its_sysctls,
        a_namespace_has_a_table_of_connections_of_its_own_where_that_is_asked_for,
        a_sysctl_that_cannot_be_set_says_why,
        topology_host_sets_no_sysctl,
        without_privilege_there_is_only_the_host,
        the_host_is_as_it_was_after_a_lab,
        a_dropped_lab_leaves_no_descriptor_and_no_namespace,
        a_killed_process_leaves_no_namespace,
    ];
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [REENTER] => return report_acquire(),
        [HOLD] => return hold_a_lab(),
        ["--only", name] => {
            let (_, test) = tests.iter().find(|(known, _)| *known == name).expect("a test's name");
            test();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let mut users = vec![nix::unistd::geteuid().as_raw()];
    if users[0] == 0 {
        users.push(NOBODY);
    }
    let (mut passed, mut failed) = (0, Vec::new());
    for (name, _) in tests
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| name.contains(wanted.as_str())))
    {
        for user in &users {
            let status = myself(*user)
                .args(["--only", name])
                .status()
                .expect("the test binary starts");
            println!(
                "test {name} (uid {user}) ... {}",
                if status.success() { "ok" } else { "FAILED" }
            );
            if status.success() {
                passed += 1
            } else {
                failed.push(format!("{name} (uid {user})"))
            }
        }
    }
    println!("\ntest result: {passed} passed; {} failed {failed:?}", failed.len());
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// This binary as `user`, found by descriptor so that a directory closed to that user does not matter.
fn myself(user: u32) -> Command {
    let binary = Box::leak(Box::new(File::open("/proc/self/exe").expect("our own binary")));
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    command.arg0("lab");
    if nix::unistd::geteuid().as_raw() != user {
        command.uid(user).gid(user);
    }
    command
}

// ── privilege ──────────────────────────────────────────────────────────────────────────────────────────────────────

fn acquiring_gives_what_the_user_is_entitled_to() {
    let before = fs::read_link("/proc/self/ns/user").unwrap();
    let root = nix::unistd::geteuid().is_root();
    let acquired = privilege::acquire().unwrap();
    let moved = fs::read_link("/proc/self/ns/user").unwrap() != before;
    assert_eq!(
        (acquired, moved),
        if root {
            (Privilege::Root, false)
        } else {
            (Privilege::UserNamespace, true)
        }
    );
}

fn a_process_with_threads_is_refused_a_user_namespace() {
    match thread::spawn(privilege::acquire).join().unwrap() {
        Ok(privilege) => assert_eq!((privilege, nix::unistd::geteuid().is_root()), (Privilege::Root, true)),
        Err(refusal) => assert!(refusal.reason.contains("2 threads"), "{refusal}"),
    }
}

/// The child that `a_user_namespace_forbidden_…` starts: prints what acquire() says.
fn report_acquire() -> ExitCode {
    match privilege::acquire() {
        Ok(privilege) => println!("{privilege:?}"),
        Err(refusal) => println!("{refusal}"),
    }
    for check in preflight::checks() {
        println!("{check:?}");
    }
    ExitCode::SUCCESS
}

/// Runs the child where user.max_user_namespaces is 0. The limit is each user namespace's own, so that ours is lowered
/// and not the host's; as uid 1000 in there, exec() takes the capabilities away that would make acquire() idle.
fn where_user_namespaces_are_forbidden() -> String {
    let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
    let host = fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap();
    unshare(CloneFlags::CLONE_NEWUSER).unwrap();
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/uid_map", format!("1000 {uid} 1")).unwrap();
    fs::write("/proc/self/gid_map", format!("1000 {gid} 1")).unwrap();
    assert_ne!(host.trim(), "0");
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    let output = myself(1000).arg(REENTER).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn a_user_namespace_forbidden_by_its_limit_is_told_by_name() {
    let output = where_user_namespaces_are_forbidden();
    let refusal = output.lines().next().unwrap();
    assert!(refusal.contains("user.max_user_namespaces is 0"), "{refusal}");
    assert!(refusal.contains("--lab host"), "{refusal}");
}

fn preflight_prints_every_row_where_namespaces_are_forbidden() {
    let output = where_user_namespaces_are_forbidden();
    let rows: Vec<_> = output.lines().skip(1).collect();
    assert_eq!(rows.len(), 13, "{output}");
    let row = |name: &str| {
        *rows
            .iter()
            .find(|row| row.contains(&format!("name: \"{name}\"")))
            .unwrap()
    };
    assert!(row("user namespaces").contains("state: No"), "{output}");
    assert!(row("veth").contains("state: Unknown"), "{output}");
    assert!(row("kernel").contains("state: Yes"), "{output}");
}

// ── topology ───────────────────────────────────────────────────────────────────────────────────────────────────────

fn plan(topology: Topology, family: Family) -> TrialPlan {
    let mut plan: TrialPlan = serde_json::from_str(include_str!("fixtures/plan.json")).unwrap();
    (plan.lab.topology, plan.lab.family) = (topology, family);
    plan
}

fn build(plan: &TrialPlan) -> Lab {
    try_to_build(plan).unwrap()
}

fn try_to_build(plan: &TrialPlan) -> Result<Lab, Unavailable> {
    Lab::build(plan, privilege::acquire().unwrap())
}

/// Sends a byte each way over a connection from `source` (if given) to `destination`.
fn exchange(lab: &Lab, source: Option<IpAddr>, destination: IpAddr) -> SocketAddr {
    let listener = lab.server.run(|| TcpListener::bind((destination, 0)).unwrap()).unwrap();
    let to = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        stream.write_all(&[byte[0] + 1]).unwrap();
        peer
    });
    let answer = lab.client.run(|| {
        let mut stream = connect(source, to);
        stream.write_all(&[41]).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        byte[0]
    });
    assert_eq!(answer.unwrap(), 42);
    server.join().unwrap()
}

fn connect(source: Option<IpAddr>, to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None).unwrap();
    if let Some(source) = source {
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    }
    socket
        .connect(&to.into())
        .unwrap_or_else(|error| panic!("{source:?} to {to}: {error}"));
    socket.into()
}

fn every_topology_and_family_exchanges_bytes_both_ways() {
    for topology in [Topology::Loopback, Topology::Pair, Topology::Host] {
        for family in [Family::Ipv4, Family::Ipv6] {
            let mut plan = plan(topology, family);
            if topology != Topology::Host {
                (plan.client.addresses, plan.server.addresses) = (3, 4);
            }
            let lab = build(&plan);
            assert_eq!(lab.shares_namespace(), topology != Topology::Pair);
            for to in lab.server.addresses() {
                exchange(&lab, None, *to);
                for from in lab.client.addresses() {
                    assert_eq!(exchange(&lab, Some(*from), *to).ip(), *from);
                }
            }
        }
    }
}

/// Were an address still to be resolved, SYNs would be lost and sent again after a second: connect() would time out.
fn sixteen_first_connections_at_once_all_succeed() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut plan = plan(Topology::Pair, family);
        (plan.client.addresses, plan.server.addresses) = (16, 16);
        let lab = build(&plan);
        let listen = |address: &IpAddr| TcpListener::bind((*address, FIRST_SERVER_PORT)).unwrap();
        let _listeners: Vec<_> = lab
            .server
            .run(|| lab.server.addresses().iter().map(listen).collect())
            .unwrap();
        let start = Barrier::new(16);
        thread::scope(|scope| {
            for (from, to) in lab.client.addresses().iter().zip(lab.server.addresses()) {
                let (start, lab) = (&start, &lab);
                scope.spawn(move || {
                    lab.client.run(|| {
                        start.wait();
                        connect(Some(*from), SocketAddr::from((*to, FIRST_SERVER_PORT)));
                    })
                });
            }
        });
        assert_eq!(
            counter(&lab.client, "Tcp:", "RetransSegs"),
            0,
            "a SYN was sent again over {family:?}"
        );
    }
}

/// A counter of /proc/net/snmp in the side's namespace.
fn counter(side: &Side, group: &str, name: &str) -> u64 {
    side.run(|| {
        let path = format!("/proc/self/task/{}/net/snmp", nix::unistd::gettid());
        let text = fs::read_to_string(path).unwrap();
        let mut lines = text
            .lines()
            .filter(|line| line.starts_with(group))
            .map(str::split_whitespace);
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let (_, value) = names.zip(values).find(|(found, _)| *found == name).unwrap();
        value.parse().unwrap()
    })
    .unwrap()
}

fn four_thousand_addresses_a_side_are_usable() {
    for (topology, family) in [
        (Topology::Pair, Family::Ipv4),
        (Topology::Pair, Family::Ipv6),
        (Topology::Loopback, Family::Ipv4),
        (Topology::Loopback, Family::Ipv6),
    ] {
        let mut plan = plan(topology, family);
        (plan.client.addresses, plan.server.addresses) = (4096, 4096);
        let lab = build(&plan);
        let neighbours = neighbours_of_all_namespaces();
        let unspecified: IpAddr = if family == Family::Ipv4 {
            [0; 4].into()
        } else {
            [0_u16; 8].into()
        };
        let listener = lab
            .server
            .run(|| listen_deeply((unspecified, FIRST_SERVER_PORT).into()))
            .unwrap();
        let accepting = thread::spawn(move || listener.incoming().take(4096).map(Result::unwrap).for_each(drop));
        lab.client
            .run(|| {
                for (from, to) in lab.client.addresses().iter().zip(lab.server.addresses()) {
                    connect(Some(*from), SocketAddr::from((*to, FIRST_SERVER_PORT)));
                }
            })
            .unwrap();
        accepting.join().unwrap();
        if (topology, family) == (Topology::Loopback, Family::Ipv6) {
            continue; // An entry an address on lo, which newer kernels do not count against gc_thresh3.
        }
        // The neighbour tables are the machine's: other processes' entries come and go, 4,096 of ours must not.
        let grown = neighbours_of_all_namespaces().saturating_sub(neighbours);
        assert!(grown < 64, "{grown} neighbour entries for {topology:?} {family:?}");
    }
}

/// Listens with room for every connection: with std's 128, SYNs would be dropped and sent again after a second.
fn listen_deeply(address: SocketAddr) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(4096).unwrap();
    socket.into()
}

/// Entries in the neighbour tables of both families, from a statistic that knows no namespaces.
fn neighbours_of_all_namespaces() -> u64 {
    let entries = |path: &str| -> Option<u64> {
        let text = fs::read_to_string(path).ok()?;
        u64::from_str_radix(text.lines().nth(1)?.split_whitespace().next()?, 16).ok()
    };
    ["/proc/net/stat/arp_cache", "/proc/net/stat/ndisc_cache"]
        .into_iter()
        .filter_map(entries)
        .sum()
}

fn an_unbound_connection_comes_from_the_first_address() {
    for (topology, family) in [
        (Topology::Pair, Family::Ipv4),
        (Topology::Pair, Family::Ipv6),
        (Topology::Loopback, Family::Ipv4),
    ] {
        let mut plan = plan(topology, family);
        (plan.client.addresses, plan.server.addresses) = (300, 300);
        let lab = build(&plan);
        let source = exchange(&lab, None, lab.server.addresses()[299]);
        assert_eq!(source.ip(), lab.client.addresses()[0], "{topology:?} {family:?}");
    }
}

// ── sysctls ────────────────────────────────────────────────────────────────────────────────────────────────────────

const REUSE: &str = "net.ipv4.tcp_tw_reuse";
const RANGE: &str = "net.ipv4.ip_local_port_range";

fn sysctls_differ_by_side_and_are_read_back() {
    let mut plan = plan(Topology::Pair, Family::Ipv4);
    plan.sysctl.client = [(REUSE, "1"), (RANGE, "40000 40099"), ("net.ipv4.tcp_retries1", "5")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    plan.sysctl.server = [(REUSE.to_owned(), "0".to_owned())].into();
    let lab = build(&plan);
    let (client, server) = (
        lab.client.effective_sysctls().unwrap(),
        lab.server.effective_sysctls().unwrap(),
    );
    assert_eq!((client[REUSE].as_str(), server[REUSE].as_str()), ("1", "0"));
    assert_eq!(client[RANGE], "40000 40099");
    assert_eq!(
        client["net.ipv4.tcp_retries1"], "5",
        "what is set is read back beside what always is"
    );
    assert!(!server.contains_key("net.ipv4.tcp_retries1"));
    assert!(
        server.contains_key("net.ipv4.tcp_timestamps") && server.len() > 15,
        "{server:?}"
    );
    let port = exchange(&lab, None, lab.server.addresses()[0]).port();
    assert!((40_000..=40_099).contains(&port), "{port}");
}

fn a_namespace_has_a_table_of_connections_of_its_own_where_that_is_asked_for() {
    let mut plan = plan(Topology::Pair, Family::Ipv4);
    plan.sysctl.client.insert(TABLE.to_owned(), "65536".to_owned());
    let lab = build(&plan);
    let [client, server] = [&lab.client, &lab.server].map(|side| side.effective_sysctls().unwrap()[TABLE].clone());
    assert_eq!(client, "65536");
    assert!(server.starts_with('-'), "the machine's table has a minus: {server}");
    exchange(&lab, None, lab.server.addresses()[0]);
    let later = lab.client.set_sysctl(TABLE, "131072").unwrap_err();
    assert!(later.reason.contains("made with 65536"), "{later}");
    let rounded = refusal_of(TABLE, "65537");
    assert!(rounded.reason.contains("made with 131072"), "{rounded}");
    let refused = refusal_of(TABLE, "many");
    assert!(refused.remedy.contains("a power of two"), "{refused}");
}

fn loopback_gives_both_sides_one_namespace_and_its_sysctls() {
    let mut plan = plan(Topology::Loopback, Family::Ipv4);
    plan.sysctl.client.insert(REUSE.to_owned(), "1".to_owned());
    plan.sysctl
        .server
        .insert("net.core.somaxconn".to_owned(), "77".to_owned());
    let lab = build(&plan);
    assert_eq!(lab.client.effective_sysctls(), lab.server.effective_sysctls());
    assert_eq!(lab.client.effective_sysctls().unwrap()["net.core.somaxconn"], "77");
    plan.sysctl.server.insert(REUSE.to_owned(), "0".to_owned());
    assert!(try_to_build(&plan).unwrap_err().reason.contains("share a namespace"));
}

fn refusal_of(name: &str, value: &str) -> Unavailable {
    let mut plan = plan(Topology::Pair, Family::Ipv4);
    plan.sysctl.client.insert(name.to_owned(), value.to_owned());
    try_to_build(&plan).unwrap_err()
}

fn a_sysctl_that_cannot_be_set_says_why() {
    let missing = refusal_of("net.ipv4.tcp_tw_resue", "1");
    assert!(
        missing
            .reason
            .contains("this kernel has no sysctl net.ipv4.tcp_tw_resue"),
        "{missing}"
    );
    assert!(missing.remedy.contains("net.ipv4.tcp_tw_reuse"), "{missing}");
    for global in [
        "net.ipv4.tcp_mem",
        "net.core.netdev_max_backlog",
        "net.ipv4.tcp_allowed_congestion_control",
    ] {
        let refusal = refusal_of(global, "1");
        let said = ["not per network namespace", "one for the whole machine on every kernel"];
        assert!(said.iter().any(|said| refusal.reason.contains(said)), "{refusal}");
    }
    let refusal = refusal_of(RANGE, "60999 32768");
    assert!(refusal.reason.contains("the kernel refused"), "{refusal}");
    for outside in ["kernel.hostname", "net.//.kernel.hostname", "net"] {
        let refusal = refusal_of(outside, "x");
        assert!(
            refusal.reason.contains("not a sysctl of a network namespace"),
            "{refusal}"
        );
    }
    // The kernel keeps what it understood of a bitmap: 24224 twice is once.
    let changed = refusal_of("net.ipv4.ip_local_reserved_ports", "24224,24224");
    assert!(changed.reason.contains("read back as 24224"), "{changed}");
}

fn topology_host_sets_no_sysctl() {
    let mut plan = plan(Topology::Host, Family::Ipv4);
    plan.sysctl.client.insert(REUSE.to_owned(), "1".to_owned());
    let before = host();
    assert!(
        Lab::build(&plan, Privilege::None)
            .unwrap_err()
            .reason
            .contains("never sets")
    );
    assert_unchanged(&before);
    plan.sysctl.client.clear();
    let lab = Lab::build(&plan, Privilege::None).unwrap();
    assert_eq!(lab.description(), "host");
    assert!(lab.client.effective_sysctls().unwrap().contains_key(REUSE));
}

fn without_privilege_there_is_only_the_host() {
    let refused = |topology| Lab::build(&plan(topology, Family::Ipv4), Privilege::None).is_err();
    assert!(refused(Topology::Pair) && refused(Topology::Loopback) && !refused(Topology::Host));
}

// ── what is left ───────────────────────────────────────────────────────────────────────────────────────────────────

/// The host's links and every sysctl of its network that can be read and does not move by itself.
fn host() -> BTreeSet<(PathBuf, Vec<u8>)> {
    let mut found = BTreeSet::from([(PathBuf::from("links"), links())]);
    let mut directories = vec![PathBuf::from("/proc/sys/net")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                _ => found.extend(fs::read(entry.path()).ok().map(|value| (entry.path(), value))),
            }
        }
    }
    found.retain(|(path, _)| !path.ends_with("netfilter/nf_conntrack_count"));
    found
}

fn assert_unchanged(before: &BTreeSet<(PathBuf, Vec<u8>)>) {
    let now = host();
    let changes: Vec<_> = before.symmetric_difference(&now).collect();
    assert!(changes.is_empty(), "{changes:?}");
}

fn links() -> Vec<u8> {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap();
    let names: BTreeSet<_> = table
        .lines()
        .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()))
        .collect();
    format!("{names:?}").into_bytes()
}

fn the_host_is_as_it_was_after_a_lab() {
    let privilege = privilege::acquire().unwrap(); // What may be read differs inside.
    let before = host();
    assert!(before.len() > 200, "{} values", before.len());
    let mut plan = plan(Topology::Pair, Family::Ipv6);
    let values = [
        (REUSE, "1"),
        (RANGE, "20000 20999"),
        ("net.core.somaxconn", "99"),
        ("net.ipv4.ip_local_reserved_ports", "20005"),
        ("net.ipv4.tcp_congestion_control", "reno"),
        ("net.ipv4.tcp_max_tw_buckets", "30"),
        ("net.ipv6.conf.default.forwarding", "1"),
    ];
    plan.sysctl.client = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    plan.sysctl.server = plan.sysctl.client.clone();
    let lab = Lab::build(&plan, privilege).unwrap();
    exchange(&lab, None, lab.server.addresses()[0]);
    assert_unchanged(&before);
    drop(lab);
    assert_unchanged(&before);
}

fn a_dropped_lab_leaves_no_descriptor_and_no_namespace() {
    let privilege = privilege::acquire().unwrap();
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let namespace = || fs::read_link(format!("/proc/self/task/{}/ns/net", nix::unistd::gettid())).unwrap();
    let (before, ours) = (descriptors(), namespace());
    let lab = Lab::build(&plan(Topology::Pair, Family::Ipv4), privilege).unwrap();
    let inside = [lab.client.run(namespace).unwrap(), lab.server.run(namespace).unwrap()];
    assert!(inside[0] != inside[1] && !inside.contains(&ours));
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let thread = lab.client.spawn("long", move || {
        stopped.recv().map_or_else(|_| namespace(), |()| unreachable!())
    });
    drop(lab);
    drop(stop);
    assert_eq!(
        thread.unwrap().join().unwrap(),
        inside[0],
        "a thread keeps its namespace"
    );
    assert_eq!(descriptors(), before);
    let everywhere: BTreeSet<_> = fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .filter_map(|task| fs::read_link(task.path().join("ns/net")).ok())
        .collect();
    assert_eq!(everywhere, BTreeSet::from([ours]));
}

/// The child that is killed: tells its lab's namespaces and waits.
fn hold_a_lab() -> ExitCode {
    let lab = build(&plan(Topology::Pair, Family::Ipv4));
    let namespace = || fs::read_link(format!("/proc/self/task/{}/ns/net", nix::unistd::gettid())).unwrap();
    for side in [&lab.client, &lab.server] {
        println!("{}", side.run(namespace).unwrap().display());
    }
    let _ = std::io::stdin().read(&mut [0]);
    ExitCode::FAILURE
}

fn a_killed_process_leaves_no_namespace() {
    let user = nix::unistd::geteuid().as_raw();
    let pipes = |command: &mut Command| command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut child = pipes(myself(user).arg(HOLD));
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let held: BTreeSet<_> = lines.take(2).map(|line| PathBuf::from(line.unwrap())).collect();
    assert_eq!(held.len(), 2);
    assert!(namespaces_held().is_superset(&held), "the search finds what is there");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(namespaces_held().is_disjoint(&held));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        held.iter()
            .all(|namespace| !mounts.contains(namespace.to_str().unwrap()))
    );
}

/// Every network namespace that a descriptor or a thread of a process that we may look into keeps alive.
fn namespaces_held() -> BTreeSet<PathBuf> {
    let below = |directory: PathBuf| {
        fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    below("/proc".into())
        .flat_map(|process| {
            let threads = below(process.join("task")).map(|thread| thread.join("ns/net"));
            below(process.join("fd")).chain(threads).collect::<Vec<_>>()
        })
        .filter_map(|link| fs::read_link(link).ok())
        .filter(|target| target.to_string_lossy().starts_with("net:["))
        .collect()
}
