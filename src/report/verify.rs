//! The table of claims: what this kernel did, the verdict on each claim, and whether the kernel did as expected. The two
//! are apart: a false claim is refuted, and its expectation, which knows better, is met.

use std::time::{Duration, SystemTime};

use super::style::Style;
use super::table::{aligned, wrapped};
use super::{claim, markdown, matrix, number, plain, side_by_side};
use crate::judge;
use crate::record::schema::{ClaimStatus, ClaimVerdict, Clock, Record, Status};

/// Width of what stands below a claim's line.
const WIDTH: usize = 96;

/// What the records of one scenario say.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) claim: String,
    pub(super) sources: String,
    /// None where the scenario does not say when its claim holds.
    pub(super) verdict: Option<ClaimVerdict>,
    pub(super) expectation: Status,
    pub(super) took: Option<Duration>,
}

impl Row {
    /// `records` are of one scenario, at least one.
    pub(super) fn of(records: &[Record]) -> Self {
        let verdict = judge::claim(records);
        let records = judge::latest(records);
        let text = |key| records[0].scenario.get(key).map(plain).unwrap_or_default();
        let sources = records[0].scenario["sources"].as_array().cloned().unwrap_or_default();
        Self {
            id: matrix::id(records[0]),
            claim: text("claim"),
            sources: sources.iter().map(plain).collect::<Vec<_>>().join("; "),
            verdict,
            expectation: judge::gravest(records.iter().map(|record| record.verdict.status)),
            took: span(&records),
        }
    }

    pub(super) fn figure(&self) -> &str {
        let figure = self.verdict.as_ref().and_then(|verdict| verdict.figure.as_deref());
        figure.unwrap_or("–")
    }

    pub(super) fn verdict(&self, style: Style) -> String {
        let painted = |verdict: &ClaimVerdict| claim::painted(verdict.status, style);
        self.verdict.as_ref().map_or("measured only".to_owned(), painted)
    }

    fn took(&self) -> String {
        self.took
            .map_or("–".to_owned(), |took| format!("{:.0} s", took.as_secs_f64().ceil()))
    }
}

/// From the beginning of the first trial to the end of the last; None where a record does not tell, as in virtual time.
fn span(records: &[&Record]) -> Option<Duration> {
    let ends = |record: &Record| -> Option<(SystemTime, SystemTime)> {
        if record.environment.clock == Clock::Virtual {
            return None;
        }
        let began = humantime::parse_rfc3339(&record.started_at).ok()?;
        let took = Duration::try_from_secs_f64(record.took_seconds?).ok()?;
        Some((began, began.checked_add(took)?))
    };
    let times: Vec<_> = records.iter().map(|record| ends(record)).collect::<Option<_>>()?;
    let (first, last) = (times.iter().map(|t| t.0).min()?, times.iter().map(|t| t.1).max()?);
    last.duration_since(first).ok()
}

/// Records by scenario, in the order of their first record.
pub(super) fn by_scenario(records: &[Record]) -> Vec<Vec<Record>> {
    let mut groups: Vec<Vec<Record>> = Vec::new();
    for record in records {
        match groups
            .iter_mut()
            .find(|group| group[0].scenario["id"] == record.scenario["id"])
        {
            Some(group) => group.push(record.clone()),
            None => groups.push(vec![record.clone()]),
        }
    }
    groups
}

/// The table for a terminal: a line a claim, what this kernel did below it, the claim and its sources, and at the end
/// why some are not met or could not be judged.
#[must_use]
pub fn verify(records: &[Record], style: Style) -> String {
    if side_by_side::are_several(records) {
        return side_by_side::terminal(records, style);
    }
    let groups = by_scenario(records);
    let rows: Vec<Row> = groups.iter().map(|records| Row::of(records)).collect();
    let mut cells = vec![["claim", "verdict", "expectation", "time"].map(str::to_owned).to_vec()];
    cells.extend(rows.iter().map(|row| {
        vec![
            row.id.clone(),
            row.verdict(style),
            style.status(row.expectation),
            row.took(),
        ]
    }));
    let mut lines = aligned(&cells, 3).into_iter();
    let mut text = lines
        .next()
        .map_or(String::new(), |heading| format!("{}\n", style.bold(&heading)));
    for (row, line) in rows.iter().zip(lines) {
        text.push_str(&format!("{line}\n"));
        for line in wrapped(row.figure(), WIDTH - 4) {
            text.push_str(&format!("    {line}\n"));
        }
        for line in wrapped(&format!("{} [{}]", row.claim, row.sources), WIDTH - 4) {
            text.push_str(&format!("    {}\n", style.dim(&line)));
        }
    }
    for (row, records) in rows.iter().zip(&groups) {
        text.push_str(&why_not(row, records, style));
    }
    text.push('\n');
    for line in wrapped(&summary(&rows, records), WIDTH) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// What stands in the way of a verdict, or of an expectation.
fn why_not(row: &Row, records: &[Record], style: Style) -> String {
    let failing = records.iter().filter(|record| record.verdict.status != Status::Met);
    let mut text: String = failing.map(|record| matrix::why_not(record, style)).collect();
    if let (true, Some(verdict)) = (text.is_empty(), &row.verdict)
        && !verdict.reasons.is_empty()
    {
        text = format!("\n{}: {}", style.bold(&row.id), claim::claim(verdict, style));
    }
    text
}

/// `Linux 6.18.44: 25 claims, 23 hold, 2 refuted; expectations: 25 met; 152 s`.
pub(super) fn summary(rows: &[Row], records: &[Record]) -> String {
    use ClaimStatus::{Holds, Inconclusive, Refuted, Unavailable};
    let kernel = records
        .first()
        .map_or("no record", |record| record.environment.kernel.as_str());
    let mut parts = vec![number::things(rows.len() as u64, "claim")];
    for (status, name) in [
        (Holds, "hold"),
        (Refuted, "refuted"),
        (Unavailable, "unavailable here"),
        (Inconclusive, "inconclusive"),
    ] {
        let is = |row: &&Row| row.verdict.as_ref().is_some_and(|verdict| verdict.status == status);
        match rows.iter().filter(is).count() {
            0 => {}
            count => parts.push(format!("{count} {name}")),
        }
    }
    let expectations = [Status::Met, Status::Unmet, Status::Inconclusive, Status::Unavailable].map(|status| {
        let count = rows.iter().filter(|row| row.expectation == status).count();
        (count > 0).then(|| format!("{count} {}", super::status_name(status)))
    });
    let expectations: Vec<String> = expectations.into_iter().flatten().collect();
    let took = span(&records.iter().collect::<Vec<_>>())
        .map_or(String::new(), |took| format!("; {:.0} s", took.as_secs_f64().ceil()));
    format!(
        "Linux {kernel}: {}; expectations: {}{took}",
        parts.join(", "),
        expectations.join(", ")
    )
}

/// The table for a page.
pub(super) fn table(records: &[Record]) -> String {
    let headings = [
        "claim",
        "source",
        "what this kernel did",
        "verdict",
        "expectation",
        "time",
    ];
    let mut text = markdown::row(headings.map(str::to_owned)) + &markdown::row(["---"; 6].map(str::to_owned));
    for records in by_scenario(records) {
        let row = Row::of(&records);
        text.push_str(&markdown::row([
            row.id.clone(),
            row.sources.clone(),
            row.figure().to_owned(),
            row.verdict(Style::plain()),
            super::status_name(row.expectation).to_owned(),
            row.took(),
        ]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::report::table::width;
    use serde_json::json;

    /// A claim that holds, one that is refuted and unmet in one of four trials, one unavailable, and one measured only.
    pub(crate) fn several() -> Vec<Record> {
        let mut exhaustion = fixture::exhaustion();
        exhaustion.scenario["holds"] = json!("records[0].outcomes.ok == records[0].prediction.capacity");
        exhaustion.scenario["figure"] = json!("'%d ports'.format([records[0].outcomes.ok])");
        let mut closers = fixture::active_closer();
        for (record, trial) in closers.iter_mut().zip(1..) {
            record.scenario["holds"] = json!("records.all(r, r.time_wait.server.peak == 0)");
            record.scenario["figure"] = json!("records.map(r, string(r.time_wait.server.peak)).join(', ')");
            (record.scenario["trial"], record.scenario["trials"]) = (json!(trial), json!(4));
        }
        let mut unavailable = fixture::unavailable();
        unavailable.scenario["id"] = json!("reuse-delay");
        unavailable.scenario["holds"] = json!("true");
        let mut measured = fixture::exhaustion();
        measured.scenario["id"] = json!("measured");
        [vec![exhaustion], closers, vec![unavailable, measured]].concat()
    }

    #[test]
    fn each_claim_has_its_verdict_its_figure_and_its_source() {
        let text = verify(&several(), Style::plain());
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_page_has_the_same_table() {
        insta::assert_snapshot!(table(&several()));
    }

    #[test]
    fn no_record_is_an_empty_table() {
        assert!(verify(&[], Style::plain()).contains("no record: 0 claims"));
    }
}
