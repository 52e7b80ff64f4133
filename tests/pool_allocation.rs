//! A request over a pool allocates nothing, nor does a connection that the pool opens and closes, once the load is under way.

#[path = "support/counting.rs"]
mod counting;

use std::time::Duration;

use linger::load::server::ServerWork;
use linger::load::{Choice, Pacing, Shard, Work};
use linger::scenario::plan::{ServerPlan, TrialPlan};
use linger::scenario::pool::{LendOrder, LoadKind, OnReturn, PoolPlan, Validation};
use linger::scenario::spec::Protocol;
use linger::tcp::{CloseMode, Closer};

use counting::{counted, in_fresh_namespace};

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
    let counted = counted(Choice::Epoll, &work, &server);
    assert_eq!(counted.measured.pool.unwrap().requests.ok, requests);
    counted.allocations
}

/// The test is the only one of its process: others would be counted with it.
#[test]
fn ten_thousand_requests_allocate_no_more_than_a_thousand_with_a_pool_and_without() {
    for way in WAYS {
        // A namespace each: their TIME_WAIT would fill one.
        in_fresh_namespace(move || {
            allocations(way, 1_000);
            let (few, many) = (allocations(way, 1_000), allocations(way, 10_000));
            // Buffers of connections that are open at once, and doublings of lists: as many as one end lags behind. Allocations
            // of a request would be 9,000 at the least.
            assert!(
                many <= few + 512,
                "{way:?}: {few} for 1,000 requests, {many} for 10,000"
            );
        });
    }
}
