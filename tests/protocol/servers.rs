//! Our client's side talks to real servers: logs in, asks twice, says goodbye and reads to the server's FIN.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use linger::protocol::{ClientSession, Event, Kind, MAX_MESSAGE, Settings};

use crate::programs::{RealServer, program, stdout};
use crate::serve::PATIENCE;

const FINE: Event = Event::Response {
    error: None,
    closing: false,
};

/// The events of a connection with two requests and the quit. The server must close first, whatever the protocol.
fn visit(address: SocketAddr, kind: Kind, settings: &Settings) -> Vec<Event> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut session = ClientSession::new(kind, Arc::new(settings.clone()));
    let (mut input, mut filled, mut out) = (vec![0; MAX_MESSAGE], 0, Vec::new());
    let (mut events, mut requests) = (Vec::new(), 0);
    loop {
        if session.is_ready() && requests < 2 {
            requests += 1;
            session.request(requests == 2, &mut out);
        } else if session.is_ready() {
            session.quit(&mut out);
        }
        stream.write_all(&out).unwrap();
        out.clear();
        let count = stream.read(&mut input[filled..]).unwrap();
        if count == 0 {
            events.extend(session.end_of_stream());
            return events;
        }
        filled += count;
        let mut consumed = 0;
        loop {
            let step = session.receive(&input[consumed..filled], &mut out);
            consumed += step.consumed;
            events.extend(step.event);
            if step.consumed == 0 || step.event.is_some() {
                break;
            }
        }
        input.copy_within(consumed..filled, 0);
        filled -= consumed;
    }
}

fn with_bytes(request_bytes: u32) -> Settings {
    Settings {
        request_bytes,
        ..Settings::default()
    }
}

#[test]
fn redis_answers_and_closes_after_our_quit() {
    let server = RealServer::start(|folder, port| {
        let mut redis = program("redis-server");
        redis
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--port",
                &port.to_string(),
                "--dir",
            ])
            .arg(folder);
        redis
    });
    for bytes in [0, 100_000, 0] {
        assert_eq!(visit(server.address, Kind::Redis, &with_bytes(bytes)), [FINE, FINE]);
    }
}

#[test]
fn memcached_answers_and_closes_after_our_quit() {
    let server = RealServer::start(|_, port| {
        let mut memcached = program("memcached");
        memcached.args(["-l", "127.0.0.1", "-U", "0", "-u", "root", "-p", &port.to_string()]);
        memcached
    });
    for bytes in [0, 100_000, 0] {
        assert_eq!(visit(server.address, Kind::Memcached, &with_bytes(bytes)), [FINE, FINE]);
    }
    let refused = Event::Response {
        error: Some(0),
        closing: false,
    };
    assert_eq!(
        visit(server.address, Kind::Memcached, &with_bytes(2 << 20)),
        [refused, refused]
    );
}

fn nginx(folder: &Path, port: u16) -> Command {
    let place = folder.display();
    std::fs::create_dir(folder.join("html")).unwrap();
    std::fs::write(folder.join("html/index.html"), vec![b'x'; 100_000]).unwrap();
    let configuration = format!(
        "daemon off; pid {place}/pid; error_log stderr; {} events {{}}
         http {{ access_log off; client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
                 fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
                 server {{ listen 127.0.0.1:{port}; root {place}/html; }} }}",
        if nix::unistd::geteuid().is_root() {
            "user root;"
        } else {
            ""
        }
    );
    std::fs::write(folder.join("nginx.conf"), configuration).unwrap();
    let mut nginx = program("nginx");
    nginx.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf"));
    nginx
}

#[test]
fn nginx_answers_and_closes_after_our_last_request() {
    let server = RealServer::start(nginx);
    let last = |error| Event::Response { error, closing: true };
    assert_eq!(visit(server.address, Kind::Http, &with_bytes(0)), [FINE, last(None)]);
    // No POST to a file.
    let refused = Event::Response {
        error: Some(405),
        closing: false,
    };
    assert_eq!(
        visit(server.address, Kind::Http, &with_bytes(9)),
        [refused, last(Some(405))]
    );
}

fn mariadb(folder: &Path, port: u16) -> Command {
    let data = folder.join("data");
    stdout(
        program("mariadb-install-db")
            .args([
                "--no-defaults",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ])
            .arg(format!("--datadir={}", data.display())),
    );
    let users = folder.join("users.sql");
    std::fs::write(&users, "CREATE USER linger@'127.0.0.1' IDENTIFIED BY 'secret';").unwrap();
    let mut server = program("mariadbd");
    server.args([
        "--no-defaults",
        "--user=root",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
    ]);
    server.arg(format!("--port={port}"));
    for (option, path) in [
        ("datadir", &data),
        ("init-file", &users),
        ("socket", &folder.join("socket")),
        ("pid-file", &folder.join("pid")),
    ] {
        server.arg(format!("--{option}={}", path.display()));
    }
    server
}

#[test]
fn mariadb_lets_us_in_with_the_password_and_closes_after_our_quit() {
    let server = RealServer::start(mariadb);
    let with_password = |password: &str, request_bytes| Settings {
        password: Some(password.into()),
        request_bytes,
        ..Settings::default()
    };
    for bytes in [0, 100_000] {
        let events = visit(server.address, Kind::Mysql, &with_password("secret", bytes));
        assert_eq!(events, [Event::LoggedIn, FINE, FINE]);
    }
    let events = visit(server.address, Kind::Mysql, &with_password("wrong", 0));
    assert_eq!(events, [Event::Refused(1045)]);
}
