//! Sums up what a foreign program did into its record.

use std::time::SystemTime;

use nix::sys::signal::Signal;

use super::forecast;
use super::{End, Exec, Results};
use crate::foreign::{Ended, How};
use crate::lab::Unavailable;
use crate::lab::machine::Machine;
use crate::load::server::Served;
use crate::observe::Observed;
use crate::record::ledger::{Counted, ExecBooks, reconcile_exec};
use crate::record::schema::{
    Closings, Connects, Environment, ExecConnections, ExecEnd, ExecEndKind, ExecPorts, ExecRan, ExecServer, Ledger,
    Prediction, Record, TimelinePoint,
};
use crate::scenario::plan::TrialPlan;
use crate::trial::books::observed::{counters, time_wait, time_wait_at};
use crate::trial::books::{blank, environment, not_built};

/// What shells give for a program that is not there, and for one that cannot be executed.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// A record with everything that is known before the program starts.
fn begun(plan: &TrialPlan, exec: &Exec<'_>, machine: &Machine, at: SystemTime) -> Record {
    let mut record = blank(plan, machine, at);
    if let Some(keys) = record.scenario.as_object_mut() {
        // The program is the load.
        keys.remove("load");
        let server = exec.server_command.unwrap_or("built-in");
        keys.insert(
            "exec".to_owned(),
            serde_json::json!({
                "server": server,
                "protocol": exec.protocol_name(),
                "port": exec.port,
                "response_bytes": plan.load.response_bytes,
            }),
        );
    }
    record
}

pub(super) fn unavailable(
    plan: &TrialPlan,
    exec: &Exec<'_>,
    machine: &Machine,
    at: SystemTime,
    why: &Unavailable,
) -> Record {
    let mut record = begun(plan, exec, machine, at);
    // Where there is no section `exec`, what was to run would be told nowhere. Such a record is compared with none.
    if let Some(asked) = record
        .scenario
        .pointer_mut("/exec")
        .and_then(serde_json::Value::as_object_mut)
    {
        asked.insert("command".to_owned(), exec.command_words().join(" ").into());
    }
    not_built(record, why)
}

/// The record of a program that ran, or did not start. Its verdict is left to the judge.
pub(super) fn record(plan: &TrialPlan, exec: &Exec<'_>, machine: &Machine, at: SystemTime, results: Results) -> Record {
    let observed = &results.observed;
    let connections = connections(&results);
    let churn = forecast::churn(results.closings.as_ref(), &connections);
    let prediction = forecast::predict(plan, &results, &churn);
    let forecast = churn.forecast(&prediction);
    let mut record = Record {
        interrupted: results.interrupted,
        server: results.served.as_ref().map(Served::summary),
        time_wait: Some(time_wait(observed)),
        counters: Some(counters(observed)),
        observation: Some(observed.cost.clone()),
        timeline: timeline(results.closings.as_ref(), observed),
        ledger: Some(ledger(&results)),
        exec: Some(ExecRan {
            command: exec.command_words(),
            server: ExecServer {
                address: results.server.to_string(),
                protocol: exec.protocol_name(),
                command: exec.server_command.map(str::to_owned),
                ended: results.server_ended.clone(),
            },
            ended: end(&results.end),
            seconds: ended(&results.end).map_or(0.0, |ended| ended.after.as_secs_f64()),
            cpu_seconds: ended(&results.end).map_or(0.0, |ended| ended.cpu_seconds),
            left_behind: ended(&results.end).map_or(0, |ended| ended.left_behind),
            ports: ports(&results, &prediction),
            unknown: unknown(exec, &results, &connections),
            connections,
            forecast,
            notes: results.notes,
        }),
        environment: Environment {
            lab: results.lab,
            sysctl: results.sysctl,
            ..environment(machine)
        },
        prediction: Some(prediction),
        ..begun(plan, exec, machine, at)
    };
    record.closings = results.closings;
    // Nothing but zeros where nobody looked; why is told among what is unknown.
    record.connects = match results.end {
        End::Ran { ended, .. } => ended.connects.filter(|connects| connects.way.is_some()),
        End::NotStarted { .. } => None,
    };
    record
}

fn ended(end: &End) -> Option<&Ended> {
    match end {
        End::Ran { ended, .. } => Some(ended),
        End::NotStarted { .. } => None,
    }
}

fn end(end: &End) -> ExecEnd {
    let ran = |kind, code, signal, timed_out| ExecEnd {
        kind,
        code,
        signal,
        timed_out,
        why: None,
    };
    match end {
        End::NotStarted { why, not_found } => ExecEnd {
            kind: ExecEndKind::NotStarted,
            code: Some(if *not_found { NOT_FOUND } else { NOT_EXECUTABLE }),
            signal: None,
            timed_out: false,
            why: Some(why.clone()),
        },
        End::Ran { ended, timed_out } => match ended.how {
            How::Exited(code) => ran(ExecEndKind::Exit, Some(code), None, *timed_out),
            How::Signal { number, .. } => {
                let name = Signal::try_from(number).map_or_else(|_| number.to_string(), |signal| signal.to_string());
                ran(ExecEndKind::Signal, Some(128 + number), Some(name), *timed_out)
            }
            How::Lost => ran(ExecEndKind::Lost, None, None, *timed_out),
        },
    }
}

/// By the kernel's counters; who closed first, by what was seen.
fn connections(results: &Results) -> ExecConnections {
    let (client, server) = &results.observed.counters;
    let count = |name: &str| client.get(name).and_then(|count| u64::try_from(*count).ok());
    let shared = server.is_none();
    let whole = results
        .closings
        .as_ref()
        .filter(|closings| closings.incomplete.is_empty());
    let accepted = server.as_ref().unwrap_or(client).get("PassiveOpens").copied();
    let accepted = accepted.and_then(|count| u64::try_from(count).ok());
    let failed = count("AttemptFails");
    // In a namespace of its own the client's passive opens are those of the program itself.
    let to_itself = if shared { Some(0) } else { count("PassiveOpens") };
    let opened = count("ActiveOpens")
        .zip(failed)
        .zip(to_itself)
        .map(|((opens, failed), to_itself)| opens.saturating_sub(failed + to_itself));
    // An attempt that nothing answered and the program gave up is in no counter of failures.
    let opened = whole.map(|closings| closings.established).or(opened);
    let openings = results.closings.as_ref().and_then(|closings| closings.openings);
    let conversations = results.served.as_ref().and_then(|served| served.conversations.as_ref());
    let requests = conversations.map(|conversations| conversations.requests);
    let seconds = ended(&results.end).map(|ended| ended.after.as_secs_f64());
    let rate = |count: Option<u64>| Some(count? as f64 / seconds.filter(|seconds| *seconds > 0.0)?);
    let (client_first_share, told_by) = client_first(results);
    ExecConnections {
        opened,
        accepted,
        failed,
        opened_per_second: rate(opened),
        opening_seconds: openings.map(|openings| openings.seconds),
        opening_per_second: openings
            .zip(opened)
            .and_then(|(openings, opened)| forecast::pace(opened, openings.seconds)),
        requests,
        requests_per_second: rate(requests),
        per_request: opened
            .zip(requests)
            .and_then(|(opened, requests)| share(opened, requests)),
        client_first_share,
        told_by,
    }
}

fn share(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}

fn client_first(results: &Results) -> (Option<f64>, Option<String>) {
    if let Some(closings) = &results.closings {
        let first = closings.closed_first;
        let all = first.client_fin + first.client_rst + first.server_fin + first.server_rst + first.simultaneous;
        let holding = closings.time_wait.client + closings.time_wait.both;
        return (share(holding, all), (all > 0).then(|| "packets".to_owned()));
    }
    let Some(counts) = results.served.as_ref().map(|served| &served.counts) else {
        return (None, None);
    };
    let all = counts.closed_by_peer + counts.closed_first + counts.reset_by_peer;
    let told = (all > 0).then(|| "server".to_owned());
    (share(counts.closed_by_peer, all), told)
}

fn ports(results: &Results, prediction: &Prediction) -> ExecPorts {
    let closings = results.closings.as_ref();
    let all = prediction.capacity.unwrap_or(u64::MAX);
    let peak = closings
        .and_then(|closings| closings.client_taken_peak)
        .map(|peak| peak.min(all));
    ExecPorts {
        usable: prediction.usable_ports,
        held_at_end: results.observed.client_ports.unwrap_or_default().ports,
        peak_at_most: peak,
        share_at_most: peak.and_then(|peak| share(peak, prediction.usable_ports)),
        not_found: ended(&results.end).and_then(|ended| Some(not_found(observed(ended.connects.as_ref()?)?))),
    }
}

/// None where nobody looked at the calls.
fn observed(connects: &Connects) -> Option<&Connects> {
    Some(connects).filter(|connects| connects.way.is_some())
}

fn not_found(connects: &Connects) -> u64 {
    let failed = connects.failed.iter().filter(|failed| failed.errno == "EADDRNOTAVAIL");
    failed.map(|failed| failed.count).sum()
}

fn ledger(results: &Results) -> Ledger {
    let (client, server) = &results.observed.counters;
    let counted = match server {
        Some(server) => Counted::Apart { client, server },
        None => Counted::Together(client),
    };
    let ledger = reconcile_exec(&ExecBooks {
        accepted: results.served.as_ref().map(|served| served.counts.accepted),
        closings: results.closings.as_ref(),
        counted,
        held: [results.observed.client.held, results.observed.server.held],
        seconds: results.observed.end_seconds,
        kernel: (results.facts.kernel.major, results.facts.kernel.minor),
    });
    Ledger {
        unsettled: results.unsettled.clone(),
        ..ledger
    }
}

/// That connections came otherwise than by connect(), whose failures would then be unknown, too.
fn opened_unseen(results: &Results, opened: Option<u64>) -> Option<String> {
    let connects = observed(ended(&results.end)?.connects.as_ref()?)?;
    let seen = connects.ok + connects.failed_later + connects.unknown + connects.connecting_at_end;
    let unseen = opened?.checked_sub(seen).filter(|unseen| *unseen > 0)?;
    Some(format!(
        "what the opening of {unseen} connections gave the program: it opened them without a connect() that was seen (TCP Fast \
         Open, io_uring, …)"
    ))
}

fn unknown(exec: &Exec<'_>, results: &Results, connections: &ExecConnections) -> Vec<String> {
    let mut unknown = results.unknown.clone();
    if exec.server_command.is_some() {
        unknown.push("requests, and whether a quit came first: a real server is not asked".to_owned());
    }
    unknown.extend(opened_unseen(results, connections.opened));
    if let Some(connects) = ended(&results.end).and_then(|ended| ended.connects.as_ref()) {
        unknown.extend(connects.notes.iter().cloned());
        if connects.way.is_none() {
            unknown.push(
                "connect() calls that failed before a segment was sent, such as by EADDRNOTAVAIL, and every errno"
                    .to_owned(),
            );
        }
    }
    if results.shared {
        unknown.push("which side a counter is of: both share one namespace".to_owned());
    }
    if let Some(closings) = &results.closings {
        unknown.extend(closings.incomplete.iter().cloned());
        let server_tells = results
            .served
            .as_ref()
            .is_some_and(|served| served.conversations.is_some());
        if closings.lifetime.is_some() && closings.idle_before_close.is_none() && !server_tells {
            unknown.push(
                "how long connections were idle before their end: the segments that ended them carry no timestamps"
                    .into(),
            );
        }
    }
    unknown
}

/// Connections opened and open by interval, as seen on the wire, with the TIME_WAIT counts at their ends.
fn timeline(closings: Option<&Closings>, observed: &Observed) -> Vec<TimelinePoint> {
    let Some(closings) = closings else { return vec![] };
    let interval = closings.concurrency.interval_seconds;
    let mut time_wait = time_wait_at(observed);
    let points = closings.concurrency.over_time.iter().map(|point| {
        let (time_wait_client, time_wait_server) = time_wait(point.t + interval);
        TimelinePoint {
            t: point.t,
            ok: point.opened,
            failed: Default::default(),
            time_wait_client,
            time_wait_server,
            open: Some(point.peak),
            p99_us: None,
        }
    });
    points.collect()
}
