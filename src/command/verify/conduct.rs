//! Conducts trials side by side, each on a thread of its own, in the order that the schedule allows.

use std::io::{self, IsTerminal as _};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::interrupt::Interrupt;
use super::super::run::conduct;
use super::super::tell;
use super::schedule::Schedule;
use linger::lab::{Privilege, Unavailable};
use linger::record::schema::Record;
use linger::scenario::plan::TrialPlan;
use linger::trial::Tuning;

/// How often progress is shown and an interrupt looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What every trial of the catalogue is conducted with.
#[derive(Debug)]
pub(super) struct Hall<'a> {
    pub(super) privilege: &'a Result<Privilege, Unavailable>,
    pub(super) descriptors: u64,
    pub(super) interrupt: &'a Interrupt,
}

impl Hall<'_> {
    /// Conducts every trial, and hands each record on as it comes, with the trial's index. After an interrupt none begins,
    /// and those that run end early.
    ///
    /// # Errors
    /// The first error of `take`, or no thread could be started; no trial begins after it.
    pub(super) fn conduct(
        &self,
        trials: &[&TrialPlan],
        mut schedule: Schedule,
        mut take: impl FnMut(usize, Record) -> Result<()>,
    ) -> Result<()> {
        let mut progress = Shown::new(trials.len(), schedule.expected());
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            let mut outcome = Ok(());
            loop {
                while outcome.is_ok()
                    && !self.interrupt.raised()
                    && let Some(index) = schedule.next()
                {
                    let (send, plan) = (send.clone(), trials[index]);
                    let record = || {
                        let tuning = Tuning::default();
                        conduct(
                            plan,
                            self.privilege,
                            self.descriptors,
                            tuning,
                            self.interrupt,
                            &mut |_| {},
                        )
                    };
                    let work = move || drop(send.send((index, record())));
                    let spawned = thread::Builder::new()
                        .name("trial".to_owned())
                        .spawn_scoped(scope, work);
                    if let Err(error) = spawned {
                        schedule.ended(index);
                        outcome = Err(error).context("starting a thread for a trial");
                    }
                }
                if schedule.running().is_empty() {
                    break outcome;
                }
                progress.show(trials, schedule.running());
                let Ok((index, record)) = receive.recv_timeout(LOOK_EVERY) else {
                    continue;
                };
                schedule.ended(index);
                progress.done += 1;
                let taken = take(index, record);
                outcome = outcome.and(taken);
            }
        })
    }
}

/// Progress on stderr: a line that updates on a terminal, else one now and then.
#[derive(Debug)]
struct Shown {
    bar: Option<ProgressBar>,
    since: Instant,
    expected: Duration,
    trials: usize,
    done: usize,
    /// When the last plain line was written.
    told: Instant,
}

/// Where no terminal is, a line this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

impl Shown {
    fn new(trials: usize, expected: Duration) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            let style = ProgressStyle::with_template("{wide_msg}");
            bar.set_style(style.expect("the template is a constant that indicatif accepts"));
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            since: now,
            expected,
            trials,
            done: 0,
            told: now,
        }
    }

    fn show(&mut self, trials: &[&TrialPlan], running: &[usize]) {
        let is_due = self.bar.is_some() || self.told.elapsed() >= BETWEEN_LINES;
        if !is_due {
            return;
        }
        let mut ids: Vec<&str> = running.iter().map(|&index| trials[index].id.as_str()).collect();
        ids.dedup();
        let line = format!(
            "{} of {} trials, {:.0} of about {:.0} s; running: {}",
            self.done,
            self.trials,
            self.since.elapsed().as_secs_f64(),
            self.expected.as_secs_f64(),
            ids.join(", ")
        );
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => {
                tell(line);
                self.told = Instant::now();
            }
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
