//! What the observer's thread does: when to look, and putting looks together.
//!
//! Whose a socket is, what departed, and how a total is shared out is told by `census`, `departures` and `samples`; what
//! may be spent by `budget`; the load's end is looked at in `last`. A regular listing is of what waits alone, and only in
//! namespaces where sockstat counts any: what else is open is asked for at the end.

mod last;
mod namespace;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use self::namespace::Namespace;
use super::budget::Budget;
use super::census::{Census, Endpoints, Side};
use super::counters;
use super::cpu::thread_time;
use super::departures::Departures;
use super::eyes::{Eyes, LookError};
use super::held_ports::{HeldPorts, PortCount};
use super::observer::{Config, Observed, Order, SideObserved};
use super::samples::{Holder, Sample, Samples};
use super::sock_diag::Listing;
use super::time_waits::{OnSides, TimeWaits};
use crate::record::schema::{LastLook, Looks, Observation};
use crate::tcp::State;

/// Between two readings of sockstat; the second while a TIME_WAIT that is followed may end any moment.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
const SAMPLE_CLOSELY_EVERY: Duration = Duration::from_millis(10);
/// Between two dumps, as long as the budget allows them.
const DUMP_EVERY: Duration = Duration::from_secs(1);

/// The thread's own state.
#[derive(Debug)]
pub(super) struct Watch {
    namespaces: Vec<Namespace>,
    endpoints: Endpoints,
    origin: Instant,
    live: Arc<[AtomicU64; 2]>,
    /// When the first TIME_WAIT of the last dump will be due, where they are followed.
    next_end: Option<Instant>,
    looked_at: Instant,
    budget: Budget,
    last_dump: Instant,
    /// The last two totals of all namespaces, to see that a fall is over.
    totals: [u64; 2],
    /// Totals by namespace since the last dump, waiting to be attributed.
    pending: Vec<(f64, [Option<u64>; 2])>,
    samples: Samples,
    departures: Option<Departures>,
    sides: [SideObserved; 2],
    census: [Census; 2],
    client_ports: Option<PortCount>,
    /// See [`Config::ports`].
    must_list: bool,
    time_waits: Option<Vec<(SocketAddr, OnSides)>>,
    looked: bool,
    last_look: Option<LastLook>,
    /// What looks cost, by kind.
    looks: BTreeMap<&'static str, Looks>,
    end_seconds: f64,
    began: Instant,
    sockstat_samples: u64,
    dumps: u64,
    longest_gap: Duration,
    trouble: Option<String>,
}

impl Watch {
    pub(super) fn new(eyes: Vec<Eyes>, config: Config, live: Arc<[AtomicU64; 2]>) -> Result<Self, LookError> {
        let mut namespaces = Vec::with_capacity(eyes.len());
        for eyes in eyes {
            namespaces.push(Namespace::new(eyes)?);
        }
        let now = Instant::now();
        Ok(Self {
            namespaces,
            endpoints: Endpoints::new(&config.server_endpoints),
            origin: config.origin,
            live,
            next_end: None,
            looked_at: now,
            budget: Budget::default(),
            last_dump: now,
            totals: [0; 2],
            pending: Vec::new(),
            samples: Samples::default(),
            departures: config.tuples.then(Departures::default),
            sides: Default::default(),
            census: Default::default(),
            client_ports: None,
            must_list: config.ports,
            time_waits: None,
            looked: false,
            last_look: None,
            looks: BTreeMap::new(),
            end_seconds: 0.0,
            began: now,
            sockstat_samples: 0,
            dumps: 0,
            longest_gap: Duration::ZERO,
            trouble: None,
        })
    }

    pub(super) fn run(mut self, inbox: &Receiver<Order>) -> Observed {
        let mut due = Instant::now();
        loop {
            due = self.next_look(due);
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Order::Look(reply)) => {
                    // Nobody waits for the answer of a caller that is gone.
                    let _ = reply.send(self.look_at_end());
                }
                Ok(Order::Glance(reply)) => {
                    let _ = reply.send(self.glance());
                }
                Ok(Order::Idle(reply)) => {
                    let _ = reply.send(self.is_idle());
                }
                Ok(Order::Price(reply)) => {
                    let _ = reply.send(self.budget.price(self.totals[1]));
                }
                Ok(Order::Begin(origin)) => {
                    self.origin = origin;
                    self.samples = Samples::default();
                    self.pending.clear();
                }
                Ok(Order::Finish) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
                Err(RecvTimeoutError::Timeout) => {
                    let result = self.look();
                    self.note(result);
                }
            }
        }
    }

    /// When to look after the look that was due at `last`: on a grid, without making up for looks that were missed.
    fn next_look(&self, last: Instant) -> Instant {
        let now = Instant::now();
        if last > now {
            return last;
        }
        let closely = self.next_end.is_some_and(|end| end <= now + SAMPLE_EVERY);
        let every = if closely { SAMPLE_CLOSELY_EVERY } else { SAMPLE_EVERY };
        (last + every).max(now)
    }

    /// A regular look: sockstat, and a dump if one is due.
    fn look(&mut self) -> Result<(), LookError> {
        let now = Instant::now();
        self.sample()?;
        let sockets = self.totals[1];
        self.budget.earn(now - self.looked_at, sockets);
        self.looked_at = now;
        let waited = self.last_dump.elapsed() >= DUMP_EVERY && self.sees_change();
        let called_for = waited || self.unattributed() || self.departed();
        let follow = self.departures.is_some() && self.budget.full(sockets);
        if (follow || called_for) && self.budget.affords_one(sockets, thread_time(), self.began.elapsed()) {
            self.dump(Listing::Waiting)
        } else {
            Ok(())
        }
    }

    /// Whether another listing could tell anything: not where sockstat tells that there is nothing to list, and was
    /// nothing before.
    fn sees_change(&self) -> bool {
        let counted = self.namespaces.iter().all(|namespace| namespace.total.is_some());
        let nobody = |namespace: &Namespace| namespace.holder == Holder::Nobody;
        !(counted && self.totals[1] == 0 && self.namespaces.iter().all(nobody))
    }

    /// Whether there is a total now where the last dump found nobody to hold it.
    fn unattributed(&self) -> bool {
        self.totals[1] > 0
            && self
                .namespaces
                .iter()
                .all(|namespace| namespace.holder == Holder::Nobody)
    }

    /// Whether four-tuples are followed and some have gone: the total is lower than before the last dump, and falls no
    /// more.
    fn departed(&self) -> bool {
        let before: u64 = self.namespaces.iter().filter_map(|namespace| namespace.total).sum();
        self.departures.is_some() && self.totals[1] < before && self.totals[1] == self.totals[0]
    }

    /// Reads sockstat of each namespace.
    fn sample(&mut self) -> Result<(), LookError> {
        let cpu = thread_time();
        let mut totals = [None; 2];
        for (namespace, total) in self.namespaces.iter_mut().zip(&mut totals) {
            *total = namespace.eyes.mini_sockets()?;
        }
        self.sockstat_samples += 1;
        self.totals = [self.totals[1], totals.iter().flatten().sum()];
        self.pending.push((self.seconds(), totals));
        let shares = self.shares(totals, self.holders());
        for (index, live) in self.live.iter().enumerate() {
            live.store(
                shares[index].unwrap_or(self.census[index].time_wait()),
                Ordering::Relaxed,
            );
        }
        self.count_look("sockstat", 0, cpu);
        Ok(())
    }

    /// Enters what a look cost that began at `cpu` of the thread's time.
    fn count_look(&mut self, kind: &'static str, sockets: u64, cpu: Duration) -> Duration {
        let cost = thread_time() - cpu;
        let looks = self.looks.entry(kind).or_default();
        looks.count += 1;
        looks.sockets += sockets;
        looks.cpu_seconds += cost.as_secs_f64();
        cost
    }

    /// Lists the sockets that are wanted, and settles what waited for it.
    pub(super) fn dump(&mut self, wanted: Listing) -> Result<(), LookError> {
        let cpu = thread_time();
        self.longest_gap = self.longest_gap.max(self.last_dump.elapsed());
        self.last_dump = Instant::now();
        self.dumps += 1;
        let mut listed = 0;
        let result = self.list_sockets(wanted, &mut listed);
        let kind = match wanted {
            Listing::All => "listing of all",
            Listing::Waiting => "listing of what waits",
            Listing::Moving => "listing of what moves",
        };
        let cost = self.count_look(kind, listed, cpu);
        self.budget.spend(cost, listed);
        result
    }

    fn list_sockets(&mut self, wanted: Listing, listed: &mut u64) -> Result<(), LookError> {
        for namespace in &mut self.namespaces {
            namespace.total = namespace.eyes.mini_sockets()?;
        }
        let (mut sides, mut holders) = (<[Census; 2]>::default(), self.holders());
        let began = self.nanos();
        if let Some(departures) = &mut self.departures {
            departures.begin(began);
        }
        let minis = self.namespaces.iter().filter_map(|namespace| namespace.total).sum();
        let dear = self.budget.is_dear(minis);
        let mut next_end = u32::MAX;
        let mut result = Ok(());
        let mut held_ports = HeldPorts::default();
        let mut time_waits = (wanted == Listing::All).then(TimeWaits::default);
        for (namespace, holder) in self.namespaces.iter_mut().zip(&mut holders) {
            let mut here = <[Census; 2]>::default();
            let mut strangers = 0;
            // A walk through the kernel's table for nothing: none waits, and nothing else is there but what was before.
            if namespace.total == Some(0) && (wanted == Listing::Waiting || dear && namespace.is_idle()?) {
                *holder = Holder::Nobody;
                if let (Listing::All, Some((_, before))) = (wanted, &namespace.before_load) {
                    sides.iter_mut().zip(before).for_each(|(side, here)| side.add(here));
                }
                continue;
            }
            let ended = namespace.eyes.list(wanted, |socket| {
                *listed += 1;
                match self.endpoints.side(&socket.tuple) {
                    Some(side) => {
                        here[side as usize].count(&socket);
                        if let (Side::Client, true) = (side, socket.mini) {
                            held_ports.see(socket.tuple.local);
                        }
                        if let (Some(time_waits), State::TimeWait) = (&mut time_waits, socket.state) {
                            time_waits.see(side, socket.tuple);
                        }
                        if let (Some(departures), State::TimeWait) = (&mut self.departures, socket.state) {
                            departures.see(side, &socket);
                            next_end = next_end.min(socket.expires_ms);
                        }
                    }
                    None => strangers += u64::from(socket.mini),
                }
            });
            result = result.and(ended);
            if wanted == Listing::All && namespace.before_load.is_none() {
                namespace.before_load = Some((namespace.eyes.in_use()?, here.clone()));
            }
            *holder = Holder::of(&here[0], &here[1], strangers);
            for (side, here) in sides.iter_mut().zip(&here) {
                side.add(here);
            }
        }
        let ended = self.nanos();
        if let Some(departures) = &mut self.departures {
            departures.end(ended, result.is_ok());
            self.next_end = (next_end < u32::MAX).then(|| self.last_dump + Duration::from_millis(next_end.into()));
        }
        result?;
        self.client_ports = Some(held_ports.count());
        if let Some(time_waits) = time_waits {
            self.time_waits = time_waits.count();
        }
        self.settle(holders);
        self.take(sides);
        Ok(())
    }

    /// Attributes the samples since the last dump, now that there are dumps on both sides of them.
    fn settle(&mut self, after: [Holder; 2]) {
        for (t, totals) in std::mem::take(&mut self.pending) {
            let [client, server] = self.shares(totals, after);
            for (side, share) in self.sides.iter_mut().zip([client, server]) {
                side.peak = side.peak.max(share.unwrap_or(0));
            }
            if client.is_some() || server.is_some() {
                self.samples.push(Sample { t, client, server });
            }
        }
        for (namespace, holder) in self.namespaces.iter_mut().zip(after) {
            namespace.holder = holder;
        }
    }

    /// Each side's TIME_WAIT in the namespaces' totals: in its own, or in the one that both share.
    fn shares(&self, totals: [Option<u64>; 2], after: [Holder; 2]) -> [Option<u64>; 2] {
        let last = self.namespaces.len() - 1;
        [(Side::Client, 0), (Side::Server, last)]
            .map(|(side, index)| self.namespaces[index].holder.share(after[index], side, totals[index]?))
    }

    fn holders(&self) -> [Holder; 2] {
        let last = self.namespaces.len() - 1;
        [self.namespaces[0].holder, self.namespaces[last].holder]
    }

    /// A complete dump's counts.
    fn take(&mut self, census: [Census; 2]) {
        let [client, server] = [census[0].time_wait(), census[1].time_wait()];
        for (index, (side, census)) in self.sides.iter_mut().zip(&census).enumerate() {
            side.peak = side.peak.max(census.time_wait());
            side.overdue_peak = side.overdue_peak.max(census.overdue);
            self.live[index].store(census.time_wait(), Ordering::Relaxed);
        }
        self.samples.push(Sample {
            t: self.seconds(),
            client: Some(client),
            server: Some(server),
        });
        self.census = census;
    }

    fn finish(mut self) -> Observed {
        if !self.looked {
            let result = self.look_at_end();
            self.note(result.map(|_| ()));
        }
        // What went since the last listing is noticed by one more, and what a listing missed is confirmed by the next.
        if self.went_unseen() {
            let result = self.dump(Listing::Waiting);
            self.note(result);
        }
        if self.departures.as_ref().is_some_and(Departures::unconfirmed) {
            let result = self.dump(Listing::Waiting);
            self.note(result);
        }
        let observed = self.began.elapsed();
        // All that this thread has used, since it does nothing else.
        let cpu = thread_time();
        let source = self.namespaces[0].eyes.source().to_string();
        let mut counters = self.namespaces.iter().map(|n| counters::delta(&n.before, &n.after));
        let counters = (counters.next().unwrap_or_default(), counters.next());
        let [client, server] = self.sides;
        Observed {
            samples: self.samples.into_kept(),
            client,
            server,
            client_ports: self.client_ports,
            time_waits: self.time_waits,
            counters,
            end_seconds: self.end_seconds,
            departures: self.departures.map(Departures::into_gone).unwrap_or_default(),
            cost: Observation {
                cpu_seconds: cpu.as_secs_f64(),
                share_of_core: cpu.as_secs_f64() / observed.as_secs_f64().max(f64::MIN_POSITIVE),
                sockstat_samples: self.sockstat_samples,
                socket_dumps: self.dumps,
                longest_gap_seconds: self.longest_gap.as_secs_f64(),
                source,
                looks: self
                    .looks
                    .into_iter()
                    .map(|(kind, looks)| (kind.to_owned(), looks))
                    .collect(),
                last_look: self.last_look,
                trouble: self.trouble,
            },
        }
    }

    fn note(&mut self, result: Result<(), LookError>) {
        if let Err(error) = result {
            self.trouble.get_or_insert_with(|| error.to_string());
        }
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn seconds(&self) -> f64 {
        self.origin.elapsed().as_secs_f64()
    }
}
