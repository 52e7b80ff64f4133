//! When attempts are due: pure arithmetic, without clock, sleep or I/O.
//!
//! The intended start of an attempt depends on its ordinal and the seed alone, never on how late the ones before it
//! were: that is what keeps the load an open loop, and latencies free of coordinated omission.

use super::clock::nanos;
use super::random::Random;
use crate::scenario::plan::LoadPlan;
use crate::scenario::spec::Arrival;

/// Iterates over the attempts' intended starts, in nanoseconds since the load's beginning, never decreasing.
///
/// It ends at `connections` or, for `constant` and `poisson`, at `duration`. With arrival `max` an attempt is due as
/// soon as there is room for it: each intended start is 0, and the end by `duration` is for the caller to see.
#[derive(Clone, Debug)]
pub struct Pacer {
    schedule: Schedule,
    left: u64,
    ends: u64,
}

#[derive(Clone, Debug)]
enum Schedule {
    Max,
    Constant { rate: f64, ordinal: u64 },
    Poisson { rate: f64, at: f64, random: Random },
}

impl Pacer {
    /// The plan's arrival; one without a rate is `max`.
    #[must_use]
    pub fn new(plan: &LoadPlan) -> Self {
        let ends = plan.duration.map_or(u64::MAX, nanos);
        let (schedule, count, ends) = match (plan.arrival, plan.rate) {
            (Arrival::Constant, Some(rate)) => (Schedule::Constant { rate, ordinal: 0 }, plan.planned(), u64::MAX),
            (Arrival::Poisson, Some(rate)) => {
                let random = Random::new(plan.seed);
                (Schedule::Poisson { rate, at: 0.0, random }, plan.attempts(), ends)
            }
            _ => (Schedule::Max, plan.attempts(), u64::MAX),
        };
        Self {
            schedule,
            left: count.unwrap_or(u64::MAX),
            ends,
        }
    }
}

impl Iterator for Pacer {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.left == 0 {
            return None;
        }
        let due = match &mut self.schedule {
            Schedule::Max => 0,
            Schedule::Constant { rate, ordinal } => {
                // From the ordinal, not from the last one: a rounding error stays one and never adds up.
                let due = (*ordinal as f64 * 1e9 / *rate).round() as u64;
                *ordinal += 1;
                due
            }
            Schedule::Poisson { rate, at, random } => {
                *at -= random.unit().ln() * 1e9 / *rate;
                at.round() as u64
            }
        };
        if due >= self.ends {
            self.left = 0;
            return None;
        }
        self.left -= 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::load_plan;
    use proptest::prelude::*;
    use std::time::Duration;

    fn open_loop(arrival: Arrival, rate: f64, seed: u64) -> LoadPlan {
        LoadPlan {
            arrival,
            rate: Some(rate),
            connections: None,
            seed,
            ..load_plan()
        }
    }

    proptest! {
        #[test]
        fn a_constant_load_is_never_ahead_of_its_rate_nor_a_whole_attempt_behind(rate in 0.01f64..1e6, count in 1usize..2_000) {
            for (before, due) in Pacer::new(&open_loop(Arrival::Constant, rate, 1)).take(count).enumerate() {
                let exact = before as f64 * 1e9 / rate;
                prop_assert!((due as f64 - exact).abs() <= 1.0);
            }
        }

        #[test]
        fn intended_starts_never_decrease(rate in 0.01f64..1e6, seed: u64) {
            for arrival in [Arrival::Max, Arrival::Constant, Arrival::Poisson] {
                let dues: Vec<_> = Pacer::new(&open_loop(arrival, rate, seed)).take(500).collect();
                prop_assert!(dues.is_sorted());
            }
        }

        #[test]
        fn a_constant_load_has_as_many_attempts_as_planned(rate in 0.1f64..1e4, seconds in 0.1f64..5.0, connections in prop::option::of(1u64..10_000)) {
            let plan = LoadPlan {
                duration: Some(Duration::from_secs_f64(seconds)),
                connections,
                ..open_loop(Arrival::Constant, rate, 1)
            };
            prop_assert_eq!(Some(Pacer::new(&plan).count() as u64), plan.planned());
        }

        #[test]
        fn the_same_seed_gives_the_same_poisson_load_and_another_gives_another(seed: u64) {
            let load = |seed| Pacer::new(&open_loop(Arrival::Poisson, 100.0, seed)).take(50).collect::<Vec<_>>();
            prop_assert_eq!(load(seed), load(seed));
            prop_assert_ne!(load(seed), load(seed.wrapping_add(1)));
        }
    }

    #[test]
    fn a_day_at_a_rate_that_does_not_divide_a_second_drifts_by_nothing() {
        let (rate, seconds) = (333.0, 86_400);
        let plan = open_loop(Arrival::Constant, rate, 1);
        let due = Pacer::new(&plan).nth(333 * seconds).unwrap();
        assert_eq!(due, 86_400_000_000_000);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        // 100,000 gaps: the mean's standard error is 1/sqrt(100,000) = 0.32 % of it; 2 % is six of them.
        let dues: Vec<_> = Pacer::new(&open_loop(Arrival::Poisson, 1_000.0, 42))
            .take(100_000)
            .collect();
        let gaps: Vec<f64> = dues.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "{mean}");
        assert!((deviation / mean - 1.0).abs() < 0.02, "{deviation}");
    }

    #[test]
    fn a_poisson_load_ends_with_its_duration() {
        let plan = LoadPlan {
            duration: Some(Duration::from_secs(10)),
            ..open_loop(Arrival::Poisson, 1_000.0, 3)
        };
        let dues: Vec<_> = Pacer::new(&plan).collect();
        assert!(dues.iter().all(|due| *due < 10_000_000_000));
        // 10,000 expected; the standard deviation is 100.
        assert!(dues.len().abs_diff(10_000) < 600, "{}", dues.len());
    }

    #[test]
    fn max_is_always_due_and_ends_with_its_connections() {
        let plan = LoadPlan {
            connections: Some(3),
            ..load_plan()
        };
        assert_eq!(Pacer::new(&plan).collect::<Vec<_>>(), [0, 0, 0]);
    }
}
