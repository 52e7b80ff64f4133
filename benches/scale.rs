//! Millions of TIME_WAIT: what connect() then costs, what the kernel's memory comes to, and what observing takes.
//!
//! `cargo bench --bench scale [-- MILLIONS]`: runs benches/million.toml (1) or benches/four-million.toml (4) with this
//! build's `linger`, as a user would, and before and after it the same with 10,000 connections, to have a connect() with
//! none. Takes one to five minutes.

mod common;

use std::time::Duration;

use common::report::{Report, figure};
use common::{numbers, trial};
use linger::observe::slab;
use serde_json::Value;

/// A load after which next to nothing is in TIME_WAIT.
const NONE: u64 = 10_000;

fn run(file: &str, connections: u64) -> Value {
    settle();
    trial(file, &[format!("load.connections={connections}")])
}

/// Waits until the kernel has freed the TIME_WAIT of namespaces that are gone, or a minute.
fn settle() {
    let waiting = || -> Option<u64> { Some(slab::read()?.get("tw_sock_TCP")?.active_objects) };
    for _ in 0..300 {
        if waiting().is_none_or(|sockets| sockets < 20_000) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn add(report: &mut Report, name: &str, value: &Value) {
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let figures = [
        ("ok", number("/outcomes/ok")),
        ("load_seconds", number("/rates/load_seconds")),
        ("client_cpu_seconds", number("/rates/client_cpu_seconds")),
        ("server_cpu_seconds", number("/rates/server_cpu_seconds")),
        ("connect_p50_us", number("/latency/connect/p50_us")),
        ("call_p50_us", number("/latency/connect_call/p50_us")),
        ("time_wait_peak", number("/time_wait/client/peak")),
        ("time_wait_end", number("/time_wait/client/end")),
        ("memory_predicted", number("/memory/predicted_bytes")),
        ("memory_measured", number("/memory/measured_bytes")),
        ("observed_share", number("/observation/share_of_core")),
        ("observed_cpu_seconds", number("/observation/cpu_seconds")),
        ("last_look_cpu_seconds", number("/observation/last_look/cpu_seconds")),
        ("last_look_sockets", number("/observation/last_look/sockets")),
        ("longest_gap_seconds", number("/observation/longest_gap_seconds")),
    ];
    let mut round = figure(&[("load", name)], 1, &figures);
    round["call_by_fill"] = by_fill(value).into();
    round["looks"] = value.pointer("/observation/looks").cloned().unwrap_or_default();
    round["last_look_by"] = value.pointer("/observation/last_look/by").cloned().unwrap_or_default();
    report.round(round);
}

/// The connect() call's p50 in microseconds, by how full the destinations were: from the emptiest on. All of them fill
/// alike, so that it is by how many TIME_WAIT there were, too, within one load.
fn by_fill(value: &Value) -> Vec<f64> {
    let rows = value.pointer("/latency/connect_call_by_fill").and_then(Value::as_array);
    let p50 = |row: &Value| row.pointer("/ok/p50_us").and_then(Value::as_f64);
    rows.into_iter().flatten().filter_map(p50).collect()
}

fn main() {
    let [millions] = numbers([1]);
    let (name, title, file) = match millions {
        4 => (
            "scale-4",
            "Four million connections that end in TIME_WAIT",
            "benches/four-million.toml",
        ),
        _ => ("scale-1", "A million TIME_WAIT", "benches/million.toml"),
    };
    let mut report = Report::named(
        name,
        "scale",
        title,
        &format!("`linger run {file}`, and before and after it the same with {NONE} connections."),
    );
    let (before, many, after) = (run(file, NONE), run(file, millions * 1_000_000), run(file, NONE));
    for record in [&before, &after] {
        add(&mut report, "few", record);
    }
    add(&mut report, "many", &many);
    let steps = by_fill(&many);
    let few = |figure| report.median(&[("load", "few")], figure);
    let many = |figure| report.median(&[("load", "many")], figure);
    let (ok, seconds, peak) = (many("ok"), many("load_seconds"), many("time_wait_peak"));
    let (client, server) = (many("client_cpu_seconds"), many("server_cpu_seconds"));
    let (call, without) = (many("call_p50_us"), few("call_p50_us"));
    let (connect, connect_without) = (many("connect_p50_us"), few("connect_p50_us"));
    let (predicted, measured) = (many("memory_predicted"), many("memory_measured"));
    let share = many("observed_share");
    let lines = [
        "| what | figure |".to_owned(),
        "|---|---:|".to_owned(),
        format!("| connections that ended ok | {ok:.0} |"),
        format!("| the load took | {seconds:.1} s, {:.0} a second |", ok / seconds),
        format!("| CPU of the client and of the server | {client:.1} s and {server:.1} s |"),
        format!("| most TIME_WAIT at once | {peak:.0} |"),
        format!(
            "| connect() to established, p50 | {connect:.1} µs, {:.2} × that with none ({connect_without:.1} µs) |",
            connect / connect_without
        ),
        format!(
            "| the connect() call, p50 | {call:.1} µs, {:.2} × that with none ({without:.1} µs) |",
            call / without
        ),
        format!(
            "| the call in the load's last steps of 5 % of fill, and in its first | {:.1} µs and {:.1} µs, {:.2} × |",
            steps.last().unwrap_or(&f64::NAN),
            steps.first().unwrap_or(&f64::NAN),
            steps.last().unwrap_or(&f64::NAN) / steps.first().unwrap_or(&f64::NAN)
        ),
        format!(
            "| kernel memory, measured to predicted | {:.1} MB to {:.1} MB, {:.3} × |",
            measured / 1e6,
            predicted / 1e6,
            measured / predicted
        ),
        format!(
            "| observing took | {:.2} % of a core, {:.2} s of CPU |",
            share * 100.0,
            many("observed_cpu_seconds")
        ),
        format!(
            "| of that the last look | {:.3} s of CPU for {:.0} sockets |",
            many("last_look_cpu_seconds"),
            many("last_look_sockets")
        ),
        format!(
            "| longest time between two listings | {:.1} s |",
            many("longest_gap_seconds")
        ),
    ];
    for line in lines {
        report.line(&line);
    }
    report.write();
}
