//! Conducts one trial where it stands: the only place that wires lab, load or sequence, observe, model and record
//! together.
//!
//! Order: lab → sysctls read back → listeners → prediction → observer → (fill) → server → client → (load) → rest and last look →
//! observe.after → books. `prepared` is all up to the prediction, `crew` the threads of both ends, `books` the record; a
//! program of somebody else's takes the server's place in `program` and the load's in `exec`. Nothing here judges or prints.
#![forbid(unsafe_code)]

mod books;
mod crew;
pub mod exec;
mod fill;
mod prepared;
mod program;
mod rest;
mod settle;
mod watch;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use self::crew::{Loading, Serving};
use self::fill::{Filled, Scene};
use self::prepared::{Purpose, effective_sysctls, prepare, server_eyes};
use self::program::RealServer;
use self::watch::Watch;
use crate::lab::machine::Machine;
use crate::lab::{Lab, Privilege, Unavailable};
use crate::load::server::Served;
use crate::load::{Choice, EngineError, Measured, Pacing};
use crate::model::kernel::KernelVersion;
use crate::observe::{self, LookError, Observed, Observer};
use crate::record::schema::{LoadRan, Prediction, Record, ServerProgram, SideSysctls};
use crate::record::tuples::TupleClock;
use crate::scenario::kernel_range::is_in_range;
use crate::scenario::plan::TrialPlan;
use crate::sequence::{self, Conducted, SequenceError};

pub use settle::settle_a_booted_machine;

/// From the observer's start to the load's: time to spawn the threads.
const HEAD_START: Duration = Duration::from_millis(20);

/// What a trial may use of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Means<'a> {
    pub privilege: Privilege,
    /// Descriptors that this process may open.
    pub descriptors: u64,
    /// Set by the user's wish to stop.
    pub stop: &'a AtomicBool,
    pub tuning: Tuning,
}

/// How the load is to be run, where the user has a say that no plan has: none of it changes what is measured.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Tuning {
    pub engine: Choice,
    /// None: as the machine allows.
    pub pacing: Option<Pacing>,
    /// Pin each client and server thread to a CPU of its own.
    pub pin: bool,
    /// See [`Work::reuse_descriptor`](crate::load::Work::reuse_descriptor).
    pub reuse_descriptor: bool,
}

/// What is told while a trial runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The lab stands; this is what will happen.
    Predicted(Prediction),
    /// A few times a second.
    Progress(Progress),
    /// A sequence's next step: its number from 1, how many there are, and what it does.
    Step { number: usize, of: usize, does: String },
}

/// The state of a running trial.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Whether the load is over and only observation goes on.
    pub observing: bool,
    /// Seconds since the load began.
    pub seconds: f64,
    pub attempted: u64,
    pub ok: u64,
    pub failed: u64,
    pub time_wait_client: u64,
    pub time_wait_server: u64,
}

/// Why a trial gave no measurement.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the load could not be offered: {0}")]
    Load(#[from] EngineError),
    #[error("the kernel could not be observed: {0}")]
    Look(#[from] LookError),
    #[error("the sequence could not be conducted: {0}")]
    Sequence(SequenceError),
}

impl From<SequenceError> for TrialError {
    fn from(error: SequenceError) -> Self {
        match error {
            SequenceError::Unavailable(why) => Self::Unavailable(why),
            error => Self::Sequence(error),
        }
    }
}

/// Conducts one trial. A lab that cannot be had as asked gives a record with the verdict `unavailable`.
///
/// # Errors
/// The machine refused what every trial needs (threads, epoll, /proc).
pub fn conduct(plan: &TrialPlan, means: Means<'_>, tell: &mut dyn FnMut(Event)) -> Result<Record, TrialError> {
    let started_at = SystemTime::now();
    let machine = Machine::here();
    if let Err(why) = require_kernel(plan, &machine) {
        return Ok(books::unavailable(plan, &machine, started_at, &why));
    }
    let record = if plan.is_sequence() {
        follow(plan, means, tell).map(|followed| books::sequence(plan, &machine, started_at, followed))
    } else {
        measure(plan, means, &machine, tell).map(|results| books::record(plan, &machine, started_at, results))
    };
    match record {
        Ok(record) => Ok(record),
        Err(TrialError::Unavailable(why)) => Ok(books::unavailable(plan, &machine, started_at, &why)),
        Err(error) => Err(error),
    }
}

/// Refuses a claim that is about other kernels than the one that runs here.
fn require_kernel(plan: &TrialPlan, machine: &Machine) -> Result<(), Unavailable> {
    match &plan.kernels {
        // A release that cannot be read is no reason not to try.
        Some(range) if is_in_range(&machine.kernel, range) == Ok(false) => Err(Unavailable {
            reason: format!("not of this kernel: the claim is of Linux {range}"),
            remedy: "put it to such a kernel: --kernel boots one (linger kernels lists them)".into(),
        }),
        _ => Ok(()),
    }
}

/// The record of a trial for which the means could not be had.
#[must_use]
pub fn unavailable(plan: &TrialPlan, why: &Unavailable) -> Record {
    books::unavailable(plan, &Machine::here(), SystemTime::now(), why)
}

/// Everything that was measured, not yet summed up.
#[derive(Debug)]
struct Results {
    lab: String,
    kernel: KernelVersion,
    sysctl: SideSysctls,
    prediction: Prediction,
    measured: Measured,
    load: LoadRan,
    served: Option<Served>,
    program: Option<ServerProgram>,
    fill: Option<Filled>,
    observed: Observed,
    /// What was still under way when the books were made up.
    unsettled: Option<String>,
    /// Before the load and at its end.
    slab: [Option<BTreeMap<String, observe::slab::Slab>>; 2],
    /// Pairs of source and destination as the load numbers them.
    sources: Vec<IpAddr>,
    destinations: Vec<SocketAddr>,
    interrupted: bool,
}

/// A sequence that was done, and where.
#[derive(Debug)]
struct Followed {
    lab: String,
    sysctl: SideSysctls,
    conducted: Conducted,
    interrupted: bool,
}

/// Does a sequence's steps. Nothing is predicted of them and nobody observes but the steps themselves.
fn follow(plan: &TrialPlan, means: Means<'_>, tell: &mut dyn FnMut(Event)) -> Result<Followed, TrialError> {
    let lab = Lab::build(plan, means.privilege)?;
    let mut sysctl = effective_sysctls(&lab)?;
    let of = plan.steps.len();
    let conducted = sequence::conduct(&plan.steps, &lab, means.stop, &mut |number, does| {
        tell(Event::Step {
            number,
            of,
            does: does.to_owned(),
        });
    })?;
    sysctl.global = lab.global_sysctls();
    Ok(Followed {
        lab: lab.description().to_owned(),
        sysctl,
        conducted,
        interrupted: means.stop.load(Ordering::Relaxed),
    })
}

/// What the model says of a trial in the lab that it would get here; the lab is built for it and thrown away. None
/// where the trial is a sequence, of which there is nothing to predict.
///
/// # Errors
/// As [`conduct`], and `Unavailable` where the lab cannot be had as asked.
pub fn foresee(plan: &TrialPlan, means: Means<'_>) -> Result<Option<Prediction>, TrialError> {
    require_kernel(plan, &Machine::here())?;
    if plan.is_sequence() {
        Lab::build(plan, means.privilege)?;
        return Ok(None);
    }
    prepare(plan, means, &Machine::here(), Purpose::Foresee).map(|prepared| Some(prepared.prediction))
}

fn measure(
    plan: &TrialPlan,
    means: Means<'_>,
    machine: &Machine,
    tell: &mut dyn FnMut(Event),
) -> Result<Results, TrialError> {
    let mut prepared = prepare(plan, means, machine, Purpose::Measure)?;
    tell(Event::Predicted(prepared.prediction.clone()));

    let work = prepared.work(plan, means.tuning);
    let (lab, destinations) = (prepared.lab, prepared.destinations);
    if plan.alone {
        observe::slab::settle();
    }
    let slab_before = observe::slab::read();
    let server_eyes = server_eyes(&lab)?;
    let mut origin = Instant::now() + HEAD_START;
    let config = observe::Config {
        // Who measures memory has to know how many ports are kept, and disturbs nobody.
        ports: plan.alone,
        server_endpoints: [&*destinations, &*prepared.filled].concat(),
        tuples: plan.observe.tuples,
        origin,
    };
    let observer = Observer::start(prepared.client_eyes, server_eyes, config)?;
    let [listeners, fills] = prepared.listeners;
    let fill = match &plan.fill {
        Some(fill) => {
            let scene = Scene {
                plan,
                lab: &lab,
                crew: &prepared.crew,
                means,
                observer: &observer,
                load: &work,
            };
            let filled = scene.fill(fill.connections, &prepared.filled, fills)?;
            origin = Instant::now() + HEAD_START;
            observer.begin(origin);
            Some(filled)
        }
        None => None,
    };
    let server = listeners
        .map(|listeners| Serving::start(plan, &lab, listeners, &prepared.crew))
        .transpose()?;
    if let Some(program) = &mut prepared.program {
        program.load_begins();
    }
    let client = Loading::start(&lab, work.clone(), &prepared.crew, means.tuning.engine, origin)?;
    let watch = Watch {
        origin,
        stop: means.stop,
        observer: &observer,
        control: Arc::clone(&client.control),
    };

    let (mut measured, engine) = client.finish(&watch, tell)?;
    let mut load = LoadRan::of(&work, &prepared.crew, &measured, engine);
    if let Some(program) = &mut prepared.program {
        program.load_ends();
        load.server_threads = 0;
    }
    if !work.pairs_are_apart(load.client_threads) {
        // What one thread closed another opened: nobody saw the time between.
        measured.tuples = measured.tuples.map(TupleClock::without_reuse);
    }
    let control = server.as_ref().map(|server| &*server.control);
    let mut unsettled = rest::wait(control, measured.tally.connected, &watch, tell)?;
    let slab_after = observe::slab::read();
    watch.after(plan.observe.after, tell);
    let served = server.map(Serving::stop).transpose()?;
    let program = prepared.program.map(RealServer::stop);
    if let Some(early) = program.as_ref().filter(|program| program.ended_early) {
        let how = early.ended.as_deref().unwrap_or("ended");
        unsettled = Some(format!("the program of server.exec {how} before it was told to"));
    }
    Ok(Results {
        lab: lab.description().to_owned(),
        kernel: prepared.kernel,
        sysctl: prepared.sysctl,
        prediction: prepared.prediction,
        measured,
        load,
        served,
        program,
        fill,
        observed: observer.finish(),
        unsettled,
        slab: [slab_before, slab_after],
        sources: lab.client.addresses().to_vec(),
        destinations,
        interrupted: means.stop.load(Ordering::Relaxed),
    })
}
