//! The QEMU that a program under test has started.

use std::fs;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// The child of a process whose program is QEMU.
pub fn emulator_of(host: &Child) -> Option<u32> {
    let threads = fs::read_dir(format!("/proc/{}/task", host.id())).ok()?;
    let children = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let ids: Vec<u32> = children
        .flat_map(|ids| ids.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect();
    ids.into_iter()
        .find(|id| command_of(*id).is_some_and(|command| command.starts_with("qemu-system")))
}

fn command_of(id: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{id}/comm")).ok()
}

/// A zombie that nobody reaps (this process does not) has ended too.
pub fn is_running(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn wait_for<T>(look: impl Fn() -> Option<T>, what: &str) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no sign of {what} in 60 s");
        thread::sleep(Duration::from_millis(10));
    }
}
