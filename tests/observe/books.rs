//! Each row of the ledger, seen to hold: plain connections in every close mode, by either closer, in one namespace and
//! in two, through exhaustion, refusal, reuse and overflow.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use linger::observe::{Config, Eyes, Observed, Observer};
use linger::record::ledger::{Books, Closes, Counted, ServerBooks, reconcile};
use linger::record::schema::{Ledger, LedgerRow};
use linger::record::tally::{Cause, First, Phase, Tally};
use linger::tcp::{CloseMode, Closer};
use socket2::SockRef;

use crate::namespace::{inside, joined, listen, sysctl};

/// What both ends do with each connection.
#[derive(Clone, Copy, Debug)]
struct Manner {
    closer: Closer,
    mode: CloseMode,
    /// A byte up and a byte down before the close.
    exchange: bool,
}

const MODES: [CloseMode; 4] = [
    CloseMode::Graceful,
    CloseMode::Abortive,
    CloseMode::Lingering,
    CloseMode::HalfClose,
];
const THREADS: u64 = 3;

fn close(stream: TcpStream, mode: CloseMode, closes: &mut Closes) {
    match mode {
        CloseMode::Graceful => {}
        CloseMode::Abortive => SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
        CloseMode::Lingering => SockRef::from(&stream).set_linger(Some(Duration::from_secs(2))).unwrap(),
        CloseMode::HalfClose => {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!((&stream).read(&mut [0; 1]).unwrap(), 0);
        }
        CloseMode::QuitWait | CloseMode::QuitClose => unreachable!("nothing is spoken here"),
    }
    match mode {
        CloseMode::Abortive => closes.aborted += 1,
        _ => closes.closed_first += 1,
    }
}

fn await_close(mut stream: TcpStream, closes: &mut Closes) {
    match stream.read(&mut [0; 1]) {
        Ok(0) => closes.peer_closed_first += 1,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => closes.peer_reset += 1,
        other => panic!("expected the peer's close, got {other:?}"),
    }
}

fn end(stream: TcpStream, mine: Closer, manner: Manner, closes: &mut Closes) {
    if manner.closer == mine {
        close(stream, manner.mode, closes);
    } else {
        await_close(stream, closes);
    }
}

/// Serves until `done` and nobody waits any more.
fn serve(listener: &TcpListener, manner: Manner, done: &AtomicBool) -> (u64, Closes) {
    listener.set_nonblocking(true).unwrap();
    let (mut accepted, mut closes) = (0, Closes::default());
    loop {
        let last = done.load(Ordering::SeqCst);
        match listener.accept() {
            Ok((mut stream, _)) => {
                accepted += 1;
                stream.set_nonblocking(false).unwrap();
                if manner.exchange {
                    stream.read_exact(&mut [0; 1]).unwrap();
                    stream.write_all(&[1]).unwrap();
                }
                end(stream, Closer::Server, manner, &mut closes);
            }
            Err(_) if last => return (accepted, closes),
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// `count` attempts on each of several threads.
fn offer(destination: SocketAddr, manner: Manner, count: u64) -> (Tally, Closes) {
    let attempt = |tally: &mut Tally, closes: &mut Closes| {
        tally.attempted += 1;
        match TcpStream::connect(destination) {
            Ok(mut stream) => {
                tally.connected += 1;
                if manner.exchange {
                    stream.write_all(&[1]).unwrap();
                    stream.read_exact(&mut [0; 1]).unwrap();
                }
                end(stream, Closer::Client, manner, closes);
                tally.ok += 1;
            }
            Err(error) => {
                let cause = Cause::Errno(error.raw_os_error().unwrap());
                tally.fail(
                    Phase::Connect,
                    cause,
                    First {
                        at: 0,
                        attempt: tally.attempted,
                    },
                );
            }
        }
    };
    let worker = || {
        let (mut tally, mut closes) = (Tally::default(), Closes::default());
        (0..count).for_each(|_| attempt(&mut tally, &mut closes));
        (tally, closes)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .fold((Tally::default(), Closes::default()), |(mut tally, closes), worker| {
                let (more, ends) = worker.join().unwrap();
                tally.merge(&more);
                (tally, closes + ends)
            })
    })
}

/// Everything that one load left, enough to make books of.
#[derive(Debug)]
struct Left {
    tally: Tally,
    client: Closes,
    server: Closes,
    accepted: u64,
    observed: Observed,
}

impl Left {
    fn books(&self) -> Books<'_> {
        Books {
            attempts: &self.tally,
            client: self.client,
            server: self.server,
            accepted: self.accepted,
            server_books: ServerBooks::Ours,
            counted: match &self.observed.counters {
                (both, None) => Counted::Together(both),
                (client, Some(server)) => Counted::Apart { client, server },
            },
            held: [self.observed.client.held, self.observed.server.held],
            reused: None,
            disconnects: false,
            seconds: 0.0,
            kernel: kernel(),
        }
    }
}

fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap());
    (parts.next().unwrap(), parts.next().unwrap())
}

/// Both ends in the calling thread's namespace, or the server's where `server` was made.
fn load(listener: TcpListener, eyes: (Eyes, Option<Eyes>), manner: Manner, count: u64) -> Left {
    let destination = listener.local_addr().unwrap();
    let config = Config {
        ports: false,
        server_endpoints: vec![destination],
        tuples: false,
        origin: Instant::now(),
    };
    let observer = Observer::start(eyes.0, eyes.1, config).unwrap();
    let done = AtomicBool::new(false);
    let ((tally, client), (accepted, server)) = std::thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener, manner, &done));
        let client = offer(destination, manner, count);
        done.store(true, Ordering::SeqCst);
        (client, server.join().unwrap())
    });
    Left {
        tally,
        client,
        server,
        accepted,
        observed: at_rest(observer),
    }
}

/// The observation's end, once no connection is under way: a FIN may still be on its way when close() has returned.
fn at_rest(observer: Observer) -> Observed {
    observer.look_now().unwrap();
    std::thread::sleep(Duration::from_millis(50));
    observer.look_now().unwrap();
    observer.finish()
}

fn in_one(manner: Manner, count: u64, prepare: impl FnOnce() + Send) -> Left {
    inside(|| {
        prepare();
        let (listener, _) = listen("127.0.0.1:7001");
        load(listener, (Eyes::open().unwrap(), None), manner, count)
    })
}

fn in_two(manner: Manner, count: u64) -> Left {
    joined(
        || (listen("10.0.0.2:7001").0, Eyes::open().unwrap()),
        |(listener, server)| load(listener, (Eyes::open().unwrap(), Some(server)), manner, count),
    )
}

fn row<'a>(ledger: &'a Ledger, name: &str) -> &'a LedgerRow {
    let found = ledger.rows.iter().find(|row| row.name == name);
    found.unwrap_or_else(|| panic!("no row {name} in {:#?}", ledger.rows))
}

fn assert_balanced(left: &Left, what: &str) -> Ledger {
    let ledger = reconcile(&left.books());
    let off: Vec<_> = ledger.rows.iter().filter(|row| !row.balanced).collect();
    assert!(off.is_empty(), "{what}: {off:#?}\n{:#?}", left.observed.counters);
    assert!(ledger.balanced);
    ledger
}

fn every_manner() -> impl Iterator<Item = Manner> {
    let closers = [Closer::Client, Closer::Server];
    closers.into_iter().flat_map(|closer| {
        MODES
            .into_iter()
            .flat_map(move |mode| [false, true].map(|exchange| Manner { closer, mode, exchange }))
    })
}

const PLAIN: Manner = Manner {
    closer: Closer::Client,
    mode: CloseMode::Graceful,
    exchange: false,
};

#[test]
fn books_balance_in_one_namespace_whoever_closes_and_however() {
    for manner in every_manner() {
        let left = in_one(manner, 40, || {});
        let ledger = assert_balanced(&left, &format!("{manner:?}"));
        let made = i64::from(manner.mode != CloseMode::Abortive) * 120;
        assert_eq!(row(&ledger, "TIME_WAIT made, both sides").ours, made);
        assert_eq!(row(&ledger, "aborts, both sides").kernel, Some(120 - made));
        assert_eq!(row(&ledger, "resets, both sides").kernel, Some(2 * (120 - made)));
    }
}

#[test]
fn books_balance_in_two_namespaces_whoever_closes_and_however() {
    for manner in every_manner() {
        let left = in_two(manner, 40);
        let ledger = assert_balanced(&left, &format!("{manner:?}"));
        let closer = if manner.closer == Closer::Client {
            "client"
        } else {
            "server"
        };
        let made = i64::from(manner.mode != CloseMode::Abortive) * 120;
        assert_eq!(row(&ledger, &format!("TIME_WAIT made, {closer}")).kernel, Some(made));
        assert_eq!(row(&ledger, &format!("aborts, {closer}")).kernel, Some(120 - made));
        assert_eq!(row(&ledger, "resets, client").kernel, Some(120 - made));
        assert_eq!(row(&ledger, "resets, server").kernel, Some(120 - made));
    }
}

#[test]
fn books_balance_when_ports_run_out() {
    let left = in_one(PLAIN, 50, || {
        sysctl("net.ipv4.tcp_tw_reuse", "0");
        sysctl("net.ipv4.ip_local_port_range", "40000 40099");
    });
    let ledger = assert_balanced(&left, "exhaustion");
    let opens = row(&ledger, "client opens");
    // A TIME_WAIT that a RST has ended gives its port back: see the ledger.
    assert!(opens.ours >= 100 && opens.kernel == Some(opens.ours));
    assert_eq!(
        left.tally.count(Phase::Connect, Cause::Errno(nix::libc::EADDRNOTAVAIL)),
        150 - left.tally.ok
    );
}

#[test]
fn books_balance_when_nobody_listens() {
    let left = inside(|| {
        let (listener, destination) = listen("127.0.0.1:7001");
        let eyes = Eyes::open().unwrap();
        let config = Config {
            ports: false,
            server_endpoints: vec![destination],
            tuples: false,
            origin: Instant::now(),
        };
        let observer = Observer::start(eyes, None, config).unwrap();
        drop(listener);
        let (tally, client) = offer(destination, PLAIN, 20);
        Left {
            tally,
            client,
            server: Closes::default(),
            accepted: 0,
            observed: at_rest(observer),
        }
    });
    let ledger = assert_balanced(&left, "refused");
    assert_eq!(row(&ledger, "failed opens").kernel, Some(60));
    assert_eq!(row(&ledger, "client opens").kernel, Some(60));
    assert_eq!(row(&ledger, "server opens").kernel, Some(0));
    assert_eq!(left.observed.counters.0["OutRsts"], 60);
}

#[test]
fn books_balance_when_time_wait_is_recycled() {
    let left = in_one(PLAIN, 1, || {
        sysctl("net.ipv4.ip_local_port_range", "40000 40002");
        sysctl("net.ipv4.tcp_tw_reuse", "1");
    });
    assert_balanced(&left, "three ports, three connections");
    // Without the sysctl of 6.14 a TIME_WAIT cannot be reused for a second: the row is then 0 against 0.
    let left = in_one(PLAIN, 4000, || {
        sysctl("net.ipv4.ip_local_port_range", "40000 40029");
        sysctl("net.ipv4.tcp_tw_reuse", "1");
        if std::path::Path::new("/proc/sys/net/ipv4/tcp_tw_reuse_delay").exists() {
            sysctl("net.ipv4.tcp_tw_reuse_delay", "1");
        }
    });
    let ledger = assert_balanced(&left, "recycled");
    assert!(kernel() < (6, 14) || left.observed.counters.0["TWRecycled"] > 0);
    assert!(row(&ledger, "TIME_WAIT held, both sides").kernel.unwrap() <= 30);
}

#[test]
fn books_balance_when_the_kernel_may_not_hold_time_wait() {
    let left = in_one(PLAIN, 40, || sysctl("net.ipv4.tcp_max_tw_buckets", "30"));
    let ledger = assert_balanced(&left, "overflow");
    assert!(left.observed.counters.0["TCPTimeWaitOverflow"] >= 80);
    assert_eq!(row(&ledger, "TIME_WAIT made, both sides").kernel, Some(120));
}

#[test]
fn books_balance_when_the_server_is_late_and_a_reset_ends_time_wait() {
    // The accept queue fills while the server sleeps: its delayed ACKs then race with its FINs.
    for _ in 0..3 {
        assert_balanced(&in_two(PLAIN, 300), "a late server");
    }
}

#[test]
fn a_load_of_the_server_that_used_four_tuples_again_is_not_checked_without_following_them() {
    let manner = Manner {
        closer: Closer::Server,
        ..PLAIN
    };
    let left = in_one(manner, 40, || sysctl("net.ipv4.ip_local_port_range", "40000 40029"));
    let ledger = assert_balanced(&left, "server closes");
    let held = row(&ledger, "TIME_WAIT held, both sides");
    assert_eq!((held.kernel, held.balanced), (None, true));
    assert!(left.observed.server.held <= 30, "120 connections on 30 four-tuples");
    let reused = 120 - left.observed.server.held;
    let ledger = reconcile(&Books {
        reused: Some(reused),
        ..left.books()
    });
    assert!(row(&ledger, "TIME_WAIT held, both sides").kernel.is_some() && ledger.balanced);
}

#[test]
fn a_connection_attempt_that_we_give_up_is_opened_and_no_failed_open() {
    inside(|| {
        let (listener, destination) = listen("127.0.0.1:7001");
        let config = Config {
            ports: false,
            server_endpoints: vec![destination],
            tuples: false,
            origin: Instant::now(),
        };
        let observer = Observer::start(Eyes::open().unwrap(), None, config).unwrap();
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        crate::namespace::run("ip", &["address", "add", "10.9.0.1/24", "dev", "lo"]);
        crate::namespace::run("ip", &["route", "add", "10.8.0.0/24", "dev", "lo"]);
        // 10.8.0.1 is nobody: the SYN is looped back and dropped as no address of ours.
        let nobody: SocketAddr = "10.8.0.1:7001".parse().unwrap();
        assert!(
            socket
                .connect_timeout(&nobody.into(), Duration::from_millis(20))
                .is_err()
        );
        drop(socket);
        let mut tally = Tally::default();
        tally.attempted = 1;
        tally.fail(Phase::Connect, Cause::LingerTimeout, First { at: 0, attempt: 1 });
        let left = Left {
            tally,
            client: Closes::default(),
            server: Closes::default(),
            accepted: 0,
            observed: at_rest(observer),
        };
        let ledger = assert_balanced(&left, "given up");
        assert_eq!(row(&ledger, "client opens").kernel, Some(1));
        assert_eq!(row(&ledger, "failed opens").kernel, Some(0));
        drop(listener);
    });
}
