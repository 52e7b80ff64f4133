//! Hold time: how long a closed connection keeps its four-tuple from the client's next connect().

use super::{Facts, number, wheel};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Source;
use crate::tcp::{CloseMode, Closer};

/// TCP_TIMEWAIT_LEN, compiled into every Linux kernel: 60 s.
const TIME_WAIT: f64 = 60.0;

/// A time that the kernel's timers smear, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Time {
    pub(super) shortest: f64,
    pub(super) nominal: f64,
    pub(super) longest: f64,
}

impl Time {
    pub(super) fn between(shortest: f64, longest: f64) -> Self {
        Self {
            shortest,
            nominal: f64::midpoint(shortest, longest),
            longest,
        }
    }
}

/// What becomes of a four-tuple after close().
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Held {
    /// It is free at once.
    Free,
    For(Time),
    /// Nobody can say; why.
    Undetermined(&'static str),
}

/// How long a four-tuple stays taken after close(), for a load that has `tuples` of them.
pub(super) fn after_close(plan: &TrialPlan, facts: &Facts, tuples: u64, because: &mut Vec<String>) -> Held {
    if plan.server.listen && plan.close.mode == CloseMode::QuitClose {
        let why = "both ends close for the client's quit: whoever is faster holds TIME_WAIT, or both do where the FINs \
                   cross, or neither where the server still answers";
        because.push(why.into());
        return Held::Undetermined(why);
    }
    time_wait(plan, facts, tuples, because).map_or(Held::Free, Held::For)
}

/// How long the client's TIME_WAIT keeps a four-tuple; None where there is none.
fn time_wait(plan: &TrialPlan, facts: &Facts, tuples: u64, because: &mut Vec<String>) -> Option<Time> {
    if !plan.server.listen {
        because.push("nobody listens: no connection is made, nothing stays taken".into());
        return None;
    }
    if plan.close.mode == CloseMode::Abortive {
        because.push("an abortive close sends RST: TIME_WAIT on neither side".into());
        return None;
    }
    if plan.close.closer == Closer::Server {
        let why = match plan.close.mode {
            CloseMode::QuitWait => "the server closes for the client's quit, first, and holds TIME_WAIT",
            _ => "the server closes first and holds TIME_WAIT",
        };
        because.push(format!("{why}; the client's port is free at its close()"));
        return None;
    }
    let buckets = number(&facts.client, "net.ipv4.tcp_max_tw_buckets");
    if let Some(limit) = buckets.filter(|limit| u64::try_from(*limit).is_ok_and(|limit| limit < tuples)) {
        because.push(format!(
            "tcp_max_tw_buckets = {limit} is below {tuples}: past it a closed connection frees its port at once, as soon \
             as its FIN is acknowledged"
        ));
        return None;
    }
    if plan.client.source == Source::BindPort {
        if timestamps(facts) {
            because.push(
                "SO_REUSEADDR and bind(address, port) take a port in TIME_WAIT at once where timestamps are on".into(),
            );
            return None;
        }
        because.push("without timestamps at both ends a TIME_WAIT is not replaced, however the port was bound".into());
        return Some(whole_life(plan, facts, because));
    }
    Some(reuse_delay(plan, facts, because).unwrap_or_else(|| whole_life(plan, facts, because)))
}

/// Whether connections carry timestamps: both ends must want them (RFC 7323).
fn timestamps(facts: &Facts) -> bool {
    let wants = |side| number(side, "net.ipv4.tcp_timestamps").unwrap_or(1) != 0;
    wants(&facts.client) && wants(&facts.server)
}

/// TIME_WAIT's whole life by kernel (docs/model.md, «When TIME_WAIT ends»).
fn whole_life(plan: &TrialPlan, facts: &Facts, because: &mut Vec<String>) -> Time {
    if !facts.kernel.at_least(4, 1) {
        return whole_life_on_the_wheel(plan, because);
    }
    if !facts.kernel.at_least(4, 8) {
        because.push("from 4.1 to 4.7 TIME_WAIT lasts 60.0 s".into());
        return Time::between(TIME_WAIT, TIME_WAIT);
    }
    let Some(hz) = facts.hz.filter(|hz| *hz > 0) else {
        because.push("TIME_WAIT lasts 60 s and up to one granule of the timer wheel (HZ unknown)".into());
        return Time::between(TIME_WAIT, TIME_WAIT);
    };
    let granule = wheel_granule(TIME_WAIT, hz);
    because.push(format!(
        "TIME_WAIT lasts 60 s and up to one granule of the timer wheel ({granule:.3} s at HZ={hz})"
    ));
    Time::between(TIME_WAIT, TIME_WAIT + granule)
}

/// Before 4.1: one wheel for the whole machine, see [`super::wheel`].
fn whole_life_on_the_wheel(plan: &TrialPlan, because: &mut Vec<String>) -> Time {
    let few = plan.load.planned().is_some_and(|planned| planned <= 100);
    match plan.load.rate {
        Some(rate) if rate > wheel::QUOTA_RATE && !few => {
            let life = wheel::sustained_life(rate);
            because.push(format!(
                "before 4.1 a slot of the TIME_WAIT wheel with more than 100 takes two ticks: above {:.1} a second kept up, \
                 {} to {} s",
                wheel::QUOTA_RATE,
                life.shortest,
                life.longest
            ));
            life
        }
        Some(_) => {
            because.push("before 4.1 a slot of the TIME_WAIT wheel ends 52.5 to 60 s after it was filled".into());
            Time::between(TIME_WAIT - wheel::TICK, TIME_WAIT)
        }
        None => {
            because.push("before 4.1 a burst shares one slot of the TIME_WAIT wheel, which ends after 60 s".into());
            Time::between(TIME_WAIT - wheel::TICK, TIME_WAIT)
        }
    }
}

/// The granularity, in seconds, of the level of the non-cascading timer wheel (kernel/time/timer.c, 4.8 and later)
/// that holds a timer `seconds` away: level n spans 8 times the granules of level n−1 and begins at 63 × 8^(n−1).
fn wheel_granule(seconds: f64, hz: u32) -> f64 {
    let ticks = seconds * f64::from(hz);
    let mut granule = 1.0;
    while ticks >= 63.0 * granule {
        granule *= 8.0;
    }
    granule / f64::from(hz)
}

/// The delay after which connect() may take a TIME_WAIT port, if tcp_tw_reuse allows it here.
fn reuse_delay(plan: &TrialPlan, facts: &Facts, because: &mut Vec<String>) -> Option<Time> {
    let value = number(&facts.client, "net.ipv4.tcp_tw_reuse").unwrap_or(0);
    let loopback_only = value == 2 && facts.kernel.at_least(4, 19);
    if value == 0 {
        because.push("tcp_tw_reuse = 0: a port in TIME_WAIT stays taken to its end".into());
        return None;
    }
    if loopback_only && !facts.loopback {
        because.push("tcp_tw_reuse = 2 is for loopback addresses only: no reuse here".into());
        return None;
    }
    if !timestamps(facts) {
        because.push("tcp_tw_reuse needs TCP timestamps at both ends: no reuse here".into());
        return None;
    }
    if super::binds_alone(plan, facts) {
        because.push("bind() never takes a port in TIME_WAIT without SO_REUSEADDR, whatever tcp_tw_reuse says".into());
        return None;
    }
    let delay = if facts.kernel.at_least(6, 14) {
        let millis = number(&facts.client, "net.ipv4.tcp_tw_reuse_delay").unwrap_or(1000);
        let shortest = millis as f64 / 1000.0;
        Time {
            shortest,
            nominal: shortest,
            longest: shortest + 0.002,
        }
    } else if facts.kernel.at_least(4, 20) {
        Time::between(0.0, 1.0)
    } else {
        Time::between(1.0, 2.0)
    };
    because.push(format!(
        "tcp_tw_reuse = {value} and timestamps at both ends: connect() takes a TIME_WAIT port after {:.3} to {:.3} s",
        delay.shortest, delay.longest
    ));
    Some(delay)
}

#[cfg(test)]
mod tests {
    use super::wheel_granule;

    #[test]
    fn sixty_seconds_fall_into_the_wheel_levels_of_the_kernels_comment_table() {
        // kernel/time/timer.c: HZ=250 level 3 has 2048 ms, HZ=1000 level 4 has 4096 ms, HZ=100 level 3 has 5120 ms.
        for (hz, granule) in [(250, 2.048), (1000, 4.096), (100, 5.12), (300, 512.0 / 300.0)] {
            assert!((wheel_granule(60.0, hz) - granule).abs() < 1e-9, "HZ={hz}");
        }
    }
}
