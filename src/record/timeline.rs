//! Outcomes over time, in a bounded number of intervals: when they run out, neighbours merge and the interval doubles.

use hdrhistogram::Histogram;

use super::tally::{Cause, Phase};

/// Intervals kept at the most.
const CAPACITY: usize = 240;
/// The first interval's length: 100 ms.
const FIRST_INTERVAL: u64 = 100_000_000;
/// Kinds of failure told apart; further ones count as the last.
const KINDS: usize = 8;

#[derive(Clone, Debug)]
struct Interval {
    ok: u64,
    failed: [u64; KINDS],
    /// connect() latency in microseconds, two significant digits.
    connect: Histogram<u32>,
}

/// Outcomes by interval. Allocates when made; never per connection.
#[derive(Clone, Debug)]
pub struct Timeline {
    interval: u64,
    intervals: Vec<Interval>,
    used: usize,
    kinds: Vec<(Phase, Cause)>,
}

/// One interval as it is read out.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The interval's beginning, in seconds since the load began.
    pub t: f64,
    pub ok: u64,
    /// Failures by `phase:ERRNO`.
    pub failed: Vec<(String, u64)>,
    /// The 99th percentile of connect() in µs; None without a successful one.
    pub p99_us: Option<f64>,
}

impl Default for Timeline {
    fn default() -> Self {
        let interval = Interval {
            ok: 0,
            failed: [0; KINDS],
            connect: Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("constant bounds"),
        };
        Self {
            interval: FIRST_INTERVAL,
            intervals: vec![interval; CAPACITY],
            used: 0,
            kinds: Vec::with_capacity(KINDS),
        }
    }
}

impl Timeline {
    /// The length of an interval, in seconds.
    #[must_use]
    pub fn interval_seconds(&self) -> f64 {
        self.interval as f64 / 1e9
    }

    /// Counts a successful attempt that ended `at` nanoseconds after the beginning.
    #[inline]
    pub fn ok(&mut self, at: u64, connect_nanos: u64) {
        let interval = self.at(at);
        interval.ok += 1;
        interval.connect.saturating_record(connect_nanos / 1000);
    }

    /// Counts a failed attempt.
    #[inline]
    pub fn failed(&mut self, at: u64, phase: Phase, cause: Cause) {
        let kind = self.kind(phase, cause);
        self.at(at).failed[kind] += 1;
    }

    fn kind(&mut self, phase: Phase, cause: Cause) -> usize {
        if let Some(kind) = self.kinds.iter().position(|kind| *kind == (phase, cause)) {
            kind
        } else if self.kinds.len() < KINDS {
            self.kinds.push((phase, cause));
            self.kinds.len() - 1
        } else {
            KINDS - 1
        }
    }

    fn at(&mut self, at: u64) -> &mut Interval {
        while (at / self.interval) as usize >= CAPACITY {
            self.double();
        }
        let index = (at / self.interval) as usize;
        self.used = self.used.max(index + 1);
        &mut self.intervals[index]
    }

    fn double(&mut self) {
        for index in 1..CAPACITY {
            let (kept, rest) = self.intervals.split_at_mut(index);
            let (into, from) = (&mut kept[index / 2], &mut rest[0]);
            into.ok += from.ok;
            for (sum, add) in into.failed.iter_mut().zip(from.failed) {
                *sum += add;
            }
            into.connect.add(&from.connect).expect("the same bounds");
            from.ok = 0;
            from.failed = [0; KINDS];
            from.connect.reset();
        }
        self.interval *= 2;
        self.used = self.used.div_ceil(2);
    }

    /// Makes intervals, empty where nothing happened, up to `at` nanoseconds.
    pub fn extend_to(&mut self, at: u64) {
        self.at(at);
    }

    /// Adds another thread's timeline of the same load.
    pub fn merge(&mut self, other: &Self) {
        let mut other = other.clone();
        while self.interval < other.interval {
            self.double();
        }
        while other.interval < self.interval {
            other.double();
        }
        for index in 0..other.used {
            let from = &other.intervals[index];
            for kind in 0..other.kinds.len() {
                let (phase, cause) = other.kinds[kind];
                let into = self.kind(phase, cause);
                self.intervals[index].failed[into] += from.failed[kind];
            }
            let into = &mut self.intervals[index];
            into.ok += from.ok;
            into.connect.add(&from.connect).expect("the same bounds");
        }
        self.used = self.used.max(other.used);
    }

    /// Every interval from the beginning to the last event.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        self.intervals[..self.used]
            .iter()
            .enumerate()
            .map(|(index, interval)| Point {
                t: index as f64 * self.interval_seconds(),
                ok: interval.ok,
                failed: self
                    .kinds
                    .iter()
                    .zip(interval.failed)
                    .filter(|(_, count)| *count > 0)
                    .map(|((phase, cause), count)| (format!("{phase}:{}", cause.name()), count))
                    .collect(),
                p99_us: (!interval.connect.is_empty()).then(|| interval.connect.value_at_quantile(0.99) as f64),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // A timeline is megabytes: few cases, each of many events.
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn no_outcome_is_lost_however_long_the_load(times in prop::collection::vec(0u64..4_000_000_000_000, 1..100)) {
            let mut timeline = Timeline::default();
            for (index, at) in times.iter().enumerate() {
                if index % 2 == 0 { timeline.ok(*at, 5_000) } else { timeline.failed(*at, Phase::Connect, Cause::Errno(99)) }
            }
            let points = timeline.points();
            prop_assert!(points.len() <= CAPACITY);
            let ok: u64 = points.iter().map(|p| p.ok).sum();
            let failed: u64 = points.iter().flat_map(|p| &p.failed).map(|(_, count)| count).sum();
            prop_assert_eq!((ok + failed) as usize, times.len());
            for (index, at) in times.iter().enumerate() {
                let point = &points[(*at as f64 / 1e9 / timeline.interval_seconds()) as usize];
                let counted = if index % 2 == 0 { point.ok > 0 } else { !point.failed.is_empty() };
                prop_assert!(counted);
            }
        }

        #[test]
        fn merging_two_threads_gives_one_timeline(times in prop::collection::vec((0u64..100_000_000_000, any::<bool>()), 1..100)) {
            let (mut one, mut a, mut b) = (Timeline::default(), Timeline::default(), Timeline::default());
            for (at, left) in &times {
                one.ok(*at, 7_000);
                (if *left { &mut a } else { &mut b }).ok(*at, 7_000);
            }
            a.merge(&b);
            let count = |t: &Timeline| t.points().iter().map(|p| p.ok).collect::<Vec<_>>();
            prop_assert_eq!(count(&a), count(&one));
        }
    }
}
