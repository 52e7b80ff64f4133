//! How a thread waits for the next intended start.
//!
//! A timer wakes a thread some 20 to 60 µs late: interrupt, run queue, return to user space. Where a core is free the
//! thread therefore sleeps until shortly before and looks at the clock for the rest. Where none is, spinning would take
//! the server's time away, and the timer has to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How long before an intended start the hybrid way stops sleeping, in nanoseconds: more than a timer is late.
const SPIN: u64 = 75_000;

/// How the wait for an intended start is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pacing {
    /// Sleep to 75 µs before, then spin.
    Hybrid,
    /// Sleep on a timer, without slack.
    Timer,
}

impl fmt::Display for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hybrid => "hybrid",
            Self::Timer => "timer",
        })
    }
}

/// What to do until something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Only look what is ready: something is due now.
    Poll,
    /// The same, and look again at once: the next intended start is near.
    Spin,
    /// Sleep until then, or until something is ready.
    Until(Option<u64>),
}

impl Pacing {
    /// Hybrid where `cpus` leaves each of the client's and the server's threads a core.
    #[must_use]
    pub fn for_cpus(cpus: usize, threads: usize) -> Self {
        if threads <= cpus { Self::Hybrid } else { Self::Timer }
    }

    /// What to do at `now` when the next attempt is due at `due` and the next limit passes at `limit`.
    pub(super) fn wait(self, now: u64, due: Option<u64>, limit: Option<u64>) -> Wait {
        let soonest = due.into_iter().chain(limit).min();
        match (self, due) {
            _ if soonest.is_some_and(|soonest| soonest <= now) => Wait::Poll,
            (Self::Hybrid, Some(due)) if due - now <= SPIN => Wait::Spin,
            (Self::Hybrid, Some(due)) => Wait::Until(Some((due - SPIN).min(limit.unwrap_or(u64::MAX)))),
            _ => Wait::Until(soonest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nobody_sleeps_past_what_is_due(now in 0u64..1_000_000, due in prop::option::of(0u64..2_000_000), limit in prop::option::of(0u64..2_000_000)) {
            for pacing in [Pacing::Hybrid, Pacing::Timer] {
                match pacing.wait(now, due, limit) {
                    Wait::Poll => prop_assert!(due.is_some_and(|at| at <= now) || limit.is_some_and(|at| at <= now)),
                    Wait::Spin => prop_assert!(due.is_some_and(|at| at > now && at - now <= SPIN)),
                    Wait::Until(until) => {
                        let soonest = due.into_iter().chain(limit).min();
                        prop_assert_eq!(until.is_none(), soonest.is_none());
                        prop_assert!(until.unwrap_or(u64::MAX) > now);
                        prop_assert!(until.unwrap_or(0) <= soonest.unwrap_or(u64::MAX));
                    }
                }
            }
        }
    }

    #[test]
    fn a_thread_too_many_for_the_machine_does_not_spin() {
        assert_eq!(Pacing::for_cpus(2, 2), Pacing::Hybrid);
        assert_eq!(Pacing::for_cpus(1, 2), Pacing::Timer);
    }
}
