//! A network namespace for one test, and plain connections in it.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread of its own in a fresh network namespace with lo up.
pub(crate) fn inside<T: Send>(test: impl FnOnce() -> T + Send) -> T {
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
    let listener = TcpListener::bind(address).unwrap();
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
