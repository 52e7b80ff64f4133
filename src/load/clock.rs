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

/// CPU seconds that the calling thread has used, user and system.
pub(super) fn thread_cpu_seconds() -> f64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(|time| Duration::from(time).as_secs_f64())
        .unwrap_or_default()
}
