//! The wheel that ended TIME_WAIT before Linux 4.1 (net/ipv4/inet_timewait_sock.c of 3.13): pure, tick by tick.
//!
//! One wheel for the whole machine: 8 slots, a tick each 7.5 s, begun by the first TIME_WAIT. A socket goes to the slot
//! that is 7 ahead of the hand. A tick ends those at the hand: up to a quota of 100 in the timer itself, and then the hand
//! goes on; what is more is left to a work queue, at once, and the hand stays, so that such a slot takes two ticks.

use super::hold::Time;

const SLOTS: usize = 8;
/// Seconds between two ticks.
pub(super) const TICK: f64 = 7.5;
const QUOTA: f64 = 100.0;
/// A rate above which slots hold more than the quota, in TIME_WAIT a second.
pub(super) const QUOTA_RATE: f64 = QUOTA / TICK;

/// A wheel under a steady arrival of TIME_WAIT.
#[derive(Clone, Debug, Default)]
struct Wheel {
    /// By slot: when the oldest entered, when the youngest, and how many.
    cells: [Vec<(f64, f64, f64)>; SLOTS],
    hand: usize,
    ticks: u32,
}

impl Wheel {
    fn now(&self) -> f64 {
        f64::from(self.ticks) * TICK
    }

    /// `count` enter before the next tick; returns those that the tick ends.
    fn tick(&mut self, count: f64) -> Vec<(f64, f64, f64)> {
        let began = self.now();
        self.ticks += 1;
        if count > 0.0 {
            self.cells[(self.hand + SLOTS - 1) % SLOTS].push((began, self.now(), count));
        }
        let ended = std::mem::take(&mut self.cells[self.hand]);
        if ended.iter().map(|(_, _, count)| count).sum::<f64>() <= QUOTA {
            self.hand = (self.hand + 1) % SLOTS;
        }
        ended
    }
}

/// How long TIME_WAIT lasts once `rate` a second have been kept up for a while.
pub(super) fn sustained_life(rate: f64) -> Time {
    let mut wheel = Wheel::default();
    let (mut shortest, mut longest) = (f64::MAX, 0.0_f64);
    while wheel.ticks < 100 {
        let ended = wheel.tick(rate * TICK);
        let now = wheel.now();
        for (first, last, _) in ended.into_iter().filter(|(first, ..)| *first >= 240.0) {
            shortest = shortest.min(now - last);
            longest = longest.max(now - first);
        }
    }
    Time::between(shortest, longest)
}

/// When `tuples` are in TIME_WAIT at once, at `rate` a second; None where it never comes to that.
pub(super) fn full_after(rate: f64, tuples: u64) -> Option<f64> {
    let tuples = tuples as f64;
    let mut wheel = Wheel::default();
    let mut held = 0.0;
    while wheel.ticks < 400 {
        let before = wheel.now();
        if held + rate * TICK > tuples {
            return Some(before + (tuples - held) / rate);
        }
        held += rate * TICK;
        held -= wheel.tick(rate * TICK).iter().map(|(_, _, count)| count).sum::<f64>();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_quota_a_slot_a_tick_and_above_it_one_each_two() {
        for (rate, shortest, longest) in [
            (10.0, 52.5, 60.0),
            (13.0, 52.5, 60.0),
            (14.0, 97.5, 112.5),
            (300.0, 97.5, 112.5),
        ] {
            let life = sustained_life(rate);
            assert_eq!((life.shortest, life.longest), (shortest, longest), "{rate}/s");
        }
    }

    #[test]
    fn a_default_range_is_full_when_the_lag_has_built_up() {
        // docs/model.md: 280/s after some 146 s, 400/s after some 86 s, 200/s never.
        assert!((full_after(280.0, 28_233).unwrap() - 146.0).abs() < 8.0);
        assert!((full_after(400.0, 28_233).unwrap() - 86.0).abs() < 8.0);
        assert_eq!(full_after(200.0, 28_233), None);
        assert_eq!(full_after(1000.0, 500), Some(0.5));
    }
}
