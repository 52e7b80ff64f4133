//! The engines as a program, for `scripts/bench`: one GET a connection with `Connection: close` against a real server; or,
//! with `echo` for an address, a byte there and a byte back, then RST, against the built-in server on the second CPU.
//!
//! Usage: `http ADDRESS|echo CONNECTIONS ENGINE IN_FLIGHT CLOSER`, with ENGINE `epoll`, `uring` or `bare` (a loop of
//! system calls that books nothing) and CLOSER `server` or `client`, who then asks for no `Connection: close`. Prints what
//! came of it.

mod bare;
mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use common::{Exchange, Server, close};
use linger::load::{Choice, Clock, Control, Work, threads};
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
        let request = if work.request.is_empty() { &[0] } else { &*work.request };
        let cpu = bare::epoll(exchange, work.destinations[0], connections, in_flight as usize, request);
        println!("bare: {connections} attempted, {connections} ok, 0 failed, {cpu:.3} client CPU s");
    } else {
        run(&work, engine);
    }
    drop(server);
}

/// A GET to the address.
fn ask(work: &mut Work, address: &str, client_closes: bool) {
    let to: SocketAddr = address.parse().expect("an address and a port, such as 127.0.0.1:8080");
    let header = if client_closes { "" } else { "Connection: close\r\n" };
    work.destinations = vec![to];
    work.request = format!("GET / HTTP/1.1\r\nHost: {address}\r\n{header}\r\n").into_bytes();
    work.load.request_bytes = work.request.len() as u32;
    // One byte is awaited and the rest read to the FIN; or all of it, where the server says nothing else each time.
    work.load.response_bytes = if client_closes { 1 } else { response(to, &work.request) };
    if client_closes {
        // Half-close reads on to the peer's FIN: close() with bytes unread would send RST.
        work.close = close(Closer::Client, CloseMode::HalfClose);
    }
}

/// How long the server's answer is, up to its FIN.
fn response(to: SocketAddr, request: &[u8]) -> u32 {
    let mut stream = TcpStream::connect(to).expect("a server that listens");
    stream.write_all(request).expect("send()");
    let mut answer = vec![];
    stream.read_to_end(&mut answer).expect("recv()");
    answer.len().try_into().expect("a short answer")
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
