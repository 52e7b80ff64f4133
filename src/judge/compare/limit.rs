//! What `--fail-if` says: the condition under which a comparison fails.
//!
//! Two forms: `METRIC OP RATIO`, on the ratio of the medians new to base, and `new: CEL`, on each new record by
//! itself. Both say when to *fail*, as the flag's name does.

use std::str::FromStr;

use thiserror::Error;

use super::stats::Interval;

/// One condition under which a comparison fails.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    Ratio {
        /// A dotted path of the record.
        metric: String,
        operator: Operator,
        bound: f64,
        text: String,
    },
    /// CEL over a new record; true means fail.
    Condition { cel: String, text: String },
}

impl Limit {
    /// The limit as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Ratio { text, .. } | Self::Condition { text, .. } => text,
        }
    }

    /// The metric that it is a ratio of.
    #[must_use]
    pub fn metric(&self) -> Option<&str> {
        match self {
            Self::Ratio { metric, .. } => Some(metric),
            Self::Condition { .. } => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Operator {
    const ALL: [(&'static str, Self); 4] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        (">", Self::Above),
        ("<", Self::Below),
    ];

    /// Whether a ratio above the bound is what fails.
    #[must_use]
    pub fn is_upward(self) -> bool {
        matches!(self, Self::Above | Self::AtLeast)
    }

    /// Whether `ratio` is beyond `bound`.
    #[must_use]
    pub fn holds(self, ratio: f64, bound: f64) -> bool {
        match self {
            Self::Above => ratio > bound,
            Self::AtLeast => ratio >= bound,
            Self::Below => ratio < bound,
            Self::AtMost => ratio <= bound,
        }
    }

    /// Whether the whole interval is beyond `bound`: its near end is.
    #[must_use]
    pub fn holds_throughout(self, interval: Interval, bound: f64) -> bool {
        self.holds(if self.is_upward() { interval.low } else { interval.high }, bound)
    }

    /// Whether no ratio of the interval is beyond `bound`: its far end is not.
    #[must_use]
    pub fn holds_nowhere(self, interval: Interval, bound: f64) -> bool {
        !self.holds(if self.is_upward() { interval.high } else { interval.low }, bound)
    }
}

/// What `--fail-if` allows.
const ALLOWED: &str = "allowed is METRIC OP RATIO on the ratio new to base, such as `latency.connect.p99_us > 1.10`, \
                       or `new:` and a CEL condition on each new record, such as `new: outcomes.failed_total > 0`";

/// Why a limit could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    #[error("`{0}`: no condition follows `new:`; {ALLOWED}")]
    NoCondition(String),
    #[error("`{text}`: no metric comes before `{operator}`; {ALLOWED}")]
    NoMetric { text: String, operator: &'static str },
    #[error("`{text}`: `{metric}` is not a metric, that is a dotted path such as latency.connect.p99_us; {ALLOWED}")]
    NotAMetric { text: String, metric: String },
    #[error("`{0}`: none of > >= < <= follows the metric; {ALLOWED}")]
    NoOperator(String),
    #[error("`{text}`: `{number}` is not a number; {ALLOWED}")]
    NotANumber { text: String, number: String },
    #[error(
        "`{text}`: a limit is a ratio new to base between 0.01 and 100 (1.10 is ten per cent more), not {number}; \
         for an absolute limit write `new: {metric} {operator} {number}`"
    )]
    NotARatio {
        text: String,
        metric: String,
        operator: &'static str,
        number: String,
    },
}

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let text = text.trim().to_owned();
        if let Some(cel) = text.strip_prefix("new:").map(|cel| cel.trim().to_owned()) {
            return if cel.is_empty() {
                Err(LimitError::NoCondition(text))
            } else {
                Ok(Self::Condition { cel, text })
            };
        }
        let at = text.find(['<', '>', '=', '!']).unwrap_or(text.len());
        let (metric, rest) = (text[..at].trim().to_owned(), &text[at..]);
        let Some((sign, operator)) = Operator::ALL.into_iter().find(|(sign, _)| rest.starts_with(sign)) else {
            return Err(LimitError::NoOperator(text));
        };
        let number = rest[sign.len()..].trim().to_owned();
        if metric.is_empty() {
            return Err(LimitError::NoMetric { text, operator: sign });
        }
        if metric.contains(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))) {
            return Err(LimitError::NotAMetric { text, metric });
        }
        match number.parse::<f64>() {
            Ok(bound) if (0.01..=100.0).contains(&bound) => Ok(Self::Ratio {
                metric,
                operator,
                bound,
                text,
            }),
            Ok(_) => Err(LimitError::NotARatio {
                text,
                metric,
                operator: sign,
                number,
            }),
            Err(_) => Err(LimitError::NotANumber { text, number }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_ratio_and_a_condition_are_read() {
        assert_eq!(
            " latency.connect.p99_us>=1.10 ".parse(),
            Ok(Limit::Ratio {
                metric: "latency.connect.p99_us".into(),
                operator: Operator::AtLeast,
                bound: 1.1,
                text: "latency.connect.p99_us>=1.10".into(),
            })
        );
        let Ok(Limit::Condition { cel, text }) = "new: outcomes.failed_total > 0".parse() else {
            panic!()
        };
        assert_eq!(
            (cel.as_str(), text.as_str()),
            ("outcomes.failed_total > 0", "new: outcomes.failed_total > 0")
        );
    }

    #[test]
    fn each_mistake_is_told_with_what_is_allowed() {
        for (text, told) in [
            ("", "none of > >= < <="),
            ("latency.connect.p99_us", "none of > >= < <="),
            ("latency.connect.p99_us 1.10", "none of > >= < <="),
            ("outcomes.ok == 1", "none of > >= < <="),
            ("> 1.1", "no metric comes before `>`"),
            ("outcomes.ok + 1 > 1.1", "is not a metric"),
            ("outcomes.ok > ", "`` is not a number"),
            ("outcomes.ok > 10%", "`10%` is not a number"),
            ("new:", "no condition follows"),
            (
                "latency.connect.p99_us > 250",
                "write `new: latency.connect.p99_us > 250`",
            ),
            ("outcomes.ok < nan", "not nan"),
            ("outcomes.ok < 0", "between 0.01 and 100"),
        ] {
            let error = text.parse::<Limit>().unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,40}") {
            let _ = text.parse::<Limit>();
        }

        #[test]
        fn an_interval_is_beyond_a_bound_only_with_every_ratio_in_it(a in 0.1f64..3.0, b in 0.1f64..3.0, bound in 0.5f64..2.0) {
            let interval = Interval { low: a.min(b), high: a.max(b) };
            for (_, operator) in Operator::ALL {
                let both = operator.holds(a, bound) && operator.holds(b, bound);
                prop_assert_eq!(operator.holds_throughout(interval, bound), both);
                let neither = !operator.holds(a, bound) && !operator.holds(b, bound);
                prop_assert_eq!(operator.holds_nowhere(interval, bound), neither);
            }
        }
    }
}
