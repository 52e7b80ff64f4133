//! Requests over connections that are borrowed from a pool, by one thread around epoll(7).
//!
//! `core` decides, `link` makes one connection's system calls, `books` counts requests; here they are driven: what is
//! due is begun, what the core decided is done, what is ready goes on. Of the connections the same books are kept as of
//! any load's, so that the ledger reconciles them alike.

mod books;
mod core;
mod driver;
mod link;
mod queue;

pub use books::PoolBooks;

use super::{Clock, Control, Engine, EngineError, Measured, Work};

/// One thread that drives a pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolEngine;

impl Engine for PoolEngine {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn run(&mut self, work: &Work, clock: &Clock, control: &Control) -> Result<Measured, EngineError> {
        work.check()?;
        let pool = work.pool.as_ref().ok_or(EngineError::Missing("pool"))?;
        driver::Driver::new(work, pool, clock, control)?.run()
    }
}
