//! The one thread that looks through the eyes of both sides.
//!
//! Twenty times a second it reads sockstat (10 µs), once a second it lists the sockets that wait. Where four-tuples are
//! followed it reads sockstat a hundred times a second as soon as a TIME_WAIT is due, and lists when the total has fallen
//! and stands still again: so the time of a departure is known to some 20 ms although a listing costs milliseconds.
//! Listings never take more than their budget, so a fuller table is looked at less often, and a growing one of a million
//! not before the end. How it looks is in `watch`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::departures::Departure;
use super::eyes::{Eyes, LookError};
use super::held_ports::PortCount;
use super::samples::Sample;
use super::sock_diag::Listing;
use super::time_waits::OnSides;
use super::watch::Watch;
use crate::record::schema::Observation;
use crate::tcp::State;

/// What to observe.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every address and port that the server listens on (or would): they tell whose a socket is.
    pub server_endpoints: Vec<SocketAddr>,
    /// Follow each TIME_WAIT to its departure.
    pub tuples: bool,
    /// Tell which ports the client keeps at the load's end: the last look then lists all sockets, whatever that costs.
    pub ports: bool,
    /// When the load begins: times count from here.
    pub origin: Instant,
}

/// TIME_WAIT sockets as of the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    pub time_wait_client: u64,
    pub time_wait_server: u64,
}

/// What was observed of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideObserved {
    /// The most TIME_WAIT at once, in any dump or attributed sample.
    pub peak: u64,
    /// TIME_WAIT at the last [`Observer::look_now`].
    pub end: u64,
    /// Mini-sockets then: TIME_WAIT and orphaned FIN_WAIT2.
    pub held: u64,
    /// Sockets by state then.
    pub states: BTreeMap<String, u64>,
    /// The most TIME_WAIT at once whose timer had reached 0.
    pub overdue_peak: u64,
}

/// What the observer saw, from its start to its last look.
#[derive(Clone, Debug)]
pub struct Observed {
    /// In order of time, at most 10,000.
    pub samples: Vec<Sample>,
    pub client: SideObserved,
    pub server: SideObserved,
    /// Local ports of the client's mini-sockets at the last [`Observer::look_now`]; None where that only counted.
    pub client_ports: Option<PortCount>,
    /// Who was in TIME_WAIT then, by the server's endpoint; None where there were too many to tell, or no look.
    pub time_waits: Option<Vec<(SocketAddr, OnSides)>>,
    /// Counter changes from the start to the last [`Observer::look_now`]: the client's namespace, then the server's;
    /// None where both sides share the first.
    pub counters: (BTreeMap<String, i64>, Option<BTreeMap<String, i64>>),
    /// When that look had ended, in seconds since the origin.
    pub end_seconds: f64,
    /// TIME_WAIT sockets that went, in no order; empty unless four-tuples were followed.
    pub departures: Vec<Departure>,
    pub cost: Observation,
}

/// A thread that observes until it is told to finish.
#[derive(Debug)]
pub struct Observer {
    orders: Sender<Order>,
    thread: JoinHandle<Observed>,
    live: Arc<[AtomicU64; 2]>,
}

#[derive(Debug)]
pub(super) enum Order {
    Begin(Instant),
    Look(Sender<Result<BTreeMap<State, u64>, LookError>>),
    Glance(Sender<Result<Option<BTreeMap<State, u64>>, LookError>>),
    Idle(Sender<Result<bool, LookError>>),
    Price(Sender<Duration>),
    Finish,
}

impl Observer {
    /// Takes the counters' first snapshot and begins to look. `server` is None where both sides share one namespace.
    ///
    /// # Errors
    /// [`LookError`] when the counters or the sockets cannot be read, [`LookError::File`] when no thread can be had.
    pub fn start(client: Eyes, server: Option<Eyes>, config: Config) -> Result<Self, LookError> {
        let live: Arc<[AtomicU64; 2]> = Arc::default();
        let mut watch = Watch::new(
            [Some(client), server].into_iter().flatten().collect(),
            config,
            live.clone(),
        )?;
        watch.dump(Listing::All)?;
        let (orders, inbox) = channel();
        let thread = std::thread::Builder::new()
            .name("observer".into())
            .spawn(move || watch.run(&inbox))
            .map_err(|source| LookError::File {
                file: "observer thread",
                source,
            })?;
        Ok(Self { orders, thread, live })
    }

    /// The counts of the last look, for the live view: between dumps, as the last dump attributes them.
    #[must_use]
    pub fn latest(&self) -> Live {
        Live {
            time_wait_client: self.live[0].load(Ordering::Relaxed),
            time_wait_server: self.live[1].load(Ordering::Relaxed),
        }
    }

    /// Looks at the sockets and the counters right now, and returns how many of both sides' sockets are in which state:
    /// the load's end. Of several calls the last counts.
    ///
    /// # Errors
    /// [`LookError`] when this look failed.
    pub fn look_now(&self) -> Result<BTreeMap<State, u64>, LookError> {
        self.ask(Order::Look)
    }

    /// Both sides' sockets that are neither in TIME_WAIT nor listen, by state: cheaper than [`Observer::look_now`] the
    /// more there are in TIME_WAIT, and nothing is kept of it. None where there are more sockets in use than before the
    /// load, and no need to ask which: each side has a namespace of its own.
    ///
    /// # Errors
    /// [`LookError`] when this look failed.
    pub fn glance(&self) -> Result<Option<BTreeMap<State, u64>>, LookError> {
        self.ask(Order::Glance)
    }

    /// Whether neither namespace has more sockets in use than when the observer began: mini-sockets and handshakes that
    /// hang aside. For 20 µs, however many sockets there are; another program's sockets count too.
    ///
    /// # Errors
    /// [`LookError`] when sockstat cannot be read.
    pub fn is_idle(&self) -> Result<bool, LookError> {
        self.ask(Order::Idle)
    }

    /// What [`Observer::look_now`] would take now, as far as earlier looks tell.
    #[must_use]
    pub fn price(&self) -> Duration {
        self.ask(Order::Price)
    }

    fn ask<T>(&self, order: impl FnOnce(Sender<T>) -> Order) -> T {
        let (reply, answer) = channel();
        let gone = "the observer thread lives until it is told to finish";
        self.orders.send(order(reply)).expect(gone);
        answer.recv().expect(gone)
    }

    /// The load begins at `origin` after all: times count from there, and the curve starts anew. Counters and peaks go on.
    pub fn begin(&self, origin: Instant) {
        // A thread that has ended tells why when it is joined.
        let _ = self.orders.send(Order::Begin(origin));
    }

    /// Ends the observation. Without a [`Observer::look_now`] before, the end is now.
    #[must_use]
    pub fn finish(self) -> Observed {
        // A thread that has ended tells why when it is joined.
        let _ = self.orders.send(Order::Finish);
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
