//! Source ports that the harness itself chooses, for sources `owned` and `bind-port`.
//!
//! Each pair of source and destination goes through all ports in turn, so that the port taken is the one used longest
//! ago: if that is still taken, so are the others, and the attempt fails without a search.

use super::Work;
use super::pairs::Pair;
#[derive(Debug)]
pub(super) struct Ports {
    ports: Vec<u16>,
    /// Where each pair stands.
    next: Vec<u32>,
}

impl Ports {
    /// Ports for `pairs` pairs; none where connect() or bind() chooses.
    pub(super) fn new(work: &Work, pairs: usize) -> Self {
        let chosen = work.client.source.is_chosen_by_harness();
        let (first, every) = if work.pairs_are_apart(work.shard.of) {
            (0, 1)
        } else {
            // Threads that share pairs share the ports out, so that no two try the same one.
            (work.shard.index as usize, work.shard.of as usize)
        };
        Self {
            ports: work.ports.iter().skip(first).step_by(every).copied().collect(),
            next: vec![0; if chosen { pairs } else { 0 }],
        }
    }

    /// Whether there is no port to choose from.
    pub(super) fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// The pair's next port; 0 where the harness does not choose.
    pub(super) fn next(&mut self, pair: Pair) -> u16 {
        let Some(next) = self.next.get_mut(pair.number) else {
            return 0;
        };
        let port = self.ports[*next as usize];
        *next = (*next + 1) % self.ports.len() as u32;
        port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::work;
    use crate::scenario::spec::Source;

    #[test]
    fn each_pair_goes_through_all_ports_before_it_takes_one_again() {
        let mut work = work();
        work.client.source = Source::Owned;
        work.ports = vec![5, 6, 9];
        let mut ports = Ports::new(&work, 2);
        let pair = |number| Pair {
            source: 0,
            destination: number,
            number,
        };
        let taken: Vec<_> = (0..4).map(|_| ports.next(pair(0))).collect();
        assert_eq!((taken, ports.next(pair(1))), (vec![5, 6, 9, 5], 5));
    }

    #[test]
    fn threads_that_share_a_pair_never_take_the_same_port() {
        let mut work = work();
        work.client.source = Source::Owned;
        work.ports = (1..=7).collect();
        let mut all: Vec<u16> = work
            .divide(3)
            .iter()
            .flat_map(|work| Ports::new(work, 1).ports)
            .collect();
        all.sort_unstable();
        assert_eq!(all, work.ports);
    }
}
