//! What the trials run on: kernel, processors, timer. Reads /proc and /sys; changes nothing.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getres};

/// Makers of virtual machines and of nothing else, as the firmware's tables (DMI) name them.
const VIRTUAL_VENDORS: [&str; 6] = ["QEMU", "KVM", "VMware", "innotek GmbH", "Xen", "Parallels"];

/// The machine's description, for the record's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The kernel's release, as `uname -r`.
    pub kernel: String,
    /// The hardware's name, as `uname -m`.
    pub machine: String,
    /// Processors that this process may use.
    pub cpus: u32,
    /// None where nothing tells.
    pub virtual_machine: Option<bool>,
    /// Timer ticks per second; None where the clock does not tell.
    pub hz: Option<u32>,
    /// What the kernel's clocks are read from, such as `tsc`; None where it does not tell.
    pub clock_source: Option<String>,
    /// The smallest step of CLOCK_MONOTONIC that was seen, in nanoseconds.
    pub clock_step_ns: Option<u64>,
}

const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

impl Machine {
    /// The machine that this process runs on.
    #[must_use]
    pub fn here() -> Self {
        // /proc/sys/kernel/arch is there from Linux 6.1 on.
        let machine = line("/proc/sys/kernel/arch").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        Self {
            kernel: line("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
            machine,
            cpus: thread::available_parallelism().map_or(1, |cpus| cpus.get().try_into().unwrap_or(u32::MAX)),
            virtual_machine: virtual_machine(),
            hz: hz(),
            clock_source: line(CLOCK_SOURCE),
            clock_step_ns: clock_step(),
        }
    }
}

/// The coarse clock advances once a tick, so its resolution is 1/HZ.
fn hz() -> Option<u32> {
    let tick = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).ok()?;
    let nanoseconds = u32::try_from(tick.tv_nsec())
        .ok()
        .filter(|n| tick.tv_sec() == 0 && *n > 0)?;
    // Some, such as HZ = 300, do not divide a second into whole nanoseconds.
    let hz = 1_000_000_000_f64 / f64::from(nanoseconds);
    Some(hz.round() as u32).filter(|hz| (24..=10_000).contains(hz))
}

/// Waits until the kernel's clock is more than a count of ticks, as long as `within`: before it trusts the TSC a kernel that has
/// no other clock counts ticks, two seconds from its start at the most. For booted machines, which are as young as that.
pub fn await_clock_in_a_booted_machine(within: Duration) {
    const AGAIN: Duration = Duration::from_millis(50);
    let begun = Instant::now();
    while line(CLOCK_SOURCE).is_some_and(|source| source.ends_with("jiffies")) && begun.elapsed() < within {
        thread::sleep(AGAIN);
    }
}

/// The smallest of a few steps of CLOCK_MONOTONIC. clock_getres(2) says 1 ns where high-resolution timers are compiled in,
/// though the clock may advance by ticks only. None where it stands still for as many reads as a tick takes on no machine.
fn clock_step() -> Option<u64> {
    const STEPS: usize = 6;
    const READS: u32 = 2_000_000;
    let step = || {
        let before = Instant::now();
        (0..READS).map(|_| before.elapsed()).find(|elapsed| !elapsed.is_zero())
    };
    let mut smallest = None;
    for _ in 0..STEPS {
        let step = step()?;
        smallest = Some(smallest.map_or(step, |smallest: Duration| smallest.min(step)));
    }
    smallest.and_then(|step| u64::try_from(step.as_nanos()).ok())
}

fn virtual_machine() -> Option<bool> {
    if ["/sys/hypervisor/type", "/proc/device-tree/hypervisor"]
        .iter()
        .any(|path| Path::new(path).exists())
    {
        return Some(true);
    }
    // On x86 every hypervisor that does not hide shows itself as a processor flag.
    let processors = fs::read_to_string("/proc/cpuinfo").ok()?;
    if let Some(flags) = processors.lines().find(|line| line.starts_with("flags")) {
        return Some(flags.split_whitespace().any(|flag| flag == "hypervisor"));
    }
    let vendor = line("/sys/class/dmi/id/sys_vendor")?;
    VIRTUAL_VENDORS.iter().any(|name| vendor.contains(name)).then_some(true)
}

/// A file's only line.
fn line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Machine;

    #[test]
    fn this_machine_has_a_kernel_a_timer_and_processors() {
        let machine = Machine::here();
        assert!(machine.kernel.starts_with(|c: char| c.is_ascii_digit()), "{machine:?}");
        assert!(machine.clock_step_ns.is_some_and(|step| step > 0), "{machine:?}");
        assert!(machine.cpus > 0 && machine.hz.is_some_and(|hz| hz >= 24), "{machine:?}");
    }
}
