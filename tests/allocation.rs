//! A connection allocates nothing: neither engine, nor the server, once the load is under way, whatever is spoken.

#[path = "support/counting.rs"]
mod counting;

use linger::load::server::ServerWork;
use linger::load::{Choice, Pacing, Shard, Work};
use linger::scenario::plan::{ServerPlan, TrialPlan};
use linger::scenario::spec::Protocol;

use counting::{counted, in_fresh_namespace};

/// The test is the only one of its process: others would be counted with it.
#[test]
fn ten_thousand_connections_allocate_no_more_than_a_thousand_whatever_the_engine_and_the_protocol() {
    in_fresh_namespace(|| {
        let spoken = [
            Protocol::Echo,
            Protocol::Http,
            Protocol::Mysql,
            Protocol::Memcached,
            Protocol::Redis,
        ];
        let both = [Choice::Epoll, Choice::Uring];
        for (engine, protocol) in both
            .into_iter()
            .flat_map(|engine| spoken.map(|protocol| (engine, protocol)))
        {
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
    });
}

/// Allocations of a load of so many connections, both ends together.
fn allocations(engine: Choice, protocol: Protocol, connections: u64) -> u64 {
    let plan: TrialPlan = serde_json::from_str(include_str!("fixtures/plan.json")).unwrap();
    let mut load = plan.load;
    (load.connections, load.requests_per_connection) = (Some(connections), 1);
    let server = ServerPlan {
        protocol,
        ..plan.server
    };
    let server = ServerWork::of_load(server, plan.close.clone(), &load);
    let work = Work {
        load,
        close: plan.close,
        client: plan.client,
        protocol,
        sources: vec![],
        destinations: vec![([127, 0, 0, 1], 7000).into()],
        tuples: false,
        tuples_a_pair: Some(1000),
        ports: vec![],
        shard: Shard::WHOLE,
        pacing: Pacing::Timer,
        pool: None,
        reuse_descriptor: false,
    };
    let counted = counted(engine, &work, &server);
    assert_eq!(
        (counted.measured.tally.ok, counted.engine),
        (connections, engine.to_string().as_str())
    );
    assert_eq!(counted.served.counts.accepted, connections);
    counted.allocations
}
