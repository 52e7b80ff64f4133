//! The built-in server speaks, with a peer that a test plays by hand: what it answers, when, and when it closes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::namespace::{in_fresh_namespace, set_sysctl};
use super::*;
use crate::load::session;
use crate::scenario::plan::Manner;

const SPOKEN: [Protocol; 4] = [Protocol::Http, Protocol::Mysql, Protocol::Memcached, Protocol::Redis];
/// No read waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn by_itself(protocol: Protocol, closer: Closer, manner: Manner) -> ServerWork {
    let mut server = server_of(&work()).server;
    (server.protocol, server.manner) = (protocol, manner);
    let close = ClosePlan { closer, ..work().close };
    ServerWork::by_itself(server, close, 3)
}

/// Serves in a namespace of its own while `visit` talks to it, and returns what was counted. All that was accepted must
/// have ended by then.
pub(super) fn served(work: ServerWork, visit: impl FnOnce(SocketAddr) + Send + 'static) -> Served {
    let (sender, receiver) = std::sync::mpsc::channel();
    in_fresh_namespace(move || {
        // Room for a burst that nobody reads yet.
        set_sysctl("net.ipv4.tcp_rmem", "4096 1048576 4194304");
        let listeners = Listeners::bind(&[([127, 0, 0, 1], 0).into()], 64).unwrap();
        let address = listeners.addresses().unwrap()[0];
        let control = ServerControl::default();
        let served = std::thread::scope(|scope| {
            let serving = scope.spawn(|| listeners.serve(&work, &control, None).unwrap());
            let visiting = scope.spawn(move || visit(address)).join();
            control.stop();
            visiting.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            serving.join().unwrap()
        });
        assert_eq!(served.counts.open_at_end, 0, "{served:?}");
        sender.send(served).unwrap();
    });
    receiver.recv().unwrap()
}

pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Everything up to the peer's FIN, which must come, and no RST.
pub(super) fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("a FIN");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Says it and reads what comes until FIN.
pub(super) fn ask(address: SocketAddr, words: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(words).unwrap();
    rest(stream)
}

pub(super) fn requests(served: &Served) -> (u64, u64) {
    let told = served.conversations.as_ref().unwrap();
    assert_eq!(told.lifetime.count(), served.counts.accepted);
    assert_eq!(told.idle_before_close.count(), served.counts.accepted);
    let counts = told.requests_per_connection.summary().unwrap();
    (told.requests, counts.max)
}

#[test]
fn what_sets_a_connection_up_is_answered_late_too_but_is_no_request_and_meets_no_error() {
    const LATENCY: Duration = Duration::from_millis(5);
    // A driver finds its way about before its one request, whoever closes after it.
    for closer in [Closer::Client, Closer::Server] {
        let manner = Manner {
            latency: LATENCY,
            error_rate: 1.0,
            max_requests: 1,
            ..Manner::default()
        };
        let served = served(by_itself(Protocol::Redis, closer, manner), |address| {
            let began = Instant::now();
            let said = b"CLIENT SETINFO LIB-NAME a\r\nSELECT 3\r\nPING\r\nGET k\r\n";
            let heard = ask(address, said);
            assert!(heard.starts_with("+OK\r\n+OK\r\n+PONG\r\n-ERR"), "{heard}");
            assert!(began.elapsed() >= 4 * LATENCY, "{:?}", began.elapsed());
        });
        assert_eq!(requests(&served), (1, 1));
        let told = served.conversations.unwrap();
        assert_eq!((told.setup, told.errors_answered, told.max_requests), (3, 1, 1));
    }
}

#[test]
fn a_quit_is_answered_as_the_protocol_says_and_the_server_closes() {
    for (protocol, words, reply) in [
        (Protocol::Memcached, &b"delete k\r\nquit\r\n"[..], "NOT_FOUND\r\n"),
        (Protocol::Redis, b"DEL k\r\nQUIT\r\n", ":0\r\n+OK\r\n"),
        (
            Protocol::Http,
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxxx",
        ),
    ] {
        let work = by_itself(protocol, Closer::Client, Manner::default());
        let served = served(work, move |address| assert_eq!(ask(address, words), reply));
        let told = served.conversations.as_ref().unwrap();
        assert_eq!(
            (told.quit, told.max_requests, told.malformed),
            (1, 0, 0),
            "{protocol:?}"
        );
        assert_eq!((requests(&served), served.counts.closed_first), ((1, 1), 1));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_however_many() {
    let work = by_itself(Protocol::Memcached, Closer::Client, Manner::default());
    let served = served(work, |address| {
        let stream = connect(address);
        let mut writer = stream.try_clone().unwrap();
        let reader = std::thread::spawn(move || rest(stream));
        writer.write_all(&b"get linger\r\n".repeat(50_000)).unwrap();
        writer.write_all(b"quit\r\n").unwrap();
        assert_eq!(
            reader.join().unwrap(),
            "VALUE linger 0 3\r\nxxx\r\nEND\r\n".repeat(50_000)
        );
    });
    assert_eq!(requests(&served).0, 50_000);
}

#[test]
fn a_burst_that_takes_all_of_a_connections_turn_is_answered_to_its_end() {
    // 32 rounds are 16 pieces of 16 KiB, received and answered in turn: then nothing more comes.
    for pieces in [15.0, 15.5, 16.0, 16.5, 17.0] {
        let burst = (pieces * 16384.0 / 12.0) as usize;
        let mut work = by_itself(Protocol::Memcached, Closer::Client, Manner::default());
        work.server.accept_delay = Duration::from_millis(200);
        let served = served(work, move |address| {
            let stream = connect(address);
            let mut writer = stream.try_clone().unwrap();
            let mut reader = stream;
            // All of it is there before the server accepts.
            socket2::SockRef::from(&writer).set_send_buffer_size(1 << 20).unwrap();
            writer.write_all(&b"get linger\r\n".repeat(burst)).unwrap();
            let mut replies = vec![0; burst * "VALUE linger 0 3\r\nxxx\r\nEND\r\n".len()];
            reader.read_exact(&mut replies).expect("every reply");
        });
        assert_eq!(requests(&served).0, burst as u64);
    }
}

#[test]
fn the_server_closes_after_max_requests_and_nothing_it_sent_is_lost() {
    for closer in [Closer::Client, Closer::Server] {
        let manner = Manner {
            max_requests: 2,
            ..Manner::default()
        };
        let served = served(by_itself(Protocol::Redis, closer, manner), |address| {
            // The third is unread input: a close() without more ado would send RST.
            assert_eq!(ask(address, b"DEL k\r\nDEL k\r\nDEL k\r\n"), ":0\r\n:0\r\n");
        });
        let told = served.conversations.as_ref().unwrap();
        assert_eq!((told.max_requests, served.counts.closed_first), (1, 1));
        assert_eq!(requests(&served), (2, 2));
    }
}

#[test]
fn a_server_that_closes_first_does_so_after_each_reply() {
    let work = by_itself(Protocol::Http, Closer::Server, Manner::default());
    let served = served(work, |address| {
        let reply = ask(address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(reply.contains("Connection: close\r\n"), "{reply}");
    });
    assert_eq!(served.counts.closed_first, 1);
}

#[test]
fn an_abortive_server_sends_rst() {
    let mut work = by_itself(Protocol::Redis, Closer::Server, Manner::default());
    work.close.mode = CloseMode::Abortive;
    let served = served(work, |address| {
        let mut stream = connect(address);
        stream.write_all(b"DEL k\r\n").unwrap();
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
    assert_eq!((served.counts.closed_first, served.aborted), (1, 1));
}

#[test]
fn the_share_of_errors_is_as_asked() {
    let manner = |error_rate| Manner {
        error_rate,
        ..Manner::default()
    };
    for (protocol, words, reply) in [
        (Protocol::Redis, &b"DEL k\r\nQUIT\r\n"[..], "-ERR "),
        (Protocol::Memcached, b"get k\r\nquit\r\n", "SERVER_ERROR "),
        (Protocol::Http, b"GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 503 "),
    ] {
        let served = served(by_itself(protocol, Closer::Client, manner(1.0)), move |address| {
            assert!(ask(address, words).starts_with(reply));
        });
        assert_eq!(served.conversations.unwrap().errors_answered, 1);
    }
    let served = served(by_itself(Protocol::Redis, Closer::Client, manner(0.25)), |address| {
        let mut words = b"DEL k\r\n".repeat(10_000);
        words.extend(b"QUIT\r\n");
        let errors = ask(address, &words).matches("-ERR").count();
        // 2,500 of 10,000, standard deviation √(10,000 × 0.25 × 0.75) = 43.3: five of them either way.
        assert!((2283..=2717).contains(&errors), "{errors}");
    });
    assert!((2283..=2717).contains(&served.conversations.unwrap().errors_answered));
}

#[test]
fn a_reply_comes_no_sooner_than_the_latency() {
    const LATENCY: Duration = Duration::from_millis(30);
    let manner = Manner {
        latency: LATENCY,
        ..Manner::default()
    };
    let served = served(by_itself(Protocol::Redis, Closer::Client, manner), |address| {
        let began = Instant::now();
        assert_eq!(
            ask(address, b"DEL k\r\nDEL k\r\nDEL k\r\nQUIT\r\n"),
            ":0\r\n:0\r\n:0\r\n+OK\r\n"
        );
        assert!(began.elapsed() >= 3 * LATENCY, "{:?}", began.elapsed());
    });
    assert_eq!(requests(&served).0, 3);
}

#[test]
fn a_connection_on_which_nothing_comes_is_closed() {
    for protocol in SPOKEN.into_iter().chain([Protocol::Echo]) {
        let manner = Manner {
            idle_timeout: Duration::from_millis(50),
            ..Manner::default()
        };
        let served = served(by_itself(protocol, Closer::Client, manner), |address| {
            let began = Instant::now();
            let _greeting = rest(connect(address));
            assert!(began.elapsed() >= Duration::from_millis(50));
        });
        let told = served.conversations.unwrap();
        assert_eq!((told.idle_timeout, served.counts.closed_first), (1, 1), "{protocol:?}");
        assert!(told.idle_before_close.quantile(0.5).unwrap() >= 49_000_000);
    }
}

#[test]
fn the_listener_goes_on_after_garbage_half_a_message_and_nothing() {
    for protocol in SPOKEN {
        let manner = Manner {
            idle_timeout: Duration::from_millis(100),
            ..Manner::default()
        };
        let served = served(by_itself(protocol, Closer::Client, manner), move |address| {
            let mut kept = Vec::new();
            for bytes in [&b"\xff\xfe\0\0*garbage\r\n\r\n"[..], b"GET / HT", b""] {
                // One that goes on and one that leaves.
                for leaves in [false, true] {
                    let mut stream = connect(address);
                    stream.write_all(bytes).unwrap();
                    if leaves {
                        let _ = stream.shutdown(Shutdown::Write);
                    }
                    kept.push(stream);
                }
            }
            let flood = connect(address);
            flood.set_write_timeout(Some(PATIENCE)).unwrap();
            let mut writer = &flood;
            // Until the server has had enough, or all of it.
            let _ = (0..64).try_for_each(|_| writer.write_all(&[0xff; 65536]));
            let settings = std::sync::Arc::new(session::settings(0, 3, 0));
            let kind = session::kind(protocol).unwrap();
            assert_eq!(
                answers(connect(address), crate::protocol::ClientSession::new(kind, settings)),
                2
            );
            for stream in kept {
                rest(stream);
            }
        });
        let told = served.conversations.as_ref().unwrap();
        assert_eq!(served.counts.accepted, 8, "{protocol:?}");
        assert!(told.malformed >= 1, "{protocol:?}: {told:?}");
    }
}

/// Answers without error to two requests.
fn answers(mut stream: TcpStream, mut session: crate::protocol::ClientSession) -> u32 {
    let (mut input, mut out, mut asked, mut answered) = (Vec::new(), Vec::new(), 0, 0);
    while answered < 2 {
        if session.is_ready() && asked == answered {
            asked += 1;
            session.request(false, &mut out);
        }
        stream.write_all(&out).unwrap();
        out.clear();
        let mut piece = [0; 1000];
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "closed after {answered} answers");
        input.extend(&piece[..count]);
        loop {
            let step = session.receive(&input, &mut out);
            input.drain(..step.consumed);
            if let Some(crate::protocol::Event::Response { error: None, .. }) = step.event {
                answered += 1;
            }
            if step.consumed == 0 {
                break;
            }
        }
    }
    answered
}
