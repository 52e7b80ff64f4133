//! Whether new's values are higher or lower than base's: the rank test, and how many repeats it needs.
//!
//! H. B. Mann and D. R. Whitney, *On a test of whether one of two random variables is stochastically larger than the
//! other*, 1947. It supposes nothing about the distribution of the noise, which for latencies is far from normal.
//! Up to [`EXACT`] values its probabilities are exact, ties included (the permutation distribution of the ranks as they are,
//! counted by the shift algorithm of Streitberg and Röhmel, 1986); beyond, the normal approximation with tie correction.
//! Numbers of repeats: G. E. Noether, *Sample size determination for some common nonparametric tests*, 1987.

use super::stats::{normal_below, normal_quantile};

/// The most values, of both sides, for which probabilities are counted and not approximated.
pub const EXACT: usize = 40;

/// The chance to notice an effect that is there, for which [`repeats_to_tell`] asks.
const POWER: f64 = 0.8;

/// The most repeats that [`repeats_to_tell`] asks for: a scenario allows no more.
pub const MOST_REPEATS: usize = 1000;

/// How likely chance alone gives ranks at least this far to one side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RankTest {
    /// Pairs in which new is higher than base, ties counting half.
    pub u: f64,
    /// The probability of a U this low or lower, were there no difference.
    pub lower: f64,
    /// The probability of a U this high or higher, were there no difference.
    pub higher: f64,
}

impl RankTest {
    /// The probability of a difference this large either way, were there none.
    #[must_use]
    pub fn two_sided(self) -> f64 {
        (2.0 * self.lower.min(self.higher)).min(1.0)
    }
}

/// The Mann–Whitney test of new against base; None when a side has no values.
#[must_use]
pub fn mann_whitney(base: &[f64], new: &[f64]) -> Option<RankTest> {
    if base.is_empty() || new.is_empty() {
        return None;
    }
    let ranks = doubled_ranks(base, new);
    let of_new: usize = ranks[base.len()..].iter().sum();
    let (lower, higher) = if ranks.len() <= EXACT {
        exact_tails(&ranks, new.len(), of_new)
    } else {
        normal_tails(&ranks, new.len(), of_new)
    };
    // The rank sum of new exceeds U by n(n+1)/2, the least that n ranks can sum to.
    let least = new.len() * (new.len() + 1);
    let u = (of_new - least) as f64 / 2.0;
    Some(RankTest { u, lower, higher })
}

/// Twice the rank of each value among all, base's first; ties share the mean of their ranks, which doubled is whole.
fn doubled_ranks(base: &[f64], new: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = base.iter().chain(new).copied().collect();
    let mut sorted = all.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    all.iter()
        .map(|value| sorted.partition_point(|other| other < value) + sorted.partition_point(|other| other <= value) + 1)
        .collect()
}

/// Counts, over every way to choose `size` of the ranks, the sums that are at most, and at least, `sum`.
fn exact_tails(ranks: &[usize], size: usize, sum: usize) -> (f64, f64) {
    let most: usize = ranks.iter().sum();
    // ways[k][s]: how many sets of k ranks have the sum s.
    let mut ways = vec![vec![0.0f64; most + 1]; size + 1];
    ways[0][0] = 1.0;
    for (seen, &rank) in ranks.iter().enumerate() {
        for k in (1..=size.min(seen + 1)).rev() {
            let (smaller, larger) = ways.split_at_mut(k);
            for (with, without) in larger[0][rank..].iter_mut().zip(&smaller[k - 1]) {
                *with += without;
            }
        }
    }
    let ways = &ways[size];
    let all: f64 = ways.iter().sum();
    (
        ways[..=sum].iter().sum::<f64>() / all,
        ways[sum..].iter().sum::<f64>() / all,
    )
}

fn normal_tails(ranks: &[usize], size: usize, sum: usize) -> (f64, f64) {
    let (all, n) = (ranks.len() as f64, size as f64);
    let mut sorted = ranks.to_vec();
    sorted.sort_unstable();
    let ties: f64 = sorted
        .chunk_by(usize::eq)
        .map(|tied| (tied.len() as f64).powi(3) - tied.len() as f64)
        .sum();
    let variance = n * (all - n) / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return (1.0, 1.0);
    }
    let above_mean = sum as f64 / 2.0 - n * (all + 1.0) / 2.0;
    // A sum stands for the half step on either side of it.
    let below = |distance: f64| normal_below((distance + 0.5) / variance.sqrt());
    (below(above_mean), below(-above_mean))
}

/// The smallest probability that `base` and `new` values can give in one direction: one arrangement of all.
#[must_use]
pub fn smallest_p(base: usize, new: usize) -> f64 {
    (1..=new).map(|i| i as f64 / (base + i) as f64).product()
}

/// The fewest repeats on each side with which any effect, however large, can be told at `tail` (one direction).
#[must_use]
pub fn fewest_repeats(tail: f64) -> usize {
    (1..).find(|&n| smallest_p(n, n) <= tail).unwrap_or(usize::MAX)
}

/// About how many repeats on each side tell a change by `factor` at `tail`, four times out of five, under a
/// relative noise of `noise`. At least [`fewest_repeats`]; [`MOST_REPEATS`] stands for that many or more.
#[must_use]
pub fn repeats_to_tell(factor: f64, noise: f64, tail: f64) -> usize {
    let fewest = fewest_repeats(tail);
    if noise <= 0.0 {
        return fewest;
    }
    // The probability that a repeat of new is above one of base, when both have log-normal noise.
    let above = normal_below(factor.ln().abs() / (noise * std::f64::consts::SQRT_2));
    repeats_at(above, tail).max(fewest)
}

/// About how many repeats on each side decide, four times out of five, on which side of a limit new is, given the share
/// `beyond` of pairs (base at the limit, new) in which new is beyond it: crossed at an error of `tail`, or kept at one of
/// `wrong_pass`. No fewer than could find it crossed. Nothing is supposed of the noise: where half the runs are beyond the
/// limit and half within, no number of repeats makes one side of it.
#[must_use]
pub fn repeats_to_decide(beyond: f64, tail: f64, wrong_pass: f64) -> usize {
    let needed = if beyond > 0.5 {
        repeats_at(beyond, tail)
    } else {
        repeats_at(1.0 - beyond, wrong_pass)
    };
    needed.max(fewest_repeats(tail))
}

/// Repeats that see, at `tail`, that new is above base in a share `above` of all pairs.
fn repeats_at(above: f64, tail: f64) -> usize {
    let fewest = fewest_repeats(tail);
    // Where every repeat of one side is likely above every one of the other, the fewest do; Noether's formula, which
    // takes the spread of U for that of no effect, would ask for more.
    if above.powi((fewest * fewest) as i32) >= POWER {
        return fewest;
    }
    let z = normal_quantile(1.0 - tail) + normal_quantile(POWER);
    let needed = (z * z / (6.0 * (above - 0.5).powi(2))).ceil();
    // As a float it may be infinite, which as an integer is the greatest.
    fewest.max((needed as usize).min(MOST_REPEATS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn where_half_of_new_is_beyond_the_limit_no_number_of_repeats_decides() {
        assert_eq!(repeats_to_decide(0.5, 0.005, 0.05), MOST_REPEATS);
        assert_eq!(repeats_to_decide(1.0, 0.005, 0.05), 5);
        // As many as could find it crossed, although fewer could find it kept.
        assert_eq!(repeats_to_decide(0.0, 0.005, 0.05), 5);
        // z = 1.645 + 0.842; z²/(6 × 0.3²)
        assert_eq!(repeats_to_decide(0.2, 0.005, 0.05), 12);
        assert!(repeats_to_decide(0.8, 0.005, 0.05) > 12);
    }

    /// Every choice of new's places among all values, and U of each: the definition, without ranks.
    fn by_brute_force(base: &[f64], new: &[f64]) -> (f64, f64, f64) {
        let all: Vec<f64> = base.iter().chain(new).copied().collect();
        let u_of = |chosen: u32| {
            let side = |new: bool| (0..all.len()).filter(move |i| (chosen >> i & 1 == 1) == new);
            let pair = |a: f64, b: f64| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            };
            side(true)
                .flat_map(|i| side(false).map(move |j| (i, j)))
                .map(|(i, j)| pair(all[i], all[j]))
                .sum::<f64>()
        };
        let observed = u_of(((1u32 << new.len()) - 1) << base.len());
        let us: Vec<f64> = (0u32..1 << all.len())
            .filter(|set| set.count_ones() as usize == new.len())
            .map(u_of)
            .collect();
        let share = |test: &dyn Fn(f64) -> bool| us.iter().filter(|u| test(**u)).count() as f64 / us.len() as f64;
        (observed, share(&|u| u <= observed), share(&|u| u >= observed))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn probabilities_are_those_of_counting_every_arrangement(
            base in prop::collection::vec(0u8..12, 1..6), new in prop::collection::vec(0u8..12, 1..6),
        ) {
            let float = |values: &[u8]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let (base, new) = (float(&base), float(&new));
            let test = mann_whitney(&base, &new).unwrap();
            let (u, lower, higher) = by_brute_force(&base, &new);
            prop_assert_eq!(test.u, u);
            prop_assert!((test.lower - lower).abs() < 1e-12 && (test.higher - higher).abs() < 1e-12);
        }

        #[test]
        fn the_smallest_probability_is_that_of_complete_separation(base in 1usize..8, new in 1usize..8) {
            let low: Vec<f64> = (0..base).map(|i| i as f64).collect();
            let high: Vec<f64> = (0..new).map(|i| 100.0 + i as f64).collect();
            let test = mann_whitney(&low, &high).unwrap();
            prop_assert!((test.higher - smallest_p(base, new)).abs() < 1e-12);
            prop_assert!((test.lower - 1.0).abs() < 1e-12);
        }

        #[test]
        fn the_normal_approximation_agrees_with_the_exact_where_they_meet(
            base in prop::collection::vec(0u16..500, 20..21), new in prop::collection::vec(0u16..500, 20..21),
        ) {
            let float = |values: &[u16]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
            let ranks = doubled_ranks(&float(&base), &float(&new));
            let sum = ranks[20..].iter().sum();
            let (exact, normal) = (exact_tails(&ranks, 20, sum), normal_tails(&ranks, 20, sum));
            prop_assert!((exact.0 - normal.0).abs() < 0.005 && (exact.1 - normal.1).abs() < 0.005, "{exact:?} {normal:?}");
        }

        #[test]
        fn fewest_repeats_is_the_first_number_that_suffices(tail in 1e-6f64..0.4) {
            let n = fewest_repeats(tail);
            prop_assert!(smallest_p(n, n) <= tail);
            prop_assert!(n == 1 || smallest_p(n - 1, n - 1) > tail);
        }
    }

    #[test]
    fn textbook_tables_give_the_same_probabilities() {
        // Mann and Whitney 1947, table I, n = 5, m = 5: P(U ≤ 2) = 4/252, and the critical value at 5 % two-sided is 2.
        let base = [1.0, 2.0, 3.0, 4.0, 7.0];
        let new = [5.0, 6.0, 8.0, 9.0, 10.0];
        let test = mann_whitney(&base, &new).unwrap();
        assert_eq!(test.u, 23.0);
        assert!((test.higher - 4.0 / 252.0).abs() < 1e-12, "{test:?}");
        assert!((test.two_sided() - 0.031_746).abs() < 1e-6);
        // Hollander and Wolfe, permeability of chorioamnion, one-sided exact P = 0.1272 (wilcox.test's example).
        let x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let y = [1.15, 0.88, 0.90, 0.74, 1.21];
        let test = mann_whitney(&y, &x).unwrap();
        assert_eq!(test.u, 35.0);
        assert!((test.higher - 0.127_206).abs() < 1e-6, "{test:?}");
    }

    #[test]
    fn equal_values_tell_nothing() {
        let test = mann_whitney(&[7.0; 5], &[7.0; 5]).unwrap();
        assert_eq!((test.u, test.two_sided()), (12.5, 1.0));
        assert_eq!(mann_whitney(&[7.0; 50], &[7.0; 50]).unwrap().two_sided(), 1.0);
        assert_eq!(mann_whitney(&[], &[1.0]), None);
    }

    #[test]
    fn five_repeats_are_the_fewest_at_a_hundredth_two_sided() {
        // 1/C(8,4) = 1/70 > 0.005 ≥ 1/252 = 1/C(10,5)
        assert_eq!(fewest_repeats(0.005), 5);
        assert_eq!(fewest_repeats(0.025), 4);
        assert_eq!(smallest_p(3, 3), 1.0 / 20.0);
    }

    #[test]
    fn more_noise_or_a_smaller_effect_takes_more_repeats() {
        let quiet = repeats_to_tell(1.10, 0.01, 0.005);
        let noisy = repeats_to_tell(1.10, 0.20, 0.005);
        assert_eq!(quiet, 5);
        // P(above) = Φ(ln 1.1 / (0.2 √2)) = 0.632; (2.576 + 0.842)² / (6 × 0.132²) = 112
        assert!((105..=118).contains(&noisy), "{noisy}");
        assert!(repeats_to_tell(1.05, 0.20, 0.005) > noisy);
        assert_eq!(repeats_to_tell(0.9, 0.0, 0.005), 5);
        assert_eq!(
            repeats_to_tell(1.0, 0.20, 0.005),
            MOST_REPEATS,
            "no change can never be told"
        );
    }
}
