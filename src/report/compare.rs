//! A comparison for people: a table for the terminal, and Markdown as CI services show it in a job's summary.
//!
//! Never a bare percentage: each ratio stands with its interval, the noise and the number of repeats. Where the table is
//! wider than the terminal, each metric has two lines: its name with the verdict, and its figures below.

use std::fmt::Write as _;

use super::table::{width, wrapped};
use crate::judge::compare::metrics::Direction;
use crate::judge::compare::rank_test::MOST_REPEATS;
use crate::judge::compare::stats::Interval;
use crate::judge::compare::{Change, Compared, Comparison, Group, JudgedLimit};
use crate::record::schema::Status;

const COLUMNS: [&str; 8] = ["metric", "base", "new", "new/base", "interval", "p", "noise", "verdict"];

/// Columns of prose where no terminal says how wide it is.
const PROSE: usize = 100;

/// The comparison as plain text, within so many columns; ends with a line feed. Without `columns` a metric has one line,
/// however long: that is what other programs read.
#[must_use]
pub fn terminal(comparison: &Comparison, columns: Option<usize>) -> String {
    let prose = columns.unwrap_or(PROSE).max(40);
    let mut text = paragraph("", &title(comparison), prose);
    for group in &comparison.groups {
        text.push('\n');
        text.push_str(&paragraph("", &group_line(group), prose));
        text.push_str(&fitted(&table(group, comparison), columns.unwrap_or(usize::MAX)));
    }
    if !comparison.limits.is_empty() {
        text.push_str("\nlimits\n");
        comparison
            .limits
            .iter()
            .for_each(|limit| text.push_str(&limit_lines(limit, comparison, prose)));
    }
    if !comparison.differences.is_empty() || !comparison.notes.is_empty() {
        text.push('\n');
    }
    for difference in &comparison.differences {
        text.push_str(&paragraph("", &format!("differs: {difference}"), prose));
    }
    for note in &comparison.notes {
        text.push_str(&paragraph("", &format!("note: {note}"), prose));
    }
    text.push('\n');
    text.push_str(&paragraph("", &reading(comparison), prose));
    text.push_str(&paragraph("", &conclusion(comparison), prose));
    text
}

/// A text within so many columns, its further lines two blanks in.
fn paragraph(indent: &str, text: &str, columns: usize) -> String {
    let lines = wrapped(text, columns.saturating_sub(indent.len() + 2));
    let hanging = format!("\n{indent}  ");
    format!("{indent}{}\n", lines.join(&hanging))
}

/// A limit with its verdict, and below it what was found.
fn limit_lines(limit: &JudgedLimit, comparison: &Comparison, columns: usize) -> String {
    let of_group = if comparison.groups.len() > 1 {
        format!(" ({})", limit.group())
    } else {
        String::new()
    };
    let found = match (limit.ratio, limit.interval) {
        (ratio, Some(of_ratio)) => format!(
            "new/base {}, interval {}: {}",
            ratio.map_or_else(|| "∞".to_owned(), times),
            interval(of_ratio),
            limit.why
        ),
        _ => limit.why.clone(),
    };
    let line = format!("{}: {}{of_group}", limit_verdict(limit), limit.fail_if);
    paragraph("  ", &line, columns) + &paragraph("      ", &found, columns)
}

fn limit_verdict(limit: &JudgedLimit) -> &'static str {
    match limit.status {
        Status::Met => "kept",
        Status::Unmet => "CROSSED",
        Status::Inconclusive | Status::Unavailable => "inconclusive",
    }
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
        Status::Met => format!("no regression: {limits} of {limits} limits kept"),
        Status::Inconclusive | Status::Unavailable if comparison.groups.iter().any(|group| group.runs_failed) => {
            "inconclusive: runs of the program failed".to_owned()
        }
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
    let rows = group.metrics.iter().map(|compared| row(compared, group));
    std::iter::once(columns.to_vec()).chain(rows).collect()
}

fn row(compared: &Compared, group: &Group) -> Vec<String> {
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
        verdict(compared, group),
    ]
}

fn verdict(compared: &Compared, group: &Group) -> String {
    let name = compared.verdict.name();
    if group.runs_failed {
        return format!("{name}: runs failed");
    }
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
            limit_verdict(limit).to_owned(),
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

/// Fewer columns for the verdicts make more lines than a second line for each metric does.
const NARROWEST: usize = 20;

/// The table within so many columns: a line a metric where they suffice, else two. The first and the last cell stand to the
/// left, figures to the right.
fn fitted(rows: &[Vec<String>], columns: usize) -> String {
    let last = rows.first().map_or(0, |headings| headings.len().saturating_sub(1));
    let widest = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..last).map(widest).collect();
    let figures = |row: &Vec<String>| {
        let cells = (1..last).map(|column| " ".repeat(widths[column] - width(&row[column])) + &row[column]);
        cells.collect::<Vec<_>>().join("  ")
    };
    let before_verdict: usize = widths.iter().map(|width| width + 2).sum::<usize>() + 2;
    let for_verdict = columns.saturating_sub(before_verdict);
    let mut text = String::new();
    if for_verdict >= NARROWEST || for_verdict >= widest(last) {
        for row in rows {
            let verdict = wrapped(&row[last], for_verdict).join(&format!("\n{}", " ".repeat(before_verdict)));
            let name = format!("{}{}", row[0], " ".repeat(widths[0] - width(&row[0])));
            let _ = writeln!(text, "  {name}  {}  {verdict}", figures(row));
        }
        return text;
    }
    for row in rows {
        text.push_str(&paragraph("  ", &format!("{}: {}", row[0], row[last]), columns));
        let _ = writeln!(text, "      {}", figures(row));
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
