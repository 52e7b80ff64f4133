//! Fills destinations of their own with TIME_WAIT before the load begins: `[fill]`.
//!
//! The fill is a load like the other, with a server of its own: the same engine, source, exchange and close, as fast as it
//! goes. It runs after the observer has begun, so that the kernel's counters hold both, and the ledger adds its books to
//! the load's; every other figure of the record is the load's alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crew::{Crew, Loading, Serving};
use super::watch::Watch;
use super::{Means, TrialError, rest};
use crate::lab::Lab;
use crate::load::server::{Listeners, Served};
use crate::load::{Measured, Work};
use crate::observe::{Live, Observer};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Arrival;
use crate::tcp::Closer;

/// Connections open at once: enough to keep both ends busy.
const IN_FLIGHT: u32 = 16;

/// What the fill came to.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) planned: u64,
    pub(super) destinations: usize,
    /// None where nothing was to be filled.
    pub(super) run: Option<Run>,
    /// TIME_WAIT at its end.
    pub(super) time_wait: Live,
    /// From its beginning to the load's.
    pub(super) seconds: f64,
}

/// Both ends' books of a fill.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) measured: Measured,
    pub(super) served: Served,
    pub(super) unsettled: Option<String>,
}

/// What a fill needs of the trial.
pub(super) struct Scene<'a> {
    pub(super) plan: &'a TrialPlan,
    pub(super) lab: &'a Lab,
    pub(super) crew: &'a Crew,
    pub(super) means: Means<'a>,
    pub(super) observer: &'a Observer,
    /// The load's own work.
    pub(super) load: &'a Work,
}

impl Scene<'_> {
    /// Makes and closes so many connections to `destinations` and waits until both sides are at rest.
    pub(super) fn fill(
        &self,
        connections: u64,
        destinations: &[SocketAddr],
        listeners: Option<Listeners>,
    ) -> Result<Filled, TrialError> {
        let began = Instant::now();
        let run = match listeners {
            Some(listeners) if connections > 0 => Some(self.run(connections, destinations, listeners)?),
            _ => None,
        };
        Ok(Filled {
            planned: connections,
            destinations: destinations.len(),
            run,
            time_wait: self.observer.latest(),
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    fn run(&self, connections: u64, destinations: &[SocketAddr], listeners: Listeners) -> Result<Run, TrialError> {
        let server = Serving::start(self.plan, self.lab, listeners, self.crew)?;
        let origin = Instant::now();
        let work = self.work(connections, destinations.to_vec());
        let client = Loading::start(self.lab, work, self.crew, self.means.tuning.engine, origin)?;
        let watch = Watch {
            origin,
            stop: self.means.stop,
            observer: self.observer,
            control: client.control.clone(),
        };
        // Progress is told of the load alone.
        let (measured, _) = client.finish(&watch, &mut |_| {})?;
        let unsettled = rest::wait(Some(&server.control), measured.tally.connected, &watch, &mut |_| {})?;
        Ok(Run {
            measured,
            served: server.stop()?,
            unsettled,
        })
    }

    fn work(&self, connections: u64, destinations: Vec<SocketAddr>) -> Work {
        let mut work = Work {
            destinations,
            // Levels are the load's: the fill only has to get there.
            tuples_a_pair: None,
            ..self.load.clone()
        };
        let load = &mut work.load;
        (load.arrival, load.rate, load.duration) = (Arrival::Max, None, None);
        (load.connections, load.in_flight) = (Some(connections), IN_FLIGHT);
        if self.plan.close.closer == Closer::Client || self.plan.close.mode.says_quit() {
            // A server that closes first holds as long as the plan says, whoever connects.
            load.hold = Duration::ZERO;
        }
        work
    }
}
