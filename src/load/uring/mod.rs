//! The engine for kernels with io_uring(7): a connection's steps are linked chains, sockets direct descriptors.
//!
//! One io_uring_enter() submits what is due for the whole batch and brings back what is done; there is no system call
//! of a connection's own. Phase and errno are those of the step that failed, as with single calls. Times are those of
//! the completion's arrival: connect() counts from submission and includes the batch, and what the call alone takes
//! cannot be told. It cannot tell a socket's local port either, nor bind one: then the other engine serves
//! ([`unsupported`]).
//!
//! Needs Linux 6.7 (setsockopt() by io_uring); what the kernel has is asked of it, not guessed from its version.

mod booking;
mod connection;
mod ring;
mod speaking;

use nix::libc;

use self::connection::{Connection, State, bytes};
use self::ring::{Done, Messages, PIECE, Place, Ring, Step, TALK};
use super::clock::{ThreadTime, nanos};
use super::conversation::{Conversation, Conversations};
use super::deadlines::Deadlines;
use super::offer::Offer;
use super::pacing::Wait;
use super::{Clock, Control, Engine, EngineError, Exchange, Live, Measured, Work};
use crate::record::tally::{Cause, Phase};
use crate::scenario::spec::Source;
use crate::tcp::{CloseMode, Closer};

/// The stop flag is looked at this often at least.
const LONGEST_SLEEP: u64 = 20_000_000;
/// A cancellation that found nothing to cancel, because a chain was between two steps, is tried again after this.
const CANCEL_AGAIN: u64 = 10_000_000;

/// What is said and heard over all connections at once may take so many bytes.
const TALKS: usize = 1 << 28;

/// What a connection's steps wait for; each has its own limit.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Connect,
    Io,
    Hold,
    PeerClose,
    Cancel,
}

/// One thread around io_uring.
#[derive(Clone, Copy, Debug, Default)]
pub struct UringEngine;

/// Why this engine cannot do the work on this kernel; None when it can.
#[must_use]
pub fn unsupported(work: &Work) -> Option<String> {
    if work.client.source != Source::Ephemeral {
        return Some("sources other than `ephemeral` need single system calls".into());
    }
    if work.tuples {
        return Some("io_uring does not tell a socket's local port (observe.tuples)".into());
    }
    if work.reuses_descriptors() {
        return Some("a descriptor is reused by single system calls only".into());
    }
    let slots = slots(work);
    if super::is_understood(work.protocol) && slots as usize * TALK > TALKS {
        return Some(format!("what {slots} connections say at once takes too much memory"));
    }
    // Also refuses a table of files larger than the limit of open files.
    ring::probe().err().or_else(|| {
        Ring::new(slots, messages(work))
            .err()
            .map(|error| format!("{slots} direct descriptors: {error}"))
    })
}

/// Whether this kernel has what the engine needs, whatever the work.
///
/// # Errors
/// What is missing, in words.
pub fn probe() -> Result<(), String> {
    ring::probe()
}

impl Engine for UringEngine {
    fn name(&self) -> &'static str {
        "uring"
    }

    fn run(&mut self, work: &Work, clock: &Clock, control: &Control) -> Result<Measured, EngineError> {
        work.check()?;
        Loop::new(work, clock, control).map_err(failed("io_uring_setup"))?.run()
    }
}

fn failed(call: &'static str) -> impl Fn(std::io::Error) -> EngineError {
    move |error| EngineError::EventLoop {
        call,
        errno: super::stream::errno(&error),
    }
}

fn slots(work: &Work) -> u32 {
    u64::from(work.load.in_flight).min(work.load.connections.unwrap_or(u64::MAX)) as u32
}

fn messages(work: &Work) -> Messages {
    let exchange = Exchange::new(&work.load, work.protocol);
    Messages {
        destinations: work.destinations.iter().map(|address| (*address).into()).collect(),
        linger: libc::linger {
            l_onoff: 1,
            l_linger: match work.close.mode {
                CloseMode::Lingering => work.close.linger_seconds.unwrap_or(1) as i32,
                _ => 0,
            },
        },
        sent: exchange.request(),
        received: exchange.buffer(super::PIECE as usize),
        talks: vec![
            0;
            if super::is_understood(work.protocol) {
                slots(work) as usize * TALK
            } else {
                0
            }
        ],
    }
}

#[derive(Debug)]
struct Loop<'a> {
    work: &'a Work,
    clock: &'a Clock,
    control: &'a Control,
    measured: Measured,
    exchange: Exchange,
    offer: Offer,
    ring: Ring,
    deadlines: Deadlines<5>,
    slots: Vec<Option<Connection>>,
    /// Where what is said has to be understood; and by slot, while it is said.
    conversations: Option<Conversations>,
    spoken: Vec<Option<Box<Conversation>>>,
    free: Vec<usize>,
    published: Live,
}

impl<'a> Loop<'a> {
    fn new(work: &'a Work, clock: &'a Clock, control: &'a Control) -> std::io::Result<Self> {
        let load = &work.load;
        let slots = slots(work);
        let [connect, io, hold] = [load.connect_timeout, load.io_timeout, load.hold].map(nanos);
        let limits = [connect, io, hold, hold.saturating_add(io), CANCEL_AGAIN];
        Ok(Self {
            work,
            clock,
            control,
            measured: Measured::new(None, work.shard).kept(control.keeps_books()),
            exchange: Exchange::new(load, work.protocol),
            offer: Offer::new(work),
            ring: Ring::new(slots, messages(work))?,
            deadlines: Deadlines::new(limits, slots as usize),
            slots: vec![None; slots as usize],
            conversations: Conversations::of(work),
            spoken: std::iter::repeat_with(|| None).take(slots as usize).collect(),
            free: (0..slots as usize).rev().collect(),
            published: Live::default(),
        })
    }

    fn run(mut self) -> Result<Measured, EngineError> {
        let began = ThreadTime::now();
        let enter = failed("io_uring_enter");
        let mut cancelled = false;
        loop {
            let mut now = self.clock.nanos();
            if self.control.stopped() && !std::mem::replace(&mut cancelled, true) {
                self.offer.stop(now);
                self.cancel_all(now).map_err(&enter)?;
            }
            self.expire(now).map_err(&enter)?;
            self.begin_due(now).map_err(&enter)?;
            self.publish();
            if self.open() == 0 && !self.offer.goes_on(now) {
                break;
            }
            let done = self.reap(now).map_err(&enter)?;
            now = self.clock.nanos();
            for index in 0..done {
                self.note(self.ring.done(index), now).map_err(&enter)?;
            }
        }
        let mut measured = self.measured;
        measured.not_offered = self.offer.not_offered();
        measured.took(began.elapsed());
        Ok(measured)
    }

    /// Attempts under way.
    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn submit(&mut self, slot: usize, connection: &Connection, chain: connection::Chain) -> std::io::Result<()> {
        let (steps, count) = chain.steps();
        // Where a transfer goes on after it came short, what is left is less; its chain has no other transfer of the
        // same kind.
        let left = |step| match connection.short {
            Some((short, left)) if short == step => left,
            _ => bytes(&self.exchange, step),
        };
        let (to_send, to_receive) = match &self.spoken[slot] {
            Some(conversation) => (connection.to_say, conversation.room().min(PIECE) as u32),
            None => (left(Step::Send), left(Step::Recv)),
        };
        let place = Place {
            slot,
            destination: connection.destination,
            to_send,
            to_receive,
        };
        self.ring.chain(&place, &steps[..count])
    }

    fn begin_due(&mut self, now: u64) -> std::io::Result<()> {
        while let Some(slot) = self.free.last().copied()
            && let Some((due, pair)) = self.offer.take(now)
        {
            self.free.pop();
            let mut connection = Connection {
                attempt: self.measured.begin(due, pair.number, now),
                state: State::Connecting,
                destination: pair.destination,
                requests_left: self.exchange.requests,
                short: None,
                to_say: 0,
                cancelled: None,
            };
            let chain = match self.conversations.as_mut().map(Conversations::begin) {
                Some(conversation) => self.begin_speaking(slot, &mut connection, conversation),
                None => connection.begin(self.work),
            };
            self.slots[slot] = Some(connection);
            self.deadlines.begin(Limit::Connect as usize, slot, now);
            self.submit(slot, &connection, chain)?;
        }
        Ok(())
    }

    /// The chain is over: what follows it.
    fn go_on(&mut self, slot: usize, done: Done, now: u64) -> std::io::Result<()> {
        let Some(mut connection) = self.slots[slot] else {
            return Ok(());
        };
        if connection.state == State::Failed {
            self.deadlines.end(slot);
            if done.step == Step::Socket {
                self.release(slot);
                return Ok(());
            }
            return self.submit(slot, &connection, connection::Chain::of([Step::Discard]));
        }
        // A cancellation that came too late, when the chain was over, must not be taken for one of the next chain.
        let next = match connection.state {
            State::Speaking | State::Quitting | State::Parting | State::Awaiting | State::Held => {
                self.speak_on(slot, &mut connection, done.step, now)
            }
            _ => connection.next(self.work, done.step),
        };
        self.slots[slot] = Some(connection);
        match (next, connection.cancelled) {
            (next, Some(cause)) => {
                let step = next.and_then(|chain| chain.first()).unwrap_or(Step::Close);
                self.fail(&mut connection, Connection::phase(step), cause, now);
                self.slots[slot] = Some(connection);
                self.submit(slot, &connection, connection::Chain::of([Step::Discard]))
            }
            (Some(chain), _) => {
                self.wait_for_io(slot, &connection, now);
                self.submit(slot, &connection, chain)
            }
            (None, _) => {
                self.deadlines.begin(Limit::Hold as usize, slot, now);
                Ok(())
            }
        }
    }

    /// From now on the connection's next step has the time that it may take.
    fn wait_for_io(&mut self, slot: usize, connection: &Connection, now: u64) {
        if connection.cancelled.is_some() {
            return;
        }
        let awaits_close = match connection.state {
            State::Awaiting => true,
            State::Speaking | State::Quitting | State::Parting => false,
            _ => connection.requests_left == 0 && self.work.close.closer == Closer::Server,
        };
        let limit = if awaits_close { Limit::PeerClose } else { Limit::Io };
        self.deadlines.begin(limit as usize, slot, now);
    }

    /// Ends the waits whose time is up.
    fn expire(&mut self, now: u64) -> std::io::Result<()> {
        while let Some(slot) = self.deadlines.expire(now) {
            let Some(mut connection) = self.slots[slot] else {
                continue;
            };
            if connection.state == State::Held {
                let chain = self.release_held(slot, &mut connection);
                self.slots[slot] = Some(connection);
                self.deadlines.begin(Limit::Io as usize, slot, now);
                self.submit(slot, &connection, chain)?;
            } else {
                self.cancel(slot, Cause::LingerTimeout, now)?;
            }
        }
        Ok(())
    }

    /// Cancels what a connection waits for; the step that it interrupts fails with the cause.
    fn cancel(&mut self, slot: usize, cause: Cause, now: u64) -> std::io::Result<()> {
        let Some(connection) = &mut self.slots[slot] else {
            return Ok(());
        };
        connection.cancelled.get_or_insert(cause);
        let connection = *connection;
        self.deadlines.begin(Limit::Cancel as usize, slot, now);
        self.submit(slot, &connection, connection::Chain::of([Step::Cancel]))
    }

    /// Fails all attempts under way: the load was stopped.
    fn cancel_all(&mut self, now: u64) -> std::io::Result<()> {
        for slot in 0..self.slots.len() {
            match self.slots[slot] {
                Some(mut connection) if connection.state == State::Held => {
                    self.fail(&mut connection, Phase::Close, Cause::Cancelled, now);
                    self.slots[slot] = Some(connection);
                    self.deadlines.end(slot);
                    self.submit(slot, &connection, connection::Chain::of([Step::Discard]))?;
                }
                Some(connection) if connection.state != State::Failed => self.cancel(slot, Cause::Cancelled, now)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn release(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.retire(slot);
        self.deadlines.end(slot);
        self.free.push(slot);
    }

    fn publish(&mut self) {
        let (tally, open) = (&self.measured.tally, self.open() as u64);
        let now = Live {
            attempted: tally.attempted,
            ok: tally.ok,
            failed: (tally.attempted - tally.ok).saturating_sub(open),
            open,
        };
        self.control.publish(self.published, now);
        self.published = now;
    }

    /// Submits what is queued and fetches what is done; sleeps first when there is nothing to do until then.
    fn reap(&mut self, now: u64) -> std::io::Result<usize> {
        let due = if self.free.is_empty() {
            None
        } else {
            self.offer.next_due(now)
        };
        let wait = self.work.pacing.wait(now, due, self.deadlines.next());
        let sleep = match wait {
            Wait::Poll | Wait::Spin => 0,
            Wait::Until(until) => until.map_or(LONGEST_SLEEP, |until| until - now).min(LONGEST_SLEEP),
        };
        let done = self.ring.wait(sleep)?;
        if wait == Wait::Spin && done == 0 {
            self.measured.spun_nanos += self.clock.nanos() - now;
        }
        Ok(done)
    }
}
