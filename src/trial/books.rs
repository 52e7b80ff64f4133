//! Sums a trial's results up into its record, part by part.

mod ledger;
mod lifetimes;
mod load;
mod memory;
pub(super) mod observed;
mod pool;
mod sides;

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::{Followed, Results};
use crate::lab::Unavailable;
use crate::lab::machine::Machine;
use crate::load::Measured;
use crate::load::server::Served;
use crate::model::residual::residual;
use crate::observe::Observed;
use crate::record::schema::{
    Clock, Environment, Linger, Memory, Record, SCHEMA, SideSysctls, Status, TimeWait, TimelinePoint, Verdict,
};
use crate::scenario::plan::TrialPlan;
use crate::sequence::Conducted;

/// Where the trial stands, as far as the machine tells.
pub(super) fn environment(machine: &Machine) -> Environment {
    Environment {
        kernel: machine.kernel.clone(),
        machine: machine.machine.clone(),
        cpus: machine.cpus,
        lab: String::new(),
        virtual_machine: machine.virtual_machine,
        hz: machine.hz,
        clock_source: machine.clock_source.clone(),
        clock_step_ns: machine.clock_step_ns,
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
    not_built(blank(plan, machine, at), why)
}

/// The same record, of a trial whose lab could not be had.
pub(super) fn not_built(mut record: Record, why: &Unavailable) -> Record {
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
    let outcomes = load::outcomes(&results.measured);
    let churn = results.measured.pool.as_deref().map(pool::churn_per_second);
    Record {
        interrupted: results.interrupted,
        residual: Some(residual(&results.prediction, &outcomes, &timeline, load_seconds, churn)),
        load: Some(load::load_ran(plan, &results)),
        fill: results.fill.as_ref().map(load::fill_ran),
        pool: results.measured.pool.as_deref().map(|books| pool::ran(plan, books)),
        offered: Some(load::offered(plan, &results.measured)),
        requests: load::requests(plan, &results.measured),
        server: results.served.as_ref().map(Served::summary),
        server_program: results.program.clone(),
        latency: Some(load::latencies(plan, &results.measured)),
        rates: Some(load::rates(&results, load_seconds)),
        time_wait: Some(time_wait(plan, &results)),
        port_reuse_seconds: lifetimes::port_reuse(&results),
        counters: Some(observed::counters(&results.observed)),
        slab: observed::slab(&results),
        memory: memory(&results),
        observation: Some(results.observed.cost.clone()),
        ledger: Some(ledger::reconciled(plan, &results)),
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

/// TIME_WAIT, with what became of it where each four-tuple was followed.
fn time_wait(plan: &TrialPlan, results: &Results) -> TimeWait {
    let (sides, no_sides) = match sides::sides(plan, results) {
        Ok(sides) => (Some(sides), None),
        Err(why) => (None, Some(why)),
    };
    TimeWait {
        lifetime_seconds: lifetimes::lifetimes(results),
        sides,
        no_sides,
        ..observed::time_wait(&results.observed)
    }
}

fn memory(results: &Results) -> Option<Memory> {
    let [before, after] = &results.slab;
    let observed = &results.observed;
    let minis = observed.client.held + observed.server.held;
    memory::memory(before.as_ref()?, after.as_ref()?, minis, observed.client_ports)
}

/// The load's intervals with the TIME_WAIT counts at their ends, as far as was observed.
fn timeline(measured: &mut Measured, observed: &Observed) -> Vec<TimelinePoint> {
    let last = observed.samples.last().map_or(0.0, |sample| sample.t);
    measured.timeline.extend_to((last.max(0.0) * 1e9) as u64);
    let interval = measured.timeline.interval_seconds();
    let mut time_wait = observed::time_wait_at(observed);
    let points = measured.timeline.points().into_iter().map(|point| {
        let (time_wait_client, time_wait_server) = time_wait(point.t + interval);
        TimelinePoint {
            t: point.t,
            ok: point.ok,
            failed: point.failed.into_iter().collect(),
            time_wait_client,
            time_wait_server,
            open: None,
            p99_us: point.p99_us,
        }
    });
    points.collect()
}
