//! Figures that are derived: rates, what was in use at once, how long connections were idle, and what is foretold of them.

use serde_json::Value;
use tempfile::tempdir;

use crate::clients::script;
use crate::servers::REDIS;
use crate::support::{require, said};
use crate::{agrees_with_the_kernel, exec, figures, number};

/// `again(n)`: connections one after the other, each with an exchange. What fails is passed over.
const AGAIN: &str = "import os, socket, time\naddress = os.environ['LINGER_HOST'], int(os.environ['LINGER_PORT'])\n\
                     def again(n):\n    for _ in range(n):\n        s = socket.socket()\n        try:\n            \
                     s.connect(address); s.sendall(b'x'); s.recv(1)\n        except OSError: pass\n        s.close()\n";

fn python(options: &[&str], code: &str) -> (Value, String) {
    let directory = tempdir().unwrap();
    let code = format!("{AGAIN}{code}");
    let options = [&["--protocol", "echo"], options].concat();
    let (record, output) = exec(directory.path(), &options, &["python3", "-c", &code]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agrees_with_the_kernel(&record);
    (record, said(&output))
}

fn float(record: &Value, pointer: &str) -> f64 {
    record
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {pointer}: {record:#}"))
}

#[test]
fn the_rate_is_that_while_connections_were_opened_and_no_pause_before_or_after_lowers_it() {
    let (record, card) = python(&[], "time.sleep(1)\nagain(300)\ntime.sleep(1)");
    assert_eq!(number(&record, "/exec/connections/opened"), 300);
    let (opening, all) = (
        float(&record, "/exec/connections/opening_seconds"),
        float(&record, "/exec/seconds"),
    );
    assert!(opening <= all - 2.0, "{opening} of {all}");
    assert_eq!(float(&record, "/exec/connections/opening_per_second"), 299.0 / opening);
    assert_eq!(record["exec"]["forecast"]["of"], "replacements");
    // All but the first came when another had ended.
    assert_eq!(number(&record, "/closings/openings/after_first_end"), 299);
    assert!(card.contains("ports/s held while it opened"), "{card}");
}

#[test]
fn a_pool_that_keeps_its_connections_is_told_no_ceiling() {
    require("ab", "apache2-utils");
    let directory = tempdir().unwrap();
    let command = ["ab", "-k", "-q", "-n", "1000", "-c", "8", "http://server.linger/"];
    let (record, output) = exec(directory.path(), &[], &command);
    agrees_with_the_kernel(&record);
    assert_eq!(record["exec"]["forecast"], Value::Null, "{:#}", record["exec"]);
    let card = said(&output);
    assert!(
        card.contains("no ceiling is") && card.contains("keeps its connections"),
        "{card}"
    );
    assert!(!card.contains("EADDRNOTAVAIL") && !card.contains("conn/s"), "{card}");
}

#[test]
fn ports_that_were_used_up_are_told_as_such_and_not_foretold() {
    let range = ["--set", "net.ipv4.ip_local_port_range=40000 40099"];
    let (record, card) = python(&range, "again(130)\ntime.sleep(1)");
    assert_eq!(number(&record, "/exec/ports/not_found"), 30);
    assert_eq!(number(&record, "/exec/ports/peak_at_most"), 100);
    assert_eq!(float(&record, "/exec/ports/share_at_most"), 1.0);
    assert!(
        card.contains("used up in this run: 30 connect() calls found none"),
        "{card}"
    );
    assert!(!card.contains("kept up"), "{card}");
}

#[test]
fn one_after_the_other_needs_one_at_once_and_as_many_ports_as_were_opened() {
    let (record, card) = python(&[], "again(500)");
    assert_eq!(figures(&record), [500, 500, 500, 0]);
    assert_eq!(number(&record, "/closings/concurrency/peak"), 1);
    assert_eq!(number(&record, "/exec/ports/peak_at_most"), 500);
    assert!(card.contains("open at once: at most 1\n"), "{card}");
}

#[test]
fn a_handful_of_ports_that_the_client_holds_among_many_sets_no_ceiling() {
    // The server closes each after two requests, and the client the three on which it makes but one.
    let code = "def two():\n    with socket.create_connection(address) as s:\n        s.sendall(b'x'); s.recv(1); \
                s.sendall(b'x'); s.recv(1); s.recv(1)\nfor _ in range(400): two()\nagain(3)";
    let (record, card) = python(&["--closer", "server", "--max-requests", "2"], code);
    assert_eq!(figures(&record), [403, 803, 3, 400]);
    assert_eq!(record["exec"]["forecast"]["ceiling_per_second"], Value::Null);
    assert!(
        card.contains("3 of 403 ports stay held, too few to set a ceiling"),
        "{card}"
    );
}

#[test]
fn four_tuples_that_the_server_holds_and_the_client_uses_again_balance_in_the_ledger() {
    require("ab", "apache2-utils");
    let directory = tempdir().unwrap();
    let options = ["--set", "net.ipv4.ip_local_port_range=40000 40199"];
    let command = ["ab", "-r", "-q", "-n", "2000", "-c", "4", "http://server.linger/"];
    let (record, output) = exec(directory.path(), &options, &command);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    agrees_with_the_kernel(&record);
    let replaced = number(&record, "/closings/server_time_wait_replaced");
    assert!(replaced >= 1800, "{replaced} of 2000 on 200 ports");
    assert!(number(&record, "/exec/ports/peak_at_most") <= 8);
}

#[test]
fn connections_that_came_without_connect_are_told_as_such() {
    let code = "for _ in range(20):\n    s = socket.socket()\n    s.sendto(b'x', socket.MSG_FASTOPEN, address)\n    \
                s.recv(1)\n    s.close()";
    let (record, card) = python(&[], code);
    assert_eq!(number(&record, "/exec/connections/opened"), 20);
    assert_eq!(number(&record, "/connects/attempts"), 0);
    let unknown = record["exec"]["unknown"].to_string();
    assert!(
        unknown.contains("20 connections") && unknown.contains("TCP Fast Open"),
        "{unknown}"
    );
    assert!(card.contains("connect()    no call was seen"), "{card}");
}

#[test]
fn attempts_that_nothing_answered_are_not_opened_and_came_to_nothing() {
    let directory = tempdir().unwrap();
    let options = [
        "--protocol",
        "echo",
        "--set",
        "server.backlog=1",
        "--set",
        "server.accept_delay=5s",
    ];
    // The accept queue takes two; what comes then gets no answer.
    let code = format!(
        "{AGAIN}kept = []\nfor _ in range(4):\n    s = socket.socket()\n    s.settimeout(0.2)\n    try:\n        \
         s.connect(address)\n        kept.append(s)\n    except OSError: s.close()"
    );
    let (record, output) = exec(directory.path(), &options, &["python3", "-c", &code]);
    let opened = number(&record, "/exec/connections/opened");
    assert!(opened < 4, "{record:#}");
    assert_eq!(opened, number(&record, "/closings/established"));
    let told = format!("came to nothing: {} unanswered", 4 - opened);
    assert!(said(&output).contains(&told), "{told}: {}", said(&output));
}

#[test]
fn how_long_connections_were_idle_is_told_of_any_server_and_a_quit_does_not_count() {
    require("redis-server", "redis-server");
    let directory = tempdir().unwrap();
    let code = format!(
        "{AGAIN}for _ in range(3):\n    s = socket.create_connection(address)\n    s.sendall(b'PING\\r\\n')\n    \
         s.recv(100)\n    time.sleep(0.5)\n    s.close()"
    );
    let options = ["--protocol", "redis", "--server-exec", REDIS];
    let (real, output) = exec(directory.path(), &options, &["python3", "-c", &code]);
    assert!(said(&output).contains("idle before its end"), "{}", said(&output));
    let quits = script(
        "mysql",
        "import pymysql, time\nc = pymysql.connect(host='server.linger', user='linger', password='')\n\
         c.cursor().execute('SELECT 1')\ntime.sleep(0.5)\nc.close()",
    );
    assert_eq!(number(&quits, "/server/conversations/quit"), 1);
    for (record, connections) in [(real, 3), (quits, 1)] {
        let idle = &record["closings"]["idle_before_close"];
        assert_eq!(number(idle, "/count"), connections);
        // To the millisecond: 498 are 500.
        assert!(float(idle, "/p50_us") >= 498_000.0, "{idle}");
    }
}
