//! Other people's programs in the lab: how they end, what they leave, and servers that do and do not come to listen.

use std::net::SocketAddr;
use std::time::Duration;

use linger::foreign::{CommandLine, Ended, Group, How, Lives, Program, Server, ServerError, StartError, Streams};
use linger::lab::{Lab, Privilege};
use linger::scenario::plan::TrialPlan;

const PATIENCE: Duration = Duration::from_secs(30);

fn lab() -> Lab {
    assert!(
        nix::unistd::geteuid().is_root(),
        "these tests make labs in a process with threads and so need root; as a user, run tests/exec.rs"
    );
    let plan: TrialPlan = serde_json::from_str(include_str!("fixtures/plan.json")).unwrap();
    Lab::build(&plan, Privilege::Root).unwrap()
}

fn program(command: CommandLine, contained: bool) -> Program {
    Program {
        command,
        environment: vec![("LINGER_TEST".into(), "here".into())],
        directory: None,
        streams: Streams::Kept,
        group: Group::Own,
        lives: Lives::AsTheProgram,
        names: vec![("server.linger".into(), "10.2.0.1".parse().unwrap())],
        descriptors: None,
        contained,
        connects: None,
    }
}

fn shell(line: &str, contained: bool) -> Program {
    program(CommandLine::Shell(line.into()), contained)
}

/// Runs a shell line to its end: how it ended, and what it printed last.
fn run(line: &str, contained: bool) -> (Ended, Vec<String>) {
    let lab = lab();
    let mut running = shell(line, contained).start(&lab.client, Privilege::Root).unwrap();
    assert_eq!(running.is_contained(), contained);
    let ended = running.wait(PATIENCE).expect("it ends").clone();
    (ended, settled_lines(&running))
}

/// What was printed, once the reading thread has it all.
fn settled_lines(running: &linger::foreign::Running) -> Vec<String> {
    let mut before = running.last_lines();
    loop {
        std::thread::sleep(Duration::from_millis(20));
        let now = running.last_lines();
        if now == before {
            return now;
        }
        before = now;
    }
}

/// Processes of this machine whose command line has `mark`.
fn alive(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|process| {
            std::fs::read(process.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).split('\0').any(|word| word == mark))
        })
        .count()
}

#[test]
fn a_program_keeps_its_exit_code_its_environment_and_its_directory() {
    for contained in [true, false] {
        let mut asked = shell("echo $LINGER_TEST $PWD; exit 7", contained);
        asked.directory = Some("/usr".into());
        let lab = lab();
        let mut running = asked.start(&lab.client, Privilege::Root).unwrap();
        let ended = running.wait(PATIENCE).unwrap().clone();
        assert_eq!((ended.how, ended.left_behind), (How::Exited(7), 0));
        assert_eq!(settled_lines(&running), ["here /usr"]);
    }
}

#[test]
fn a_program_that_dies_by_a_signal_is_told_by_that_signal() {
    for contained in [true, false] {
        let (ended, _) = run("kill -SEGV $$", contained);
        assert!(
            matches!(ended.how, How::Signal { number: 11, .. }),
            "{ended:?}: expected SIGSEGV"
        );
    }
}

#[test]
fn a_program_finds_the_lab_its_own_processes_and_the_servers_name() {
    let (ended, lines) = run(
        "echo $(cat /proc/net/fib_trie | grep -c 10.1.0.1) $(getent hosts server.linger) $$ $(readlink /proc/self/ns/pid | wc -l)",
        true,
    );
    assert_eq!(ended.trouble, [""; 0]);
    let words: Vec<&str> = lines[0].split(' ').collect();
    assert!(words[0].parse::<u32>().unwrap() > 0, "the client's address: {lines:?}");
    assert_eq!(&words[1..4], ["10.2.0.1", "server.linger", "2"], "{lines:?}");
    let outside = std::fs::read_to_string("/etc/hosts").unwrap();
    assert!(!outside.contains("server.linger"), "the host's own file is as it was");
}

#[test]
fn what_a_program_leaves_behind_is_ended_and_counted() {
    for (mark, contained) in [("97531.1", true), ("97531.2", false)] {
        // One in the background, one that has left session and parent.
        let line = format!("sleep {mark} & setsid -f sh -c 'sleep {mark}; true'; exit 0");
        let (ended, _) = run(&line, contained);
        assert_eq!(ended.how, How::Exited(0));
        assert!((2..=3).contains(&ended.left_behind), "{ended:?}");
        assert_eq!(alive(mark), 0, "contained: {contained}");
    }
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_its_children() {
    for (mark, contained) in [("97532.1", true), ("97532.2", false)] {
        let lab = lab();
        let line = format!("trap '' TERM; sleep {mark} & echo ready; wait; wait");
        let mut running = shell(&line, contained).start(&lab.client, Privilege::Root).unwrap();
        while running.last_lines().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(running.end(Duration::from_millis(200)), "SIGTERM was not enough");
        let ended = running.wait(PATIENCE).unwrap();
        assert!(matches!(ended.how, How::Signal { number: 9, .. }), "{ended:?}");
        assert_eq!(alive(mark), 0);
    }
}

#[test]
fn a_signal_is_passed_on_to_the_program() {
    for contained in [true, false] {
        let lab = lab();
        let mut running = shell(
            "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done",
            contained,
        )
        .start(&lab.client, Privilege::Root)
        .unwrap();
        while running.last_lines().is_empty() {
            std::thread::sleep(Duration::from_millis(5));
        }
        running.signal(nix::libc::SIGUSR1);
        assert_eq!(running.wait(PATIENCE).unwrap().how, How::Exited(42));
    }
}

#[test]
fn a_program_that_prints_without_end_is_not_kept_waiting_and_its_last_lines_are_kept() {
    let (ended, lines) = run(
        "head -c 20000000 /dev/zero | tr '\\0' x | fold -w 100; echo; echo the last",
        true,
    );
    assert_eq!(ended.how, How::Exited(0));
    assert_eq!(lines.last().map(String::as_str), Some("the last"));
}

#[test]
fn a_program_that_is_not_there_or_cannot_be_executed_is_told() {
    let lab = lab();
    for contained in [true, false] {
        let start = |name: &str| {
            program(CommandLine::Argv(name.into(), vec![]), contained)
                .start(&lab.client, Privilege::Root)
                .unwrap_err()
        };
        assert!(matches!(start("no-such-program-here"), StartError::NotFound { .. }));
        assert!(matches!(start("/etc/passwd"), StartError::NotExecutable { .. }));
    }
}

#[test]
fn dropping_a_program_ends_it() {
    let lab = lab();
    let running = shell("sleep 97533.1; true", true)
        .start(&lab.client, Privilege::Root)
        .unwrap();
    drop(running);
    assert_eq!(alive("97533.1"), 0);
}

fn server(line: &str, port: u16, within: Duration) -> Result<Server, ServerError> {
    let lab = lab();
    let address = SocketAddr::new(lab.server.addresses()[0], port);
    Server::start(
        shell(line, true),
        &lab.server,
        Privilege::Root,
        address,
        within,
        &|| false,
    )
}

#[test]
fn a_server_is_waited_for_until_it_listens_and_ends_by_sigterm() {
    let server = server(
        "exec redis-server --bind 10.2.0.1 --port 6379 --save '' --dir /",
        6379,
        PATIENCE,
    )
    .unwrap();
    let stopped = server.stop();
    assert_eq!((stopped.early, stopped.killed), (false, false));
    assert_eq!(stopped.ended.unwrap().how, How::Exited(0));
}

#[test]
fn a_server_that_ends_is_told_with_what_it_printed_last() {
    let error = server("echo no such table; exit 3", 6379, PATIENCE)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("exit code 3 before it listened on 10.2.0.1:6379"),
        "{error}"
    );
}

#[test]
fn a_server_that_listens_elsewhere_is_told_where() {
    let line = "exec redis-server --bind 10.2.0.1 --port 7777 --save '' --dir /";
    let error = server(line, 6379, Duration::from_secs(2)).unwrap_err().to_string();
    assert!(error.contains("does not listen on 10.2.0.1:6379 after 2 s"), "{error}");
    assert!(error.contains("there are listeners on 10.2.0.1:7777"), "{error}");
}
