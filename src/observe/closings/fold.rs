//! Folds segments into the facts of each connection, four-tuple by four-tuple, incarnation by incarnation. Pure.
//!
//! A connection that is over is kept a while for late segments: until its four-tuple is used anew, or
//! [`ENDED_KEPT`] others have ended since. So memory is bounded by what is open; beyond [`FOLLOWED`] four-tuples a new
//! connection is counted and not followed.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;

use super::connection::{Change, Connection, Facts, Holder};
use super::header::{ACK, Header, RST, SYN};
use super::held::Held;
use crate::tcp::{Closer, FourTuple};

/// Four-tuples that can be followed at once (some 150 bytes each).
pub(super) const FOLLOWED: usize = 1 << 17;
/// Connections that are over and still in the table.
const ENDED_KEPT: usize = 1 << 14;

/// Which connections are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destinations {
    /// All of the namespace's.
    Any,
    /// Those to one of these, where the lab's server listens; others are only counted.
    To(Vec<SocketAddr>),
}

impl Destinations {
    fn include(&self, server: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::To(list) => list.contains(server),
        }
    }
}

/// What the fold tells as it happens.
pub(super) trait Witnessed {
    /// A connection sent its first SYN.
    fn opened(&mut self, at: u64);
    /// So many connections are open now; with an established one there is one more, with the client's close one fewer.
    fn open(&mut self, at: u64, count: u64);
    /// So many of the client's four-tuples are taken now, by connections and by TIME_WAIT, if none is gone unseen.
    fn taken(&mut self, at: u64, count: u64);
    /// No more will be learned of this connection.
    fn settled(&mut self, facts: &Facts);
}

#[derive(Debug)]
pub(super) struct Fold {
    destinations: Destinations,
    table: HashMap<FourTuple, Connection>,
    /// Those that are over, in the order of their ends, with what tells the incarnation.
    ended: VecDeque<(FourTuple, u32)>,
    followed: usize,
    ended_kept: usize,
    open: u64,
    /// Connections in the table that are not over.
    under_way: u64,
    /// TIME_WAIT of the client, of the server.
    held: [Held; 2],
    /// TIME_WAIT sockets of the server in whose place an incoming SYN opened a connection.
    pub(super) replaced: u64,
    pub(super) elsewhere: u64,
    pub(super) strays: u64,
    pub(super) segments: u64,
    /// SYNs for which the table had no room, retransmissions included.
    pub(super) not_followed: u64,
}

impl Fold {
    pub(super) fn new(destinations: Destinations) -> Self {
        Self::bounded(destinations, FOLLOWED, ENDED_KEPT)
    }

    fn bounded(destinations: Destinations, followed: usize, ended_kept: usize) -> Self {
        Self {
            destinations,
            table: HashMap::new(),
            ended: VecDeque::new(),
            followed,
            ended_kept,
            open: 0,
            under_way: 0,
            held: Default::default(),
            replaced: 0,
            elsewhere: 0,
            strays: 0,
            segments: 0,
            not_followed: 0,
        }
    }

    /// One segment, in the order in which the watch saw them.
    pub(super) fn see(&mut self, segment: &Header, at: u64, witnessed: &mut impl Witnessed) {
        self.segments += 1;
        if segment.has(SYN) && !segment.has(ACK) && !self.crosses(segment) {
            self.see_syn(segment, at, witnessed);
            return;
        }
        let reversed = segment.tuple.reversed();
        let (tuple, by) = if self.table.contains_key(&segment.tuple) {
            (segment.tuple, Closer::Client)
        } else {
            (reversed, Closer::Server)
        };
        if let Some(connection) = self.table.get_mut(&tuple) {
            let (was_open, was_over) = (connection.is_open(), connection.is_over());
            let change = connection.see(segment, by, at);
            let (is_open, is_over) = (connection.is_open(), connection.is_over());
            let isn = connection.isn();
            if is_over && (!was_over || segment.has(RST)) {
                let holder = connection.facts(tuple).time_wait();
                self.hold(tuple, holder, at);
            }
            if is_open != was_open {
                self.open = if is_open { self.open + 1 } else { self.open - 1 };
                witnessed.open(at, self.open);
            }
            self.under_way -= u64::from(is_over && !was_over);
            self.apply(change, tuple, isn, witnessed);
            self.tell_taken(at, witnessed);
        } else if self.destinations.include(&segment.tuple.remote) || self.destinations.include(&segment.tuple.local) {
            self.strays += 1;
        }
    }

    /// Whether a SYN comes from the end to which a SYN is under way: a simultaneous open.
    fn crosses(&self, syn: &Header) -> bool {
        let reversed = syn.tuple.reversed();
        reversed != syn.tuple
            && self
                .table
                .get(&reversed)
                .is_some_and(|connection| !connection.is_over())
    }

    fn see_syn(&mut self, syn: &Header, at: u64, witnessed: &mut impl Witnessed) {
        if !self.destinations.include(&syn.tuple.remote) {
            self.elsewhere += 1;
            return;
        }
        if let Some(connection) = self.table.get_mut(&syn.tuple) {
            if connection.isn() == syn.seq {
                connection.syn_again();
                return;
            }
            let facts = connection.facts(syn.tuple);
            // It ended unseen: nobody opens a four-tuple anew that is open.
            self.under_way -= u64::from(!connection.is_over());
            if connection.is_open() {
                self.open -= 1;
                witnessed.open(at, self.open);
            }
            witnessed.settled(&facts);
        } else if self.table.len() >= self.followed && !self.forget_oldest(witnessed) {
            self.not_followed += 1;
            return;
        }
        self.table.insert(syn.tuple, Connection::new(syn, at));
        self.under_way += 1;
        self.held[Closer::Client as usize].release(&syn.tuple);
        witnessed.opened(at);
        self.tell_taken(at, witnessed);
    }

    /// Who holds TIME_WAIT after a connection that is over. A RST that came later may have ended it.
    fn hold(&mut self, tuple: FourTuple, holder: Option<Holder>, at: u64) {
        let [client, server] = match holder {
            Some(Holder::Client) => [true, false],
            Some(Holder::Server) => [false, true],
            Some(Holder::Both) => [true, true],
            Some(Holder::Neither) | None => [false, false],
        };
        for (held, holds) in self.held.iter_mut().zip([client, server]) {
            if holds {
                held.hold(tuple, at);
            } else {
                held.release(&tuple);
            }
        }
    }

    fn tell_taken(&mut self, at: u64, witnessed: &mut impl Witnessed) {
        self.held.iter_mut().for_each(|held| held.expire(at));
        witnessed.taken(at, self.under_way + self.held[Closer::Client as usize].count());
    }

    fn apply(&mut self, change: Change, tuple: FourTuple, isn: u32, witnessed: &mut impl Witnessed) {
        match change {
            Change::Nothing => return,
            Change::Stray => {
                self.strays += 1;
                return;
            }
            Change::Established => {
                // The SYN that it answers ended what the last incarnation had left here (RFC 9293, 3.10.7.4, TIME-WAIT).
                self.replaced += u64::from(self.held[Closer::Server as usize].release(&tuple));
                return;
            }
            Change::Over | Change::Abandoned | Change::Failed => {}
        }
        self.ended.push_back((tuple, isn));
        if self.ended.len() > self.ended_kept {
            self.forget_oldest(witnessed);
        }
    }

    /// Settles the connection that ended longest ago; false where none that is in the table has ended.
    fn forget_oldest(&mut self, witnessed: &mut impl Witnessed) -> bool {
        while let Some((tuple, isn)) = self.ended.pop_front() {
            // Otherwise the four-tuple has been used anew since, perhaps from the same number.
            let is_it = |connection: &Connection| connection.isn() == isn && connection.is_over();
            if self.table.get(&tuple).is_some_and(is_it)
                && let Some(connection) = self.table.remove(&tuple)
            {
                witnessed.settled(&connection.facts(tuple));
                return true;
            }
        }
        false
    }

    /// Settles whatever is left.
    pub(super) fn finish(&mut self, witnessed: &mut impl Witnessed) {
        for (tuple, connection) in self.table.drain() {
            witnessed.settled(&connection.facts(tuple));
        }
        self.ended.clear();
        self.open = 0;
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
