//! Claims by kernel: a line a claim, a column a kernel, and below what each kernel did.

use std::collections::{BTreeMap, BTreeSet};

use super::style::Style;
use super::table::{aligned, wrapped};
use super::verify::{Row, by_scenario, summary};
use super::{claim, expectation, markdown, plain};
use crate::record::schema::{ClaimStatus, Clock, Record, Status};

/// What stands for a claim that was not put to a kernel.
const NO_RECORD: &str = "no record";
/// Width of what stands below a claim's line.
const WIDTH: usize = 96;

/// Records by kernel, oldest first, and by address family where there are several.
pub(super) fn by_kernel(records: &[Record]) -> Vec<(String, Vec<Record>)> {
    let family = |record: &Record| record.scenario.pointer("/lab/family").map(plain).unwrap_or_default();
    let families: BTreeSet<String> = records.iter().map(family).collect();
    let releases: BTreeSet<&str> = records
        .iter()
        .map(|record| record.environment.kernel.as_str())
        .collect();
    let mut groups: Vec<(String, Vec<Record>)> = Vec::new();
    for record in records {
        let mut label = short(&record.environment.kernel, &releases);
        if families.len() > 1 {
            label = format!("{label}, {}", family(record).replace("ipv", "IPv"));
        }
        match groups.iter_mut().find(|(other, _)| *other == label) {
            Some((_, group)) => group.push(record.clone()),
            None => groups.push((label, vec![record.clone()])),
        }
    }
    groups.sort_by_key(|(_, records)| version(&records[0].environment.kernel));
    groups
}

/// The numbers of a release; what is none, such as a file that could not be booted, comes last.
fn version(release: &str) -> (bool, Vec<u32>) {
    let numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map_while(|part| part.parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    (numbers.is_empty(), numbers)
}

/// The release's number where no other release has the same, else the whole of it.
fn short(release: &str, releases: &BTreeSet<&str>) -> String {
    let number = |release: &str| -> String {
        let number: String = release
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        number.trim_end_matches('.').to_owned()
    };
    let own = number(release);
    let alike = releases.iter().filter(|other| number(other) == own).count();
    if own.contains('.') && alike == 1 {
        own
    } else {
        release.to_owned()
    }
}

/// A claim, and what each kernel did; None where there is no record of it.
struct Claim {
    id: String,
    claim: String,
    sources: String,
    rows: Vec<Option<Row>>,
}

fn claims(kernels: &[(String, Vec<Record>)], records: &[Record]) -> Vec<Claim> {
    let of = |group: &Vec<Record>| {
        let any = Row::of(group);
        let rows = kernels.iter().map(|(_, own)| {
            let is_its = |record: &&Record| record.scenario["id"] == group[0].scenario["id"];
            let own: Vec<Record> = own.iter().filter(is_its).cloned().collect();
            (!own.is_empty()).then(|| Row::of(&own))
        });
        Claim {
            rows: rows.collect(),
            id: any.id,
            claim: any.claim,
            sources: any.sources,
        }
    };
    by_scenario(records).iter().map(of).collect()
}

/// The table for a terminal; below it, kernel by kernel, why some are not met or could not be judged.
pub(super) fn terminal(records: &[Record], style: Style) -> String {
    let kernels = by_kernel(records);
    let claims = claims(&kernels, records);
    let mut cells = vec![
        std::iter::once("claim".to_owned())
            .chain(kernels.iter().map(|(kernel, _)| kernel.clone()))
            .collect::<Vec<_>>(),
    ];
    for claim in &claims {
        let verdicts = claim.rows.iter().map(|row| verdict(row.as_ref(), style));
        cells.push(std::iter::once(claim.id.clone()).chain(verdicts).collect());
    }
    let mut lines = aligned(&cells, cells[0].len()).into_iter();
    let mut text = lines
        .next()
        .map_or(String::new(), |heading| format!("{}\n", style.bold(&heading)));
    for (claim, line) in claims.iter().zip(lines) {
        text.push_str(&format!("{line}\n"));
        for line in figures(claim, &kernels)
            .iter()
            .flat_map(|text| wrapped(text, WIDTH - 4))
        {
            text.push_str(&format!("    {line}\n"));
        }
        for line in wrapped(&format!("{} [{}]", claim.claim, claim.sources), WIDTH - 4) {
            text.push_str(&format!("    {}\n", style.dim(&line)));
        }
    }
    text.push_str("\n! an expectation is not met\n");
    text.push_str(&reasons(&kernels, style));
    for (_, own) in &kernels {
        let rows: Vec<Row> = by_scenario(own).iter().map(|records| Row::of(records)).collect();
        text.push('\n');
        for line in wrapped(&format!("{}{}", summary(&rows, own), clock(own)), WIDTH) {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

/// `holds`; `refuted !` where an expectation of the kernel is unmet.
fn verdict(row: Option<&Row>, style: Style) -> String {
    let Some(row) = row else {
        return NO_RECORD.to_owned();
    };
    let mark = if row.expectation == Status::Unmet { " !" } else { "" };
    format!("{}{mark}", row.verdict(style))
}

/// What the kernels did, those that did the same in one line.
fn figures(claim: &Claim, kernels: &[(String, Vec<Record>)]) -> Vec<String> {
    let mut alike: Vec<(&str, Vec<&str>)> = Vec::new();
    for ((kernel, _), row) in kernels.iter().zip(&claim.rows) {
        let Some(figure) = row.as_ref().map(Row::figure).filter(|figure| *figure != "–") else {
            continue;
        };
        match alike.iter_mut().find(|(other, _)| *other == figure) {
            Some((_, kernels)) => kernels.push(kernel),
            None => alike.push((figure, vec![kernel])),
        }
    }
    let line = |(figure, kernels): (&str, Vec<&str>)| format!("{}: {figure}", kernels.join(", "));
    alike.into_iter().map(line).collect()
}

/// What stands in the way of verdicts and expectations: each reason once a kernel, with the scenarios that it is of.
fn reasons(kernels: &[(String, Vec<Record>)], style: Style) -> String {
    let mut text = String::new();
    for (kernel, records) in kernels {
        let mut grouped: Vec<(String, Vec<String>)> = Vec::new();
        for record in records.iter().filter(|record| record.verdict.status != Status::Met) {
            let (id, reason) = (super::matrix::id(record), reason(record, style));
            match grouped.iter_mut().find(|(other, _)| *other == reason) {
                Some((_, ids)) if ids.contains(&id) => {}
                Some((_, ids)) => ids.push(id),
                None => grouped.push((reason, vec![id])),
            }
        }
        for (reason, ids) in grouped {
            let ids = match ids.len() {
                0..=6 => ids.join(", "),
                count => format!("{}, … ({count} claims)", ids[..3].join(", ")),
            };
            text.push_str(&format!("\nLinux {kernel}: {}: {reason}", style.bold(&ids)));
        }
    }
    text
}

fn reason(record: &Record, style: Style) -> String {
    let failing = record
        .verdict
        .expectations
        .iter()
        .filter(|judged| judged.status.is_some_and(|status| status != Status::Met));
    let reasons = record
        .verdict
        .reasons
        .iter()
        .flat_map(|reason| wrapped(reason, WIDTH - 2));
    let lines: Vec<String> = reasons
        .chain(failing.flat_map(|judged| expectation::lines(judged, style, WIDTH - 2)))
        .map(|line| format!("  {line}\n"))
        .collect();
    format!("{}\n{}", style.status(record.verdict.status), lines.concat())
}

/// How a kernel's clocks went.
fn clock(records: &[Record]) -> &'static str {
    let ways: BTreeSet<(bool, bool)> = records
        .iter()
        .map(|record| (record.environment.emulated, record.environment.clock == Clock::Virtual))
        .collect();
    match (ways.contains(&(true, true)), ways.contains(&(true, false)), ways.len()) {
        (true, _, 1) => " (emulated, in virtual time)",
        (_, true, 1) => " (emulated, in real time)",
        (true, ..) => " (emulated in virtual time, what measures latency or CPU in real time)",
        _ => "",
    }
}

/// The table for a page.
pub(super) fn page(records: &[Record]) -> String {
    let kernels = by_kernel(records);
    let headings = ["claim", "source"].map(str::to_owned).into_iter();
    let mut text = markdown::row(headings.chain(kernels.iter().map(|(kernel, _)| kernel.clone())));
    text.push_str(&markdown::row(vec!["---".to_owned(); kernels.len() + 2]));
    let (mut scaled, mut counted) = (BTreeMap::new(), BTreeSet::new());
    for claim in claims(&kernels, records) {
        let cell = |row: &Option<Row>| row.as_ref().map_or_else(|| NO_RECORD.to_owned(), cell);
        let cells = claim.rows.iter().map(cell);
        text.push_str(&markdown::row(
            [claim.id.clone(), claim.sources.clone()].into_iter().chain(cells),
        ));
        for record in records.iter().filter(|record| super::matrix::id(record) == claim.id) {
            if record.scenario["scaled"].is_object() {
                scaled
                    .entry(claim.id.clone())
                    .or_insert_with(|| plain(&record.scenario["scaled"]));
            }
            if record.scenario["real_time"] == true && record.environment.clock == Clock::Virtual {
                counted.insert(format!("`{}`", claim.id));
            }
        }
    }
    if !counted.is_empty() {
        let ids: Vec<String> = counted.into_iter().collect();
        text.push_str(&format!(
            "\nRun in virtual time, in which a µs of latency or CPU is a thousand instructions and says nothing of how long they \
             take: {}.\n",
            ids.join(", ")
        ));
    }
    if !scaled.is_empty() {
        let of = |(id, keys): (String, String)| format!("`{id}` {keys}");
        let all: Vec<String> = scaled.into_iter().map(of).collect();
        text.push_str(&format!("\nScaled for an emulator: {}.\n", all.join("; ")));
    }
    text
}

/// `**holds**: 4000 of 4000 ports`; why not, where it is unavailable.
fn cell(row: &Row) -> String {
    let name = row
        .verdict
        .as_ref()
        .map_or("measured only", |verdict| claim::name(verdict.status));
    let why = row.verdict.as_ref().and_then(|verdict| verdict.reasons.first());
    let undecided = row
        .verdict
        .as_ref()
        .is_some_and(|verdict| verdict.status == ClaimStatus::Inconclusive);
    let said = match (row.figure(), why) {
        ("–", Some(why)) => why.clone(),
        (figure, Some(why)) if undecided => format!("{why}; {figure}"),
        (figure, _) => figure.to_owned(),
    };
    let unmet = if row.expectation == Status::Unmet {
        " (expectation unmet)"
    } else {
        ""
    };
    format!("**{name}**{unmet}: {said}")
}

/// Whether the records are of several kernels.
pub(super) fn are_several(records: &[Record]) -> bool {
    let mut kernels = records.iter().map(|record| &record.environment.kernel);
    let first = kernels.next();
    kernels.any(|kernel| Some(kernel) != first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::report::table::width;
    use serde_json::json;

    fn several() -> Vec<Record> {
        let mut records = Vec::new();
        for (kernel, ok) in [
            ("3.13.11", 28_233),
            ("4.4.11", 28_232),
            ("6.1.0-50-cloud-amd64", 28_232),
        ] {
            let mut record = fixture::exhaustion();
            record.environment.kernel = kernel.to_owned();
            record.environment.emulated = true;
            record.environment.clock = Clock::Virtual;
            record.scenario["holds"] = json!("records[0].outcomes.ok == 28232");
            record.scenario["figure"] = json!("'%d ports'.format([records[0].outcomes.ok])");
            if let Some(outcomes) = &mut record.outcomes {
                outcomes.ok = ok;
            }
            records.push(record);
        }
        let mut failed = fixture::unavailable();
        failed.environment.kernel = "notes.txt".to_owned();
        failed.scenario = records[0].scenario.clone();
        records.push(failed);
        records
    }

    #[test]
    fn kernels_stand_side_by_side_and_those_that_do_the_same_share_a_line() {
        let text = terminal(&several(), Style::plain());
        assert!(text.lines().all(|line| width(line) <= 100), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_page_has_a_column_a_kernel() {
        insta::assert_snapshot!(page(&several()));
    }

    #[test]
    fn a_release_is_cut_to_its_number_unless_two_share_it() {
        let releases = BTreeSet::from(["6.1.0-50-amd64", "6.1.0-50-cloud-amd64", "4.4.11", "notes.txt"]);
        assert_eq!(short("4.4.11", &releases), "4.4.11");
        assert_eq!(short("6.1.0-50-amd64", &releases), "6.1.0-50-amd64");
        assert_eq!(short("notes.txt", &releases), "notes.txt");
    }
}
