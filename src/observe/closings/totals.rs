//! Sums the facts of all connections up for the record. Pure.

use super::connection::{Facts, FirstClose, Holder, Opening};
use super::fold::{Fold, Witnessed};
use crate::record::histogram::LatencyHistogram;
use crate::record::schema::{Closings, Concurrency, ConcurrencyPoint, Openings};
use crate::tcp::Closer;

/// Intervals of the curve at most; when more are needed, each two become one.
const INTERVALS: usize = 512;
/// The first interval's length in nanoseconds: the whole curve then covers 51 s.
const FIRST_INTERVAL: u64 = 100_000_000;

#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    opened: u64,
    peak: u64,
}

/// Open connections over time, in as many intervals as fit.
#[derive(Debug)]
struct Curve {
    length: u64,
    intervals: Vec<Interval>,
    /// Open now.
    open: u64,
    peak: u64,
}

impl Curve {
    fn new() -> Self {
        Self {
            length: FIRST_INTERVAL,
            intervals: Vec::new(),
            open: 0,
            peak: 0,
        }
    }

    /// The interval of a time. Those in between, in which nothing happened, have as many open as there were before.
    fn at(&mut self, at: u64) -> &mut Interval {
        while at / self.length >= INTERVALS as u64 {
            self.length = self.length.saturating_mul(2);
            let merged = |pair: &[Interval]| Interval {
                opened: pair.iter().map(|interval| interval.opened).sum(),
                peak: pair.iter().map(|interval| interval.peak).max().unwrap_or(0),
            };
            self.intervals = self.intervals.chunks(2).map(merged).collect();
        }
        let index = (at / self.length) as usize;
        if index >= self.intervals.len() {
            let as_before = Interval {
                opened: 0,
                peak: self.open,
            };
            self.intervals.resize(index + 1, as_before);
        }
        &mut self.intervals[index]
    }

    fn open(&mut self, at: u64, count: u64) {
        let interval = self.at(at);
        interval.peak = interval.peak.max(count);
        self.open = count;
        self.peak = self.peak.max(count);
    }

    /// The most that were opened within a second, and how long that was: one interval, where it is longer.
    fn busiest(&self) -> (u64, f64) {
        let intervals = (1_000_000_000 / self.length).max(1) as usize;
        let opened = |window: &[Interval]| window.iter().map(|interval| interval.opened).sum();
        let all: u64 = opened(&self.intervals);
        let most = self.intervals.windows(intervals).map(opened).max().unwrap_or(all);
        (most, (intervals as u64 * self.length) as f64 / 1e9)
    }

    fn summary(&self) -> Concurrency {
        let seconds = self.length as f64 / 1e9;
        let point = |(index, interval): (usize, &Interval)| ConcurrencyPoint {
            t: index as f64 * seconds,
            opened: interval.opened,
            peak: interval.peak,
        };
        Concurrency {
            peak: self.peak,
            interval_seconds: seconds,
            over_time: self.intervals.iter().enumerate().map(point).collect(),
        }
    }
}

/// When connections were established.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    first: Option<u64>,
    last: u64,
    any_ended: bool,
    /// Those that came after the first had ended: the time of the first of them, and how many.
    first_after: Option<u64>,
    after: u64,
}

impl Pace {
    fn established(&mut self, at: u64) {
        self.first.get_or_insert(at);
        self.last = at;
        if self.any_ended {
            self.first_after.get_or_insert(at);
            self.after += 1;
        }
    }

    fn summary(self, curve: &Curve) -> Option<Openings> {
        let first = self.first?;
        let seconds = |since: u64| (self.last - since) as f64 / 1e9;
        let (busiest, busiest_seconds) = curve.busiest();
        Some(Openings {
            seconds: seconds(first),
            after_first_end: self.after,
            after_first_end_seconds: self.first_after.map_or(0.0, seconds),
            busiest,
            busiest_seconds,
        })
    }
}

#[derive(Debug)]
pub(super) struct Totals {
    sums: Closings,
    handshake: LatencyHistogram,
    lifetime: LatencyHistogram,
    half_closed: LatencyHistogram,
    idle: LatencyHistogram,
    curve: Curve,
    pace: Pace,
    taken: u64,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            sums: Closings::default(),
            handshake: LatencyHistogram::default(),
            lifetime: LatencyHistogram::default(),
            half_closed: LatencyHistogram::default(),
            idle: LatencyHistogram::default(),
            curve: Curve::new(),
            pace: Pace::default(),
            taken: 0,
        }
    }
}

impl Witnessed for Totals {
    fn opened(&mut self, at: u64) {
        self.curve.at(at).opened += 1;
    }

    fn open(&mut self, at: u64, count: u64) {
        if count > self.curve.open {
            self.pace.established(at);
        } else {
            self.pace.any_ended = true;
        }
        self.curve.open(at, count);
    }

    fn taken(&mut self, _at: u64, count: u64) {
        self.taken = self.taken.max(count);
    }

    fn settled(&mut self, facts: &Facts) {
        let sums = &mut self.sums;
        sums.opened += 1;
        sums.syn_retransmissions += u64::from(facts.syn_retransmissions);
        sums.syn_ack_retransmissions += u64::from(facts.syn_ack_retransmissions);
        sums.fin_retransmissions += u64::from(facts.fin_retransmissions);
        match facts.opening {
            Opening::Refused => sums.refused += 1,
            Opening::Unanswered => sums.unanswered += 1,
            Opening::Abandoned => sums.abandoned += 1,
            Opening::Established => self.established(facts),
        }
    }
}

impl Totals {
    fn established(&mut self, facts: &Facts) {
        let sums = &mut self.sums;
        sums.established += 1;
        let first = &mut sums.closed_first;
        match facts.first_close {
            None => sums.open_at_end += 1,
            Some(FirstClose::Fin(Closer::Client)) => first.client_fin += 1,
            Some(FirstClose::Fin(Closer::Server)) => first.server_fin += 1,
            Some(FirstClose::Reset(Closer::Client)) => first.client_rst += 1,
            Some(FirstClose::Reset(Closer::Server)) => first.server_rst += 1,
            Some(FirstClose::Simultaneous) => first.simultaneous += 1,
        }
        match facts.client_waited {
            None => {}
            Some(true) => sums.client_waited.yes += 1,
            Some(false) => sums.client_waited.no += 1,
        }
        match facts.reset_after_fin {
            None => {}
            Some(Closer::Client) => sums.reset_after_fin.client += 1,
            Some(Closer::Server) => sums.reset_after_fin.server += 1,
        }
        match facts.time_wait() {
            None => sums.half_closed_at_end += u64::from(facts.first_close.is_some()),
            Some(Holder::Client) => sums.time_wait.client += 1,
            Some(Holder::Server) => sums.time_wait.server += 1,
            Some(Holder::Both) => sums.time_wait.both += 1,
            Some(Holder::Neither) => sums.time_wait.neither += 1,
        }
        self.record_times(facts);
    }

    fn record_times(&mut self, facts: &Facts) {
        let Some(established) = facts.established_at else {
            return;
        };
        self.handshake.record(established.saturating_sub(facts.opened_at));
        let Some(closed) = facts.first_close_at else { return };
        self.lifetime.record(closed.saturating_sub(established));
        if let Some(idle) = facts.idle {
            self.idle.record(idle);
        }
        let by_reset = matches!(facts.first_close, Some(FirstClose::Reset(_)));
        if let Some(over) = facts.over_at.filter(|_| !by_reset) {
            self.half_closed.record(over.saturating_sub(closed));
        }
    }

    /// The record's form. `dropped` are the segments that the kernel had no room for.
    pub(super) fn summary(self, fold: &Fold, dropped: u64, mut incomplete: Vec<String>) -> Closings {
        if dropped > 0 {
            incomplete.push(format!(
                "the capture's ring was full: the kernel dropped {dropped} of the segments"
            ));
        }
        if fold.not_followed > 0 {
            incomplete.push(format!(
                "{} SYNs were of more connections than can be followed at once ({})",
                fold.not_followed,
                super::FOLLOWED
            ));
        }
        Closings {
            handshake: self.handshake.summary(),
            lifetime: self.lifetime.summary(),
            half_closed: self.half_closed.summary(),
            idle_before_close: self.idle.summary(),
            openings: self.pace.summary(&self.curve),
            client_taken_peak: Some(self.taken),
            server_time_wait_replaced: fold.replaced,
            concurrency: self.curve.summary(),
            elsewhere: fold.elsewhere,
            strays: fold.strays,
            segments: fold.segments,
            incomplete,
            ..self.sums
        }
    }
}
