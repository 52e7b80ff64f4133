//! How long TIME_WAIT lasted, and how long it took until a four-tuple was used again: the client's closes joined with
//! what the looks saw.

use crate::observe::Departure;
use crate::record::schema::Distribution;
use crate::trial::Results;

/// From the close that the load saw to the first look that found the TIME_WAIT gone; and for the longest also to the
/// last look that found it there.
pub(super) fn lifetimes(results: &Results) -> Option<Distribution> {
    let clock = results.measured.tuples.as_ref()?;
    let departures = &results.observed.departures;
    let closed = |departure: &Departure| {
        let (local, remote) = (departure.tuple.local, departure.tuple.remote);
        let destination = results.destinations.iter().position(|address| *address == remote)?;
        let source = results.sources.iter().position(|address| *address == local.ip())?;
        let pair = source * results.destinations.len() + destination;
        // A later close is another incarnation's.
        clock
            .last_close(pair, local.port())
            .filter(|at| *at <= departure.first_seen)
    };
    let bounds = departures.iter().filter_map(|departure| {
        let closed = closed(departure)?;
        // The dump that saw it first may have begun before the close.
        let at_least = departure.last_seen.saturating_sub(closed);
        Some([at_least, departure.first_missing - closed].map(|nanos| nanos as f64 / 1e9))
    });
    let gap = |departure: &Departure| departure.first_missing - departure.last_seen;
    let resolution = departures.iter().map(gap).max().unwrap_or(0) as f64 / 1e9;
    distribution_between(bounds.collect(), resolution)
}

/// The distribution of values of which a lower and an upper bound are known, by the upper.
fn distribution_between(bounds: Vec<[f64; 2]>, resolution_seconds: f64) -> Option<Distribution> {
    let (at_least, mut at_most): (Vec<f64>, Vec<f64>) = bounds.into_iter().map(|[low, high]| (low, high)).unzip();
    at_most.sort_by(f64::total_cmp);
    let quantile = |q: f64| at_most[((at_most.len() as f64 * q).ceil() as usize).clamp(1, at_most.len()) - 1];
    (!at_most.is_empty()).then(|| Distribution {
        count: at_most.len() as u64,
        min: at_most[0],
        p50: quantile(0.5),
        p99: quantile(0.99),
        max: quantile(1.0),
        max_at_least: at_least.into_iter().max_by(f64::total_cmp),
        resolution_seconds,
    })
}

/// From a close to the next success on the same four-tuple.
pub(super) fn port_reuse(results: &Results) -> Option<Distribution> {
    let tuples = results.measured.tuples.as_ref()?;
    let (reuse, (shortest, longest)) = (tuples.reuse()?, tuples.reuse_extremes()?);
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    Some(Distribution {
        count: reuse.count(),
        min: seconds(shortest),
        p50: seconds(reuse.quantile(0.5)?),
        p99: seconds(reuse.quantile(0.99)?),
        max: seconds(longest),
        max_at_least: None,
        resolution_seconds: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_at_least_the_largest_lower_bound() {
        // The second was looked for rarely: what it is at most says little.
        let lives = distribution_between(vec![[60.5, 60.6], [59.0, 62.2], [61.9, 62.0]], 3.2).unwrap();
        assert_eq!((lives.min, lives.max, lives.max_at_least), (60.6, 62.2, Some(61.9)));
        assert_eq!(distribution_between(vec![], 0.0), None);
    }
}
