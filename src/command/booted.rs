//! The kernels of `--kernel`: this one, or one that is booted for a scenario's trials. `guest` is the other end, inside.
//!
//! A kernel that cannot be booted, or that fails on the way, gives records that say so: the other kernels go on.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};

use super::guest::{Job, PROGRESS, RECORD};
use super::progress::Telling;
use linger::lab::Unavailable;
use linger::machine::qemu::Qemu;
use linger::machine::{self, Acceleration, BootOptions, Clock, KernelImage, MachineError, image};
use linger::record::schema::{self, Record};
use linger::report::Live;
use linger::scenario::plan::{Plan, TrialPlan};
use linger::trial::{self, Event, Tuning};

/// What `--kernel` calls the kernel that runs here.
const HOST: &str = "host";
/// Real time for a boot and what an emulator makes of a load, above what the trials are expected to take.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Where trials run.
#[derive(Debug)]
pub(super) enum Kernel {
    Host,
    Booted(Booted),
}

/// Whether any trial runs on this kernel.
pub(super) fn wants_host(named: &[String]) -> bool {
    named.is_empty() || named.iter().any(|name| name == HOST)
}

/// The kernels of the command line, images unpacked; this one where none is named.
pub(super) fn kernels(named: &[String], virtual_time: bool, tuning: Tuning) -> Vec<Kernel> {
    let clock = if virtual_time { Clock::Virtual } else { Clock::Real };
    let kernel = |name: &String| match name.as_str() {
        HOST => Kernel::Host,
        _ => Kernel::Booted(Booted::prepare(name, clock, tuning)),
    };
    match named {
        [] => vec![Kernel::Host],
        named => named.iter().map(kernel).collect(),
    }
}

/// A kernel to boot.
#[derive(Debug)]
pub(super) struct Booted {
    /// As the user named it.
    name: String,
    clock: Clock,
    /// How the user wants the load run.
    tuning: Tuning,
    /// Why there is none, in words.
    ready: Result<(KernelImage, Acceleration), String>,
}

impl Booted {
    fn prepare(name: &str, clock: Clock, tuning: Tuning) -> Self {
        let acceleration = Qemu::find().and_then(|qemu| qemu.accelerate(None, clock));
        let ready = image::open(name)
            .map_err(|error| error.to_string())
            .and_then(|image| Ok((image, acceleration.map_err(|error| error.to_string())?)));
        Self {
            name: name.to_owned(),
            clock,
            tuning,
            ready,
        }
    }

    /// Boots the kernel, has it run the scenario's trials and passes each record on as it comes. Trials that got none
    /// get one that says why, unless the user has asked to stop.
    ///
    /// # Errors
    /// Those of `keep`, and lines that are not as this version of linger writes them.
    pub(super) fn scenario(
        &self,
        plan: &Plan,
        stop: &AtomicBool,
        keep: &mut dyn FnMut(Record, &TrialPlan) -> Result<()>,
    ) -> Result<()> {
        let mut hearing = Hearing {
            kernel: self,
            plan,
            live: Live::new(io::stderr().is_terminal(), false),
            telling: None,
            began: None,
            records: 0,
            keep,
            result: Ok(()),
        };
        let ended = self.run(plan, stop, &mut hearing)?;
        hearing.live.finish();
        hearing.result?;
        let missing = plan.trials.iter().skip(hearing.records);
        let why = match ended {
            _ if stop.load(Ordering::Relaxed) => return Ok(()),
            Ok(()) => format!("{}: the guest ended without a record of this trial", self.name),
            Err(why) => why,
        };
        for trial in missing {
            keep(self.unavailable(trial, &why), trial)?;
        }
        Ok(())
    }

    /// Inside: why the guest failed, in words.
    fn run(&self, plan: &Plan, stop: &AtomicBool, hearing: &mut Hearing<'_>) -> Result<Result<(), String>> {
        let (image, acceleration) = match &self.ready {
            Ok(ready) => ready,
            Err(why) => return Ok(Err(why.clone())),
        };
        let trials = plan.trials.clone();
        let program = std::env::current_exe().context("finding this program, which is to run in the guest")?;
        let options = BootOptions {
            clock: self.clock,
            time_limit: TIME_LIMIT.saturating_add(plan.expected_duration().saturating_mul(4)),
            ..BootOptions::new(
                program,
                serde_json::to_vec(&Job {
                    trials,
                    tuning: self.tuning,
                })?,
            )
        };
        let how = match acceleration {
            Acceleration::Kvm => "with KVM",
            Acceleration::Emulated => "emulated",
        };
        eprintln!("{}: booting {} {how}", plan.id, self.name);
        let finished = machine::run(image, &options, stop, &mut |line| hearing.line(line));
        Ok(finished
            .map(drop)
            .map_err(|error: MachineError| format!("{}: {error}", self.name)))
    }

    /// What the guest cannot know of itself.
    fn stamp(&self, record: &mut Record, began: SystemTime) {
        record.started_at = humantime::format_rfc3339_millis(began).to_string();
        record.environment.clock = match self.clock {
            Clock::Real => schema::Clock::Real,
            Clock::Virtual => schema::Clock::Virtual,
        };
        record.environment.emulated = matches!(&self.ready, Ok((_, Acceleration::Emulated)));
    }

    /// The record of a trial that this kernel never ran. The first reason is the failure, further ones are the console's
    /// last lines.
    fn unavailable(&self, trial: &TrialPlan, why: &str) -> Record {
        let nothing = Unavailable {
            reason: String::new(),
            remedy: String::new(),
        };
        let mut record = trial::unavailable(trial, &nothing);
        record.verdict.reasons = why.lines().map(str::to_owned).collect();
        let release = self.ready.as_ref().ok().and_then(|(image, _)| image.release.clone());
        record.environment.kernel = release.unwrap_or_else(|| self.name.clone());
        // Nothing of this machine is the guest's.
        record.environment.cpus = 1;
        record.environment.virtual_machine = Some(true);
        record.environment.hz = None;
        self.stamp(&mut record, SystemTime::now());
        record
    }
}

/// Takes a guest's lines.
struct Hearing<'a> {
    kernel: &'a Booted,
    plan: &'a Plan,
    live: Live,
    /// Of the trial that runs.
    telling: Option<Telling<'a>>,
    /// When the trial that runs was first heard of.
    began: Option<SystemTime>,
    records: usize,
    keep: &'a mut dyn FnMut(Record, &TrialPlan) -> Result<()>,
    /// After the first failure lines are passed over.
    result: Result<()>,
}

impl Hearing<'_> {
    fn line(&mut self, line: &str) {
        if self.result.is_ok() {
            self.result = self.take(line);
        }
    }

    fn take(&mut self, line: &str) -> Result<()> {
        let Some(trial) = self.plan.trials.get(self.records) else {
            bail!("the guest sent more records than there are trials");
        };
        let began = *self.began.get_or_insert_with(SystemTime::now);
        if let Some(json) = line.strip_prefix(PROGRESS) {
            let event: Event = serde_json::from_str(json).context("reading the guest's progress")?;
            let telling = || Telling::new(self.plan, self.records, trial);
            self.telling.get_or_insert_with(telling).tell(&mut self.live, event);
        } else if let Some(json) = line.strip_prefix(RECORD) {
            let mut record: Record = serde_json::from_str(json).context("reading the guest's record")?;
            self.kernel.stamp(&mut record, began);
            (self.telling, self.began) = (None, None);
            self.records += 1;
            self.live.finish();
            (self.keep)(record, trial)?;
        } else {
            bail!("the guest sent a line that is neither progress nor a record: {line}");
        }
        Ok(())
    }
}
