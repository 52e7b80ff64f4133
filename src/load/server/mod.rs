//! The built-in server: accepts, answers, and closes as the plan says, on threads around epoll(7), each for itself.
//!
//! [`Listeners::bind`] first, so that the first SYN finds a listener; then [`Listeners::serve`] until it is told to
//! stop. Both are called on a thread that stands in the server's namespace. Like the client it works in phases over
//! batches, and hands a connection to epoll only when a step would block.

mod acceptor;
mod connection;

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;

pub use self::acceptor::Listeners;
use self::acceptor::{Acceptor, LISTENERS};
use self::connection::{Connection, End, State, Step};
use super::clock::{nanos, thread_cpu_seconds};
use super::deadlines::Deadlines;
use super::poller::{Interest, Poller};
use super::stream;
use super::{Clock, Cpus, EngineError, Exchange};
use crate::record::schema::ServerSide;
use crate::scenario::plan::{ClosePlan, LoadPlan, ServerPlan};
use crate::tcp::{CloseMode, Closer};

/// How long the server waits for its connections to end once it is stopped, in nanoseconds.
const GRACE: u64 = 2_000_000_000;
/// Connections accepted at the most before those that it has get their turn.
const BATCH: usize = 256;

/// What the server is to do.
#[derive(Clone, Debug)]
pub struct ServerWork {
    pub server: ServerPlan,
    pub close: ClosePlan,
    pub load: LoadPlan,
}

/// What a running server and its conductor tell each other.
#[derive(Debug, Default)]
pub struct ServerControl {
    stop: AtomicBool,
    hurry: AtomicBool,
    accepted: AtomicU64,
    open: AtomicU64,
}

impl ServerControl {
    /// Ends the server once the connections that it has, and those that wait to be accepted, have ended; after two
    /// seconds it ends all the same.
    pub fn stop(&self) {
        self.stop.store(true, Relaxed);
    }

    /// The load is over: what still waits is accepted without delay.
    pub fn hurry(&self) {
        self.hurry.store(true, Relaxed);
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections accepted and not yet closed.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }
}

/// What the server counted. Each accepted connection is in one of `closed_by_peer`, `closed_first`, `reset_by_peer`
/// and `open_at_end`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Served {
    pub counts: ServerSide,
    /// Of `counts.closed_first`, those that were closed with RST.
    pub aborted: u64,
    /// CPU seconds of the server's threads.
    pub cpu_seconds: f64,
}

impl Served {
    /// Adds another thread's counts.
    fn merge(&mut self, other: &Self) {
        let (mine, theirs) = (&mut self.counts, &other.counts);
        mine.accepted += theirs.accepted;
        mine.closed_by_peer += theirs.closed_by_peer;
        mine.closed_first += theirs.closed_first;
        mine.reset_by_peer += theirs.reset_by_peer;
        mine.open_at_end += theirs.open_at_end;
        mine.bytes_received += theirs.bytes_received;
        mine.bytes_sent += theirs.bytes_sent;
        for (errno, count) in &theirs.accept_failed {
            *mine.accept_failed.entry(errno.clone()).or_default() += count;
        }
        self.aborted += other.aborted;
        self.cpu_seconds += other.cpu_seconds;
    }
}

impl Listeners {
    /// Serves until `control` says stop: on the calling thread, and on one more for each further thread's listeners.
    /// With `pin` each has a CPU of its own.
    ///
    /// # Errors
    /// The kernel refuses epoll, a timer or a thread.
    ///
    /// # Panics
    /// A server thread panicked.
    pub fn serve(self, work: &ServerWork, control: &ServerControl, pin: Option<&Cpus>) -> Result<Served, EngineError> {
        let serve = |index: usize, listeners: Self| {
            if let Some(cpus) = pin {
                cpus.pin(index);
            }
            Server::new(listeners, work, control)?.run()
        };
        let mut divided = self.divide();
        let mine = divided.remove(0);
        std::thread::scope(|scope| {
            let serve = &serve;
            let others = divided.into_iter().enumerate().map(|(index, listeners)| {
                std::thread::Builder::new()
                    .name(format!("server-{}", index + 1))
                    .spawn_scoped(scope, move || serve(index + 1, listeners))
                    .map_err(|error| EngineError::EventLoop {
                        call: "clone",
                        errno: stream::errno(&error),
                    })
            });
            let others: Vec<_> = others.collect::<Result<_, _>>().inspect_err(|_| control.stop())?;
            let mut sum = serve(0, mine).inspect_err(|_| control.stop())?;
            for other in others {
                sum.merge(&other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
            }
            Ok(sum)
        })
    }
}

/// What all connections of the server share.
#[derive(Debug)]
struct Service<'a> {
    work: &'a ServerWork,
    exchange: Exchange,
    buffer: Vec<u8>,
    served: Served,
}

#[derive(Debug)]
struct Server<'a> {
    service: Service<'a>,
    control: &'a ServerControl,
    clock: Clock,
    acceptor: Acceptor,
    poller: Poller,
    holds: Deadlines<1>,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Accepted and open as last published.
    published: (u64, u64),
}

impl<'a> Server<'a> {
    fn new(listeners: Listeners, work: &'a ServerWork, control: &'a ServerControl) -> Result<Self, EngineError> {
        let exchange = Exchange::new(&work.load, work.server.protocol);
        let poller = Poller::new()?;
        let acceptor = Acceptor::new(listeners, &poller, nanos(work.server.accept_delay))?;
        Ok(Self {
            service: Service {
                work,
                exchange,
                buffer: exchange.buffer(),
                served: Served::default(),
            },
            control,
            clock: Clock::start(),
            acceptor,
            poller,
            holds: Deadlines::new([nanos(work.load.hold)], 0),
            slots: Vec::new(),
            free: Vec::new(),
            published: (0, 0),
        })
    }

    fn run(mut self) -> Result<Served, EngineError> {
        let cpu = thread_cpu_seconds();
        let (mut stopped_at, mut hurried) = (None, false);
        loop {
            let now = self.clock.nanos();
            if stopped_at.is_none() && self.control.stop.load(Relaxed) {
                stopped_at = Some(now);
            }
            if !hurried && (stopped_at.is_some() || self.control.hurry.load(Relaxed)) {
                hurried = true;
                self.acceptor.hurry();
            }
            while let Some(index) = self.holds.expire(now) {
                self.end_hold(index);
            }
            self.accept();
            self.publish();
            let done = self.open() == 0 && self.acceptor.next().is_none();
            if stopped_at.is_some_and(|at| done || now - at > GRACE) {
                break;
            }
            self.reap()?;
        }
        let mut served = self.service.served;
        served.counts.open_at_end = self.slots.iter().flatten().count() as u64;
        served.counts.accept_failed = self.acceptor.failed_by_name();
        served.cpu_seconds = thread_cpu_seconds() - cpu;
        Ok(served)
    }

    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Accepts a batch of what may be accepted now, and takes each new connection as far as it goes.
    fn accept(&mut self) {
        for _ in 0..BATCH {
            let Some(socket) = self.acceptor.accept(&self.clock) else {
                break;
            };
            let index = self.free.pop().unwrap_or(self.slots.len());
            if index == self.slots.len() {
                self.slots.push(None);
                self.holds.grow(self.slots.len());
            }
            self.service.served.counts.accepted += 1;
            self.slots[index] = Some(Connection::new(socket, &self.service));
            self.advance(index);
        }
    }

    /// Takes a connection as far as it goes without waiting.
    fn advance(&mut self, index: usize) {
        while let Some(connection) = &mut self.slots[index] {
            match connection.step(&mut self.service) {
                Step::Next => {}
                Step::Wait => {
                    if self.park(index).is_err() {
                        self.end(index, End::Reset);
                    }
                    return;
                }
                Step::End(end) => return self.end(index, end),
            }
        }
    }

    fn park(&mut self, index: usize) -> Result<(), Errno> {
        let Some(connection) = &mut self.slots[index] else {
            return Ok(());
        };
        if connection.state == State::Held && !connection.holding {
            connection.holding = true;
            self.holds.begin(0, index, self.clock.nanos());
        }
        let wanted = match connection.state {
            State::Sending => Interest::Output,
            _ => Interest::Input,
        };
        match connection.watched.replace(wanted) {
            None => self.poller.add(connection.socket.as_fd(), wanted, index as u64),
            Some(watched) if watched != wanted => self.poller.modify(connection.socket.as_fd(), wanted, index as u64),
            Some(_) => Ok(()),
        }
    }

    fn end_hold(&mut self, index: usize) {
        if let Some(connection) = &mut self.slots[index] {
            connection.state = State::Closing;
            self.advance(index);
        }
    }

    /// Books how the connection ended, and closes it.
    fn end(&mut self, index: usize, end: End) {
        let Some(connection) = self.slots[index].take() else {
            return;
        };
        self.holds.end(index);
        self.free.push(index);
        let counts = &mut self.service.served.counts;
        match end {
            End::PeerClosed => counts.closed_by_peer += 1,
            End::Reset => counts.reset_by_peer += 1,
            End::ClosedFirst => {
                counts.closed_first += 1;
                let close = &self.service.work.close;
                let aborts = close.closer == Closer::Server && close.mode == CloseMode::Abortive;
                self.service.served.aborted += u64::from(aborts);
            }
        }
        // Nothing is left to be lost: what close() says of a socket that is gone changes no count.
        let _ = stream::close(connection.socket);
    }

    /// Adds what this thread has done since it last told.
    fn publish(&mut self) {
        let now = (self.service.served.counts.accepted, self.open() as u64);
        let before = std::mem::replace(&mut self.published, now);
        if now != before {
            // `open` shrinks too: the sum is taken modulo 2^64. It goes first, so that whoever sees all accepted sees
            // them open.
            self.control.open.fetch_add(now.1.wrapping_sub(before.1), Relaxed);
            self.control.accepted.fetch_add(now.0 - before.0, Relaxed);
        }
    }

    fn reap(&mut self) -> Result<(), EngineError> {
        let until = self.acceptor.next().into_iter().chain(self.holds.next()).min();
        let now = self.clock.nanos();
        for event in 0..self.poller.wait(now, until)? {
            match self.poller.token(event) {
                Some(token) if token >= LISTENERS => self.acceptor.wake(token),
                Some(token) => self.advance(token as usize),
                None => {}
            }
        }
        Ok(())
    }
}
