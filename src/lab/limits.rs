//! File descriptors: how many a trial needs, how many may be had. Client and server share one process, and each open
//! connection takes a descriptor at both ends.

use std::fs;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Unavailable;
use crate::scenario::plan::TrialPlan;

/// Standard streams, namespaces, netlink and signal sockets, /proc files, the record.
const OUR_OWN: u64 = 64;
/// Connections that the client has closed and the server, which reads events in batches, has not yet.
const SERVER_LAG: u32 = 1024;

/// Raises the soft limit of open files to the hard one, and the hard one to fs.nr_open where we may (CAP_SYS_RESOURCE).
/// Returns the limit now in force.
///
/// # Errors
/// Those of getrlimit(2) and setrlimit(2); a hard limit that cannot be raised is none.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let ceiling = nr_open().unwrap_or(hard);
    if ceiling > hard && setrlimit(Resource::RLIMIT_NOFILE, ceiling, ceiling).is_ok() {
        return Ok(ceiling);
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// The kernel's bound on every hard limit.
pub(super) fn nr_open() -> Option<u64> {
    fs::read_to_string("/proc/sys/fs/nr_open").ok()?.trim().parse().ok()
}

/// The most descriptors that a trial has open at once.
#[must_use]
pub fn descriptors_needed(plan: &TrialPlan) -> u64 {
    // A request that waits for one of a pool's connections has none.
    let at_once = plan.pool.as_ref().map_or(plan.load.in_flight, |pool| pool.size);
    fixed(plan) + per_connection(plan, u64::from(at_once))
}

/// Refuses a trial that needs more descriptors than there may be.
///
/// # Errors
/// Says how many are needed and what would fit.
pub fn require_descriptors(plan: &TrialPlan, limit: u64) -> Result<(), Unavailable> {
    let needed = descriptors_needed(plan);
    if needed <= limit {
        return Ok(());
    }
    let fitting = limit.saturating_sub(fixed(plan) + u64::from(SERVER_LAG)) / 2;
    let smaller = match fitting {
        0 => "fewer server addresses and ports".to_owned(),
        fitting if plan.pool.is_some() => format!("pool.size of at most {fitting}"),
        fitting => format!("load.in_flight of at most {fitting}"),
    };
    Err(Unavailable::new(
        format!("the trial needs {needed} file descriptors, and {limit} may be open (ulimit -Hn)"),
        format!("raise the hard limit (as root: ulimit -Hn {needed}; systemd: LimitNOFILE={needed}), or use {smaller}"),
    ))
}

/// What a trial needs without a connection.
fn fixed(plan: &TrialPlan) -> u64 {
    let listeners = if plan.server.listen {
        u64::from(plan.server_addresses()) * u64::from(plan.server.ports)
    } else {
        0
    };
    OUR_OWN + listeners
}

fn per_connection(plan: &TrialPlan, in_flight: u64) -> u64 {
    if plan.server.listen {
        2 * in_flight + in_flight.min(u64::from(plan.server.backlog.min(SERVER_LAG)))
    } else {
        in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan() -> TrialPlan {
        serde_json::from_str(include_str!("../../tests/fixtures/plan.json")).unwrap()
    }

    #[test]
    fn each_connection_takes_two_descriptors_and_the_servers_lag() {
        let mut plan = plan();
        plan.load.in_flight = 5000;
        // 64 of our own, 1 listener, 2 × 5000 connections, 1024 that the server has still to close.
        assert_eq!(descriptors_needed(&plan), 64 + 1 + 10_000 + 1024);
        plan.server.listen = false;
        assert_eq!(descriptors_needed(&plan), 64 + 5000);
    }

    #[test]
    fn a_trial_too_large_is_told_what_would_fit() {
        let mut plan = plan();
        plan.load.in_flight = 5000;
        let refusal = require_descriptors(&plan, 4096).unwrap_err();
        assert!(refusal.reason.contains("11089 file descriptors, and 4096"), "{refusal}");
        assert!(refusal.remedy.contains("load.in_flight of at most 1503"), "{refusal}");
    }

    #[test]
    fn the_limit_is_raised_to_what_the_kernel_then_reports() {
        let limit = raise_descriptor_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, limit);
    }

    proptest! {
        #[test]
        fn what_is_said_to_fit_fits(in_flight in 1u32..4_000_000, addresses in 1u32..4096, limit in 1024u64..1_048_576) {
            let mut plan = plan();
            (plan.load.in_flight, plan.server.addresses) = (in_flight, addresses);
            if let Err(refusal) = require_descriptors(&plan, limit)
                && let Some((_, fitting)) = refusal.remedy.rsplit_once("at most ")
            {
                plan.load.in_flight = fitting.parse().unwrap();
                prop_assert!(require_descriptors(&plan, limit).is_ok());
            }
        }
    }
}
