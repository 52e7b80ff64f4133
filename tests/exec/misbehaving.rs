//! Programs that do not behave: each is handled, told, and its record kept.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{linger, said};
use crate::{exec, exec_as_nobody, number};

const ECHO: [&str; 2] = ["--protocol", "echo"];

/// Processes of this machine whose command line has this word.
fn alive(mark: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let has = |line: Vec<u8>| line.split(|byte| *byte == 0).any(|word| word == mark.as_bytes());
    processes
        .filter(|process| fs::read(process.path().join("cmdline")).is_ok_and(has))
        .count()
}

#[test]
fn a_program_that_does_not_exist_is_told_and_gives_127() {
    let directory = tempdir().unwrap();
    let (record, output) = exec(directory.path(), &ECHO, &["no-such-program-here"]);
    assert_eq!(output.status.code(), Some(127), "{}", said(&output));
    assert!(
        said(&output).contains("cannot start `no-such-program-here`"),
        "{}",
        said(&output)
    );
    assert_eq!(record["exec"]["ended"]["kind"], "not-started");
    let (_, output) = exec(directory.path(), &ECHO, &["/etc/passwd"]);
    assert_eq!(output.status.code(), Some(126), "{}", said(&output));
}

#[test]
fn a_program_that_exits_3_gives_3_and_its_record_is_kept() {
    let directory = tempdir().unwrap();
    let output = crate::support::run(linger(
        directory.path(),
        &["exec", "--protocol", "echo", "--", "sh", "-c", "echo to stdout; exit 3"],
    ));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(output.stdout, b"to stdout\n", "stdout is the program's own");
    let folder = directory.path().join("results/exec");
    let files: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
    assert_eq!(files.len(), 1);
    let record: Value = serde_json::from_slice(&fs::read(files[0].path()).unwrap()).unwrap();
    assert_eq!(record["exec"]["ended"]["code"], 3);
    let output = crate::support::run(linger(directory.path(), &["report", folder.to_str().unwrap()]));
    assert!(said(&output).contains("exit code 3"), "{}", said(&output));
}

#[test]
fn a_program_that_dies_by_a_signal_gives_128_and_its_number() {
    let directory = tempdir().unwrap();
    let (record, output) = exec(directory.path(), &ECHO, &["sh", "-c", "kill -KILL $$"]);
    assert_eq!(output.status.code(), Some(137), "{}", said(&output));
    assert_eq!(record["exec"]["ended"]["signal"], "SIGKILL");
}

#[test]
fn children_that_a_program_leaves_behind_are_ended_and_counted() {
    for (mark, user) in [("86421.1", "root"), ("86421.2", "nobody")] {
        let directory = tempdir().unwrap();
        let line = format!("sleep {mark} & setsid -f sleep {mark}; exit 0");
        let run = if user == "root" { exec } else { exec_as_nobody };
        let (record, output) = run(directory.path(), &ECHO, &["sh", "-c", &line]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(number(&record, "/exec/left_behind"), 2, "{user}");
        assert_eq!(alive(mark), 0, "{user}");
    }
}

#[test]
fn a_program_that_prints_100_mb_prints_all_of_it() {
    let directory = tempdir().unwrap();
    let mut command = linger(
        directory.path(),
        &[
            "exec",
            "--protocol",
            "echo",
            "--",
            "head",
            "-c",
            "100000000",
            "/dev/zero",
        ],
    );
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let printed = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
    assert_eq!(printed, 100_000_000);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_with_its_tree_when_its_time_is_over() {
    let directory = tempdir().unwrap();
    let line = "trap '' TERM; sleep 86422.1 & while :; do sleep 0.05; done";
    let options = ["--protocol", "echo", "--timeout", "300ms"];
    let (record, output) = exec(directory.path(), &options, &["sh", "-c", line]);
    assert_eq!(output.status.code(), Some(124), "{}", said(&output));
    assert_eq!(record["exec"]["ended"]["timed_out"], true);
    assert!(said(&output).contains("did not end by SIGTERM"), "{}", said(&output));
    assert_eq!(alive("86422.1"), 0);
}

/// Waits until a process with this word is there.
fn until_alive(mark: &str) {
    for _ in 0..3000 {
        if alive(mark) > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no process with {mark} after 30 s");
}

#[test]
fn sigkill_of_linger_leaves_nothing_of_the_program() {
    let directory = tempdir().unwrap();
    let line = "trap '' TERM; setsid -f sleep 86423.1; sleep 86423.1";
    let mut child = linger(
        directory.path(),
        &["exec", "--protocol", "echo", "--", "sh", "-c", line],
    )
    .stderr(Stdio::null())
    .spawn()
    .unwrap();
    until_alive("86423.1");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    for _ in 0..1000 {
        if alive("86423.1") == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the program outlived linger by 5 s");
}

#[test]
fn a_signal_for_linger_reaches_the_program_and_its_record_is_kept() {
    let directory = tempdir().unwrap();
    let line = "trap 'exit 42' TERM; sleep 86424.1 & wait";
    let child = linger(
        directory.path(),
        &["exec", "--json", "--protocol", "echo", "--", "sh", "-c", line],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    until_alive("86424.1");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", said(&output));
    let record = &crate::support::records(&output)[0];
    assert_eq!(record["interrupted"], true);
    assert_eq!(alive("86424.1"), 0);
}

#[test]
fn stdin_environment_and_directory_are_the_programs_own() {
    let directory = tempdir().unwrap();
    let line = "cat; echo $LINGER_HOST $LINGER_PORT $LINGER_SERVER $LINGER_PROTOCOL $MINE; pwd; ulimit -Sn";
    let input = directory.path().join("input");
    fs::write(&input, "from stdin\n").unwrap();
    let output = linger(
        directory.path(),
        &["exec", "--protocol", "redis", "--", "sh", "-c", line],
    )
    .stdin(fs::File::open(input).unwrap())
    .env("MINE", "kept")
    .output()
    .unwrap();
    let soft = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .unwrap()
        .0;
    let expected = format!(
        "from stdin\n10.2.0.1 6379 10.2.0.1:6379 redis kept\n{}\n{soft}\n",
        directory.path().display()
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", said(&output));
}
