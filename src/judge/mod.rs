//! Judges a record by its expectations, and turns verdicts into an exit code.
//!
//! `expression` is the border to CEL (`language` adds functions, `paths` and `conjunction` take expressions apart),
//! `kernel` decides which kernels an expectation is about, `verdict` fills the record's verdict, `claim` judges a
//! scenario's claim by all of its records, `exit` sums up several, `compare` sets two sets of records side by side. Reads
//! records only: knows nothing of labs, loads or sockets.
//!
//! The rule that everything here keeps: a measurement that is missing makes a verdict inconclusive, never met.
#![forbid(unsafe_code)]

#[cfg(test)]
mod catalogue_tests;
mod claim;
pub mod compare;
mod conjunction;
mod exit;
mod expression;
mod kernel;
mod language;
mod paths;
mod verdict;

pub use claim::{claim, latest};
pub use exit::{exit_code, gravest};
pub use expression::{check, is_true};
pub use kernel::is_in_range;
pub use verdict::judge;
