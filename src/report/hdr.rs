//! HdrHistogram's own text forms of a record's latencies: the interval log, and the percentile distribution.
//!
//! The interval log (`.hlog`) loses nothing and is read by HistogramLogAnalyzer and HistogramLogProcessor; the percentile
//! text is what hdrhistogram's plotter reads. Both show values in µs; the histograms hold nanoseconds.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use thiserror::Error;

use crate::judge::compare::record_name;
use crate::record::histogram::LatencyHistogram;
use crate::record::schema::{Latencies, Record};

const NANOS_PER_MICRO: f64 = 1000.0;
/// Steps to each halving of the distance to 100 %, as HdrHistogram's own tools print them.
const TICKS_PER_HALF: u32 = 5;

/// Why a record's histogram was not read.
#[derive(Debug, Error)]
pub enum HdrError {
    #[error("{record}: {}.hdr is damaged: {reason}", path(.latency))]
    Damaged {
        record: String,
        latency: &'static str,
        reason: String,
    },
    #[error("no latency histogram in {count} records: {why}")]
    None { count: usize, why: &'static str },
    #[error("{record}: started_at is `{found}`, expected a time as 2026-01-31T12:00:00Z")]
    NoTime { record: String, found: String },
}

/// Every latency of these records as an interval log: a line each, tagged by the latency's name and the record's ordinal
/// (`connect` for one record, `connect.2` for the second of several).
///
/// # Errors
/// No histogram, one that cannot be decoded, or a start that is no time.
pub fn interval_log(records: &[Record]) -> Result<String, HdrError> {
    none_is_told(records)?;
    let (mut bytes, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("[linger: values are nanoseconds, maxima are shown in microseconds]");
    for (index, record) in records.iter().enumerate() {
        builder.add_comment(&format!("[record {}: {}]", index + 1, name(record)));
    }
    builder.with_max_value_divisor(NANOS_PER_MICRO);
    let mut log = builder
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("writing to memory");
    for (index, record) in records.iter().enumerate() {
        let began = began(record)?;
        let of_program = record.exec.as_ref().map_or(0.0, |exec| exec.seconds);
        let lasted = record.rates.as_ref().map_or(of_program, |rates| rates.load_seconds);
        let lasted = Duration::try_from_secs_f64(lasted).unwrap_or_default();
        for (latency, histogram) in histograms(record)? {
            let tag = if records.len() == 1 {
                latency.to_owned()
            } else {
                format!("{latency}.{}", index + 1)
            };
            log.write_histogram(&histogram, began, lasted, Tag::new(&tag))
                .expect("writing to memory");
        }
    }
    drop(log);
    Ok(String::from_utf8(bytes).expect("an interval log is text"))
}

/// Every latency of these records as a percentile distribution, values in µs, each under a comment with its name.
///
/// # Errors
/// No histogram, or one that cannot be decoded.
pub fn percentiles(records: &[Record]) -> Result<String, HdrError> {
    none_is_told(records)?;
    let mut text = String::new();
    for record in records {
        for (latency, histogram) in histograms(record)? {
            let separator = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{separator}#[{}: {}, µs]", name(record), path(latency));
            distribution(&histogram, &mut text);
        }
    }
    Ok(text)
}

/// Nothing to write is told, not written.
fn none_is_told(records: &[Record]) -> Result<(), HdrError> {
    for record in records {
        if !histograms(record)?.is_empty() {
            return Ok(());
        }
    }
    let why = if records.iter().any(|record| record.exec.is_some()) {
        "a program that opened no connection, or whose connections were not followed, has none; expected connects.call or \
         closings.lifetime"
    } else {
        "expected latency.connect or another of latency's or pool.latency's; a record of steps, or of a trial that did not begin, \
         has none"
    };
    Err(HdrError::None {
        count: records.len(),
        why,
    })
}

fn distribution(histogram: &Histogram<u64>, text: &mut String) {
    let us = |nanos: u64| nanos as f64 / NANOS_PER_MICRO;
    let _ = writeln!(
        text,
        "{:>12} {:>14} {:>10} {:>14}\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (us(step.value_iterated_to()), step.quantile_iterated_to());
        let _ = write!(text, "{value:>12.3} {quantile:>14.12} {total:>10}");
        let _ = if quantile < 1.0 {
            writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile))
        } else {
            writeln!(text)
        };
    }
    let (mean, deviation) = (histogram.mean() / NANOS_PER_MICRO, histogram.stdev() / NANOS_PER_MICRO);
    let _ = writeln!(text, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]");
    let _ = writeln!(
        text,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        us(histogram.max()),
        histogram.len()
    );
}

fn name(record: &Record) -> String {
    format!("{}, repeat {}", record_name(record), record.repeat)
}

fn began(record: &Record) -> Result<Duration, HdrError> {
    humantime::parse_rfc3339(&record.started_at)
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .ok_or_else(|| HdrError::NoTime {
            record: name(record),
            found: record.started_at.clone(),
        })
}

/// The record's key of a histogram's name.
fn path(latency: &str) -> String {
    match latency.split_once('.') {
        Some(("pool", latency)) => format!("pool.latency.{latency}"),
        // Of a foreign program: the record's own keys.
        Some(_) => latency.to_owned(),
        None => format!("latency.{latency}"),
    }
}

/// The record's histograms by name, in the order of the record.
fn histograms(record: &Record) -> Result<Vec<(&'static str, Histogram<u64>)>, HdrError> {
    let nothing = Latencies::default();
    let Latencies {
        connect,
        connect_call,
        // Rows of a few figures, no histograms.
        connect_call_by_fill: _,
        session,
        from_intended_start,
        connect_failed,
        lag,
    } = record.latency.as_ref().unwrap_or(&nothing);
    let of_pool = record.pool.as_ref().map(|pool| &pool.latency);
    let all = [
        ("connect", connect),
        ("connect_call", connect_call),
        ("session", session),
        ("from_intended_start", from_intended_start),
        ("connect_failed", connect_failed),
        ("lag", lag),
    ];
    let of_pool = of_pool.into_iter().flat_map(|pool| {
        [
            ("pool.borrow_wait", &pool.borrow_wait),
            ("pool.request", &pool.request),
            ("pool.from_intended_start", &pool.from_intended_start),
            ("pool.lag", &pool.lag),
        ]
    });
    // What a foreign program's connections took: its connect() calls, and what was seen of them on the wire.
    let of_calls = record
        .connects
        .as_ref()
        .map(|connects| ("connects.call", &connects.call));
    let on_the_wire = record.closings.as_ref().into_iter().flat_map(|closings| {
        [
            ("closings.handshake", &closings.handshake),
            ("closings.lifetime", &closings.lifetime),
            ("closings.half_closed", &closings.half_closed),
        ]
    });
    let of_program = of_calls
        .into_iter()
        .chain(on_the_wire)
        .filter(|_| record.exec.is_some());
    all.into_iter()
        .chain(of_pool)
        .chain(of_program)
        .filter_map(|(latency, summary)| Some((latency, &summary.as_ref()?.hdr)))
        .map(|(latency, hdr)| match LatencyHistogram::decode(hdr) {
            Ok(histogram) => Ok((latency, histogram.into_hdr())),
            Err(reason) => Err(HdrError::Damaged {
                record: name(record),
                latency,
                reason,
            }),
        })
        .collect()
}
