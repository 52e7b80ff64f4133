//! Takes a guest's lines: which trial begins, how it goes, its record.

use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::super::guest::{BEGIN, PROGRESS, RECORD};
use super::super::tell;
use super::{Booted, Clock, Hear, Heard};
use linger::machine::Told;
use linger::record::schema::Record;
use linger::scenario::plan::TrialPlan;
use linger::trial::Event;

/// The lines of one boot.
pub(super) struct Hearing<'a> {
    kernel: &'a Booted,
    clock: Clock,
    trials: &'a [&'a TrialPlan],
    /// The place of the first of them among all that were asked for.
    first: usize,
    /// When the trial that runs began.
    began: Option<SystemTime>,
    /// Whether any trial has begun.
    begun: bool,
    records: usize,
    hear: Hear<'a>,
    /// After the first failure lines are passed over.
    result: Result<()>,
}

/// What came of one boot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    pub(super) begun: bool,
    pub(super) records: usize,
}

impl<'a> Hearing<'a> {
    pub(super) fn new(
        kernel: &'a Booted,
        clock: Clock,
        trials: &'a [&'a TrialPlan],
        first: usize,
        hear: Hear<'a>,
    ) -> Self {
        Self {
            kernel,
            clock,
            trials,
            first,
            began: None,
            begun: false,
            records: 0,
            hear,
            result: Ok(()),
        }
    }

    pub(super) fn line(&mut self, told: Told<'_>) {
        match told {
            Told::Booting(after) => tell(format_args!(
                "booting {}, {:.0} s",
                self.kernel.release(),
                after.as_secs_f64()
            )),
            Told::Line(line) if self.result.is_ok() => self.result = self.take(line),
            Told::Line(_) => {}
        }
    }

    /// # Errors
    /// The first failure.
    pub(super) fn finish(self) -> Result<Came> {
        self.result.map(|()| Came {
            begun: self.begun,
            records: self.records,
        })
    }

    fn take(&mut self, line: &str) -> Result<()> {
        if self.records >= self.trials.len() {
            bail!("the guest sent more records than there are trials");
        }
        let place = self.first + self.records;
        if line.starts_with(BEGIN) {
            (self.began, self.begun) = (Some(SystemTime::now()), true);
            (self.hear)(place, Heard::Begins)?;
        } else if let Some(json) = line.strip_prefix(PROGRESS) {
            let event: Event = serde_json::from_str(json).context("reading the guest's progress")?;
            (self.hear)(place, Heard::Event(Box::new(event)))?;
        } else if let Some(json) = line.strip_prefix(RECORD) {
            let mut record: Record = serde_json::from_str(json).context("reading the guest's record")?;
            let began = self.began.take().unwrap_or_else(SystemTime::now);
            self.kernel.stamp(&mut record, self.clock, began);
            self.records += 1;
            (self.hear)(place, Heard::Record(Box::new(record)))?;
        } else {
            bail!("the guest sent a line that is neither progress nor a record: {line}");
        }
        Ok(())
    }
}
