//! Turns a trial's events into the live view's lines.

use std::time::Instant;

use linger::report::{Live, Progress};
use linger::scenario::plan::{Plan, TrialPlan};
use linger::trial::{self, Event};

/// Tells of one trial.
pub(super) struct Telling<'a> {
    plan: &'a Plan,
    index: usize,
    trial: &'a TrialPlan,
    cell: String,
    last: trial::Progress,
    begun: Instant,
}

impl<'a> Telling<'a> {
    pub(super) fn new(plan: &'a Plan, index: usize, trial: &'a TrialPlan) -> Self {
        let pairs = trial.cell.iter().map(|(key, value)| format!("{key}={value}"));
        Self {
            plan,
            index,
            trial,
            cell: pairs.collect::<Vec<_>>().join(" "),
            last: trial::Progress::default(),
            begun: Instant::now(),
        }
    }

    pub(super) fn tell(&mut self, live: &mut Live, event: Event) {
        let now = match event {
            Event::Predicted(_) => trial::Progress::default(),
            Event::Progress(progress) => progress,
            Event::Step { number, of, does } => return self.tell_step(live, number, of, &does),
        };
        let elapsed = now.seconds - self.last.seconds;
        let begun = now.attempted.saturating_sub(self.last.attempted);
        let load = &self.trial.load;
        live.update(&Progress {
            scenario: &self.plan.id,
            trial: self.index + 1,
            trials: self.plan.trials.len(),
            cell: &self.cell,
            phase: if now.observing { "observing" } else { "load" },
            seconds: now.seconds,
            total_seconds: load
                .duration
                .map(|duration| (duration + self.trial.observe.after).as_secs_f64()),
            planned: load.planned(),
            attempted: now.attempted,
            ok: now.ok,
            failed: now.failed,
            per_second: if elapsed > 0.0 { begun as f64 / elapsed } else { 0.0 },
            time_wait_client: Some(now.time_wait_client),
            time_wait_server: Some(now.time_wait_server),
        });
        self.last = now;
    }

    /// A sequence's next step begins.
    fn tell_step(&self, live: &mut Live, number: usize, of: usize, does: &str) {
        let comma = if self.cell.is_empty() { "" } else { ", " };
        live.update(&Progress {
            scenario: &self.plan.id,
            trial: self.index + 1,
            trials: self.plan.trials.len(),
            cell: &format!("{}{comma}step {number} of {of}: {does}", self.cell),
            phase: "sequence",
            seconds: self.begun.elapsed().as_secs_f64(),
            total_seconds: Some(self.trial.expected_duration().as_secs_f64()),
            planned: None,
            attempted: 0,
            ok: 0,
            failed: 0,
            per_second: 0.0,
            time_wait_client: None,
            time_wait_server: None,
        });
    }
}
