//! Medians, their ratio and its bootstrap confidence interval; the normal distribution.
//!
//! Pure and deterministic: the same values and seed give the same interval. Knows nothing of records.
//!
//! - Bootstrap: B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13 (percentile interval).
//! - Random numbers: SplitMix64, Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, 2014.
//! - Φ by its series: G. Marsaglia, *Evaluating the Normal Distribution*, 2004.

use serde::Serialize;

/// The most resamples of one interval: a second's work.
const MOST_RESAMPLES: usize = 100_000;

/// An interval of the ratio new to base, both ends included. Infinity (JSON `null`) where base may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// The median; None without values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| median_of(&mut values.to_vec()))
}

/// The median of a non-empty slice, which is left in another order.
fn median_of(values: &mut [f64]) -> f64 {
    let (middle, even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if even => f64::midpoint(lower, *upper),
        _ => *upper,
    }
}

/// `new / base` for values of 0 or more. Two zeros are no change (1); from zero to something is infinitely more.
#[must_use]
pub fn ratio(base: f64, new: f64) -> f64 {
    if base == 0.0 && new == 0.0 { 1.0 } else { new / base }
}

/// The relative spread of repeats: 1.4826 × the median absolute deviation ÷ the median, which for normal noise is
/// its coefficient of variation. One wild repeat does not move it. None without values or with median 0.
#[must_use]
pub fn noise(values: &[f64]) -> Option<f64> {
    let centre = median(values).filter(|centre| *centre != 0.0)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    Some(1.4826 * median(&deviations)? / centre.abs())
}

/// The percentile bootstrap interval of the ratio of medians, leaving out `tail` (above 0, below 0.5) at each end.
/// None when a side has no values.
#[must_use]
pub fn bootstrap(base: &[f64], new: &[f64], tail: f64, seed: u64) -> Option<Interval> {
    if base.is_empty() || new.is_empty() {
        return None;
    }
    // Counts are often the same in each repeat: then so is every resample.
    let is_constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
    if is_constant(base) && is_constant(new) {
        let only = ratio(base[0], new[0]);
        return Some(Interval { low: only, high: only });
    }
    // Fifty resamples beyond each bound: enough that the bound itself is steady. A tail too small for that has fewer,
    // down to none: the bound is then the most extreme ratio of all.
    let resamples = ((50.0 / tail).ceil() as usize).clamp(1, MOST_RESAMPLES);
    let mut random = SplitMix64(seed);
    let (mut from_base, mut from_new) = (base.to_vec(), new.to_vec());
    let mut ratios: Vec<f64> = (0..resamples)
        .map(|_| {
            random.resample(base, &mut from_base);
            random.resample(new, &mut from_new);
            ratio(median_of(&mut from_base), median_of(&mut from_new))
        })
        .collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let beyond = (tail * resamples as f64) as usize;
    Some(Interval {
        low: ratios[beyond],
        high: ratios[resamples - 1 - beyond],
    })
}

struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Fills `into` with values drawn from `values`, each as likely, with replacement.
    fn resample(&mut self, values: &[f64], into: &mut [f64]) {
        for slot in into {
            let index = (u128::from(self.next()) * values.len() as u128) >> 64;
            *slot = values[index as usize];
        }
    }
}

/// Φ: the probability that a standard normal variable is below `z`.
#[must_use]
pub fn normal_below(z: f64) -> f64 {
    if z.abs() > 8.0 {
        return if z > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut sum, mut term, mut i) = (z, z, 1.0);
    while term.abs() > 1e-17 * sum.abs() {
        i += 2.0;
        term *= z * z / i;
        sum += term;
    }
    (0.5 + sum * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()).clamp(0.0, 1.0)
}

/// The z below which a standard normal variable is with `probability` (0 to 1, neither end), by bisection.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal_below(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_normal_distribution_has_its_tables_values() {
        for (z, below) in [
            (0.0, 0.5),
            (1.0, 0.841_344_746),
            (1.959_964, 0.975),
            (-2.575_829, 0.005),
            (3.0, 0.998_650_102),
        ] {
            assert!((normal_below(z) - below).abs() < 1e-8, "Φ({z}) = {}", normal_below(z));
            assert!((normal_quantile(below) - z).abs() < 1e-5);
        }
    }

    #[test]
    fn the_median_of_an_even_number_is_midway() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn from_nothing_to_something_is_infinitely_more_and_nothing_to_nothing_no_change() {
        assert_eq!(ratio(0.0, 0.0), 1.0);
        assert_eq!(ratio(0.0, 17.0), f64::INFINITY);
        assert_eq!(ratio(2.0, 3.0), 1.5);
    }

    #[test]
    fn one_wild_repeat_is_not_noise() {
        // deviations from 100: 0 1 1 2 900, whose median is 1
        let noise = noise(&[100.0, 99.0, 101.0, 102.0, 1000.0]).unwrap();
        assert!((noise - 1.4826 / 101.0).abs() < 1e-9, "{noise}");
    }

    #[test]
    fn the_interval_of_the_median_is_that_of_its_exact_bootstrap_distribution() {
        // Against a base of one value the ratio is the resampled median. For n = 5 its distribution is known:
        // P(median* = the least) = P(Bin(5, 1/5) ≥ 3) = 0.0579, so the bound is the least value at a
        // tail of 3 % and the next at 9 %.
        let new = [1.0, 2.0, 3.0, 4.0, 5.0];
        assert_eq!(bootstrap(&[1.0], &new, 0.03, 1), Some(Interval { low: 1.0, high: 5.0 }));
        assert_eq!(bootstrap(&[1.0], &new, 0.09, 1), Some(Interval { low: 2.0, high: 4.0 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn the_median_is_the_middle_of_the_sorted_values(mut values in prop::collection::vec(-1e6f64..1e6, 1..40)) {
            let found = median(&values).unwrap();
            values.sort_by(f64::total_cmp);
            let n = values.len();
            prop_assert_eq!(found, f64::midpoint(values[(n - 1) / 2], values[n / 2]));
        }

        #[test]
        fn the_interval_is_the_same_each_time_and_lies_within_the_extreme_ratios(
            base in prop::collection::vec(1f64..1e6, 1..9), new in prop::collection::vec(1f64..1e6, 1..9), seed in any::<u64>(),
        ) {
            let interval = bootstrap(&base, &new, 0.05, seed).unwrap();
            prop_assert_eq!(Some(interval), bootstrap(&base, &new, 0.05, seed));
            let least = |v: &[f64]| v.iter().copied().fold(f64::INFINITY, f64::min);
            let most = |v: &[f64]| v.iter().copied().fold(0.0, f64::max);
            prop_assert!(least(&new) / most(&base) <= interval.low && interval.low <= interval.high);
            prop_assert!(interval.high <= most(&new) / least(&base));
        }
    }
}
