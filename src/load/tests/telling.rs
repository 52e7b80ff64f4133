//! The built-in server tells the truth: it gives back what it was given, and says what it does not understand.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use super::conversing::{ask, by_itself, connect, requests, rest, served};
use super::namespace::in_fresh_namespace;
use super::*;
use crate::scenario::plan::Manner;

#[test]
fn what_one_connection_sets_another_gets_whatever_thread_it_is_on() {
    in_fresh_namespace(|| {
        let work = by_itself(Protocol::Redis, Closer::Client, Manner::default());
        let listeners = Listeners::bind_shared(&[([127, 0, 0, 1], 0).into()], 64, 2).unwrap();
        let address = listeners.addresses().unwrap()[0];
        let control = ServerControl::default();
        let got = std::thread::scope(|scope| {
            let serving = scope.spawn(|| listeners.serve(&work, &control, None).unwrap());
            assert_eq!(ask(address, b"SET k hello\r\nQUIT\r\n"), "+OK\r\n+OK\r\n");
            // The kernel spreads them over both listeners.
            let got: Vec<String> = (0..16).map(|_| ask(address, b"GET k\r\nQUIT\r\n")).collect();
            control.stop();
            serving.join().unwrap();
            got
        });
        assert_eq!(got, ["$5\r\nhello\r\n+OK\r\n"; 16]);
    });
}

#[test]
fn a_quit_is_no_use_of_the_connection() {
    const REST: Duration = Duration::from_millis(50);
    for (protocol, request, reply, quit) in [
        (Protocol::Memcached, &b"get k\r\n"[..], 5, &b"quit\r\n"[..]),
        (Protocol::Redis, b"GET k\r\n", 5, b"QUIT\r\n"),
    ] {
        for with_the_quit in [false, true] {
            let work = by_itself(protocol, Closer::Client, Manner::default());
            let served = served(work, move |address| {
                let mut stream = connect(address);
                stream.write_all(request).unwrap();
                stream.read_exact(&mut vec![0; reply]).unwrap();
                std::thread::sleep(REST);
                let last = if with_the_quit { request } else { b"" };
                stream.write_all(&[last, quit].concat()).unwrap();
                rest(stream);
            });
            let idle = served.conversations.unwrap().idle_before_close.quantile(0.0).unwrap();
            // Of a request that came with the quit nobody can say when it was sent.
            assert!(with_the_quit || idle >= 49_000_000, "{protocol:?}: {idle}");
            assert!(!with_the_quit || idle < 49_000_000, "{protocol:?}: {idle}");
        }
    }
}

#[test]
fn a_tls_handshake_is_not_answered_but_ended_at_once_as_not_understood() {
    for protocol in [Protocol::Http, Protocol::Memcached, Protocol::Redis] {
        let served = served(by_itself(protocol, Closer::Client, Manner::default()), |address| {
            assert_eq!(ask(address, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"), "");
        });
        let told = served.conversations.unwrap();
        assert_eq!((told.malformed, told.requests), (1, 0), "{protocol:?}");
    }
}

#[test]
fn what_redis_does_not_know_is_an_error_and_http_is_not_its_protocol() {
    let served = served(
        by_itself(Protocol::Redis, Closer::Client, Manner::default()),
        |address| {
            assert_eq!(
                ask(address, b"hello?\r\nQUIT\r\n"),
                "-ERR unknown command 'hello?'\r\n+OK\r\n"
            );
            let reply = ask(address, b"GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
            assert_eq!(reply, "-ERR Protocol error: an HTTP request\r\n");
        },
    );
    let told = served.conversations.unwrap();
    assert_eq!((told.requests, told.errors_answered, told.malformed), (1, 1, 1));
}

#[test]
fn echo_sends_back_what_came() {
    let mut work = by_itself(Protocol::Echo, Closer::Client, Manner::default());
    work.response_bytes = 1;
    let served = served(work, |address| {
        let mut stream = connect(address);
        let said = vec![7; 100_000].into_iter().chain(*b"hello").collect::<Vec<u8>>();
        let mut writer = stream.try_clone().unwrap();
        let sent = said.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        writing.join().unwrap();
        assert!(heard == said);
    });
    assert_eq!(requests(&served).0, 100_005);
}
