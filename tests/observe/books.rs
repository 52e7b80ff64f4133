//! Each row of the ledger, seen to hold: plain connections in every close mode, by either closer, in one namespace and
//! in two, through exhaustion, refusal, reuse and overflow.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use linger::observe::{Config, Eyes, Observed, Observer};
use linger::record::ledger::{Books, Closes, Counted, reconcile};
use linger::record::schema::{Ledger, LedgerRow};
use linger::record::tally::{Cause, First, Phase, Tally};
use linger::tcp::{CloseMode, Closer};
use socket2::SockRef;

use crate::namespace::{inside, joined, listen, sysctl, until};

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
            counted: match &self.observed.counters {
                (both, None) => Counted::Together(both),
                (client, Some(server)) => Counted::Apart { client, server },
            },
            held: [self.observed.client.held, self.observed.server.held],
            reused: None,
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

#[test]
fn experiment() {
    for exchange in [false, true] {
        for closer in [Closer::Client, Closer::Server] {
            for mode in MODES {
                for two in [false, true] {
                    let manner = Manner { closer, mode, exchange };
                    let left = if two {
                        in_two(manner, 100)
                    } else {
                        in_one(manner, 100, || {})
                    };
                    println!("== {manner:?} two={two}");
                    println!(
                        "   ours: client {:?} server {:?} accepted {} {:?}",
                        left.client,
                        left.server,
                        left.accepted,
                        left.tally.failures()
                    );
                    println!("   held {} {}", left.observed.client.held, left.observed.server.held);
                    let names = [
                        "ActiveOpens",
                        "PassiveOpens",
                        "AttemptFails",
                        "EstabResets",
                        "OutRsts",
                        "TW",
                        "TWKilled",
                        "TWRecycled",
                        "TCPTimeWaitOverflow",
                        "TCPAbortOnData",
                        "TCPAbortOnClose",
                        "EmbryonicRsts",
                        "ListenOverflows",
                    ];
                    let show = |c: &std::collections::BTreeMap<String, i64>| {
                        names
                            .iter()
                            .filter(|n| c.get(**n) != Some(&0))
                            .map(|n| format!("{n}={:?}", c.get(*n)))
                            .collect::<Vec<_>>()
                            .join(" ")
                    };
                    println!("   {}", show(&left.observed.counters.0));
                    if let Some(c) = &left.observed.counters.1 {
                        println!("   {}", show(c));
                    }
                    for r in reconcile(&left.books()).rows.iter().filter(|r| !r.balanced) {
                        println!("   OFF {} ours {} kernel {:?}", r.name, r.ours, r.kernel);
                    }
                }
            }
        }
    }
}
