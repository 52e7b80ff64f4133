//! A lab that stands, with the server's sockets listening and the prediction made: all that comes before the first
//! connection.

use std::net::{IpAddr, SocketAddr};

use super::crew::Crew;
use super::program::RealServer;
use super::{Means, TrialError, Tuning};
use crate::lab::machine::Machine;
use crate::lab::{FIRST_SERVER_PORT, Lab, Unavailable, limits};
use crate::load::server::Listeners;
use crate::load::{Shard, Work};
use crate::model::kernel::KernelVersion;
use crate::model::{self, Facts};
use crate::observe::{Eyes, LookError};
use crate::record::schema::{Prediction, SideSysctls};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Source;
use crate::tcp::State;
use crate::tcp::options::has_local_port_range;

/// What a lab is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Measure,
    /// Somebody else's server need not be started to predict a trial.
    Foresee,
}

/// A lab that stands, with the server's sockets listening.
pub(super) struct Prepared {
    pub(super) lab: Lab,
    pub(super) kernel: KernelVersion,
    pub(super) sysctl: SideSysctls,
    pub(super) destinations: Vec<SocketAddr>,
    /// The fill's own.
    pub(super) filled: Vec<SocketAddr>,
    /// The load's and the fill's.
    pub(super) listeners: [Option<Listeners>; 2],
    pub(super) program: Option<RealServer>,
    pub(super) client_eyes: Eyes,
    pub(super) prediction: Prediction,
    pub(super) crew: Crew,
    /// Ports that the harness itself chooses from.
    ports: Vec<u16>,
}

pub(super) fn prepare(
    plan: &TrialPlan,
    means: Means<'_>,
    machine: &Machine,
    purpose: Purpose,
) -> Result<Prepared, TrialError> {
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
    let mut client_eyes = lab.client.run(Eyes::open)??;
    let facts = facts(&lab, machine, &sysctl, &destinations, &mut client_eyes)?;
    let prediction = model::predict(plan, &facts);
    Ok(Prepared {
        lab,
        kernel: facts.kernel,
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

impl Prepared {
    /// What the client is to do.
    pub(super) fn work(&self, plan: &TrialPlan, tuning: Tuning) -> Work {
        Work {
            load: plan.load.clone(),
            pool: plan.pool.clone(),
            close: plan.close.clone(),
            client: plan.client.clone(),
            protocol: plan.server.protocol,
            sources: self.lab.client.addresses().to_vec(),
            destinations: self.destinations.clone(),
            tuples: plan.observe.tuples,
            tuples_a_pair: tuples_a_pair(plan, &self.prediction),
            ports: self.ports.clone(),
            shard: Shard::WHOLE,
            pacing: self.crew.pacing,
            reuse_descriptor: tuning.reuse_descriptor,
        }
    }
}

pub(super) fn effective_sysctls(lab: &Lab) -> Result<SideSysctls, Unavailable> {
    Ok(SideSysctls {
        client: lab.client.effective_sysctls()?,
        server: lab.server.effective_sysctls()?,
        global: lab.global_sysctls(),
    })
}

/// Every server address with every server port: the load's, and those that are the fill's alone.
fn destinations(plan: &TrialPlan, lab: &Lab) -> [Vec<SocketAddr>; 2] {
    let (load, fill) = lab.server.addresses().split_at(plan.server.addresses as usize);
    [load, fill].map(|addresses| each_with_each(addresses, FIRST_SERVER_PORT, plan.server.ports))
}

/// Every address with so many ports, from the first on.
pub(super) fn each_with_each(addresses: &[IpAddr], first: u16, ports: u32) -> Vec<SocketAddr> {
    let ports = (first..=u16::MAX).take(ports as usize);
    ports
        .flat_map(|port| addresses.iter().map(move |address| SocketAddr::new(*address, port)))
        .collect()
}

pub(super) fn listen(
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

/// What the model is told of the lab before anything is done in it.
pub(super) fn facts(
    lab: &Lab,
    machine: &Machine,
    sysctl: &SideSysctls,
    destinations: &[SocketAddr],
    client_eyes: &mut Eyes,
) -> Result<Facts, LookError> {
    Ok(Facts {
        kernel: KernelVersion::parse(&machine.kernel).unwrap_or(KernelVersion::NEWEST),
        hz: machine.hz,
        client: sysctl.client.clone(),
        server: sysctl.server.clone(),
        bound: bound_ports(client_eyes)?,
        loopback: is_loopback(lab, destinations),
    })
}

/// The eyes of a server that has a namespace of its own.
pub(super) fn server_eyes(lab: &Lab) -> Result<Option<Eyes>, TrialError> {
    if lab.shares_namespace() {
        return Ok(None);
    }
    Ok(Some(lab.server.run(Eyes::open)??))
}

/// Ports of the client's namespace that connect() cannot take because a socket listens on them.
fn bound_ports(eyes: &mut Eyes) -> Result<Vec<u16>, LookError> {
    let mut ports = Vec::new();
    eyes.dump(|socket| {
        if socket.state == State::Listen {
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
