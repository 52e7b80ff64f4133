//! A queue of slots from whose middle one can be taken, by links between slots: each operation is O(1), none allocates.

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    after: u32,
    queued: bool,
}

const ALONE: Link = Link {
    before: NONE,
    after: NONE,
    queued: false,
};

#[derive(Debug)]
pub(super) struct Queue {
    links: Vec<Link>,
    first: u32,
    last: u32,
    length: usize,
}

impl Queue {
    /// An empty queue of slots below `slots`.
    pub(super) fn new(slots: usize) -> Self {
        Self {
            links: vec![ALONE; slots],
            first: NONE,
            last: NONE,
            length: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// That which was pushed the longest ago.
    pub(super) fn first(&self) -> Option<usize> {
        (self.first != NONE).then_some(self.first as usize)
    }

    /// That which was pushed last.
    pub(super) fn last(&self) -> Option<usize> {
        (self.last != NONE).then_some(self.last as usize)
    }

    /// Appends a slot; one that is in the queue moves to its end.
    pub(super) fn push(&mut self, slot: usize) {
        self.remove(slot);
        self.links[slot] = Link {
            before: self.last,
            after: NONE,
            queued: true,
        };
        match self.last {
            NONE => self.first = slot as u32,
            last => self.links[last as usize].after = slot as u32,
        }
        self.last = slot as u32;
        self.length += 1;
    }

    /// Takes a slot out, wherever it is; nothing happens when it is not in the queue.
    pub(super) fn remove(&mut self, slot: usize) {
        let Link { before, after, queued } = std::mem::replace(&mut self.links[slot], ALONE);
        if !queued {
            return;
        }
        match before {
            NONE => self.first = after,
            before => self.links[before as usize].after = after,
        }
        match after {
            NONE => self.last = before,
            after => self.links[after as usize].before = before,
        }
        self.length -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_list_from_which_any_may_be_taken(steps in prop::collection::vec((any::<bool>(), 0usize..6), 0..100)) {
            let (mut queue, mut list) = (Queue::new(6), Vec::new());
            for (push, slot) in steps {
                list.retain(|other| *other != slot);
                if push {
                    queue.push(slot);
                    list.push(slot);
                } else {
                    queue.remove(slot);
                }
                prop_assert_eq!(queue.first(), list.first().copied());
                prop_assert_eq!(queue.last(), list.last().copied());
                prop_assert_eq!(queue.len(), list.len());
            }
        }
    }
}
