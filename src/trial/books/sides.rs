//! Who was left with TIME_WAIT, close by close: the look at the load's end, where it can tell.
//!
//! It can where each close has a four-tuple of its own that nothing has taken over since, and no TIME_WAIT can have ended
//! by itself.

use nix::libc;

use crate::observe::OnSides;
use crate::record::ledger::outlasts_time_wait;
use crate::record::schema::Sides;
use crate::record::tally::{Cause, Phase};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Topology;
use crate::trial::Results;

/// The distribution, or why there is none.
pub(super) fn sides(plan: &TrialPlan, results: &Results) -> Result<Sides, String> {
    match plan.lab.topology {
        Topology::Host => return Err("on the host TIME_WAIT of earlier runs lies on the same ports".into()),
        Topology::Nat => return Err("the server sees the router's four-tuples, not the client's".into()),
        Topology::Loopback | Topology::Pair | Topology::Routed => {}
    }
    if let Some(why) = &results.unsettled {
        return Err(format!("connections were still ending: {why}"));
    }
    if outlasts_time_wait(
        results.observed.end_seconds,
        (results.kernel.major, results.kernel.minor),
    ) {
        return Err("the load ran so long that TIME_WAIT ended meanwhile".into());
    }
    each_its_own(plan, results)?;
    let Some(seen) = &results.observed.time_waits else {
        return Err("there are more pairs of source and destination than are told apart".into());
    };
    let mut sum = OnSides::default();
    for (_, on) in seen.iter().filter(|(server, _)| results.destinations.contains(server)) {
        sum.client_alone += on.client_alone;
        sum.server_alone += on.server_alone;
        sum.both += on.both;
    }
    let closes = results.measured.tally.connected;
    Sides::of(closes, [sum.client_alone, sum.server_alone, sum.both])
        .ok_or_else(|| format!("{closes} connections were closed, and the last look found {sum:?}"))
}

/// Whether no four-tuple was used twice.
pub(super) fn each_its_own(plan: &TrialPlan, results: &Results) -> Result<(), String> {
    let tally = &results.measured.tally;
    let no_port = [libc::EADDRNOTAVAIL, libc::EADDRINUSE].map(|errno| tally.count(Phase::Connect, Cause::Errno(errno)));
    let in_connect = tally.failures().into_iter().filter(|f| f.phase == Phase::Connect);
    let after_syn = in_connect.map(|f| f.count).sum::<u64>() - no_port.iter().sum::<u64>();
    if after_syn > 0 {
        return Err(format!(
            "{after_syn} connect() calls failed after their SYN, which may have replaced a TIME_WAIT"
        ));
    }
    // Ports are taken in turn, by each thread from its own.
    let in_turn = results.prediction.usable_ports / u64::from(results.load.client_threads.max(1));
    if plan.client.source.is_chosen_by_harness() && tally.attempted <= in_turn {
        return Ok(());
    }
    match results.measured.tuples.as_ref().and_then(|tuples| tuples.reuse()) {
        Some(reuse) if reuse.count() == 0 => Ok(()),
        Some(reuse) => Err(format!(
            "{} connections took a four-tuple that was used before, and what was left of that with it; client.source \
             `owned` with no more connections than ports takes none twice",
            reuse.count()
        )),
        None => Err(
            "nobody knows whether a four-tuple was used twice; set client.source `owned` with no more connections than \
             ports, or observe.tuples"
                .into(),
        ),
    }
}
