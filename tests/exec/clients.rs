//! Other people's clients against the built-in server.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{require, said};
use crate::{agrees_with_the_kernel, exec, exec_as_nobody, figures, number};

const PACKAGES: [&str; 3] = ["PyMySQL==1.2.4", "redis==7.4.1", "requests==2.34.2"];

/// Python with the packages that these tests import, installed once.
pub(crate) fn python() -> &'static str {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let python = READY.get_or_init(|| {
        require("python3", "python3-venv");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("exec-python");
        let python = folder.join("bin/python");
        let done = folder.join("installed");
        if std::fs::read_to_string(&done).is_ok_and(|list| list == PACKAGES.join(" ")) {
            return python;
        }
        let run = |command: &mut Command| {
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", said(&output));
        };
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES));
        std::fs::write(done, PACKAGES.join(" ")).unwrap();
        python
    });
    python.to_str().unwrap()
}

pub(crate) fn script(protocol: &str, script: &str) -> Value {
    let directory = tempdir().unwrap();
    let (record, output) = exec(directory.path(), &["--protocol", protocol], &[python(), "-c", script]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agrees_with_the_kernel(&record);
    record
}

fn run(protocol: &str, command: &[&str]) -> Value {
    let directory = tempdir().unwrap();
    let (record, output) = exec(directory.path(), &["--protocol", protocol], command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agrees_with_the_kernel(&record);
    record
}

#[test]
fn curl_opens_one_connection_and_closes_it_first() {
    require("curl", "curl");
    let record = run("http", &["curl", "-sS", "http://server.linger/"]);
    assert_eq!(figures(&record), [1, 1, 1, 0]);
    assert_eq!(number(&record, "/closings/closed_first/client_fin"), 1);
}

#[test]
fn ab_opens_a_connection_a_request_and_with_k_one_a_client() {
    require("ab", "apache2-utils");
    let record = run("http", &["ab", "-q", "-n", "500", "-c", "4", "http://server.linger/"]);
    let [opened, requests, _, server] = figures(&record);
    // It opens up to one more for each of its clients, which it does not use.
    assert!((500..=504).contains(&opened), "{opened}");
    assert_eq!((requests, server), (500, 500));
    let record = run(
        "http",
        &["ab", "-k", "-q", "-n", "500", "-c", "4", "http://server.linger/"],
    );
    let [opened, requests, client, server] = figures(&record);
    assert!((4..=8).contains(&opened), "{opened}");
    assert_eq!((requests, client + server), (500, opened));
}

#[test]
fn requests_with_a_session_keeps_one_connection_and_without_it_none() {
    let with = script(
        "http",
        "import requests\ns = requests.Session()\nfor _ in range(50): s.get('http://server.linger/').raise_for_status()\ns.close()",
    );
    assert_eq!(figures(&with), [1, 50, 1, 0]);
    let without = script(
        "http",
        "import requests\nfor _ in range(50): requests.get('http://server.linger/').raise_for_status()",
    );
    assert_eq!(figures(&without), [50, 50, 50, 0]);
    assert_eq!(without.pointer("/exec/connections/per_request"), Some(&1.0.into()));
}

#[test]
fn redis_py_keeps_a_connection_in_its_pool_and_without_one_opens_many() {
    let pooled = script(
        "redis",
        "import redis\nr = redis.Redis(host='server.linger')\nfor _ in range(50): r.get('key')\nr.close()",
    );
    assert_eq!(number(&pooled, "/exec/connections/opened"), 1);
    assert_eq!(number(&pooled, "/exec/connections/requests"), 50);
    let churning = script(
        "redis",
        "import redis\nfor _ in range(50):\n    r = redis.Redis(host='server.linger')\n    r.get('key')\n    r.close()",
    );
    assert_eq!(figures(&churning), [50, 50, 50, 0]);
    // CLIENT SETINFO, twice on each connection, is no request.
    assert_eq!(churning.pointer("/exec/connections/per_request"), Some(&1.0.into()));
    assert_eq!(number(&churning, "/server/conversations/setup"), 100);
    assert_eq!(
        number(&churning, "/server/conversations/requests_per_connection/max"),
        1
    );
}

#[test]
fn a_server_that_closes_after_each_request_lets_drivers_find_their_way_about_first() {
    let directory = tempdir().unwrap();
    for (protocol, code) in [
        (
            "redis",
            "import redis\nr = redis.Redis(host='server.linger')\nfor _ in range(20): r.get('key')",
        ),
        (
            "mysql",
            "import pymysql\nfor _ in range(20):\n    c = pymysql.connect(host='server.linger', user='linger', password='')\n    \
             c.cursor().execute('SELECT 1')",
        ),
    ] {
        let options = ["--protocol", protocol, "--closer", "server"];
        let (record, output) = exec(directory.path(), &options, &[python(), "-c", code]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        agrees_with_the_kernel(&record);
        let [opened, requests, ..] = figures(&record);
        assert_eq!((opened, requests), (20, 20), "{protocol}");
        assert_eq!(number(&record, "/server/conversations/max_requests"), 20, "{protocol}");
    }
}

#[test]
fn pymysql_says_quit_and_what_becomes_of_it_is_told() {
    let record = script(
        "mysql",
        "import pymysql\nfor _ in range(30):\n    c = pymysql.connect(host='server.linger', user='linger', password='')\n    \
         c.cursor().execute('SELECT 1')\n    c.close()",
    );
    let [opened, requests, ..] = figures(&record);
    assert_eq!((opened, requests), (30, 30));
    // SET AUTOCOMMIT and its like are no requests.
    assert_eq!(record.pointer("/exec/connections/per_request"), Some(&1.0.into()));
    assert!(number(&record, "/server/conversations/setup") >= 30);
    assert_eq!(number(&record, "/server/conversations/quit"), 30);
    let first = &record["closings"]["closed_first"];
    let sum: u64 = ["client_fin", "server_fin", "simultaneous", "client_rst", "server_rst"]
        .iter()
        .map(|key| first[*key].as_u64().unwrap())
        .sum();
    assert_eq!(sum, 30, "{first}");
}

#[test]
fn redis_cli_and_the_mariadb_client_are_measured_like_all_others() {
    require("redis-cli", "redis-tools");
    let record = run("redis", &["redis-cli", "-h", "server.linger", "GET", "key"]);
    assert_eq!(number(&record, "/exec/connections/opened"), 1);
    require("mariadb", "mariadb-client");
    let record = run(
        "mysql",
        &[
            "mariadb",
            "--no-defaults",
            "--skip-ssl",
            "-h",
            "server.linger",
            "-u",
            "linger",
            "-e",
            "SELECT 1",
        ],
    );
    assert_eq!(number(&record, "/exec/connections/opened"), 1);
    assert_eq!(number(&record, "/server/conversations/quit"), 1);
}

#[test]
fn an_unprivileged_user_measures_the_same_and_stays_who_they_are() {
    require("curl", "curl");
    let directory = tempdir().unwrap();
    let command = ["sh", "-c", "id -u >&2; curl -sS http://server.linger/"];
    let (record, output) = exec_as_nobody(directory.path(), &["--protocol", "http"], &command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("65534"), "{}", said(&output));
    assert_eq!(record["environment"]["lab"], "pair, user namespace");
    assert_eq!(record["exec"]["notes"], Value::Null, "{:#}", record["exec"]);
    agrees_with_the_kernel(&record);
    assert_eq!(figures(&record), [1, 1, 1, 0]);
}

#[test]
fn the_servers_manner_is_the_options() {
    let directory = tempdir().unwrap();
    let options = [
        "--protocol",
        "http",
        "--max-requests",
        "2",
        "--latency",
        "3ms",
        "--set",
        "lab.family=ipv6",
    ];
    let command = [
        python(),
        "-c",
        "import requests\ns = requests.Session()\nfor _ in range(6): s.get('http://server.linger/').raise_for_status()",
    ];
    let (record, output) = exec(directory.path(), &options, &command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agrees_with_the_kernel(&record);
    assert_eq!(number(&record, "/exec/connections/opened"), 3);
    assert_eq!(number(&record, "/server/conversations/max_requests"), 3);
    assert!(record.pointer("/exec/seconds").unwrap().as_f64().unwrap() > 0.018);
    assert!(
        record["exec"]["server"]["address"]
            .as_str()
            .unwrap()
            .starts_with("[fd6c")
    );
}

#[test]
fn a_sysctl_is_set_in_the_lab_and_a_load_is_refused() {
    let directory = tempdir().unwrap();
    let options = [
        "--protocol",
        "http",
        "--set",
        "net.ipv4.ip_local_port_range=40000 40009",
    ];
    let command = ["curl", "-sS", "http://server.linger/"];
    let (record, _) = exec(directory.path(), &options, &command);
    assert_eq!(number(&record, "/exec/ports/usable"), 10);
    let output = crate::support::run(crate::support::linger(
        directory.path(),
        &["exec", "--protocol", "http", "--set", "load.rate=5", "--", "true"],
    ));
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("the load is the program's own"),
        "{}",
        said(&output)
    );
}

#[test]
fn connect_calls_that_found_no_port_are_told_by_errno_and_without_the_tracer_said_to_be_unknown() {
    let directory = tempdir().unwrap();
    let code = "import os, socket\nfor _ in range(130):\n    s = socket.socket()\n    try:\n        \
                s.connect((os.environ['LINGER_HOST'], int(os.environ['LINGER_PORT'])))\n        s.sendall(b'x')\n        \
                s.recv(1)\n    except OSError: pass\n    s.close()";
    let options = [
        "--protocol",
        "echo",
        "--set",
        "net.ipv4.ip_local_port_range=40000 40099",
    ];
    for run in [exec, exec_as_nobody] {
        let (record, output) = run(directory.path(), &options, &["/usr/bin/env", "python3", "-c", code]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        agrees_with_the_kernel(&record);
        assert_eq!(figures(&record), [100, 100, 100, 0]);
        let connects = &record["connects"];
        assert_eq!(
            connects["failed"],
            serde_json::json!([{"errno": "EADDRNOTAVAIL", "count": 30}]),
            "{connects:#}"
        );
        assert_eq!((number(connects, "/attempts"), number(connects, "/ok")), (130, 100));
        assert!(
            said(&output).contains("30 connect() calls found no port"),
            "{}",
            said(&output)
        );
    }
    let untraced = [&options[..], &["--no-trace"]].concat();
    let (record, output) = exec(directory.path(), &untraced, &["python3", "-c", code]);
    assert_eq!(record["connects"], Value::Null);
    assert_eq!(figures(&record), [100, 100, 100, 0]);
    assert!(
        said(&output).contains("EADDRNOTAVAIL, and every errno"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_refused_connection_is_told_by_errno_and_on_the_wire() {
    let directory = tempdir().unwrap();
    let options = ["--protocol", "http", "--set", "server.listen=false"];
    let (record, output) = exec(directory.path(), &options, &["curl", "-sS", "http://server.linger/"]);
    assert_eq!(output.status.code(), Some(7), "curl's own: {}", said(&output));
    assert_eq!(number(&record, "/exec/connections/opened"), 0);
    assert_eq!(number(&record, "/exec/connections/failed"), 1);
    assert_eq!(number(&record, "/closings/refused"), 1);
}
