//! Which trial may begin when. Pure: it is told what ends, and knows no clock.
//!
//! Most of a catalogue's time is waiting for TIME_WAIT to end, which trials in labs of their own can do side by side. What
//! they share is the machine: a load that runs as fast as it can takes a core or more, so few of these go together, and
//! what measures latency, CPU or memory goes alone, after all others. The longest begin first, so that none is left over.

use std::time::Duration;

use linger::scenario::plan::TrialPlan;
use linger::scenario::spec::Arrival;

/// How far a trial can share the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// It mostly waits.
    Waiting,
    /// Its load runs as fast as it can.
    Busy,
    /// It runs with no other beside it.
    Alone,
}

/// A trial as the schedule sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) expected: Duration,
    pub(super) share: Share,
}

impl Job {
    pub(super) fn of(trial: &TrialPlan) -> Self {
        let share = match trial.load.arrival {
            _ if trial.alone => Share::Alone,
            Arrival::Max => Share::Busy,
            Arrival::Constant | Arrival::Poisson => Share::Waiting,
        };
        Self {
            expected: trial.expected_duration(),
            share,
        }
    }
}

/// How many trials may run at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lanes {
    pub(super) all: usize,
    pub(super) busy: usize,
}

/// The trials that have not begun, and those that run.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    jobs: Vec<Job>,
    lanes: Lanes,
    /// Indices of jobs, the next one last.
    waiting: Vec<usize>,
    busy: Vec<usize>,
    alone: Vec<usize>,
    running: Vec<usize>,
}

impl Schedule {
    pub(super) fn new(jobs: Vec<Job>, lanes: Lanes) -> Self {
        let of = |share| {
            let mut indices: Vec<usize> = (0..jobs.len()).filter(|&index| jobs[index].share == share).collect();
            // Stable, so that what is as long as another keeps its place: reversed, since the next is taken off the end.
            indices.reverse();
            indices.sort_by_key(|&index| jobs[index].expected);
            indices
        };
        Self {
            waiting: of(Share::Waiting),
            busy: of(Share::Busy),
            alone: of(Share::Alone),
            running: Vec::new(),
            lanes: Lanes {
                all: lanes.all.max(1),
                busy: lanes.busy.max(1),
            },
            jobs,
        }
    }

    /// A job that may begin now, and from now on counts as running; None where one has to end first, or all have begun.
    pub(super) fn next(&mut self) -> Option<usize> {
        let running = |share| {
            self.running
                .iter()
                .filter(|&&job| self.jobs[job].share == share)
                .count()
        };
        let next = if running(Share::Alone) > 0 || self.running.len() >= self.lanes.all {
            None
        } else if running(Share::Busy) < self.lanes.busy && !self.busy.is_empty() {
            self.busy.pop()
        } else if let Some(job) = self.waiting.pop() {
            Some(job)
        } else if self.running.is_empty() {
            self.alone.pop()
        } else {
            None
        };
        self.running.extend(next);
        next
    }

    /// A running job has ended.
    pub(super) fn ended(&mut self, job: usize) {
        self.running.retain(|running| *running != job);
    }

    /// The jobs that run now.
    pub(super) fn running(&self) -> &[usize] {
        &self.running
    }

    /// How long what has not begun takes from now on, if each takes as long as expected and none runs yet.
    pub(super) fn expected(&self) -> Duration {
        let mut schedule = self.clone();
        let mut now = Duration::ZERO;
        let mut ends: Vec<(Duration, usize)> = Vec::new();
        loop {
            while let Some(job) = schedule.next() {
                ends.push((now + schedule.jobs[job].expected, job));
            }
            let Some(first) = ends.iter().copied().min() else {
                return now;
            };
            ends.retain(|end| *end != first);
            now = first.0;
            schedule.ended(first.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn jobs(of: &[(u64, Share)]) -> Vec<Job> {
        let job = |&(seconds, share)| Job {
            expected: Duration::from_secs(seconds),
            share,
        };
        of.iter().map(job).collect()
    }

    fn expected(of: &[(u64, Share)], all: usize, busy: usize) -> u64 {
        Schedule::new(jobs(of), Lanes { all, busy }).expected().as_secs()
    }

    #[test]
    fn what_waits_goes_side_by_side_and_what_is_alone_after_it() {
        use Share::{Alone, Busy, Waiting};
        assert_eq!(expected(&[(60, Waiting), (150, Waiting), (2, Waiting)], 8, 1), 150);
        assert_eq!(expected(&[(60, Waiting), (20, Busy), (10, Busy)], 8, 1), 60);
        // 150, and then 5 + 7.
        assert_eq!(expected(&[(5, Alone), (150, Waiting), (7, Alone)], 8, 1), 162);
        // The longest first: 60 beside 40 + 20, not 40 beside 20 and then 60.
        assert_eq!(expected(&[(40, Waiting), (20, Waiting), (60, Waiting)], 2, 1), 60);
        assert_eq!(expected(&[], 8, 1), 0);
    }

    #[test]
    fn jobs_of_one_length_begin_in_their_order() {
        let mut schedule = Schedule::new(jobs(&[(1, Share::Waiting); 3]), Lanes { all: 3, busy: 1 });
        assert_eq!(std::iter::from_fn(|| schedule.next()).collect::<Vec<_>>(), [0, 1, 2]);
    }

    fn any_job() -> impl Strategy<Value = (u64, Share)> {
        (
            0u64..200,
            prop::sample::select(vec![Share::Waiting, Share::Busy, Share::Alone]),
        )
    }

    proptest! {
        #[test]
        fn each_job_begins_once_within_its_lanes_and_alone_where_it_must(
            of in prop::collection::vec(any_job(), 0..30),
            all in 0usize..6,
            busy in 0usize..3,
            which in any::<prop::sample::Index>(),
        ) {
            let all_jobs = jobs(&of);
            let mut schedule = Schedule::new(all_jobs.clone(), Lanes { all, busy });
            let mut begun = vec![false; of.len()];
            loop {
                while let Some(job) = schedule.next() {
                    prop_assert!(!std::mem::replace(&mut begun[job], true), "begun twice");
                    let running = |share| schedule.running().iter().filter(|&&job| all_jobs[job].share == share).count();
                    prop_assert!(schedule.running().len() <= all.max(1));
                    prop_assert!(running(Share::Busy) <= busy.max(1));
                    prop_assert!(running(Share::Alone) == 0 || schedule.running().len() == 1);
                }
                if schedule.running().is_empty() {
                    break;
                }
                let ends = schedule.running()[which.index(schedule.running().len())];
                schedule.ended(ends);
            }
            prop_assert!(begun.into_iter().all(|begun| begun), "one never began");
        }

        #[test]
        fn the_time_is_at_least_the_longest_and_at_most_the_sum(
            of in prop::collection::vec(any_job(), 1..30), all in 1usize..6,
        ) {
            let took = expected(&of, all, 1);
            let seconds = of.iter().map(|(seconds, _)| *seconds);
            prop_assert!(took >= seconds.clone().max().unwrap_or(0));
            prop_assert!(took <= seconds.sum());
        }
    }
}
