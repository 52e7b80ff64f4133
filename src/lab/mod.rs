//! What the machine allows, and the network that a trial runs in: namespaces, topology, sysctls, limits.
//!
//! A lab is made of unnamed network namespaces. Only open descriptors and threads keep one alive, so that it vanishes
//! with the process however that ends, links, addresses and sysctls included. The host's own network is never written.
//! Knows the plan's topology, addresses and sysctls; must not know what is done in the lab.
#![forbid(unsafe_code)]

mod address;
mod globals;
pub mod limits;
pub mod machine;
mod namespace;
mod nat;
mod netlink;
pub mod preflight;
pub mod privilege;
mod side;
mod sysctl;
mod topology;

use std::sync::Arc;

use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::{Family, Topology};
use address::End;
use globals::Globals;
use namespace::Namespace;
pub use privilege::Privilege;
pub use side::Side;

/// The server's first port; further ones follow it. Above the privileged ports and below every default ephemeral
/// range (it starts at 32768), so that no client's port takes one of the server's.
pub const FIRST_SERVER_PORT: u16 = 7000;

/// Why a lab could not be made as asked, and what would mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; to mend it: {remedy}")]
pub struct Unavailable {
    pub reason: String,
    pub remedy: String,
}

impl Unavailable {
    fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

/// The network of one trial, gone when this is dropped and no thread is left in it.
#[derive(Debug)]
pub struct Lab {
    pub client: Side,
    pub server: Side,
    /// Of topology `nat`.
    router: Option<Side>,
    description: String,
}

impl Lab {
    /// Builds the topology that the plan asks for, gives both sides their addresses and sets their sysctls.
    ///
    /// # Errors
    /// Whatever the machine forbids or lacks, a sysctl that did not take included. Nothing is left behind.
    pub fn build(plan: &TrialPlan, privilege: Privilege) -> Result<Self, Unavailable> {
        if privilege == Privilege::None && plan.lab.topology != Topology::Host {
            return Err(Unavailable::new(
                "a network namespace needs privileges that were not acquired",
                "run as root, allow user namespaces (linger check tells how), or use --lab host",
            ));
        }
        preflight::require_options(plan.client.source)?;
        let globals = match privilege {
            Privilege::Machine => Globals::ours(),
            _ => Globals::default(),
        };
        let mut router = None;
        let (client, server) = match plan.lab.topology {
            Topology::Host => on_the_host(plan, &globals)?,
            Topology::Loopback => over_loopback(plan, &globals)?,
            Topology::Pair => over_links(plan, topology::join_by_veth, &globals)?,
            Topology::Routed => over_links(plan, topology::join_by_two_ways, &globals)?,
            Topology::Nat => {
                let (client, between, server) = over_a_router(plan, &globals)?;
                router = Some(between);
                (client, server)
            }
        };
        let description = match plan.lab.topology {
            Topology::Host => "host".to_owned(),
            Topology::Loopback => format!("loopback, {privilege}"),
            Topology::Pair => format!("pair, {privilege}"),
            Topology::Nat => format!("nat, {privilege}"),
            Topology::Routed => format!("routed, {privilege}"),
        };
        Ok(Self {
            client,
            server,
            router,
            description,
        })
    }

    /// How the lab was made, such as `pair, user namespace`.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// The sysctls that this kernel has once for the whole machine and that were set there, by name.
    #[must_use]
    pub fn global_sysctls(&self) -> Vec<String> {
        self.client.globals().names()
    }

    /// Whether a router between gives the client another address.
    #[must_use]
    pub fn translates(&self) -> bool {
        self.router.is_some()
    }

    /// Whether client and server are in one network namespace, and so share sysctls, counters and TIME_WAIT sockets.
    #[must_use]
    pub fn shares_namespace(&self) -> bool {
        self.client.is_with(&self.server)
    }
}

/// Brings up the loopback interface of the network that this process is in. Only for the first process of a machine that
/// was booted for the trials, which comes up without: topology host needs it there. Elsewhere it would change the host.
///
/// # Errors
/// What the kernel refused.
pub fn raise_loopback_of_a_booted_machine() -> Result<(), Unavailable> {
    topology::raise_loopback(&Side::new(End::Client, None, vec![]), Family::Ipv4, &[])
}

fn on_the_host(plan: &TrialPlan, globals: &Globals) -> Result<(Side, Side), Unavailable> {
    if let Some(name) = plan.sysctl.client.keys().chain(plan.sysctl.server.keys()).next()
        && !globals.are_ours()
    {
        return Err(Unavailable::new(
            format!("the scenario sets {name}, and topology host reads the host's sysctls but never sets them"),
            "use --lab loopback or --lab pair, or leave the sysctl out",
        ));
    }
    let [client, server] = address::addresses(plan);
    topology::check_host(&[&client, &server])?;
    let mut client = Side::new(End::Client, None, client).with(globals);
    let mut server = Side::new(End::Server, None, server).with(globals);
    client.set_sysctls(&plan.sysctl.client)?;
    server.set_sysctls(&plan.sysctl.server)?;
    Ok((client, server))
}

fn over_loopback(plan: &TrialPlan, globals: &Globals) -> Result<(Side, Side), Unavailable> {
    let [client, server] = address::addresses(plan);
    let namespace = Arc::new(Namespace::create()?);
    let mut client = Side::new(End::Client, Some(Arc::clone(&namespace)), client).with(globals);
    let mut server = Side::new(End::Server, Some(namespace), server).with(globals);
    topology::raise_loopback(&client, plan.lab.family, &[client.addresses(), server.addresses()])?;
    let both = sysctl::merged(&plan.sysctl)?;
    client.set_sysctls(&both)?;
    server.set_sysctls(&both)?;
    Ok((client, server))
}

/// How two sides in a namespace each are joined.
type Join = fn(&Side, &Side, Family) -> Result<(), Unavailable>;

fn over_links(plan: &TrialPlan, join: Join, globals: &Globals) -> Result<(Side, Side), Unavailable> {
    let [client, server] = address::addresses(plan);
    let mut client = Side::new(End::Client, Some(Arc::new(Namespace::create()?)), client).with(globals);
    let mut server = Side::new(End::Server, Some(Arc::new(Namespace::create()?)), server).with(globals);
    join(&client, &server, plan.lab.family)?;
    client.set_sysctls(&plan.sysctl.client)?;
    server.set_sysctls(&plan.sysctl.server)?;
    Ok((client, server))
}

fn over_a_router(plan: &TrialPlan, globals: &Globals) -> Result<(Side, Side, Side), Unavailable> {
    let [client, server] = address::addresses(plan);
    let between = vec![End::Router.first_address(plan.lab.family)];
    let mut client = Side::new(End::Client, Some(Arc::new(Namespace::create()?)), client).with(globals);
    let mut router = Side::new(End::Router, Some(Arc::new(Namespace::create()?)), between).with(globals);
    let mut server = Side::new(End::Server, Some(Arc::new(Namespace::create()?)), server).with(globals);
    topology::join_by_router(&client, &router, &server, plan.lab.family)?;
    nat::translate(&router, plan.lab.family, plan.lab.nat_ports)?;
    client.set_sysctls(&plan.sysctl.client)?;
    router.set_sysctls(&plan.sysctl.router)?;
    server.set_sysctls(&plan.sysctl.server)?;
    Ok((client, router, server))
}
