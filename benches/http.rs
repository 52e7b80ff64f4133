//! One GET a connection with `Connection: close` against a real server, for `scripts/bench`: the engines as a program.
//!
//! Usage: `http ADDRESS CONNECTIONS ENGINE IN_FLIGHT CLOSER`, with ENGINE `epoll` or `uring` and CLOSER `server` or
//! `client`, who then asks for no `Connection: close`. Prints what came of it.

use std::net::SocketAddr;
use std::time::Duration;

use linger::load::{Choice, Clock, Control, Pacing, Shard, Work, threads};
use linger::scenario::plan::{ClientPlan, ClosePlan, LoadPlan};
use linger::scenario::spec::{Arrival, Order, Protocol, Source};
use linger::tcp::{CloseMode, Closer};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [address, connections, engine, in_flight, closer] = arguments.as_slice() else {
        println!("usage: http ADDRESS CONNECTIONS epoll|uring IN_FLIGHT server|client; see scripts/bench");
        return;
    };
    let address: SocketAddr = address.parse().expect("an address and a port, such as 127.0.0.1:8080");
    let (closer, header) = match closer.as_str() {
        "client" => (Closer::Client, ""),
        _ => (Closer::Server, "Connection: close\r\n"),
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n{header}\r\n").into_bytes();
    let work = Work {
        pool: None,
        load: LoadPlan {
            kind: Default::default(),
            requests: None,
            arrival: Arrival::Max,
            rate: None,
            in_flight: in_flight.parse().expect("a number of connections at once"),
            connections: Some(connections.parse().expect("a number of connections")),
            duration: None,
            requests_per_connection: 1,
            request_bytes: request.len() as u32,
            // One byte is awaited, the rest is read to the server's FIN.
            response_bytes: 1,
            hold: Duration::ZERO,
            connect_timeout: Duration::from_secs(10),
            io_timeout: Duration::from_secs(10),
            seed: 1,
            threads: None,
        },
        close: ClosePlan {
            closer,
            // Half-close reads on to the peer's FIN: close() with bytes unread would send RST.
            mode: if closer == Closer::Client {
                CloseMode::HalfClose
            } else {
                CloseMode::Graceful
            },
            linger_seconds: None,
        },
        client: ClientPlan {
            addresses: 1,
            source: Source::Ephemeral,
            port_range: None,
            order: Order::RoundRobin,
        },
        protocol: Protocol::Echo,
        sources: vec![],
        destinations: vec![address],
        tuples: false,
        tuples_a_pair: None,
        request,
        ports: vec![],
        shard: Shard::WHOLE,
        pacing: Pacing::Timer,
        reuse_descriptor: false,
    };
    let means = threads::Means {
        threads: 1,
        engine: if engine == "uring" {
            Choice::Uring
        } else {
            Choice::Epoll
        },
        pin: None,
    };
    let (measured, name) = threads::run(&work, &means, &Clock::start(), &Control::default()).expect("the load runs");
    let tally = &measured.tally;
    println!(
        "{name}: {} attempted, {} ok, {} failed, {:.3} client CPU s",
        tally.attempted,
        tally.ok,
        tally.failed(),
        measured.cpu_seconds
    );
    for failure in tally.failures() {
        println!(
            "{}:{} {} times, first attempt {}",
            failure.phase,
            failure.cause.name(),
            failure.count,
            failure.first.attempt
        );
    }
}
