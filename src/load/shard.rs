//! Which of a load's attempts one thread makes, when several share the load.
//!
//! With n threads, thread k makes the attempts k + 1, k + 1 + n, k + 1 + 2n and so on of the one schedule that the plan
//! and the seed give: the same starts and the same pairs whatever the number of threads. Ordinals are those of that
//! schedule. With arrival `max`, where nothing is scheduled, the ordinal says how far that thread had come: attempts of
//! different threads with near ordinals began at about the same time, and only one thread gives an exact order.

use super::Work;
use super::pairs::Pairs;

/// Thread `index` (from 0) of `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub(super) index: u32,
    pub(super) of: u32,
}

impl Shard {
    /// The only thread.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// The ordinal, from 1, of this thread's attempt number `nth`, from 1.
    pub(super) fn ordinal(self, nth: u64) -> u64 {
        (nth - 1)
            .saturating_mul(u64::from(self.of))
            .saturating_add(u64::from(self.index) + 1)
    }

    /// This thread's part of `whole` things.
    fn part(self, whole: u32) -> u32 {
        whole / self.of + u32::from(self.index < whole % self.of)
    }
}

impl Work {
    /// Divides the work among `threads` threads, or as many as there may be connections at once.
    #[must_use]
    pub fn divide(&self, threads: u32) -> Vec<Self> {
        let of = threads.clamp(1, self.load.in_flight.max(1));
        let part = |index| {
            let mut work = self.clone();
            work.shard = Shard { index, of };
            work.load.in_flight = work.shard.part(self.load.in_flight);
            work
        };
        (0..of).map(part).collect()
    }

    /// Whether each pair of source and destination is one thread's alone when there are `threads`: only then does a
    /// thread see all that becomes of a four-tuple.
    #[must_use]
    pub fn pairs_are_apart(&self, threads: u32) -> bool {
        threads <= 1
            || (self.client.order == crate::scenario::spec::Order::RoundRobin
                && Pairs::new(self).count().is_multiple_of(threads as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::offer::Offer;
    use crate::load::tests::work;
    use crate::scenario::spec::Arrival;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn threads_together_offer_what_one_alone_would(threads in 1u32..9, connections in 1u64..200, arrival in prop::sample::select(vec![Arrival::Max, Arrival::Constant, Arrival::Poisson])) {
            let mut work = work();
            work.load.arrival = arrival;
            work.load.rate = (arrival != Arrival::Max).then_some(100.0);
            work.load.connections = Some(connections);
            let all = |work: &Work| {
                let mut offer = Offer::new(work);
                std::iter::from_fn(|| offer.take(u64::MAX - 1)).map(|(due, pair)| (due, pair.number)).collect::<Vec<_>>()
            };
            let mut together: Vec<_> = work.divide(threads).iter().flat_map(all).collect();
            let mut alone = all(&work);
            together.sort_unstable();
            alone.sort_unstable();
            prop_assert_eq!(together, alone);
        }

        #[test]
        fn every_ordinal_is_one_threads(threads in 1u32..9) {
            let mut ordinals: Vec<u64> = (0..threads)
                .flat_map(|index| (1..=10).map(move |nth| Shard { index, of: threads }.ordinal(nth)))
                .collect();
            ordinals.sort_unstable();
            prop_assert_eq!(ordinals, (1..=u64::from(threads) * 10).collect::<Vec<_>>());
        }

        #[test]
        fn room_is_divided_without_remainder(threads in 1u32..65, in_flight in 1u32..5_000) {
            let mut work = work();
            work.load.in_flight = in_flight;
            let parts: Vec<u32> = work.divide(threads).iter().map(|part| part.load.in_flight).collect();
            prop_assert_eq!(parts.iter().sum::<u32>(), in_flight);
            prop_assert!(parts.iter().all(|part| *part > 0));
        }
    }
}
