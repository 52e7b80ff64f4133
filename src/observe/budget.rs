//! How often a dump may be made: a share of one core, saved up in between.
//!
//! Pure: it is told the time that passed and what each dump cost, in CPU time, and says whether another is due.

use std::time::Duration;

/// Dumps may take one part in this of a core.
const SHARE: u32 = 100;
/// Dumps that can be saved up: so that after a regular one there is enough left for those that something calls for.
const SAVED: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Budget {
    credit: Duration,
    last_cost: Duration,
}

impl Budget {
    /// Time went by.
    pub(super) fn earn(&mut self, elapsed: Duration) {
        self.credit = (self.credit + elapsed / SHARE).min(self.last_cost * SAVED);
    }

    /// A dump was made. What it cost is what the next is expected to cost.
    pub(super) fn spend(&mut self, cost: Duration) {
        self.credit = self.credit.saturating_sub(cost);
        self.last_cost = cost;
    }

    /// Whether one more dump can be paid.
    pub(super) fn affords_one(&self) -> bool {
        self.credit >= self.last_cost
    }

    /// Whether nothing more can be saved up.
    pub(super) fn full(&self) -> bool {
        self.credit >= self.last_cost * SAVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dumps_never_take_more_than_their_share_and_the_first(waits in prop::collection::vec(1u64..50_000, 1..300), cost in 1u64..20_000) {
            let mut budget = Budget::default();
            let (mut elapsed, mut spent) = (0, 0);
            for wait in waits {
                budget.earn(Duration::from_micros(wait));
                elapsed += wait;
                if budget.affords_one() {
                    budget.spend(Duration::from_micros(cost));
                    spent += cost;
                }
            }
            prop_assert!(spent <= elapsed / 100 + cost);
        }
    }

    #[test]
    fn a_dump_of_ten_milliseconds_comes_once_a_second_when_nothing_calls_for_one() {
        let mut budget = Budget::default();
        budget.spend(Duration::from_millis(10));
        budget.earn(Duration::from_secs(100));
        let mut dumps = 0;
        for _ in 0..1000 {
            budget.earn(Duration::from_millis(10));
            if budget.full() {
                budget.spend(Duration::from_millis(10));
                dumps += 1;
            }
        }
        assert_eq!(dumps, 10);
    }
}
