//! The wire protocols: their properties and allocations, real clients against our server's side, our client's side
//! against real servers.
//!
//! Everything stays on 127.0.0.1. A program that is missing fails its test by name.

mod allocations;
mod clients;
mod drive;
mod programs;
mod properties;
mod serve;
mod servers;
