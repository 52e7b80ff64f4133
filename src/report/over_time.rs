//! The plot of a trial over time.

use super::number;
use super::plot::{Fold, axis, bars, resampled};
use super::style::Style;
use crate::record::schema::TimelinePoint;

/// ok/s, failures/s and TIME_WAIT of both ends, a line each, over one axis.
pub(super) fn over_time(timeline: &[TimelinePoint], style: Style) -> Vec<String> {
    const NAME: usize = 12;
    const PLOT: usize = 40;
    let [first, second, ..] = timeline else { return vec![] };
    let interval = second.t - first.t;
    if interval <= 0.0 {
        return vec![];
    }
    let rate = |value: u64| value as f64 / interval;
    let levels = |side: fn(&TimelinePoint) -> Option<u64>| -> Vec<f64> {
        timeline.iter().map(|point| side(point).unwrap_or(0) as f64).collect()
    };
    // Of a program of somebody else's every connection that it opened.
    let foreign = timeline.iter().any(|point| point.open.is_some());
    let series = [
        ("open", levels(|point| point.open), Fold::Max),
        (
            if foreign { "opened/s" } else { "ok/s" },
            timeline.iter().map(|point| rate(point.ok)).collect(),
            Fold::Mean,
        ),
        (
            "failed/s",
            timeline
                .iter()
                .map(|point| rate(point.failed.values().fold(0, |sum, count| sum.saturating_add(*count))))
                .collect(),
            Fold::Mean,
        ),
        ("TW client", levels(|point| point.time_wait_client), Fold::Max),
        ("TW server", levels(|point| point.time_wait_server), Fold::Max),
    ];
    let mut lines = Vec::new();
    for (name, values, fold) in series {
        if values.iter().any(|value| *value > 0.0) {
            let columns = resampled(&values, PLOT, fold);
            let full = columns.iter().copied().fold(0.0, f64::max);
            let scale = style.dim(&format!("█ = {}", number::per_second_of(full)));
            lines.push(format!("{name:<NAME$}{}  {scale}", bars(&columns)));
        }
    }
    let end = timeline.len() as f64 * interval;
    let axis = axis(
        PLOT,
        &number::seconds(round_tenth(end)),
        &number::seconds(round_tenth(end / 2.0)),
    );
    lines.extend(axis.map(|line| format!("{}{}", " ".repeat(NAME), style.dim(&line))));
    lines
}

fn round_tenth(seconds: f64) -> f64 {
    if seconds < 1.0 {
        seconds
    } else {
        (seconds * 10.0).round() / 10.0
    }
}
