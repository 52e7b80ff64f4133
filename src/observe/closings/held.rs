//! Four-tuples in TIME_WAIT, as the wire lets one infer: from the connection's end until a new incarnation replaces it, or
//! its time is over. Pure.

use std::collections::{HashMap, VecDeque};

use crate::tcp::FourTuple;

/// The longest that any kernel keeps one, in nanoseconds: TCP_TIMEWAIT_LEN and a slot of the wheel before 4.1 (7.5 s); from
/// 4.8 on up to 5.1 s of the timer wheel are added, by HZ.
const LONGEST: u64 = 67_500_000_000;

/// TIME_WAIT sockets of one end.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// With the time by which it is certainly gone.
    until: HashMap<FourTuple, u64>,
    /// By that time; those that were released or held anew meanwhile are still in it.
    order: VecDeque<(FourTuple, u64)>,
}

impl Held {
    /// The connection is over, at a time not before the last one's.
    pub(super) fn hold(&mut self, tuple: FourTuple, at: u64) {
        let until = at.saturating_add(LONGEST);
        self.until.insert(tuple, until);
        self.order.push_back((tuple, until));
        // Each compaction costs what was pushed since the last one.
        if self.order.len() > 2 * self.until.len() + 1024 {
            let current = &self.until;
            self.order.retain(|(tuple, until)| current.get(tuple) == Some(until));
        }
    }

    /// Whether it was held.
    pub(super) fn release(&mut self, tuple: &FourTuple) -> bool {
        self.until.remove(tuple).is_some()
    }

    /// Forgets those whose time is over.
    pub(super) fn expire(&mut self, now: u64) {
        while let Some((tuple, until)) = self.order.front().copied().filter(|(_, until)| *until <= now) {
            self.order.pop_front();
            if self.until.get(&tuple) == Some(&until) {
                self.until.remove(&tuple);
            }
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.until.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: ([10, 1, 0, 1], port).into(),
            remote: ([10, 2, 0, 1], 80).into(),
        }
    }

    #[test]
    fn four_tuples_that_are_held_again_and_again_take_no_more_room_than_they_are() {
        let mut held = Held::default();
        for at in 0..100_000 {
            held.release(&tuple((at % 10) as u16));
            held.hold(tuple((at % 10) as u16), at);
        }
        assert_eq!(held.count(), 10);
        assert!(held.order.len() <= 2 * 10 + 1025, "{}", held.order.len());
    }

    proptest! {
        #[test]
        fn each_is_held_until_it_is_released_or_its_time_is_over(
            steps in prop::collection::vec((0u16..20, any::<bool>(), 0..LONGEST / 4), 0..200)
        ) {
            let mut held = Held::default();
            let mut expected: HashMap<u16, u64> = HashMap::new();
            let mut now = 0;
            for (port, hold, passed) in steps {
                now += passed;
                held.expire(now);
                expected.retain(|_, since| *since + LONGEST > now);
                if hold {
                    held.hold(tuple(port), now);
                    expected.insert(port, now);
                } else {
                    prop_assert_eq!(held.release(&tuple(port)), expected.remove(&port).is_some());
                }
                prop_assert_eq!(held.count(), expected.len() as u64);
            }
        }
    }
}
