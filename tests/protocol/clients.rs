//! Real clients talk to our server's side.

use std::io::{Read, Write};
use std::net::TcpStream;

use linger::protocol::{End, Kind, Settings};

use crate::programs::{output, program, python, stdout};
use crate::serve::{PATIENCE, Server};

fn three_bytes() -> Settings {
    Settings {
        response_bytes: 3,
        ..Settings::default()
    }
}

fn curl(server: &Server, arguments: &[&str], paths: usize) -> String {
    let url = format!("http://{}/", server.address);
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*"])
        .args(arguments);
    curl.args(vec![url; paths]);
    stdout(&mut curl)
}

#[test]
fn curl_keeps_one_connection_for_several_requests() {
    let server = Server::start(Kind::Http, three_bytes());
    let out = curl(&server, &["--write-out", " %{http_code} %{num_connects}\n"], 3);
    assert_eq!(out, "xxx 200 1\nxxx 200 0\nxxx 200 0\n");
    assert_eq!(server.connection(), (3, None));
}

#[test]
fn curl_connects_again_after_the_last_request_allowed() {
    let settings = Settings {
        max_requests: 2,
        ..three_bytes()
    };
    let server = Server::start(Kind::Http, settings);
    let out = curl(&server, &["--write-out", " %{num_connects}\n"], 3);
    assert_eq!(out, "xxx 1\nxxx 0\nxxx 1\n");
    assert_eq!(server.connection(), (2, Some(End::MaxRequests)));
    assert_eq!(server.connection(), (1, None));
}

#[test]
fn curl_posts_asks_for_the_head_and_for_the_end() {
    let server = Server::start(Kind::Http, three_bytes());
    assert_eq!(curl(&server, &["--data", "a=b"], 1), "xxx");
    assert!(curl(&server, &["--head"], 1).contains("Content-Length: 3\r\n"));
    let upload = "x".repeat(2_000_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), upload).unwrap();
    let path = file.path().to_str().unwrap();
    let expect = ["--header", "Expect: 100-continue", "--upload-file", path];
    assert_eq!(curl(&server, &expect, 1), "xxx");
    for _ in 0..3 {
        assert_eq!(server.connection(), (1, None));
    }
    assert_eq!(curl(&server, &["--header", "Connection: close"], 1), "xxx");
    assert_eq!(server.connection(), (1, Some(End::Quit)));
    assert_eq!(curl(&server, &["--http1.0"], 1), "xxx");
    assert_eq!(server.connection(), (1, Some(End::Quit)));
}

#[test]
fn curl_is_told_that_a_chunked_body_needs_a_length() {
    let server = Server::start(Kind::Http, three_bytes());
    let chunked = [
        "--header",
        "Transfer-Encoding: chunked",
        "--data",
        "a",
        "--write-out",
        "%{http_code}",
    ];
    assert_eq!(curl(&server, &chunked, 1), "411");
    assert_eq!(server.connection(), (0, Some(End::Malformed("a chunked request"))));
}

fn mariadb(name: &str, server: &Server, password: &str) -> std::process::Command {
    let mut client = program(name);
    client.args([
        "--no-defaults",
        "--skip-ssl",
        "--protocol=tcp",
        "--host=127.0.0.1",
        "--user=me",
    ]);
    client
        .arg(format!("--port={}", server.port()))
        .arg(format!("--password={password}"));
    client
}

#[test]
fn the_mariadb_client_queries_pings_and_quits() {
    let server = Server::start(Kind::Mysql, three_bytes());
    let queries =
        "SELECT 1; SET NAMES utf8mb4; SELECT 'a'; SHOW WARNINGS; SELECT @@version_comment; INSERT INTO t VALUES (1)";
    let mut client = mariadb("mariadb", &server, "any");
    client.args(["--batch", "--skip-auto-rehash", "--database=test", "--execute", queries]);
    assert_eq!(stdout(&mut client), "1\n1\nvalue\nxxx\n@@version_comment\nlinger\n");
    // The two SELECTs of a value and the INSERT: the others set the connection up.
    assert_eq!(server.connection(), (3, Some(End::Quit)));
    assert_eq!(
        stdout(mariadb("mariadb-admin", &server, "any").arg("ping")),
        "mysqld is alive\n"
    );
    assert_eq!(server.connection(), (0, Some(End::Quit)));
}

#[test]
fn the_mariadb_client_needs_the_password_where_one_is_set() {
    let settings = Settings {
        password: Some("secret".into()),
        ..three_bytes()
    };
    let server = Server::start(Kind::Mysql, settings);
    assert_eq!(
        stdout(mariadb("mariadb", &server, "secret").args(["--batch", "--execute", "SELECT 7"])),
        "7\n7\n"
    );
    assert_eq!(server.connection().1, Some(End::Quit));
    let refused = output(mariadb("mariadb", &server, "wrong").args(["--execute", "SELECT 7"]));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("ERROR 1045 (28000): Access denied for user me"),
        "{message}"
    );
    assert_eq!(server.connection(), (0, Some(End::Denied)));
}

#[test]
fn pymysql_logs_in_queries_and_quits() {
    let settings = Settings {
        password: Some("secret".into()),
        response_bytes: 100_000,
        ..Settings::default()
    };
    let server = Server::start(Kind::Mysql, settings);
    let script = "
import sys, pymysql
c = pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='me', password='secret', database='d')
assert not c.get_autocommit()
with c.cursor() as cursor:
    cursor.execute('SELECT 1'); assert cursor.fetchall() == ((1,),)
    cursor.execute('SELECT %s', ('y' * 200000,)); assert cursor.fetchone() == ('x' * 100000,)
    cursor.execute('SHOW WARNINGS'); assert cursor.fetchall() == ()
c.ping(reconnect=False)
c.select_db('other')
c.commit()
c.autocommit(True)
assert c.get_autocommit()
c.close()
";
    stdout(python(script).arg(server.port()));
    // Two SELECTs and the COMMIT.
    assert_eq!(server.connection(), (3, Some(End::Quit)));
}

#[test]
fn pymemcache_sets_gets_deletes_and_quits() {
    let server = Server::start(Kind::Memcached, three_bytes());
    let script = "
import sys
from pymemcache.client.base import Client
c = Client(('127.0.0.1', int(sys.argv[1])))
assert c.set('k', b'v' * 100000, noreply=False)
assert c.set('k', b'v', noreply=True)
assert c.get('k') == b'xxx'
assert c.gets('k') == (b'xxx', b'1')
assert c.get_many(['a', 'b']) == {'a': b'xxx', 'b': b'xxx'}
assert c.delete('k', noreply=False)
assert c.version().startswith(b'1.6')
c.quit()
";
    stdout(python(script).arg(server.port()));
    // `version` is none.
    assert_eq!(server.connection(), (6, Some(End::Quit)));
}

fn redis_cli(server: &Server, arguments: &[&str]) -> String {
    stdout(program("redis-cli").args(["-p", &server.port()]).args(arguments))
}

#[test]
fn redis_cli_speaks_both_versions_of_resp() {
    let server = Server::start(Kind::Redis, three_bytes());
    for (arguments, reply) in [
        (&["PING"][..], "PONG\n"),
        (&["GET", "k"], "xxx\n"),
        (&["SET", "k", "v"], "OK\n"),
        (&["DEL", "a", "b"], "2\n"),
        (&["ECHO", "hello"], "hello\n"),
        (&["-n", "3", "PING"], "PONG\n"),
        (&["-a", "secret", "--no-auth-warning", "PING"], "PONG\n"),
        (&["CLIENT", "ID"], "8\n"),
        (&["COMMAND", "DOCS"], "\n"),
        (&["-3", "GET", "k"], "xxx\n"),
    ] {
        assert_eq!(redis_cli(&server, arguments), reply, "{arguments:?}");
        assert_eq!(server.connection().1, None);
    }
    assert!(redis_cli(&server, &["INFO"]).contains("redis_mode:standalone"));
    assert!(redis_cli(&server, &["HELLO", "3"]).contains("proto 3\n"));
    assert!(redis_cli(&server, &["NOSUCH"]).contains("ERR unknown command 'NOSUCH'"));
}

#[test]
fn redis_cli_quits() {
    let server = Server::start(Kind::Redis, three_bytes());
    assert_eq!(redis_cli(&server, &["QUIT"]), "OK\n");
    assert_eq!(server.connection().1, Some(End::Quit));
}

#[test]
fn the_listener_goes_on_after_garbage_half_a_message_and_nothing() {
    for kind in Kind::ALL {
        let server = Server::start(kind, three_bytes());
        for bytes in [&b"\xff\xfe\0\0*garbage\r\n\r\n"[..], b"GET / HT", b""] {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            // Its end may be a RST, where the server closed before it had read everything.
            let _ = stream.read_to_end(&mut Vec::new());
            server.connection();
        }
    }
}
