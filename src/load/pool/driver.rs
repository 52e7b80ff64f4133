//! The loop: begins what is due, does what the core decided, takes on what is ready, sleeps until something is.

mod closing;
mod lending;

use std::os::fd::AsFd;

use socket2::SockAddr;

use super::books::{PoolBooks, Request};
use super::core::{Action, Core, Why};
use super::link::{Link, State};
use crate::load::clock::{ThreadTime, nanos};
use crate::load::conversation::{Conversations, Need, Turn};
use crate::load::deadlines::Deadlines;
use crate::load::measured::Ending;
use crate::load::offer::Offer;
use crate::load::pacing::Wait;
use crate::load::pairs::Pairs;
use crate::load::poller::{Interest, Poller};
use crate::load::ports::Ports;
use crate::load::source::Sources;
use crate::load::{Clock, Control, EngineError, Failure, Live, Measured, Work, session};
use crate::protocol::MAX_MESSAGE;
use crate::record::tally::{Cause, Phase};
use crate::record::tuples::TupleClock;
use crate::scenario::pool::{PoolPlan, Validation};

/// Requests are begun for at most so many nanoseconds before those under way have their turn.
const BATCH: u64 = 1_000_000;

/// What a connection waits for; each has its own limit.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Connect,
    Io,
    Hold,
}

#[derive(Debug)]
pub(super) struct Driver<'a> {
    work: &'a Work,
    validation: Validation,
    clock: &'a Clock,
    control: &'a Control,
    core: Core,
    offer: Offer,
    pairs: Pairs,
    ports: Ports,
    sources: Sources<'a>,
    destinations: Vec<SockAddr>,
    poller: Poller,
    conversations: Conversations,
    buffer: Vec<u8>,
    deadlines: Deadlines<3>,
    /// By the core's number; behind them those that wait for the server's FIN, which the core has forgotten.
    links: Vec<Option<Link>>,
    /// Slots for those that leave.
    leaving: Vec<usize>,
    left: usize,
    requests: Vec<Option<Request>>,
    /// The connection that each borrower has.
    lent: Vec<Option<usize>>,
    borrower_of: Vec<usize>,
    free: Vec<usize>,
    /// Why the last connection could not be opened.
    refused: Failure,
    books: Box<PoolBooks>,
    measured: Measured,
    published: Live,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        work: &'a Work,
        pool: &PoolPlan,
        clock: &'a Clock,
        control: &'a Control,
    ) -> Result<Self, EngineError> {
        let load = &work.load;
        let pairs = Pairs::new(work);
        let ports = Ports::new(work, pairs.count());
        if work.client.source.is_chosen_by_harness() && ports.is_empty() {
            return Err(EngineError::Missing("source port"));
        }
        let kind = session::kind(work.protocol).ok_or(EngineError::Missing("request"))?;
        let settings = session::settings(load.request_bytes, load.response_bytes, 0);
        let tuples = work.tuples.then(|| TupleClock::new(pairs.count()));
        let borrowers = u64::from(load.in_flight).min(load.requests.unwrap_or(u64::MAX)) as usize;
        let size = pool.size as usize;
        let spans = [load.connect_timeout, load.io_timeout, load.hold].map(nanos);
        Ok(Self {
            work,
            validation: pool.validation,
            clock,
            control,
            core: Core::new(pool, borrowers),
            offer: Offer::new(work),
            pairs,
            ports,
            sources: Sources::new(work),
            destinations: work.destinations.iter().map(|address| (*address).into()).collect(),
            poller: Poller::new()?,
            conversations: Conversations::new(kind, settings),
            buffer: vec![0; MAX_MESSAGE],
            deadlines: Deadlines::new(spans, size),
            links: (0..size).map(|_| None).collect(),
            leaving: Vec::new(),
            left: 0,
            requests: vec![None; borrowers],
            lent: vec![None; borrowers],
            borrower_of: vec![0; size],
            free: (0..borrowers).rev().collect(),
            refused: (Phase::Connect, Cause::Cancelled),
            books: Box::default(),
            measured: Measured::new(tuples, work.shard).of_pool(),
            published: Live::default(),
        })
    }

    pub(super) fn run(mut self) -> Result<Measured, EngineError> {
        let began = ThreadTime::now();
        loop {
            let now = self.now();
            if self.control.stopped() {
                self.offer.stop(now);
                self.cancel();
                break;
            }
            self.expire(now);
            self.core.tick(now);
            self.perform();
            self.begin_due();
            self.publish();
            let now = self.now();
            if !self.offer.goes_on(now) && self.free.len() == self.requests.len() && self.ends(now) {
                break;
            }
            self.reap(now)?;
        }
        self.publish();
        self.books.not_offered = self.offer.not_offered();
        self.measured.pool = Some(self.books);
        self.measured.took(began.elapsed());
        Ok(self.measured)
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.nanos()
    }

    /// No request is under way and none will come: closes everything. Whether that is done.
    fn ends(&mut self, now: u64) -> bool {
        self.core.stop_filling();
        if self.core.opening() > 0 {
            return false;
        }
        self.count_occupancy(now);
        self.core.end();
        self.perform();
        self.left == 0
    }

    /// Fails all requests under way and closes everything: the load was stopped.
    fn cancel(&mut self) {
        let now = self.now();
        for borrower in 0..self.requests.len() {
            let phase = self.lent[borrower]
                .and_then(|connection| self.links[connection].as_ref())
                .map_or(Phase::Borrow, |link| link.state.phase());
            if let Some(request) = self.requests[borrower].take() {
                self.books
                    .fail(&request, (phase, Cause::Cancelled), &mut self.measured.timeline, now);
            }
        }
        self.lent.fill(None);
        self.free = (0..self.requests.len()).collect();
        // Those that say goodbye now, and wait for an answer, come behind the others.
        let mut next = 0;
        while next < self.links.len() {
            let index = next;
            next += 1;
            let Some(state) = self.links[index].as_ref().map(|link| link.state) else {
                continue;
            };
            match state {
                State::Idle => self.bid_farewell(index, Why::End),
                State::Quitting | State::Leaving => {
                    self.finish_leaving(index, Err((state.phase(), Cause::Cancelled)));
                }
                State::Connecting | State::LoggingIn(_) => {
                    self.books.open_failed += 1;
                    self.give_up(index, (state.phase(), Cause::Cancelled));
                }
                State::Validating(_) | State::Asking(_) | State::Held => {
                    self.books
                        .close(Why::End, self.links[index].as_ref().map_or(0, |link| link.requests));
                    self.give_up(index, (state.phase(), Cause::Cancelled));
                }
            }
        }
    }

    /// Ends the waits whose time is up.
    fn expire(&mut self, now: u64) {
        while let Some(index) = self.deadlines.expire(now) {
            let Some(state) = self.links[index].as_ref().map(|link| link.state) else {
                continue;
            };
            let late = (state.phase(), Cause::LingerTimeout);
            match state {
                State::Held => self.give_back(index),
                State::Connecting | State::LoggingIn(_) => self.open_failed(index, late),
                State::Validating(_) => self.validated(index, Err(late)),
                State::Asking(_) => self.request_failed(index, late),
                State::Quitting | State::Leaving => self.finish_leaving(index, Err(late)),
                State::Idle => {}
            }
            self.perform();
        }
    }

    /// Begins the requests that are due, as far as there is room.
    fn begin_due(&mut self) {
        let mut now = self.now();
        let batch_ends = now.saturating_add(BATCH);
        while now < batch_ends
            && let Some(borrower) = self.free.last().copied()
            && let Some((due, _)) = self.offer.take(now)
        {
            self.free.pop();
            self.requests[borrower] = Some(self.books.ask(due, now));
            self.core.borrow(borrower, now);
            self.perform();
            now = self.now();
        }
    }

    /// Does what the core has decided.
    fn perform(&mut self) {
        while let Some(action) = self.core.next_action() {
            match action {
                Action::Open { connection } => self.open(connection),
                Action::Lend { connection, borrower } => self.lend(connection, borrower),
                Action::Validate { connection } => self.validate(connection),
                Action::Close { connection, why } => self.bid_farewell(connection, why),
                Action::TimeOut { borrower } => {
                    self.fail(borrower, (Phase::Borrow, Cause::LingerTimeout));
                }
                Action::Fail { borrower } => self.fail(borrower, self.refused),
            }
            let now = self.now();
            self.count_occupancy(now);
        }
        let now = self.now();
        self.count_occupancy(now);
    }

    fn count_occupancy(&mut self, now: u64) {
        let core = &self.core;
        self.books.occupied(core.open(), core.lent(), core.waiting(), now);
    }

    /// A request ends without a reply; it has no connection.
    fn fail(&mut self, borrower: usize, failure: Failure) {
        let now = self.now();
        if let Some(request) = self.requests[borrower].take() {
            self.books.fail(&request, failure, &mut self.measured.timeline, now);
        }
        self.free.push(borrower);
    }

    /// Takes a connection as far as it goes without waiting.
    fn advance(&mut self, index: usize) {
        while let Some(link) = &mut self.links[index] {
            let state = link.state;
            match state {
                State::Connecting => match link.is_connected(&self.destinations[link.destination]) {
                    Ok(true) => self.establish(index),
                    Ok(false) => return self.park(index, Interest::Output, Limit::Connect),
                    Err(failure) => return self.open_failed(index, failure),
                },
                State::LoggingIn(_) | State::Validating(_) | State::Asking(_) => {
                    let Some(conversation) = &mut link.conversation else {
                        return;
                    };
                    let turn = conversation.go_on(&link.socket, &mut self.buffer);
                    return self.take_turn(index, state, turn);
                }
                State::Quitting => {
                    if !self.go_on_quitting(index) {
                        return;
                    }
                }
                State::Leaving => match link.drain(&mut self.buffer) {
                    Ok(true) => return self.finish_leaving(index, Ok(Some(Ending::PeerClosedFirst))),
                    Ok(false) => return self.park(index, Interest::Input, Limit::Io),
                    Err(failure) => return self.finish_leaving(index, Err(failure)),
                },
                State::Idle | State::Held => return,
            }
        }
    }

    fn take_turn(&mut self, index: usize, state: State, turn: Turn) {
        if let Turn::Wait(need) = turn {
            let interest = match need {
                Need::Input => Interest::Input,
                Need::Output => Interest::Output,
            };
            if let Some(link) = &mut self.links[index] {
                link.state = match state {
                    State::LoggingIn(_) => State::LoggingIn(need),
                    State::Validating(_) => State::Validating(need),
                    _ => State::Asking(need),
                };
            }
            return self.park(index, interest, Limit::Io);
        }
        // The answer to a validation answers no request.
        if let (State::Asking(_), Turn::Response { error, .. }) = (state, turn) {
            self.measured.said.responses += 1;
            self.measured.said.errors += u64::from(error.is_some());
        }
        let failure = match turn {
            Turn::Failed(phase, cause) => (phase, cause),
            Turn::PeerClosed => (Phase::Recv, Cause::UnexpectedEof),
            _ => (Phase::Recv, Cause::Malformed),
        };
        match (state, turn) {
            (State::LoggingIn(_), Turn::Ready) => self.opened(index),
            (State::LoggingIn(_), _) => self.open_failed(index, failure),
            (State::Validating(_), Turn::Response { closing, .. }) => self.validated(index, Ok(closing)),
            (State::Validating(_), _) => self.validated(index, Err(failure)),
            (_, Turn::Response { closing, .. }) => self.answered(index, closing),
            _ => self.request_failed(index, failure),
        }
    }

    /// Makes a connection wait, for as long as that may take.
    fn park(&mut self, index: usize, wanted: Interest, limit: Limit) {
        let now = self.now();
        self.deadlines.begin(limit as usize, index, now);
        let Some(link) = &mut self.links[index] else { return };
        let result = match link.watched.replace(wanted) {
            None => self.poller.add(link.socket.as_fd(), wanted, index as u64),
            // Told at once of what came while nobody waited for it.
            Some(watched) if watched != wanted => self.poller.modify(link.socket.as_fd(), wanted, index as u64),
            Some(_) => Ok(()),
        };
        if let Err(errno) = result {
            let (state, failure) = (link.state, (link.state.phase(), Cause::Errno(errno as i32)));
            self.deadlines.end(index);
            match state {
                State::Validating(_) => self.validated(index, Err(failure)),
                State::Asking(_) => self.request_failed(index, failure),
                State::Quitting | State::Leaving => self.finish_leaving(index, Err(failure)),
                _ => self.open_failed(index, failure),
            }
        }
    }

    fn publish(&mut self) {
        let now = Live {
            attempted: self.books.requests.attempted,
            ok: self.books.requests.ok,
            failed: self.books.failed,
            open: (self.requests.len() - self.free.len()) as u64,
        };
        self.control.publish(self.published, now);
        self.published = now;
    }

    /// Takes on what is ready; sleeps first when there is nothing to do until then.
    fn reap(&mut self, now: u64) -> Result<(), EngineError> {
        let due = if self.free.is_empty() {
            None
        } else {
            self.offer.next_due(now)
        };
        let limits = [self.deadlines.next(), self.core.next_deadline()];
        let limit = limits.into_iter().flatten().min();
        let wait = self.work.pacing.wait(now, due, limit);
        let events = match wait {
            Wait::Poll | Wait::Spin => self.poller.wait(now, Some(now))?,
            Wait::Until(until) => self.poller.wait(now, until)?,
        };
        if wait == Wait::Spin && events == 0 {
            self.measured.spun_nanos += self.now() - now;
        }
        for event in 0..events {
            if let Some(token) = self.poller.token(event) {
                self.advance(token as usize);
                self.perform();
            }
        }
        Ok(())
    }
}
