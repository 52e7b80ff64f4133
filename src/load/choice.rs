//! Which engine serves, and how many threads: by what the work needs and what the kernel and the machine have.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pool::PoolEngine;
use super::{Engine, EngineError, EpollEngine, UringEngine, Work, uring};
use crate::scenario::plan::LoadPlan;
use crate::scenario::pool::LoadKind;
use crate::scenario::spec::{Arrival, Protocol};

/// Attempts a second that one thread makes with ease, with room for noise: half of what a core of 2020 does.
const PER_THREAD: f64 = 30_000.0;

/// The engine that is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// `uring` for requests as fast as they go, where kernel and work allow it; else `epoll`.
    ///
    /// A load that says nothing is about connect(), and one with intended starts about latency: there `epoll` times each
    /// call for itself, where `uring` can time the batch only. So does a quit: who is first to close after it is a race of
    /// single calls.
    #[default]
    Auto,
    Epoll,
    Uring,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Epoll => "epoll",
            Self::Uring => "uring",
        })
    }
}

impl Choice {
    /// The engine for the work, here.
    ///
    /// # Errors
    /// `uring` is asked for, and the kernel or the work does not allow it.
    pub fn engine(self, work: &Work) -> Result<Box<dyn Engine>, EngineError> {
        if work.pool.is_some() {
            return match self {
                Self::Uring => Err(EngineError::NoUring("a pool is driven by epoll".to_owned())),
                Self::Auto | Self::Epoll => Ok(Box::new(PoolEngine)),
            };
        }
        let wants_speed =
            work.load.arrival == Arrival::Max && work.protocol != Protocol::None && !work.close.mode.says_quit();
        if self == Self::Epoll || (self == Self::Auto && !wants_speed) {
            return Ok(Box::new(EpollEngine));
        }
        match (self, uring::unsupported(work)) {
            (_, None) => Ok(Box::new(UringEngine)),
            (Self::Uring, Some(why)) => Err(EngineError::NoUring(why)),
            _ => Ok(Box::new(EpollEngine)),
        }
    }
}

/// The client's threads on a machine with `cpus`: what the plan says; else one, unless a rate needs more and half of the
/// machine gives them. With arrival `max` one thread alone keeps the exact order of attempts, which exhaustion is about.
#[must_use]
pub fn client_threads(plan: &LoadPlan, cpus: usize) -> u32 {
    let needed = (plan.rate.unwrap_or(0.0) / PER_THREAD).ceil() as u32;
    let half = u32::try_from(cpus / 2).unwrap_or(u32::MAX);
    let threads = match plan.kind {
        LoadKind::Connections => plan.threads.unwrap_or(needed.min(half)),
        LoadKind::Pool => 1,
    };
    threads.clamp(1, plan.in_flight.max(1))
}

/// The server's threads: what the plan says, else as many as the client's.
#[must_use]
pub fn server_threads(asked: Option<u32>, client: u32) -> u32 {
    asked.unwrap_or(client).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::load_plan;

    #[test]
    fn defaults_suit_two_cores_and_sixty_four() {
        let mut plan = load_plan();
        plan.in_flight = 1000;
        assert_eq!((client_threads(&plan, 2), client_threads(&plan, 64)), (1, 1));
        (plan.arrival, plan.rate) = (Arrival::Constant, Some(200_000.0));
        // 200,000 / 30,000 = 6.7
        assert_eq!((client_threads(&plan, 2), client_threads(&plan, 64)), (1, 7));
        plan.threads = Some(3);
        assert_eq!((client_threads(&plan, 2), server_threads(None, 3)), (3, 3));
        plan.in_flight = 2;
        assert_eq!(client_threads(&plan, 64), 2, "a thread without room would never begin");
    }
}
