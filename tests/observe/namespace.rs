//! A network namespace for one test, and plain connections in it.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

/// One test's connections at a time: a program that another test starts would hold copies of their sockets between
/// fork() and exec(), and what a test closes would stay open that long.
static ALONE: Mutex<()> = Mutex::new(());

/// A test that failed leaves nothing behind that could spoil the next one.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `test` on a thread of its own in a fresh network namespace with lo up.
pub(crate) fn inside<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    let _alone = alone();
    fresh(test)
}

fn fresh<T: Send>(test: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect(
                "this test makes a network namespace: run it as root or under `unshare --user --map-root-user`",
            );
            run("ip", &["link", "set", "lo", "up"]);
            test()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `server` and `client` on a thread each, each in a fresh namespace, joined by veth: 10.0.0.1 is the client's
/// address, 10.0.0.2 the server's. What `server` gives once it is ready is `client`'s argument.
pub(crate) fn joined<T: Send, R: Send>(server: impl FnOnce() -> T + Send, client: impl FnOnce(T) -> R + Send) -> R {
    let (tell_thread, thread_id) = channel();
    let (tell_linked, linked) = channel();
    let (tell_ready, ready) = channel();
    let _alone = alone();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            fresh(move || {
                tell_thread.send(nix::unistd::gettid()).unwrap();
                linked.into_iter().next().unwrap();
                run("ip", &["address", "add", "10.0.0.2/24", "dev", "s0"]);
                run("ip", &["link", "set", "s0", "up"]);
                tell_ready.send(server()).unwrap();
            });
        });
        fresh(move || {
            let far = format!("/proc/{}/task/{}/ns/net", std::process::id(), thread_id.recv().unwrap());
            run(
                "ip",
                &["link", "add", "c0", "type", "veth", "peer", "name", "s0", "netns", &far],
            );
            run("ip", &["address", "add", "10.0.0.1/24", "dev", "c0"]);
            run("ip", &["link", "set", "c0", "up"]);
            tell_linked.send(()).unwrap();
            client(ready.recv().unwrap())
        })
    })
}

/// Runs a program in the calling thread's namespace and gives its output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn sysctl(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value).expect(name);
}

pub(crate) fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
    socket.set_only_v6(false).ok();
    socket.bind(&address.into()).unwrap();
    // TcpListener's own 128 would drop SYNs, and each costs a second.
    socket.listen(4096).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// `count` connections one after the other, each closed by the client first. Gives the clients' own addresses.
pub(crate) fn churn(listener: &TcpListener, count: usize) -> Vec<SocketAddr> {
    let address = listener.local_addr().unwrap();
    (0..count)
        .map(|_| {
            let client = TcpStream::connect(address).unwrap();
            let (mut server, own) = listener.accept().unwrap();
            drop(client);
            assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
            own
        })
        .collect()
}

/// Waits until `condition` holds.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "still not: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
