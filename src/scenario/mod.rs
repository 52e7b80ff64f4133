//! A scenario is a question in TOML; a plan is what will run to answer it.
//!
//! `spec` is what a file says (parsed, with `step` and `pool`) and the source of its JSON Schema; `tree` keeps each value's
//! place; `structure` and `meaning` (with the `…_rules`) name everything wrong with it at once; `matrix` spans the cells;
//! `scaling` has the values for an emulator;
//! `plan` is what will run (`resolve`d: every default filled in, one trial a matrix cell and repeat); `catalogue` holds the
//! scenarios shipped; `kernel_range` tells which kernels they are about.
//! Knows nothing of labs, sockets or records.
#![forbid(unsafe_code)]

pub mod catalogue;
mod exec_rules;
mod expectations;
#[cfg(test)]
pub(crate) mod fixture;
pub mod kernel_range;
mod key;
mod matrix;
mod meaning;
pub mod plan;
pub mod pool;
mod pool_rules;
pub mod port_range;
mod problem;
#[cfg(test)]
mod property_tests;
mod protocol_rules;
mod read;
mod resolve;
mod scaling;
mod seconds;
mod sequence_rules;
mod shape;
mod span;
pub mod spec;
pub mod step;
mod structure;
mod sysctl_rules;
#[cfg(test)]
mod tests;
mod tree;

pub use problem::{Origin, Problem, Problems};
pub use read::{from_text, from_text_with, load, load_emulated};
pub use shape::schema;
