//! CPU time of the calling thread (clock_gettime(2)): what a load or an observation really cost, sleeps excluded.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// CPU time that the calling thread has used, in user and kernel mode. Zero where the clock is missing, which no Linux is.
#[must_use]
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::thread_time;

    #[test]
    fn a_thread_that_works_uses_cpu_time() {
        let before = thread_time();
        while thread_time() == before {
            std::hint::spin_loop();
        }
    }
}
