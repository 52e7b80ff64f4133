//! A request over a pool allocates nothing, nor does a connection that the pool opens and closes, once the load is under way.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use linger::load::server::{Listeners, ServerControl, ServerWork};
use linger::load::{Choice, Clock, Control, Pacing, Shard, Work, threads};
use linger::scenario::plan::{ServerPlan, TrialPlan};
use linger::scenario::pool::{LendOrder, LoadKind, OnReturn, PoolPlan, Validation};
use linger::scenario::spec::Protocol;
use linger::tcp::{CloseMode, Closer};
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

/// How connections are returned and closed.
type Way = (OnReturn, Closer, CloseMode);

const WAYS: [Way; 4] = [
    (OnReturn::Keep, Closer::Client, CloseMode::Graceful),
    (OnReturn::Close, Closer::Client, CloseMode::Graceful),
    (OnReturn::Close, Closer::Server, CloseMode::QuitWait),
    (OnReturn::Close, Closer::Client, CloseMode::QuitClose),
];

fn work((on_return, closer, mode): Way, requests: u64) -> (Work, ServerWork) {
    let plan: TrialPlan = serde_json::from_str(include_str!("fixtures/plan.json")).unwrap();
    let (mut load, mut close) = (plan.load, plan.close);
    (close.closer, close.mode) = (closer, mode);
    (load.kind, load.connections, load.requests) = (LoadKind::Pool, None, Some(requests));
    let server = ServerPlan {
        protocol: Protocol::Redis,
        ..plan.server
    };
    let server = ServerWork::of_load(server, close.clone(), &load);
    let work = Work {
        load,
        pool: Some(PoolPlan {
            size: 8,
            on_return,
            min_idle: 0,
            max_lifetime: Duration::ZERO,
            idle_timeout: Duration::ZERO,
            validation: Validation::None,
            order: LendOrder::Lifo,
            borrow_timeout: Duration::from_secs(10),
        }),
        close,
        client: plan.client,
        protocol: Protocol::Redis,
        sources: vec![],
        destinations: vec![([127, 0, 0, 1], 7000).into()],
        tuples: false,
        tuples_a_pair: None,
        request: vec![],
        ports: vec![],
        shard: Shard::WHOLE,
        pacing: Pacing::Timer,
        reuse_descriptor: false,
    };
    (work, server)
}

/// Allocations of so many requests, both ends together.
fn allocations(way: Way, requests: u64) -> u64 {
    let (work, server) = work(way, requests);
    let listeners = Listeners::bind(&work.destinations, 4096).unwrap();
    let control = ServerControl::default();
    let means = threads::Means {
        threads: 1,
        engine: Choice::Epoll,
        pin: None,
    };
    let before = ALLOCATIONS.load(Relaxed);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| listeners.serve(&server, &control, None).unwrap());
        let ran = threads::run(&work, &means, &Clock::start(), &Control::default());
        control.stop();
        assert_eq!(ran.unwrap().0.pool.unwrap().requests.ok, requests);
        serving.join().unwrap();
    });
    ALLOCATIONS.load(Relaxed) - before
}

/// The test is the only one of its process: others would be counted with it.
#[test]
fn ten_thousand_requests_allocate_no_more_than_a_thousand_with_a_pool_and_without() {
    for way in WAYS {
        // A namespace each: their TIME_WAIT would fill one.
        std::thread::spawn(move || in_a_namespace(way)).join().unwrap();
    }
}

fn in_a_namespace(way: Way) {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run as root or under unshare --user");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("needs `ip` (iproute2)").success());
    allocations(way, 1_000);
    let (few, many) = (allocations(way, 1_000), allocations(way, 10_000));
    // Doublings of lists whose length depends on how far one end lags behind, not allocations of a request.
    assert!(many <= few + 64, "{way:?}: {few} for 1,000 requests, {many} for 10,000");
}
