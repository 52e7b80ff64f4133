//! Which end was left with TIME_WAIT, as shares of all closes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The closes of a load by which ends held TIME_WAIT after them. The four add up to `closes`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sides {
    /// Connections that were established, and so closed.
    pub closes: u64,
    /// TIME_WAIT on the client alone.
    pub client: Share,
    /// On the server alone.
    pub server: Share,
    /// On both: the FINs crossed.
    pub both: Share,
    /// On neither: a RST, or tcp_max_tw_buckets.
    pub neither: Share,
}

/// A share with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Share {
    pub count: u64,
    /// `count` over all, 0 to 1.
    pub share: f64,
    /// Wilson's score interval: with 95 % confidence the share lies between.
    pub low: f64,
    pub high: f64,
}

/// The normal distribution's 97.5 % quantile.
const Z: f64 = 1.959_963_984_540_054;

impl Share {
    /// `count` of `total`, which is not 0 (Wilson: "Probable Inference", J. Am. Stat. Assoc. 22, 1927).
    #[must_use]
    pub fn of(count: u64, total: u64) -> Self {
        let (share, n) = (count as f64 / total as f64, total as f64);
        let middle = share + Z * Z / (2.0 * n);
        let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let bound = |bound: f64| (bound / (1.0 + Z * Z / n)).clamp(0.0, 1.0);
        Self {
            count,
            share,
            // Exact at the ends, where rounding would leave a trace.
            low: if count == 0 { 0.0 } else { bound(middle - reach) },
            high: if count == total { 1.0 } else { bound(middle + reach) },
        }
    }
}

impl Sides {
    /// From closes in all and those that left TIME_WAIT on the client alone, the server alone, and both. None where
    /// nothing was closed, or more TIME_WAIT was found than was closed.
    #[must_use]
    pub fn of(closes: u64, [client, server, both]: [u64; 3]) -> Option<Self> {
        let neither = closes.checked_sub(client + server + both)?;
        (closes > 0).then(|| Self {
            closes,
            client: Share::of(client, closes),
            server: Share::of(server, closes),
            both: Share::of(both, closes),
            neither: Share::of(neither, closes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Newcombe: "Two-sided confidence intervals for the single proportion" (Stat. Med. 17, 1998), table I.
    #[test]
    fn intervals_are_those_of_the_textbook() {
        for (count, total, low, high) in [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ] {
            let share = Share::of(count, total);
            assert!(
                (share.low - low).abs() < 5e-5 && (share.high - high).abs() < 5e-5,
                "{share:?}"
            );
        }
    }

    #[test]
    fn more_time_wait_than_closes_is_no_distribution() {
        assert_eq!(Sides::of(3, [2, 1, 1]), None);
        assert_eq!(Sides::of(0, [0; 3]), None);
        assert_eq!(Sides::of(5, [2, 1, 1]).unwrap().neither.count, 1);
    }

    proptest! {
        #[test]
        fn a_share_lies_in_its_interval(total in 1u64..1_000_000, part in 0.0f64..=1.0) {
            let share = Share::of((total as f64 * part) as u64, total);
            prop_assert!(0.0 <= share.low && share.low <= share.share && share.share <= share.high && share.high <= 1.0);
        }
    }
}
