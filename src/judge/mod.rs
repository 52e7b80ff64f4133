//! Judges a record by its expectations. Reads records only.
pub mod compare;
