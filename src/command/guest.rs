//! Inside a booted kernel: the job in, lines out. `booted` is the other end, on the host.
//!
//! The trials run as they do on the host; what the host alone knows (when, what clock, emulated or not) it adds itself.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::libc;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::run;
use linger::lab::{self, Unavailable, limits, machine, privilege};
use linger::scenario::plan::TrialPlan;
use linger::trial::{self, Event, Means, TrialError, Tuning};

/// What a guest is to do, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) trials: Vec<TrialPlan>,
    /// How the user wants the load run.
    pub(crate) tuning: Tuning,
}

/// What begins a line: the rest is a trial's place in the job, an [`Event`] or a record, as JSON.
pub(super) const BEGIN: &str = "begin ";
pub(super) const PROGRESS: &str = "progress ";
pub(super) const RECORD: &str = "record ";

/// How long the last trial's TIME_WAIT may take to go with its namespaces.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// How long the kernel may take to find a clock that does not only tick.
const CLOCK_SETTLES_WITHIN: Duration = Duration::from_secs(4);

/// Nobody can ask a guest to stop: the host ends its machine.
static STOP: AtomicBool = AtomicBool::new(false);

/// Conducts the job's trials; a record is sent as soon as its trial ends. The error is in words, for the host to show.
pub(crate) fn conduct(job: &[u8], say: &mut dyn FnMut(&str)) -> Result<(), String> {
    trials(job, say).map_err(|error| format!("{error:#}"))
}

fn trials(job: &[u8], say: &mut dyn FnMut(&str)) -> Result<()> {
    let job: Job = serde_json::from_slice(job).context("the job is not as this version of linger writes it")?;
    // Before any thread is started, as on the host. The first process is root; its kernel may lack namespaces.
    let privilege = sockets().and_then(|()| privilege::acquire_in_a_booted_machine());
    if let Err(why) = lab::raise_loopback_of_a_booted_machine() {
        // Trials with namespaces of their own do without.
        eprintln!("linger: the loopback interface cannot be brought up: {why}");
    }
    machine::await_clock_in_a_booted_machine(CLOCK_SETTLES_WITHIN);
    let descriptors = limits::raise_descriptor_limit().context("raising RLIMIT_NOFILE")?;
    for (index, plan) in job.trials.iter().enumerate() {
        if !trial::settle_a_booted_machine(SETTLES_WITHIN) {
            eprintln!("linger: TIME_WAIT sockets of the trial before are still there");
        }
        say(&format!("{BEGIN}{index}"));
        let record = match &privilege {
            Ok(privilege) => {
                let means = Means {
                    privilege: *privilege,
                    descriptors,
                    stop: &STOP,
                    tuning: job.tuning,
                };
                let tell = &mut |event: Event| match serde_json::to_string(&event) {
                    Ok(json) => say(&format!("{PROGRESS}{json}")),
                    Err(error) => eprintln!("linger: progress cannot be told: {error}"),
                };
                trial::conduct(plan, means, tell).unwrap_or_else(|error| trial::unavailable(plan, &failed(&error)))
            }
            Err(why) => trial::unavailable(plan, why),
        };
        say(&format!("{RECORD}{}", serde_json::to_string(&record)?));
    }
    Ok(())
}

/// Whether the kernel has sockets for TCP at all: one without networking refuses namespaces too, and its words for that
/// would mislead.
fn sockets() -> Result<(), Unavailable> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None);
    socket.map(drop).map_err(|error| no_sockets(&error))
}

fn no_sockets(error: &io::Error) -> Unavailable {
    let (reason, remedy) = match error.raw_os_error() {
        Some(libc::ENOSYS) => (
            "the kernel was built without networking (CONFIG_NET)",
            "CONFIG_NET=y and CONFIG_INET=y",
        ),
        Some(libc::EAFNOSUPPORT) => ("the kernel was built without TCP/IP (CONFIG_INET)", "CONFIG_INET=y"),
        _ => return failed_socket(error),
    };
    Unavailable {
        reason: reason.into(),
        remedy: format!("use a kernel with {remedy}"),
    }
}

fn failed_socket(error: &io::Error) -> Unavailable {
    Unavailable {
        reason: format!("the kernel refused a TCP socket: {error}"),
        remedy: "see what this kernel lacks, or try another".into(),
    }
}

/// A trial that failed has a record that says so: those after it are worth conducting.
fn failed(error: &TrialError) -> Unavailable {
    run::failed(
        error,
        "see what this kernel lacks (its console is kept beside the records), or try another",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_networking_is_told_from_one_without_tcp() {
        let told = |errno| no_sockets(&io::Error::from_raw_os_error(errno));
        assert!(told(libc::ENOSYS).reason.contains("without networking (CONFIG_NET)"));
        assert!(told(libc::ENOSYS).remedy.contains("CONFIG_NET=y and CONFIG_INET=y"));
        assert!(told(libc::EAFNOSUPPORT).reason.contains("without TCP/IP (CONFIG_INET)"));
        assert!(told(libc::EMFILE).reason.contains("refused a TCP socket"));
        assert_eq!(sockets(), Ok(()));
    }
}
