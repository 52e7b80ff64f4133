//! Sums a trial's results up into its record.

use std::collections::BTreeMap;
use std::time::SystemTime;

use nix::libc;

use super::fill::Filled;
use super::pool;
use super::{Followed, Results};
use crate::lab::Unavailable;
use crate::lab::machine::Machine;
use crate::load::fill_level::STEPS;
use crate::load::measured::Endings;
use crate::load::server::Served;
use crate::load::{self, Evidence, Measured};
use crate::model::residual::residual;
use crate::observe::{Departure, Observed, SideObserved};
use crate::record::ledger::{self, Books, Closes, Counted, ServerBooks};
use crate::record::schema::{
    ByFillRow, Clock, Counters, Distribution, Environment, Failed, FillRan, Latencies, Latency, Ledger, Linger,
    LoadRan, Memory, Offered, Outcomes, Overdue, PeakEnd, Rates, Record, Requests, SCHEMA, ServerSide, SideSysctls,
    SlabRow, Status, TimeWait, TimelinePoint, Verdict,
};
use crate::record::tally::{Cause, Phase, Tally};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::{Arrival, Topology};
use crate::sequence::Conducted;
use crate::tcp::CloseMode;

/// Where the trial stands, as far as the machine tells.
pub(super) fn environment(machine: &Machine) -> Environment {
    Environment {
        kernel: machine.kernel.clone(),
        machine: machine.machine.clone(),
        cpus: machine.cpus,
        lab: String::new(),
        virtual_machine: machine.virtual_machine,
        hz: machine.hz,
        // Whoever booted a machine for the trial knows of it, and says so in the record.
        clock: Clock::Real,
        emulated: false,
        sysctl: SideSysctls::default(),
    }
}

/// A record with everything that is known before the trial.
pub(super) fn blank(plan: &TrialPlan, machine: &Machine, started_at: SystemTime) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        linger: Linger {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        started_at: humantime::format_rfc3339_millis(started_at).to_string(),
        took_seconds: started_at.elapsed().ok().map(|took| took.as_secs_f64()),
        scenario: told(plan),
        cell: plan.cell.clone(),
        repeat: plan.repeat,
        interrupted: false,
        environment: environment(machine),
        prediction: None,
        residual: None,
        load: None,
        fill: None,
        pool: None,
        offered: None,
        outcomes: None,
        requests: None,
        server_program: None,
        server: None,
        exec: None,
        closings: None,
        connects: None,
        latency: None,
        rates: None,
        time_wait: None,
        port_reuse_seconds: None,
        counters: None,
        slab: None,
        memory: None,
        observation: None,
        timeline: vec![],
        steps: vec![],
        captured: BTreeMap::new(),
        segments: vec![],
        ledger: None,
        verdict: Verdict {
            status: Status::Inconclusive,
            reasons: vec![],
            expectations: vec![],
        },
        claim: None,
    }
}

/// The record of a trial whose lab could not be had.
pub(super) fn unavailable(plan: &TrialPlan, machine: &Machine, at: SystemTime, why: &Unavailable) -> Record {
    let mut record = blank(plan, machine, at);
    record.environment.lab = "not built".into();
    record.verdict.status = Status::Unavailable;
    record.verdict.reasons = vec![why.to_string()];
    record
}

/// The record of a sequence. Its verdict is left to the judge.
pub(super) fn sequence(plan: &TrialPlan, machine: &Machine, at: SystemTime, followed: Followed) -> Record {
    let mut record = blank(plan, machine, at);
    let Conducted {
        steps,
        captured,
        segments,
        counters,
        ledger,
    } = followed.conducted;
    record.environment.lab = followed.lab;
    record.environment.sysctl = followed.sysctl;
    record.interrupted = followed.interrupted;
    (record.steps, record.captured, record.segments) = (steps, captured, segments);
    (record.counters, record.ledger) = (Some(counters), Some(ledger));
    record
}

/// The plan as a record tells it: without the load that a sequence does not have.
fn told(plan: &TrialPlan) -> serde_json::Value {
    let mut told = serde_json::to_value(plan).expect("a plan is plain data");
    if let (true, Some(keys)) = (plan.is_sequence(), told.as_object_mut()) {
        for key in ["load", "close"] {
            keys.remove(key);
        }
    }
    told
}

/// The record of a trial that ran. Its verdict is left to the judge.
pub(super) fn record(plan: &TrialPlan, machine: &Machine, at: SystemTime, mut results: Results) -> Record {
    let load_seconds = results.measured.ended_at as f64 / 1e9;
    let timeline = timeline(&mut results.measured, &results.observed);
    let outcomes = outcomes(&results.measured);
    let churn = results.measured.pool.as_deref().map(pool::churn_per_second);
    Record {
        interrupted: results.interrupted,
        residual: Some(residual(&results.prediction, &outcomes, &timeline, load_seconds, churn)),
        load: Some(load_ran(plan, &results)),
        fill: results.fill.as_ref().map(fill_ran),
        pool: results.measured.pool.as_deref().map(|books| pool::ran(plan, books)),
        offered: Some(offered(plan, &results.measured)),
        requests: requests(plan, &results.measured),
        server: results.served.as_ref().map(Served::summary),
        server_program: results.program.clone(),
        latency: Some(latencies(plan, &results.measured)),
        rates: Some(rates(&results, load_seconds)),
        time_wait: Some(time_wait(plan, &results)),
        port_reuse_seconds: port_reuse(&results),
        counters: Some(counters(&results)),
        slab: slab(&results),
        memory: memory(&results),
        observation: Some(results.observed.cost.clone()),
        ledger: Some(reconciled(plan, &results)),
        environment: Environment {
            lab: results.lab,
            sysctl: results.sysctl,
            ..environment(machine)
        },
        prediction: Some(results.prediction),
        outcomes: Some(outcomes),
        timeline,
        ..blank(plan, machine, at)
    }
}

/// How the load was run, and what was in its way if it was not offered as planned.
fn load_ran(plan: &TrialPlan, results: &Results) -> LoadRan {
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
        server_threads: load.server_threads,
        server_cpu_seconds: results.served.as_ref().map_or(0.0, |served| served.cpu_seconds),
        server_waited_seconds: results.served.as_ref().map_or(0.0, |served| served.waited_seconds),
        in_flight: plan.load.in_flight,
    };
    LoadRan {
        bottleneck: evidence.bottleneck().filter(|_| plan.load.arrival != Arrival::Max),
        ..load.clone()
    }
}

fn offered(plan: &TrialPlan, measured: &Measured) -> Offered {
    Offered {
        // How many connections a pool opens is not planned.
        planned: plan.load.planned().filter(|_| plan.pool.is_none()),
        attempted: measured.tally.attempted,
        not_offered: measured.not_offered,
    }
}

fn outcomes(measured: &Measured) -> Outcomes {
    Outcomes {
        ok: measured.tally.ok,
        failed_total: measured.tally.failed(),
        connected: measured.tally.connected,
        failed: failures(&measured.tally),
    }
}

fn requests(plan: &TrialPlan, measured: &Measured) -> Option<Requests> {
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

fn fill_ran(fill: &Filled) -> FillRan {
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

fn latencies(plan: &TrialPlan, measured: &Measured) -> Latencies {
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

fn rates(results: &Results, load_seconds: f64) -> Rates {
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
        Some(program) => program.cpu_seconds.unwrap_or(0.0),
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

fn time_wait(plan: &TrialPlan, results: &Results) -> TimeWait {
    let peak_end = |side: &SideObserved| PeakEnd {
        peak: side.peak,
        end: side.end,
    };
    let observed = &results.observed;
    let (sides, no_sides) = match super::sides::sides(plan, results) {
        Ok(sides) => (Some(sides), None),
        Err(why) => (None, Some(why)),
    };
    TimeWait {
        client: peak_end(&observed.client),
        server: peak_end(&observed.server),
        lifetime_seconds: lifetimes(results),
        sides,
        no_sides,
        overdue: Overdue {
            client_peak: observed.client.overdue_peak,
            server_peak: observed.server.overdue_peak,
        },
        source: observed.cost.source.clone(),
    }
}

/// From the close that the load saw to the first look that found the TIME_WAIT gone; and for the longest also to the
/// last look that found it there.
fn lifetimes(results: &Results) -> Option<Distribution> {
    let clock = results.measured.tuples.as_ref()?;
    let departures = &results.observed.departures;
    let closed = |departure: &Departure| {
        let (local, remote) = (departure.tuple.local, departure.tuple.remote);
        let destination = results.destinations.iter().position(|address| *address == remote)?;
        let source = results.sources.iter().position(|address| *address == local.ip())?;
        let pair = source * results.destinations.len() + destination;
        // A later close is another incarnation's.
        clock
            .last_close(pair, local.port())
            .filter(|at| *at <= departure.first_seen)
    };
    let bounds = departures.iter().filter_map(|departure| {
        let closed = closed(departure)?;
        // The dump that saw it first may have begun before the close.
        let at_least = departure.last_seen.saturating_sub(closed);
        Some([at_least, departure.first_missing - closed].map(|nanos| nanos as f64 / 1e9))
    });
    let gap = |departure: &Departure| departure.first_missing - departure.last_seen;
    let resolution = departures.iter().map(gap).max().unwrap_or(0) as f64 / 1e9;
    distribution_between(bounds.collect(), resolution)
}

/// The distribution of values of which a lower and an upper bound are known, by the upper.
fn distribution_between(bounds: Vec<[f64; 2]>, resolution_seconds: f64) -> Option<Distribution> {
    let (at_least, mut at_most): (Vec<f64>, Vec<f64>) = bounds.into_iter().map(|[low, high]| (low, high)).unzip();
    at_most.sort_by(f64::total_cmp);
    let quantile = |q: f64| at_most[((at_most.len() as f64 * q).ceil() as usize).clamp(1, at_most.len()) - 1];
    (!at_most.is_empty()).then(|| Distribution {
        count: at_most.len() as u64,
        min: at_most[0],
        p50: quantile(0.5),
        p99: quantile(0.99),
        max: quantile(1.0),
        max_at_least: at_least.into_iter().max_by(f64::total_cmp),
        resolution_seconds,
    })
}

/// From a close to the next success on the same four-tuple.
fn port_reuse(results: &Results) -> Option<Distribution> {
    let tuples = results.measured.tuples.as_ref()?;
    let (reuse, (shortest, longest)) = (tuples.reuse()?, tuples.reuse_extremes()?);
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    Some(Distribution {
        count: reuse.count(),
        min: seconds(shortest),
        p50: seconds(reuse.quantile(0.5)?),
        p99: seconds(reuse.quantile(0.99)?),
        max: seconds(longest),
        max_at_least: None,
        resolution_seconds: 0.0,
    })
}

fn counters(results: &Results) -> Counters {
    let (client, server) = &results.observed.counters;
    Counters {
        client: client.clone(),
        // One namespace has one set of counters: both sides read it.
        server: server.as_ref().unwrap_or(client).clone(),
    }
}

fn counted<'a>(plan: &TrialPlan, results: &'a Results) -> Counted<'a> {
    let (client, server) = &results.observed.counters;
    match (plan.lab.topology, server) {
        (Topology::Host, _) => Counted::Shared,
        (_, Some(server)) => Counted::Apart { client, server },
        (_, None) => Counted::Together(client),
    }
}

/// The ledger of everything that the counters saw: the load, and the fill before it.
fn reconciled(plan: &TrialPlan, results: &Results) -> Ledger {
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
            None if super::sides::each_its_own(plan, results).is_ok() => Some(0),
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

fn memory(results: &Results) -> Option<Memory> {
    let [before, after] = &results.slab;
    let observed = &results.observed;
    let minis = observed.client.held + observed.server.held;
    super::memory::memory(before.as_ref()?, after.as_ref()?, minis, observed.client_ports)
}

fn slab(results: &Results) -> Option<Vec<SlabRow>> {
    let [before, after] = &results.slab;
    let (before, after) = (before.as_ref()?, after.as_ref()?);
    let row = |(cache, slab): (&String, &crate::observe::slab::Slab)| SlabRow {
        cache: cache.clone(),
        object_bytes: slab.object_bytes,
        active_before: before.get(cache).map_or(0, |slab| slab.active_objects),
        active_after: slab.active_objects,
    };
    Some(after.iter().map(row).collect())
}

/// The load's intervals with the TIME_WAIT counts at their ends, as far as was observed.
fn timeline(measured: &mut Measured, observed: &Observed) -> Vec<TimelinePoint> {
    let last = observed.samples.last().map_or(0.0, |sample| sample.t);
    measured.timeline.extend_to((last.max(0.0) * 1e9) as u64);
    let interval = measured.timeline.interval_seconds();
    let mut samples = observed.samples.iter().peekable();
    let mut seen = (None, None);
    let points = measured.timeline.points().into_iter().map(|point| {
        while let Some(sample) = samples.next_if(|sample| sample.t <= point.t + interval) {
            seen = (sample.client, sample.server);
        }
        TimelinePoint {
            t: point.t,
            ok: point.ok,
            failed: point.failed.into_iter().collect(),
            time_wait_client: seen.0,
            time_wait_server: seen.1,
            open: None,
            p99_us: point.p99_us,
        }
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_is_at_least_the_largest_lower_bound() {
        // The second was looked for rarely: what it is at most says little.
        let lives = distribution_between(vec![[60.5, 60.6], [59.0, 62.2], [61.9, 62.0]], 3.2).unwrap();
        assert_eq!((lives.min, lives.max, lives.max_at_least), (60.6, 62.2, Some(61.9)));
        assert_eq!(distribution_between(vec![], 0.0), None);
    }
}
