//! connect() of programs that know nothing of linger: what is told of it is what they saw, and they see the same as ever.
//!
//! Needs root (or a user namespace's root), python3, curl and strace.
#![allow(unsafe_code)] // pre_exec: the hook installs itself between fork() and exec().

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use linger::foreign::connects::{Choice, Way, prepare};
use linger::record::schema::Connects;
use linger::tcp::Loss;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, SockRef, Socket, Type};

const WAYS: [(Choice, Option<Way>); 3] = [
    (Choice::Off, None),
    (Choice::Notify, Some(Way::Notify)),
    (Choice::Trace, Some(Way::Trace)),
];

/// Runs `test` on a thread in a fresh network namespace with lo up.
fn inside<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("this test makes a network namespace: run it as root");
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .expect("iproute2");
            assert!(up.success());
            test()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn listener() -> (TcpListener, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
        .unwrap();
    socket.listen(4096).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn ports(range: &str) {
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
}

/// What surrounds the program.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Around {
    Nothing,
    /// A PID namespace in which it is process 1, and a user namespace that maps nobody.
    Namespaces,
    /// It is user 65534, without capabilities.
    Nobody,
}

/// After fork(): the program becomes a child of this process, which waits for it and ends as it does.
fn divide(around: Around) {
    // SAFETY: system calls alone.
    unsafe {
        if around == Around::Namespaces {
            assert_eq!(libc::unshare(libc::CLONE_NEWPID), 0);
        }
        let program = libc::fork();
        if program == 0 && around == Around::Namespaces {
            libc::unshare(libc::CLONE_NEWUSER);
        }
        if program == 0 && around == Around::Nobody {
            libc::setuid(65534);
        }
        if program != 0 {
            let mut status = 0;
            libc::waitpid(program, &raw mut status, 0);
            libc::_exit(libc::WEXITSTATUS(status) + 128 * i32::from(libc::WIFSIGNALED(status)));
        }
    }
}

fn observed(command: Command, choice: Choice) -> (Output, Option<Way>, Connects) {
    observed_in(Around::Nothing, command, choice)
}

fn observed_in(around: Around, mut command: Command, choice: Choice) -> (Output, Option<Way>, Connects) {
    let (hook, supervisor) = prepare(choice).unwrap();
    // SAFETY: the hook makes system calls alone.
    unsafe {
        command.pre_exec(move || {
            divide(around);
            hook.install()
        })
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    let way = supervisor.way();
    let output = child.wait_with_output().unwrap();
    let connects = supervisor.finish();
    let failed: u64 = connects.failed.iter().map(|failed| failed.count).sum();
    let all = connects.ok + failed + connects.failed_later + connects.unknown + connects.connecting_at_end;
    assert_eq!(connects.attempts, all, "{connects:?}");
    assert_eq!(connects.way.as_deref(), way.map(Way::name));
    (output, way, connects)
}

fn script(what: &str, port: u16, count: u32) -> Command {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/connects/programs.py");
    // What a wrapper that finds the interpreter calls (pyenv's asks nscd for the user's shell) is observed too.
    static INTERPRETER: LazyLock<String> = LazyLock::new(|| {
        let output = Command::new("python3")
            .args(["-c", "import sys; print(sys.executable, end='')"])
            .output()
            .expect("python3");
        String::from_utf8(output.stdout).unwrap()
    });
    let mut command = Command::new(&*INTERPRETER);
    command.args([path, what, &port.to_string(), &count.to_string()]);
    command
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs the script in each way, checks that it says the same in all, and gives what it said and what was told of it by
/// either way.
fn in_all_ways(what: &str, count: u32, prepare: impl Fn(&TcpListener) + Sync) -> (String, [Connects; 2]) {
    let mut runs = WAYS.map(|(choice, expected)| {
        inside(|| {
            let (listener, address) = listener();
            prepare(&listener);
            let (output, way, connects) = observed(script(what, address.port(), count), choice);
            assert_eq!(way, expected, "{:?}", connects.notes);
            (said(&output), connects)
        })
    });
    let [off, notify, trace] = &mut runs;
    assert_eq!(off.0, notify.0, "notify changes what the program sees");
    assert_eq!(off.0, trace.0, "trace changes what the program sees");
    assert_eq!(off.1.attempts, 0);
    (
        std::mem::take(&mut off.0),
        [std::mem::take(&mut notify.1), std::mem::take(&mut trace.1)],
    )
}

fn counts(said: &str) -> BTreeMap<String, u64> {
    said.lines()
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, count)| (name.to_owned(), count.parse().unwrap()))
        .collect()
}

fn failed(connects: &Connects) -> BTreeMap<String, u64> {
    connects
        .failed
        .iter()
        .map(|failed| (failed.errno.clone(), failed.count))
        .collect()
}

fn nothing(_: &TcpListener) {}

/// No SYN is answered any more.
fn deafen(listener: &TcpListener) {
    let losing_syn = Loss {
        with: 2,
        ..Loss::default()
    };
    SockRef::from(listener).attach_filter(&losing_syn.program()).unwrap();
}

#[test]
fn ports_that_are_exhausted_are_counted_exactly_as_the_program_saw_it() {
    let few = |_: &TcpListener| ports("40000 40019");
    let (said, ways) = in_all_ways("exhaustion", 50, few);
    let saw = counts(&said);
    assert_eq!((saw["OK"], saw["EADDRNOTAVAIL"]), (20, 30));
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (50, 20), "{connects:?}");
        assert_eq!(failed(&connects), BTreeMap::from([("EADDRNOTAVAIL".to_owned(), 30)]));
        assert_eq!(connects.call.unwrap().count, 50);
        assert_eq!(
            (connects.destinations[0].attempts, connects.destinations[0].failed),
            (50, 30)
        );
    }
    let (said, ways) = in_all_ways("exhaustion_nonblocking", 50, few);
    let saw = counts(&said);
    assert_eq!((saw["SO_ERROR OK"], saw["first EADDRNOTAVAIL"]), (20, 30));
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (50, 20), "{connects:?}");
        assert_eq!(failed(&connects), BTreeMap::from([("EADDRNOTAVAIL".to_owned(), 30)]));
    }
}

#[test]
fn a_refusal_is_told_by_its_errno_when_connect_gave_it_and_as_a_failure_when_it_came_later() {
    let (said, ways) = in_all_ways("refused", 20, nothing);
    assert_eq!(counts(&said)["ECONNREFUSED"], 20);
    for connects in ways {
        assert_eq!(
            failed(&connects),
            BTreeMap::from([("ECONNREFUSED".to_owned(), 20)]),
            "{connects:?}"
        );
    }
    let (said, ways) = in_all_ways("later", 20, nothing);
    let saw = counts(&said);
    // SO_ERROR is still the program's to fetch.
    assert_eq!((saw["SO_ERROR OK"], saw["SO_ERROR ECONNREFUSED"]), (20, 20));
    for connects in ways {
        assert_eq!(
            (connects.attempts, connects.ok, connects.failed_later),
            (40, 20, 20),
            "{connects:?}"
        );
    }
    let (said, ways) = in_all_ways("aio", 20, nothing);
    assert_eq!(counts(&said)["OK"], 20);
    for connects in ways {
        assert_eq!(
            (connects.attempts, connects.ok, connects.failed_later),
            (40, 20, 20),
            "{connects:?}"
        );
    }
}

#[test]
fn further_calls_on_a_socket_that_connects_are_no_attempts() {
    let (_, ways) = in_all_ways("twice", 0, nothing);
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (3, 1), "{connects:?}");
        // The second call fetched the first one's errno, the third tried anew, and the fourth fetched that one's.
        assert_eq!(
            failed(&connects),
            BTreeMap::from([("ECONNREFUSED".to_owned(), 2)]),
            "{connects:?}"
        );
        assert_eq!(connects.repeated_calls, 5);
    }
}

#[test]
fn threads_and_children_are_observed() {
    let (said, ways) = in_all_ways("threads", 25, nothing);
    let saw = counts(&said);
    assert_eq!((saw["OK"], saw["ECONNREFUSED"]), (200, 200));
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (400, 200), "{connects:?}");
        assert_eq!(failed(&connects)["ECONNREFUSED"], 200);
    }
    let (_, ways) = in_all_ways("forks", 10, nothing);
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (20, 10), "{connects:?}");
    }
    let (said, ways) = in_all_ways("execs", 5, nothing);
    assert!(said.contains("curl 7"), "{said}");
    for connects in ways {
        assert_eq!(connects.attempts, 6, "{connects:?}");
    }
}

#[test]
fn what_is_not_tcp_passes_untouched() {
    // The interpreter itself may ask nscd for the user's home, by two calls.
    let (_, idle) = in_all_ways("idle", 0, nothing);
    let (_, ways) = in_all_ways("others", 0, nothing);
    for (connects, idle) in ways.into_iter().zip(idle) {
        let others = connects.other_calls - idle.other_calls;
        assert_eq!((connects.attempts, others), (0, 3), "{connects:?} {idle:?}");
    }
    let (_, ways) = in_all_ways("six", 0, nothing);
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (2, 1), "{connects:?}");
        let to: Vec<&str> = connects.destinations.iter().map(|to| to.destination.as_str()).collect();
        assert!(
            to.contains(&"[::1]:9") && to.iter().any(|to| to.starts_with("127.0.0.1:")),
            "{to:?}"
        );
    }
}

#[test]
fn signals_and_time_outs_end_a_call_that_nobody_answers_as_ever() {
    let (_, ways) = in_all_ways("slow", 0, deafen);
    for connects in ways {
        assert_eq!(
            (connects.attempts, connects.ok, connects.failed.len()),
            (3, 0, 0),
            "{connects:?}"
        );
        assert_eq!(connects.unknown + connects.connecting_at_end, 3);
    }
    let (text, ways) = in_all_ways("signals_restarting", 200, nothing);
    let saw = counts(&text);
    assert_eq!((saw["OK"], saw["ECONNREFUSED"]), (200, 200));
    for connects in ways {
        assert_eq!((connects.attempts, connects.ok), (400, 200), "{connects:?}");
    }
    // Of a handler that does not let the kernel begin the call anew, only tracing shows no trace.
    let (text, way, connects) = inside(|| {
        let (_listener, address) = listener();
        let (output, way, connects) = observed(script("signals", address.port(), 200), Choice::Trace);
        (said(&output), way, connects)
    });
    let saw = counts(&text);
    assert_eq!(way, Some(Way::Trace));
    assert_eq!((saw["OK"], saw["ECONNREFUSED"]), (200, 200));
    assert_eq!(connects.attempts, 400, "{connects:?}");
}

#[test]
fn strace_counts_the_same_calls_and_errors() {
    inside(|| {
        ports("40000 40019");
        let (_listener, address) = listener();
        let directory = tempfile::tempdir().unwrap();
        let trace = directory.path().join("trace");
        let inner = script("exhaustion", address.port(), 50);
        let mut command = Command::new("strace");
        command
            .args(["-f", "-e", "trace=connect", "-o"])
            .arg(&trace)
            .arg(inner.get_program())
            .args(inner.get_args());
        let (output, way, connects) = observed(command, Choice::Automatic);
        assert_eq!(way, Some(Way::Notify), "{:?}", connects.notes);
        said(&output);
        let trace = std::fs::read_to_string(trace).unwrap();
        let inet: Vec<&str> = trace.lines().filter(|line| line.contains("AF_INET")).collect();
        assert_eq!(connects.attempts, inet.len() as u64, "{trace}");
        let unavailable = inet.iter().filter(|line| line.contains("EADDRNOTAVAIL")).count() as u64;
        assert_eq!(failed(&connects)["EADDRNOTAVAIL"], unavailable, "{trace}");
    });
}

#[test]
fn a_program_in_namespaces_of_its_own_is_observed() {
    for (choice, expected) in &WAYS[1..] {
        inside(|| {
            let (_listener, address) = listener();
            let command = script("threads", address.port(), 5);
            let (output, way, connects) = observed_in(Around::Namespaces, command, *choice);
            assert_eq!(way, *expected, "{:?}", connects.notes);
            assert_eq!(counts(&said(&output))["OK"], 40);
            assert_eq!((connects.attempts, connects.ok), (80, 40), "{connects:?}");
            assert!(connects.notes.is_empty(), "{:?}", connects.notes);
        });
    }
}

#[test]
fn without_capabilities_the_program_renounces_new_privileges_and_it_is_said() {
    for (choice, expected) in &WAYS[1..] {
        inside(|| {
            let mut command = Command::new("curl");
            command.args(["-s", "http://127.0.0.1:9/"]);
            let (output, way, connects) = observed_in(Around::Nobody, command, *choice);
            assert_eq!(
                (output.status.code(), way),
                (Some(7), *expected),
                "{:?}",
                connects.notes
            );
            assert_eq!(connects.attempts, 1, "{connects:?}");
            assert!(
                connects.notes[0].contains("PR_SET_NO_NEW_PRIVS"),
                "{:?}",
                connects.notes
            );
        });
    }
}

#[test]
fn a_program_that_is_killed_while_it_connects_leaves_nobody_waiting() {
    for (choice, expected) in &WAYS[1..] {
        inside(|| {
            let (listener, address) = listener();
            deafen(&listener);
            let command = script("refused_then_killed", address.port(), 3);
            let (output, way, connects) = observed(command, *choice);
            assert!(!output.status.success());
            assert_eq!(way, *expected);
            assert_eq!(
                failed(&connects),
                BTreeMap::from([("ECONNREFUSED".to_owned(), 3)]),
                "{connects:?}"
            );
            assert_eq!(
                (connects.attempts, connects.unknown + connects.connecting_at_end),
                (4, 1),
                "{connects:?}"
            );
        });
    }
}

#[test]
fn a_program_that_does_not_start_leaves_nobody_waiting() {
    let (hook, supervisor) = prepare(Choice::Automatic).unwrap();
    drop(hook);
    assert_eq!(supervisor.way(), None);
    let connects = supervisor.finish();
    assert!(connects.notes[0].contains("did not start"), "{:?}", connects.notes);
}

#[test]
fn a_direct_child_is_not_traced_since_the_tracer_would_take_its_end_away() {
    inside(|| {
        let (hook, supervisor) = prepare(Choice::Trace).unwrap();
        let mut command = Command::new("true");
        // SAFETY: the hook makes system calls alone.
        unsafe { command.pre_exec(move || hook.install()) };
        let mut child = command.spawn().unwrap();
        drop(command);
        assert_eq!(supervisor.way(), None);
        assert!(child.wait().unwrap().success());
        let connects = supervisor.finish();
        assert!(
            connects.notes[0].contains("child of linger's own"),
            "{:?}",
            connects.notes
        );
    });
}

#[test]
fn curl_that_is_refused_is_told_of() {
    for (choice, _) in &WAYS[1..] {
        inside(|| {
            let mut command = Command::new("curl");
            command.args(["-s", "http://127.0.0.1:9/"]);
            let (output, _, connects) = observed(command, *choice);
            assert_eq!(output.status.code(), Some(7));
            assert_eq!((connects.attempts, connects.failed_later), (1, 1), "{connects:?}");
        });
    }
}
