//! What observing may cost: how often sockets may be listed, and whether the last look can be a listing too.
//!
//! All looks together may take 2 % of a core. Regular listings get 1 % of the time that passes, saved up in between,
//! and leave the last look its price: it is known beforehand, since what a socket costs in a listing is learned from
//! each. Where even that price is too high, the last look has to do with the kernel's counts. A listing that costs less
//! than 20 ms is not saved for: a load too short to earn one is small. Pure: it is told times and costs.

use std::time::Duration;

/// Regular listings may take one part in this of a core.
const SHARE: u32 = 100;
/// All looks may take one part in this of a core.
const LIMIT: u32 = 50;
/// Listings that can be saved up: so that after a regular one there is enough left for those that something calls for.
const SAVED: u32 = 4;
/// What is never too dear.
const SMALL: Duration = Duration::from_millis(20);
/// What a socket costs in a listing before one was measured, in nanoseconds.
const A_SOCKET: f64 = 500.0;
/// A listing of fewer sockets tells more of the walk through the kernel's table than of what a socket costs.
const TELLING: u64 = 2_000;

#[derive(Debug)]
pub(super) struct Budget {
    credit: Duration,
    /// What a listing of few sockets cost: the walk alone.
    walk: Duration,
    a_socket: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            credit: Duration::ZERO,
            walk: Duration::ZERO,
            a_socket: A_SOCKET,
        }
    }
}

impl Budget {
    /// What a listing of so many sockets would cost.
    pub(super) fn price(&self, sockets: u64) -> Duration {
        self.walk + Duration::from_nanos((self.a_socket * sockets as f64) as u64)
    }

    /// Whether it would be saved for.
    pub(super) fn is_dear(&self, sockets: u64) -> bool {
        self.price(sockets) >= SMALL
    }

    /// Time went by, with so many sockets there.
    pub(super) fn earn(&mut self, elapsed: Duration, sockets: u64) {
        self.credit = (self.credit + elapsed / SHARE).min(self.price(sockets) * SAVED);
    }

    /// A listing of so many sockets was made.
    pub(super) fn spend(&mut self, cost: Duration, sockets: u64) {
        self.credit = self.credit.saturating_sub(cost);
        if sockets < TELLING {
            self.walk = cost;
        } else {
            self.a_socket = cost.saturating_sub(self.walk).as_nanos() as f64 / sockets as f64;
        }
    }

    /// Whether one more regular listing can be paid, and a last look after it. `spent` is what all looks have taken of
    /// the time that has `passed`.
    pub(super) fn affords_one(&self, sockets: u64, spent: Duration, passed: Duration) -> bool {
        let price = self.price(sockets);
        self.credit >= price && (!self.is_dear(sockets) || spent + price * 2 <= passed / LIMIT)
    }

    /// Whether the last look can be a listing.
    pub(super) fn affords_the_last(&self, sockets: u64, spent: Duration, passed: Duration) -> bool {
        let price = self.price(sockets);
        !self.is_dear(sockets) || spent + price <= passed / LIMIT
    }

    /// Whether nothing more can be saved up.
    pub(super) fn full(&self, sockets: u64) -> bool {
        self.credit >= self.price(sockets) * SAVED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOREVER: Duration = Duration::from_secs(1 << 30);

    proptest! {
        #[test]
        fn regular_listings_never_take_more_than_their_share_and_the_first(waits in prop::collection::vec(1u64..50_000, 1..300), cost in 1u64..20_000) {
            let mut budget = Budget::default();
            let (mut elapsed, mut spent) = (0, 0);
            for wait in waits {
                budget.earn(Duration::from_micros(wait), 0);
                elapsed += wait;
                if budget.affords_one(0, Duration::ZERO, FOREVER) {
                    budget.spend(Duration::from_micros(cost), 0);
                    spent += cost;
                }
            }
            prop_assert!(spent <= elapsed / 100 + cost);
        }

        /// However fast the table grows and whatever a socket costs: what is beyond the limit is less than two small
        /// listings, and a first one that was dearer than anybody could know.
        #[test]
        fn all_looks_together_keep_to_their_limit(a_second in 0u64..200_000, a_socket in 50u64..2_000, seconds in 1u64..120) {
            let (mut budget, mut spent) = (Budget::default(), Duration::ZERO);
            let mut dearest_guess = Duration::ZERO;
            for tick in 1..=seconds * 20 {
                let (passed, sockets) = (Duration::from_millis(tick * 50), a_second * tick / 20);
                let cost = Duration::from_nanos(a_socket * sockets);
                budget.earn(Duration::from_millis(50), sockets);
                if budget.affords_one(sockets, spent, passed) {
                    dearest_guess = dearest_guess.max(cost.saturating_sub(budget.price(sockets)));
                    budget.spend(cost, sockets);
                    spent += cost;
                }
                let last = if budget.affords_the_last(sockets, spent, passed) { cost } else { Duration::ZERO };
                let over = cost.saturating_sub(budget.price(sockets));
                prop_assert!(spent + last <= passed / LIMIT + SMALL * 2 + dearest_guess + over);
            }
        }
    }

    #[test]
    fn a_listing_of_ten_milliseconds_comes_once_a_second_when_nothing_calls_for_one() {
        let mut budget = Budget::default();
        budget.spend(Duration::from_millis(10), 0);
        budget.earn(Duration::from_secs(100), 0);
        let mut listings = 0;
        for _ in 0..1000 {
            budget.earn(Duration::from_millis(10), 0);
            if budget.full(0) {
                budget.spend(Duration::from_millis(10), 0);
                listings += 1;
            }
        }
        assert_eq!(listings, 10);
    }

    #[test]
    fn a_million_sockets_are_listed_at_the_end_and_not_before_where_that_is_all_that_the_time_pays() {
        let mut budget = Budget::default();
        budget.spend(Duration::from_millis(1), 10);
        // 300 ns each.
        budget.spend(Duration::from_millis(31), 100_000);
        let (spent, passed) = (Duration::from_millis(50), Duration::from_secs(27));
        budget.earn(passed, 1_000_000);
        assert!(!budget.affords_one(1_000_000, spent, passed), "50 + 2 × 301 ms of 540");
        assert!(budget.affords_the_last(1_000_000, spent, passed), "50 + 301 ms of 540");
        assert!(!budget.affords_the_last(1_700_000, spent, passed), "50 + 511 ms of 540");
    }
}
