//! The card's lines about connections: how many, at what pace, how many at once, for how long.

use super::super::advice::FEW;
use super::super::number;
use super::super::table::wrapped;
use super::super::terminal::BODY;
use crate::record::schema::{Closings, ExecRan, Latency, Record};

/// From this many times the even pace on, connections came in bursts.
const BURSTS: f64 = 1.25;

pub(super) fn lines(record: &Record, exec: &ExecRan) -> Vec<String> {
    let connections = &exec.connections;
    let Some(opened) = connections.opened else {
        return vec!["unknown: this kernel lacks a counter".to_owned()];
    };
    let rate = pace(exec);
    let mut lines = vec![match (connections.requests, connections.per_request) {
        (Some(requests), Some(ratio)) => format!(
            "{} opened{rate}; {}: {ratio:.3} connections a request",
            number::count(opened),
            number::things(requests, "request")
        ),
        (Some(0), None) => format!("{} opened{rate}; no request", number::count(opened)),
        _ => format!("{} opened{rate}", number::count(opened)),
    }];
    let conversations = record.server.as_ref().and_then(|server| server.conversations.as_ref());
    let setup = conversations.and_then(|said| said.setup).filter(|setup| *setup > 0);
    lines.extend(setup.map(|setup| format!("besides, {} of set-up and pings", number::things(setup, "message"))));
    if let Some(counts) = conversations.and_then(|said| said.requests_per_connection.as_ref()) {
        lines.push(format!(
            "requests on each: mean {:.1}, p50 {}, p90 {}, p99 {}, max {}",
            counts.mean,
            number::count(counts.p50),
            number::count(counts.p90),
            number::count(counts.p99),
            number::count(counts.max)
        ));
    }
    if let Some(closings) = &record.closings {
        let open = number::count(closings.concurrency.peak);
        lines.push(format!("open at once: at most {open}{}", busiest(closings, opened)));
        lines.extend(closings.lifetime.as_ref().map(|lifetime| spread("open for", lifetime)));
    }
    lines.extend(idle(record));
    lines.into_iter().flat_map(|line| wrapped(&line, BODY)).collect()
}

/// The rate while it opened connections, or over its whole life where the wire was not seen; of a handful there is none.
fn pace(exec: &ExecRan) -> String {
    let connections = &exec.connections;
    let few = connections.opened.is_none_or(|opened| opened < FEW);
    match (
        connections.opening_seconds,
        connections.opening_per_second,
        connections.opened_per_second,
    ) {
        (Some(seconds), Some(rate), _) if !few => {
            format!(" within {}, {}", number::seconds(seconds), number::rate(rate))
        }
        (Some(seconds), Some(_), _) => format!(" within {}", number::seconds(seconds)),
        (None, _, Some(rate)) if !few => format!(", {} over its whole life", number::rate(rate)),
        _ => String::new(),
    }
}

/// Told where connections come in bursts.
fn busiest(closings: &Closings, opened: u64) -> String {
    let Some(openings) = closings.openings.filter(|_| opened >= FEW) else {
        return String::new();
    };
    let even = opened as f64 * openings.busiest_seconds / openings.seconds;
    if openings.seconds <= openings.busiest_seconds || (openings.busiest as f64) < BURSTS * even {
        return String::new();
    }
    format!(
        "; opened within the busiest {}: {}",
        number::seconds(openings.busiest_seconds),
        number::count(openings.busiest)
    )
}

/// As the wire tells it, else as the built-in server does.
fn idle(record: &Record) -> Option<String> {
    const NAME: &str = "idle before its end";
    match record
        .closings
        .as_ref()
        .and_then(|closings| closings.idle_before_close.as_ref())
    {
        // To the millisecond, 0 included.
        Some(idle) if idle.max_us < 999.5 => Some(format!("{NAME}: less than 1 ms")),
        Some(idle) => {
            let told = |us: f64| match us {
                us if us < 999.5 => "<1 ms".to_owned(),
                us if us < 999_500.0 => format!("{:.0} ms", us / 1e3),
                us => number::micros(us),
            };
            Some(spread_as(NAME, idle, told))
        }
        None => {
            let said = record.server.as_ref()?.conversations.as_ref()?;
            said.idle_before_close.as_ref().map(|idle| spread(NAME, idle))
        }
    }
}

pub(super) fn spread(name: &str, latency: &Latency) -> String {
    spread_as(name, latency, number::micros)
}

fn spread_as(name: &str, latency: &Latency, told: impl Fn(f64) -> String) -> String {
    format!(
        "{name}: p50 {}, p90 {}, p99 {}, max {}",
        told(latency.p50_us),
        told(latency.p90_us),
        told(latency.p99_us),
        told(latency.max_us)
    )
}
