//! The client's quits against real servers in the lab: who is left with TIME_WAIT, by sock_diag and by the kernel's counters.

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{linger, records, run, said};
use tempfile::tempdir;

const CONNECTIONS: u64 = 300;

/// Runs both quits against the server that `exec` starts: the records of quit-wait and of quit-close.
fn quits(directory: &Path, protocol: &str, exec: &str) -> [Value; 2] {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let text = format!(
        r#"id = "quits"
claim = "who is left with TIME_WAIT"
[server]
protocol = "{protocol}"
exec = '''{exec}'''
[client]
source = "owned"
[close]
closer = "server"
mode = "quit-wait"
[load]
arrival = "max"
in_flight = 8
connections = {CONNECTIONS}
[sysctl.both]
"net.ipv4.tcp_rfc1337" = 1
"net.ipv4.tcp_tw_reuse" = 0
[matrix]
"close.closer, close.mode" = [["server", "quit-wait"], ["client", "quit-close"]]
[[expect]]
that = "outcomes.ok == {CONNECTIONS} && requests.answered == {CONNECTIONS}"
[[expect]]
that = "ledger.balanced"
"#
    );
    std::fs::write(directory.join("quits.toml"), text).unwrap();
    let mut command = linger(directory, &["run", "quits.toml", "--json"]);
    let output = run({
        command.env("PATH", path);
        command
    });
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let records: [Value; 2] = records(&output).try_into().unwrap();
    for record in &records {
        let program = &record["server_program"];
        assert_eq!(
            (&program["ended_early"], &program["killed"]),
            (&false.into(), &false.into()),
            "{program}"
        );
        // By schedstat and clock ticks while it ran, and by rusage of its whole life, which its start is part of. A tick for
        // each of its processes may be rounded up.
        let (during, ever) = (&program["during_load"], program["cpu_seconds"].as_f64().unwrap());
        let load = during["cpu_seconds"].as_f64().unwrap();
        assert!(load > 0.0 && load <= ever + 0.05, "{program}");
        assert_eq!(record["rates"]["server_cpu_seconds"], during["cpu_seconds"]);
        assert!(record["server"].is_null(), "the built-in server did not serve");
        let (sides, sum) = (&record["time_wait"]["sides"], |a: &Value, b: &Value| {
            a["count"].as_i64().unwrap() + b["count"].as_i64().unwrap()
        });
        assert_eq!(sides["closes"], CONNECTIONS, "{}", record["time_wait"]);
        // Since 5.19 the kernel counts each TIME_WAIT when it begins, and each FIN_WAIT2 that nobody has open any more: a
        // reply that comes only then ends it by RST, and neither side is left with anything.
        let made = |side: &str| record["counters"][side]["TW"].as_i64().unwrap();
        let cut_short = made("client") - sum(&sides["client"], &sides["both"]);
        let neither = sides["neither"]["count"].as_i64().unwrap();
        assert!((0..=neither).contains(&cut_short), "{cut_short} of {sides}");
        assert_eq!(made("server"), sum(&sides["server"], &sides["both"]), "{sides}");
    }
    let [wait, close] = records;
    assert_eq!(wait["time_wait"]["sides"]["server"]["count"], CONNECTIONS);
    assert_eq!(wait["time_wait"]["client"]["peak"], 0);
    assert_eq!(wait["counters"]["server"]["EstabResets"], 0);
    let counts = ["client", "server", "both", "neither"]
        .map(|side| close["time_wait"]["sides"][side]["count"].as_i64().unwrap());
    println!("{protocol}: quit-close left TIME_WAIT on client, server, both, neither: {counts:?}");
    [wait, close]
}

fn neither(record: &Value) -> u64 {
    record["time_wait"]["sides"]["neither"]["count"].as_u64().unwrap()
}

#[test]
fn memcached_alone_holds_time_wait_after_a_quit_that_is_waited_for() {
    let directory = tempdir().unwrap();
    let [_, close] = quits(
        directory.path(),
        "memcached",
        "exec memcached -u root -U 0 -l $LINGER_HOST -p $LINGER_PORT",
    );
    assert_eq!(neither(&close), 0, "memcached says nothing to a quit");
}

#[test]
fn redis_alone_holds_time_wait_after_a_quit_that_is_waited_for() {
    let directory = tempdir().unwrap();
    let exec = "exec redis-server --bind $LINGER_HOST --port $LINGER_PORT --protected-mode no --save '' --dir .";
    let [_, close] = quits(directory.path(), "redis", exec);
    let sides = &close["time_wait"]["sides"];
    assert_eq!(sides["client"]["count"], 0, "its +OK finds the client gone: {sides}");
}

#[test]
fn nginx_alone_holds_time_wait_after_the_last_request() {
    let directory = tempdir().unwrap();
    std::fs::create_dir(directory.path().join("html")).unwrap();
    std::fs::write(directory.path().join("html/index.html"), "x").unwrap();
    let root = if nix::unistd::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let configuration = format!(
        "daemon off; pid pid; error_log stderr; {root} events {{}}
         http {{ access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                 uwsgi_temp_path uwsgi; scgi_temp_path scgi; server {{ listen @; root html; }} }}"
    );
    std::fs::write(directory.path().join("template"), configuration).unwrap();
    let exec = "sed \"s/@/$LINGER_SERVER/\" template > nginx.conf && exec nginx -p $PWD -c nginx.conf";
    quits(directory.path(), "http", exec);
}

#[test]
fn mariadb_alone_holds_time_wait_after_a_quit_that_is_waited_for() {
    let directory = tempdir().unwrap();
    let installed = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--skip-test-db"])
        .arg(format!("--datadir={}", directory.path().join("data").display()))
        .arg("--auth-root-authentication-method=normal")
        .current_dir(directory.path())
        .output()
        .expect("apt-get install mariadb-server");
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    std::fs::write(
        directory.path().join("users.sql"),
        "CREATE USER IF NOT EXISTS linger@'%';",
    )
    .unwrap();
    let exec = "exec mariadbd --no-defaults --user=root --bind-address=$LINGER_HOST --port=$LINGER_PORT \
                --skip-name-resolve --datadir=$PWD/data --init-file=$PWD/users.sql --socket=$PWD/socket \
                --pid-file=$PWD/pid";
    let [_, close] = quits(directory.path(), "mysql", exec);
    assert_eq!(neither(&close), 0, "MariaDB says nothing to COM_QUIT");
}

#[test]
fn a_server_that_cannot_be_had_makes_the_trial_unavailable_and_says_why() {
    let directory = tempdir().unwrap();
    let text = "id = \"x\"\nclaim = \"y\"\n[server]\nexec = \"echo no table; exit 3\"\n[close]\ncloser = \"client\"\n\
                mode = \"graceful\"\n[load]\narrival = \"max\"\nconnections = 1\n";
    std::fs::write(directory.path().join("x.toml"), text).unwrap();
    let output = run(linger(directory.path(), &["run", "x.toml", "--json"]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let reasons = records(&output)[0]["verdict"]["reasons"].to_string();
    assert!(
        reasons.contains("exit code 3") && reasons.contains("no table"),
        "{reasons}"
    );
    assert!(reasons.contains("$LINGER_PORT"), "{reasons}");
}

#[test]
fn a_server_that_ends_in_mid_load_makes_the_trial_inconclusive() {
    let directory = tempdir().unwrap();
    let text = "id = \"x\"\nclaim = \"y\"\n[server]\nexec = \"timeout -s KILL 2 memcached -u root -U 0 -l $LINGER_HOST -p \
                $LINGER_PORT\"\nprotocol = \"memcached\"\n[close]\ncloser = \"client\"\nmode = \"graceful\"\n[load]\n\
                arrival = \"constant\"\nrate = 100\nduration = \"4s\"\n[[expect]]\nthat = \"offered.attempted == 400\"\n";
    std::fs::write(directory.path().join("x.toml"), text).unwrap();
    let output = run(linger(directory.path(), &["run", "x.toml", "--json"]));
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    let record = &records(&output)[0];
    assert_eq!(record["server_program"]["ended_early"], true);
    assert!(
        record["verdict"]["reasons"].to_string().contains("server.exec"),
        "{}",
        record["verdict"]
    );
}
