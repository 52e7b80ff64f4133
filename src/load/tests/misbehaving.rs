//! Peers that send garbage, half a message or nothing: the server ends each without a trace and goes on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::namespace::in_fresh_namespace;
use super::*;
use crate::scenario::plan::Manner;

const SPOKEN: [Protocol; 4] = [Protocol::Http, Protocol::Mysql, Protocol::Memcached, Protocol::Redis];
/// Of each kind: far more than there are descriptors.
const PEERS: usize = 200;

#[test]
fn a_thousand_peers_that_misbehave_cost_the_server_no_descriptor_and_no_slot() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "load::tests::misbehaving::with_forty_eight_descriptors",
            "--ignored",
        ])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && output.contains("1 passed"), "{output}");
}

/// What a peer does before it leaves.
fn misbehave(address: SocketAddr, kind: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let bytes: &[u8] = match kind {
        0 => b"\xff\xfe\0\0*garbage\r\n\r\n",
        1 => b"GET / HT",
        2 => b"*2\r\n$3\r\nGE",
        3 => b"\x20\0\0\x01half a login",
        _ => b"",
    };
    // The server may have closed already: it speaks first, or has seen enough.
    let _ = stream.write_all(bytes);
    match kind {
        // RST, with whatever is unread.
        1 => socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap(),
        // FIN, and to the end.
        _ => {
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}

#[test]
#[ignore = "lowers the limit of its process: run by a_thousand_peers_that_misbehave_cost_the_server_no_descriptor_and_no_slot"]
fn with_forty_eight_descriptors() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 48, hard).unwrap();
    for protocol in SPOKEN {
        in_fresh_namespace(move || {
            let mut asked = work();
            (asked.protocol, asked.load.requests_per_connection) = (protocol, 2);
            let mut server = server_of(&asked);
            server.requests = None;
            server.server.manner = Manner {
                idle_timeout: Duration::from_secs(5),
                ..Manner::default()
            };
            let address = asked.destinations[0];
            let misbehaved = 5 * PEERS as u64;
            let trial = serve_and(&server, &asked, move || {
                (0..5 * PEERS).for_each(|peer| misbehave(address, peer % 5));
            });
            assert_eq!(trial.0.tally.ok, 10, "{protocol:?}: {:?}", trial.0.tally.failures());
            let counts = &trial.1.counts;
            assert_eq!(
                (counts.accepted, counts.open_at_end),
                (misbehaved + 10, 0),
                "{protocol:?}"
            );
            assert!(
                counts.accept_failed.is_empty(),
                "{protocol:?}: {:?}",
                counts.accept_failed
            );
        });
    }
}

/// Serves while `first` is done, then for the load.
fn serve_and(server: &ServerWork, work: &Work, first: impl FnOnce() + Send) -> (Measured, Served) {
    let listeners = Listeners::bind(&work.destinations, 64).unwrap();
    let control = ServerControl::default();
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| listeners.serve(server, &control, None).unwrap());
        let visiting = scope.spawn(first).join();
        let measured = offer(Choice::Epoll, work, &Control::default());
        control.stop();
        visiting.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (measured.unwrap(), serving.join().unwrap())
    })
}
