//! The books of both ends as the ledger takes them.

use super::sides;
use crate::load::Measured;
use crate::load::measured::Endings;
use crate::load::server::Served;
use crate::record::ledger::{self, Books, Closes, Counted, ServerBooks};
use crate::record::schema::{Ledger, ServerSide};
use crate::record::tally::Tally;
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Topology;
use crate::tcp::CloseMode;
use crate::trial::Results;

fn counted<'a>(plan: &TrialPlan, results: &'a Results) -> Counted<'a> {
    let (client, server) = &results.observed.counters;
    match (plan.lab.topology, server) {
        (Topology::Host, _) => Counted::Shared,
        (_, Some(server)) => Counted::Apart { client, server },
        (_, None) => Counted::Together(client),
    }
}

/// The ledger of everything that the counters saw: the load, and the fill before it.
pub(super) fn reconciled(plan: &TrialPlan, results: &Results) -> Ledger {
    let fill = results.fill.as_ref().and_then(|fill| fill.run.as_ref());
    let loads = || fill.map(|fill| &fill.measured).into_iter().chain([&results.measured]);
    let servers = || fill.map(|fill| &fill.served).into_iter().chain(&results.served);
    let (mut attempts, mut endings) = (Tally::default(), Endings::default());
    for load in loads() {
        attempts.merge(&load.tally);
        endings += load.endings;
    }
    let sum = |count: fn(&ServerSide) -> u64| servers().map(|served| count(&served.counts)).sum::<u64>();
    let aborted: u64 = servers().map(|served| served.aborted).sum();
    // The server closes when it reads the quit, and does not know that the client has.
    let quits = |served: &Served| served.conversations.as_ref().map_or(0, |told| told.quit);
    let raced = match plan.close.mode {
        CloseMode::QuitClose => servers().map(quits).sum(),
        _ => 0,
    };
    let closed_first = sum(|counts| counts.closed_first) - aborted;
    let raced = closed_first.min(raced);
    let reused = |load: &Measured| Some(load.tuples.as_ref()?.reuse()?.count());
    let books = Books {
        attempts: &attempts,
        client: Closes {
            closed_first: endings.closed_first,
            aborted: endings.aborted,
            peer_closed_first: endings.peer_closed_first,
            peer_reset: endings.peer_reset,
            undetermined: endings.quit_closed,
        },
        server: Closes {
            closed_first: closed_first - raced,
            aborted,
            peer_closed_first: sum(|counts| counts.closed_by_peer),
            peer_reset: sum(|counts| counts.reset_by_peer),
            undetermined: raced,
        },
        accepted: sum(|counts| counts.accepted),
        server_books: match results.program {
            Some(_) => ServerBooks::Nobodys,
            None => ServerBooks::Ours,
        },
        counted: counted(plan, results),
        held: [results.observed.client.held, results.observed.server.held],
        reused: match fill {
            None if sides::each_its_own(plan, results).is_ok() => Some(0),
            _ => loads().map(reused).sum(),
        },
        disconnects: results.load.descriptor_reused,
        seconds: results.observed.end_seconds + results.fill.as_ref().map_or(0.0, |fill| fill.seconds),
        kernel: (results.kernel.major, results.kernel.minor),
    };
    Ledger {
        unsettled: fill
            .and_then(|fill| fill.unsettled.clone())
            .or_else(|| results.unsettled.clone()),
        ..ledger::reconcile(&books)
    }
}
