//! Claims by kernel: a line a claim, a column a kernel, and below what each kernel did.

use std::collections::{BTreeMap, BTreeSet};

use super::style::Style;
use super::table::{aligned, wrapped};
use super::verify::{Row, by_scenario, summary, with_sources};
use super::{expectation, markdown, plain};
use crate::record::schema::{ClaimStatus, Clock, Record, Status};

/// What stands for a claim that was not put to a kernel.
const NO_RECORD: &str = "no record";

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
    let times: Vec<Option<Times>> = kernels.iter().map(|(_, own)| Times::of(own)).collect();
    if times.iter().any(Option::is_some) {
        let word = |times: &Option<Times>| times.map_or(String::new(), |times| times.word().to_owned());
        cells.push(std::iter::once(String::new()).chain(times.iter().map(word)).collect());
    }
    let headings = cells.len();
    for claim in &claims {
        let verdicts = claim.rows.iter().map(|row| verdict(row.as_ref(), style));
        cells.push(std::iter::once(claim.id.clone()).chain(verdicts).collect());
    }
    let mut lines = aligned(&cells, cells[0].len()).into_iter();
    let mut text: String = (&mut lines)
        .take(headings)
        .map(|heading| format!("{}\n", style.bold(&heading)))
        .collect();
    for (claim, line) in claims.iter().zip(lines) {
        text.push_str(&format!("{line}\n"));
        for line in figures(claim, &kernels)
            .iter()
            .flat_map(|text| wrapped(text, style.columns() - 4))
        {
            text.push_str(&format!("    {line}\n"));
        }
        for line in wrapped(&with_sources(&claim.claim, &claim.sources), style.columns() - 4) {
            text.push_str(&format!("    {}\n", style.dim(&line)));
        }
    }
    text.push_str("\n! an expectation is not met\n");
    let all: BTreeSet<Times> = times.into_iter().flatten().collect();
    for times in all {
        text.push_str(&format!("{}: {}\n", times.word(), times.meaning()));
    }
    text.push_str(&reasons(&kernels, style));
    for (_, own) in &kernels {
        let rows: Vec<Row> = by_scenario(own).iter().map(|records| Row::of(records)).collect();
        text.push('\n');
        for line in wrapped(&format!("{}{}", totals(&rows, own), clock(own)), style.columns()) {
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
    let mut alike: Vec<(&str, Vec<String>)> = Vec::new();
    let seen = kernels.iter().filter(|(_, own)| are_seen(own));
    let are_mixed = seen.map(|(_, own)| Times::of(own)).collect::<BTreeSet<_>>().len() > 1;
    for ((kernel, own), row) in kernels.iter().zip(&claim.rows) {
        let of_claim: Vec<Record> = own
            .iter()
            .filter(|record| super::matrix::id(record) == claim.id)
            .cloned()
            .collect();
        let kernel = match Times::of(&of_claim).filter(|_| are_mixed) {
            Some(times) => format!("{kernel} ({})", times.word()),
            None => kernel.clone(),
        };
        let Some(figure) = row.as_ref().map(Row::figure).filter(|figure| *figure != "–") else {
            continue;
        };
        match alike.iter_mut().find(|(other, _)| *other == figure) {
            Some((_, kernels)) => kernels.push(kernel),
            None => alike.push((figure, vec![kernel])),
        }
    }
    let line = |(figure, kernels): (&str, Vec<String>)| format!("{}: {figure}", kernels.join(", "));
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
            let linux = if are_seen(records) { "Linux " } else { "" };
            text.push_str(&format!("\n{linux}{kernel}: {}: {reason}", style.bold(&ids)));
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
        .flat_map(|reason| wrapped(reason, style.columns() - 2));
    let lines: Vec<String> = reasons
        .chain(failing.flat_map(|judged| expectation::lines(judged, style, style.columns() - 2)))
        .map(|line| format!("  {line}\n"))
        .collect();
    format!("{}\n{}", style.status(record.verdict.status), lines.concat())
}

/// Whether any machine came up for them.
fn are_seen(records: &[Record]) -> bool {
    records.iter().any(|record| record.environment.was_seen())
}

/// A kernel's summary. What never came up as a kernel is not called one.
fn totals(rows: &[Row], own: &[Record]) -> String {
    let text = summary(rows, own);
    match text.strip_prefix("Linux ") {
        Some(rest) if !are_seen(own) => format!("no machine came up for {rest}"),
        _ => text,
    }
}

/// What times in a column are, where they are not real ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Times {
    Virtual,
    Emulated,
}

impl Times {
    /// Of what was measured on a kernel, the least real; None where all of it is real.
    fn of(records: &[Record]) -> Option<Self> {
        let of = |record: &Record| match (record.environment.clock, record.environment.emulated) {
            (Clock::Virtual, _) => Some(Self::Virtual),
            (Clock::Real, true) => Some(Self::Emulated),
            (Clock::Real, false) => None,
        };
        records.iter().filter_map(of).min()
    }

    fn word(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Emulated => "emulated",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::Virtual => "times of latency and CPU are counts of instructions, a thousand a µs",
            Self::Emulated => "times of latency and CPU are the emulator's, not to be compared with real ones",
        }
    }
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
    let column = |(kernel, own): &(String, Vec<Record>)| match Times::of(own) {
        Some(times) => format!("{kernel} ({})", times.word()),
        None => kernel.clone(),
    };
    let mut text = markdown::row(headings.chain(kernels.iter().map(column)));
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
    let all: BTreeSet<Times> = kernels.iter().filter_map(|(_, own)| Times::of(own)).collect();
    for times in all {
        let word = times.word();
        text.push_str(&format!("\n({word}): {}.\n", times.meaning()));
    }
    text
}

/// `**holds**: 4000 of 4000 ports`; why not, where it is unavailable.
fn cell(row: &Row) -> String {
    let name = row.verdict_name();
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
        failed.environment.cpus = 0;
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
    fn counts_of_instructions_are_told_from_times_beside_which_they_stand() {
        let mut records = several();
        records.truncate(2);
        let real = &mut records[1].environment;
        (real.emulated, real.clock) = (false, Clock::Real);
        let text = terminal(&records, Style::plain());
        assert!(text.contains("\n    3.13.11 (virtual): 28233 ports\n"), "{text}");
        assert!(text.contains("\n    4.4.11: 28232 ports\n"), "{text}");
        assert!(text.contains("counts of instructions"), "{text}");
        let text = page(&records);
        assert!(
            text.starts_with("| claim | source | 3.13.11 (virtual) | 4.4.11 |"),
            "{text}"
        );
        assert!(text.contains("counts of instructions"), "{text}");
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
