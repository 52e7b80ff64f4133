//! The books of one engine thread: each attempt is entered when it begins and struck off when it ends.
//!
//! All engines book through these methods, so that one connection gives the same numbers whichever engine made it.
//! Knows no system call. Nothing is allocated after `new`.

use nix::libc;

use super::clock::ThreadTime;
use super::fill_level::{ByFill, Call};
use super::pool::PoolBooks;
use super::shard::Shard;
use crate::record::histogram::LatencyHistogram;
use crate::record::tally::{Cause, First, Phase, Tally};
use crate::record::timeline::Timeline;
use crate::record::tuples::TupleClock;

/// What one engine thread measured.
#[derive(Clone, Debug)]
pub struct Measured {
    pub tally: Tally,
    /// connect() to established.
    pub connect: LatencyHistogram,
    /// The connect() call itself, whatever it gave.
    pub connect_call: LatencyHistogram,
    /// The same by how full the destination was; None where that cannot be known.
    pub by_fill: Option<ByFill>,
    /// connect() to the return of close(), of attempts that ended ok.
    pub session: LatencyHistogram,
    /// Intended start to established; empty with arrival `max`.
    pub from_intended_start: LatencyHistogram,
    /// connect() to its failure.
    pub connect_failed: LatencyHistogram,
    /// Intended start to the attempt's beginning; empty with arrival `max`.
    pub lag: LatencyHistogram,
    /// Of attempts; of a pool's load, of its requests.
    pub timeline: Timeline,
    pub tuples: Option<TupleClock>,
    pub endings: Endings,
    pub said: Said,
    /// Of a pool: its requests, where all else tells of its connections.
    pub pool: Option<Box<PoolBooks>>,
    /// Attempts that were due and could not be begun before the load's end; 0 with arrival `max`, where none is due.
    pub not_offered: u64,
    /// When the last attempt ended, in nanoseconds since the beginning.
    pub ended_at: u64,
    /// CPU seconds of the engine's threads.
    pub cpu_seconds: f64,
    /// Seconds in which they could have run and other threads had the CPUs.
    pub waited_seconds: f64,
    /// Nanoseconds that were spun away until an intended start, over all threads.
    pub spun_nanos: u64,
    /// Nanoseconds in connect() calls, over all threads.
    pub connect_call_total: u64,
    /// Threads that these are the books of.
    pub threads: u32,
    shard: Shard,
    /// Whether more is booked than the tally.
    kept: bool,
    /// Whether the timeline is of a pool's requests.
    pooled: bool,
}

/// What was said over all connections, where a protocol is spoken that has to be understood.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Requests that the client made.
    pub requests: u64,
    /// Complete responses.
    pub responses: u64,
    /// Of these, those that tell of an error: data, and no failure of the attempt.
    pub errors: u64,
}

impl std::ops::AddAssign for Said {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.responses += other.responses;
        self.errors += other.errors;
    }
}

/// How established connections ended, by who acted first. They add up to the tally's `connected`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endings {
    /// The client closed first, with FIN. Timed-out and cancelled connections are closed like this too.
    pub closed_first: u64,
    /// The client closed first, with RST by SO_LINGER 0.
    pub aborted: u64,
    /// The server's FIN came first.
    pub peer_closed_first: u64,
    /// The server's RST came before any FIN of ours.
    pub peer_reset: u64,
    /// The client said the protocol's quit and closed without waiting: whose FIN came first only the kernel knows.
    pub quit_closed: u64,
}

impl std::ops::AddAssign for Endings {
    fn add_assign(&mut self, other: Self) {
        self.closed_first += other.closed_first;
        self.aborted += other.aborted;
        self.peer_closed_first += other.peer_closed_first;
        self.peer_reset += other.peer_reset;
        self.quit_closed += other.quit_closed;
    }
}

/// How one established connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    ClosedFirst,
    Aborted,
    PeerClosedFirst,
    PeerReset,
    QuitClosed,
}

/// What the books need to know of an attempt under way. Times are nanoseconds since the load's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    ordinal: u64,
    due: Option<u64>,
    /// The pair's number.
    pair: usize,
    /// When connect() was called.
    called: u64,
    established: Option<u64>,
    /// The local port; with tuples only.
    port: Option<u16>,
    /// How the connection was ended, once one end has acted.
    ending: Option<Ending>,
    /// The connect() call, where the destination's fill is known.
    call: Option<Call>,
}

impl Measured {
    pub(super) fn new(tuples: Option<TupleClock>, shard: Shard) -> Self {
        Self {
            tally: Tally::default(),
            connect: LatencyHistogram::default(),
            connect_call: LatencyHistogram::default(),
            by_fill: None,
            session: LatencyHistogram::default(),
            from_intended_start: LatencyHistogram::default(),
            connect_failed: LatencyHistogram::default(),
            lag: LatencyHistogram::default(),
            timeline: Timeline::default(),
            tuples,
            endings: Endings::default(),
            said: Said::default(),
            pool: None,
            not_offered: 0,
            ended_at: 0,
            cpu_seconds: 0.0,
            waited_seconds: 0.0,
            spun_nanos: 0,
            connect_call_total: 0,
            threads: 1,
            shard,
            kept: true,
            pooled: false,
        }
    }

    /// Books nothing but the tally where `kept` is false: [`super::Control::without_books`].
    pub(super) fn kept(mut self, kept: bool) -> Self {
        self.kept = kept;
        self
    }

    /// Times the connect() call by how full its destination is, too.
    pub(super) fn by_fill(mut self, by_fill: Option<ByFill>) -> Self {
        self.by_fill = by_fill;
        self
    }

    /// The thread has ended its load.
    pub(super) fn took(&mut self, time: ThreadTime) {
        self.cpu_seconds = time.cpu;
        self.waited_seconds = time.waited;
    }

    /// Of a pool: the timeline is left to its requests.
    pub(super) fn of_pool(mut self) -> Self {
        self.pooled = true;
        self
    }

    /// Adds another thread's books of the same load, which is none of a pool.
    pub fn merge(&mut self, other: &Self) {
        self.tally.merge(&other.tally);
        self.connect.merge(&other.connect);
        self.connect_call.merge(&other.connect_call);
        self.session.merge(&other.session);
        self.from_intended_start.merge(&other.from_intended_start);
        self.connect_failed.merge(&other.connect_failed);
        self.lag.merge(&other.lag);
        self.timeline.merge(&other.timeline);
        if let (Some(mine), Some(theirs)) = (&mut self.tuples, &other.tuples) {
            mine.merge(theirs);
        }
        if let (Some(mine), Some(theirs)) = (&mut self.by_fill, &other.by_fill) {
            mine.merge(theirs);
        }
        self.endings += other.endings;
        self.said += other.said;
        self.not_offered += other.not_offered;
        self.ended_at = self.ended_at.max(other.ended_at);
        self.cpu_seconds += other.cpu_seconds;
        self.waited_seconds += other.waited_seconds;
        self.spun_nanos += other.spun_nanos;
        self.connect_call_total += other.connect_call_total;
        self.threads += other.threads;
    }

    /// An attempt begins. `due` is its intended start, None with arrival `max`.
    pub(super) fn begin(&mut self, due: Option<u64>, pair: usize, now: u64) -> Attempt {
        self.tally.attempted += 1;
        if let (Some(due), true) = (due, self.kept) {
            self.lag.record(now.saturating_sub(due));
        }
        Attempt {
            ordinal: self.shard.ordinal(self.tally.attempted),
            due,
            pair,
            called: now,
            established: None,
            port: None,
            ending: None,
            call: None,
        }
    }

    /// connect() was called and returned, with whatever result.
    pub(super) fn connect_returned(&mut self, attempt: &mut Attempt, called: u64, now: u64) {
        attempt.called = called;
        if !self.kept {
            return;
        }
        self.connect_call.record(now - called);
        self.connect_call_total += now - called;
        if let Some(by_fill) = &mut self.by_fill {
            attempt.call = by_fill.called(attempt.pair, called, now);
        }
    }

    /// The connection is known to be established. `port` is the local one, where tuples are followed.
    pub(super) fn establish(&mut self, attempt: &mut Attempt, port: Option<u16>, now: u64) {
        attempt.established = Some(now);
        attempt.port = port;
        self.tally.connected += 1;
        if !self.kept {
            return;
        }
        self.connect.record(now - attempt.called);
        if let Some(due) = attempt.due {
            self.from_intended_start.record(now.saturating_sub(due));
        }
        if let (Some(tuples), Some(port)) = (&mut self.tuples, port) {
            tuples.opened(attempt.pair, port, now);
        }
        if let (Some(by_fill), Some(call)) = (&mut self.by_fill, attempt.call) {
            by_fill.connected(call, port);
        }
    }

    /// One end acts to end an established connection: we just before shutdown() or close(), or the peer as we learn
    /// of it. The first to act counts.
    pub(super) fn ending(&mut self, attempt: &mut Attempt, ending: Ending, now: u64) {
        if attempt.ending.is_some() || !self.kept {
            return;
        }
        attempt.ending = Some(ending);
        match ending {
            Ending::ClosedFirst => self.endings.closed_first += 1,
            Ending::Aborted => self.endings.aborted += 1,
            Ending::PeerClosedFirst => self.endings.peer_closed_first += 1,
            Ending::PeerReset => self.endings.peer_reset += 1,
            Ending::QuitClosed => self.endings.quit_closed += 1,
        }
        if let (Some(tuples), Some(port)) = (&mut self.tuples, attempt.port) {
            tuples.closed(attempt.pair, port, now);
        }
        if let (Some(by_fill), Some(_)) = (&mut self.by_fill, attempt.call)
            && ending != Ending::ClosedFirst
        {
            by_fill.released(attempt.pair);
        }
    }

    /// close() has returned and everything went as planned.
    pub(super) fn succeed(&mut self, attempt: &Attempt, now: u64) {
        self.tally.ok += 1;
        self.ended_at = now;
        if !self.kept {
            return;
        }
        self.session.record(now - attempt.called);
        let connect = attempt.established.unwrap_or(now) - attempt.called;
        if !self.pooled {
            self.timeline.ok(now, connect);
        }
    }

    /// The attempt has failed; an established connection that nobody had begun to end is about to be closed by us.
    pub(super) fn fail(&mut self, attempt: &mut Attempt, phase: Phase, cause: Cause, now: u64) {
        if attempt.established.is_some() {
            let ending = match cause {
                Cause::UnexpectedEof => Ending::PeerClosedFirst,
                Cause::Errno(libc::ECONNRESET | libc::EPIPE) => Ending::PeerReset,
                _ => Ending::ClosedFirst,
            };
            self.ending(attempt, ending, now);
        }
        if phase == Phase::Connect && cause != Cause::Cancelled {
            self.connect_failed.record(now - attempt.called);
        }
        if let (Some(by_fill), Some(call), None) = (&mut self.by_fill, attempt.call, attempt.established) {
            by_fill.failed(call, attempt.pair);
        }
        let first = First {
            at: now,
            attempt: attempt.ordinal,
        };
        self.tally.fail(phase, cause, first);
        if !self.pooled {
            self.timeline.failed(now, phase, cause);
        }
        self.ended_at = now;
    }
}
