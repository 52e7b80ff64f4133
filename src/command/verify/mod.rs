//! `linger verify`: the catalogue, or a part of it, put to this kernel or to others: one table, a record a trial, one exit
//! code.

mod conduct;
mod guests;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use self::conduct::Hall;
use self::guests::{Batch, Guest};
use self::schedule::{Job, Lanes, Schedule};
use super::booted::{self, Booted, Kernel, Machinery};
use super::interrupt::Interrupt;
use super::run::{DEFAULT_OUT, acquire, keep};
use super::{Exit, Usage, print, tell};
use crate::cli::{GuestClock, Verify};
use linger::judge;
use linger::lab::{Privilege, limits};
use linger::machine::Clock;
use linger::record::schema::Record;
use linger::record::store::{self, Store};
use linger::report::{self, Style};
use linger::scenario::kernel_range::is_in_range;
use linger::scenario::plan::{Plan, TrialPlan};
use linger::scenario::{self, catalogue};
use linger::trial::Tuning;

/// What `--quick` leaves out takes longer than this by itself.
const QUICK: Duration = Duration::from_secs(15);
/// Trials at once for each CPU, without `--jobs`: they mostly wait.
const JOBS_PER_CPU: usize = 8;
/// What a plan of the catalogue has for its origin.
const CATALOGUE: &str = "catalogue";

pub(crate) fn verify(options: &Verify) -> Result<Exit> {
    let lanes = lanes(options);
    let wants_host = booted::wants_host(&options.kernel);
    let plans = if wants_host {
        chosen(options, lanes, Venue::Real)?
    } else {
        vec![]
    };
    // Before any thread is started: only a process of one thread may enter a user namespace.
    let privilege = if wants_host {
        acquire(&plans)
    } else {
        Ok(Privilege::None)
    };
    let interrupt = Interrupt::install()?;
    let kernels = booted::kernels(
        &options.kernel,
        Machinery {
            memory_mib: options.guest_memory,
            tuning: Tuning::default(),
        },
    );
    let mut books = Books::new(options);
    if let Some(place) = kernels.iter().position(|kernel| matches!(kernel, Kernel::Host)) {
        let hall = Hall {
            privilege: &privilege,
            descriptors: limits::raise_descriptor_limit().context("raising RLIMIT_NOFILE")?,
            interrupt: &interrupt,
        };
        here(&plans, &options.set, lanes, &hall, &mut |plan, record| {
            books.enter(place, plan, record)
        })?;
    }
    if !interrupt.raised() {
        inside(options, lanes, &kernels, &interrupt, &mut books)?;
    }
    books.close(interrupt.raised())
}

/// Puts the claims to the kernel that this process runs on.
fn here(
    plans: &[Plan],
    set: &[String],
    lanes: Lanes,
    hall: &Hall<'_>,
    take: &mut dyn FnMut(&TrialPlan, Record) -> Result<()>,
) -> Result<()> {
    let trials: Vec<&TrialPlan> = plans.iter().flat_map(|plan| &plan.trials).collect();
    let schedule = Schedule::new(trials.iter().map(|trial| Job::of(trial)).collect(), lanes);
    tell(format_args!(
        "{}, {}{}: about {:.0} s",
        number_of(plans.len(), "claim"),
        number_of(trials.len(), "trial"),
        settings(set),
        schedule.expected().as_secs_f64().ceil()
    ));
    hall.conduct(&trials, schedule, |index, record| take(trials[index], record))
}

/// Puts the claims to the kernels that are booted for it.
fn inside(
    options: &Verify,
    lanes: Lanes,
    kernels: &[Kernel],
    interrupt: &Interrupt,
    books: &mut Books<'_>,
) -> Result<()> {
    let booted: Vec<(usize, &Booted)> = kernels
        .iter()
        .enumerate()
        .filter_map(|(place, kernel)| match kernel {
            Kernel::Booted(booted) => Some((place, booted)),
            Kernel::Host => None,
        })
        .collect();
    if booted.is_empty() {
        return Ok(());
    }
    let full = chosen(options, lanes, Venue::Real)?;
    // What an emulator is spared depends on the kernel.
    let scaled = |(_, kernel): &(usize, &Booted)| {
        let release = kernel.release();
        let venue = if options.full {
            Venue::Real
        } else {
            Venue::Emulated(&release)
        };
        chosen(options, lanes, venue)
    };
    let scaled: Vec<Vec<Plan>> = booted.iter().map(scaled).collect::<Result<_>>()?;
    let measures_time = full.iter().flat_map(|plan| &plan.trials).any(|trial| trial.real_time);
    let has_kvm = match options.clock {
        GuestClock::Auto => measures_time && Booted::has_kvm(),
        GuestClock::Real => Booted::has_kvm(),
        GuestClock::Virtual => false,
    };
    let guests: Vec<Guest<'_>> = booted
        .into_iter()
        .zip(&scaled)
        .map(|((place, kernel), scaled)| Guest {
            kernel,
            place,
            batches: batches(options.clock, has_kvm, &full, scaled),
        })
        .collect();
    let trials: usize = guests[0].batches.iter().map(|batch| batch.trials.len()).sum();
    tell(format_args!(
        "{}, {} on each of {} booted{}: {}; at most {} min a kernel",
        number_of(full.len(), "claim"),
        number_of(trials, "trial"),
        number_of(guests.len(), "kernel"),
        settings(&options.set),
        clocks(options.clock, has_kvm),
        options.kernel_minutes
    ));
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let limit = Duration::from_secs(60 * u64::from(options.kernel_minutes));
    guests::conduct(&guests, at_once, limit, interrupt.flag(), |place, plan, record| {
        books.enter(place, plan, record)
    })
}

/// What each kernel runs, by clock. Only the processor's own speed makes real time worth having, and only a load that an
/// emulator executes is scaled.
fn batches<'a>(clock: GuestClock, has_kvm: bool, full: &'a [Plan], scaled: &'a [Plan]) -> Vec<Batch<'a>> {
    let of = |plans: &'a [Plan], wanted: &dyn Fn(&TrialPlan) -> bool| -> Vec<&'a TrialPlan> {
        let trials = plans.iter().flat_map(|plan| &plan.trials);
        trials.filter(|trial| wanted(trial)).collect()
    };
    let mut batches = match (clock, has_kvm) {
        (GuestClock::Real, true) => vec![(Clock::Real, of(full, &|_| true))],
        (GuestClock::Real, false) => vec![(Clock::Real, of(scaled, &|_| true))],
        (GuestClock::Auto, true) => vec![
            (Clock::Virtual, of(scaled, &|trial| !trial.real_time)),
            (Clock::Real, of(full, &|trial| trial.real_time)),
        ],
        (GuestClock::Auto, false) | (GuestClock::Virtual, _) => vec![(Clock::Virtual, of(scaled, &|_| true))],
    };
    batches.retain(|(_, trials)| !trials.is_empty());
    batches
        .into_iter()
        .map(|(clock, trials)| Batch { clock, trials })
        .collect()
}

fn clocks(clock: GuestClock, has_kvm: bool) -> &'static str {
    match (clock, has_kvm) {
        (GuestClock::Real, true) => "in real time, with KVM",
        (GuestClock::Real, false) => "in real time, emulated",
        (GuestClock::Auto, true) => "in virtual time, what measures latency or CPU in real time with KVM",
        (GuestClock::Auto, false) | (GuestClock::Virtual, _) => {
            "in virtual time, in which latency and CPU are counts of instructions"
        }
    }
}

/// `, with net.ipv4.tcp_rfc1337=1, load.rate=5`: what the scenarios do not say themselves.
fn settings(set: &[String]) -> String {
    if set.is_empty() {
        String::new()
    } else {
        format!(", with {}", set.join(", "))
    }
}

fn number_of(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn lanes(options: &Verify) -> Lanes {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    Lanes {
        all: options.jobs.map_or(cpus * JOBS_PER_CPU, |jobs| jobs as usize),
        // Client and server of a load at full speed take a core each.
        busy: cpus.div_ceil(2),
    }
}

/// Whether scenarios are taken as they are, or as they say for kernels that an emulator executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Venue<'a> {
    Real,
    /// The kernel's release; where it does not tell a version, what is for some versions is for it too.
    Emulated(&'a str),
}

/// The scenarios asked for, or all that have a claim to judge.
fn chosen(options: &Verify, lanes: Lanes, venue: Venue<'_>) -> Result<Vec<Plan>> {
    let ids: Vec<String> = if options.ids.is_empty() {
        catalogue::ids().into_iter().map(str::to_owned).collect()
    } else {
        options.ids.clone()
    };
    let mut plans = match venue {
        Venue::Real => scenario::load(&ids, &options.set, None, None)?,
        Venue::Emulated(release) => {
            let is_in_range = |range: &str| is_in_range(release, range).unwrap_or(true);
            scenario::load_emulated(&ids, &options.set, &is_in_range)?
        }
    };
    if let Some(plan) = plans.iter().find(|plan| !plan.kernels().is_empty()) {
        let message = format!("{} names its kernels itself: it is for linger run", plan.id);
        return Err(Usage(message).into());
    }
    one_of_each(&mut plans)?;
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

/// Leaves one of each that was named twice.
///
/// # Errors
/// Two scenarios that are not the same have the same id: their records could not be told apart.
fn one_of_each(plans: &mut Vec<Plan>) -> Result<()> {
    let mut seen: BTreeMap<&str, &Plan> = BTreeMap::new();
    let mut twice = Vec::new();
    for plan in plans.iter() {
        match seen.get(plan.id.as_str()) {
            None => drop(seen.insert(&plan.id, plan)),
            Some(first) if place(first) == place(plan) => {}
            Some(first) => twice.push(format!(
                "{} and {} both have the id `{}`; give each its own",
                named(first),
                named(plan),
                plan.id
            )),
        }
    }
    if !twice.is_empty() {
        return Err(Usage(twice.join("\n")).into());
    }
    let mut seen = BTreeSet::new();
    plans.retain(|plan| seen.insert(plan.id.clone()));
    Ok(())
}

/// One file is one place, however its path is written; None for the catalogue's.
fn place(plan: &Plan) -> Option<PathBuf> {
    let path = Path::new(&plan.origin);
    (plan.origin != CATALOGUE).then(|| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))
}

fn named(plan: &Plan) -> String {
    match plan.origin.as_str() {
        CATALOGUE => format!("{} of the catalogue", catalogue::file(&plan.id)),
        path => path.to_owned(),
    }
}

/// The records so far: judged, written, and told at the end.
struct Books<'a> {
    options: &'a Verify,
    /// By scenario and the kernel's place on the command line.
    kept: BTreeMap<(String, usize), Vec<Record>>,
    /// By scenario.
    stores: BTreeMap<String, Option<Store>>,
    began: SystemTime,
}

impl<'a> Books<'a> {
    fn new(options: &'a Verify) -> Self {
        Self {
            options,
            kept: BTreeMap::new(),
            stores: BTreeMap::new(),
            began: SystemTime::now(),
        }
    }

    /// Judges a record and writes it; a kernel's last of its scenario with the verdict on the claim.
    fn enter(&mut self, kernel: usize, plan: &TrialPlan, mut record: Record) -> Result<()> {
        judge::judge(&mut record, &plan.expect);
        if !self.stores.contains_key(&plan.id) {
            let path = |directory: PathBuf| store::default_path(&directory, &plan.id, self.began);
            let store = directory(self.options).map(|directory| Store::create(&path(directory)));
            self.stores.insert(plan.id.clone(), store.transpose()?);
        }
        if let Some(store) = self.stores.get_mut(&plan.id) {
            let records = self.kept.entry((plan.id.clone(), kernel)).or_default();
            records.push(record);
            keep(records, store, self.options.json)?;
        }
        Ok(())
    }

    /// The table, on stderr where stdout has the records; then the exit code.
    fn close(self, interrupted: bool) -> Result<Exit> {
        let set = match self.options.set.as_slice() {
            [] => String::new(),
            set => format!("set: {}\n", set.join(", ")),
        };
        let records: Vec<Record> = self.kept.into_values().flatten().collect();
        if self.options.json {
            tell((report::verify(&records, Style::of(&io::stderr())) + &set).trim_end());
        } else {
            print((report::verify(&records, Style::of(&io::stdout())) + &set).as_bytes())?;
        }
        if let Some(directory) = directory(self.options) {
            tell(format_args!(
                "{} → {}",
                number_of(records.len(), "record"),
                directory.display()
            ));
        }
        if interrupted {
            return Ok(Exit::Interrupted);
        }
        // What is said of other kernels is no fault of this machine, and nothing here could mend it.
        let put = records.iter().filter(|record| !judge::is_of_another_kernel(record));
        Ok(Exit::of(judge::exit_code(put.map(|record| record.verdict.status))))
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
