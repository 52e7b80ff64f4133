//! What must hold whatever the bytes are and however the network cuts them.

use std::sync::Arc;

use linger::protocol::{ClientSession, End, Event, Kind, MAX_MESSAGE, ServerSession, Settings};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::drive::{Served, follow, serve};

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

/// Payloads up to the length given.
fn settings(longest: u32) -> impl Strategy<Value = Arc<Settings>> {
    let bytes = prop_oneof![Just(0), 1..=longest, Just(longest)];
    let password = prop::option::of("[a-z]{0,8}");
    (bytes.clone(), bytes, password).prop_map(|(request_bytes, response_bytes, password)| {
        Arc::new(Settings {
            request_bytes,
            response_bytes,
            password,
            ..Settings::default()
        })
    })
}

/// Pieces that a server may take for requests, one after the other, with noise between them.
fn requests() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    const PIECES: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\r\n",
        b"hello",
        b"get a b\r\n",
        b"set k 0 0 5\r\n",
        b"hello\r\n",
        b"version\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000\r\n",
        b"PING\r\n",
        b"*1\r\n$4\r\nQUIT\r\n",
        b"\x09\0\0\0\x03SELECT 1",
        b"\x01\0\0\0\x0e",
        b"\x00\x10\0\0\x03",
        b"\x0b\0\0\0\x03SELECT 'a'",
        b"\x12\0\0\0\x03SELECT @@sql_mode",
        b"\x0f\0\0\0\x03SHOW VARIABLES",
        b"\x06\0\0\0\x03USE d",
        b"\x04\0\0\0\x03foo",
        b"*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n",
        b"*3\r\n$3\r\nSET\r\n$6\r\nlinger\r\n$20000\r\n",
        b"append k 0 0 5\r\n",
        b"\x16\x03\x01",
    ];
    cut_streams(PIECES)
}

/// As [`requests`], for a client.
fn responses() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    const PIECES: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"hello\r\n",
        b"VALUE linger 0 5\r\n",
        b"END\r\n",
        b"+OK\r\n",
        b"$5\r\n",
        b"$-1\r\n",
        b"\x07\0\0\x01\0\0\0\x02\0\0\0",
        b"\x01\0\0\x01\x01",
        b"\x05\0\0\x03\xfe\0\0\x02\0",
    ];
    cut_streams(PIECES)
}

/// Short streams in small chunks and long ones in large chunks: an incomplete message is looked at again with each chunk.
fn cut_streams(known: &'static [&'static [u8]]) -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
    prop_oneof![
        (pieces(known, 500), vec(1..40usize, 1..8)),
        (pieces(known, 20_000), vec(1000..MAX_MESSAGE, 1..8)),
    ]
}

fn pieces(known: &'static [&'static [u8]], longest_noise: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 0..longest_noise).prop_map(|(byte, count)| vec![byte; count]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// A server that greeted, and let a client in where there is a login.
fn server(kind: Kind, settings: &Arc<Settings>) -> ServerSession {
    let mut server = ServerSession::new(kind, Arc::clone(settings), 1);
    let mut client = ClientSession::new(kind, Arc::clone(settings));
    let mut greeting = Vec::new();
    server.greet(&mut greeting);
    let login = follow(&mut client, &greeting, &[], false).out;
    serve(&mut server, &login, &[]);
    server
}

/// A client that is let in.
fn client(kind: Kind, settings: &Arc<Settings>) -> ClientSession {
    let mut server = ServerSession::new(kind, Arc::clone(settings), 1);
    let mut client = ClientSession::new(kind, Arc::clone(settings));
    let mut greeting = Vec::new();
    server.greet(&mut greeting);
    let login = follow(&mut client, &greeting, &[], false).out;
    let welcome = serve(&mut server, &login, &[]).out;
    follow(&mut client, &welcome, &[], false);
    assert!(client.is_ready());
    client
}

/// A client and a server exchange `requests` requests in chunks of the sizes given, then the client quits. What became of
/// them at the client; the requests that the server counted, and its end.
fn converse(kind: Kind, settings: &Arc<Settings>, requests: usize, chunks: &[usize]) -> (Vec<Event>, u32, Option<End>) {
    let mut server = ServerSession::new(kind, Arc::clone(settings), 1);
    let mut client = ClientSession::new(kind, Arc::clone(settings));
    let (mut events, mut sent) = (Vec::new(), 0);
    let mut served = Served::default();
    server.greet(&mut served.out);
    loop {
        let followed = follow(&mut client, &served.out, chunks, false);
        assert_eq!(followed.consumed, served.out.len(), "a reply was not read to its end");
        events.extend(followed.events.into_iter().map(|(_, event)| event));
        let mut to_server = followed.out;
        if client.is_ready() && sent < requests {
            sent += 1;
            client.request(sent == requests, &mut to_server);
        } else if client.is_ready() {
            client.quit(&mut to_server);
        }
        if served.end.is_some() || to_server.is_empty() {
            return (events, server.requests(), served.end);
        }
        served = serve(&mut server, &to_server, chunks);
    }
}

proptest! {
    #[test]
    fn a_server_reads_the_same_however_its_bytes_are_cut(
        kind in kinds(), settings in settings(9), (stream, chunks) in requests(), logged_in: bool,
    ) {
        let session = || match logged_in {
            true => server(kind, &settings),
            false => ServerSession::new(kind, Arc::clone(&settings), 1),
        };
        prop_assert_eq!(serve(&mut session(), &stream, &chunks), serve(&mut session(), &stream, &[]));
    }

    #[test]
    fn a_client_reads_the_same_however_its_bytes_are_cut(
        kind in kinds(), settings in settings(9), (stream, chunks) in responses(), logged_in: bool,
    ) {
        let session = || match logged_in {
            true => client(kind, &settings),
            false => ClientSession::new(kind, Arc::clone(&settings)),
        };
        prop_assert_eq!(
            follow(&mut session(), &stream, &chunks, true),
            follow(&mut session(), &stream, &[], true)
        );
    }

    #[test]
    fn both_ends_understand_each_other(
        kind in kinds(), settings in settings(70_000), requests in 0..4usize, chunks in vec(1..2000usize, 1..8),
    ) {
        let (events, served, end) = converse(kind, &settings, requests, &chunks);
        let closes = kind == Kind::Http && requests > 0;
        let mut expected: Vec<_> = (1..=requests)
            .map(|request| Event::Response { error: None, closing: closes && request == requests })
            .collect();
        if kind == Kind::Mysql {
            expected.insert(0, Event::LoggedIn);
        }
        prop_assert_eq!(events, expected);
        prop_assert_eq!(served as usize, requests);
        let quits = !matches!(kind, Kind::Echo | Kind::Http) || closes;
        prop_assert_eq!(end, quits.then_some(End::Quit));
    }
}

#[test]
fn a_wrong_password_is_refused_and_the_right_one_is_not() {
    let with = |password: Option<&str>| {
        Arc::new(Settings {
            password: password.map(str::to_owned),
            ..Settings::default()
        })
    };
    for (password, event) in [
        (None, Event::Refused(1045)),
        (Some("wrong"), Event::Refused(1045)),
        (Some("secret"), Event::LoggedIn),
    ] {
        let mut server = ServerSession::new(Kind::Mysql, with(Some("secret")), 1);
        let mut client = ClientSession::new(Kind::Mysql, with(password));
        let mut greeting = Vec::new();
        server.greet(&mut greeting);
        let login = follow(&mut client, &greeting, &[], false).out;
        let reply = serve(&mut server, &login, &[]);
        assert_eq!(reply.end, (event != Event::LoggedIn).then_some(End::Denied));
        let events = follow(&mut client, &reply.out, &[], false).events;
        assert_eq!(events, [(reply.out.len(), event)]);
    }
}

#[test]
fn no_kind_waits_for_more_than_an_input_buffer_holds() {
    for kind in Kind::ALL {
        for byte in [0, 1, b'\r', b' ', b'0', b'9', b'a', b':', 0x80, 0xff] {
            for start in [&b""[..], b"*1\r\n$", b"GET / HTTP/1.1\r\nA: ", b"get k "] {
                let stream = [start, &vec![byte; MAX_MESSAGE + 100]].concat();
                serve(&mut server(kind, &Arc::default()), &stream, &[]);
                serve(&mut ServerSession::new(kind, Arc::default(), 1), &stream, &[1000]);
                follow(&mut client(kind, &Arc::default()), &stream, &[1000], true);
            }
        }
    }
}
