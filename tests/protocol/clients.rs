//! Real clients talk to our server's side.

use std::io::{Read, Seek, Write};
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

#[test]
fn curl_is_not_kept_waiting_where_it_wants_tls() {
    let server = Server::start(Kind::Http, three_bytes());
    let url = format!("https://{}/", server.address);
    let refused = output(program("curl").args(["--silent", "--noproxy", "*", "--max-time", "10", &url]));
    // CURLE_SSL_CONNECT_ERROR or a connection that was closed, and no time-out (28).
    assert!(matches!(refused.status.code(), Some(35 | 52 | 56)), "{refused:?}");
    assert_eq!(server.connection(), (0, Some(End::Malformed("a TLS handshake"))));
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
    let queries = "SELECT 1; SET NAMES utf8mb4; SELECT 'a', 2.50 AS price; SHOW WARNINGS; SELECT @@version; \
                   INSERT INTO t VALUES (1); USE d; SELECT DATABASE(), USER()";
    let mut client = mariadb("mariadb", &server, "any");
    client.args(["--batch", "--skip-auto-rehash", "--database=test", "--execute", queries]);
    assert_eq!(
        stdout(&mut client),
        "1\n1\na\tprice\na\t2.50\n@@version\n5.7.44-linger\nDATABASE()\tUSER()\nd\tme@%\n"
    );
    // The two SELECTs of constants and the INSERT: the others set the connection up.
    assert_eq!(server.connection(), (3, Some(End::Quit)));
    assert_eq!(
        stdout(mariadb("mariadb-admin", &server, "any").arg("ping")),
        "mysqld is alive\n"
    );
    assert_eq!(server.connection(), (0, Some(End::Quit)));
}

#[test]
fn the_mariadb_client_is_told_what_is_no_sql_and_goes_on() {
    let server = Server::start(Kind::Mysql, three_bytes());
    let mut client = mariadb("mariadb", &server, "any");
    let mut queries = tempfile::tempfile().unwrap();
    queries.write_all(b"garbage; SELECT a FROM t; SELECT 7").unwrap();
    queries.rewind().unwrap();
    client.args(["--batch", "--force"]).stdin(queries);
    let output = output(&mut client);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("ERROR 1064 (42000) at line 1: this is no SQL statement: garbage"),
        "{errors}"
    );
    assert!(errors.contains("ERROR 1235 (42000)"), "{errors}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "7\n7\n");
    assert_eq!(server.connection(), (3, Some(End::Quit)));
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
from decimal import Decimal
c = pymysql.connect(host='127.0.0.1', port=int(sys.argv[1]), user='me', password='secret', database='d')
assert not c.get_autocommit()
with c.cursor() as cursor:
    cursor.execute('SELECT 1'); assert cursor.fetchall() == ((1,),)
    cursor.execute('SELECT %s', ('y' * 200000,)); assert cursor.fetchone() == ('y' * 200000,)
    cursor.execute('SELECT /* linger */ 1'); assert cursor.fetchone() == ('x' * 100000,)
    odd = 'it\\'s \\\\ a \\n \\u00e9 %'
    cursor.execute('SELECT %s AS a, %s, NULL, 1.50, @@autocommit', (odd, -7))
    assert [column[0] for column in cursor.description] == ['a', '-7', 'NULL', '1.50', '@@autocommit']
    assert cursor.fetchone() == (odd, -7, None, Decimal('1.50'), 0)
    try:
        cursor.execute('garbage')
        raise AssertionError('it was no error')
    except pymysql.err.ProgrammingError as error:
        assert error.args[0] == 1064
    cursor.execute('SHOW WARNINGS'); assert cursor.fetchall() == ()
c.ping(reconnect=False)
c.select_db('other')
c.commit()
c.autocommit(True)
assert c.get_autocommit()
c.close()
";
    stdout(python(script).arg(server.port()));
    // Four SELECTs, the garbage and the COMMIT.
    assert_eq!(server.connection(), (6, Some(End::Quit)));
}

#[test]
fn sqlalchemys_pool_connects_pings_and_queries() {
    let server = Server::start(Kind::Mysql, three_bytes());
    let script = "
import sys
from sqlalchemy import create_engine, text
for driver in ['pymysql', 'mysqlconnector']:
    engine = create_engine(f'mysql+{driver}://me:any@127.0.0.1:{sys.argv[1]}/d', pool_size=2, max_overflow=0, pool_pre_ping=True)
    for number in range(20):
        with engine.connect() as connection:
            assert connection.execute(text('SELECT :a AS a, :b'), {'a': number, 'b': 'hello'}).one() == (number, 'hello')
            assert connection.execute(text('SELECT DATABASE()')).scalar() == 'd'
            connection.execute(text('INSERT INTO t VALUES (1)'))
            connection.commit()
    assert engine.pool.checkedin() == 1
    engine.dispose()
";
    stdout(python(script).arg(server.port()));
    for _ in 0..2 {
        let (requests, end) = server.connection();
        // Twenty of each: SELECT, INSERT, COMMIT; and what SQLAlchemy itself rolls back.
        assert!(requests >= 60 && end == Some(End::Quit), "{requests} {end:?}");
    }
}

#[test]
fn mysql_connectors_and_dbutils_pools_lend_connections_that_work() {
    let server = Server::start(Kind::Mysql, three_bytes());
    let script = "
import sys, mysql.connector, mysql.connector.pooling, pymysql
from dbutils.pooled_db import PooledDB
port = int(sys.argv[1])
pool = mysql.connector.pooling.MySQLConnectionPool(
    pool_size=1, host='127.0.0.1', port=port, user='me', password='any', database='d', use_pure=True)
for number in range(3):
    connection = pool.get_connection()
    cursor = connection.cursor()
    cursor.execute('SELECT %s, %s', (number, 'hello')); assert cursor.fetchone() == (number, 'hello')
    cursor.execute('SELECT @@transaction_isolation'); assert cursor.fetchone() == ('REPEATABLE-READ',)
    cursor.close()
    connection.close()
pool = PooledDB(pymysql, maxconnections=1, ping=7, host='127.0.0.1', port=port, user='me', password='any')
for number in range(3):
    connection = pool.connection()
    with connection.cursor() as cursor:
        cursor.execute('SELECT %s', (number,)); assert cursor.fetchone() == (number,)
    connection.close()
pool.close()
";
    stdout(python(script).arg(server.port()));
}

#[test]
fn pymemcache_gets_what_it_set_and_quits() {
    let server = Server::start(Kind::Memcached, three_bytes());
    let script = "
import sys
from pymemcache.client.base import Client
c = Client(('127.0.0.1', int(sys.argv[1])))
assert c.get('k') is None
assert c.set('k', b'v' * 100000, noreply=False)
assert c.get('k') == b'v' * 100000
assert c.set('k', b'v', noreply=True)
assert c.add('k', b'w', noreply=False) is False
value, version = c.gets('k')
assert value == b'v'
assert c.cas('k', b'w', version, noreply=False)
assert c.cas('k', b'x', version, noreply=False) is False
assert c.get_many(['k', 'other', 'linger']) == {'k': b'w', 'linger': b'xxx'}
assert c.delete('k', noreply=False)
assert c.delete('k', noreply=False) is False
assert c.version().startswith(b'1.6')
assert c.stats()[b'curr_items'] == 0
c.quit()
";
    stdout(python(script).arg(server.port()));
    // `version` and `stats` are none.
    assert_eq!(server.connection(), (11, Some(End::Quit)));
}

#[test]
fn redis_py_gets_what_it_set_over_another_connection_too() {
    let server = Server::start(Kind::Redis, three_bytes());
    let script = "
import sys, redis
for protocol in [2, 3]:
    r, other = (redis.Redis(port=int(sys.argv[1]), protocol=protocol, health_check_interval=1) for _ in range(2))
    assert r.ping() and r.get('k') is None
    assert r.set('k', 'hello') and other.get('k') == b'hello'
    assert r.set('k', 'v', nx=True) is None
    large = 'v' * 1000000
    assert r.set('large', large, ex=60) and other.get('large') == large.encode()
    assert r.exists('k', 'large', 'none') == 2
    with r.pipeline(transaction=False) as pipeline:
        assert pipeline.set('a', '1').get('a').execute() == [True, b'1']
    assert redis.Redis(port=int(sys.argv[1]), db=1).get('k') is None
    assert r.delete('k', 'large', 'a', 'none') == 3 and other.get('k') is None
    assert r.get('linger') == b'xxx'
    assert r.echo('a') == b'a'
";
    stdout(python(script).arg(server.port()));
}

fn redis_cli(server: &Server, arguments: &[&str]) -> String {
    stdout(program("redis-cli").args(["-p", &server.port()]).args(arguments))
}

#[test]
fn redis_cli_speaks_both_versions_of_resp() {
    let server = Server::start(Kind::Redis, three_bytes());
    for (arguments, reply) in [
        (&["PING"][..], "PONG\n"),
        (&["GET", "k"], "\n"),
        (&["SET", "k", "v"], "OK\n"),
        (&["GET", "k"], "v\n"),
        (&["DEL", "k", "b"], "1\n"),
        (&["ECHO", "hello"], "hello\n"),
        (&["-n", "3", "PING"], "PONG\n"),
        (&["-a", "secret", "--no-auth-warning", "PING"], "PONG\n"),
        (&["CLIENT", "ID"], "9\n"),
        (&["COMMAND", "DOCS"], "\n"),
        (&["-3", "GET", "linger"], "xxx\n"),
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
