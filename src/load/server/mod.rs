//! The built-in server: accepts, answers, and closes as the plan says, on threads around epoll(7), each for itself.
//!
//! [`Listeners::bind`] first, so that the first SYN finds a listener; then [`Listeners::serve`] until it is told to
//! stop. Both are called on a thread that stands in the server's namespace. Like the client it works in phases over
//! batches, and hands a connection to epoll only when a step would block.

mod acceptor;
mod connection;
mod conversation;
mod served;
mod work;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use nix::errno::Errno;

pub use self::acceptor::Listeners;
use self::acceptor::{Acceptor, LISTENERS};
use self::connection::{Connection, End, Step};
use self::conversation::Dialogue;
pub use self::served::{Conversations, Served};
pub use self::work::ServerWork;
use super::clock::{ThreadTime, nanos};
use super::deadlines::Deadlines;
use super::poller::Poller;
use super::stream;
use super::{Clock, Cpus, EngineError, Exchange, PIECE};
use crate::protocol::{MAX_MESSAGE, Store};

/// How long the server waits for its connections to end once it is stopped, in nanoseconds.
const GRACE: u64 = 2_000_000_000;
/// How long what still comes is waited for after our FIN, where a protocol is spoken: a RST would destroy what we sent.
const DRAIN: u64 = 2_000_000_000;
/// Connections accepted at the most before those that it has get their turn.
const BATCH: usize = 256;

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
        let mut divided = self.divide();
        let threads = divided.len();
        let store = Arc::<Store>::default();
        let serve = |index: usize, listeners: Self| {
            if let Some(cpus) = pin {
                cpus.pin(index);
            }
            Server::new(listeners, work, control, &store, (index, threads))?.run()
        };
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
    /// Where a protocol is spoken.
    dialogue: Option<Dialogue>,
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
    /// By `Limit`.
    deadlines: Deadlines<4>,
    slots: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Accepted and open as last published.
    published: (u64, u64),
}

impl<'a> Server<'a> {
    /// `thread`: which of how many it is.
    fn new(
        listeners: Listeners,
        work: &'a ServerWork,
        control: &'a ServerControl,
        store: &Arc<Store>,
        thread: (usize, usize),
    ) -> Result<Self, EngineError> {
        let exchange = work.exchange();
        let clock = Clock::start();
        let dialogue = Dialogue::new(work, store, clock, thread);
        let piece = if dialogue.is_some() {
            MAX_MESSAGE
        } else {
            PIECE as usize
        };
        let poller = Poller::new()?;
        let manner = &work.server.manner;
        let spans = [
            nanos(work.hold),
            nanos(manner.latency),
            nanos(manner.idle_timeout),
            DRAIN,
        ];
        let acceptor = Acceptor::new(listeners, &poller, nanos(work.server.accept_delay))?;
        Ok(Self {
            service: Service {
                work,
                exchange,
                dialogue,
                buffer: exchange.buffer(piece),
                served: Served::default(),
            },
            control,
            clock,
            acceptor,
            poller,
            deadlines: Deadlines::new(spans, 0),
            slots: Vec::new(),
            free: Vec::new(),
            published: (0, 0),
        })
    }

    fn run(mut self) -> Result<Served, EngineError> {
        let began = ThreadTime::now();
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
            while let Some(index) = self.deadlines.expire(now) {
                self.expire(index);
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
        let time = began.elapsed();
        (served.cpu_seconds, served.waited_seconds) = (time.cpu, time.waited);
        served.conversations = self.service.dialogue.map(|dialogue| dialogue.told);
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
                self.deadlines.grow(self.slots.len());
            }
            self.service.served.counts.accepted += 1;
            self.slots[index] = Some(Connection::new(socket, &mut self.service));
            self.advance(index);
        }
    }

    /// Takes a connection as far as it goes without waiting.
    fn advance(&mut self, index: usize) {
        while let Some(connection) = &mut self.slots[index] {
            match connection.step(&mut self.service) {
                Step::Next => {}
                step @ (Step::Wait | Step::Again) => {
                    if self.park(index, step == Step::Again).is_err() {
                        self.end(index, End::Reset);
                    }
                    return;
                }
                Step::End(end) => return self.end(index, end),
            }
        }
    }

    /// Makes a connection wait for what its state needs; with `again` it is told at once of what is there already.
    fn park(&mut self, index: usize, again: bool) -> Result<(), Errno> {
        let Some(connection) = &mut self.slots[index] else {
            return Ok(());
        };
        if let Some(limit) = connection.next_limit(self.service.work) {
            self.deadlines.begin(limit as usize, index, self.clock.nanos());
        }
        let wanted = connection.wants();
        match connection.watched.replace(wanted) {
            None => self.poller.add(connection.socket.as_fd(), wanted, index as u64),
            Some(watched) if again || watched != wanted => {
                self.poller.modify(connection.socket.as_fd(), wanted, index as u64)
            }
            Some(_) => Ok(()),
        }
    }

    /// A connection's time is up, whatever it was for.
    fn expire(&mut self, index: usize) {
        let Some(connection) = &mut self.slots[index] else {
            return;
        };
        match connection.expire(&self.service) {
            Step::End(end) => self.end(index, end),
            _ => self.advance(index),
        }
    }

    /// Books how the connection ended, and closes it.
    fn end(&mut self, index: usize, end: End) {
        let Some(mut connection) = self.slots[index].take() else {
            return;
        };
        self.deadlines.end(index);
        self.free.push(index);
        let counts = &mut self.service.served.counts;
        match end {
            End::PeerClosed => counts.closed_by_peer += 1,
            End::Reset => counts.reset_by_peer += 1,
            End::ClosedFirst => counts.closed_first += 1,
            End::Aborted => {
                counts.closed_first += 1;
                self.service.served.aborted += 1;
            }
        }
        // Nothing is left to be lost: what close() says of a socket that is gone changes no count.
        let _ = stream::close(connection.socket);
        if let (Some(dialogue), Some(conversation)) = (&mut self.service.dialogue, connection.conversation.take()) {
            dialogue.close(conversation);
        }
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
        let until = self.acceptor.next().into_iter().chain(self.deadlines.next()).min();
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
