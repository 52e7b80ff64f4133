//! `linger run`: load the scenarios, conduct each trial in a fresh lab, judge, store, print.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::booted::{self, Booted, HOST, Kernel, Machinery, console};
use super::interrupt::Interrupt;
use super::{Exit, Usage, for_booted_kernels, print, tell};
use crate::cli::{GuestClock, Run};
use linger::judge;
use linger::lab::{Privilege, Unavailable, limits, privilege};
use linger::load::EngineError;
use linger::machine::Clock;
use linger::record::schema::Record;
use linger::record::store::{self, Store};
use linger::report::{self, Live, Style};
use linger::scenario::plan::{Plan, TrialPlan};
use linger::scenario::spec::Topology;
use linger::scenario::{self};
use linger::trial::{self, Event, Means, TrialError, Tuning};

/// Where records go without `--out`.
pub(super) const DEFAULT_OUT: &str = "results";

pub(crate) fn run(options: &Run) -> Result<Exit> {
    let topology = options.lab.map(Topology::from);
    let plans = scenario::load(&options.scenarios, &options.set, options.repeat, topology)?;
    let machinery = Machinery {
        memory_mib: options.guest_memory,
        tuning: options.tuning(),
    };
    let kernels = named(options, &plans)?;
    let names: Vec<String> = kernels.iter().flatten().cloned().collect();
    for_booted_kernels(
        &names,
        [
            ("--virtual-time", options.virtual_time),
            ("--clock", options.clock.is_some()),
            ("--guest-memory", options.guest_memory.is_some()),
        ],
    )?;
    let session = Session {
        options,
        // Before any thread is started: only a process of one thread may enter a user namespace.
        privilege: if kernels.iter().any(|names| booted::wants_host(names)) {
            acquire(&plans)
        } else {
            Ok(Privilege::None)
        },
        descriptors: limits::raise_descriptor_limit().context("raising RLIMIT_NOFILE")?,
        machinery,
        kernels: booted::kernels(&options.kernel, machinery),
        interrupt: Interrupt::install()?,
    };
    let mut records = Vec::new();
    for (plan, own) in plans.iter().zip(&kernels) {
        let judged = session.scenario(plan, own)?;
        session.show(&judged)?;
        records.extend(judged);
        if session.interrupt.raised() {
            return Ok(Exit::Interrupted);
        }
    }
    Ok(Exit::of(judge::exit_code(
        records.iter().map(|record| record.verdict.status),
    )))
}

/// The kernels that each plan runs on: those of the command line, unless its matrix names its own.
fn named(options: &Run, plans: &[Plan]) -> Result<Vec<Vec<String>>> {
    let of = |plan: &Plan| {
        let own = plan.kernels();
        if own.is_empty() {
            Ok(options.kernel.clone())
        } else if options.kernel.is_empty() {
            Ok(own)
        } else {
            let message = format!(
                "{} names its kernels itself ({}): leave --kernel out, or hold it to one with --set kernel=…",
                plan.id,
                own.join(", ")
            );
            Err(Usage(message).into())
        }
    };
    plans.iter().map(of).collect()
}

/// The means for a lab, if any plan needs one. What was refused is told by each trial's record.
pub(super) fn acquire(plans: &[Plan]) -> Result<Privilege, Unavailable> {
    let trials = plans.iter().flat_map(|plan| &plan.trials);
    if trials.into_iter().all(|trial| trial.lab.topology == Topology::Host) {
        return Ok(Privilege::None);
    }
    privilege::acquire()
}

struct Session<'a> {
    options: &'a Run,
    privilege: Result<Privilege, Unavailable>,
    descriptors: u64,
    machinery: Machinery,
    /// Those of the command line.
    kernels: Vec<Kernel>,
    interrupt: Interrupt,
}

impl Session<'_> {
    /// Runs a scenario's trials on each kernel: each trial on every one, or on its own where the scenario names them.
    fn scenario(&self, plan: &Plan, named: &[String]) -> Result<Vec<Record>> {
        let mut store = self.store(&plan.id)?;
        let mut records = Vec::new();
        if plan.kernels().is_empty() {
            let trials: Vec<&TrialPlan> = plan.trials.iter().collect();
            for kernel in &self.kernels {
                let mut own = Vec::new();
                self.on(kernel, plan, &trials, &mut own, &mut store)?;
                records.extend(own);
                if self.interrupt.raised() {
                    break;
                }
            }
        } else {
            for (name, kernel) in named.iter().zip(booted::kernels(named, self.machinery)) {
                let is_its = |trial: &&TrialPlan| trial.kernel.as_deref().unwrap_or(HOST) == name;
                let trials: Vec<&TrialPlan> = plan.trials.iter().filter(is_its).collect();
                self.on(&kernel, plan, &trials, &mut records, &mut store)?;
                if self.interrupt.raised() {
                    break;
                }
            }
        }
        if let Some(store) = &store {
            self.tell_of(store, records.len())?;
        }
        Ok(records)
    }

    /// Where the records are. A file without any is no use to anybody.
    fn tell_of(&self, store: &Store, records: usize) -> Result<()> {
        let path = store.path();
        if records == 0 {
            fs::remove_file(path).with_context(|| format!("removing {}, which has no record", path.display()))?;
            // Only where nothing else is in it.
            let _ = path.parent().map(fs::remove_dir);
            tell("interrupted before the first record: none is kept");
            return Ok(());
        }
        let interrupted = if self.interrupt.raised() { "interrupted: " } else { "" };
        tell(format_args!(
            "{interrupted}{} → {}",
            plural(records, "record"),
            path.display()
        ));
        Ok(())
    }

    /// What booted kernels' clocks follow. Only the processor's own speed makes real time worth more.
    fn clock(&self, plan: &Plan) -> Clock {
        match self.options.clock {
            _ if self.options.virtual_time => Clock::Virtual,
            None | Some(GuestClock::Real) => Clock::Real,
            Some(GuestClock::Virtual) => Clock::Virtual,
            Some(GuestClock::Auto) => match plan.trials.iter().any(|trial| trial.real_time) && Booted::has_kvm() {
                true => Clock::Real,
                false => Clock::Virtual,
            },
        }
    }

    fn on(
        &self,
        kernel: &Kernel,
        plan: &Plan,
        trials: &[&TrialPlan],
        records: &mut Vec<Record>,
        store: &mut Option<Store>,
    ) -> Result<()> {
        match kernel {
            Kernel::Host => self.here(plan, trials, records, store),
            Kernel::Booted(booted) => {
                let mut take = |record, trial: &TrialPlan| self.take(record, trial, records, store);
                booted.scenario(plan, trials, self.clock(plan), self.interrupt.flag(), &mut take)?;
                if let (Some(store), Some(console)) = (&*store, booted.take_console()) {
                    let path = console::keep(&console, store.path(), &booted.release());
                    tell(format_args!(
                        "console → {}",
                        path.context("keeping the console")?.display()
                    ));
                }
                Ok(())
            }
        }
    }

    /// Runs a scenario's trials on the kernel that this process runs on.
    fn here(
        &self,
        plan: &Plan,
        trials: &[&TrialPlan],
        records: &mut Vec<Record>,
        store: &mut Option<Store>,
    ) -> Result<()> {
        let mut live = Live::new(io::stderr().is_terminal(), false);
        for (index, trial) in trials.iter().enumerate() {
            let mut telling = super::progress::Telling::new(plan, index, trial);
            let tell = &mut |event| telling.tell(&mut live, event);
            let tuning = self.options.tuning();
            let record = conduct(trial, &self.privilege, self.descriptors, tuning, &self.interrupt, tell);
            live.finish();
            self.take(record, trial, records, store)?;
            if self.interrupt.raised() {
                break;
            }
        }
        Ok(())
    }

    /// Judges a record and writes it, as soon as its trial has ended.
    fn take(
        &self,
        mut record: Record,
        trial: &TrialPlan,
        records: &mut Vec<Record>,
        store: &mut Option<Store>,
    ) -> Result<()> {
        judge::judge(&mut record, &trial.expect);
        records.push(record);
        keep(records, store, self.options.json)
    }

    /// The file of a scenario's records; none with `--json` alone, which has them on stdout.
    fn store(&self, id: &str) -> Result<Option<Store>> {
        let directory = match (&self.options.out, self.options.json) {
            (Some(directory), _) => directory.clone(),
            (None, false) => PathBuf::from(DEFAULT_OUT),
            (None, true) => return Ok(None),
        };
        Ok(Some(Store::create(&record_path(&directory, id))?))
    }

    /// One screen for one record, one table for several; on stderr where stdout has the records.
    fn show(&self, records: &[Record]) -> Result<()> {
        if records.is_empty() {
            return Ok(()); // interrupted in a machine before its first record
        }
        if self.options.json {
            tell(screen(records, Style::of(&io::stderr())).trim_end());
        } else {
            print(screen(records, Style::of(&io::stdout())).as_bytes())?;
        }
        Ok(())
    }
}

/// One trial's record. One that could not be conducted is a record too: those before and after it are worth keeping.
pub(super) fn conduct(
    plan: &TrialPlan,
    privilege: &Result<Privilege, Unavailable>,
    descriptors: u64,
    tuning: Tuning,
    interrupt: &Interrupt,
    tell: &mut dyn FnMut(Event),
) -> Record {
    let privilege = match (privilege, super::needs::require(plan)) {
        (Ok(privilege), Ok(())) => *privilege,
        (Err(why), _) => return trial::unavailable(plan, why),
        (_, Err(why)) => return trial::unavailable(plan, &why),
    };
    let means = Means {
        privilege,
        descriptors,
        stop: interrupt.flag(),
        tuning,
    };
    trial::conduct(plan, means, tell).unwrap_or_else(|error| {
        trial::unavailable(
            plan,
            &failed(
                &error,
                "see what the kernel refused (linger check), and report it if it should not have",
            ),
        )
    })
}

/// Why a trial failed; `remedy` where what is asked for is not the cause.
pub(super) fn failed(error: &TrialError, remedy: &str) -> Unavailable {
    let remedy = match error {
        TrialError::Load(EngineError::NoUring(_)) => "use --engine epoll, or leave the choice to linger",
        TrialError::Unavailable(why) => return why.clone(),
        _ => remedy,
    };
    Unavailable {
        reason: error.to_string(),
        remedy: remedy.to_owned(),
    }
}

/// Writes the latest record; a scenario's last has the verdict on its claim.
pub(super) fn keep(records: &mut [Record], store: &mut Option<Store>, json: bool) -> Result<()> {
    let trials = records.last().and_then(|record| record.scenario["trials"].as_u64());
    let claim = if Some(records.len() as u64) == trials {
        judge::claim(records)
    } else {
        None
    };
    let Some(record) = records.last_mut() else {
        return Ok(());
    };
    record.claim = claim;
    if let Some(store) = store {
        store.append(record)?;
    }
    if json {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        put(&line)?;
    }
    Ok(())
}

fn record_path(directory: &Path, id: &str) -> PathBuf {
    store::default_path(directory, id, SystemTime::now())
}

/// What a person is shown of a scenario's records.
pub(super) fn screen(records: &[Record], style: Style) -> String {
    let table = match records {
        [record] => report::trial(record, style),
        records => report::matrix(records, style),
    };
    // A claim is judged on one kernel, unless it is about several.
    let one_kernel = records
        .windows(2)
        .all(|pair| pair[0].environment.kernel == pair[1].environment.kernel || pair[0].cell.contains_key("kernel"));
    let claim = judge::claim(records)
        .filter(|_| one_kernel)
        .map(|claim| report::claim(&claim, style));
    table + &claim.unwrap_or_default()
}

/// Writes a record to stdout. Unlike a screen, a record that nobody takes is lost, so that going on would be in vain.
fn put(line: &[u8]) -> Result<()> {
    let mut stdout = io::stdout();
    stdout
        .write_all(line)
        .and_then(|()| stdout.flush())
        .context("writing a record to stdout")
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
