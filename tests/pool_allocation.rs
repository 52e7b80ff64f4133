//! A request over a pool allocates nothing, nor does a connection that the pool opens and closes, once the load is under way.

#[path = "support/counting.rs"]
mod counting;

use std::time::Duration;

use linger::load::server::ServerWork;
use linger::load::{Choice, Pacing, Shard, Work};
use linger::scenario::plan::{ServerPlan, TrialPlan};
use linger::scenario::pool::{LendOrder, LoadKind, OnReturn, PoolPlan, Validation};
use linger::scenario::spec::Protocol;

use counting::{counted, in_fresh_namespace};

fn work(on_return: OnReturn, requests: u64) -> (Work, ServerWork) {
    let plan: TrialPlan = serde_json::from_str(include_str!("fixtures/plan.json")).unwrap();
    let (mut load, close) = (plan.load, plan.close);
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
fn allocations(on_return: OnReturn, requests: u64) -> u64 {
    let (work, server) = work(on_return, requests);
    let counted = counted(Choice::Epoll, &work, &server);
    assert_eq!(counted.measured.pool.unwrap().requests.ok, requests);
    counted.allocations
}

/// The test is the only one of its process: others would be counted with it.
#[test]
fn ten_thousand_requests_allocate_no_more_than_a_thousand_with_a_pool_and_without() {
    in_fresh_namespace(|| {
        for on_return in [OnReturn::Keep, OnReturn::Close] {
            allocations(on_return, 1_000);
            let (few, many) = (allocations(on_return, 1_000), allocations(on_return, 10_000));
            // Doublings of lists whose length depends on how far one end lags behind, not allocations of a request.
            assert!(
                many <= few + 64,
                "{on_return:?}: {few} for 1,000 requests, {many} for 10,000"
            );
        }
    });
}
