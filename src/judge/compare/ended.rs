//! How a program's runs ended, and whether what they did may be compared.
//!
//! A run that failed (an exit code that is not 0, a signal, --timeout, not even a start) did not do the program's work, or not
//! all of it: fewer connections of it are no improvement. Runs that all ended in the same way on both sides are compared
//! nevertheless: a program may end by code 1 whenever it is run, and a service that never ends is measured by --timeout. One
//! that never started, or that something outside killed, has done nothing that could be compared.

use std::collections::BTreeMap;

use crate::record::schema::{ExecEnd, ExecEndKind, ExecRan, Record};

/// How a program ended, to follow `ended`: `with exit code 3`, `by SIGSEGV`.
#[must_use]
pub fn how(ended: &ExecEnd) -> String {
    if ended.timed_out {
        return "by --timeout".to_owned();
    }
    match (ended.kind, ended.code, &ended.signal) {
        (ExecEndKind::Exit, Some(code), _) => format!("with exit code {code}"),
        (ExecEndKind::Signal, _, Some(signal)) => format!("by {signal}"),
        (ExecEndKind::NotStarted, ..) => "before it started".to_owned(),
        _ => "killed from outside".to_owned(),
    }
}

/// Whether a program did not end by itself with exit code 0.
#[must_use]
pub fn failed(exec: &ExecRan) -> bool {
    exec.ended.timed_out || exec.ended.kind != ExecEndKind::Exit || exec.ended.code != Some(0)
}

/// Why these runs tell nothing of the program; None where none failed, or all in the same way.
pub(super) fn doubt(base: &[&Record], new: &[&Record]) -> Option<String> {
    if !base.iter().chain(new).any(|record| has_failed(record)) || all_alike(base, new) {
        return None;
    }
    let sides = [("base", base), ("new", new)];
    let sides = sides.iter().flat_map(|(name, side)| of_side(name, side));
    Some(format!(
        "runs failed, and what they did is not the program's work: {}",
        sides.collect::<Vec<_>>().join(", ")
    ))
}

/// A note for runs that all failed in the same way.
pub(super) fn alike(base: &[&Record], new: &[&Record]) -> Option<String> {
    let first = base.iter().find_map(|record| record.exec.as_ref())?;
    (failed(first) && all_alike(base, new)).then(|| {
        format!(
            "all runs of both sides ended {}: compared, as they failed alike",
            how(&first.ended)
        )
    })
}

fn all_alike(base: &[&Record], new: &[&Record]) -> bool {
    let mut ends = base
        .iter()
        .chain(new)
        .map(|record| record.exec.as_ref().map(|exec| &exec.ended));
    let first = ends.next().flatten();
    let did_something = first.is_some_and(|end| !matches!(end.kind, ExecEndKind::NotStarted | ExecEndKind::Lost));
    did_something && ends.all(|end| end.map(how) == first.map(how))
}

fn has_failed(record: &Record) -> bool {
    record.exec.as_ref().is_some_and(failed)
}

/// `12 of 12 of new ended with exit code 3`, for each way to fail.
fn of_side(name: &str, side: &[&Record]) -> Vec<String> {
    let mut ways = BTreeMap::<String, usize>::new();
    for exec in side
        .iter()
        .filter_map(|record| record.exec.as_ref())
        .filter(|exec| failed(exec))
    {
        *ways.entry(how(&exec.ended)).or_default() += 1;
    }
    let told = ways.into_iter();
    told.map(|(how, count)| format!("{count} of {} of {name} ended {how}", side.len()))
        .collect()
}
