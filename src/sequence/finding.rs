//! What a step found, set against what it expected.

use std::time::Duration;

use serde_json::Value;

use crate::record::schema::{Captured, Status};
use crate::scenario::step::Outcome;
use crate::tcp::errno;

/// One step's end.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) expected: String,
    pub(super) actual: String,
    /// Met, unmet, or inconclusive where the kernel does not tell.
    pub(super) status: Status,
    facts: Vec<(&'static str, Value)>,
}

impl Finding {
    pub(super) fn new(expected: impl Into<String>, actual: impl Into<String>, met: bool) -> Self {
        Self {
            expected: expected.into(),
            actual: actual.into(),
            status: if met { Status::Met } else { Status::Unmet },
            facts: Vec::new(),
        }
    }

    /// A step that only does what it says.
    pub(super) fn done() -> Self {
        Self::new("done", "done", true)
    }

    /// A step that cannot be done because of how things stand.
    pub(super) fn impossible(why: impl Into<String>) -> Self {
        Self::new("a step that can be done", why, false)
    }

    /// A step that asks for what the kernel does not count.
    pub(super) fn unknown(expected: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            status: Status::Inconclusive,
            ..Self::new(expected, why, false)
        }
    }

    pub(super) fn is_met(&self) -> bool {
        self.status == Status::Met
    }

    /// The outcome of a call or of waiting for one.
    pub(super) fn outcome(expected: Outcome, came: Came) -> Self {
        let met = match (expected, came) {
            (Outcome::Any, _) | (Outcome::Ok, Came::Ok) | (Outcome::Eof, Came::Eof) => true,
            (Outcome::Errno(expected), Came::Errno(came)) => expected == came,
            _ => false,
        };
        Self::new(expected.to_string(), came.name(), met)
    }

    /// Adds what the expectations may ask about.
    pub(super) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.facts.push((key, value.into()));
        self
    }

    /// The same, and not met unless `holds`.
    pub(super) fn provided(mut self, holds: bool, otherwise: impl FnOnce() -> String) -> Self {
        if !holds {
            self.status = Status::Unmet;
            self.actual = otherwise();
        }
        self
    }

    pub(super) fn captured(&self, took: Duration) -> Captured {
        let mut captured: Captured = self
            .facts
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect();
        captured.insert("outcome".to_owned(), self.actual.clone().into());
        captured
            .entry("took_seconds".to_owned())
            .or_insert_with(|| took.as_secs_f64().into());
        captured
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    Ok,
    Eof,
    Errno(i32),
    /// Nothing within the time.
    Nothing(Duration),
}

impl Came {
    pub(super) fn name(self) -> String {
        match self {
            Self::Ok => "ok".to_owned(),
            Self::Eof => "eof".to_owned(),
            Self::Errno(raw) => errno::name(raw),
            Self::Nothing(within) => format!("nothing within {} s", within.as_secs_f64()),
        }
    }

    pub(super) fn of(result: &std::io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Ok,
            Err(error) => Self::Errno(error.raw_os_error().unwrap_or(nix::libc::EIO)),
        }
    }
}
