//! The CPUs that this process may use, and pinning threads to them.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// CPUs by number, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// Those that the calling thread may use.
    #[must_use]
    pub fn allowed() -> Self {
        let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        let is_allowed = |cpu: &usize| set.is_set(*cpu).unwrap_or(false);
        Self((0..CpuSet::count()).filter(is_allowed).collect())
    }

    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The same, beginning `first` further on: the server's CPUs after the client's.
    #[must_use]
    pub fn from(&self, first: usize) -> Self {
        let mut cpus = self.0.clone();
        let count = cpus.len().max(1);
        cpus.rotate_left(first % count);
        Self(cpus)
    }

    /// Pins the calling thread to the CPU with this index, round and round. A CPU that has gone is no reason to fail.
    pub fn pin(&self, index: usize) {
        let mut set = CpuSet::new();
        let cpu = self.0.get(index % self.0.len().max(1));
        if cpu.is_some_and(|cpu| set.set(*cpu).is_ok()) {
            let _ = sched_setaffinity(Pid::from_raw(0), &set);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cpus;

    #[test]
    fn the_servers_cpus_come_after_the_clients() {
        assert_eq!(Cpus(vec![2, 3, 5]).from(2), Cpus(vec![5, 2, 3]));
        assert_eq!(Cpus(vec![]).from(2).count(), 0);
    }

    #[test]
    fn a_pinned_thread_runs_where_it_was_pinned() {
        std::thread::spawn(|| {
            let allowed = Cpus::allowed();
            allowed.pin(allowed.count() - 1);
            assert_eq!(Cpus::allowed().0, [*allowed.0.last().unwrap()]);
        })
        .join()
        .unwrap();
    }
}
