//! A scenario is a question in TOML; a plan is what will run to answer it.
//!
//! `spec` is what a file says (parsed), `validate` names everything wrong with it at once, `plan` is what will run
//! (resolved: every default filled in, one trial a matrix cell and repeat), `catalogue` holds the scenarios shipped.
//! Knows nothing of labs, sockets or records.
#![forbid(unsafe_code)]

pub mod plan;
pub mod spec;
