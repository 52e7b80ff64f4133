//! What was asked and where it ran, in words.
//!
//! Reads the plan as the JSON that it is in a record, and leaves out what is not there: the record may come from an
//! older or newer program than this one.

use serde_json::Value;

use super::table::wrapped;
use super::terminal::BODY;
use super::{number, plain};
use crate::record::schema::{Clock, Record};

/// The plan in words. Keys that this record's plan lacks are left out: it may be older or newer than this program.
pub(super) fn asked(plan: &Value) -> Vec<String> {
    let text = |pointer| text_at(plan, pointer);
    let count = |pointer| plan.pointer(pointer).and_then(Value::as_u64);
    let seconds = |pointer| {
        plan.pointer(pointer)
            .and_then(Value::as_f64)
            .filter(|value| *value > 0.0)
    };
    if let Some(steps) = plan.pointer("/steps").and_then(Value::as_array) {
        return vec![format!("a sequence of {}", number::things(steps.len() as u64, "step"))];
    }
    let closing = text("/close/closer")
        .zip(text("/close/mode"))
        .map(|(closer, mode)| match mode.as_str() {
            "quit-close" => "both ends close for the client's quit, quit-close".to_owned(),
            _ => format!("{closer} closes first, {mode}"),
        });
    let is_pool = plan.pointer("/pool").is_some();
    let arrival = text("/load/arrival").map(|arrival| match seconds("/load/rate") {
        Some(rate) if is_pool => format!("arrival {arrival} at {} requests/s", number::per_second_of(rate)),
        Some(rate) => format!("arrival {arrival} at {}", number::rate(rate)),
        None => format!("arrival {arrival}"),
    });
    let bounds = [
        count("/load/requests").map(|requests| number::things(requests, "request")),
        count("/load/connections").map(|connections| number::things(connections, "connection")),
        seconds("/load/duration").map(number::seconds),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    let exchange = text("/server/protocol")
        .filter(|protocol| protocol != "none")
        .map(|protocol| {
            let requests = number::things(count("/load/requests_per_connection").unwrap_or(0), "request");
            let size = |pointer| number::bytes(count(pointer).unwrap_or(0));
            let (sent, received) = (size("/load/request_bytes"), size("/load/response_bytes"));
            match is_pool {
                true => format!("{protocol}: {sent} sent and {received} received a request"),
                false => format!("{protocol}: {requests} a connection, {sent} sent and {received} received each"),
            }
        });
    let program = text("/server/exec").map(|command| format!("served by `{command}`, not by linger"));
    let loads = [
        Some(bounds.join(" or ")).filter(|bounds| !bounds.is_empty()),
        arrival,
        count("/load/in_flight").map(|number| format!("at most {} in flight", number::count(number))),
        seconds("/load/hold").map(|hold| format!("each held open {}", number::seconds(hold))),
    ];
    [
        joined([closing, endpoints(plan)]),
        joined(loads),
        exchange,
        pool(plan),
        program,
    ]
    .into_iter()
    .flatten()
    .flat_map(|line| wrapped(&line, BODY))
    .collect()
}

/// `a pool of 8, min_idle 8, lifo`: what is off is left out.
fn pool(plan: &Value) -> Option<String> {
    let size = plan.pointer("/pool/size")?.as_u64()?;
    let at = |key: &str| plan.pointer(&format!("/pool/{key}"));
    let span = |key: &str| at(key).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
    let named = |key: &str| at(key).and_then(Value::as_str).map(str::to_owned);
    let closes = named("on_return").is_some_and(|on_return| on_return == "close");
    let parts = [
        Some(format!("a pool of {size}")),
        closes.then(|| "each connection closed on return".to_owned()),
        at("min_idle")
            .and_then(Value::as_u64)
            .filter(|idle| *idle > 0)
            .map(|idle| format!("min_idle {idle}")),
        span("max_lifetime").map(|life| format!("max_lifetime {}", number::seconds(life))),
        span("idle_timeout").map(|idle| format!("idle_timeout {}", number::seconds(idle))),
        named("validation")
            .filter(|how| how != "none")
            .map(|how| format!("validation {how}")),
        named("order").filter(|_| !closes),
        span("borrow_timeout").map(|wait| format!("borrow_timeout {}", number::seconds(wait))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(parts.join(", "))
}

/// `1 source (ephemeral) × 4 destinations (2 addresses × 2 ports)`.
fn endpoints(plan: &Value) -> Option<String> {
    let count = |pointer| plan.pointer(pointer).and_then(Value::as_u64);
    let sources = number::things(count("/client/addresses")?, "source");
    let how = text_at(plan, "/client/source")?;
    let (addresses, ports) = (count("/server/addresses")?, count("/server/ports")?);
    let mut destinations = number::things(addresses.saturating_mul(ports), "destination");
    if addresses > 1 && ports > 1 {
        let (addresses, ports) = (number::things(addresses, "address"), number::things(ports, "port"));
        destinations.push_str(&format!(" ({addresses} × {ports})"));
    }
    if plan.pointer("/server/listen") == Some(&Value::Bool(false)) {
        destinations.push_str(", where nobody listens");
    }
    Some(format!("{sources} ({how}) × {destinations}"))
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

pub(super) fn lab(record: &Record) -> Vec<String> {
    let environment = &record.environment;
    let hz = environment.hz.map(|hz| format!("HZ {hz}"));
    let clock = environment.coarse_clock().map(|step| {
        let source = environment.clock_source.as_deref().unwrap_or("of unknown source");
        format!("the clock ({source}) ticks at {}", number::seconds(step as f64 / 1e9))
    });
    let virtual_machine = (environment.virtual_machine == Some(true)).then(|| "virtual machine".to_owned());
    let emulated = (environment.emulated).then(|| "emulated (times are the emulator's)".to_owned());
    let virtual_time = (environment.clock == Clock::Virtual).then(|| "virtual time".to_owned());
    let was_seen = environment.was_seen();
    let kernel = match was_seen {
        true => format!("Linux {} {}", environment.kernel, environment.machine),
        false => format!("no machine came up for `{}`", environment.kernel),
    };
    let cpus = was_seen.then(|| number::things(environment.cpus.into(), "CPU"));
    let parts = [
        Some(environment.lab.clone()),
        Some(kernel),
        cpus,
        hz,
        clock,
        virtual_machine,
        emulated,
        virtual_time,
    ];
    let mut lines = wrapped(&joined(parts).unwrap_or_default(), BODY);
    let effective = &environment.sysctl;
    for (side, values) in [("client", &effective.client), ("server", &effective.server)] {
        let Some(Value::Object(set)) = record.scenario.pointer(&format!("/sysctl/{side}")) else {
            continue;
        };
        for (name, wanted) in set {
            let value = values.get(name).cloned().unwrap_or_else(|| plain(wanted));
            lines.push(format!("{side} {name} = {value}"));
        }
    }
    lines
}

pub(super) fn text_at(json: &Value, pointer: &str) -> Option<String> {
    json.pointer(pointer).filter(|value| !value.is_null()).map(plain)
}
