//! The report card of a program that ran in the lab: one screen, figures above, what follows from them below.
//!
//! What the record lacks is left out or told as unknown, never shown as 0.

mod connections;
mod ports;

use self::connections::spread;
use super::advice::{advise, percent};
use super::measured::time_wait;
use super::over_time::over_time;
use super::style::Style;
use super::table::{aligned, wrapped};
use super::terminal::{BODY, Screen};
use super::trust::ledger;
use super::{asked, number};
use crate::record::schema::{Closings, Connects, ExecEndKind, ExecRan, Record};

/// Renders one record of `linger exec`.
#[must_use]
pub(super) fn card(record: &Record, style: Style) -> String {
    let mut screen = Screen::new(style);
    let Some(exec) = &record.exec else {
        return not_run(record, screen);
    };
    screen.section("command", wrapped(&exec.command.join(" "), BODY));
    screen.section("ended", wrapped(&ended(exec), BODY));
    screen.section("server", wrapped(&server(record, exec), BODY));
    screen.section("lab", asked::lab(record));
    screen.gap();
    screen.section("connections", connections::lines(record, exec));
    screen.section(
        "closed first",
        record.closings.as_ref().map(closed_first).unwrap_or_default(),
    );
    screen.section("manners", manners(record, exec));
    screen.section(
        "TIME_WAIT",
        record.time_wait.as_ref().map(time_wait).unwrap_or_default(),
    );
    screen.section("ports", ports::lines(exec));
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

/// Where the lab or the server could not be had: what was to run, and why it did not.
fn not_run(record: &Record, mut screen: Screen) -> String {
    let text = |pointer| record.scenario.pointer(pointer).and_then(serde_json::Value::as_str);
    screen.section("command", wrapped(text("/exec/command").unwrap_or_default(), BODY));
    let server = text("/exec/server").map(|server| match server {
        "built-in" => format!("built in, {}", text("/exec/protocol").unwrap_or("none")),
        command => format!("`{command}`"),
    });
    screen.section("server", wrapped(&server.unwrap_or_default(), BODY));
    screen.section(
        "not run",
        record.verdict.reasons.iter().flat_map(|why| as_printed(why)).collect(),
    );
    screen.text
}

/// Wrapped, except that what somebody else printed keeps its lines.
fn as_printed(text: &str) -> Vec<String> {
    let (reason, remedy) = match text.split_once("; to mend it: ") {
        Some((reason, remedy)) => (reason, Some(format!("to mend it: {remedy}"))),
        None => (text, None),
    };
    let lines = reason.lines().chain(remedy.as_deref());
    lines
        .flat_map(|line| match line.strip_prefix("  |") {
            Some(printed) => vec![format!("|{printed}")],
            None => wrapped(line, BODY),
        })
        .collect()
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

fn server(record: &Record, exec: &ExecRan) -> String {
    let server = &exec.server;
    let what = match &server.command {
        Some(command) => format!("`{command}`"),
        None if record.scenario.pointer("/server/listen") == Some(&false.into()) => "none listens".to_owned(),
        None => format!("built in, {}", server.protocol),
    };
    let ended = server
        .ended
        .as_ref()
        .map(|ended| format!("; it {ended}"))
        .unwrap_or_default();
    format!("{what}, at {}{ended}", server.address)
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

fn failures(record: &Record, exec: &ExecRan) -> Vec<String> {
    let opened = exec.connections.opened.unwrap_or(0);
    let calls = |connects: &Connects| calls(connects, opened);
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
fn calls(connects: &Connects, opened: u64) -> Vec<String> {
    if connects.attempts == 0 && opened > 0 {
        return vec!["no call was seen".to_owned()];
    }
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
        assert!(
            text.contains("2,000 opened within 2.1 s, 951.9 conn/s; no request\n"),
            "{text}"
        );
    }
}
