//! The connect() call by how full its destination is: the cost of the search for a port, level by level.
//!
//! How the level is known: in a fresh lab each four-tuple of a destination that is taken was taken by this load, so that a
//! count of its own connections tells. It is a count of calls that did not fail, less connections that no FIN of ours
//! ended (a reset, or the peer's FIN first: they leave no TIME_WAIT here). It holds only where one thread makes all
//! connections to a destination, where TIME_WAIT is not reused, and until the first TIME_WAIT may end: whoever makes the
//! [`Work`] answers for the first two, `KNOWN_FOR` for the last. What a late ACK ends early (docs/assassination.md) is
//! counted as taken still.
//!
//! Pure; allocates nothing after `new`.

use super::Work;
use crate::record::histogram::LatencyHistogram;

/// Steps of 5 %, and the last for calls that found every four-tuple taken.
pub const STEPS: usize = 21;
/// The shortest time for which a kernel keeps TIME_WAIT is 52.5 s (Linux 3.13; 60 s since 4.1). In nanoseconds.
const KNOWN_FOR: u64 = 50_000_000_000;

/// The calls' own latency by level.
#[derive(Clone, Debug)]
pub struct ByFill {
    usable: u64,
    /// By pair of source and destination.
    taken: Vec<u64>,
    steps: Vec<FillStep>,
}

/// Calls that found the destination so full.
#[derive(Clone, Debug)]
pub struct FillStep {
    /// Calls whose attempt connected.
    pub ok: LatencyHistogram,
    /// Calls whose attempt failed to connect.
    pub failed: LatencyHistogram,
    /// Those of `ok` whose local port is known, by its parity.
    pub even: LatencyHistogram,
    pub odd: LatencyHistogram,
}

/// A call that was made, until it is known what came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    step: usize,
    nanos: u64,
}

impl ByFill {
    /// For `pairs` pairs of source and destination; None where the level cannot be known.
    pub(super) fn new(work: &Work, pairs: usize) -> Option<Self> {
        let usable = work
            .tuples_a_pair
            .filter(|usable| *usable > 0 && work.pairs_are_apart(work.shard.of))?;
        let step = FillStep {
            ok: LatencyHistogram::coarse(),
            failed: LatencyHistogram::coarse(),
            even: LatencyHistogram::coarse(),
            odd: LatencyHistogram::coarse(),
        };
        Some(Self {
            usable,
            taken: vec![0; pairs],
            steps: vec![step; STEPS],
        })
    }

    /// What was measured, from the emptiest to the full.
    #[must_use]
    pub fn steps(&self) -> &[FillStep] {
        &self.steps
    }

    /// connect() was called to a pair and has returned. None once TIME_WAIT may have ended meanwhile.
    pub(super) fn called(&mut self, pair: usize, called: u64, returned: u64) -> Option<Call> {
        if called > KNOWN_FOR {
            return None;
        }
        let taken = self.taken[pair];
        self.taken[pair] += 1;
        Some(Call {
            step: (taken * (STEPS as u64 - 1) / self.usable).min(STEPS as u64 - 1) as usize,
            nanos: returned - called,
        })
    }

    pub(super) fn connected(&mut self, call: Call, port: Option<u16>) {
        let step = &mut self.steps[call.step];
        step.ok.record(call.nanos);
        match port {
            Some(port) if port % 2 == 0 => step.even.record(call.nanos),
            Some(_) => step.odd.record(call.nanos),
            None => {}
        }
    }

    pub(super) fn failed(&mut self, call: Call, pair: usize) {
        self.steps[call.step].failed.record(call.nanos);
        self.released(pair);
    }

    /// A four-tuple is free again: no FIN of ours ended its connection.
    pub(super) fn released(&mut self, pair: usize) {
        self.taken[pair] -= 1;
    }

    /// Adds another thread's.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.steps.iter_mut().zip(&other.steps) {
            mine.ok.merge(&theirs.ok);
            mine.failed.merge(&theirs.failed);
            mine.even.merge(&theirs.even);
            mine.odd.merge(&theirs.odd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::work;
    use proptest::prelude::*;

    fn by_fill(usable: u64) -> ByFill {
        let mut work = work();
        work.tuples_a_pair = Some(usable);
        ByFill::new(&work, 1).unwrap()
    }

    fn counts(by_fill: &ByFill, of: impl Fn(&FillStep) -> &LatencyHistogram) -> Vec<u64> {
        by_fill.steps.iter().map(|step| of(step).count()).collect()
    }

    #[test]
    fn forty_ports_are_two_calls_a_step_and_what_comes_after_finds_it_full() {
        let mut by_fill = by_fill(40);
        for port in 0..40 {
            let call = by_fill.called(0, 0, 1_000).unwrap();
            by_fill.connected(call, Some(port));
        }
        let call = by_fill.called(0, 0, 1_000).unwrap();
        by_fill.failed(call, 0);
        let full = |count| [vec![count; STEPS - 1], vec![0]].concat();
        assert_eq!(counts(&by_fill, |step| &step.ok), full(2));
        assert_eq!(counts(&by_fill, |step| &step.even), full(1));
        assert_eq!(counts(&by_fill, |step| &step.odd), full(1));
        assert_eq!(by_fill.steps[STEPS - 1].failed.count(), 1);
        assert_eq!(by_fill.taken, [40], "a call that fails takes nothing");
    }

    #[test]
    fn a_call_after_the_first_time_wait_may_have_ended_is_left_out() {
        let mut by_fill = by_fill(40);
        assert!(by_fill.called(0, KNOWN_FOR + 1, KNOWN_FOR + 2).is_none());
        assert_eq!(by_fill.taken, [0]);
    }

    proptest! {
        /// Whatever ends how: the count is that of calls that took a four-tuple and have not given it back.
        #[test]
        fn the_level_never_leaves_its_bounds(usable in 1u64..100, ends in prop::collection::vec(0u8..3, 0..300)) {
            let mut by_fill = by_fill(usable);
            let mut held = 0;
            for end in ends {
                let call = by_fill.called(0, 0, 1).unwrap();
                prop_assert!(call.step < STEPS);
                match end {
                    0 => by_fill.failed(call, 0),
                    1 => { by_fill.connected(call, None); by_fill.released(0); }
                    _ => { by_fill.connected(call, None); held += 1; }
                }
            }
            prop_assert_eq!(by_fill.taken[0], held);
        }
    }
}
