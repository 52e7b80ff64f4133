//! Renders records for people and programs. Reads records only.
pub mod compare;
pub mod csv;
pub mod hdr;
pub mod junit;
