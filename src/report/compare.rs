//! A comparison for people: a table for the terminal, and Markdown as CI services show it in a job's summary.
//!
//! Never a bare percentage: each ratio stands with its interval, the noise and the number of repeats.

use std::fmt::Write as _;

use crate::judge::compare::metrics::Direction;
use crate::judge::compare::rank_test::MOST_REPEATS;
use crate::judge::compare::stats::Interval;
use crate::judge::compare::{Change, Compared, Comparison, Group};
use crate::record::schema::Status;

const COLUMNS: [&str; 8] = ["metric", "base", "new", "new/base", "interval", "p", "noise", "verdict"];

/// The comparison as plain text; ends with a line feed.
#[must_use]
pub fn terminal(comparison: &Comparison) -> String {
    let mut text = format!("{}\n", title(comparison));
    for group in &comparison.groups {
        let _ = write!(text, "\n{}\n", group_line(group));
        text.push_str(&aligned(&table(group, comparison)));
    }
    if !comparison.limits.is_empty() {
        text.push_str("\nlimits\n");
        text.push_str(&aligned(&limits(comparison)));
    }
    for difference in &comparison.differences {
        let _ = writeln!(text, "differs: {difference}");
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = write!(text, "\n{}\n{}\n", reading(comparison), conclusion(comparison));
    text
}

/// The comparison as GitHub-flavoured Markdown; ends with a line feed.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!(
        "### {}\n\n**{}**\n",
        escaped(&title(comparison)),
        escaped(&conclusion(comparison))
    );
    if !comparison.limits.is_empty() {
        let _ = write!(text, "\n{}", piped(&limits(comparison)));
    }
    for group in &comparison.groups {
        let _ = write!(
            text,
            "\n#### {}\n\n{}",
            escaped(&group_line(group)),
            piped(&table(group, comparison))
        );
    }
    let differences = comparison
        .differences
        .iter()
        .map(|difference| format!("differs: {difference}"));
    let remarks: Vec<String> = differences.chain(comparison.notes.iter().cloned()).collect();
    if !remarks.is_empty() {
        text.push('\n');
        remarks
            .iter()
            .for_each(|remark| text.push_str(&format!("- {}\n", escaped(remark))));
    }
    let _ = write!(text, "\n{}\n", escaped(&reading(comparison)));
    text
}

fn title(comparison: &Comparison) -> String {
    let heading = comparison.heading.as_deref().unwrap_or("base against new");
    let mut ids: Vec<&str> = comparison.groups.iter().map(|group| group.id.as_str()).collect();
    ids.dedup();
    format!("{}: {heading}", ids.join(", "))
}

fn group_line(group: &Group) -> String {
    format!(
        "{} ({} against {} repeats)",
        group.name(),
        group.base_repeats,
        group.new_repeats
    )
}

/// How to read the table.
fn reading(comparison: &Comparison) -> String {
    format!(
        "Medians of repeats; interval: {} % bootstrap of new/base; p: Mann–Whitney, two-sided; noise: relative spread of \
         repeats; same: the interval is within {} % of no change.",
        percent(comparison.confidence),
        percent(comparison.effect)
    )
}

fn conclusion(comparison: &Comparison) -> String {
    let count = |status| comparison.limits.iter().filter(|limit| limit.status == status).count();
    let limits = comparison.limits.len();
    match comparison.status {
        Status::Unmet => format!("regression: {} of {limits} limits crossed", count(Status::Unmet)),
        Status::Met if limits == 0 => "no limit given, so nothing can fail (--fail-if)".to_owned(),
        Status::Met => format!("no regression: none of {limits} limits crossed"),
        Status::Inconclusive | Status::Unavailable if limits == 0 => {
            "inconclusive: no metric could be told from noise".to_owned()
        }
        Status::Inconclusive | Status::Unavailable => {
            format!(
                "inconclusive: {} of {limits} limits could not be judged",
                count(Status::Inconclusive)
            )
        }
    }
}

/// Rows of cells, the first of them the headings.
fn table(group: &Group, comparison: &Comparison) -> Vec<Vec<String>> {
    let mut columns = COLUMNS.map(str::to_owned);
    columns[4] = format!("{} % interval", percent(comparison.confidence));
    let rows = group.metrics.iter().map(row);
    std::iter::once(columns.to_vec()).chain(rows).collect()
}

fn row(compared: &Compared) -> Vec<String> {
    let value = |value: Option<f64>| value.map_or("–".to_owned(), |value| quantity(&compared.metric, value));
    let both = compared.base_median.is_some() && compared.new_median.is_some();
    vec![
        compared.metric.clone(),
        value(compared.base_median),
        value(compared.new_median),
        compared.ratio.map_or(if both { "∞" } else { "–" }.to_owned(), times),
        compared.interval.map_or("–".to_owned(), interval),
        compared.p.map_or("–".to_owned(), probability),
        compared
            .noise
            .map_or("–".to_owned(), |noise| format!("{} %", percent(noise))),
        verdict(compared),
    ]
}

fn verdict(compared: &Compared) -> String {
    let name = compared.verdict.name();
    match (compared.verdict, compared.direction, compared.repeats_needed) {
        (Change::Inconclusive, _, Some(needed)) => format!("{name}: takes {} repeats", repeats(needed)),
        (Change::Inconclusive, _, None) => format!("{name}: one side lacks it"),
        (Change::Changed, Direction::Neither, _) => format!("{name}, neither better nor worse"),
        _ => name.to_owned(),
    }
}

fn limits(comparison: &Comparison) -> Vec<Vec<String>> {
    let headings = ["fail if", "in", "new/base", "interval", "verdict", "why"]
        .map(str::to_owned)
        .to_vec();
    let rows = comparison.limits.iter().map(|limit| {
        vec![
            limit.fail_if.clone(),
            limit.group(),
            limit
                .ratio
                .map_or(if limit.interval.is_some() { "∞" } else { "–" }.to_owned(), times),
            limit.interval.map_or("–".to_owned(), interval),
            match limit.status {
                Status::Met => "not crossed",
                Status::Unmet => "CROSSED",
                Status::Inconclusive | Status::Unavailable => "inconclusive",
            }
            .to_owned(),
            limit.why.clone(),
        ]
    });
    std::iter::once(headings).chain(rows).collect()
}

fn repeats(needed: usize) -> String {
    if needed >= MOST_REPEATS {
        format!("{MOST_REPEATS} or more")
    } else {
        format!("about {needed}")
    }
}

fn interval(interval: Interval) -> String {
    format!("{}–{}", times(interval.low), times(interval.high))
}

fn times(ratio: f64) -> String {
    if ratio.is_infinite() {
        "∞".to_owned()
    } else {
        format!("{ratio:.3}")
    }
}

fn probability(p: f64) -> String {
    if p < 0.0001 {
        "<0.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}

/// A share in per cent, with no more than one decimal.
fn percent(share: f64) -> String {
    let tenths = (share * 1000.0).round() / 10.0;
    format!("{tenths}")
}

/// A metric's value with the unit that its key tells.
fn quantity(metric: &str, value: f64) -> String {
    let (scaled, unit) = if metric.ends_with("_us") {
        match value {
            v if v >= 1e6 => (v / 1e6, " s"),
            v if v >= 1e3 => (v / 1e3, " ms"),
            v => (v, " µs"),
        }
    } else if metric.ends_with("_per_second") || metric.ends_with("_per_client_cpu_second") {
        (value, "/s")
    } else if metric.contains("_seconds") {
        (value, " s")
    } else {
        (value, "")
    };
    // Four significant digits tell what an interval of three decimals can.
    let decimals = if unit.is_empty() && scaled.fract() == 0.0 {
        0
    } else {
        (3 - scaled.abs().max(1.0).log10().floor() as i32).clamp(0, 3) as usize
    };
    format!("{scaled:.decimals$}{unit}")
}

/// Cells in columns: the first and the last to the left, figures to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let is_text = |column: usize| {
        matches!(
            rows[0][column].as_str(),
            "metric" | "verdict" | "fail if" | "in" | "why"
        )
    };
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if is_text(column) {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "  {}", line.trim_end());
    }
    text
}

fn piped(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().map(|cell| escaped(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let _ = writeln!(text, "|{}", " --- |".repeat(row.len()));
        }
    }
    text
}

/// Text that Markdown shows as it is, also inside a table.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => shown.push(' '),
            '|' | '*' | '_' | '`' | '<' | '>' | '[' | ']' | '\\' => {
                shown.push('\\');
                shown.push(c);
            }
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_the_unit_that_their_key_tells() {
        for (metric, value, shown) in [
            ("latency.connect.p99_us", 12.34, "12.34 µs"),
            ("latency.connect.p99_us", 123_456.0, "123.5 ms"),
            ("latency.connect.p99_us", 3_000_000.0, "3.000 s"),
            ("rates.ok_per_second", 41_234.56, "41235/s"),
            ("time_wait.lifetime_seconds.p50", 60.788, "60.79 s"),
            ("outcomes.ok", 28_232.0, "28232"),
            ("outcomes.ok", 28_231.5, "28232"),
        ] {
            assert_eq!(quantity(metric, value), shown);
        }
    }

    #[test]
    fn text_cannot_break_out_of_a_markdown_cell() {
        assert_eq!(escaped("a|b\nc_d<e>"), "a\\|b c\\_d\\<e\\>");
    }
}
