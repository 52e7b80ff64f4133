//! The engines as a program, for `scripts/bench`: one GET a connection with `Connection: close` against a real server; or,
//! with `echo` for an address, a byte there and a byte back, then RST, against the built-in server on the second CPU.
//!
//! Usage: `http ADDRESS|echo CONNECTIONS ENGINE IN_FLIGHT CLOSER`, with ENGINE `epoll`, `uring` or `bare` (a loop of
//! system calls that books nothing, and counts the answer's bytes where the engines understand it) and CLOSER `server` or `client`, who then asks for no `Connection: close`. Prints what
//! came of it.

mod bare;
mod common;

use std::net::SocketAddr;

use common::{Exchange, Server, close};
use linger::load::{Choice, Clock, Control, Work, threads};
use linger::scenario::spec::Protocol;
use linger::tcp::{CloseMode, Closer};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let [address, connections, engine, in_flight, closer] = arguments.as_slice() else {
        println!("usage: http ADDRESS|echo CONNECTIONS epoll|uring|bare IN_FLIGHT server|client; see scripts/bench");
        return;
    };
    let connections = connections.parse().expect("a number of connections");
    let in_flight = in_flight.parse().expect("a number of connections at once");
    let exchange = match address.as_str() {
        "echo" => Exchange::Echo,
        _ => Exchange::ServerCloses,
    };
    let mut work = exchange.work(connections);
    work.load.in_flight = in_flight;
    if exchange == Exchange::ServerCloses {
        ask(&mut work, address, closer == "client");
    }
    let server = (exchange == Exchange::Echo).then(|| Server::start(&work, 1));
    if engine == "bare" {
        let get = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let request = match exchange {
            Exchange::Echo => &[0],
            _ => get.as_bytes(),
        };
        let cpu = bare::epoll(exchange, work.destinations[0], connections, in_flight as usize, request);
        println!("bare: {connections} attempted, {connections} ok, 0 failed, {cpu:.3} client CPU s");
    } else {
        run(&work, engine);
    }
    drop(server);
}

/// A GET to the address, whose answer is understood.
fn ask(work: &mut Work, address: &str, client_closes: bool) {
    let to: SocketAddr = address.parse().expect("an address and a port, such as 127.0.0.1:8080");
    work.destinations = vec![to];
    work.protocol = Protocol::Http;
    (work.load.request_bytes, work.load.response_bytes) = (0, 0);
    work.close = match client_closes {
        // Half-close reads on to the peer's FIN.
        true => close(Closer::Client, CloseMode::HalfClose),
        // HTTP's quit is `Connection: close` in the last request.
        false => close(Closer::Server, CloseMode::QuitWait),
    };
}

fn run(work: &Work, engine: &str) {
    let means = threads::Means {
        threads: 1,
        engine: match engine {
            "uring" => Choice::Uring,
            _ => Choice::Epoll,
        },
        pin: None,
    };
    let (measured, name) = threads::run(work, &means, &Clock::start(), &Control::default()).expect("the load runs");
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
