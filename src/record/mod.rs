//! The record: what one trial measured, in stable keys, and the accumulators that fill it.
//!
//! The accumulators (`tally`, `histogram`, `timeline`, `tuples`) are filled by the load's threads: they allocate when
//! made, never per connection, and hold no lock. `schema` is the JSON, a file a part; `ledger` reconciles what was counted with the kernel's
//! counters, of a load, a sequence and a foreign program; `store` writes and reads JSON Lines. Knows nothing of namespaces or sockets.
#![forbid(unsafe_code)]

#[cfg(test)]
pub(crate) mod fixture;
pub mod histogram;
pub mod ledger;
pub mod schema;
pub mod store;
pub mod tally;
pub mod timeline;
pub mod tuples;
