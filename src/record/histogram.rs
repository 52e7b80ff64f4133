//! Histograms of latencies and of counts: HdrHistogram, latencies in nanoseconds, three significant digits.

use base64::Engine as _;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::schema::{BriefLatency, Counts, Latency};

/// The longest latency told apart, in nanoseconds: one hour.
const HIGHEST: u64 = 3_600_000_000_000;
/// The same of coarse histograms: a minute.
const HIGHEST_COARSE: u64 = 60_000_000_000;

/// A latency histogram. Recording neither allocates nor fails: longer values count as the longest.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyHistogram(Histogram<u64>);

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, HIGHEST, 3).expect("the bounds are constants that HdrHistogram accepts"))
    }
}

impl LatencyHistogram {
    /// Of two significant digits and up to a minute: a tenth of the memory, for tables of many histograms.
    #[must_use]
    pub fn coarse() -> Self {
        Self(
            Histogram::new_with_bounds(1, HIGHEST_COARSE, 2)
                .expect("the bounds are constants that HdrHistogram accepts"),
        )
    }

    /// Counts one latency, in nanoseconds.
    #[inline]
    pub fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The value at quantile `q` (0 to 1), in nanoseconds; None when nothing was recorded.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<u64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(q))
    }

    /// The record's form; None when nothing was recorded, so that no zero can be taken for a latency.
    #[must_use]
    pub fn summary(&self) -> Option<Latency> {
        let us = |q| self.0.value_at_quantile(q) as f64 / 1000.0;
        (!self.0.is_empty()).then(|| Latency {
            count: self.0.len(),
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: self.0.max() as f64 / 1000.0,
            hdr: self.encode(),
        })
    }

    /// The few figures of a row in a table of many; None when nothing was recorded.
    #[must_use]
    pub fn brief(&self) -> Option<BriefLatency> {
        let us = |q| self.0.value_at_quantile(q) as f64 / 1000.0;
        (!self.0.is_empty()).then(|| BriefLatency {
            count: self.0.len(),
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            max_us: self.0.max() as f64 / 1000.0,
        })
    }

    /// HdrHistogram V2 compressed, base64; the values are nanoseconds.
    fn encode(&self) -> String {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.0, &mut bytes)
            .expect("writing to memory");
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    /// The HdrHistogram itself, in nanoseconds.
    #[must_use]
    pub fn into_hdr(self) -> Histogram<u64> {
        self.0
    }

    /// Reads what [`LatencyHistogram::summary`] put into `hdr`.
    ///
    /// # Errors
    /// Text that is not base64 of a V2 histogram, told in words.
    pub fn decode(text: &str) -> Result<Self, String> {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(text)
            .map_err(|error| format!("not base64: {error}"))?;
        Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .map(Self)
            .map_err(|error| format!("not an HdrHistogram V2: {error}"))
    }
}

/// The most that is told apart of a count.
const MOST: u64 = 1_000_000_000;

/// A histogram of counts. Recording neither allocates nor fails: higher counts count as the highest.
#[derive(Clone, Debug, PartialEq)]
pub struct CountHistogram(Histogram<u64>);

impl Default for CountHistogram {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MOST, 3).expect("the bounds are constants that HdrHistogram accepts"))
    }
}

impl CountHistogram {
    #[inline]
    pub fn record(&mut self, count: u64) {
        self.0.saturating_record(count);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("both have the same bounds");
    }

    /// The record's form; None when nothing was recorded.
    #[must_use]
    pub fn summary(&self) -> Option<Counts> {
        (!self.0.is_empty()).then(|| Counts {
            count: self.0.len(),
            mean: self.0.mean(),
            min: self.0.min(),
            p50: self.0.value_at_quantile(0.5),
            p90: self.0.value_at_quantile(0.9),
            p99: self.0.value_at_quantile(0.99),
            max: self.0.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_histogram_survives_its_own_text_form(values in prop::collection::vec(1u64..HIGHEST, 1..100)) {
            let mut histogram = LatencyHistogram::default();
            for value in &values {
                histogram.record(*value);
            }
            let summary = histogram.summary().unwrap();
            let again = LatencyHistogram::decode(&summary.hdr).unwrap();
            prop_assert_eq!(again.count(), values.len() as u64);
            prop_assert_eq!(again.summary().unwrap(), summary);
        }

        #[test]
        fn percentiles_are_within_a_thousandth_of_the_sorted_values(mut values in prop::collection::vec(1u64..1_000_000_000, 1..200)) {
            let mut histogram = LatencyHistogram::default();
            for value in &values {
                histogram.record(*value);
            }
            values.sort_unstable();
            let rank = ((values.len() as f64 * 0.5).ceil() as usize).max(1);
            let exact = values[rank - 1] as f64;
            let shown = histogram.quantile(0.5).unwrap() as f64;
            prop_assert!((shown - exact).abs() <= exact / 1000.0 + 1.0, "{shown} against {exact}");
        }
    }

    #[test]
    fn an_empty_histogram_has_no_summary() {
        assert!(LatencyHistogram::default().summary().is_none());
    }
}
