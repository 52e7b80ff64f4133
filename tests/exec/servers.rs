//! Real servers in the lab's server namespace, and the comparison of two programs against one.

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{linger, require, run, said};
use crate::{agrees_with_the_kernel, exec, exec_as_nobody, number};

pub(crate) const REDIS: &str =
    "exec redis-server --bind $LINGER_HOST --port $LINGER_PORT --save '' --protected-mode no --dir /";

#[test]
fn a_real_redis_is_started_waited_for_and_stopped() {
    require("redis-server", "redis-server");
    require("redis-cli", "redis-tools");
    for run in [exec, exec_as_nobody] {
        let directory = tempdir().unwrap();
        let command = [
            "redis-benchmark",
            "-h",
            "server.linger",
            "-t",
            "get",
            "-n",
            "200",
            "-c",
            "5",
            "-q",
        ];
        let (record, output) = run(
            directory.path(),
            &["--protocol", "redis", "--server-exec", REDIS],
            &command,
        );
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        agrees_with_the_kernel(&record);
        assert!(number(&record, "/exec/connections/opened") >= 5);
        assert_eq!(record["server"], Value::Null, "nothing is said of what was not counted");
        assert_eq!(record["exec"]["server"]["ended"], Value::Null);
    }
}

/// A data directory for MariaDB, and the line that serves it.
fn mariadb(folder: &std::path::Path) -> String {
    require("mariadbd", "mariadb-server");
    let place = folder.display();
    let output = std::process::Command::new("mariadb-install-db")
        .args([
            "--no-defaults",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ])
        .arg(format!("--datadir={place}/data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let users = "CREATE USER linger@'%' IDENTIFIED BY 'secret';";
    std::fs::write(folder.join("users.sql"), users).unwrap();
    format!(
        "PATH=$PATH:/usr/sbin; exec mariadbd --no-defaults --user=root --skip-name-resolve --bind-address=$LINGER_HOST \
         --port=$LINGER_PORT --datadir={place}/data --init-file={place}/users.sql --socket={place}/socket \
         --pid-file={place}/pid"
    )
}

#[test]
fn the_mariadb_client_leaves_time_wait_where_a_real_server_and_it_decide() {
    require("mariadb", "mariadb-client");
    let directory = tempdir().unwrap();
    let server = mariadb(directory.path());
    let line = "for i in 1 2 3 4 5; do mariadb --no-defaults -h server.linger -u linger -psecret --skip-ssl -e 'SELECT 1'; done";
    let (record, output) = exec(
        directory.path(),
        &[
            "--protocol",
            "mysql",
            "--server-exec",
            &server,
            "--server-within",
            "60s",
        ],
        &["sh", "-c", line],
    );
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agrees_with_the_kernel(&record);
    assert_eq!(number(&record, "/exec/connections/opened"), 5);
    assert_eq!(number(&record, "/connects/ok"), 5);
}

#[test]
fn a_server_that_does_not_start_is_told_with_its_last_lines_and_exit_code_4() {
    let directory = tempdir().unwrap();
    let line = "echo no configuration; echo nor anything else; exit 1";
    let (record, output) = exec(directory.path(), &["--port", "80", "--server-exec", line], &["true"]);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(record["verdict"]["status"], "unavailable");
    let card = said(&output);
    for told in [
        "command      true\n",
        "             | no configuration\n             | nor anything else\n",
    ] {
        assert!(card.contains(told), "{card}");
    }
    assert!(!card.contains("closes first"), "{card}");
}

#[test]
fn a_real_server_needs_a_port() {
    let directory = tempdir().unwrap();
    let output = run(linger(
        directory.path(),
        &["exec", "--server-exec", "true", "--", "true"],
    ));
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("on which port?"), "{}", said(&output));
}

#[test]
fn a_client_that_keeps_its_connection_no_more_fails_the_gate_and_itself_does_not() {
    require("curl", "curl");
    let directory = tempdir().unwrap();
    let gate = |out: &str, new: &str| {
        run(linger(
            directory.path(),
            &[
                "exec",
                "--protocol",
                "http",
                "--repeat",
                "6",
                "--against",
                "curl -sS http://server.linger/1 http://server.linger/2 http://server.linger/3",
                "--fail-if",
                "exec.connections.opened > 1.5",
                "--out",
                out,
                "--",
                "sh",
                "-c",
                new,
            ],
        ))
    };
    let same = gate(
        "same",
        "curl -sS http://server.linger/1 http://server.linger/2 http://server.linger/3",
    );
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    let worse = gate("worse", "for i in 1 2 3; do curl -sS http://server.linger/$i; done");
    assert_eq!(worse.status.code(), Some(3), "{}", said(&worse));
    assert!(said(&worse).contains("exec.connections.opened"), "{}", said(&worse));
    // What was recorded compares apart, too.
    let again = run(linger(
        directory.path(),
        &[
            "compare",
            "worse/exec/base",
            "worse/exec/new",
            "--fail-if",
            "exec.connections.opened > 2.9",
        ],
    ));
    assert!(matches!(again.status.code(), Some(0 | 3 | 5)), "{}", said(&again));
}

#[test]
fn limits_that_can_come_to_nothing_are_refused_before_anything_runs() {
    let directory = tempdir().unwrap();
    let told = |arguments: &[&str]| {
        let against = ["exec", "--out", "records", "--against", "touch ran"];
        let output = run(linger(
            directory.path(),
            &[&against[..], arguments, &["--", "touch", "ran"]].concat(),
        ));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(!directory.path().join("ran").exists() && !directory.path().join("records").exists());
        said(&output)
    };
    let opened = ["--fail-if", "exec.connections.opened > 1.1"];
    let per_request = ["--fail-if", "exec.connections.per_request > 1.1"];
    let nonsense = told(&["--fail-if", "exec.connections.opend > 1.1"]);
    assert!(
        nonsense.contains("the nearest metric is exec.connections.opened"),
        "{nonsense}"
    );
    assert!(told(&["--fail-if", "new: exec.nonsense > 1"]).contains("no record has exec.nonsense"));
    assert!(told(&["--fail-if", "outcomes.ok < 0.9"]).contains("`outcomes` is of a scenario's load"));
    let few = told(&[&["--repeat", "5"][..], &opened, &per_request].concat());
    assert!(
        few.contains("--repeat 5 cannot tell") && few.contains("--repeat 6 or more"),
        "{few}"
    );
    assert!(told(&[&["--server-exec", "true", "--port", "80"][..], &per_request].concat()).contains("--server-exec"));
    assert!(told(&["--no-trace", "--fail-if", "connects.failed_total > 1.1"]).contains("--no-trace"));
}

#[test]
fn a_new_that_fails_is_inconclusive_for_both_commands_and_the_comparison_is_on_stdout() {
    let directory = tempdir().unwrap();
    let limit = ["--fail-if", "exec.connections.opened > 1.10"];
    let gate = [
        "exec",
        "--protocol",
        "redis",
        "--repeat",
        "5",
        "--out",
        "records",
        "--against",
        "echo of base",
    ];
    let output = run(linger(
        directory.path(),
        &[&gate[..], &limit, &["--", "sh", "-c", "exit 3"]].concat(),
    ));
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), crate::support::stderr(&output));
    assert!(stdout.starts_with("exec: base against new\n"), "{stdout}");
    assert!(
        stdout.ends_with("inconclusive: runs of the program failed\n"),
        "{stdout}"
    );
    assert!(
        !stdout.contains("of base\n") && stderr.contains("of base\n"),
        "{stderr}"
    );
    assert!(
        stderr.contains("linger: run 1 of 10, base\n") && stderr.contains("linger: run 10 of 10, new\n"),
        "{stderr}"
    );
    let again = run(linger(
        directory.path(),
        &[&["compare", "records/exec/base", "records/exec/new"][..], &limit].concat(),
    ));
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    assert_eq!(String::from_utf8_lossy(&again.stdout), stdout);
    let report = |format: &str| {
        let output = run(linger(
            directory.path(),
            &["report", "records/exec/new", "--format", format],
        ));
        (output.status.code(), said(&output))
    };
    let (_, junit) = report("junit");
    assert!(junit.contains("failures=\"5\""), "{junit}");
    assert!(report("markdown").1.contains("| exit 3 |"));
    let (code, told) = report("hdr-percentiles");
    assert!(
        code != Some(0) && told.contains("no latency histogram in 5 records"),
        "{told}"
    );
}

#[test]
fn a_folder_of_two_commands_is_refused_with_the_files_that_differ() {
    let directory = tempdir().unwrap();
    for command in ["true", "/bin/true"] {
        run(linger(directory.path(), &["exec", "--out", "records", "--", command]));
    }
    let output = run(linger(directory.path(), &["compare", "records/exec", "records/exec"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let told = crate::support::stderr(&output);
    assert!(told.contains("a side must be of one command and one setting"), "{told}");
    assert!(told.contains(" true in records/exec/"), "{told}");
    assert!(told.contains("/bin/true in records/exec/"), "{told}");
}
