//! Renders records for people and programs.
//!
//! `terminal` is the screen of one trial, `card` that of a program that `linger exec` ran with the `advice` that follows,
//! `repeats` that of several such runs,
//! `matrix` the table of several, `markdown` all of these for a repository; `claim` the verdict on a claim, `verify` the
//! table of claims, `side_by_side` the same by kernel, `claims` the page of them; `live` the progress while a trial runs.
//! All but `live` are pure: a record in, text out. Reads records only: knows nothing of labs, loads or how anything was
//! measured.
#![forbid(unsafe_code)]

pub mod advice;
mod asked;
mod card;
mod claim;
mod claims;
pub mod compare;
pub mod csv;
mod expectation;
pub mod hdr;
pub mod junit;
mod live;
mod markdown;
mod matrix;
mod measured;
mod number;
mod over_time;
mod plot;
mod pool;
mod repeats;
mod sequence;
mod side_by_side;
mod sides;
mod style;
mod table;
mod terminal;
mod trust;
mod verify;

use crate::record::schema::{Record, Status};

pub use claim::claim;
pub use claims::claims;
pub use live::{Live, Progress};
pub use markdown::markdown;
pub use matrix::matrix;
pub use style::Style;
pub use terminal::trial;
pub use verify::{verify, with_sources};

/// How a verdict's status is written, as in the record's JSON.
fn status_name(status: Status) -> &'static str {
    match status {
        Status::Met => "met",
        Status::Unmet => "unmet",
        Status::Inconclusive => "inconclusive",
        Status::Unavailable => "unavailable",
    }
}

/// A cell's keys and values: `close.closer = client, load.in_flight = 16`; with the repeat where there are several.
fn cell_text(record: &Record) -> String {
    let mut parts: Vec<String> = record
        .cell
        .iter()
        .map(|(key, value)| format!("{key} = {}", plain(value)))
        .collect();
    if record.repeat > 1 {
        parts.push(format!("repeat {}", record.repeat));
    }
    parts.join(", ")
}

/// A JSON value without the quotes of a text.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
