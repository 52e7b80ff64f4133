//! What a running load and the one who watches it tell each other: a stop flag and live numbers, without a lock.
//!
//! Relaxed atomics suffice: the numbers are looked at, never added up into the record.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Shared by the engine threads of one load and its conductor.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    attempted: AtomicU64,
    ok: AtomicU64,
    failed: AtomicU64,
    open: AtomicU64,
    without_books: bool,
}

/// The load's numbers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub attempted: u64,
    pub ok: u64,
    pub failed: u64,
    /// Attempts under way, held connections included.
    pub open: u64,
}

impl Control {
    /// For a load of which only the tally is kept: what a bench holds the cost of the books against. No trial uses it.
    #[must_use]
    pub fn without_books() -> Self {
        Self {
            without_books: true,
            ..Self::default()
        }
    }

    /// Whether more is to be booked than the tally.
    pub(super) fn keeps_books(&self) -> bool {
        !self.without_books
    }

    /// Ends the load: no further attempt is begun, those under way are cancelled.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    #[must_use]
    pub fn live(&self) -> Live {
        Live {
            attempted: self.attempted.load(Relaxed),
            ok: self.ok.load(Relaxed),
            failed: self.failed.load(Relaxed),
            open: self.open.load(Relaxed),
        }
    }

    /// Adds what one engine thread has done between two of its looks.
    pub(super) fn publish(&self, before: Live, now: Live) {
        let add = |cell: &AtomicU64, before: u64, now: u64| {
            if now != before {
                // `open` shrinks too: the sum is taken modulo 2^64.
                cell.fetch_add(now.wrapping_sub(before), Relaxed);
            }
        };
        add(&self.attempted, before.attempted, now.attempted);
        add(&self.ok, before.ok, now.ok);
        add(&self.failed, before.failed, now.failed);
        add(&self.open, before.open, now.open);
    }
}
