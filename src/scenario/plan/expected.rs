//! About how long a trial takes, before it is run.

use std::time::Duration;

use super::TrialPlan;
use crate::scenario::pool::PoolPlan;
use crate::scenario::port_range;
use crate::tcp::Closer;

/// 60 s and the coarsest granule of the timer wheel (docs/model.md).
const LONGEST_TIME_WAIT: Duration = Duration::from_secs(66);

/// net.ipv4.ip_local_port_range, where nobody sets it (Linux 4.2 and later).
const DEFAULT_RANGE: (u16, u16) = (32768, 60999);

impl TrialPlan {
    /// About how long the trial takes: the load by its rate, and what is observed after it; a sequence by what it says.
    #[must_use]
    pub fn expected_duration(&self) -> Duration {
        if self.is_sequence() {
            return self.takes;
        }
        /// To make the lab and to take it down.
        const LAB: Duration = Duration::from_millis(500);
        let load = &self.load;
        let by_count = load.attempts().map(|count| match load.rate {
            Some(rate) => Duration::try_from_secs_f64(count as f64 / rate).unwrap_or(Duration::MAX),
            None => match &self.pool {
                Some(pool) => self.requests_at_full_speed(count, pool),
                None => self.at_full_speed(count, self.server.addresses),
            },
        });
        let load_ends = match (by_count, load.duration) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or_default(),
        };
        let fill = self.fill.as_ref().map_or(Duration::ZERO, |fill| {
            self.at_full_speed(fill.connections, fill.addresses)
        });
        // What is observed afterwards ends with the last TIME_WAIT, which on kernels from 4.1 on is gone by then.
        let after = self.observe.after.min(LONGEST_TIME_WAIT);
        let parts = [LAB, fill, load_ends, self.held_open(), after];
        parts.into_iter().fold(Duration::ZERO, Duration::saturating_add)
    }

    /// With arrival `max`: a request takes some 100 µs, or what the plan says, of which as many run at once as may.
    fn requests_at_full_speed(&self, count: u64, pool: &PoolPlan) -> Duration {
        let rounds = count / u64::from(self.load.in_flight.min(pool.size).max(1));
        let served = self.service().saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        served.max(Duration::from_micros(count.saturating_mul(100)))
    }

    /// With arrival `max`: a connection takes some 100 µs. Where the client keeps the ports, each one beyond half of them
    /// searches half of the range first, some 0.07 µs a port; not where the harness names each port.
    fn at_full_speed(&self, count: u64, addresses: u32) -> Duration {
        let range = self.sysctl.client.get("net.ipv4.ip_local_port_range");
        let (low, high) = range
            .and_then(|range| port_range::parse(range).ok())
            .unwrap_or(DEFAULT_RANGE);
        let ports = u64::from(high - low) + 1;
        let pairs = u64::from(self.client.addresses) * u64::from(addresses) * u64::from(self.server.ports);
        let searching = match self.close.closer {
            _ if self.client.source.is_chosen_by_harness() => 0,
            Closer::Client => count.saturating_sub(pairs.saturating_mul(ports) / 2),
            Closer::Server => 0,
        };
        let search = Duration::from_nanos(ports.saturating_mul(70).saturating_mul(searching));
        let rounds = count / u64::from(self.load.in_flight.max(1));
        let waiting = (self.held_open() - self.load.hold).saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX));
        let parts = [Duration::from_micros(count.saturating_mul(100)), search, waiting];
        parts.into_iter().fold(Duration::ZERO, Duration::saturating_add)
    }
}
