//! Who closes first, and how: both ends' counts against the kernel's.

use std::time::Duration;

use super::namespace::in_fresh_namespace;
use super::{ENGINES, Trial, run, run_watched, server_of, work};
use crate::load::measured::Endings;
use crate::load::{Choice, Work};
use crate::record::tally::{Cause, Phase};
use crate::scenario::spec::Protocol;
use crate::tcp::{CloseMode, Closer};

const CONNECTIONS: u64 = 40;

fn closing(engine: Choice, closer: Closer, mode: CloseMode, requests: u32) -> Work {
    let mut work = work();
    work.close.closer = closer;
    work.close.mode = mode;
    work.close.linger_seconds = Some(1);
    work.load.connections = Some(CONNECTIONS);
    work.load.requests_per_connection = requests;
    work.protocol = if requests > 0 { Protocol::Echo } else { Protocol::None };
    work.tuples = engine == Choice::Epoll;
    work
}

/// All went as planned, and the kernel saw as many opens, resets and TIME_WAIT sockets.
fn assert_planned(trial: &Trial, work: &Work) {
    let (tally, counts, kernel) = (&trial.measured.tally, &trial.served.counts, &trial.kernel);
    assert_eq!(tally.ok, CONNECTIONS, "{:?} {:?}", work.close, tally.failures());
    assert_eq!((tally.attempted, counts.accepted), (CONNECTIONS, CONNECTIONS));
    let aborted = work.close.mode == CloseMode::Abortive;
    let (mut endings, n) = (Endings::default(), CONNECTIONS);
    match (work.close.closer, aborted) {
        (Closer::Client, false) => endings.closed_first = n,
        (Closer::Client, true) => endings.aborted = n,
        (Closer::Server, false) => endings.peer_closed_first = n,
        (Closer::Server, true) => endings.peer_reset = n,
    }
    assert_eq!(trial.measured.endings, endings);
    match (work.close.closer, aborted) {
        (Closer::Client, false) => assert_eq!(counts.closed_by_peer, n),
        (Closer::Client, true) => assert_eq!(counts.reset_by_peer, n),
        (Closer::Server, _) => assert_eq!((counts.closed_first, trial.served.aborted), (n, n * u64::from(aborted))),
    }
    let bytes = n * u64::from(work.load.requests_per_connection);
    assert_eq!((counts.bytes_received, counts.bytes_sent), (bytes, bytes));
    let n = n as i64;
    assert_eq!((kernel.get("ActiveOpens"), kernel.get("PassiveOpens")), (n, n));
    // Not OutRsts where nobody aborts: see in_fresh_namespace().
    let (aborts, time_wait) = if aborted { (n, 0) } else { (0, n) };
    let resets = (kernel.get("TCPAbortOnData"), kernel.get("EstabResets"));
    assert_eq!(
        (resets, kernel.get("tw")),
        ((aborts, 2 * aborts), time_wait),
        "each abort resets both ends"
    );
    assert!(!aborted || kernel.get("OutRsts") == n);
    assert_eq!(kernel.get("TCPAbortOnClose"), 0, "nobody closed with bytes unread");
}

fn each_mode_goes_as_planned(closer: Closer, requests: u32) {
    for engine in ENGINES {
        for mode in [
            CloseMode::Graceful,
            CloseMode::Abortive,
            CloseMode::Lingering,
            CloseMode::HalfClose,
        ] {
            in_fresh_namespace(move || {
                let work = closing(engine, closer, mode, requests);
                assert_planned(&run(engine, &work), &work);
            });
        }
    }
}

#[test]
fn the_client_closes_first_in_each_mode_without_a_byte_said() {
    each_mode_goes_as_planned(Closer::Client, 0);
}

#[test]
fn the_client_closes_first_in_each_mode_after_three_requests() {
    each_mode_goes_as_planned(Closer::Client, 3);
}

#[test]
fn the_server_closes_first_in_each_mode_without_a_byte_said() {
    each_mode_goes_as_planned(Closer::Server, 0);
}

#[test]
fn the_server_closes_first_in_each_mode_after_three_requests() {
    each_mode_goes_as_planned(Closer::Server, 3);
}

fn each_engine_and_closer() -> impl Iterator<Item = (Choice, Closer)> {
    let closers = |engine| [Closer::Client, Closer::Server].map(|closer| (engine, closer));
    ENGINES.into_iter().flat_map(closers)
}

#[test]
fn whoever_closes_first_holds_the_connection_before() {
    for (engine, closer) in each_engine_and_closer() {
        in_fresh_namespace(move || {
            let mut work = closing(engine, closer, CloseMode::Graceful, 1);
            work.load.in_flight = CONNECTIONS as u32;
            work.load.hold = Duration::from_millis(1000);
            // The client waits for the server's close longer than this: the server holds first.
            work.load.io_timeout = Duration::from_millis(900);
            let trial = run(engine, &work);
            assert_planned(&trial, &work);
            assert!(trial.measured.session.quantile(0.0).unwrap() >= 299_000_000);
        });
    }
}

#[test]
fn a_reset_that_nobody_planned_is_a_failure_to_receive() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let work = closing(engine, Closer::Server, CloseMode::Graceful, 1);
            let mut server = server_of(&work);
            server.close.mode = CloseMode::Abortive;
            let trial = run_watched(engine, &work, &server, |_, _| ());
            assert_eq!(trial.count(Phase::Recv, Cause::Errno(104)), CONNECTIONS);
            assert_eq!(trial.measured.endings.peer_reset, CONNECTIONS);
            assert_eq!(trial.served.aborted, CONNECTIONS);
        });
    }
}

#[test]
fn a_fin_before_the_whole_response_is_an_unexpected_end() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = closing(engine, Closer::Server, CloseMode::Graceful, 1);
            let server = server_of(&work);
            work.load.response_bytes = 2;
            let trial = run_watched(engine, &work, &server, |_, _| ());
            assert_eq!(trial.count(Phase::Recv, Cause::UnexpectedEof), CONNECTIONS);
            assert_eq!(trial.measured.endings.peer_closed_first, CONNECTIONS);
        });
    }
}

#[test]
fn messages_longer_than_the_socket_buffers_arrive_whole() {
    for (engine, closer) in each_engine_and_closer() {
        in_fresh_namespace(move || {
            let mut work = closing(engine, closer, CloseMode::Graceful, 2);
            work.load.request_bytes = 100_000;
            work.load.response_bytes = 1 << 20;
            let trial = run(engine, &work);
            assert_eq!(
                trial.measured.tally.ok,
                CONNECTIONS,
                "{:?}",
                trial.measured.tally.failures()
            );
            assert_eq!(trial.served.counts.bytes_received, CONNECTIONS * 2 * 100_000);
            assert_eq!(trial.served.counts.bytes_sent, CONNECTIONS * 2 * (1 << 20));
            assert_eq!(trial.kernel.get("EstabResets"), 0);
        });
    }
}

#[test]
fn ipv6_goes_like_ipv4() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = closing(engine, Closer::Client, CloseMode::Graceful, 1);
            work.destinations = vec!["[::1]:7000".parse().unwrap()];
            let trial = run(engine, &work);
            assert_planned(&trial, &work);
        });
    }
}
