//! Outcomes by phase × cause, in fixed arrays.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::tcp::errno;

/// The step of an attempt that failed, named after the system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Socket,
    Bind,
    Connect,
    Send,
    Recv,
    Close,
    /// No system call: waiting for one of a pool's connections.
    Borrow,
}

impl Phase {
    pub const ALL: [Self; PHASES] = [
        Self::Socket,
        Self::Bind,
        Self::Connect,
        Self::Send,
        Self::Recv,
        Self::Close,
        Self::Borrow,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "socket",
            Self::Bind => "bind",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Recv => "recv",
            Self::Close => "close",
            Self::Borrow => "borrow",
        })
    }
}

/// Why a phase failed: the kernel's errno, or a reason of the harness's own that no errno may be confused with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// What the system call (or SO_ERROR) gave.
    Errno(i32),
    /// Our own limit passed; the kernel's is `ETIMEDOUT`.
    LingerTimeout,
    /// The peer closed before the exchange was over.
    UnexpectedEof,
    /// The load was stopped while the attempt was under way.
    Cancelled,
    /// What the peer sent is not the protocol, or more of it than linger speaks.
    Malformed,
    /// The peer refused the conversation in the protocol's own words, such as MySQL's 1040 (too many connections).
    Refused,
}

/// Kinds of [`Phase`].
const PHASES: usize = 7;
/// Errnos above this are counted as this (Linux names none above 133).
const MAX_ERRNO: usize = 133;
const SLOTS: usize = MAX_ERRNO + 1 + 5;

impl Cause {
    fn slot(self) -> usize {
        match self {
            Self::Errno(raw) => usize::try_from(raw).unwrap_or(0).min(MAX_ERRNO),
            Self::LingerTimeout => MAX_ERRNO + 1,
            Self::UnexpectedEof => MAX_ERRNO + 2,
            Self::Cancelled => MAX_ERRNO + 3,
            Self::Malformed => MAX_ERRNO + 4,
            Self::Refused => MAX_ERRNO + 5,
        }
    }

    fn from_slot(slot: usize) -> Self {
        match slot {
            s if s == MAX_ERRNO + 1 => Self::LingerTimeout,
            s if s == MAX_ERRNO + 2 => Self::UnexpectedEof,
            s if s == MAX_ERRNO + 3 => Self::Cancelled,
            s if s == MAX_ERRNO + 4 => Self::Malformed,
            s if s == MAX_ERRNO + 5 => Self::Refused,
            s => Self::Errno(s as i32),
        }
    }

    /// The name in the record's `errno` key: the errno's symbol, or one of ours in the same style.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Errno(raw) => errno::name(raw),
            Self::LingerTimeout => "LINGER_TIMEOUT".into(),
            Self::UnexpectedEof => "UNEXPECTED_EOF".into(),
            Self::Cancelled => "CANCELLED".into(),
            Self::Malformed => "LINGER_MALFORMED".into(),
            Self::Refused => "LINGER_REFUSED".into(),
        }
    }
}

/// When something first happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct First {
    /// Nanoseconds since the load began.
    pub at: u64,
    /// The attempt's ordinal, from 1, in the order of their beginning.
    pub attempt: u64,
}

/// One kind of failure with its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub phase: Phase,
    pub cause: Cause,
    pub count: u64,
    pub first: First,
}

/// Attempts by outcome. `attempted == ok + failed` once the load is over.
#[derive(Clone, Debug)]
pub struct Tally {
    pub attempted: u64,
    pub ok: u64,
    /// Attempts whose connect() succeeded, whatever became of them.
    pub connected: u64,
    counts: Box<[[u64; SLOTS]; PHASES]>,
    first: Box<[[Option<First>; SLOTS]; PHASES]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            attempted: 0,
            ok: 0,
            connected: 0,
            counts: Box::new([[0; SLOTS]; PHASES]),
            first: Box::new([[None; SLOTS]; PHASES]),
        }
    }
}

impl Tally {
    /// Counts one failed attempt.
    pub fn fail(&mut self, phase: Phase, cause: Cause, first: First) {
        let (row, slot) = (phase as usize, cause.slot());
        self.counts[row][slot] += 1;
        self.first[row][slot].get_or_insert(first);
    }

    /// Failures of one kind.
    #[must_use]
    pub fn count(&self, phase: Phase, cause: Cause) -> u64 {
        self.counts[phase as usize][cause.slot()]
    }

    /// Failed attempts in all.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Every kind of failure that happened, earliest first.
    #[must_use]
    pub fn failures(&self) -> Vec<Failure> {
        let mut failures = Vec::new();
        for phase in Phase::ALL {
            for slot in 0..SLOTS {
                if let Some(first) = self.first[phase as usize][slot] {
                    failures.push(Failure {
                        phase,
                        cause: Cause::from_slot(slot),
                        count: self.counts[phase as usize][slot],
                        first,
                    });
                }
            }
        }
        failures.sort_by_key(|failure| (failure.first.at, failure.first.attempt));
        failures
    }

    /// Adds another thread's tally: counts add up, the earlier first wins.
    pub fn merge(&mut self, other: &Self) {
        self.attempted += other.attempted;
        self.ok += other.ok;
        self.connected += other.connected;
        for phase in 0..PHASES {
            for slot in 0..SLOTS {
                self.counts[phase][slot] += other.counts[phase][slot];
                self.first[phase][slot] = match (self.first[phase][slot], other.first[phase][slot]) {
                    (Some(a), Some(b)) => Some(if b.at < a.at { b } else { a }),
                    (a, b) => a.or(b),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn causes() -> impl Strategy<Value = Cause> {
        prop_oneof![
            (1..=MAX_ERRNO as i32).prop_map(Cause::Errno),
            Just(Cause::LingerTimeout),
            Just(Cause::UnexpectedEof),
            Just(Cause::Cancelled),
            Just(Cause::Malformed),
            Just(Cause::Refused),
        ]
    }

    proptest! {
        #[test]
        fn merged_tallies_count_what_one_tally_would(events in prop::collection::vec((0..PHASES, causes(), any::<bool>()), 0..200)) {
            let (mut one, mut a, mut b) = (Tally::default(), Tally::default(), Tally::default());
            for (index, (phase, cause, left)) in events.iter().enumerate() {
                let first = First { at: index as u64, attempt: index as u64 + 1 };
                one.fail(Phase::ALL[*phase], *cause, first);
                (if *left { &mut a } else { &mut b }).fail(Phase::ALL[*phase], *cause, first);
            }
            a.merge(&b);
            prop_assert_eq!(a.failures(), one.failures());
            prop_assert_eq!(a.failed(), events.len() as u64);
        }
    }

    #[test]
    fn our_timeout_and_the_kernels_are_counted_apart() {
        let mut tally = Tally::default();
        let first = First { at: 5, attempt: 1 };
        tally.fail(Phase::Connect, Cause::LingerTimeout, first);
        tally.fail(Phase::Connect, Cause::Errno(110), first);
        let names: Vec<_> = tally.failures().iter().map(|f| f.cause.name()).collect();
        assert_eq!(names, ["ETIMEDOUT", "LINGER_TIMEOUT"]);
    }
}
