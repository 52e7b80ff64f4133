//! `linger verify`: the catalogue, or a part of it, put to this kernel: one table, a record a trial, one exit code.

mod conduct;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use self::conduct::Hall;
use self::schedule::{Job, Lanes, Schedule};
use super::interrupt::Interrupt;
use super::run::{DEFAULT_OUT, acquire, keep};
use super::{Exit, Usage, print, tell};
use crate::cli::Verify;
use linger::judge;
use linger::lab::limits;
use linger::record::schema::Record;
use linger::record::store::{self, Store};
use linger::report::{self, Style};
use linger::scenario::plan::{Plan, TrialPlan};
use linger::scenario::{self, catalogue};

/// What `--quick` leaves out takes longer than this by itself.
const QUICK: Duration = Duration::from_secs(15);
/// Trials at once for each CPU, without `--jobs`: they mostly wait.
const JOBS_PER_CPU: usize = 8;

pub(crate) fn verify(options: &Verify) -> Result<Exit> {
    let lanes = lanes(options);
    let plans = chosen(options, lanes)?;
    // Before any thread is started: only a process of one thread may enter a user namespace.
    let privilege = acquire(&plans);
    let interrupt = Interrupt::install()?;
    let hall = Hall {
        privilege: &privilege,
        descriptors: limits::raise_descriptor_limit().context("raising RLIMIT_NOFILE")?,
        interrupt: &interrupt,
    };
    let trials: Vec<&TrialPlan> = plans.iter().flat_map(|plan| &plan.trials).collect();
    let schedule = Schedule::new(trials.iter().map(|trial| Job::of(trial)).collect(), lanes);
    tell(format_args!(
        "{} claims, {} trials: about {:.0} s",
        plans.len(),
        trials.len(),
        schedule.expected().as_secs_f64().ceil()
    ));
    let mut books = Books::new(options);
    hall.conduct(&trials, schedule, |index, record| books.enter(trials[index], record))?;
    books.close(interrupt.raised())
}

fn lanes(options: &Verify) -> Lanes {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Lanes {
        all: options.jobs.map_or(cpus * JOBS_PER_CPU, |jobs| jobs as usize),
        // Client and server of a load at full speed take a core each.
        busy: cpus.div_ceil(2),
    }
}

/// The scenarios asked for, or all that have a claim to judge.
fn chosen(options: &Verify, lanes: Lanes) -> Result<Vec<Plan>> {
    let ids: Vec<String> = if options.ids.is_empty() {
        catalogue::ids().into_iter().map(str::to_owned).collect()
    } else {
        options.ids.clone()
    };
    let mut plans = scenario::load(&ids, &options.set, None, None)?;
    let mut seen = BTreeSet::new();
    plans.retain(|plan| seen.insert(plan.id.clone()));
    let by_itself = |plan: &Plan| Schedule::new(plan.trials.iter().map(Job::of).collect(), lanes).expected();
    if options.quick {
        plans.retain(|plan| by_itself(plan) <= QUICK);
    }
    if plans.is_empty() {
        let message = format!("nothing to verify: each scenario takes more than {} s", QUICK.as_secs());
        return Err(Usage(message).into());
    }
    Ok(plans)
}

/// The records so far: judged, written, and told at the end.
struct Books<'a> {
    options: &'a Verify,
    /// By scenario, with the file they go to.
    kept: BTreeMap<String, (Vec<Record>, Option<Store>)>,
    began: SystemTime,
}

impl<'a> Books<'a> {
    fn new(options: &'a Verify) -> Self {
        Self {
            options,
            kept: BTreeMap::new(),
            began: SystemTime::now(),
        }
    }

    /// Judges a record and writes it; the last of its scenario with the verdict on the claim.
    fn enter(&mut self, plan: &TrialPlan, mut record: Record) -> Result<()> {
        judge::judge(&mut record, &plan.expect);
        if !self.kept.contains_key(&plan.id) {
            let path = |directory: PathBuf| store::default_path(&directory, &plan.id, self.began);
            let store = directory(self.options).map(|directory| Store::create(&path(directory)));
            self.kept.insert(plan.id.clone(), (Vec::new(), store.transpose()?));
        }
        if let Some((records, store)) = self.kept.get_mut(&plan.id) {
            records.push(record);
            keep(records, store, self.options.json)?;
        }
        Ok(())
    }

    /// The table, on stderr where stdout has the records; then the exit code.
    fn close(self, interrupted: bool) -> Result<Exit> {
        let records: Vec<Record> = self.kept.into_values().flat_map(|(records, _)| records).collect();
        if self.options.json {
            tell(report::verify(&records, Style::of(&io::stderr())).trim_end());
        } else {
            print(report::verify(&records, Style::of(&io::stdout())).as_bytes())?;
        }
        if let Some(directory) = directory(self.options) {
            tell(format_args!("{} records → {}", records.len(), directory.display()));
        }
        if interrupted {
            return Ok(Exit::Interrupted);
        }
        Ok(Exit::of(judge::exit_code(
            records.iter().map(|record| record.verdict.status),
        )))
    }
}

/// Where records go: nowhere with `--json` alone, which has them on stdout.
fn directory(options: &Verify) -> Option<PathBuf> {
    match (&options.out, options.json) {
        (Some(directory), _) => Some(directory.clone()),
        (None, false) => Some(PathBuf::from(DEFAULT_OUT)),
        (None, true) => None,
    }
}
