//! The load that is offered: its rate, its bounds, its end.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::namespace::in_fresh_namespace;
use super::{ENGINES, run, run_on_threads, run_watched, server_of, work};
use crate::record::tally::{Cause, Phase};
use crate::scenario::spec::{Arrival, Protocol};

#[test]
fn an_open_loop_offers_every_planned_attempt_and_times_it_from_its_intended_start() {
    for (engine, arrival) in ENGINES.into_iter().zip([Arrival::Constant, Arrival::Poisson]) {
        in_fresh_namespace(move || {
            let mut work = work();
            work.load.arrival = arrival;
            work.load.rate = Some(500.0);
            work.load.connections = Some(100);
            let trial = run(engine, &work);
            let measured = &trial.measured;
            assert_eq!((measured.tally.ok, measured.not_offered), (100, 0));
            assert_eq!((measured.lag.count(), measured.from_intended_start.count()), (100, 100));
        });
    }
}

#[test]
fn a_closed_loop_intends_no_start_and_so_measures_none() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let trial = run(engine, &work());
            assert_eq!(
                (trial.measured.lag.count(), trial.measured.from_intended_start.count()),
                (0, 0)
            );
            assert_eq!(trial.measured.connect.count(), 10);
        });
    }
}

#[test]
fn attempts_for_which_there_was_no_room_are_counted_as_not_offered() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = work();
            work.load.arrival = Arrival::Constant;
            work.load.rate = Some(1_000.0);
            work.load.connections = None;
            work.load.duration = Some(Duration::from_millis(100));
            work.load.in_flight = 1;
            work.load.requests_per_connection = 1;
            work.protocol = Protocol::Echo;
            // The only connection there is room for waits for an answer until after the end.
            work.load.io_timeout = Duration::from_millis(300);
            let mut server = server_of(&work);
            server.server.accept_delay = Duration::from_secs(3600);
            let trial = run_watched(engine, &work, &server, |_, _| ());
            assert_eq!((trial.measured.tally.attempted, trial.measured.not_offered), (1, 99));
            assert_eq!(trial.count(Phase::Recv, Cause::LingerTimeout), 1);
        });
    }
}

#[test]
fn a_duration_ends_a_load_of_any_number() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = work();
            work.load.connections = None;
            work.load.duration = Some(Duration::from_millis(50));
            let trial = run(engine, &work);
            assert!(trial.measured.tally.ok > 0);
            assert_eq!(
                trial.measured.tally.failed(),
                0,
                "those under way at the end are finished"
            );
            assert_eq!(trial.measured.not_offered, 0);
        });
    }
}

#[test]
fn thousands_are_held_open_at_once_and_stopping_cancels_each() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = work();
            work.load.in_flight = 3_000;
            work.load.connections = Some(100_000);
            work.load.hold = Duration::from_secs(3600);
            let trial = run_watched(engine, &work, &server_of(&work), |control, server| {
                while control.live().open < 3_000 || server.open() < 3_000 {
                    std::thread::yield_now();
                }
                control.stop();
            });
            assert_eq!(trial.measured.tally.attempted, 3_000);
            assert_eq!(trial.count(Phase::Close, Cause::Cancelled), 3_000);
            assert_eq!(trial.measured.endings.closed_first, 3_000);
            assert_eq!(trial.served.counts.closed_by_peer, 3_000);
            assert_eq!(trial.kernel.get("tw"), 3_000);
        });
    }
}

#[test]
fn a_server_that_accepts_slowly_accepts_all_in_the_end() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = work();
            work.load.requests_per_connection = 1;
            work.protocol = Protocol::Echo;
            work.destinations.push(([127, 0, 0, 1], 7_001).into());
            let mut server = server_of(&work);
            server.server.accept_delay = Duration::from_millis(5);
            let trial = run_watched(engine, &work, &server, |_, _| ());
            assert_eq!((trial.measured.tally.ok, trial.served.counts.accepted), (10, 10));
            // Ten accepts, each 5 ms after the last: the load cannot have been over before the last of them.
            assert!(trial.measured.ended_at >= 40_000_000);
        });
    }
}

#[test]
fn two_threads_a_side_make_what_one_would_and_their_books_add_up() {
    for engine in ENGINES {
        for arrival in [Arrival::Max, Arrival::Poisson] {
            in_fresh_namespace(move || {
                let mut work = work();
                work.load.arrival = arrival;
                work.load.rate = (arrival == Arrival::Poisson).then_some(2_000.0);
                work.load.connections = Some(301);
                work.load.requests_per_connection = 1;
                work.protocol = Protocol::Echo;
                let trial = run_on_threads(engine, 2, &work, &server_of(&work), |_, _| ());
                assert_eq!((trial.measured.tally.ok, trial.measured.threads), (301, 2));
                assert_eq!(trial.served.counts.accepted, 301);
                assert_eq!((trial.kernel.get("ActiveOpens"), trial.kernel.get("tw")), (301, 301));
            });
        }
    }
}
