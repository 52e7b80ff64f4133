//! A network namespace a test, and the kernel's own counters in it.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use nix::sched::{CloneFlags, unshare};

/// Runs the test on a thread in a fresh network namespace with only loopback in it. It vanishes with the thread.
pub(super) fn in_fresh_namespace(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("this test needs a network namespace: run it as root, or under `unshare --user --map-root-user`");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("this test needs `ip` (iproute2)").success());
        // A bare FIN is not acknowledged at once but at the next tick. Where that races with the other end's close() on
        // another CPU, the late ACK makes TIME_WAIT answer, the closed end sends RST, and TIME_WAIT is gone (RFC 1337):
        // rare, unless the machine is busy, and enough to make counts inexact.
        set_sysctl("net.ipv4.tcp_rfc1337", "1");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Sets a sysctl in the calling thread's namespace.
pub(super) fn set_sysctl(name: &str, value: &str) {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    fs::write(&path, value).unwrap_or_else(|error| panic!("cannot write {value} to {path}: {error}"));
}

/// What the kernel counted in this namespace: /proc/net/snmp and netstat by name, and sockstat's TIME_WAIT as `tw`.
#[derive(Debug)]
pub(super) struct Counters(BTreeMap<String, i64>);

impl Counters {
    /// /proc/net would be the namespace of the process, not of this thread.
    pub(super) fn read() -> Self {
        let read = |file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).unwrap();
        let mut counters = BTreeMap::new();
        for text in [read("snmp"), read("netstat")] {
            let lines: Vec<_> = text.lines().collect();
            for pair in lines.chunks_exact(2).filter(|pair| pair[0].starts_with("Tcp")) {
                let names = pair[0].split_whitespace().skip(1);
                let values = pair[1].split_whitespace().skip(1).map(|value| value.parse().unwrap());
                counters.extend(names.map(str::to_owned).zip(values));
            }
        }
        let sockstat = read("sockstat");
        let tw = sockstat.split_whitespace().skip_while(|word| *word != "tw").nth(1);
        counters.insert("tw".to_owned(), tw.unwrap().parse().unwrap());
        Self(counters)
    }

    pub(super) fn since(mut self, before: &Self) -> Self {
        for (name, value) in &mut self.0 {
            *value -= before.0[name];
        }
        self
    }

    pub(super) fn get(&self, name: &str) -> i64 {
        self.0[name]
    }
}
