//! Judges a record by its expectations, and turns verdicts into an exit code.
//!
//! `expression` is the border to CEL (`paths` and `conjunction` take expressions apart), `kernel` decides which kernels
//! an expectation is about, `verdict` fills the record's verdict, `exit` sums up several, `compare` sets two sets of
//! records side by side. Reads records only: knows nothing of labs, loads or sockets.
//!
//! The rule that everything here keeps: a measurement that is missing makes a verdict inconclusive, never met.
#![forbid(unsafe_code)]

pub mod compare;
mod conjunction;
mod exit;
mod expression;
mod kernel;
mod paths;
mod verdict;

pub use exit::exit_code;
pub use expression::{check, is_true};
pub use verdict::judge;
