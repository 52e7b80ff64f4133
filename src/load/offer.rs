//! What one thread has still to offer: the attempts due, each with its pair, up to the load's end.

use std::iter::{Peekable, Skip, StepBy};

use super::clock::nanos;
use super::pairs::{Pair, Pairs};
use super::{Pacer, Work};
use crate::scenario::spec::Arrival;

/// The thread's part of the schedule.
#[derive(Debug)]
pub(super) struct Offer {
    pacer: Peekable<StepBy<Skip<Pacer>>>,
    pairs: Pairs,
    /// No attempt begins at or after this time.
    ends: u64,
    /// Whether attempts have an intended start.
    intended: bool,
}

impl Offer {
    pub(super) fn new(work: &Work) -> Self {
        let (first, every) = (work.shard.index as usize, work.shard.of as usize);
        Self {
            pacer: Pacer::new(&work.load).skip(first).step_by(every).peekable(),
            pairs: Pairs::new(work),
            ends: work.load.duration.map_or(u64::MAX, nanos),
            intended: work.load.arrival != Arrival::Max,
        }
    }

    /// The number of pairs of source and destination.
    pub(super) fn pairs(&self) -> usize {
        self.pairs.count()
    }

    /// Nothing begins from `now` on: the load was stopped.
    pub(super) fn stop(&mut self, now: u64) {
        self.ends = self.ends.min(now);
    }

    /// Whether there are attempts still to begin.
    pub(super) fn goes_on(&mut self, now: u64) -> bool {
        now < self.ends && self.pacer.peek().is_some()
    }

    /// When the next attempt is due; None when none will be.
    pub(super) fn next_due(&mut self, now: u64) -> Option<u64> {
        if now >= self.ends {
            return None;
        }
        self.pacer.peek().copied()
    }

    /// Takes the next attempt if it is due: its intended start (None with arrival `max`) and its pair.
    pub(super) fn take(&mut self, now: u64) -> Option<(Option<u64>, Pair)> {
        if now >= self.ends {
            return None;
        }
        let due = self.pacer.next_if(|due| *due <= now)?;
        Some((self.intended.then_some(due), self.pairs.next()))
    }

    /// Attempts that were due before the end and were not begun; 0 with arrival `max`, where none is due.
    pub(super) fn not_offered(self) -> u64 {
        if !self.intended {
            return 0;
        }
        self.pacer.take_while(|due| *due < self.ends).count() as u64
    }
}
