//! A length of time as a scenario writes it.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a length of time looks like.
pub(super) const SPAN_PATTERN: &str =
    r"^[0-9]+(\.[0-9]+)?\s*(ns|us|µs|ms|s|m|h)(\s*[0-9]+(\.[0-9]+)?\s*(ns|us|µs|ms|s|m|h))*$";

/// The longest length of time: a week, so that no deadline can overflow a clock.
const LONGEST_SPAN: Duration = Duration::from_secs(7 * 24 * 3600);

/// A length of time such as "90s", "500ms" or "1m 30s".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mend = || {
            format!(
                "`{text}` is not a length of time; write a number and a unit, such as \"90s\", \"500ms\" or \"1m 30s\""
            )
        };
        let span = humantime::parse_duration(text).map_err(|_| mend())?;
        if span > LONGEST_SPAN {
            return Err(format!("`{text}` is too long; at most 168h (a week) is allowed"));
        }
        Ok(Self(span))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nanos, whole) = (self.0.subsec_nanos(), self.0.as_secs());
        if nanos == 0 {
            write!(f, "{whole}s")
        } else if nanos % 1_000_000 == 0 && whole == 0 {
            write!(f, "{}ms", nanos / 1_000_000)
        } else {
            write!(f, "{}s", self.0.as_secs_f64())
        }
    }
}

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A length of time: a number and a unit, such as \"90s\", \"500ms\" or \"1m 30s\".",
            "pattern": SPAN_PATTERN
        })
    }
}
