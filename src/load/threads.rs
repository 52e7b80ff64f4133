//! Runs a load on one thread or several, and adds their books up.

use nix::sys::prctl::set_timerslack;

use super::choice::Choice;
use super::cpus::Cpus;
use super::{Clock, Control, EngineError, Measured, Work};

/// How a load is to be run.
#[derive(Clone, Debug)]
pub struct Means {
    pub threads: u32,
    pub engine: Choice,
    /// The CPUs to which threads are pinned, one each in turn; None leaves them to the scheduler.
    pub pin: Option<Cpus>,
}

/// Offers the whole load and returns, with the engine's name, when its last attempt has ended. Threads that it starts
/// stand in the calling thread's namespace.
///
/// # Errors
/// What an engine itself needs was refused; the load is then stopped.
///
/// # Panics
/// An engine thread panicked.
pub fn run(
    work: &Work,
    means: &Means,
    clock: &Clock,
    control: &Control,
) -> Result<(Measured, &'static str), EngineError> {
    let works = work.divide(means.threads);
    // One engine for all: the ring's limits may allow it to some threads and not to others.
    let choice = match means.engine.engine(&works[0])?.name() {
        "uring" => Choice::Uring,
        _ => Choice::Epoll,
    };
    let run = |index: usize, work: &Work| {
        if let Some(cpus) = &means.pin {
            cpus.pin(index);
        }
        // Timers of this thread's waits are not to be late by the 50 µs that threads have by default.
        let _ = set_timerslack(1);
        let mut engine = choice.engine(work)?;
        let measured = engine.run(work, clock, control);
        if measured.is_err() {
            control.stop();
        }
        measured.map(|measured| (measured, engine.name()))
    };
    if let [work] = works.as_slice() {
        return run(0, work);
    }
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = &run;
        let threads = works.iter().enumerate().map(|(index, work)| {
            std::thread::Builder::new()
                .name(format!("client-{index}"))
                .spawn_scoped(scope, move || run(index, work))
        });
        let threads: Vec<_> = threads.collect();
        let join = |thread: std::io::Result<std::thread::ScopedJoinHandle<'_, _>>| {
            let thread = thread.map_err(|error| EngineError::EventLoop {
                call: "clone",
                errno: super::stream::errno(&error),
            })?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    let mut sum: Option<(Measured, &'static str)> = None;
    for result in results {
        let (measured, name) = result?;
        match &mut sum {
            Some((sum, _)) => sum.merge(&measured),
            None => sum = Some((measured, name)),
        }
    }
    sum.ok_or(EngineError::Missing("thread"))
}
