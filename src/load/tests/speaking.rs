//! The client of the load speaks with the built-in server, and with peers that a test plays by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::namespace::in_fresh_namespace;
use super::*;
use crate::scenario::plan::Manner;

const SPOKEN: [Protocol; 4] = [Protocol::Http, Protocol::Mysql, Protocol::Memcached, Protocol::Redis];
const CONNECTIONS: u64 = 200;

fn spoken_by_both() -> impl Iterator<Item = (Choice, Protocol)> {
    ENGINES
        .into_iter()
        .flat_map(|engine| SPOKEN.map(|protocol| (engine, protocol)))
}

fn spoken(protocol: Protocol, requests: u32) -> Work {
    let mut work = work();
    work.protocol = protocol;
    work.load.connections = Some(CONNECTIONS);
    work.load.requests_per_connection = requests;
    work.load.request_bytes = 0;
    work
}

#[test]
fn each_protocol_is_spoken_to_the_end_whoever_closes() {
    in_fresh_namespace(|| {
        for (engine, protocol) in spoken_by_both() {
            for closer in [Closer::Client, Closer::Server] {
                for (requests, request_bytes) in [(1, 0), (3, 100_000)] {
                    let mut work = spoken(protocol, requests);
                    work.close.closer = closer;
                    work.load.request_bytes = request_bytes;
                    work.load.response_bytes = 40_000;
                    let trial = run(engine, &work);
                    let (said, all) = (trial.measured.said, CONNECTIONS * u64::from(requests));
                    assert_eq!(trial.measured.tally.ok, CONNECTIONS, "{protocol:?} {closer:?}");
                    assert_eq!((said.requests, said.responses, said.errors), (all, all, 0));
                    let told = trial.served.conversations.unwrap();
                    assert_eq!((told.requests, told.malformed), (all, 0), "{protocol:?} {closer:?}");
                    let endings = trial.measured.endings;
                    let first = match closer {
                        Closer::Client => endings.closed_first,
                        Closer::Server => endings.peer_closed_first,
                    };
                    assert_eq!(first, CONNECTIONS, "{protocol:?} {closer:?} {endings:?}");
                    assert_eq!(trial.kernel.get("TCPAbortOnClose"), 0, "unread input would send RST");
                }
            }
        }
    });
}

#[test]
fn a_protocols_error_is_data() {
    in_fresh_namespace(|| {
        for (engine, protocol) in spoken_by_both() {
            let work = spoken(protocol, 2);
            let mut server = server_of(&work);
            server.server.manner = Manner {
                error_rate: 1.0,
                ..Manner::default()
            };
            let trial = run_watched(engine, &work, &server, |_, _| ());
            let (said, all) = (trial.measured.said, CONNECTIONS * 2);
            assert_eq!(trial.measured.tally.ok, CONNECTIONS, "{protocol:?}");
            assert_eq!((said.responses, said.errors), (all, all), "{protocol:?}");
        }
    });
}

#[test]
fn a_server_that_has_enough_before_the_client_is_an_unexpected_end() {
    in_fresh_namespace(|| {
        for (engine, protocol) in spoken_by_both() {
            let work = spoken(protocol, 3);
            let mut server = server_of(&work);
            server.server.manner = Manner {
                max_requests: 2,
                ..Manner::default()
            };
            let trial = run_watched(engine, &work, &server, |_, _| ());
            // Where the server has not said that it will close, the third request may meet its RST.
            let failed: u64 = [Cause::UnexpectedEof, Cause::Errno(104), Cause::Errno(32)]
                .into_iter()
                .flat_map(|cause| [Phase::Recv, Phase::Send].map(|phase| trial.count(phase, cause)))
                .sum();
            assert_eq!(
                failed,
                CONNECTIONS,
                "{protocol:?} {:?}",
                trial.measured.tally.failures()
            );
            assert_eq!(trial.measured.said.responses, CONNECTIONS * 2, "{protocol:?}");
        }
    });
}

/// Offers ten connections by each engine to a server that does with each what `serve` says.
fn offered_to(protocol: Protocol, serve: impl Fn(TcpStream) + Clone + Send + 'static) -> [Measured; 2] {
    ENGINES.map(|engine| offered_by(engine, protocol, serve.clone()))
}

fn offered_by(engine: Choice, protocol: Protocol, serve: impl Fn(TcpStream) + Send + 'static) -> Measured {
    let (sender, receiver) = std::sync::mpsc::channel();
    in_fresh_namespace(move || {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let mut work = spoken(protocol, 1);
        work.load.connections = Some(10);
        work.load.in_flight = 1;
        work.destinations = vec![listener.local_addr().unwrap()];
        let serving = std::thread::spawn(move || (0..10).for_each(|_| serve(listener.accept().unwrap().0)));
        sender.send(offer(engine, &work, &Control::default()).unwrap()).unwrap();
        serving.join().unwrap();
    });
    receiver.recv().unwrap()
}

#[test]
fn what_is_not_the_protocol_has_a_cause_of_its_own() {
    for protocol in SPOKEN {
        let both = offered_to(protocol, |mut stream| {
            stream.write_all(b"\x09\0\0\0SSH-2.0-garbage\r\n\r\n").unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        for measured in both {
            assert_eq!(
                measured.tally.count(Phase::Recv, Cause::Malformed),
                10,
                "{protocol:?} {:?}",
                measured.tally.failures()
            );
        }
    }
    assert_eq!(Cause::Malformed.name(), "LINGER_MALFORMED");
}

#[test]
fn a_server_that_lets_nobody_in_has_refused() {
    let both = offered_to(Protocol::Mysql, |mut stream| {
        stream.write_all(b"\x17\0\0\0\xff\x10\x04Too many connections").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for measured in both {
        assert_eq!(measured.tally.count(Phase::Recv, Cause::Refused), 10);
    }
}

#[test]
fn a_response_byte_by_byte_is_a_response() {
    let both = offered_to(Protocol::Memcached, |mut stream| {
        stream.set_nodelay(true).unwrap();
        let mut request = [0; 12];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"get linger\r\n");
        for byte in b"VALUE linger 0 3\r\nabc\r\nEND\r\n" {
            stream.write_all(&[*byte]).unwrap();
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    for measured in both {
        assert_eq!((measured.tally.ok, measured.said.responses), (10, 10));
    }
}

#[test]
fn half_a_response_and_the_end_is_an_unexpected_end() {
    for (protocol, half) in [
        (Protocol::Http, &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"[..]),
        (Protocol::Mysql, b"\x4a\0\0\0\x0a8.0"),
        (Protocol::Memcached, b"VALUE linger 0 3\r\nab"),
        (Protocol::Redis, b"$3\r\nab"),
    ] {
        let both = offered_to(protocol, move |mut stream| {
            if protocol != Protocol::Mysql {
                assert_ne!(stream.read(&mut [0; 1000]).unwrap(), 0);
            }
            stream.write_all(half).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        for measured in both {
            let cut_short = measured.tally.count(Phase::Recv, Cause::UnexpectedEof);
            assert_eq!(cut_short, 10, "{protocol:?} {:?}", measured.tally.failures());
            assert_eq!(measured.endings.peer_closed_first, 10, "{protocol:?}");
        }
    }
}

fn quitting(protocol: Protocol, mode: CloseMode) -> Work {
    let mut work = spoken(protocol, 2);
    work.close.mode = mode;
    work.close.closer = match mode {
        CloseMode::QuitWait => Closer::Server,
        _ => Closer::Client,
    };
    work
}

#[test]
fn a_client_that_waits_after_its_quit_lets_the_server_close_first() {
    in_fresh_namespace(|| {
        for (engine, protocol) in spoken_by_both() {
            let work = quitting(protocol, CloseMode::QuitWait);
            let trial = run(engine, &work);
            assert_eq!(trial.measured.tally.ok, CONNECTIONS, "{protocol:?}");
            assert_eq!(trial.measured.endings.peer_closed_first, CONNECTIONS, "{protocol:?}");
            assert_eq!(trial.served.conversations.as_ref().unwrap().quit, CONNECTIONS);
            assert_eq!(trial.served.counts.closed_first, CONNECTIONS, "{protocol:?}");
            let kernel = |name| trial.kernel.get(name);
            assert_eq!(
                (kernel("TW"), kernel("EstabResets")),
                (CONNECTIONS as i64, 0),
                "{protocol:?}"
            );
        }
    });
}

#[test]
fn a_client_that_closes_with_its_quit_knows_not_who_was_first() {
    in_fresh_namespace(|| {
        for (engine, protocol) in spoken_by_both() {
            let trial = run(engine, &quitting(protocol, CloseMode::QuitClose));
            assert_eq!(
                trial.measured.tally.ok,
                CONNECTIONS,
                "{protocol:?} {:?}",
                trial.measured.tally.failures()
            );
            assert_eq!(trial.measured.endings.quit_closed, CONNECTIONS, "{protocol:?}");
            assert_eq!(trial.served.conversations.as_ref().unwrap().quit, CONNECTIONS);
        }
    });
}

#[test]
fn a_quit_comes_after_the_hold() {
    in_fresh_namespace(|| {
        for (engine, mode) in ENGINES
            .into_iter()
            .flat_map(|engine| [CloseMode::QuitWait, CloseMode::QuitClose].map(|mode| (engine, mode)))
        {
            let mut work = quitting(Protocol::Memcached, mode);
            (work.load.connections, work.load.hold) = (Some(4), Duration::from_millis(50));
            let trial = run(engine, &work);
            assert_eq!(trial.measured.tally.ok, 4);
            let idle = &trial.served.conversations.unwrap().idle_before_close;
            assert!(
                idle.quantile(0.0).unwrap() >= 49_000_000,
                "a quit is no use of the connection"
            );
            assert!(trial.measured.session.quantile(0.0).unwrap() >= 49_000_000);
        }
    });
}
