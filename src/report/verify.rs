//! The table of claims: what this kernel did, the verdict on each claim, and whether the kernel did as expected. The two
//! are apart: a false claim is refuted, and its expectation, which knows better, is met.

use std::time::{Duration, SystemTime};

use super::style::Style;
use super::table::{aligned, wrapped};
use super::{claim, markdown, matrix, number, plain, side_by_side};
use crate::judge;
use crate::record::schema::{ClaimStatus, ClaimVerdict, Clock, Record, Status};

/// What the records of one scenario say.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) claim: String,
    pub(super) sources: String,
    /// None where the scenario does not say when its claim holds.
    pub(super) verdict: Option<ClaimVerdict>,
    pub(super) expectation: Status,
    pub(super) took: Option<Duration>,
    /// The kernels that the claim is about, where this is none of them.
    pub(super) about: Option<String>,
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
            about: records
                .iter()
                .all(|record| judge::is_of_another_kernel(record))
                .then(|| text("kernels")),
        }
    }

    pub(super) fn figure(&self) -> &str {
        let figure = self.verdict.as_ref().and_then(|verdict| verdict.figure.as_deref());
        figure.unwrap_or("–")
    }

    pub(super) fn verdict(&self, style: Style) -> String {
        match (&self.verdict, self.expectation) {
            (Some(verdict), _) if self.about.is_none() => claim::painted(verdict.status, style),
            (None, Status::Unavailable) if self.about.is_none() => {
                style.of_status(Status::Unavailable, self.verdict_name())
            }
            _ => self.verdict_name().to_owned(),
        }
    }

    /// A scenario without `holds` has no verdict, and what was not available was not measured either.
    pub(super) fn verdict_name(&self) -> &'static str {
        match (&self.verdict, self.expectation) {
            _ if self.about.is_some() => "not of this kernel",
            (Some(verdict), _) => claim::name(verdict.status),
            (None, Status::Unavailable) => claim::name(ClaimStatus::Unavailable),
            (None, _) => "measured only",
        }
    }

    pub(super) fn expectation_name(&self) -> &'static str {
        match &self.about {
            Some(_) => "–",
            None => super::status_name(self.expectation),
        }
    }

    fn expectation(&self, style: Style) -> String {
        match &self.about {
            Some(_) => self.expectation_name().to_owned(),
            None => style.status(self.expectation),
        }
    }

    /// What stands below the line: what this kernel did, or of which kernels the claim is.
    fn said(&self) -> Option<String> {
        let about = self.about.as_ref();
        let about = about.map(|range| format!("the claim is of Linux {range}"));
        about.or_else(|| Some(self.figure().to_owned()).filter(|figure| figure != "–"))
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

/// The claim and in brackets where it comes from, if that is told.
#[must_use]
pub fn with_sources(claim: &str, sources: &str) -> String {
    if sources.is_empty() {
        claim.to_owned()
    } else {
        format!("{claim} [{sources}]")
    }
}

/// Records by scenario, in the order of their first record; those of one in the order of its trials, though they may have
/// ended in another.
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
    for group in &mut groups {
        // Stable: of two runs the later stays the later.
        group.sort_by_key(|record| record.scenario["trial"].as_u64());
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
    cells.extend(
        rows.iter()
            .map(|row| vec![row.id.clone(), row.verdict(style), row.expectation(style), row.took()]),
    );
    let mut lines = aligned(&cells, 3).into_iter();
    let mut text = lines
        .next()
        .map_or(String::new(), |heading| format!("{}\n", style.bold(&heading)));
    for (row, line) in rows.iter().zip(lines) {
        text.push_str(&format!("{line}\n"));
        for line in row.said().iter().flat_map(|said| wrapped(said, style.columns() - 4)) {
            text.push_str(&format!("    {line}\n"));
        }
        for line in wrapped(&with_sources(&row.claim, &row.sources), style.columns() - 4) {
            text.push_str(&format!("    {}\n", style.dim(&line)));
        }
    }
    for (row, records) in rows.iter().zip(&groups) {
        text.push_str(&why_not(row, records, style));
    }
    text.push('\n');
    for line in wrapped(&summary(&rows, records), style.columns()) {
        text.push_str(&format!("{line}\n"));
    }
    text
}

/// What stands in the way of a verdict, or of an expectation.
fn why_not(row: &Row, records: &[Record], style: Style) -> String {
    if row.about.is_some() {
        return String::new();
    }
    let failing = records.iter().filter(|record| record.verdict.status != Status::Met);
    let mut failing: Vec<&Record> = failing.collect();
    // What keeps one trial from being made mostly keeps all of them, and is told once.
    let mut told: Vec<&[String]> = Vec::new();
    failing.retain(|record| {
        let reasons = record.verdict.reasons.as_slice();
        let is_known = record.verdict.status == Status::Unavailable && told.contains(&reasons);
        told.push(reasons);
        !is_known
    });
    let mut text: String = failing.iter().map(|record| matrix::why_not(record, style)).collect();
    if let (true, Some(verdict)) = (text.is_empty(), &row.verdict)
        && !verdict.reasons.is_empty()
    {
        text = format!("\n{}: {}", style.bold(&row.id), claim::claim(verdict, style));
    }
    text
}

/// `Linux 6.18.44: 25 claims, 22 hold, 2 refuted, 1 not of this kernel; expectations: 24 met; 152 s`.
pub(super) fn summary(rows: &[Row], records: &[Record]) -> String {
    use ClaimStatus::{Holds, Inconclusive, Refuted, Unavailable};
    let kernel = records
        .first()
        .map_or("no record", |record| record.environment.kernel.as_str());
    let (beside, rows): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.about.is_some());
    let mut parts = vec![number::things((rows.len() + beside.len()) as u64, "claim")];
    for (status, name) in [
        (Holds, "hold"),
        (Refuted, "refuted"),
        (Unavailable, "unavailable here"),
        (Inconclusive, "inconclusive"),
    ] {
        let is = |row: &&&Row| row.verdict.as_ref().is_some_and(|verdict| verdict.status == status);
        match rows.iter().filter(is).count() {
            0 => {}
            1 if status == Holds => parts.push("1 holds".to_owned()),
            count => parts.push(format!("{count} {name}")),
        }
    }
    if !beside.is_empty() {
        parts.push(format!("{} not of this kernel", beside.len()));
    }
    let expectations = [Status::Met, Status::Unmet, Status::Inconclusive, Status::Unavailable].map(|status| {
        let count = rows.iter().filter(|row| row.expectation == status).count();
        (count > 0).then(|| format!("{count} {}", super::status_name(status)))
    });
    let expectations: Vec<String> = expectations.into_iter().flatten().collect();
    let took = span(&records.iter().collect::<Vec<_>>())
        .map_or(String::new(), |took| format!("; {:.0} s", took.as_secs_f64().ceil()));
    let expectations = match expectations.as_slice() {
        [] => String::new(),
        counts => format!("; expectations: {}", counts.join(", ")),
    };
    format!("Linux {kernel}: {}{expectations}{took}", parts.join(", "))
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
            row.said().unwrap_or_else(|| row.figure().to_owned()),
            row.verdict(Style::plain()),
            row.expectation_name().to_owned(),
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
    fn no_line_is_wider_than_the_terminal_and_no_identifier_is_broken() {
        let mut records = several();
        for record in &mut records {
            record.scenario["claim"] = json!("net.ipv4.tcp_tw_reuse and net.ipv4.ip_local_port_range ".repeat(9));
        }
        for columns in [72, 80, 120, 160] {
            let text = verify(&records, Style::of_columns(columns));
            let widest = text.lines().map(width).max().unwrap();
            assert!(
                widest <= columns && widest > columns - 30,
                "{columns}: {widest}\n{text}"
            );
            let words = text.matches("net.ipv4.ip_local_port_range").count();
            assert_eq!(words, 9 * 4, "{text}");
        }
    }

    #[test]
    fn a_claim_of_other_kernels_is_counted_apart_and_nothing_is_amiss() {
        let mut elsewhere = fixture::unavailable();
        elsewhere.scenario["id"] = json!("tw-recycle-nat");
        elsewhere.scenario["holds"] = json!("true");
        elsewhere.scenario["kernels"] = json!("< 4.12");
        let text = verify(&[fixture::exhaustion(), elsewhere.clone()], Style::plain());
        assert!(text.contains("not of this kernel  –"), "{text}");
        assert!(text.contains("    the claim is of Linux < 4.12\n"), "{text}");
        assert!(
            text.contains("2 claims, 1 not of this kernel; expectations: 1 met;"),
            "{text}"
        );
        assert!(!text.contains("unavailable"), "{text}");
        // The record of a kernel that the claim is about, which could not be had.
        elsewhere.scenario["kernels"] = json!(">= 4.12");
        let text = verify(&[elsewhere], Style::plain());
        assert!(
            text.contains("1 claim, 1 unavailable here; expectations: 1 unavailable"),
            "{text}"
        );
    }

    #[test]
    fn what_could_not_be_measured_is_not_measured_only() {
        let unavailable = fixture::unavailable();
        let text = verify(&[unavailable.clone(), unavailable], Style::plain());
        assert!(text.contains("unavailable here"), "{text}");
        assert_eq!(
            text.matches("does not exist on this kernel").count(),
            1,
            "told once: {text}"
        );
    }

    #[test]
    fn trials_are_told_in_the_order_of_the_cells_and_not_in_that_in_which_they_ended() {
        let mut closers = fixture::active_closer();
        for (record, trial) in closers.iter_mut().zip(1..) {
            (record.scenario["trial"], record.scenario["trials"]) = (json!(trial), json!(4));
            record.verdict.status = Status::Unmet;
            record.repeat = trial;
        }
        closers.reverse();
        let text = verify(&closers, Style::plain());
        let places: Vec<_> = (2..5).map(|repeat| text.find(&format!("repeat {repeat})"))).collect();
        assert!(places.is_sorted() && places[0].is_some(), "{text}");
    }

    #[test]
    fn a_claim_without_a_source_has_no_empty_brackets() {
        let mut record = fixture::exhaustion();
        record.scenario["sources"] = json!([]);
        assert!(!verify(&[record], Style::plain()).contains("[]"));
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
