//! The time that load and observation share.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds since the load's beginning, on CLOCK_MONOTONIC. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// The beginning is now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The beginning is `origin`; before it, the clock shows 0.
    #[must_use]
    pub fn starting_at(origin: Instant) -> Self {
        Self(origin)
    }

    /// Nanoseconds since the beginning.
    #[must_use]
    #[inline]
    pub fn nanos(&self) -> u64 {
        nanos(self.0.elapsed())
    }
}

/// A duration in nanoseconds; 584 years at the most.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What the calling thread has had of a CPU, and had to do without.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThreadTime {
    /// Seconds on a CPU, user and system.
    pub(super) cpu: f64,
    /// Seconds in which it could have run and other threads did (/proc/thread-self/schedstat); 0 where the kernel does
    /// not tell.
    pub(super) waited: f64,
}

impl ThreadTime {
    pub(super) fn now() -> Self {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let waited = told
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|nanos| nanos.parse().ok());
        Self {
            cpu: thread_cpu_seconds(),
            waited: waited.map_or(0.0, |nanos: u64| nanos as f64 / 1e9),
        }
    }

    /// From then to now.
    pub(super) fn elapsed(self) -> Self {
        let now = Self::now();
        Self {
            cpu: now.cpu - self.cpu,
            waited: now.waited - self.waited,
        }
    }
}

/// CPU seconds that the calling thread has used, user and system.
fn thread_cpu_seconds() -> f64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(|time| Duration::from(time).as_secs_f64())
        .unwrap_or_default()
}
