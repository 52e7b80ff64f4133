//! Conducts one trial where it stands: the only place that wires lab, load or sequence, observe, model and record
//! together.
//!
//! Order: lab → sysctls read back → listeners → prediction → observer → (fill) → server → client → (load) → rest and last look →
//! observe.after → books. A program of somebody else's takes the place of the load in `exec`. Nothing here judges or prints.
#![forbid(unsafe_code)]

mod books;
pub mod exec;
mod fill;
mod memory;
mod pool;
mod program;
mod rest;
mod settle;
mod sides;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use self::fill::{Filled, Scene};
use self::program::RealServer;
use crate::lab::limits;
use crate::lab::machine::Machine;
use crate::lab::{FIRST_SERVER_PORT, Lab, Privilege, Unavailable};
use crate::load::server::{Listeners, Served, ServerControl, ServerWork};
use crate::load::{Choice, Clock, Control, Cpus, EngineError, Measured, Pacing, Shard, Work, choice, threads};
use crate::model::kernel::KernelVersion;
use crate::model::{self, Facts};
use crate::observe::{self, Eyes, LookError, Observed, Observer};
use crate::record::schema::{LoadRan, Prediction, Record, ServerProgram, SideSysctls};
use crate::record::tuples::TupleClock;
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::{Arrival, Source};
use crate::sequence::{self, Conducted, SequenceError};
use crate::tcp::options::has_local_port_range;
use crate::tcp::{CloseMode, Closer};

pub use settle::settle_a_booted_machine;

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(200);
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
    /// See [`Work::reuse_descriptor`].
    pub reuse_descriptor: bool,
}

/// What a plan and a machine come to: threads, pacing, CPUs.
#[derive(Clone, Debug)]
struct Crew {
    client: u32,
    server: u32,
    pacing: Pacing,
    pin: Option<Cpus>,
}

impl Crew {
    fn of(plan: &TrialPlan, tuning: Tuning) -> Self {
        let cpus = Cpus::allowed();
        let client = choice::client_threads(&plan.load, cpus.count());
        let server = choice::server_threads(plan.server.threads, client);
        let threads = (client + if plan.server.listen { server } else { 0 }) as usize;
        Self {
            client,
            server,
            pacing: tuning.pacing.unwrap_or(Pacing::for_cpus(cpus.count(), threads)),
            pin: tuning.pin.then_some(cpus),
        }
    }
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
    if plan.is_sequence() {
        Lab::build(plan, means.privilege)?;
        return Ok(None);
    }
    prepare(plan, means, &Machine::here(), Purpose::Foresee).map(|prepared| Some(prepared.prediction))
}

fn effective_sysctls(lab: &Lab) -> Result<SideSysctls, Unavailable> {
    Ok(SideSysctls {
        client: lab.client.effective_sysctls()?,
        server: lab.server.effective_sysctls()?,
        global: lab.global_sysctls(),
    })
}

/// What a lab is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Measure,
    /// Somebody else's server need not be started to predict a trial.
    Foresee,
}

/// A lab that stands, with the server's sockets listening.
struct Prepared {
    lab: Lab,
    kernel: KernelVersion,
    sysctl: SideSysctls,
    destinations: Vec<SocketAddr>,
    /// The fill's own.
    filled: Vec<SocketAddr>,
    /// The load's and the fill's.
    listeners: [Option<Listeners>; 2],
    program: Option<RealServer>,
    client_eyes: Eyes,
    prediction: Prediction,
    crew: Crew,
    /// Ports that the harness itself chooses from.
    ports: Vec<u16>,
}

fn prepare(plan: &TrialPlan, means: Means<'_>, machine: &Machine, purpose: Purpose) -> Result<Prepared, TrialError> {
    limits::require_descriptors(plan, means.descriptors)?;
    let lab = Lab::build(plan, means.privilege)?;
    let sysctl = effective_sysctls(&lab)?;
    let [destinations, filled] = destinations(plan, &lab);
    let crew = Crew::of(plan, means.tuning);
    let listeners = [
        listen(plan, &lab, &destinations, crew.server)?,
        listen(plan, &lab, &filled, crew.server)?,
    ];
    let program = match (purpose, destinations.first()) {
        (Purpose::Measure, Some(address)) => RealServer::start(plan, &lab, means, *address)?,
        _ => None,
    };
    let kernel = KernelVersion::parse(&machine.kernel).unwrap_or(KernelVersion::NEWEST);
    let mut client_eyes = lab.client.run(Eyes::open)??;
    let facts = Facts {
        kernel,
        hz: machine.hz,
        client: sysctl.client.clone(),
        server: sysctl.server.clone(),
        bound: bound_ports(&mut client_eyes)?,
        loopback: is_loopback(&lab, &destinations),
    };
    let prediction = model::predict(plan, &facts);
    Ok(Prepared {
        lab,
        kernel,
        sysctl,
        destinations,
        filled,
        listeners,
        program,
        client_eyes,
        prediction,
        crew,
        ports: if plan.client.source.is_chosen_by_harness() {
            model::ports::owned(plan, &facts)
        } else {
            vec![]
        },
    })
}

fn measure(
    plan: &TrialPlan,
    means: Means<'_>,
    machine: &Machine,
    tell: &mut dyn FnMut(Event),
) -> Result<Results, TrialError> {
    let prepared = prepare(plan, means, machine, Purpose::Measure)?;
    let (lab, destinations) = (prepared.lab, prepared.destinations);
    tell(Event::Predicted(prepared.prediction.clone()));

    if plan.alone {
        observe::slab::settle();
    }
    let slab_before = observe::slab::read();
    let server_eyes = if lab.shares_namespace() {
        None
    } else {
        Some(lab.server.run(Eyes::open)??)
    };
    let mut origin = Instant::now() + HEAD_START;
    let config = observe::Config {
        // Who measures memory has to know how many ports are kept, and disturbs nobody.
        ports: plan.alone,
        server_endpoints: [&*destinations, &*prepared.filled].concat(),
        tuples: plan.observe.tuples,
        origin,
    };
    let observer = Observer::start(prepared.client_eyes, server_eyes, config)?;
    let work = Work {
        load: plan.load.clone(),
        pool: plan.pool.clone(),
        close: plan.close.clone(),
        client: plan.client.clone(),
        protocol: plan.server.protocol,
        sources: lab.client.addresses().to_vec(),
        destinations: destinations.clone(),
        tuples: plan.observe.tuples,
        tuples_a_pair: tuples_a_pair(plan, &prepared.prediction),
        request: vec![],
        ports: prepared.ports,
        shard: Shard::WHOLE,
        pacing: prepared.crew.pacing,
        reuse_descriptor: means.tuning.reuse_descriptor,
    };
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
    let client = Loading::start(&lab, work.clone(), &prepared.crew, means.tuning.engine, origin)?;
    let watch = Watch {
        origin,
        stop: means.stop,
        observer: &observer,
        control: Arc::clone(&client.control),
    };

    let (mut measured, engine) = client.finish(&watch, tell)?;
    let mut load = LoadRan::of(&work, &prepared.crew, &measured, engine);
    if prepared.program.is_some() {
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

impl LoadRan {
    fn of(work: &Work, crew: &Crew, measured: &Measured, engine: &str) -> Self {
        let owned = work.client.source == Source::Owned;
        Self {
            engine: engine.to_owned(),
            client_threads: measured.threads,
            server_threads: crew.server,
            pacing: (work.load.arrival != Arrival::Max).then(|| crew.pacing.to_string()),
            pinned: crew.pin.is_some(),
            descriptor_reused: work.reuse_descriptor
                && (work.close.closer, work.close.mode) == (Closer::Client, CloseMode::Abortive),
            source_port: match work.client.source {
                _ if owned && has_local_port_range() => Some("IP_LOCAL_PORT_RANGE of one port".to_owned()),
                _ if owned => {
                    Some("bind(address, port) without SO_REUSEADDR: one port for all destinations".to_owned())
                }
                Source::BindPort => Some("SO_REUSEADDR and bind(address, port): takes ports in TIME_WAIT".to_owned()),
                _ => None,
            },
            spun_seconds: measured.spun_nanos as f64 / 1e9,
            bottleneck: None,
        }
    }
}

/// Every server address with every server port: the load's, and those that are the fill's alone.
fn destinations(plan: &TrialPlan, lab: &Lab) -> [Vec<SocketAddr>; 2] {
    let (load, fill) = lab.server.addresses().split_at(plan.server.addresses as usize);
    [load, fill].map(|addresses| {
        let ports = (FIRST_SERVER_PORT..).take(plan.server.ports as usize);
        ports
            .flat_map(|port| addresses.iter().map(move |address| SocketAddr::new(*address, port)))
            .collect()
    })
}

/// Usable four-tuples of one pair of source and destination, where each one that the load takes stays taken as long as
/// TIME_WAIT lasts, and one pair's are not another's.
fn tuples_a_pair(plan: &TrialPlan, prediction: &Prediction) -> Option<u64> {
    let after_close = prediction.hold_seconds - plan.load.hold.as_secs_f64();
    let apart = match plan.client.source {
        Source::Ephemeral | Source::BindAddressNoPort | Source::PortRange => true,
        Source::Owned => has_local_port_range(),
        Source::BindAddress | Source::BindPort => false,
    };
    // Reuse would give them back sooner.
    (apart && prediction.capacity.is_some() && after_close >= model::TIME_WAIT_LONG).then_some(prediction.usable_ports)
}

fn listen(
    plan: &TrialPlan,
    lab: &Lab,
    destinations: &[SocketAddr],
    threads: u32,
) -> Result<Option<Listeners>, TrialError> {
    if !plan.server.listen || plan.server.exec.is_some() || destinations.is_empty() {
        return Ok(None);
    }
    let bound = lab
        .server
        .run(|| Listeners::bind_shared(destinations, plan.server.backlog, threads))?;
    bound.map(Some).map_err(|error| {
        TrialError::Unavailable(Unavailable {
            reason: error.to_string(),
            remedy: "end what holds the port, or use --lab loopback or --lab pair".into(),
        })
    })
}

/// Ports of the client's namespace that connect() cannot take because a socket listens on them.
fn bound_ports(eyes: &mut Eyes) -> Result<Vec<u16>, LookError> {
    let mut ports = Vec::new();
    eyes.dump(|socket| {
        if socket.state == crate::tcp::State::Listen {
            ports.push(socket.tuple.local.port());
        }
    })?;
    Ok(ports)
}

/// Whether tcp_tw_reuse=2 counts every pair as loopback: an end in 127/8 or ::1 (tcp_twsk_unique).
fn is_loopback(lab: &Lab, destinations: &[SocketAddr]) -> bool {
    let sources = lab.client.addresses();
    sources.iter().all(IpAddr::is_loopback) || destinations.iter().all(|address| address.ip().is_loopback())
}

/// The server's thread.
struct Serving {
    control: Arc<ServerControl>,
    thread: JoinHandle<Result<Served, EngineError>>,
}

impl Serving {
    fn start(plan: &TrialPlan, lab: &Lab, listeners: Listeners, crew: &Crew) -> Result<Self, TrialError> {
        let work = ServerWork::of_load(plan.server.clone(), plan.close.clone(), &plan.load);
        Self::begin(work, lab, listeners, crew)
    }

    fn begin(work: ServerWork, lab: &Lab, listeners: Listeners, crew: &Crew) -> Result<Self, TrialError> {
        let cpus = crew.pin.as_ref().map(|cpus| cpus.from(crew.client as usize));
        let control = Arc::new(ServerControl::default());
        let shared = Arc::clone(&control);
        let thread = lab
            .server
            .spawn("server", move || listeners.serve(&work, &shared, cpus.as_ref()))?;
        Ok(Self { control, thread })
    }

    fn stop(self) -> Result<Served, TrialError> {
        self.control.stop();
        Ok(join(self.thread)?)
    }
}

/// The client's thread, or the one that waits for the client's threads.
struct Loading {
    control: Arc<Control>,
    done: mpsc::Receiver<()>,
    thread: JoinHandle<Result<(Measured, &'static str), EngineError>>,
}

impl Loading {
    fn start(lab: &Lab, work: Work, crew: &Crew, engine: Choice, origin: Instant) -> Result<Self, TrialError> {
        let control = Arc::new(Control::default());
        let means = threads::Means {
            threads: crew.client,
            engine,
            pin: crew.pin.clone(),
        };
        let (finished, done) = mpsc::channel();
        let shared = Arc::clone(&control);
        let thread = lab.client.spawn("client", move || {
            std::thread::sleep(origin.saturating_duration_since(Instant::now()));
            let result = threads::run(&work, &means, &Clock::starting_at(origin), &shared);
            // The conductor may have given up waiting; then nobody needs to know.
            let _ = finished.send(());
            result
        })?;
        Ok(Self { control, done, thread })
    }

    /// Waits for the load's end and tells of it meanwhile.
    fn finish(self, watch: &Watch<'_>, tell: &mut dyn FnMut(Event)) -> Result<(Measured, &'static str), TrialError> {
        while let Err(mpsc::RecvTimeoutError::Timeout) = self.done.recv_timeout(TELL_EVERY) {
            watch.tell(false, tell);
            if watch.stopped() {
                self.control.stop();
            }
        }
        Ok(join(self.thread)?)
    }
}

/// What the conductor looks at while it waits.
struct Watch<'a> {
    origin: Instant,
    stop: &'a AtomicBool,
    observer: &'a Observer,
    control: Arc<Control>,
}

impl Watch<'_> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn tell(&self, observing: bool, tell: &mut dyn FnMut(Event)) {
        let (load, seen) = (self.control.live(), self.observer.latest());
        tell(Event::Progress(Progress {
            observing,
            seconds: self.origin.elapsed().as_secs_f64(),
            attempted: load.attempted,
            ok: load.ok,
            failed: load.failed,
            time_wait_client: seen.time_wait_client,
            time_wait_server: seen.time_wait_server,
        }));
    }

    /// Goes on observing until no TIME_WAIT is left, the time is over, or the user wants to stop.
    fn after(&self, limit: Duration, tell: &mut dyn FnMut(Event)) {
        let end = Instant::now() + limit;
        let held = || {
            let seen = self.observer.latest();
            seen.time_wait_client + seen.time_wait_server
        };
        while held() > 0 && Instant::now() < end && !self.stopped() {
            std::thread::sleep(TELL_EVERY.min(end.saturating_duration_since(Instant::now())));
            self.tell(true, tell);
        }
    }
}

fn join<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
