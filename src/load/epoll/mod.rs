//! The portable engine: one thread, non-blocking sockets, epoll(7). Runs on every kernel from 3.13 on.
//!
//! The loop works in phases over the whole batch: reap what is ready and close, connect() all that is due, then take
//! the new ones as far as they go. Connecting in a batch matters: a server that sleeps is woken once for many
//! connections instead of once for each. A socket is handed to epoll only when a step would block.

mod connection;
mod conversing;

use std::os::fd::AsFd;

use nix::errno::Errno;

use self::connection::{Client, Connection, Spare, State, Step};
use super::clock::{ThreadTime, nanos};
use super::conversation::Need;
use super::deadlines::Deadlines;
use super::fill_level::ByFill;
use super::offer::Offer;
use super::pacing::Wait;
use super::poller::{Interest, Poller};
use super::ports::Ports;
use super::stream;
use super::{Clock, Control, Engine, EngineError, Live, Measured, Work};
use crate::record::tally::{Cause, Phase};
use crate::record::tuples::TupleClock;

/// A batch of connect() calls ends after this many nanoseconds: a failing one, or one that searches a full port
/// table, takes milliseconds, and those under way must not wait for more than one of them.
const BATCH: u64 = 1_000_000;

/// What a parked connection waits for; each has its own limit.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Connect,
    Io,
    Hold,
    PeerClose,
}

/// One thread around epoll(7).
#[derive(Clone, Copy, Debug, Default)]
pub struct EpollEngine;

impl Engine for EpollEngine {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn run(&mut self, work: &Work, clock: &Clock, control: &Control) -> Result<Measured, EngineError> {
        work.check()?;
        Loop::new(work, clock, control)?.run()
    }
}

#[derive(Debug)]
struct Loop<'a> {
    client: Client<'a>,
    control: &'a Control,
    offer: Offer,
    ports: Ports,
    poller: Poller,
    deadlines: Deadlines<4>,
    slots: Vec<Option<Connection>>,
    /// Disconnected sockets to use again, by slot; only where descriptors are reused.
    spare: Vec<Option<Spare>>,
    free: Vec<usize>,
    /// Slots begun in this batch.
    begun: Vec<usize>,
    /// Connections that the poller watches.
    watched: usize,
    published: Live,
}

impl<'a> Loop<'a> {
    fn new(work: &'a Work, clock: &'a Clock, control: &'a Control) -> Result<Self, EngineError> {
        let load = &work.load;
        let offer = Offer::new(work);
        let ports = Ports::new(work, offer.pairs());
        if work.client.source.is_chosen_by_harness() && ports.is_empty() {
            return Err(EngineError::Missing("source port"));
        }
        let tuples = work.tuples.then(|| TupleClock::new(offer.pairs()));
        let books = Measured::new(tuples, work.shard).kept(control.keeps_books());
        let by_fill = ByFill::new(work, offer.pairs());
        let slots = u64::from(load.in_flight).min(load.connections.unwrap_or(u64::MAX)) as usize;
        let [connect, io, hold] = [load.connect_timeout, load.io_timeout, load.hold].map(nanos);
        Ok(Self {
            client: Client::new(work, clock, books.by_fill(by_fill)),
            control,
            offer,
            ports,
            poller: Poller::new()?,
            // The server holds before it closes: its FIN is late only after that.
            deadlines: Deadlines::new([connect, io, hold, hold.saturating_add(io)], slots),
            slots: (0..slots).map(|_| None).collect(),
            spare: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            begun: Vec::with_capacity(slots),
            watched: 0,
            published: Live::default(),
        })
    }

    fn run(mut self) -> Result<Measured, EngineError> {
        let began = ThreadTime::now();
        loop {
            if self.control.stopped() {
                self.offer.stop(self.now());
                self.cancel();
            }
            self.expire();
            self.begin_due();
            self.advance_begun();
            self.publish();
            let now = self.now();
            if !self.offer.goes_on(now) && self.open() == 0 {
                break;
            }
            self.reap(now)?;
        }
        let mut measured = self.client.measured;
        measured.not_offered = self.offer.not_offered();
        measured.took(began.elapsed());
        Ok(measured)
    }

    fn now(&self) -> u64 {
        self.client.clock.nanos()
    }

    /// Attempts under way.
    fn open(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Fails all attempts under way: the load was stopped.
    fn cancel(&mut self) {
        for index in 0..self.slots.len() {
            if let Some(connection) = &self.slots[index] {
                self.fail(index, connection.state.phase(), Cause::Cancelled);
            }
        }
    }

    /// Ends the waits whose time is up.
    fn expire(&mut self) {
        let now = self.now();
        while let Some(index) = self.deadlines.expire(now) {
            match &mut self.slots[index] {
                Some(connection) if connection.state == State::Held => {
                    connection.state = State::Closing;
                    self.advance(index);
                }
                Some(connection) => {
                    let phase = connection.state.phase();
                    self.fail(index, phase, Cause::LingerTimeout);
                }
                None => {}
            }
        }
    }

    /// Begins what is due, as far as there is room.
    fn begin_due(&mut self) {
        let mut now = self.now();
        let batch_ends = now.saturating_add(BATCH);
        while now < batch_ends
            && let Some(index) = self.free.last().copied()
            && let Some((due, pair)) = self.offer.take(now)
        {
            self.free.pop();
            let (port, spare) = (self.ports.next(pair), self.spare[index].take());
            let connection;
            (connection, now) = self.client.begin(due, pair, port, spare, now);
            match &connection {
                Some(connection) => {
                    self.begun.push(index);
                    self.watched += usize::from(connection.watched.is_some());
                }
                None => self.free.push(index),
            }
            self.slots[index] = connection;
        }
    }

    fn advance_begun(&mut self) {
        for next in 0..self.begun.len() {
            self.advance(self.begun[next]);
        }
        self.begun.clear();
    }

    /// Takes a connection as far as it goes without waiting.
    fn advance(&mut self, index: usize) {
        while let Some(connection) = &mut self.slots[index] {
            match connection.step(&mut self.client) {
                Ok(Step::Next) => {}
                Ok(Step::Close) => return self.close(index),
                Ok(Step::Wait) => {
                    if let Err(errno) = self.park(index) {
                        let phase = self.slots[index].as_ref().map_or(Phase::Close, |c| c.state.phase());
                        self.fail(index, phase, Cause::Errno(errno as i32));
                    }
                    return;
                }
                Err((phase, cause)) => return self.fail(index, phase, cause),
            }
        }
    }

    /// Makes a connection wait for what its state needs, for as long as that may take.
    fn park(&mut self, index: usize) -> Result<(), Errno> {
        let now = self.now();
        let Some(connection) = &mut self.slots[index] else {
            return Ok(());
        };
        let (interest, limit) = match connection.state {
            State::Connecting => (Some(Interest::Output), Limit::Connect),
            State::Sending | State::Conversing(Need::Output) | State::Quitting(Need::Output) => {
                (Some(Interest::Output), Limit::Io)
            }
            State::Receiving | State::Conversing(Need::Input) | State::Quitting(Need::Input) | State::Draining => {
                (Some(Interest::Input), Limit::Io)
            }
            State::AwaitingClose => (Some(Interest::Input), Limit::PeerClose),
            State::Held | State::Closing | State::Ended => (None, Limit::Hold),
        };
        self.deadlines.begin(limit as usize, index, now);
        match (interest, connection.watched) {
            (Some(wanted), None) => {
                self.poller.add(connection.socket.as_fd(), wanted, index as u64)?;
                connection.watched = interest;
                self.watched += 1;
            }
            (Some(wanted), Some(watched)) if wanted != watched => {
                self.poller.modify(connection.socket.as_fd(), wanted, index as u64)?;
                connection.watched = interest;
            }
            _ => {}
        }
        Ok(())
    }

    /// Closes a connection that went as planned.
    fn close(&mut self, index: usize) {
        let Some(mut connection) = self.release(index) else {
            return;
        };
        let result = if self.client.reuses_descriptors() {
            // What the poller watches stays watched: its events carry the slot's number.
            let result = connection.disconnect();
            self.spare[index] = Some((connection.socket, connection.watched));
            result
        } else {
            stream::close(connection.socket)
        };
        let now = self.now();
        match result {
            Ok(()) => self.client.measured.succeed(&connection.attempt, now),
            Err(errno) => {
                let cause = Cause::Errno(errno as i32);
                self.client
                    .measured
                    .fail(&mut connection.attempt, Phase::Close, cause, now);
            }
        }
    }

    /// Books a failure and closes the connection without further ado, whatever the close mode.
    fn fail(&mut self, index: usize, phase: Phase, cause: Cause) {
        let now = self.now();
        if let Some(mut connection) = self.release(index) {
            self.client.measured.fail(&mut connection.attempt, phase, cause, now);
        }
    }

    fn release(&mut self, index: usize) -> Option<Connection> {
        let mut connection = self.slots[index].take()?;
        self.client.retire(connection.conversation.take());
        self.deadlines.end(index);
        self.free.push(index);
        self.watched -= usize::from(connection.watched.is_some());
        Some(connection)
    }

    fn publish(&mut self) {
        let (tally, open) = (&self.client.measured.tally, self.open() as u64);
        let now = Live {
            attempted: tally.attempted,
            ok: tally.ok,
            failed: tally.attempted - tally.ok - open,
            open,
        };
        self.control.publish(self.published, now);
        self.published = now;
    }

    /// Advances what is ready; sleeps first when there is nothing to do until then.
    fn reap(&mut self, now: u64) -> Result<(), EngineError> {
        let due = if self.free.is_empty() {
            None
        } else {
            self.offer.next_due(now)
        };
        let wait = self.client.work.pacing.wait(now, due, self.deadlines.next());
        let events = match wait {
            Wait::Poll | Wait::Spin if self.watched == 0 => 0,
            Wait::Poll | Wait::Spin => self.poller.wait(now, Some(now))?,
            Wait::Until(until) => self.poller.wait(now, until)?,
        };
        if wait == Wait::Spin && events == 0 {
            self.client.measured.spun_nanos += self.now() - now;
        }
        for event in 0..events {
            let Some(index) = self.poller.token(event).map(|token| token as usize) else {
                continue;
            };
            // A held connection's events can wait: what comes of them shows when it is closed.
            if self.slots[index]
                .as_ref()
                .is_some_and(|connection| connection.state != State::Held)
            {
                self.deadlines.end(index);
                self.advance(index);
            }
        }
        Ok(())
    }
}
