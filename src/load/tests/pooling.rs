//! A pool put to the running kernel: requests, connections and TIME_WAIT counted at both ends.

use super::namespace::in_fresh_namespace;
use super::*;
use crate::load::pool::PoolBooks;
use crate::scenario::plan::Manner;
use crate::scenario::pool::{LendOrder, LoadKind, OnReturn, PoolPlan, Validation};

const SPOKEN: [Protocol; 5] = [
    Protocol::Echo,
    Protocol::Http,
    Protocol::Mysql,
    Protocol::Memcached,
    Protocol::Redis,
];

/// A hundred requests by eight borrowers over a pool of four.
fn pooled(protocol: Protocol) -> Work {
    let mut work = work();
    work.protocol = protocol;
    let load = &mut work.load;
    (load.kind, load.connections, load.requests) = (LoadKind::Pool, None, Some(100));
    load.in_flight = 8;
    work.pool = Some(PoolPlan {
        size: 4,
        on_return: OnReturn::Keep,
        min_idle: 0,
        max_lifetime: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        validation: Validation::None,
        order: LendOrder::Lifo,
        borrow_timeout: Duration::from_secs(10),
    });
    work
}

fn edited(protocol: Protocol, edit: impl FnOnce(&mut PoolPlan)) -> Work {
    let mut work = pooled(protocol);
    edit(work.pool.as_mut().unwrap());
    work
}

struct Pooled {
    measured: Measured,
    served: Served,
    kernel: Counters,
}

impl Pooled {
    fn books(&self) -> &PoolBooks {
        self.measured.pool.as_deref().unwrap()
    }

    fn failures(&self) -> Vec<(Phase, Cause, u64)> {
        let failures = self.books().requests.failures();
        failures.iter().map(|it| (it.phase, it.cause, it.count)).collect()
    }

    /// What holds for every pool whatever happened.
    fn assert_balanced(&self) {
        let (books, tally, endings) = (self.books(), &self.measured.tally, self.measured.endings);
        assert_eq!(books.requests.attempted, books.requests.ok + books.requests.failed());
        assert_eq!(books.failed, books.requests.failed());
        assert_eq!(books.opened, books.closed.total(), "{:?}", books.closed);
        assert_eq!(tally.attempted, books.opened + books.open_failed);
        assert_eq!(tally.attempted, tally.ok + tally.failed(), "{:?}", tally.failures());
        let ended = endings.closed_first
            + endings.aborted
            + endings.peer_closed_first
            + endings.peer_reset
            + endings.quit_closed;
        assert_eq!(ended, tally.connected, "{endings:?}");
        assert_eq!(self.served.counts.open_at_end, 0);
        assert_eq!(self.kernel.get("PassiveOpens"), self.served.counts.accepted as i64);
        let points = self.measured.timeline.points();
        assert_eq!(points.iter().map(|point| point.ok).sum::<u64>(), books.requests.ok);
    }
}

/// Runs both ends in a namespace of its own, stopping the client after as many requests if that is wanted.
fn run_pool(work: Work, manner: Manner, stop_after: Option<u64>) -> Pooled {
    let (sender, receiver) = std::sync::mpsc::channel();
    in_fresh_namespace(move || {
        let before = Counters::read();
        let mut server = server_of(&work);
        server.server.manner = manner;
        let listeners = Listeners::bind(&work.destinations, 64).unwrap();
        let (control, server_control) = (Control::default(), ServerControl::default());
        let (measured, served) = std::thread::scope(|scope| {
            let serving = scope.spawn(|| listeners.serve(&server, &server_control, None).unwrap());
            let offering = scope.spawn(|| offer(Choice::Epoll, &work, &control).unwrap());
            while let Some(enough) = stop_after {
                if control.live().ok >= enough {
                    control.stop();
                    break;
                }
                std::thread::yield_now();
            }
            let measured = offering.join();
            server_control.stop();
            (measured.unwrap(), serving.join().unwrap())
        });
        assert_eq!(control.live().open, 0);
        let kernel = Counters::read().since(&before);
        let pooled = Pooled {
            measured,
            served,
            kernel,
        };
        pooled.assert_balanced();
        sender.send(pooled).unwrap();
    });
    receiver.recv().expect("the test's thread tells why it ended")
}

#[test]
fn four_connections_serve_a_hundred_requests_whatever_is_spoken() {
    for protocol in SPOKEN {
        let trial = run_pool(pooled(protocol), Manner::default(), None);
        assert_eq!(trial.books().requests.ok, 100, "{protocol:?}: {:?}", trial.failures());
        assert_eq!((trial.books().opened, trial.books().closed.end), (4, 4), "{protocol:?}");
        assert_eq!(trial.kernel.get("ActiveOpens"), 4);
        assert_eq!(trial.kernel.get("tw"), 4, "{protocol:?}");
        let said = trial.served.conversations.as_ref().unwrap();
        assert_eq!(said.requests, 100, "{protocol:?}");
        assert_eq!(trial.books().requests_per_connection.summary().unwrap().count, 4);
    }
}

#[test]
fn a_connection_a_request_leaves_as_many_time_wait_as_its_close_mode_does() {
    for (mode, time_wait) in [
        (CloseMode::Graceful, 100),
        (CloseMode::HalfClose, 100),
        (CloseMode::Abortive, 0),
    ] {
        let mut work = edited(Protocol::Redis, |pool| pool.on_return = OnReturn::Close);
        work.close.mode = mode;
        let trial = run_pool(work, Manner::default(), None);
        assert_eq!(
            (trial.books().opened, trial.books().closed.on_return),
            (100, 100),
            "{mode}"
        );
        assert_eq!(trial.kernel.get("tw"), time_wait, "{mode}");
        assert_eq!(
            trial.measured.tally.ok,
            100,
            "{mode}: {:?}",
            trial.measured.tally.failures()
        );
    }
}

/// The protocols that have a quit of their own.
const QUITTING: [Protocol; 3] = [Protocol::Mysql, Protocol::Memcached, Protocol::Redis];

fn quitting(mut work: Work, mode: CloseMode) -> Work {
    work.close.mode = mode;
    work.close.closer = match mode {
        CloseMode::QuitWait => Closer::Server,
        _ => Closer::Client,
    };
    work
}

/// A hundred requests over four connections that the pool opens whatever comes, or over one each.
fn run_quitting(protocol: Protocol, kept: bool, mode: CloseMode) -> Pooled {
    let work = edited(protocol, |pool| {
        (pool.on_return, pool.min_idle) = if kept {
            (OnReturn::Keep, 4)
        } else {
            (OnReturn::Close, 0)
        };
    });
    let trial = run_pool(quitting(work, mode), Manner::default(), None);
    assert_eq!(trial.books().requests.ok, 100, "{protocol:?}: {:?}", trial.failures());
    trial
}

#[test]
fn a_pool_that_waits_after_its_quits_leaves_time_wait_to_the_server() {
    for protocol in QUITTING {
        for (kept, connections) in [(true, 4), (false, 100)] {
            let trial = run_quitting(protocol, kept, CloseMode::QuitWait);
            let measured = &trial.measured;
            assert_eq!(measured.tally.ok, connections, "{:?}", measured.tally.failures());
            assert_eq!(measured.endings.peer_closed_first, connections, "{protocol:?}");
            let said = trial.served.conversations.as_ref().unwrap();
            assert_eq!((said.requests, said.quit), (100, connections), "{protocol:?}");
            assert_eq!(trial.served.counts.closed_first, connections, "{protocol:?}");
            let kernel = |name| trial.kernel.get(name);
            assert_eq!(
                (kernel("TW"), kernel("EstabResets")),
                (connections as i64, 0),
                "{protocol:?}"
            );
        }
    }
}

#[test]
fn a_pool_that_closes_with_its_quits_knows_not_who_was_first() {
    for protocol in QUITTING {
        for (kept, connections) in [(true, 4), (false, 100)] {
            let trial = run_quitting(protocol, kept, CloseMode::QuitClose);
            let measured = &trial.measured;
            assert_eq!(measured.tally.ok, connections, "{:?}", measured.tally.failures());
            assert_eq!(measured.endings.quit_closed, connections, "{protocol:?}");
            assert_eq!(
                trial.served.conversations.as_ref().unwrap().quit,
                connections,
                "{protocol:?}"
            );
        }
    }
}

#[test]
fn a_pools_quit_comes_whatever_the_reason_for_which_it_closes_but_not_where_the_server_was_first() {
    let each_while_idle = |work: &mut Work| {
        (work.load.arrival, work.load.rate, work.load.requests) = (Arrival::Constant, Some(20.0), Some(5));
    };
    for mode in [CloseMode::QuitWait, CloseMode::QuitClose] {
        let mut work = edited(Protocol::Mysql, |pool| {
            (pool.size, pool.idle_timeout) = (1, Duration::from_millis(5));
        });
        each_while_idle(&mut work);
        let trial = run_pool(quitting(work, mode), Manner::default(), None);
        let quits = trial.served.conversations.as_ref().unwrap().quit;
        let closed = trial.books().closed;
        assert!(closed.idle > 0, "{mode}: {closed:?}");
        assert_eq!(quits, closed.idle + closed.end, "{mode}: {closed:?}");

        let mut work = edited(Protocol::Mysql, |pool| {
            (pool.size, pool.validation) = (1, Validation::Peek)
        });
        each_while_idle(&mut work);
        let manner = Manner {
            idle_timeout: Duration::from_millis(5),
            ..Manner::default()
        };
        let trial = run_pool(quitting(work, mode), manner, None);
        let said = trial.served.conversations.as_ref().unwrap();
        assert_eq!(said.quit + said.idle_timeout, trial.books().opened, "{mode}: {said:?}");
        assert!(said.idle_timeout > 0, "{mode}");
        assert!(trial.measured.endings.peer_closed_first > 0, "{mode}");
    }
}

#[test]
fn a_stop_ends_those_too_that_have_said_goodbye_and_wait_for_the_server() {
    for mode in [CloseMode::HalfClose, CloseMode::QuitWait, CloseMode::QuitClose] {
        // Eight are open and one is lent: the stop finds the others idle.
        let mut work = edited(Protocol::Redis, |pool| (pool.size, pool.min_idle) = (8, 7));
        (work.load.in_flight, work.load.requests) = (1, Some(100_000_000));
        let trial = run_pool(quitting(work, mode), Manner::default(), Some(2_000));
        assert_eq!(trial.books().opened, trial.measured.tally.connected, "{mode}");
    }
}

#[test]
fn each_loan_but_the_first_is_validated_and_the_living_pass() {
    for validation in [Validation::Peek, Validation::RoundTrip] {
        for protocol in [Protocol::Mysql, Protocol::Memcached, Protocol::Redis] {
            let mut work = edited(protocol, |pool| (pool.size, pool.validation) = (1, validation));
            // Only what was idle is validated: nobody waits for it.
            work.load.in_flight = 1;
            let trial = run_pool(work, Manner::default(), None);
            assert_eq!(trial.books().requests.ok, 100, "{:?}", trial.failures());
            assert_eq!(
                (trial.books().validation.made, trial.books().validation.failed),
                (99, 0),
                "{protocol:?}"
            );
            // A ping is no request, on neither side.
            let (said, heard) = (trial.measured.said, trial.served.conversations.as_ref().unwrap());
            let pings = if validation == Validation::RoundTrip { 99 } else { 0 };
            assert_eq!((said.requests, said.responses), (100, 100), "{protocol:?}");
            assert_eq!((heard.requests, heard.setup), (100, pings), "{protocol:?}");
        }
    }
}

#[test]
fn requests_that_wait_too_long_are_told_as_such_and_no_connection_is_lost_for_it() {
    let mut work = edited(Protocol::Redis, |pool| {
        (pool.size, pool.borrow_timeout) = (1, Duration::from_millis(50));
    });
    (work.load.requests, work.load.in_flight) = (Some(3), 3);
    let latency = Duration::from_millis(500);
    let manner = Manner {
        latency,
        ..Manner::default()
    };
    let trial = run_pool(work, manner, None);
    assert_eq!(trial.books().requests.ok, 1);
    assert_eq!(trial.failures(), [(Phase::Borrow, Cause::LingerTimeout, 2)]);
    assert_eq!((trial.books().opened, trial.books().closed.end), (1, 1));
}

#[test]
fn where_nobody_listens_each_request_is_refused_as_its_connection_was() {
    in_fresh_namespace(|| {
        let measured = offer(Choice::Epoll, &pooled(Protocol::Redis), &Control::default()).unwrap();
        let books = measured.pool.unwrap();
        let refused = Cause::Errno(nix::libc::ECONNREFUSED);
        assert_eq!(books.requests.count(Phase::Connect, refused), 100);
        assert_eq!((books.requests.ok, books.opened), (0, 0));
        assert_eq!(measured.tally.count(Phase::Connect, refused), books.open_failed);
    });
}

#[test]
fn a_server_that_announces_its_close_costs_a_connection_and_no_request() {
    let manner = Manner {
        max_requests: 5,
        ..Manner::default()
    };
    let trial = run_pool(edited(Protocol::Http, |pool| pool.size = 1), manner, None);
    assert_eq!(trial.books().requests.ok, 100, "{:?}", trial.failures());
    assert_eq!((trial.books().opened, trial.books().closed.server_closed), (20, 20));
    assert_eq!(trial.measured.endings.peer_closed_first, 20);
}

#[test]
fn a_server_that_closes_unannounced_costs_each_request_that_meets_it_and_the_next_gets_another_connection() {
    let manner = Manner {
        max_requests: 5,
        ..Manner::default()
    };
    let mut work = edited(Protocol::Redis, |pool| pool.size = 1);
    // Time for the FIN to come between a reply and the next request.
    (work.load.arrival, work.load.rate, work.load.requests) = (Arrival::Constant, Some(100.0), Some(60));
    let trial = run_pool(work, manner, None);
    let failed = trial.books().requests.failed();
    assert!(failed > 0 && trial.failures().iter().all(|(phase, ..)| *phase != Phase::Borrow));
    assert_eq!(trial.books().closed.server_closed, failed);
    // Five that succeed to one that does not; the last five may end with the load.
    assert_eq!(trial.books().requests.ok, 60 - failed);
    assert!((10..=12).contains(&failed), "{failed}");
}

#[test]
fn a_load_that_is_stopped_leaves_its_books_whole() {
    let mut work = pooled(Protocol::Redis);
    work.load.requests = Some(100_000_000);
    let trial = run_pool(work, Manner::default(), Some(50));
    assert!(trial.books().requests.ok >= 50);
    let cancelled = |(_, cause, _): &(Phase, Cause, u64)| *cause == Cause::Cancelled;
    assert!(trial.failures().iter().all(cancelled), "{:?}", trial.failures());
}
