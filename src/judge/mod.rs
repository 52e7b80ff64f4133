//! Judges a record by its expectations. Reads records only.
