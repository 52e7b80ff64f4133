//! When each four-tuple was last closed: joins the client's closes with the departures that sock_diag sees
//! (TIME_WAIT lifetimes) and with the next use of the same port (reuse delay).

use super::histogram::LatencyHistogram;

/// Ports of one pair of addresses and destination port.
const PORTS: usize = 65_536;

/// The time of the last close of each (pair, local port), in nanoseconds since the load began.
///
/// A *pair* is one source address with one destination; the load numbers them. Each takes 512 KiB, so that a plan
/// may not follow many.
#[derive(Clone, Debug)]
pub struct TupleClock {
    closed: Vec<u64>,
    reuse: LatencyHistogram,
    /// Whether every use of a four-tuple was seen, so that the delays are complete.
    complete: bool,
    /// The shortest and the longest reuse delay, exactly: the histogram knows them to a thousandth only, which blurs
    /// on which side of tcp_tw_reuse_delay they fall.
    extremes: Option<(u64, u64)>,
}

impl TupleClock {
    /// Room for `pairs` pairs of source address and destination.
    #[must_use]
    pub fn new(pairs: usize) -> Self {
        Self {
            closed: vec![0; pairs * PORTS],
            reuse: LatencyHistogram::default(),
            extremes: None,
            complete: true,
        }
    }

    /// The same without the reuse delays: several threads took turns on the four-tuples, and none saw all of them.
    #[must_use]
    pub fn without_reuse(self) -> Self {
        Self {
            complete: false,
            extremes: None,
            ..self
        }
    }

    /// A connection on this four-tuple succeeded: its reuse delay is the time since the last close, if there was one.
    #[inline]
    pub fn opened(&mut self, pair: usize, port: u16, at: u64) {
        let closed = self.closed[pair * PORTS + usize::from(port)];
        if closed > 0 {
            let delay = at.saturating_sub(closed);
            self.reuse.record(delay);
            self.widen(delay, delay);
        }
    }

    /// The connection on this four-tuple was closed.
    #[inline]
    pub fn closed(&mut self, pair: usize, port: u16, at: u64) {
        self.closed[pair * PORTS + usize::from(port)] = at.max(1);
    }

    /// When this four-tuple was last closed.
    #[must_use]
    pub fn last_close(&self, pair: usize, port: u16) -> Option<u64> {
        self.closed
            .get(pair * PORTS + usize::from(port))
            .copied()
            .filter(|at| *at > 0)
    }

    /// Time from a close to the next successful connection on the same four-tuple; None where not all were seen.
    #[must_use]
    pub fn reuse(&self) -> Option<&LatencyHistogram> {
        self.complete.then_some(&self.reuse)
    }

    /// The shortest and the longest of them, in nanoseconds.
    #[must_use]
    pub fn reuse_extremes(&self) -> Option<(u64, u64)> {
        self.extremes
    }

    fn widen(&mut self, shortest: u64, longest: u64) {
        let (low, high) = self.extremes.unwrap_or((shortest, longest));
        self.extremes = Some((low.min(shortest), high.max(longest)));
    }

    /// Adds another thread's clock of the same pairs: the later close wins.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.closed.iter_mut().zip(&other.closed) {
            *mine = (*mine).max(*theirs);
        }
        self.reuse.merge(&other.reuse);
        if let Some((shortest, longest)) = other.extremes {
            self.widen(shortest, longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_used_again_gives_the_time_since_its_close() {
        let mut clock = TupleClock::new(2);
        clock.opened(1, 40_000, 100);
        assert_eq!(clock.reuse().unwrap().count(), 0);
        clock.closed(1, 40_000, 1_000);
        clock.opened(0, 40_000, 2_000);
        assert_eq!(clock.reuse().unwrap().count(), 0, "another pair is another four-tuple");
        clock.opened(1, 40_000, 3_500);
        assert_eq!(clock.reuse().unwrap().count(), 1);
        assert_eq!(clock.reuse_extremes(), Some((2_500, 2_500)));
        assert_eq!(clock.last_close(1, 40_000), Some(1_000));
        assert_eq!(clock.last_close(0, 40_000), None);
    }
}
