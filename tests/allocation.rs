//! A connection allocates nothing: neither engine, nor the server, once the load is under way, whatever is spoken.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use linger::load::server::{Listeners, ServerControl, ServerWork};
use linger::load::{Choice, Clock, Control, Work, threads};
use linger::scenario::plan::ServerPlan;
use linger::scenario::spec::Protocol;
use nix::sched::{CloneFlags, unshare};

/// Counts what is asked of the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are the system allocator's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The test is the only one of its process: others would be counted with it.
#[test]
fn ten_thousand_connections_allocate_no_more_than_a_thousand_whatever_the_engine_and_the_protocol() {
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run as root or under unshare --user");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("needs `ip` (iproute2)").success());
        for (engine, protocol) in [
            (Choice::Epoll, Protocol::Echo),
            (Choice::Uring, Protocol::Echo),
            (Choice::Epoll, Protocol::Http),
            (Choice::Epoll, Protocol::Mysql),
            (Choice::Epoll, Protocol::Memcached),
            (Choice::Epoll, Protocol::Redis),
        ] {
            let allocations = |connections| allocations(engine, protocol, connections);
            allocations(1_000);
            let (few, many) = (allocations(1_000), allocations(10_000));
            // The server makes room for one connection more whenever it has more open than ever before, which depends on
            // how far it lags behind: doublings of a list, and buffers where a protocol is spoken; not allocations of a
            // connection, which would be 9,000 at the least.
            assert!(
                many <= few + 512,
                "{engine}, {protocol:?}: {few} for 1,000 connections, {many} for 10,000"
            );
        }
    })
    .join()
    .unwrap();
}

/// Allocations of a load of so many connections, both ends together.
fn allocations(engine: Choice, protocol: Protocol, connections: u64) -> u64 {
    let mut work = work(connections);
    work.protocol = protocol;
    let server = ServerWork::of_load(
        ServerPlan {
            listen: true,
            addresses: 1,
            ports: 1,
            exec: None,
            protocol: work.protocol,
            backlog: 4096,
            accept_delay: Duration::ZERO,
            manner: Default::default(),
            threads: None,
        },
        work.close.clone(),
        &work.load,
    );
    let listeners = Listeners::bind(&work.destinations, 4096).unwrap();
    let control = ServerControl::default();
    let means = threads::Means {
        threads: 1,
        engine,
        pin: None,
    };
    let before = ALLOCATIONS.load(Relaxed);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| listeners.serve(&server, &control, None).unwrap());
        let ran = threads::run(&work, &means, &Clock::start(), &Control::default());
        control.stop();
        let (measured, name) = ran.unwrap();
        assert_eq!((measured.tally.ok, name), (connections, engine.to_string().as_str()));
        assert_eq!(serving.join().unwrap().counts.accepted, connections);
    });
    ALLOCATIONS.load(Relaxed) - before
}

fn work(connections: u64) -> Work {
    let plan = include_str!("fixtures/plan.json");
    let plan: linger::scenario::plan::TrialPlan = serde_json::from_str(plan).unwrap();
    let mut work = Work {
        load: plan.load,
        close: plan.close,
        client: plan.client,
        protocol: Protocol::Echo,
        sources: vec![],
        destinations: vec![([127, 0, 0, 1], 7000).into()],
        tuples: false,
        tuples_a_pair: Some(1000),
        request: vec![],
        ports: vec![],
        shard: linger::load::Shard::WHOLE,
        pacing: linger::load::Pacing::Timer,
        pool: None,
        reuse_descriptor: false,
    };
    work.load.connections = Some(connections);
    work.load.requests_per_connection = 1;
    work
}
