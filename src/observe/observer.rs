//! The one thread that looks through the eyes of both sides.
//!
//! Twenty times a second it reads sockstat (10 µs), once a second it dumps the sockets. Where four-tuples are followed
//! it reads sockstat a hundred times a second and dumps when the total has fallen and stands still again, since then
//! something has departed: so the time of a departure is known to some 10 ms although a dump costs milliseconds. Dumps
//! never take more than their budget, so a fuller table is looked at less often. Answers for when to look and for
//! putting looks together; whose a socket is, and what departed, is told by `census` and `departures`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::census::{Census, Endpoints, Side};
use super::counters::{self, Snapshot};
use super::cpu::thread_time;
use super::departures::{Departure, Departures};
use super::eyes::{Eyes, LookError};
use super::samples::{Holder, Sample, Samples};
use crate::record::schema::Observation;
use crate::tcp::State;

/// Between two readings of sockstat; the second where four-tuples are followed.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
const SAMPLE_EVERY_FOR_TUPLES: Duration = Duration::from_millis(10);
/// Between two dumps, as long as the budget allows them.
const DUMP_EVERY: Duration = Duration::from_secs(1);

/// What to observe.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every address and port that the server listens on (or would): they tell whose a socket is.
    pub server_endpoints: Vec<SocketAddr>,
    /// Follow each TIME_WAIT to its departure.
    pub tuples: bool,
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
    /// Counter changes from the start to the last [`Observer::look_now`]: the client's namespace, then the server's;
    /// None where both sides share the first.
    pub counters: (BTreeMap<String, i64>, Option<BTreeMap<String, i64>>),
    /// TIME_WAIT sockets that went, in no order; empty unless four-tuples were followed.
    pub departures: Vec<Departure>,
    pub cost: Observation,
    /// The first look that failed, if one did: what was observed is then incomplete.
    pub trouble: Option<String>,
}

/// A thread that observes until it is told to finish.
#[derive(Debug)]
pub struct Observer {
    orders: Sender<Order>,
    thread: JoinHandle<Observed>,
    live: Arc<[AtomicU64; 2]>,
}

#[derive(Debug)]
enum Order {
    Look(Sender<Result<(), LookError>>),
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
        watch.dump()?;
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

    /// Dumps the sockets and reads the counters right now, and returns when it is done: the load's end. Of several
    /// calls the last counts.
    ///
    /// # Errors
    /// [`LookError`] when this look failed.
    pub fn look_now(&self) -> Result<(), LookError> {
        let (reply, answer) = channel();
        let gone = "the observer thread lives until it is told to finish";
        self.orders.send(Order::Look(reply)).expect(gone);
        answer.recv().expect(gone)
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

/// One namespace, and what the last looks at it gave.
#[derive(Debug)]
struct Namespace {
    eyes: Eyes,
    before: Snapshot,
    after: Snapshot,
    holder: Holder,
    /// sockstat just before the last dump; None on kernels that do not count by namespace.
    total: Option<u64>,
}

/// The thread's own state.
#[derive(Debug)]
struct Watch {
    namespaces: Vec<Namespace>,
    endpoints: Endpoints,
    origin: Instant,
    live: Arc<[AtomicU64; 2]>,
    sample_every: Duration,
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
    looked: bool,
    began: Instant,
    cpu_at_start: Duration,
    sockstat_samples: u64,
    dumps: u64,
    longest_gap: Duration,
    trouble: Option<String>,
}

impl Watch {
    fn new(eyes: Vec<Eyes>, config: Config, live: Arc<[AtomicU64; 2]>) -> Result<Self, LookError> {
        let mut namespaces = Vec::with_capacity(eyes.len());
        for mut eyes in eyes {
            let before = eyes.counters()?;
            namespaces.push(Namespace {
                eyes,
                after: before.clone(),
                before,
                holder: Holder::Nobody,
                total: None,
            });
        }
        let now = Instant::now();
        Ok(Self {
            namespaces,
            endpoints: Endpoints::new(&config.server_endpoints),
            origin: config.origin,
            live,
            sample_every: if config.tuples {
                SAMPLE_EVERY_FOR_TUPLES
            } else {
                SAMPLE_EVERY
            },
            budget: Budget::default(),
            last_dump: now,
            totals: [0; 2],
            pending: Vec::new(),
            samples: Samples::default(),
            departures: config.tuples.then(Departures::default),
            sides: Default::default(),
            census: Default::default(),
            looked: false,
            began: now,
            cpu_at_start: Duration::ZERO,
            sockstat_samples: 0,
            dumps: 0,
            longest_gap: Duration::ZERO,
            trouble: None,
        })
    }

    fn run(mut self, inbox: &Receiver<Order>) -> Observed {
        self.cpu_at_start = thread_time();
        let mut due = Instant::now() + self.sample_every;
        loop {
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Order::Look(reply)) => {
                    // Nobody waits for the answer of a caller that is gone.
                    let _ = reply.send(self.look_at_end());
                }
                Ok(Order::Finish) | Err(RecvTimeoutError::Disconnected) => return self.finish(),
                Err(RecvTimeoutError::Timeout) => {
                    let result = self.look();
                    self.note(result);
                    // On the same grid as before, without making up for looks that were missed.
                    let late = Instant::now().saturating_duration_since(due).as_nanos() / self.sample_every.as_nanos();
                    due += self.sample_every * (u32::try_from(late).unwrap_or(u32::MAX - 1) + 1);
                }
            }
        }
    }

    /// A regular look: sockstat, and a dump if one is due.
    fn look(&mut self) -> Result<(), LookError> {
        self.budget.earn(self.sample_every);
        self.sample()?;
        let waited = self.last_dump.elapsed() >= DUMP_EVERY;
        let called_for = waited || self.unattributed() || self.departed();
        let follow = self.departures.is_some() && self.budget.full();
        if follow || called_for && self.budget.affords_one() {
            self.dump()
        } else {
            Ok(())
        }
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
        Ok(())
    }

    /// Lists every socket, and settles what waited for it.
    fn dump(&mut self) -> Result<(), LookError> {
        let cpu = thread_time();
        self.longest_gap = self.longest_gap.max(self.last_dump.elapsed());
        self.last_dump = Instant::now();
        self.dumps += 1;
        let result = self.list_sockets();
        self.budget.spend(thread_time() - cpu);
        result
    }

    fn list_sockets(&mut self) -> Result<(), LookError> {
        let (mut sides, mut holders) = (<[Census; 2]>::default(), self.holders());
        let began = self.nanos();
        if let Some(departures) = &mut self.departures {
            departures.begin(began);
        }
        let mut complete: Result<bool, LookError> = Ok(true);
        for (namespace, holder) in self.namespaces.iter_mut().zip(&mut holders) {
            let mut here = <[Census; 2]>::default();
            let mut strangers = 0;
            namespace.total = namespace.eyes.mini_sockets()?;
            let result = namespace.eyes.dump(|socket| match self.endpoints.side(&socket.tuple) {
                Some(side) => {
                    here[side as usize].count(&socket);
                    if let (Some(departures), State::TimeWait) = (&mut self.departures, socket.state) {
                        departures.see(side, &socket);
                    }
                }
                None => strangers += u64::from(socket.mini),
            });
            complete = complete.and_then(|so_far| Ok(result? && so_far));
            *holder = Holder::of(&here[0], &here[1], strangers);
            for (side, here) in sides.iter_mut().zip(&here) {
                side.add(here);
            }
        }
        let ended = self.nanos();
        if let Some(departures) = &mut self.departures {
            departures.end(ended, matches!(complete, Ok(true)));
        }
        complete?;
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

    /// The look at the load's end: its counts are the `end` values, and the counters stop here.
    fn look_at_end(&mut self) -> Result<(), LookError> {
        self.dump()?;
        for namespace in &mut self.namespaces {
            namespace.after = namespace.eyes.counters()?;
        }
        for (side, census) in self.sides.iter_mut().zip(&self.census) {
            side.end = census.time_wait();
            side.held = census.minis;
            side.states = census.by_name();
        }
        self.looked = true;
        Ok(())
    }

    fn finish(mut self) -> Observed {
        if !self.looked {
            let result = self.look_at_end();
            self.note(result);
        } else if self.departures.as_ref().is_some_and(Departures::unconfirmed) {
            let result = self.dump();
            self.note(result);
        }
        let observed = self.began.elapsed();
        let cpu = thread_time() - self.cpu_at_start;
        let source = self.namespaces[0].eyes.source().to_string();
        let mut counters = self.namespaces.iter().map(|n| counters::delta(&n.before, &n.after));
        let counters = (counters.next().unwrap_or_default(), counters.next());
        let [client, server] = self.sides;
        Observed {
            samples: self.samples.into_kept(),
            client,
            server,
            counters,
            departures: self.departures.map(Departures::into_gone).unwrap_or_default(),
            cost: Observation {
                cpu_seconds: cpu.as_secs_f64(),
                share_of_core: cpu.as_secs_f64() / observed.as_secs_f64().max(f64::MIN_POSITIVE),
                sockstat_samples: self.sockstat_samples,
                socket_dumps: self.dumps,
                longest_gap_seconds: self.longest_gap.as_secs_f64(),
                source,
            },
            trouble: self.trouble,
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
