//! What a scenario's verdict needs of this machine beyond its lab, asked before it is run.

use linger::judge;
use linger::lab::Unavailable;
use linger::observe::slab;
use linger::scenario::plan::TrialPlan;

/// The record's keys that come from /proc/slabinfo.
const OF_SLABS: [&str; 2] = ["memory", "slab"];

/// Refuses a trial whose claim is about memory where the kernel does not tell of it: run all the same it would take its time
/// and answer nothing.
///
/// # Errors
/// What cannot be read, and how it could be.
pub(super) fn require(plan: &TrialPlan) -> Result<(), Unavailable> {
    let is_about_memory = || {
        let expressions = plan.holds.iter().chain(&plan.figure);
        let mut expressions = expressions.chain(plan.expect.iter().map(|expect| &expect.that));
        expressions.any(|expression| OF_SLABS.iter().any(|key| judge::reads(expression, key)))
    };
    match slab::readable() {
        Err(error) if is_about_memory() => Err(Unavailable {
            reason: format!("/proc/slabinfo, which tells what memory sockets take, cannot be read: {error}"),
            remedy: "run as root".into(),
        }),
        _ => Ok(()),
    }
}
