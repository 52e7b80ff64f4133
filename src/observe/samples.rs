//! The curve of TIME_WAIT over time, from a cheap total that does not tell whose it is.
//!
//! sockstat counts all mini-sockets of a namespace: both sides' where they share it, orphaned FIN_WAIT2 and other
//! programs' always. Dumps tell them apart, but come a twentieth as often. So a total waits until the next dump, and is
//! attributed only where the dumps before and after it agree that one side alone held the mini-sockets, all but one in
//! fifty in TIME_WAIT; the FIN_WAIT2 they saw are taken off. Elsewhere the curve has only the dumps' own points. What
//! came and went between two dumps goes unnoticed: such a sample is off by that many. Pure.

use super::census::{Census, Side};

/// TIME_WAIT of each side at one moment; None where it could not be told whose they were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Seconds since the origin.
    pub t: f64,
    pub client: Option<u64>,
    pub server: Option<u64>,
}

/// Samples kept at the most; when there are more, every other one goes and only every other one is taken.
const CAPACITY: usize = 10_000;

/// Connections passing through FIN_WAIT2 that a total may include: one in this many.
const PASSING: u64 = 50;

/// Who holds the mini-sockets of a namespace, by a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Nobody,
    /// One side, so many of them orphaned FIN_WAIT2.
    Only {
        side: Side,
        fin_wait2: u64,
    },
    /// Both sides, or somebody else.
    Mixed,
}

impl Holder {
    /// From a dump of the namespace; `strangers` are mini-sockets of neither side.
    pub(super) fn of(client: &Census, server: &Census, strangers: u64) -> Self {
        let only = |side, census: &Census| Self::Only {
            side,
            fin_wait2: census.minis - census.time_wait(),
        };
        match (client.minis, server.minis, strangers) {
            (0, 0, 0) => Self::Nobody,
            (_, 0, 0) => only(Side::Client, client),
            (0, _, 0) => only(Side::Server, server),
            _ => Self::Mixed,
        }
    }

    /// One side's TIME_WAIT in a `total` of sockstat between the dump of `self` and that of `after`.
    pub(super) fn share(self, after: Self, side: Side, total: u64) -> Option<u64> {
        let (holder, passing) = match (self, after) {
            _ if total == 0 => return Some(0),
            (Self::Only { side: a, fin_wait2: x }, Self::Only { side: b, fin_wait2: y }) if a == b => (a, x.max(y)),
            (Self::Nobody, Self::Only { side, fin_wait2 }) | (Self::Only { side, fin_wait2 }, Self::Nobody) => {
                (side, fin_wait2)
            }
            _ => return None,
        };
        match holder == side {
            true => (passing * PASSING <= total).then(|| total - passing),
            false => Some(0),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Samples {
    kept: Vec<Sample>,
    /// Every `2^thinning`th sample is kept.
    thinning: u32,
    taken: u64,
}

impl Samples {
    pub(super) fn push(&mut self, sample: Sample) {
        self.taken += 1;
        if self.taken.trailing_zeros() >= self.thinning {
            self.kept.push(sample);
        }
        if self.kept.len() > CAPACITY {
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            self.thinning += 1;
        }
    }

    pub(super) fn into_kept(self) -> Vec<Sample> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn however_many_samples_come_a_bounded_number_is_kept_evenly_spaced(count in 0u32..100_000) {
            let mut samples = Samples::default();
            for index in 0..count {
                samples.push(Sample { t: f64::from(index), client: Some(0), server: None });
            }
            let kept = samples.into_kept();
            prop_assert!(kept.len() <= CAPACITY);
            prop_assert!(kept.len() >= (count as usize).min(CAPACITY / 2));
            let gaps: Vec<f64> = kept.windows(2).map(|pair| pair[1].t - pair[0].t).collect();
            prop_assert!(gaps.windows(2).all(|pair| pair[0] == pair[1]));
        }
    }

    #[test]
    fn a_total_is_attributed_only_where_the_dumps_around_it_agree() {
        use Holder::{Mixed, Nobody};
        let only = |side, fin_wait2| Holder::Only { side, fin_wait2 };
        let client = only(Side::Client, 0);
        assert_eq!(client.share(client, Side::Client, 7), Some(7));
        assert_eq!(client.share(client, Side::Server, 7), Some(0));
        assert_eq!(Nobody.share(client, Side::Client, 7), Some(7));
        assert_eq!(
            Nobody.share(Nobody, Side::Client, 7),
            None,
            "it came and went between two dumps"
        );
        assert_eq!(Nobody.share(Nobody, Side::Client, 0), Some(0));
        assert_eq!(client.share(Mixed, Side::Client, 7), None);
        assert_eq!(client.share(only(Side::Server, 0), Side::Client, 7), None);
        assert_eq!(client.share(only(Side::Client, 4), Side::Client, 200), Some(196));
        assert_eq!(
            client.share(only(Side::Client, 5), Side::Client, 200),
            None,
            "one in forty is FIN_WAIT2"
        );
    }
}
