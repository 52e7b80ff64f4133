//! The kernels of `--kernel`: this one, or one that is booted for trials. `guest` is the other end, inside.
//!
//! A kernel that cannot be booted, or that fails on the way, gives records that say so: the other kernels go on. `hearing`
//! takes a guest's lines.

pub(super) mod console;
mod hearing;

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};

use self::hearing::Hearing;
use super::guest::Job;
use super::progress::Telling;
use linger::lab::Unavailable;
use linger::machine::modules::FOR_NAT;
use linger::machine::qemu::Qemu;
use linger::machine::{self, Acceleration, BootOptions, Clock, KernelImage, MachineError, image, program};
use linger::record::schema::{self, Record};
use linger::report::Live;
use linger::scenario::plan::{Plan, TrialPlan};
use linger::scenario::spec::Topology;
use linger::trial::{self, Event, Tuning};

/// What `--kernel` calls the kernel that runs here.
pub(super) const HOST: &str = "host";
/// Real time for a boot and what an emulator makes of a load, above what the trials are expected to take.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Where trials run.
#[derive(Debug)]
pub(super) enum Kernel {
    Host,
    Booted(Booted),
}

/// How kernels are booted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machinery {
    /// None: QEMU's default here.
    pub(super) memory_mib: Option<u32>,
    /// How the user wants the load run.
    pub(super) tuning: Tuning,
}

/// Whether any trial runs on this kernel.
pub(super) fn wants_host(named: &[String]) -> bool {
    named.is_empty() || named.iter().any(|name| name == HOST)
}

/// The kernels that were named, images unpacked; this one where none is.
pub(super) fn kernels(named: &[String], machinery: Machinery) -> Vec<Kernel> {
    let kernel = |name: &String| match name.as_str() {
        HOST => Kernel::Host,
        _ => Kernel::Booted(Booted::prepare(name, machinery)),
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
    pub(super) name: String,
    machinery: Machinery,
    /// Why there is none, in words.
    image: Result<KernelImage, String>,
    /// What its machines' consoles said, those that were interrupted excepted, until it is taken.
    console: Mutex<String>,
}

/// What is heard of trials, each by its place among those that were asked for.
#[derive(Debug)]
pub(super) enum Heard {
    Begins,
    Event(Box<Event>),
    Record(Box<Record>),
}

/// Takes what is heard; its error ends the conducting.
pub(super) type Hear<'a> = &'a mut dyn FnMut(usize, Heard) -> Result<()>;

/// How long the guests of one conducting may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Real time for all of it.
    pub(super) whole: Duration,
    /// Real time without a word.
    pub(super) silence: Duration,
}

impl Patience {
    /// So long that only what hangs exceeds it.
    fn for_one_scenario(plan: &Plan) -> Self {
        Self {
            whole: TIME_LIMIT.saturating_add(plan.expected_duration().saturating_mul(4)),
            silence: Duration::from_secs(300),
        }
    }
}

impl Booted {
    fn prepare(name: &str, machinery: Machinery) -> Self {
        Self {
            name: name.to_owned(),
            machinery,
            image: image::open(name).map_err(|error| error.to_string()),
            console: Mutex::default(),
        }
    }

    /// Whether the processor itself would execute the kernel, in real time.
    pub(super) fn has_kvm() -> bool {
        let accelerated = Qemu::find().and_then(|qemu| qemu.accelerate(None, Clock::Real));
        matches!(accelerated, Ok(Acceleration::Kvm))
    }

    /// The release that the image tells, else the name.
    pub(super) fn release(&self) -> String {
        let release = self.image.as_ref().ok().and_then(|image| image.release.clone());
        release.unwrap_or_else(|| self.name.clone())
    }

    /// What the consoles of its machines said since this was last asked; None where no machine ran.
    pub(super) fn take_console(&self) -> Option<String> {
        let console = std::mem::take(&mut *self.console.lock().unwrap_or_else(PoisonError::into_inner));
        Some(console).filter(|console| !console.is_empty())
    }

    /// Boots the kernel, has it run `trials` of a scenario and passes each record on as it comes, with progress shown.
    ///
    /// # Errors
    /// As [`Booted::conduct`].
    pub(super) fn scenario(
        &self,
        plan: &Plan,
        trials: &[&TrialPlan],
        clock: Clock,
        stop: &AtomicBool,
        keep: &mut dyn FnMut(Record, &TrialPlan) -> Result<()>,
    ) -> Result<()> {
        let mut live = Live::new(io::stderr().is_terminal(), false);
        let mut telling: Option<Telling<'_>> = None;
        if self.image.is_ok()
            && trials.iter().any(|trial| trial.server.exec.is_none())
            && let Ok(acceleration) = self.accelerate(clock)
        {
            let how = match acceleration {
                Acceleration::Kvm => "with KVM",
                Acceleration::Emulated => "emulated",
            };
            eprintln!("{}: booting {} {how}", plan.id, self.name);
        }
        self.conduct(
            trials,
            clock,
            Patience::for_one_scenario(plan),
            stop,
            &mut |index, heard| {
                match heard {
                    Heard::Begins => telling = Some(Telling::new(plan, index, trials[index])),
                    Heard::Event(event) => {
                        if let Some(telling) = &mut telling {
                            telling.tell(&mut live, *event);
                        }
                    }
                    Heard::Record(record) => {
                        live.finish();
                        keep(*record, trials[index])?;
                    }
                }
                Ok(())
            },
        )?;
        live.finish();
        Ok(())
    }

    /// Boots the kernel as often as it takes for each trial to have a record. All run in one machine; a trial in which it
    /// fails costs its own record, and those after it get a new machine. Where no machine comes as far as a trial, each
    /// record tells why. Once the user has asked to stop, trials without a record stay without.
    ///
    /// # Errors
    /// Those of `hear`, and lines that are not as this version of linger writes them.
    pub(super) fn conduct(
        &self,
        trials: &[&TrialPlan],
        clock: Clock,
        patience: Patience,
        stop: &AtomicBool,
        hear: Hear<'_>,
    ) -> Result<()> {
        let end = Instant::now() + patience.whole;
        let mut done = 0;
        while done < trials.len() {
            // A program of this machine's is not in the guest.
            let bootable = trials[done..]
                .iter()
                .take_while(|trial| trial.server.exec.is_none())
                .count();
            if bootable == 0 {
                let record = self.unavailable(trials[done], clock, &no_program(trials[done]), Seen::No);
                hear(done, Heard::Record(Box::new(record)))?;
                done += 1;
                continue;
            }
            let upto = done + bootable;
            let rest = &trials[done..upto];
            let patience = Patience {
                whole: end.saturating_duration_since(Instant::now()),
                ..patience
            };
            let mut hearing = Hearing::new(self, clock, rest, done, hear);
            let ended = self.boot(rest, clock, patience, stop, &mut hearing)?;
            let heard = hearing.finish()?;
            done += heard.records;
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let why = match ended {
                Ok(()) => format!("{}: the guest ended without a record of this trial", self.name),
                Err(why) => why,
            };
            let lost = if heard.begun && Instant::now() < end {
                upto.min(done + 1)
            } else {
                upto
            };
            let seen = if heard.begun { Seen::Yes } else { Seen::No };
            for (index, trial) in trials.iter().enumerate().take(lost).skip(done) {
                let record = self.unavailable(trial, clock, &why, seen);
                hear(index, Heard::Record(Box::new(record)))?;
            }
            done = lost;
        }
        Ok(())
    }

    /// Inside: why the guest failed, in words.
    fn boot(
        &self,
        trials: &[&TrialPlan],
        clock: Clock,
        patience: Patience,
        stop: &AtomicBool,
        hearing: &mut Hearing<'_>,
    ) -> Result<Result<(), String>> {
        let image = match &self.image {
            Ok(image) => image,
            Err(why) => return Ok(Err(why.clone())),
        };
        let job = Job {
            trials: trials.iter().map(|trial| (*trial).clone()).collect(),
            tuning: self.machinery.tuning,
        };
        let program = std::env::current_exe().context("finding this program, which is to run in the guest")?;
        let mut options = BootOptions {
            clock,
            time_limit: patience.whole,
            silence_limit: patience.silence,
            ..BootOptions::new(program, serde_json::to_vec(&job)?)
        };
        if let Some(memory_mib) = self.machinery.memory_mib {
            options.memory_mib = memory_mib;
        }
        if trials.iter().any(|trial| trial.lab.topology == Topology::Nat) {
            // Where nft is not here either, the trial says so.
            options.tools.extend(program::find("nft"));
            options.modules.extend(FOR_NAT);
        }
        let finished = machine::run(image, &options, stop, &mut |line| hearing.line(line));
        if let Ok(machine::Finished { console, .. }) | Err(MachineError::Guest { console, .. }) = &finished {
            let mut kept = self.console.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(console);
        }
        Ok(finished
            .map(drop)
            .map_err(|error: MachineError| format!("{}: {error}", self.name)))
    }

    fn accelerate(&self, clock: Clock) -> Result<Acceleration, String> {
        let accelerated = Qemu::find().and_then(|qemu| qemu.accelerate(None, clock));
        accelerated.map_err(|error| error.to_string())
    }

    /// What the guest cannot know of itself.
    fn stamp(&self, record: &mut Record, clock: Clock, began: SystemTime) {
        record.started_at = humantime::format_rfc3339_millis(began).to_string();
        record.environment.clock = match clock {
            Clock::Real => schema::Clock::Real,
            Clock::Virtual => schema::Clock::Virtual,
        };
        record.environment.emulated = self.image.is_ok() && self.accelerate(clock) == Ok(Acceleration::Emulated);
    }

    /// The record of a trial that this kernel never ran. The first reason is the failure, further ones are the console's
    /// last lines.
    fn unavailable(&self, trial: &TrialPlan, clock: Clock, why: &str, seen: Seen) -> Record {
        let nothing = Unavailable {
            reason: String::new(),
            remedy: String::new(),
        };
        let mut record = trial::unavailable(trial, &nothing);
        record.verdict.reasons = why.lines().map(str::to_owned).collect();
        record.environment.kernel = self.release();
        // Nothing of this machine is the guest's.
        let environment = &mut record.environment;
        (environment.hz, environment.clock_source, environment.clock_step_ns) = (None, None, None);
        match seen {
            Seen::Yes => {
                (environment.cpus, environment.virtual_machine) = (1, Some(true));
                self.stamp(&mut record, clock, SystemTime::now());
            }
            Seen::No => {
                (environment.cpus, environment.virtual_machine) = (0, None);
                environment.machine = "unknown".to_owned();
            }
        }
        record
    }
}

/// Whether a machine came as far as a trial.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Yes,
    No,
}

fn no_program(trial: &TrialPlan) -> String {
    let command = trial.server.exec.as_deref().unwrap_or_default();
    Unavailable {
        reason: format!("server.exec: `{command}` is a program of this machine, and a booted one has none but linger"),
        remedy: "run it on `host`, the kernel that runs here".to_owned(),
    }
    .to_string()
}
