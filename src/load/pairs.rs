//! Which source address and which destination each attempt takes.

use super::Work;
use super::random::Random;
use crate::scenario::spec::{Order, Source};

/// One source address with one destination, by their indexes in the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) source: usize,
    pub(super) destination: usize,
    /// source × number of destinations + destination: the pair's number in the tuple clock.
    pub(super) number: usize,
}

/// An endless iterator over pairs.
#[derive(Clone, Debug)]
pub(super) struct Pairs {
    destinations: usize,
    count: usize,
    order: Order,
    next: usize,
    /// Threads that share the round: each takes the pair so many further on.
    step: usize,
    random: Random,
}

impl Pairs {
    pub(super) fn new(work: &Work) -> Self {
        let sources = match work.client.source {
            // connect() chooses the address too, so there is one source as far as we can know.
            Source::Ephemeral => 1,
            _ => work.sources.len(),
        };
        let count = sources * work.destinations.len();
        Self {
            destinations: work.destinations.len(),
            count,
            order: work.client.order,
            next: work.shard.index as usize % count.max(1),
            step: work.shard.of as usize,
            // Another stream than the pacer's, so that gaps and pairs are independent; and another for each thread.
            random: Random::new(!work.load.seed ^ (u64::from(work.shard.index) << 32)),
        }
    }

    /// The number of pairs.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The next pair. Round-robin goes through all destinations before it changes the source.
    pub(super) fn next(&mut self) -> Pair {
        let number = match self.order {
            Order::RoundRobin => {
                let number = self.next;
                self.next = (number + self.step) % self.count;
                number
            }
            Order::Random => self.random.below(self.count),
        };
        Pair {
            source: number / self.destinations,
            destination: number % self.destinations,
            number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::work;

    fn pairs(order: Order, source: Source) -> Pairs {
        let mut work = work();
        work.client.order = order;
        work.client.source = source;
        work.sources = (1..=2).map(|n| [127, 0, 1, n].into()).collect();
        work.destinations = (1..=3).map(|port| ([127, 0, 0, 1], port).into()).collect();
        Pairs::new(&work)
    }

    #[test]
    fn round_robin_takes_each_pair_once_a_round_and_spreads_over_destinations_first() {
        let mut pairs = pairs(Order::RoundRobin, Source::BindAddress);
        let round: Vec<_> = (0..7)
            .map(|_| pairs.next())
            .map(|pair| (pair.source, pair.destination))
            .collect();
        assert_eq!(round, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 0)]);
    }

    #[test]
    fn random_takes_every_pair_about_as_often() {
        let mut pairs = pairs(Order::Random, Source::BindAddress);
        let mut seen = [0; 6];
        for _ in 0..6_000 {
            let pair = pairs.next();
            assert_eq!(pair.number, pair.source * 3 + pair.destination);
            seen[pair.number] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
    }

    #[test]
    fn an_ephemeral_source_is_one_source_whatever_addresses_there_are() {
        assert_eq!(pairs(Order::RoundRobin, Source::Ephemeral).count(), 3);
    }
}
