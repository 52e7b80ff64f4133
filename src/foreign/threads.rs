//! What the threads of a program, and of all that it started, have had of the CPUs.
//!
//! From outside and while they run, which rusage does not give: /proc/PID/task/TID/schedstat (on a CPU, and runnable
//! without one, in nanoseconds), descendants by /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN, as `tree` needs it).
//! What threads and children had that ended meanwhile is in their process's /proc/PID/stat alone, in clock ticks.
//! Where the kernel does not tell, nothing is known, which is not the same as none.

use std::collections::BTreeMap;
use std::fs;

/// A thread's time, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Times {
    cpu: f64,
    waited: f64,
}

/// By process and thread; and of each process what it and its ended threads and children had, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Threads {
    threads: BTreeMap<(i32, i32), Times>,
    processes: BTreeMap<i32, f64>,
}

/// What they had between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    /// Seconds on a CPU, over all threads.
    pub cpu_seconds: f64,
    /// Seconds in which they could have run and others had the CPUs, over those that were there at the second look.
    pub waited_seconds: f64,
    /// On a CPU and waiting for one, of the thread that had most and was there at the second look.
    pub busiest_seconds: f64,
    /// Threads that ran at all and were there at the second look.
    pub threads: u32,
}

impl Threads {
    /// Of the process and of its descendants.
    #[must_use]
    pub fn of(process: i32) -> Self {
        let (mut found, mut processes) = (Self::default(), vec![process]);
        while let Some(process) = processes.pop() {
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            if let Some(seconds) = process_seconds(&stat) {
                found.processes.insert(process, seconds);
            }
            for task in fs::read_dir(format!("/proc/{process}/task"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let Some(thread) = task.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                let read = |what| fs::read_to_string(task.path().join(what)).unwrap_or_default();
                if let Some(times) = times(&read("schedstat")) {
                    found.threads.insert((process, thread), times);
                }
                let children = read("children");
                processes.extend(
                    children
                        .split_ascii_whitespace()
                        .filter_map(|child| child.parse::<i32>().ok()),
                );
            }
        }
        found
    }

    /// From `before` to these; None where nothing is known of any.
    #[must_use]
    pub fn since(&self, before: &Self) -> Option<Used> {
        let mut used = Used::default();
        for (thread, now) in &self.threads {
            let then = before.threads.get(thread).copied().unwrap_or_default();
            let (cpu, waited) = (now.cpu - then.cpu, now.waited - then.waited);
            used.cpu_seconds += cpu;
            used.waited_seconds += waited;
            used.busiest_seconds = used.busiest_seconds.max(cpu + waited);
            used.threads += u32::from(cpu > 0.0);
        }
        let sum = |of: &Self| of.processes.values().sum::<f64>();
        used.cpu_seconds = used.cpu_seconds.max(sum(self) - sum(before));
        (!self.threads.is_empty()).then_some(used)
    }
}

/// Of a schedstat's text.
fn times(text: &str) -> Option<Times> {
    let mut nanos = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (cpu, waited) = (nanos.next()?.ok()?, nanos.next()?.ok()?);
    Some(Times {
        cpu: cpu as f64 / 1e9,
        waited: waited as f64 / 1e9,
    })
}

/// utime, stime, cutime and cstime of a process's stat, fields 14 to 17: its own and its ended children's. The name, field
/// 2, is in parentheses and may have any in it.
fn process_seconds(text: &str) -> Option<f64> {
    let (_, after) = text.rsplit_once(')')?;
    let fields: Vec<u64> = after
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map_while(|field| field.parse().ok())
        .collect();
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    (fields.len() == 4).then(|| fields.iter().sum::<u64>() as f64 / ticks as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_schedstat_is_read_and_what_is_none_is_not() {
        let read = times("2500000000 500000000 17\n");
        assert_eq!(read, Some(Times { cpu: 2.5, waited: 0.5 }));
        for text in ["", "1", "x y z", "-1 2 3"] {
            assert_eq!(times(text), None, "{text:?}");
        }
        let stat = "77 (a) b ) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1";
        assert_eq!(process_seconds(stat), Some(1.27));
        for text in ["", "77 (a) S 1 2", "77"] {
            assert_eq!(process_seconds(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_programs_child_is_the_programs_and_its_busiest_thread_is_no_busier_than_all() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 1000 & wait"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let root = shell.id().cast_signed();
        let before = Threads::default();
        let used = loop {
            let now = Threads::of(root);
            let processes: std::collections::BTreeSet<i32> = now.threads.keys().map(|(process, _)| *process).collect();
            if processes.len() > 1 {
                break now.since(&before).unwrap();
            }
            std::thread::yield_now();
        };
        assert!(used.threads >= 1 && used.cpu_seconds > 0.0, "{used:?}");
        assert!(
            used.busiest_seconds <= used.cpu_seconds + used.waited_seconds,
            "{used:?}"
        );
        for process in Threads::of(root)
            .threads
            .keys()
            .map(|(process, _)| *process)
            .collect::<Vec<_>>()
        {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL);
        }
        shell.wait().unwrap();
        assert_eq!(Threads::of(root).since(&before), None, "nobody is left");
    }
}
