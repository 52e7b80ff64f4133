//! Between two trials in one booted machine: until the first has left nothing behind that the second could count.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::observe::sockstat;

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until no mini-socket is left of labs that are gone: the kernel takes a namespace down some time after the last
/// that held it, and before Linux 4.12 counts the whole machine's TIME_WAIT against one limit. Whether none is left; true
/// where the kernel does not tell. Only for the first process of a machine that was booted for the trials.
#[must_use]
pub fn settle_a_booted_machine(within: Duration) -> bool {
    let left = || sockstat::time_wait(&fs::read("/proc/net/sockstat").ok()?);
    let end = Instant::now() + within;
    while left().is_some_and(|left| left > 0) {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
    true
}
