//! How the load was run and what came of it, as the record tells it.

use std::collections::BTreeMap;

use nix::libc;

use crate::load::fill_level::STEPS;
use crate::load::{self, Evidence, Measured, ServerTime, Work};
use crate::record::schema::{
    ByFillRow, Failed, FillRan, Latencies, Latency, LoadRan, Offered, Outcomes, Rates, Requests,
};
use crate::record::tally::{Cause, Phase, Tally};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::{Arrival, Source};
use crate::tcp::options::has_local_port_range;
use crate::trial::Results;
use crate::trial::crew::Crew;
use crate::trial::fill::Filled;

impl LoadRan {
    pub(in crate::trial) fn of(work: &Work, crew: &Crew, measured: &Measured, engine: &str) -> Self {
        let owned = work.client.source == Source::Owned;
        Self {
            engine: engine.to_owned(),
            client_threads: measured.threads,
            server_threads: crew.server,
            pacing: (work.load.arrival != Arrival::Max).then(|| crew.pacing.to_string()),
            pinned: crew.pin.is_some(),
            descriptor_reused: work.reuses_descriptors(),
            source_port: match work.client.source {
                _ if owned && has_local_port_range() => Some("IP_LOCAL_PORT_RANGE of one port".to_owned()),
                _ if owned => {
                    Some("bind(address, port) without SO_REUSEADDR: one port for all destinations".to_owned())
                }
                Source::BindPort => Some("SO_REUSEADDR and bind(address, port): takes ports in TIME_WAIT".to_owned()),
                _ => None,
            },
            spun_seconds: measured.spun_nanos as f64 / 1e9,
            bottleneck: None,
        }
    }
}

/// How the load was run, and what was in its way if it was not offered as planned.
pub(super) fn load_ran(plan: &TrialPlan, results: &Results) -> LoadRan {
    let (measured, load) = (&results.measured, &results.load);
    let ports = [libc::EADDRNOTAVAIL, libc::EADDRINUSE].map(Cause::Errno);
    let without_port = |phase| {
        ports
            .map(|cause| measured.tally.count(phase, cause))
            .iter()
            .sum::<u64>()
    };
    // A pool's load is offered by request.
    let (attempted, not_offered, lag) = match &measured.pool {
        Some(pool) => (pool.requests.attempted, pool.not_offered, &pool.lag),
        None => (measured.tally.attempted, measured.not_offered, &measured.lag),
    };
    let program = results.program.as_ref().and_then(|program| program.during_load);
    let server = match (program, &results.served) {
        (Some(program), _) => ServerTime {
            threads: program.threads,
            cpu_seconds: program.cpu_seconds,
            waited_seconds: program.waited_seconds,
            busiest_seconds: Some(program.busiest_thread_seconds),
        },
        (None, served) => ServerTime {
            threads: load.server_threads,
            cpu_seconds: served.as_ref().map_or(0.0, |served| served.cpu_seconds),
            waited_seconds: served.as_ref().map_or(0.0, |served| served.waited_seconds),
            busiest_seconds: None,
        },
    };
    let evidence = Evidence {
        attempted,
        not_offered,
        lag_p99: lag.quantile(0.99).unwrap_or(0) as f64 / 1e9,
        load_seconds: measured.ended_at as f64 / 1e9,
        without_port: without_port(Phase::Bind) + without_port(Phase::Connect),
        connect_call_seconds: measured.connect_call_total as f64 / 1e9,
        client_threads: load.client_threads,
        client_cpu_seconds: measured.cpu_seconds - load.spun_seconds,
        client_waited_seconds: measured.waited_seconds,
        server,
        in_flight: plan.load.in_flight,
    };
    LoadRan {
        bottleneck: evidence.bottleneck().filter(|_| plan.load.arrival != Arrival::Max),
        ..load.clone()
    }
}

pub(super) fn offered(plan: &TrialPlan, measured: &Measured) -> Offered {
    Offered {
        // How many connections a pool opens is not planned.
        planned: plan.load.planned().filter(|_| plan.pool.is_none()),
        attempted: measured.tally.attempted,
        not_offered: measured.not_offered,
    }
}

pub(super) fn outcomes(measured: &Measured) -> Outcomes {
    Outcomes {
        ok: measured.tally.ok,
        failed_total: measured.tally.failed(),
        connected: measured.tally.connected,
        failed: failures(&measured.tally),
    }
}

pub(super) fn requests(plan: &TrialPlan, measured: &Measured) -> Option<Requests> {
    let said = measured.said;
    load::is_understood(plan.server.protocol).then_some(Requests {
        sent: said.requests,
        answered: said.responses,
        errors: said.errors,
    })
}

pub(super) fn failures(tally: &Tally) -> Vec<Failed> {
    let failed = tally.failures().into_iter().map(|failure| Failed {
        phase: failure.phase.to_string(),
        errno: failure.cause.name(),
        count: failure.count,
        first_at_seconds: failure.first.at as f64 / 1e9,
        first_attempt: failure.first.attempt,
    });
    failed.collect()
}

pub(super) fn fill_ran(fill: &Filled) -> FillRan {
    let nothing = Tally::default();
    let tally = fill.run.as_ref().map_or(&nothing, |run| &run.measured.tally);
    FillRan {
        planned: fill.planned,
        ok: tally.ok,
        failed_total: tally.failed(),
        failed: failures(tally),
        destinations: fill.destinations as u64,
        time_wait_client: fill.time_wait.time_wait_client,
        time_wait_server: fill.time_wait.time_wait_server,
        seconds: fill.seconds,
    }
}

/// The connect() call by how full its destination was: the steps that a call fell into.
fn by_fill(measured: &Measured) -> Vec<ByFillRow> {
    let share = |step: usize| step as f64 / (STEPS - 1) as f64;
    let steps = measured
        .by_fill
        .iter()
        .flat_map(|by_fill| by_fill.steps().iter().enumerate());
    let rows = steps.map(|(step, calls)| ByFillRow {
        from: share(step),
        to: share((step + 1).min(STEPS - 1)),
        ok: calls.ok.brief(),
        failed: calls.failed.brief(),
        even: calls.even.brief(),
        odd: calls.odd.brief(),
    });
    rows.filter(|row| row.ok.is_some() || row.failed.is_some()).collect()
}

pub(super) fn latencies(plan: &TrialPlan, measured: &Measured) -> Latencies {
    // Arrival `max` intends no start: what came of it would be connect() under another name.
    let intended = |latency: Option<Latency>| latency.filter(|_| plan.load.arrival != Arrival::Max);
    Latencies {
        connect: measured.connect.summary(),
        connect_call: measured.connect_call.summary(),
        connect_call_by_fill: by_fill(measured),
        session: measured.session.summary(),
        from_intended_start: intended(measured.from_intended_start.summary()),
        connect_failed: measured.connect_failed.summary(),
        lag: intended(measured.lag.summary()),
    }
}

pub(super) fn rates(results: &Results, load_seconds: f64) -> Rates {
    let tally = &results.measured.tally;
    let per_second = |count: u64| {
        if load_seconds > 0.0 {
            count as f64 / load_seconds
        } else {
            0.0
        }
    };
    let client = results.measured.cpu_seconds;
    let server = match &results.program {
        Some(program) => program
            .during_load
            .map_or(program.cpu_seconds.unwrap_or(0.0), |used| used.cpu_seconds),
        None => results.served.as_ref().map_or(0.0, |served| served.cpu_seconds),
    };
    Rates {
        load_seconds,
        attempts_per_second: per_second(tally.attempted),
        ok_per_second: per_second(tally.ok),
        client_cpu_seconds: client,
        server_cpu_seconds: server,
        threads: BTreeMap::from([
            ("client".to_owned(), client),
            ("server".to_owned(), server),
            ("observer".to_owned(), results.observed.cost.cpu_seconds),
        ]),
    }
}
