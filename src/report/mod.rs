//! Renders records for people and programs. Reads records only.
