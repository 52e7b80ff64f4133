//! What was predicted and what came, in lines: prediction, outcomes, latency, rates, TIME_WAIT, memory.

use super::number;
use super::table::{aligned, wrapped};
use super::terminal::BODY;
use crate::record::schema::{
    Distribution, Failed, Latencies, Latency, LoadRan, Prediction, Record, Residual, SlabRow, TimeWait,
};

/// Predicted, measured, and what reality added. What cannot be compared is a dash.
pub(super) fn prediction(record: &Record) -> Vec<String> {
    let Some(prediction) = &record.prediction else {
        return vec![];
    };
    let none = Residual::default();
    let residual = record.residual.as_ref().unwrap_or(&none);
    let outcomes = record.outcomes.as_ref();
    let first = outcomes.and_then(|outcomes| outcomes.failed.first());
    // A load that does not last as long as TIME_WAIT says nothing of what can be sustained: only the model compares.
    let sustained = record
        .rates
        .as_ref()
        .filter(|_| residual.sustained_per_second.is_some());
    let undetermined = prediction.undetermined.is_some();
    let no_limit = || if undetermined { "not determined" } else { "no limit" }.to_owned();
    let no_failure = || outcomes.map(|_| "none".to_owned());
    let rows = [
        (
            "capacity",
            Some(prediction.capacity.map_or_else(no_limit, number::count)),
            outcomes.map(|outcomes| format!("{} ok", number::count(outcomes.ok))),
            residual.capacity.map(number::difference),
        ),
        (
            "first failing attempt",
            Some(prediction.first_failure_attempt.map_or_else(
                || if undetermined { "not determined" } else { "none" }.to_owned(),
                number::count,
            )),
            first
                .map(|first| number::count(first.first_attempt))
                .or_else(no_failure),
            residual.first_failure_attempt.map(number::difference),
        ),
        (
            "first failure at",
            prediction.first_failure_at.map(number::seconds),
            first.map(|first| number::seconds(first.first_at_seconds)),
            residual.first_failure_seconds.map(number::seconds),
        ),
        (
            "sustained rate",
            Some(prediction.sustained_per_second.map_or_else(no_limit, number::rate)),
            sustained.map(|rates| number::rate(rates.ok_per_second)),
            residual.sustained_per_second.map(|rate| format!("{rate:+.1}")),
        ),
    ];
    let mut table = vec![["", "predicted", "measured", "residual"].map(str::to_owned).to_vec()];
    for (name, predicted, measured, residual) in rows {
        if predicted.is_some() || measured.is_some() {
            let cells = [Some(name.to_owned()), predicted, measured, residual];
            table.push(cells.map(|cell| cell.unwrap_or_else(|| "–".to_owned())).to_vec());
        }
    }
    let mut lines = aligned_right(&table);
    lines.extend(because(prediction));
    lines
}

fn because(prediction: &Prediction) -> Vec<String> {
    let mut lines = Vec::new();
    for reason in &prediction.because {
        for (index, line) in wrapped(reason, BODY - 2).into_iter().enumerate() {
            lines.push(format!("{} {line}", if index == 0 { "·" } else { " " }));
        }
    }
    lines
}

pub(super) fn outcomes(record: &Record) -> Vec<String> {
    let Some(outcomes) = &record.outcomes else {
        return vec![];
    };
    let mut lines = Vec::new();
    let mut attempted = outcomes.ok.saturating_add(outcomes.failed_total);
    if let Some(offered) = &record.offered {
        attempted = offered.attempted;
        let planned = offered
            .planned
            .map(|planned| format!(" of {} planned", number::count(planned)));
        let line = format!(
            "{} attempted{}; {} not offered",
            number::count(offered.attempted),
            planned.unwrap_or_default(),
            number::count(offered.not_offered)
        );
        lines.push(line);
    }
    lines.extend(failure_table(outcomes.ok, attempted, &outcomes.failed));
    if let Some(requests) = record.requests {
        let text = format!(
            "{} sent, {} answered, {} of them with an error",
            number::things(requests.sent, "request"),
            number::count(requests.answered),
            number::count(requests.errors)
        );
        lines.extend(wrapped(&text, BODY));
    }
    lines
}

/// What ended ok and what failed, by kind.
pub(super) fn failure_table(ok: u64, attempted: u64, kinds: &[Failed]) -> Vec<String> {
    let mut table = vec![
        ["", "count", "share", "first at", "first attempt"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let blank = String::new;
    let (ok, share) = (number::count(ok), number::percent(ok, attempted));
    table.push(vec!["ok".to_owned(), ok, share, blank(), blank()]);
    for failed in kinds {
        table.push(vec![
            format!("{}:{}", failed.phase, failed.errno),
            number::count(failed.count),
            number::percent(failed.count, attempted),
            number::seconds(failed.first_at_seconds),
            number::count(failed.first_attempt),
        ]);
    }
    aligned_right(&table)
}

pub(super) fn latency(latencies: &Latencies) -> Vec<String> {
    let count = |latency: &Option<Latency>| latency.as_ref().map_or(0, |latency| latency.count);
    // A call that looks for a port in vain takes longer than one that finds it.
    let the_call = match count(&latencies.connect_call) > count(&latencies.connect) {
        true => "the call, failed too",
        false => "the call alone",
    };
    latency_table([
        ("connect()", &latencies.connect),
        (the_call, &latencies.connect_call),
        ("from intended start", &latencies.from_intended_start),
        ("begun late by", &latencies.lag),
        ("to the end of close()", &latencies.session),
        ("failed connect()", &latencies.connect_failed),
    ])
}

/// A row a latency that was measured.
pub(super) fn latency_table<const N: usize>(rows: [(&str, &Option<Latency>); N]) -> Vec<String> {
    let mut table = vec![["", "p50", "p90", "p99", "p99.9", "max"].map(str::to_owned).to_vec()];
    for (name, latency) in rows {
        if let Some(latency) = latency {
            let values = [
                latency.p50_us,
                latency.p90_us,
                latency.p99_us,
                latency.p999_us,
                latency.max_us,
            ];
            table.push([vec![name.to_owned()], values.map(number::micros).to_vec()].concat());
        }
    }
    if table.len() == 1 {
        vec![]
    } else {
        aligned_right(&table)
    }
}

/// A table of numbers: the last column is aligned right too.
pub(super) fn aligned_right(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| [row.clone(), vec![String::new()]].concat())
        .collect();
    aligned(&rows, 1)
}

pub(super) fn rates(record: &Record) -> Vec<String> {
    let Some(rates) = &record.rates else { return vec![] };
    let spun = record.load.as_ref().map_or(0.0, |load| load.spun_seconds);
    let spun = (spun > 0.0).then(|| format!(" ({} of it spun away until attempts were due)", number::seconds(spun)));
    let line = format!(
        "{} attempted, {} ok, over {}; CPU: client {}{}, server {}",
        number::rate(rates.attempts_per_second),
        number::rate(rates.ok_per_second),
        number::seconds(rates.load_seconds),
        number::seconds(rates.client_cpu_seconds),
        spun.unwrap_or_default(),
        number::seconds(rates.server_cpu_seconds)
    );
    let mut lines = wrapped(&line, BODY);
    lines.extend(record.load.iter().flat_map(load));
    lines
}

/// How the load was run, and what was in its way.
fn load(load: &LoadRan) -> Vec<String> {
    let threads = |count: u32, whose: &str| number::things(u64::from(count), &format!("{whose} thread"));
    let mut parts = vec![
        format!("engine {}", load.engine),
        threads(load.client_threads, "client"),
    ];
    // A program of somebody else's has threads of its own.
    parts.extend((load.server_threads > 0).then(|| threads(load.server_threads, "server")));
    parts.extend(load.pacing.as_ref().map(|pacing| format!("pacing {pacing}")));
    parts.extend(load.pinned.then(|| "pinned".to_owned()));
    parts.extend(load.descriptor_reused.then(|| "descriptors reused".to_owned()));
    parts.extend(load.source_port.as_ref().map(|how| format!("source port by {how}")));
    let mut lines = wrapped(&parts.join(", "), BODY);
    if let Some(bottleneck) = &load.bottleneck {
        let text = format!(
            "the rate was not kept: {}; {}",
            bottleneck.who,
            bottleneck.evidence.join("; ")
        );
        lines.extend(wrapped(&text, BODY));
    }
    lines
}

pub(super) fn time_wait(time_wait: &TimeWait) -> Vec<String> {
    let overdue = &time_wait.overdue;
    let row = |side: &str, peak, end, overdue| {
        [vec![side.to_owned()], [peak, end, overdue].map(number::count).to_vec()].concat()
    };
    let rows = [
        ["", "peak", "at the load's end", "overdue"].map(str::to_owned).to_vec(),
        row(
            "client",
            time_wait.client.peak,
            time_wait.client.end,
            overdue.client_peak,
        ),
        row(
            "server",
            time_wait.server.peak,
            time_wait.server.end,
            overdue.server_peak,
        ),
    ];
    let mut lines = aligned_right(&rows);
    if let Some(lifetime) = &time_wait.lifetime_seconds {
        let text = format!(
            "lifetime of {} by {}: {}",
            number::count(lifetime.count),
            time_wait.source,
            distribution(lifetime)
        );
        lines.extend(wrapped(&text, BODY));
    }
    lines
}

fn distribution(seconds: &Distribution) -> String {
    let at_least = seconds
        .max_at_least
        .map(|least| format!(" (at least {})", number::seconds(least)));
    format!(
        "min {}, p50 {}, p99 {}, max {}{} (each at most {} too high)",
        number::seconds(seconds.min),
        number::seconds(seconds.p50),
        number::seconds(seconds.p99),
        number::seconds(seconds.max),
        at_least.unwrap_or_default(),
        number::seconds(seconds.resolution_seconds)
    )
}

pub(super) fn port_reuse(record: &Record) -> Vec<String> {
    record.port_reuse_seconds.as_ref().map_or_else(Vec::new, |reuse| {
        wrapped(
            &format!("{} reused after {}", number::count(reuse.count), distribution(reuse)),
            BODY,
        )
    })
}

/// Caches that hold what a trial leaves behind: TIME_WAIT, ports that are taken, handshakes that hang. The others of the
/// record hold what any program of the machine has open.
const LEFT_BEHIND: [&str; 7] = [
    "tw_sock_TCP",
    "tw_sock_TCPv6",
    "request_sock_TCP",
    "request_sock_TCPv6",
    "tcp_bind_bucket",
    "tcp_bind2_bucket",
    "inet_bind_bucket",
];

/// Those of them that grew. What shrank or moved otherwise was no doing of the trial.
pub(super) fn memory(record: &Record) -> Vec<String> {
    let grew = |row: &&SlabRow| LEFT_BEHIND.contains(&row.cache.as_str()) && row.active_after > row.active_before;
    let rows = record.slab.iter().flatten().filter(grew).map(|row| {
        let more = row.active_after - row.active_before;
        format!(
            "{}: {} of {} B more, {}",
            row.cache,
            number::things(more, "object"),
            row.object_bytes,
            number::bytes(row.object_bytes.saturating_mul(more))
        )
    });
    let mut lines: Vec<String> = rows.collect();
    if !lines.is_empty() {
        lines.insert(0, "of the whole machine, not of the trial alone:".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn only_what_a_trial_leaves_behind_and_what_grew_is_shown() {
        let row = |cache: &str, active_after| SlabRow {
            cache: cache.into(),
            object_bytes: 256,
            active_before: 10,
            active_after,
        };
        let mut record = fixture::exhaustion();
        record.slab = Some(vec![
            row("tw_sock_TCP", 1_034),
            row("tcp_bind_bucket", 9),
            row("sock_inode_cache", 5_000),
        ]);
        assert_eq!(
            memory(&record),
            [
                "of the whole machine, not of the trial alone:",
                "tw_sock_TCP: 1,024 objects of 256 B more, 256.0 KiB"
            ]
        );
        record.slab = Some(vec![row("TCP", 5_000)]);
        assert!(memory(&record).is_empty());
    }
}
