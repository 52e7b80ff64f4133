//! One end of a lab: its addresses, its sysctls, and threads that run inside its namespace.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use super::address::End;
use super::globals::Globals;
use super::namespace::{Namespace, no_thread, on_a_thread};
use super::{Unavailable, sysctl};

/// The client's or the server's end of a lab.
#[derive(Debug)]
pub struct Side {
    end: End,
    /// None: the namespace of the process itself (topology host).
    namespace: Option<Arc<Namespace>>,
    addresses: Vec<IpAddr>,
    /// The names of the sysctls that the plan set.
    set: Vec<String>,
    /// Those that the kernel has once for the whole machine.
    globals: Globals,
}

impl Side {
    pub(super) fn new(end: End, namespace: Option<Arc<Namespace>>, addresses: Vec<IpAddr>) -> Self {
        Self {
            end,
            namespace,
            addresses,
            set: Vec::new(),
            globals: Globals::default(),
        }
    }

    /// The same side of a machine whose global sysctls may be set, or not.
    pub(super) fn with(self, globals: &Globals) -> Self {
        Self {
            globals: globals.clone(),
            ..self
        }
    }

    pub(super) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// `client` or `server`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.end.name()
    }

    /// The side's addresses, usable at once; the first is the source of connections that bind none. (Not so over IPv6
    /// loopback to a further address of the server, for which the kernel takes the destination itself as the source.)
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Runs `work` inside the side's namespace, on a thread of its own, and waits for it.
    ///
    /// # Errors
    /// No thread could be started, or it could not enter the namespace; `work` has not run.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Unavailable> {
        match &self.namespace {
            Some(namespace) => namespace.run(self.name(), work),
            None => on_a_thread(self.name(), work),
        }
    }

    /// Starts a thread called `name` (the kernel keeps 15 bytes of it) inside the side's namespace. The namespace lives
    /// as long as the thread.
    ///
    /// # Errors
    /// No thread could be started, or it could not enter the namespace; `work` has not run.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, Unavailable> {
        // A thread starts in the namespace of the thread that starts it.
        self.run(|| thread::Builder::new().name(name.to_owned()).spawn(work))?
            .map_err(|error| no_thread(&error))
    }

    /// The sysctls that bear on TIME_WAIT, ports and the accept queue, as they are in the side's namespace, and those
    /// that the plan set. Of what the kernel has once for the whole machine, what scenarios set is read outside, where it
    /// is shown; what the kernel lacks is absent.
    ///
    /// # Errors
    /// As [`Side::run`].
    pub fn effective_sysctls(&self) -> Result<BTreeMap<String, String>, Unavailable> {
        let set = || self.set.iter().map(String::as_str);
        let mut values = sysctl::read_all(sysctl::THAT_HOLD_FROM_OUTSIDE.into_iter().chain(set()));
        values.extend(self.run(|| sysctl::read_all(sysctl::THAT_MATTER.into_iter().chain(set())))?);
        Ok(values)
    }

    /// Sets one sysctl in mid-run and reads it back; where the kernel has it once for the whole machine (booted machines
    /// only), for the other side too.
    ///
    /// # Errors
    /// The kernel lacks it, refuses the value, or keeps another; or it is not the namespace's own.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), Unavailable> {
        self.globals.release(self.name(), name);
        sysctl::set(self, name, value)
    }

    /// Writes each and reads it back, in the order of their names.
    pub(super) fn set_sysctls(&mut self, values: &BTreeMap<String, String>) -> Result<(), Unavailable> {
        for (name, value) in values {
            sysctl::set(self, name, value)?;
        }
        self.set = values.keys().cloned().collect();
        Ok(())
    }

    /// The namespace's descriptor, to be named in a netlink request; None: the host's.
    pub(super) fn namespace_descriptor(&self) -> Option<RawFd> {
        self.namespace.as_deref().map(Namespace::descriptor)
    }

    /// Whether both sides are in one namespace.
    pub(super) fn is_with(&self, other: &Self) -> bool {
        match (&self.namespace, &other.namespace) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}
