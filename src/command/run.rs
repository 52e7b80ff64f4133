//! `linger run`: load the scenarios, conduct each trial in a fresh lab, judge, store, print.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use super::booted::{self, Booted, Kernel};
use super::interrupt::Interrupt;
use super::{Exit, print};
use crate::cli::Run;
use linger::judge;
use linger::lab::{Privilege, limits, privilege};
use linger::record::schema::Record;
use linger::record::store::{self, Store};
use linger::report::{self, Live, Style};
use linger::scenario::plan::{Plan, TrialPlan};
use linger::scenario::spec::Topology;
use linger::scenario::{self};
use linger::trial::{self, Event, Means};

/// Where records go without `--out`.
const DEFAULT_OUT: &str = "results";

pub(crate) fn run(options: &Run) -> Result<Exit> {
    let topology = options.lab.map(Topology::from);
    let plans = scenario::load(&options.scenarios, &options.set, options.repeat, topology)?;
    let session = Session {
        options,
        // Before any thread is started: only a process of one thread may enter a user namespace.
        privilege: if booted::wants_host(&options.kernel) {
            acquire(&plans)
        } else {
            Ok(Privilege::None)
        },
        descriptors: limits::raise_descriptor_limit().context("raising RLIMIT_NOFILE")?,
        kernels: booted::kernels(&options.kernel, options.virtual_time),
        interrupt: Interrupt::install()?,
    };
    let mut records = Vec::new();
    for plan in &plans {
        let judged = session.scenario(plan)?;
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

/// The means for a lab, if any plan needs one. What was refused is told by each trial's record.
fn acquire(plans: &[Plan]) -> Result<Privilege, linger::lab::Unavailable> {
    let trials = plans.iter().flat_map(|plan| &plan.trials);
    if trials.into_iter().all(|trial| trial.lab.topology == Topology::Host) {
        return Ok(Privilege::None);
    }
    privilege::acquire()
}

struct Session<'a> {
    options: &'a Run,
    privilege: Result<Privilege, linger::lab::Unavailable>,
    descriptors: u64,
    kernels: Vec<Kernel>,
    interrupt: Interrupt,
}

impl Session<'_> {
    /// Runs a scenario's trials on each kernel.
    fn scenario(&self, plan: &Plan) -> Result<Vec<Record>> {
        let mut store = self.store(&plan.id)?;
        let mut records = Vec::new();
        for kernel in &self.kernels {
            records.extend(match kernel {
                Kernel::Host => self.here(plan, &mut store)?,
                Kernel::Booted(booted) => self.inside(booted, plan, &mut store)?,
            });
            if self.interrupt.raised() {
                break;
            }
        }
        if let Some(store) = &store {
            eprintln!("{} → {}", plural(records.len(), "record"), store.path().display());
        }
        Ok(records)
    }

    /// Runs a scenario's trials on the kernel that this process runs on.
    fn here(&self, plan: &Plan, store: &mut Option<Store>) -> Result<Vec<Record>> {
        let mut live = Live::new(io::stderr().is_terminal(), false);
        let mut records = Vec::new();
        for (index, trial) in plan.trials.iter().enumerate() {
            let mut telling = super::progress::Telling::new(plan, index, trial);
            let conducted = self.trial(trial, &mut |event| telling.tell(&mut live, event));
            live.finish();
            let record = conducted.with_context(|| format!("{}, trial {}", plan.id, index + 1))?;
            records.push(self.keep(record, trial, store)?);
            if self.interrupt.raised() {
                break;
            }
        }
        Ok(records)
    }

    /// Runs a scenario's trials on a kernel that is booted for them.
    fn inside(&self, booted: &Booted, plan: &Plan, store: &mut Option<Store>) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        booted.scenario(plan, self.interrupt.flag(), &mut |record, trial| {
            records.push(self.keep(record, trial, store)?);
            Ok(())
        })?;
        Ok(records)
    }

    /// Judges a record and writes it, as soon as its trial has ended.
    fn keep(&self, mut record: Record, trial: &TrialPlan, store: &mut Option<Store>) -> Result<Record> {
        judge::judge(&mut record, &trial.expect);
        if let Some(store) = store {
            store.append(&record)?;
        }
        if self.options.json {
            let mut line = serde_json::to_vec(&record)?;
            line.push(b'\n');
            print(&line)?;
        }
        Ok(record)
    }

    fn trial(&self, plan: &TrialPlan, tell: &mut dyn FnMut(Event)) -> Result<Record> {
        let privilege = match &self.privilege {
            Ok(privilege) => *privilege,
            Err(why) => return Ok(trial::unavailable(plan, why)),
        };
        let means = Means {
            privilege,
            descriptors: self.descriptors,
            stop: self.interrupt.flag(),
        };
        Ok(trial::conduct(plan, means, tell)?)
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
            eprint!("{}", screen(records, Style::of(&io::stderr())));
        } else {
            print(screen(records, Style::of(&io::stdout())).as_bytes())?;
        }
        Ok(())
    }
}

fn record_path(directory: &Path, id: &str) -> PathBuf {
    store::default_path(directory, id, SystemTime::now())
}

/// What a person is shown of a scenario's records.
pub(super) fn screen(records: &[Record], style: Style) -> String {
    match records {
        [record] => report::trial(record, style),
        records => report::matrix(records, style),
    }
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
