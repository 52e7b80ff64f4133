//! Puts the claims to booted kernels: each runs its trials one after the other in one machine, several kernels at once.
//!
//! In virtual time what runs beside a machine changes nothing that is measured in it; it only waits longer.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::super::booted::{Booted, Heard, Patience};
use super::super::tell;
use linger::machine::Clock;
use linger::record::schema::Record;
use linger::scenario::plan::TrialPlan;

/// A guest that says nothing for this long hangs: trials tell of themselves several times a second of their own time.
const SILENCE: Duration = Duration::from_secs(240);
/// Between two lines of progress.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// The trials of one kernel that follow one clock.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    pub(super) clock: Clock,
    pub(super) trials: Vec<&'a TrialPlan>,
}

/// A kernel and what it is to run.
#[derive(Debug)]
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Booted,
    /// Its place among the kernels of the command line.
    pub(super) place: usize,
    pub(super) batches: Vec<Batch<'a>>,
}

impl Guest<'_> {
    fn trials(&self) -> usize {
        self.batches.iter().map(|batch| batch.trials.len()).sum()
    }
}

/// What a worker tells: of which guest, and what.
enum Said<'a> {
    Begins(&'a TrialPlan),
    Record(&'a TrialPlan, Box<Record>),
    Ended(Result<()>),
}

/// Conducts every guest's trials, `at_once` machines at a time, and hands each record on as it comes.
///
/// # Errors
/// The first error of `take` or of a guest; the others are ended.
pub(super) fn conduct(
    guests: &[Guest<'_>],
    at_once: usize,
    limit: Duration,
    stop: &AtomicBool,
    mut take: impl FnMut(usize, &TrialPlan, Record) -> Result<()>,
) -> Result<()> {
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..guests.len()).collect());
    let (send, receive) = mpsc::channel();
    let mut shown = Shown::new(guests);
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, guests.len().max(1)) {
            let (send, waiting) = (send.clone(), &waiting);
            let work = move || {
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(index) = next() {
                    let result = one(&guests[index], limit, stop, &mut |said| drop(send.send((index, said))));
                    // The receiver outlives the workers.
                    let _ = send.send((index, Said::Ended(result)));
                }
            };
            thread::Builder::new()
                .name("guest".to_owned())
                .spawn_scoped(scope, work)
                .context("starting a thread for a guest")?;
        }
        drop(send);
        let mut outcome = Ok(());
        for (index, said) in receive {
            let result = match said {
                Said::Begins(trial) => {
                    shown.begins(index, trial);
                    Ok(())
                }
                Said::Record(trial, record) => {
                    shown.done(index);
                    take(guests[index].place, trial, *record)
                }
                Said::Ended(result) => {
                    shown.ended(index);
                    result
                }
            };
            if result.is_err() {
                // What goes on would be in vain.
                waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            outcome = outcome.and(result);
        }
        outcome
    })
}

fn one<'a>(guest: &Guest<'a>, limit: Duration, stop: &AtomicBool, say: &mut dyn FnMut(Said<'a>)) -> Result<()> {
    let end = Instant::now() + limit;
    for batch in &guest.batches {
        let patience = Patience {
            whole: end.saturating_duration_since(Instant::now()),
            silence: SILENCE,
        };
        guest
            .kernel
            .conduct(&batch.trials, batch.clock, patience, stop, &mut |index, heard| {
                match heard {
                    Heard::Begins => say(Said::Begins(batch.trials[index])),
                    Heard::Event(_) => {}
                    Heard::Record(record) => say(Said::Record(batch.trials[index], record)),
                }
                Ok(())
            })?;
    }
    Ok(())
}

/// Progress on stderr, a line now and then: `3.13.11 12 of 98 (reuse-matrix), 4.4.11 30 of 98 (…); 84 s`.
struct Shown<'a> {
    rows: Vec<Row<'a>>,
    since: Instant,
    told: Instant,
}

struct Row<'a> {
    kernel: String,
    trials: usize,
    done: usize,
    running: Option<&'a str>,
}

impl<'a> Shown<'a> {
    fn new(guests: &[Guest<'a>]) -> Self {
        let row = |guest: &Guest<'a>| Row {
            kernel: guest.kernel.release(),
            trials: guest.trials(),
            done: 0,
            running: None,
        };
        let now = Instant::now();
        Self {
            rows: guests.iter().map(row).collect(),
            since: now,
            told: now,
        }
    }

    fn begins(&mut self, index: usize, trial: &'a TrialPlan) {
        self.rows[index].running = Some(&trial.id);
        self.show(false);
    }

    fn done(&mut self, index: usize) {
        self.rows[index].done += 1;
        self.show(false);
    }

    fn ended(&mut self, index: usize) {
        self.rows[index].running = None;
        self.show(true);
    }

    fn show(&mut self, at_once: bool) {
        if !at_once && self.told.elapsed() < BETWEEN_LINES {
            return;
        }
        let row = |row: &Row<'_>| {
            let running = row.running.map_or(String::new(), |id| format!(" ({id})"));
            format!("{} {} of {}{running}", row.kernel, row.done, row.trials)
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        tell(format_args!(
            "{:.0} s: {}",
            self.since.elapsed().as_secs_f64(),
            rows.join(", ")
        ));
        self.told = Instant::now();
    }
}
