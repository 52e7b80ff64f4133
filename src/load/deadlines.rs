//! Which slot's time is up: queues in order of deadline, by links between slots.
//!
//! All waits of one kind last equally long, so whoever began to wait last ends last: a queue per kind is sorted
//! without sorting. Every operation is O(1) and none allocates, with four million slots as with one.

const NONE: u32 = u32::MAX;

/// `KINDS` queues over slots; a slot is in one of them at most.
#[derive(Debug)]
pub(super) struct Deadlines<const KINDS: usize> {
    queues: [Queue; KINDS],
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    /// How long a wait in this queue lasts, in nanoseconds.
    span: u64,
    head: u32,
    tail: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    deadline: u64,
    kind: u32,
    before: u32,
    after: u32,
}

const IDLE: Slot = Slot {
    deadline: 0,
    kind: NONE,
    before: NONE,
    after: NONE,
};

impl<const KINDS: usize> Deadlines<KINDS> {
    /// Queues whose waits last `spans` nanoseconds, with room for `slots` slots.
    pub(super) fn new(spans: [u64; KINDS], slots: usize) -> Self {
        let queue = |span| Queue {
            span,
            head: NONE,
            tail: NONE,
        };
        Self {
            queues: spans.map(queue),
            slots: vec![IDLE; slots],
        }
    }

    /// Makes room for slots up to `slots`.
    pub(super) fn grow(&mut self, slots: usize) {
        self.slots.resize(slots.max(self.slots.len()), IDLE);
    }

    /// The slot begins to wait; what it waited for before is forgotten. `now` must not go back.
    pub(super) fn begin(&mut self, kind: usize, slot: usize, now: u64) {
        self.end(slot);
        let queue = &mut self.queues[kind];
        self.slots[slot] = Slot {
            deadline: now.saturating_add(queue.span),
            kind: kind as u32,
            before: queue.tail,
            after: NONE,
        };
        match queue.tail {
            NONE => queue.head = slot as u32,
            tail => self.slots[tail as usize].after = slot as u32,
        }
        queue.tail = slot as u32;
    }

    /// The slot waits no longer; nothing happens when it did not.
    pub(super) fn end(&mut self, slot: usize) {
        let Slot {
            kind, before, after, ..
        } = std::mem::replace(&mut self.slots[slot], IDLE);
        if kind == NONE {
            return;
        }
        let queue = &mut self.queues[kind as usize];
        match before {
            NONE => queue.head = after,
            before => self.slots[before as usize].after = after,
        }
        match after {
            NONE => queue.tail = before,
            after => self.slots[after as usize].before = before,
        }
    }

    /// Ends the wait of a slot whose deadline has come, if there is one.
    pub(super) fn expire(&mut self, now: u64) -> Option<usize> {
        let expired = self.heads().find(|head| self.slots[*head].deadline <= now)?;
        self.end(expired);
        Some(expired)
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<u64> {
        self.heads().map(|head| self.slots[head].deadline).min()
    }

    fn heads(&self) -> impl Iterator<Item = usize> {
        self.queues
            .iter()
            .map(|queue| queue.head)
            .filter(|head| *head != NONE)
            .map(|head| head as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPANS: [u64; 2] = [10, 100];

    proptest! {
        #[test]
        fn the_queues_tell_what_a_scan_of_all_slots_would(steps in prop::collection::vec((0usize..3, 0usize..8, 0u64..30), 1..300)) {
            let mut deadlines = Deadlines::new(SPANS, 8);
            let mut scanned = [None::<u64>; 8];
            let mut now = 0;
            for (what, slot, later) in steps {
                now += later;
                if what == 2 {
                    deadlines.end(slot);
                    scanned[slot] = None;
                } else {
                    deadlines.begin(what, slot, now);
                    scanned[slot] = Some(now + SPANS[what]);
                }
                while let Some(expired) = deadlines.expire(now) {
                    prop_assert!(scanned[expired].take().unwrap() <= now);
                }
                prop_assert!(scanned.iter().flatten().all(|deadline| *deadline > now));
                prop_assert_eq!(deadlines.next(), scanned.iter().flatten().min().copied());
            }
        }
    }

    #[test]
    fn room_for_more_slots_keeps_those_that_wait() {
        let mut deadlines = Deadlines::new([5], 1);
        deadlines.begin(0, 0, 1);
        deadlines.grow(3);
        deadlines.begin(0, 2, 2);
        assert_eq!(
            (deadlines.expire(7), deadlines.expire(7), deadlines.expire(7)),
            (Some(0), Some(2), None)
        );
    }
}
