//! The pool's decisions: which connection is lent to whom, which is opened, which is closed and why.
//!
//! Pure: told what happened and when, it says what is to be done ([`Action`]). No clock, no socket. Nothing is allocated
//! once it is made.
//!
//! - A request that finds nothing idle waits. Whatever comes first, a connection returned or one newly opened, goes to the
//!   one that has waited the longest (HikariCP, database/sql, bb8).
//! - Connections are opened while fewer are under way than requests wait, and min_idle lacks, and size allows.
//! - One that cannot be opened fails the request that has waited the longest (database/sql, redis-py), unless enough others
//!   are under way: nothing is tried again behind its back. Where it was to restore min_idle, the next try is 100 ms later.
//! - Age is looked at by a reaper at its deadline, not at the next borrow: an idle connection is closed when its time is
//!   over, a lent one when it is returned.

use std::collections::VecDeque;

use super::queue::Queue;
use crate::load::clock::nanos;
use crate::load::deadlines::Deadlines;
use crate::scenario::pool::{LendOrder, OnReturn, PoolPlan, Validation};

/// Until min_idle is tried to be restored again after a connection could not be opened, in nanoseconds.
pub(super) const RETRY: u64 = 100_000_000;

/// What the driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Open a connection and tell of it by [`Core::opened`] or [`Core::open_failed`].
    Open { connection: usize },
    /// The borrower has the connection now, and gives it back by [`Core::give_back`].
    Lend { connection: usize, borrower: usize },
    /// Find out whether the connection is alive and tell by [`Core::validated`].
    Validate { connection: usize },
    /// Close a connection: its number is free for another.
    Close { connection: usize, why: Why },
    /// The borrower waited as long as it may and gets none.
    TimeOut { borrower: usize },
    /// The connection that could not be opened was to be this borrower's.
    Fail { borrower: usize },
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Lifetime,
    Idle,
    Validation,
    Error,
    ServerClosed,
    OnReturn,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Vacant,
    Opening,
    Idle {
        since: u64,
    },
    /// Its time may be over meanwhile: then it is closed when it comes back.
    Lent {
        old: bool,
    },
    Validating {
        borrower: usize,
        old: bool,
    },
}

/// A request that asked for a connection.
#[derive(Clone, Copy, Debug)]
struct Borrower {
    /// Counts those that asked.
    ticket: u64,
    /// The connection that is being validated for it.
    validating: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Core {
    keeps: bool,
    min_idle: usize,
    idle_timeout: Option<u64>,
    /// Whether an idle connection is validated before it is lent.
    validates: bool,
    order: LendOrder,
    connections: Vec<State>,
    vacant: Vec<usize>,
    /// In the order in which they became idle.
    idle: Queue,
    opening: usize,
    /// Of the connections that are open, where there is a limit.
    lifetimes: Option<Deadlines<1>>,
    borrowers: Vec<Borrower>,
    /// Borrowers in the order in which they asked.
    waiting: VecDeque<usize>,
    /// Of those that wait, and of those for which a connection is validated.
    patience: Deadlines<1>,
    next_ticket: u64,
    /// No connection is opened for min_idle before this.
    retry_at: u64,
    actions: VecDeque<Action>,
}

impl Core {
    /// A pool for borrowers numbered below `borrowers`. Nothing is open: [`Core::tick`] begins to fill it.
    pub(super) fn new(plan: &PoolPlan, borrowers: usize) -> Self {
        let size = plan.size as usize;
        let limit = |span: std::time::Duration| (!span.is_zero()).then(|| nanos(span));
        let nobody = Borrower {
            ticket: 0,
            validating: None,
        };
        Self {
            keeps: plan.on_return == OnReturn::Keep,
            min_idle: plan.min_idle as usize,
            idle_timeout: limit(plan.idle_timeout),
            validates: plan.validation != Validation::None,
            order: plan.order,
            connections: vec![State::Vacant; size],
            vacant: (0..size).rev().collect(),
            idle: Queue::new(size),
            opening: 0,
            lifetimes: limit(plan.max_lifetime).map(|span| Deadlines::new([span], size)),
            borrowers: vec![nobody; borrowers],
            waiting: VecDeque::with_capacity(borrowers),
            patience: Deadlines::new([nanos(plan.borrow_timeout)], borrowers),
            next_ticket: 0,
            retry_at: 0,
            actions: VecDeque::with_capacity(2 * size + borrowers),
        }
    }

    /// The next thing to do, in the order in which they were decided.
    pub(super) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Connections that are being opened.
    pub(super) fn opening(&self) -> usize {
        self.opening
    }

    /// Connections that are open: idle, lent or being validated.
    pub(super) fn open(&self) -> usize {
        self.connections.len() - self.vacant.len() - self.opening
    }

    /// Connections that are lent or being validated.
    pub(super) fn lent(&self) -> usize {
        self.open() - self.idle.len()
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When [`Core::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        let lifetime = self.lifetimes.as_ref().and_then(Deadlines::next);
        let fill = (self.lacks_idle() && !self.vacant.is_empty()).then_some(self.retry_at);
        [lifetime, self.idle_deadline(), self.patience.next(), fill]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: u64) {
        self.reap(now);
        self.give_up(now);
        self.balance(now);
    }

    /// A borrower asks for a connection.
    pub(super) fn borrow(&mut self, borrower: usize, now: u64) {
        self.tick(now);
        self.borrowers[borrower] = Borrower {
            ticket: self.next_ticket,
            validating: None,
        };
        self.next_ticket += 1;
        self.patience.begin(0, borrower, now);
        self.waiting.push_back(borrower);
        self.balance(now);
    }

    /// A borrower is done with its connection; `broken` says why it cannot be used again.
    pub(super) fn give_back(&mut self, connection: usize, broken: Option<Why>, now: u64) {
        self.tick(now);
        let old = matches!(self.connections[connection], State::Lent { old: true });
        match broken {
            Some(why) => self.close(connection, why),
            None if !self.keeps => self.close(connection, Why::OnReturn),
            None if old => self.close(connection, Why::Lifetime),
            None => self.make_available(connection, now),
        }
        self.balance(now);
    }

    /// A connection is open.
    pub(super) fn opened(&mut self, connection: usize, now: u64) {
        self.tick(now);
        self.opening -= 1;
        if let Some(lifetimes) = &mut self.lifetimes {
            lifetimes.begin(0, connection, now);
        }
        self.make_available(connection, now);
        self.balance(now);
    }

    /// A connection could not be opened.
    pub(super) fn open_failed(&mut self, connection: usize, now: u64) {
        self.tick(now);
        self.opening -= 1;
        self.connections[connection] = State::Vacant;
        self.vacant.push(connection);
        if self.waiting.is_empty() {
            self.retry_at = now.saturating_add(RETRY);
        } else if self.opening < self.waiting.len()
            && let Some(borrower) = self.waiting.pop_front()
        {
            self.patience.end(borrower);
            self.actions.push_back(Action::Fail { borrower });
        }
        self.balance(now);
    }

    /// A validation has come to its end. One that was given up meanwhile is not told of.
    pub(super) fn validated(&mut self, connection: usize, sound: bool, now: u64) {
        self.tick(now);
        // The tick may have given it up just now.
        let State::Validating { borrower, old } = self.connections[connection] else {
            return;
        };
        self.borrowers[borrower].validating = None;
        if sound && !old {
            self.lend(connection, borrower);
        } else {
            self.close(connection, if sound { Why::Lifetime } else { Why::Validation });
            self.wait_again(borrower);
        }
        self.balance(now);
    }

    /// The load is over and nobody will borrow: nothing is opened for min_idle any more.
    pub(super) fn stop_filling(&mut self) {
        self.min_idle = 0;
    }

    /// Nothing is lent or being opened: closes what is idle.
    pub(super) fn end(&mut self) {
        while let Some(connection) = self.idle.first() {
            self.close(connection, Why::End);
        }
    }

    /// Closes idle connections whose time is over, and remembers it of the others.
    fn reap(&mut self, now: u64) {
        while let Some(connection) = self.lifetimes.as_mut().and_then(|all| all.expire(now)) {
            match &mut self.connections[connection] {
                State::Idle { .. } => self.close(connection, Why::Lifetime),
                State::Lent { old } | State::Validating { old, .. } => *old = true,
                State::Vacant | State::Opening => {}
            }
        }
        while self.idle_deadline().is_some_and(|deadline| deadline <= now)
            && let Some(connection) = self.idle.first()
        {
            self.close(connection, Why::Idle);
        }
    }

    /// When the connection that has been idle the longest is to be closed for it.
    fn idle_deadline(&self) -> Option<u64> {
        let (timeout, first) = (self.idle_timeout?, self.idle.first()?);
        match self.connections[first] {
            State::Idle { since } if self.idle.len() > self.min_idle => Some(since.saturating_add(timeout)),
            _ => None,
        }
    }

    /// Ends the wait of borrowers whose time is over. What was being validated for one of them has not answered in time.
    fn give_up(&mut self, now: u64) {
        while let Some(borrower) = self.patience.expire(now) {
            match self.borrowers[borrower].validating.take() {
                Some(connection) => self.close(connection, Why::Validation),
                // Whoever asked first is in front.
                None if self.waiting.front() == Some(&borrower) => drop(self.waiting.pop_front()),
                None => self.waiting.retain(|other| *other != borrower),
            }
            self.actions.push_back(Action::TimeOut { borrower });
        }
    }

    /// An open connection goes to the borrower that has waited the longest, or is idle.
    fn make_available(&mut self, connection: usize, now: u64) {
        match self.waiting.pop_front() {
            Some(borrower) => self.lend(connection, borrower),
            None => {
                self.connections[connection] = State::Idle { since: now };
                self.idle.push(connection);
            }
        }
    }

    fn lend(&mut self, connection: usize, borrower: usize) {
        self.patience.end(borrower);
        self.connections[connection] = State::Lent { old: false };
        self.actions.push_back(Action::Lend { connection, borrower });
    }

    /// What was to be this borrower's is dead: it waits again, in the order in which it asked.
    fn wait_again(&mut self, borrower: usize) {
        let ticket = self.borrowers[borrower].ticket;
        let place = self
            .waiting
            .partition_point(|other| self.borrowers[*other].ticket < ticket);
        self.waiting.insert(place, borrower);
    }

    fn close(&mut self, connection: usize, why: Why) {
        self.idle.remove(connection);
        if let Some(lifetimes) = &mut self.lifetimes {
            lifetimes.end(connection);
        }
        self.connections[connection] = State::Vacant;
        self.vacant.push(connection);
        self.actions.push_back(Action::Close { connection, why });
    }

    /// Hands out what is idle, opens what lacks, and closes what is idle for too long now that others are idle too.
    fn balance(&mut self, now: u64) {
        while !self.waiting.is_empty()
            && let Some(connection) = self.next_idle()
            && let Some(borrower) = self.waiting.pop_front()
        {
            self.idle.remove(connection);
            if self.validates {
                self.borrowers[borrower].validating = Some(connection);
                self.connections[connection] = State::Validating { borrower, old: false };
                self.actions.push_back(Action::Validate { connection });
            } else {
                self.lend(connection, borrower);
            }
        }
        while (self.opening < self.waiting.len() || (self.lacks_idle() && now >= self.retry_at))
            && let Some(connection) = self.vacant.pop()
        {
            self.connections[connection] = State::Opening;
            self.opening += 1;
            self.actions.push_back(Action::Open { connection });
        }
        self.reap(now);
    }

    fn next_idle(&self) -> Option<usize> {
        match self.order {
            LendOrder::Lifo => self.idle.last(),
            LendOrder::Fifo => self.idle.first(),
        }
    }

    /// Whether, once those who wait are served, fewer are idle or will be than min_idle says.
    fn lacks_idle(&self) -> bool {
        self.idle.len() + self.opening < self.waiting.len() + self.min_idle
    }
}

#[cfg(test)]
mod tests;
