//! Failed attempts are data: phase, errno, the first one's ordinal, and the next is still offered.

use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::namespace::{in_fresh_namespace, set_sysctl};
use super::{ENGINES, Trial, offer, run, run_watched, server_of, work};
use crate::load::{Choice, Control, EngineError, Work, server::Listeners};
use crate::record::tally::{Cause, Phase};
use crate::scenario::spec::{Protocol, Source};
use crate::tcp::{CloseMode, Closer};

/// Fifty ports to a destination, each taken for a minute once used.
fn fifty_ports() {
    set_sysctl("net.ipv4.ip_local_port_range", "40000 40049");
    set_sysctl("net.ipv4.tcp_tw_reuse", "0");
}

fn connecting(connections: u64) -> Work {
    let mut work = work();
    work.load.connections = Some(connections);
    work
}

fn assert_ok_then(trial: &Trial, ok: u64, phase: Phase, errno: i32) {
    let tally = &trial.measured.tally;
    assert_eq!(tally.ok, ok, "{:?}", tally.failures());
    assert_eq!(trial.count(phase, Cause::Errno(errno)), tally.attempted - ok);
    assert_eq!(tally.failures()[0].first.attempt, ok + 1);
}

#[test]
fn fifty_ports_give_fifty_connections_and_then_eaddrnotavail() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = connecting(80);
        work.tuples = true;
        let trial = run(Choice::Epoll, &work);
        assert_ok_then(&trial, 50, Phase::Connect, libc::EADDRNOTAVAIL);
        assert_eq!(trial.measured.connect_failed.count(), 30);
        assert_eq!(trial.measured.connect_call.count(), 80);
        assert_eq!((trial.kernel.get("ActiveOpens"), trial.kernel.get("tw")), (50, 50));
        let tuples = trial.measured.tuples.unwrap();
        assert!((40_000..40_050).all(|port| tuples.last_close(0, port).is_some()));
    });
}

#[test]
fn each_further_destination_gives_the_same_ports_again() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            fifty_ports();
            let mut work = connecting(160);
            work.destinations.push(([127, 0, 0, 1], 7_001).into());
            work.destinations.push(([127, 0, 0, 2], 7_000).into());
            assert_ok_then(&run(engine, &work), 150, Phase::Connect, libc::EADDRNOTAVAIL);
        });
    }
}

#[test]
fn a_bound_address_fails_in_bind_and_shares_its_ports_over_all_destinations() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = connecting(60);
        work.client.source = Source::BindAddress;
        work.destinations.push(([127, 0, 0, 1], 7_001).into());
        assert_ok_then(&run(Choice::Epoll, &work), 50, Phase::Bind, libc::EADDRINUSE);
    });
}

#[test]
fn bound_addresses_without_port_give_each_source_the_ports_to_each_destination() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = connecting(220);
        work.tuples = true;
        work.client.source = Source::BindAddressNoPort;
        work.sources.push([127, 0, 0, 2].into());
        work.destinations.push(([127, 0, 0, 1], 7_001).into());
        let trial = run(Choice::Epoll, &work);
        assert_ok_then(&trial, 200, Phase::Connect, libc::EADDRNOTAVAIL);
        let tuples = trial.measured.tuples.unwrap();
        for pair in 0..4 {
            assert!(
                (40_000..40_050).all(|port| tuples.last_close(pair, port).is_some()),
                "pair {pair}"
            );
        }
    });
}

#[test]
fn a_socket_s_own_port_range_is_all_that_it_takes() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = connecting(20);
        work.tuples = true;
        work.client.source = Source::PortRange;
        work.client.port_range = Some((40_010, 40_019));
        let trial = run(Choice::Epoll, &work);
        let unknown = trial.count(Phase::Bind, Cause::Errno(libc::ENOPROTOOPT));
        if unknown > 0 {
            assert_eq!(unknown, 20, "before Linux 6.3 the option fails each time");
            return;
        }
        assert_ok_then(&trial, 10, Phase::Connect, libc::EADDRNOTAVAIL);
        let tuples = trial.measured.tuples.unwrap();
        assert!((40_010..=40_019).all(|port| tuples.last_close(0, port).is_some()));
    });
}

#[test]
fn ports_that_are_used_again_are_timed_from_their_last_close() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = connecting(80);
        work.tuples = true;
        work.close.mode = CloseMode::Abortive;
        let trial = run(Choice::Epoll, &work);
        assert_eq!(trial.measured.tally.ok, 80);
        let tuples = trial.measured.tuples.unwrap();
        let used = (40_000..40_050)
            .filter(|port| tuples.last_close(0, *port).is_some())
            .count() as u64;
        assert_eq!(
            used + tuples.reuse().unwrap().count(),
            80,
            "each use of a port is its first or a reuse"
        );
    });
}

#[test]
fn nobody_listening_refuses_each_attempt() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = connecting(30);
            work.destinations = vec![([127, 0, 0, 1], 7_999).into()];
            let measured = offer(engine, &work, &Control::default()).unwrap();
            assert_eq!(
                measured.tally.count(Phase::Connect, Cause::Errno(libc::ECONNREFUSED)),
                30
            );
            assert_eq!((measured.tally.attempted, measured.tally.connected), (30, 0));
        });
    }
}

#[test]
fn a_full_accept_queue_runs_into_our_connect_timeout() {
    for engine in ENGINES {
        in_fresh_namespace(move || {
            let mut work = connecting(6);
            work.load.connect_timeout = Duration::from_millis(150);
            // With a backlog of 0 the queue takes one connection; the SYNs of the others are dropped.
            let listeners = Listeners::bind(&work.destinations, 0).unwrap();
            let measured = offer(engine, &work, &Control::default()).unwrap();
            drop(listeners);
            assert_eq!(measured.tally.ok, 1);
            assert_eq!(measured.tally.count(Phase::Connect, Cause::LingerTimeout), 5);
            assert_eq!(measured.connect_failed.count(), 5);
        });
    }
}

#[test]
fn an_answer_that_does_not_come_runs_into_our_io_timeout() {
    let cases = [(1, Closer::Client), (0, Closer::Server)];
    for (engine, (requests, closer)) in ENGINES.into_iter().flat_map(|engine| cases.map(|case| (engine, case))) {
        in_fresh_namespace(move || {
            let mut work = connecting(5);
            work.protocol = Protocol::Echo;
            work.load.requests_per_connection = requests;
            work.load.io_timeout = Duration::from_millis(100);
            work.close.closer = closer;
            let mut server = server_of(&work);
            server.server.accept_delay = Duration::from_secs(3600);
            let trial = run_watched(engine, &work, &server, |_, _| ());
            assert_eq!(trial.count(Phase::Recv, Cause::LingerTimeout), 5);
            assert_eq!(trial.measured.endings.closed_first, 5);
            assert_eq!(
                trial.served.counts.accepted, 5,
                "a stopped server takes what still waits"
            );
        });
    }
}

#[test]
fn work_without_a_destination_or_a_source_is_refused() {
    let mut work = connecting(1);
    work.client.source = Source::BindAddress;
    work.sources.clear();
    let run = |work: &Work| offer(Choice::Epoll, work, &Control::default()).err();
    assert!(matches!(run(&work), Some(EngineError::Missing("source address"))));
    work.destinations.clear();
    assert!(matches!(run(&work), Some(EngineError::Missing("destination"))));
}

#[test]
fn a_port_that_is_taken_is_told_with_its_address() {
    in_fresh_namespace(|| {
        let addresses = &work().destinations;
        let first = Listeners::bind(addresses, 1).unwrap();
        let error = Listeners::bind(addresses, 1).unwrap_err().to_string();
        assert!(
            error.contains("bind() on 127.0.0.1:7000") || error.contains("listen() on 127.0.0.1:7000"),
            "{error}"
        );
        assert_eq!(first.addresses().unwrap(), *addresses);
    });
}

/// The limit belongs to the process, so this runs in one of its own.
#[test]
fn too_few_descriptors_are_counted_on_both_ends_and_the_load_goes_on() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "load::tests::failing::with_sixty_four_descriptors",
            "--ignored",
        ])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

#[test]
#[ignore = "lowers the limit of its process: run by too_few_descriptors_are_counted_on_both_ends_and_the_load_goes_on"]
fn with_sixty_four_descriptors() {
    in_fresh_namespace(|| {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
        let mut work = connecting(1_000);
        work.load.in_flight = 200;
        let refused = offer(Choice::Uring, &work, &Control::default())
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("200 direct descriptors: Too many open files"),
            "the other engine serves then: {refused}"
        );
        let trial = run(Choice::Epoll, &work);
        assert_ok_then_emfile(&trial);
    });
}

fn assert_ok_then_emfile(trial: &Trial) {
    let (tally, counts) = (&trial.measured.tally, &trial.served.counts);
    let refused = trial.count(Phase::Socket, Cause::Errno(libc::EMFILE));
    assert_eq!(
        (tally.attempted, tally.ok + refused),
        (1_000, 1_000),
        "{:?}",
        tally.failures()
    );
    assert!(refused > 0 && tally.ok > 0);
    assert_eq!(counts.accepted, tally.ok);
}

/// Ten ports that the harness goes through by itself.
fn owned(source: Source, connections: u64) -> Work {
    let mut work = connecting(connections);
    work.client.source = source;
    work.ports = (40_020..40_030).collect();
    work.tuples = true;
    work
}

#[test]
fn an_owned_port_is_refused_while_it_is_in_time_wait() {
    in_fresh_namespace(|| {
        fifty_ports();
        let work = owned(Source::Owned, 25);
        let trial = run(Choice::Epoll, &work);
        if crate::tcp::options::has_local_port_range() {
            assert_ok_then(&trial, 10, Phase::Connect, libc::EADDRNOTAVAIL);
        } else {
            assert_ok_then(&trial, 10, Phase::Bind, libc::EADDRINUSE);
        }
        let tuples = trial.measured.tuples.unwrap();
        assert!((40_020..40_030).all(|port| tuples.last_close(0, port).is_some()));
    });
}

#[test]
fn owned_ports_are_each_pairs_own() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = owned(Source::Owned, 60);
        work.sources.push([127, 0, 0, 2].into());
        work.destinations.push(([127, 0, 0, 1], 7_001).into());
        if crate::tcp::options::has_local_port_range() {
            // 10 ports × 2 sources × 2 destinations
            assert_ok_then(&run(Choice::Epoll, &work), 40, Phase::Connect, libc::EADDRNOTAVAIL);
        } else {
            assert_ok_then(&run(Choice::Epoll, &work), 20, Phase::Bind, libc::EADDRINUSE);
        }
    });
}

/// Each port is in TIME_WAIT before it is taken again: with half-close both FINs were seen when close() returns.
fn one_after_the_other() -> Work {
    let mut work = owned(Source::BindPort, 25);
    work.load.in_flight = 1;
    work.close.mode = CloseMode::HalfClose;
    work
}

#[test]
fn a_descriptor_keeps_a_port_that_was_bound_and_is_not_reused_for_another() {
    in_fresh_namespace(|| {
        let mut work = owned(Source::BindPort, 25);
        (work.load.in_flight, work.close.mode, work.reuse_descriptor) = (4, CloseMode::Abortive, true);
        assert!(!work.reuses_descriptors());
        let trial = run(Choice::Epoll, &work);
        assert_eq!(trial.measured.tally.ok, 25, "{:?}", trial.measured.tally.failures());
        work.client.source = Source::Ephemeral;
        assert!(work.reuses_descriptors());
        work.close.mode = CloseMode::Graceful;
        assert!(!work.reuses_descriptors());
    });
}

#[test]
fn a_port_bound_with_so_reuseaddr_is_taken_out_of_time_wait_where_timestamps_are_on() {
    in_fresh_namespace(|| {
        fifty_ports();
        let trial = run(Choice::Epoll, &one_after_the_other());
        assert_eq!(trial.measured.tally.ok, 25, "{:?}", trial.measured.tally.failures());
        assert_eq!((trial.kernel.get("TWRecycled"), trial.kernel.get("tw")), (15, 10));
    });
    in_fresh_namespace(|| {
        fifty_ports();
        set_sysctl("net.ipv4.tcp_timestamps", "0");
        let trial = run(Choice::Epoll, &one_after_the_other());
        assert_ok_then(&trial, 10, Phase::Connect, libc::EADDRNOTAVAIL);
    });
}

#[test]
fn a_source_port_that_the_harness_lacks_is_refused_before_the_load() {
    let mut work = owned(Source::Owned, 1);
    work.ports.clear();
    let refused = offer(Choice::Epoll, &work, &Control::default()).err();
    assert!(matches!(refused, Some(EngineError::Missing("source port"))));
}

#[test]
fn a_reused_descriptor_resets_each_connection_all_the_same() {
    in_fresh_namespace(|| {
        fifty_ports();
        let mut work = connecting(120);
        work.close.mode = CloseMode::Abortive;
        work.load.requests_per_connection = 1;
        work.protocol = Protocol::Echo;
        work.tuples = true;
        work.reuse_descriptor = true;
        let trial = run(Choice::Epoll, &work);
        assert_eq!(trial.measured.tally.ok, 120, "{:?}", trial.measured.tally.failures());
        assert_eq!(trial.measured.endings.aborted, 120);
        assert_eq!(trial.served.counts.reset_by_peer, 120);
        // connect(AF_UNSPEC) counts no TCPAbortOnData, but the RST and both ends' resets.
        let kernel = |name| trial.kernel.get(name);
        assert_eq!(
            (kernel("ActiveOpens"), kernel("OutRsts"), kernel("EstabResets")),
            (120, 120, 240)
        );
        assert_eq!((kernel("TCPAbortOnData"), kernel("tw")), (0, 0));
    });
}

#[test]
fn the_ring_serves_only_where_it_can_do_all_that_is_asked() {
    let mut work = connecting(1);
    assert_eq!(
        Choice::Auto.engine(&work).unwrap().name(),
        "epoll",
        "connect() itself is timed"
    );
    work.protocol = Protocol::Echo;
    assert_eq!(Choice::Auto.engine(&work).unwrap().name(), "uring");
    work.tuples = true;
    assert_eq!(Choice::Auto.engine(&work).unwrap().name(), "epoll");
    let refused = Choice::Uring.engine(&work).err().unwrap().to_string();
    assert!(
        refused.contains("observe.tuples") && refused.contains("cannot serve here"),
        "{refused}"
    );
}
