//! The report card of a program that ran in the lab: one screen, figures above, what follows from them below.
//!
//! What the record lacks is left out or told as unknown, never shown as 0.

use super::advice::{advise, percent};
use super::measured::time_wait;
use super::over_time::over_time;
use super::style::Style;
use super::table::{aligned, wrapped};
use super::terminal::{BODY, Screen};
use super::trust::ledger;
use super::{asked, number};
use crate::record::schema::{Closings, Connects, ExecEndKind, ExecRan, Latency, Record};

/// Renders one record of `linger exec`.
#[must_use]
pub(super) fn card(record: &Record, style: Style) -> String {
    let mut screen = Screen::new(style);
    let Some(exec) = &record.exec else {
        return super::terminal::plain_trial(record, style);
    };
    screen.section("command", wrapped(&exec.command.join(" "), BODY));
    screen.section("ended", wrapped(&ended(exec), BODY));
    screen.section("server", wrapped(&server(exec), BODY));
    screen.section("lab", asked::lab(record));
    screen.gap();
    screen.section("connections", connections(record, exec));
    screen.section(
        "closed first",
        record.closings.as_ref().map(closed_first).unwrap_or_default(),
    );
    screen.section("manners", manners(record, exec));
    screen.section(
        "TIME_WAIT",
        record.time_wait.as_ref().map(time_wait).unwrap_or_default(),
    );
    screen.section("ports", ports(exec));
    screen.section("connect()", failures(record, exec));
    screen.gap();
    screen.section("over time", over_time(&record.timeline, style));
    screen.gap();
    screen.section("ledger", record.ledger.as_ref().map(ledger).unwrap_or_default());
    screen.section("unknown", points(exec.unknown.iter()));
    screen.section("notes", points(exec.notes.iter()));
    screen.section("doubts", doubts(record));
    screen.section("advice", points(advise(record).iter().map(ToString::to_string)));
    screen.text
}

fn ended(exec: &ExecRan) -> String {
    let ended = &exec.ended;
    let how = match (ended.kind, ended.code, &ended.signal) {
        (ExecEndKind::Exit, Some(code), _) => format!("exit code {code}"),
        (ExecEndKind::Signal, _, Some(signal)) => format!("by {signal}"),
        (ExecEndKind::NotStarted, ..) => return ended.why.clone().unwrap_or_else(|| "it did not start".to_owned()),
        _ => "killed from outside".to_owned(),
    };
    let timeout = if ended.timed_out { ", its time being over" } else { "" };
    let left = match exec.left_behind {
        0 => String::new(),
        left => format!(
            "; {} that it left behind killed",
            number::things(left.into(), "process")
        ),
    };
    format!(
        "{how}{timeout}, after {}; CPU {}{left}",
        number::seconds(exec.seconds),
        number::seconds(exec.cpu_seconds)
    )
}

fn server(exec: &ExecRan) -> String {
    let server = &exec.server;
    let what = match &server.command {
        Some(command) => format!("`{command}`"),
        None => format!("built in, {}", server.protocol),
    };
    let ended = server
        .ended
        .as_ref()
        .map(|ended| format!("; it {ended}"))
        .unwrap_or_default();
    format!("{what}, at {}{ended}", server.address)
}

fn connections(record: &Record, exec: &ExecRan) -> Vec<String> {
    let connections = &exec.connections;
    let Some(opened) = connections.opened else {
        return vec!["unknown: this kernel lacks a counter".to_owned()];
    };
    let rate = connections
        .opened_per_second
        .map(|rate| format!(", {}", number::rate(rate)))
        .unwrap_or_default();
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
        lines.push(format!("open at once: at most {open}"));
        lines.extend(closings.lifetime.as_ref().map(|lifetime| spread("open for", lifetime)));
    }
    let idle = conversations.and_then(|said| said.idle_before_close.as_ref());
    lines.extend(idle.map(|idle| spread("idle before its end", idle)));
    lines.into_iter().flat_map(|line| wrapped(&line, BODY)).collect()
}

fn spread(name: &str, latency: &Latency) -> String {
    format!(
        "{name}: p50 {}, p90 {}, p99 {}, max {}",
        number::micros(latency.p50_us),
        number::micros(latency.p90_us),
        number::micros(latency.p99_us),
        number::micros(latency.max_us)
    )
}

fn closed_first(closings: &Closings) -> Vec<String> {
    let first = &closings.closed_first;
    let kinds = [
        ("client, by FIN", first.client_fin),
        ("client, by RST", first.client_rst),
        ("server, by FIN", first.server_fin),
        ("server, by RST", first.server_rst),
        ("both at once", first.simultaneous),
        ("nobody till the end", closings.open_at_end),
    ];
    let all: u64 = kinds.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
    let rows: Vec<Vec<String>> = kinds
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(who, count)| {
            let share = percent(count as f64 / all as f64);
            vec![who.to_owned(), number::count(count), share]
        })
        .collect();
    let waited = closings.client_waited;
    let mut lines = aligned(&rows, 1);
    if waited.yes.saturating_add(waited.no) > 0 {
        lines.push(format!(
            "the client had the server's FIN when it closed on {} of {}",
            number::count(waited.yes),
            number::count(waited.yes.saturating_add(waited.no))
        ));
    }
    lines
}

/// What the built-in server heard of it.
fn manners(record: &Record, exec: &ExecRan) -> Vec<String> {
    let Some(said) = record.server.as_ref().and_then(|server| server.conversations.as_ref()) else {
        return vec![];
    };
    let has_quit = matches!(exec.server.protocol.as_str(), "mysql" | "memcached" | "redis");
    let told = [
        ("quit said on", said.quit, has_quit),
        (
            "closed by the server as idle:",
            said.idle_timeout,
            said.idle_timeout > 0,
        ),
        (
            "closed by the server after their last request:",
            said.max_requests,
            said.max_requests > 0,
        ),
        ("not understood:", said.malformed, said.malformed > 0),
        (
            "requests answered with an error:",
            said.errors_answered,
            said.errors_answered > 0,
        ),
    ];
    told.into_iter()
        .filter(|(.., shown)| *shown)
        .map(|(what, count, _)| format!("{what} {}", number::count(count)))
        .collect()
}

fn ports(exec: &ExecRan) -> Vec<String> {
    let ports = &exec.ports;
    let mut lines = vec![format!(
        "{} of {} held at the end",
        number::count(ports.held_at_end),
        number::count(ports.usable)
    )];
    if let (Some(peak), Some(share)) = (ports.peak_at_most, ports.share_at_most) {
        lines[0].push_str(&format!(
            "; at most {} ({}) in use at once",
            number::count(peak),
            percent(share)
        ));
    }
    if let Some(forecast) = &exec.forecast {
        let holding = number::per_second_of(forecast.holding_per_second);
        lines.push(match (forecast.ceiling_per_second, forecast.exhausted_after_seconds) {
            (Some(ceiling), Some(seconds)) => format!(
                "{holding} ports/s held; {} is the ceiling: used up after {}",
                number::rate(ceiling),
                number::forecast(seconds)
            ),
            (Some(ceiling), None) => format!(
                "{holding} ports/s held; {} is the ceiling: not used up at this rate",
                number::rate(ceiling)
            ),
            (None, _) => "no port stays held: ports set no ceiling".to_owned(),
        });
    }
    lines.into_iter().flat_map(|line| wrapped(&line, BODY)).collect()
}

fn failures(record: &Record, exec: &ExecRan) -> Vec<String> {
    let mut lines = record.connects.as_ref().map(calls).unwrap_or_default();
    if let Some(closings) = &record.closings {
        let attempts = [
            ("refused", closings.refused),
            ("unanswered", closings.unanswered),
            ("given up", closings.abandoned),
        ];
        let failed: Vec<String> = attempts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(how, count)| format!("{} {how}", number::count(count)))
            .collect();
        if !failed.is_empty() {
            lines.push(format!("on the wire: {}", failed.join(", ")));
        }
    } else if let Some(failed) = exec.connections.failed.filter(|failed| *failed > 0) {
        lines.push(format!("{} failed after the SYN (AttemptFails)", number::count(failed)));
    }
    lines
}

/// What connect() gave the program, by errno.
fn calls(connects: &Connects) -> Vec<String> {
    let mut gave = vec![format!("{} ok", number::count(connects.ok))];
    let failed = connects.failed.iter();
    gave.extend(failed.map(|failed| format!("{} {}", number::count(failed.count), failed.errno)));
    let others = [
        (connects.failed_later, "failed after EINPROGRESS"),
        (connects.unknown, "unknown"),
        (connects.connecting_at_end, "connecting at the end"),
    ];
    let others = others.iter().filter(|(count, _)| *count > 0);
    gave.extend(others.map(|(count, what)| format!("{} {what}", number::count(*count))));
    let mut lines = wrapped(
        &format!("{}: {}", number::things(connects.attempts, "attempt"), gave.join(", ")),
        BODY,
    );
    lines.extend(connects.call.as_ref().map(|call| spread("the call", call)));
    lines
}

fn points(texts: impl Iterator<Item = impl AsRef<str>>) -> Vec<String> {
    let mut lines = Vec::new();
    for text in texts {
        for (index, line) in wrapped(text.as_ref(), BODY - 2).into_iter().enumerate() {
            lines.push(format!("{} {line}", if index == 0 { "·" } else { " " }));
        }
    }
    lines
}

fn doubts(record: &Record) -> Vec<String> {
    use crate::record::schema::Status;
    if record.verdict.status == Status::Met {
        return vec![];
    }
    points(record.verdict.reasons.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::record::schema::ExecEnd;
    use crate::report::table::width;

    #[test]
    fn a_program_that_churns_fits_one_screen() {
        let text = card(&fixture::exec(), Style::plain());
        for line in text.lines() {
            assert!(width(line) <= 80, "wider than 80: {line}");
        }
        assert!(text.lines().count() <= 45, "{} lines", text.lines().count());
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_program_that_was_not_there_is_told_without_figures_of_its_own() {
        let mut record = fixture::exec();
        let exec = record.exec.as_mut().unwrap();
        exec.ended = ExecEnd {
            kind: ExecEndKind::NotStarted,
            code: Some(127),
            signal: None,
            timed_out: false,
            why: Some("cannot start `foo`: no such program on PATH".into()),
        };
        let text = card(&record, Style::plain());
        assert!(text.contains("cannot start `foo`"), "{text}");
        assert!(!text.contains("advice"), "{text}");
    }

    #[test]
    fn what_is_said_about_connections_is_told_apart_from_requests() {
        let mut record = fixture::exec();
        record.server.as_mut().unwrap().conversations.as_mut().unwrap().setup = Some(4_000);
        let text = card(&record, Style::plain());
        assert!(text.contains("besides, 4,000 messages of set-up and pings\n"), "{text}");
        let connections = &mut record.exec.as_mut().unwrap().connections;
        (connections.requests, connections.per_request) = (Some(0), None);
        let text = card(&record, Style::plain());
        assert!(text.contains("2,000 opened, 900 conn/s; no request\n"), "{text}");
    }
}
