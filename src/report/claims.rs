//! The page of claims: each scenario's claim, why, how it is shown, and what each kernel that there are records of did.
//!
//! The same scenarios and records give the same text: nothing is written by hand, and nothing is read from a clock.

use std::collections::BTreeMap;

use super::markdown::{escaped, row};
use super::verify::{Row, by_scenario};
use super::{plain, side_by_side, verify};
use crate::record::schema::Record;
use crate::scenario::plan::{Plan, TrialPlan};

/// Renders the page of the catalogue's `plans` from `records` of any of them.
#[must_use]
pub fn claims(plans: &[Plan], records: &[Record]) -> String {
    let mut text = String::from(
        "# The claims, put to the kernel\n\n\
         What field notes say of TIME_WAIT and ephemeral ports, and what the kernel does. This page is made from the\n\
         scenarios and their records: `linger report results/reference --format claims -o docs/claims.md`. A verdict is about the\n\
         claim; an expectation is what is known of the kernel: of a false claim it is met where the claim is refuted.\n",
    );
    if side_by_side::are_several(records) {
        text.push_str(&format!("\n## Kernels side by side\n\n{}", side_by_side::page(records)));
    }
    for (lab, records) in by_lab(records) {
        text.push_str(&format!("\n## {lab}\n\n{}", verify::table(&records)));
    }
    text.push_str("\n## Claim by claim\n");
    for plan in plans {
        text.push_str(&section(plan, records));
    }
    text
}

fn section(plan: &Plan, records: &[Record]) -> String {
    let first = plan.trials.first();
    let mut text = format!("\n### {}\n\n> {}\n\n", plan.id, plan.claim);
    if !plan.sources.is_empty() {
        text.push_str(&format!("Sources: {}.\n\n", plan.sources.join("; ")));
    }
    text.push_str(&format!("{}\n\n", sentence(&plan.why)));
    text.push_str(&format!("How: `linger run {}`: {}.", plan.id, how(plan)));
    if let Some(holds) = first.and_then(|trial| trial.holds.as_deref()) {
        text.push_str(&format!(" The claim holds where\n\n```cel\n{}\n```\n", holds.trim()));
    } else {
        text.push('\n');
    }
    let own: Vec<Record> = records
        .iter()
        .filter(|record| record.scenario["id"] == plan.id.as_str())
        .cloned()
        .collect();
    if own.is_empty() {
        return text + "\nNot measured yet.\n";
    }
    text.push('\n');
    text.push_str(&row(
        ["where", "what the kernel did", "verdict", "expectation"].map(str::to_owned)
    ));
    text.push_str(&row(["---"; 4].map(str::to_owned)));
    for (lab, records) in by_lab(&own) {
        let of = Row::of(&records);
        let verdict = of.verdict_name();
        let expectation = of.expectation_name();
        text.push_str(&row([
            lab,
            of.figure().to_owned(),
            verdict.to_owned(),
            expectation.to_owned(),
        ]));
    }
    text
}

/// A head comment goes on after `Why:`, with a small letter, which a sentence has not; an identifier (`tcp_tw_reuse=1`,
/// `close()`) is written as it is.
fn sentence(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    let word = first.trim_end_matches([',', ';', ':', '.']);
    if !word.chars().all(|c| c.is_alphabetic() || matches!(c, '-' | '\'' | '’')) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// `4 trials: close.closer = client, server`, and in words what is loaded.
fn how(plan: &Plan) -> String {
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (key, value) in plan.trials.iter().flat_map(|trial| &trial.cell) {
        let of_key = values.entry(key).or_default();
        if !of_key.contains(&plain(value)) {
            of_key.push(plain(value));
        }
    }
    let axes: Vec<String> = values
        .into_iter()
        .map(|(key, values)| {
            format!(
                "`{key}` = {}",
                values.iter().map(|value| escaped(value)).collect::<Vec<_>>().join(", ")
            )
        })
        .collect();
    let trials = super::number::things(plan.trials.len() as u64, "trial");
    let alone = plan.trials.first().is_some_and(|trial: &TrialPlan| trial.alone);
    let alone = if alone { ", with nothing beside" } else { "" };
    match axes.is_empty() {
        true => format!("{trials}{alone}"),
        false => format!("{trials}{alone} ({})", axes.join("; ")),
    }
}

/// Records by kernel and address family.
fn by_lab(records: &[Record]) -> Vec<(String, Vec<Record>)> {
    let mut labs: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in by_scenario(records).into_iter().flatten() {
        let family = record.scenario.pointer("/lab/family").map(plain).unwrap_or_default();
        let family = family.replace("ipv", "IPv");
        labs.entry(format!("Linux {}, {family}", record.environment.kernel))
            .or_default()
            .push(record);
    }
    labs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::scenario::from_text;

    const TEXT: &str = "# Why: it must fail.\nid = \"exhaustion\"\nclaim = \"ports run out\"\nsources = [\"Bernat\"]\n\
        holds = \"records[0].outcomes.ok == 28232\"\nfigure = \"records[0].outcomes.ok\"\n\
        [close]\ncloser = \"client\"\nmode = \"graceful\"\n[load]\narrival = \"max\"\nconnections = 5\n\
        [matrix]\n\"load.in_flight\" = [1, 2]\n";

    #[test]
    fn a_claim_has_why_how_and_the_figure_of_each_kernel() {
        let plan = from_text("x.toml", TEXT).unwrap();
        let with_plan = |kernel: &str, trial: &TrialPlan| {
            let mut record = fixture::exhaustion();
            record.scenario = serde_json::to_value(trial).unwrap();
            record.cell = trial.cell.clone();
            record.environment.kernel = kernel.to_owned();
            record
        };
        let records: Vec<Record> = ["6.18.44", "4.4.0"]
            .iter()
            .flat_map(|kernel| plan.trials.iter().map(|trial| with_plan(kernel, trial)))
            .collect();
        let text = claims(&[plan], &records);
        for part in [
            "> ports run out",
            "It must fail.",
            "2 trials (`load.in_flight` = 1, 2)",
            "| Linux 6.18.44, IPv4 | 28232 | holds | met |",
            "| Linux 4.4.0, IPv4 | 28232 | holds | met |",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }

    #[test]
    fn a_sentence_begins_with_a_capital_letter_and_an_identifier_with_its_own() {
        for (why, sentence) in [
            ("the ports run out", "The ports run out"),
            ("side-by-side, they", "Side-by-side, they"),
            ("tcp_tw_reuse=1 lets them", "tcp_tw_reuse=1 lets them"),
            ("close() with data", "close() with data"),
            ("time, then", "Time, then"),
            ("", ""),
        ] {
            assert_eq!(super::sentence(why), sentence);
        }
    }

    #[test]
    fn a_claim_without_a_record_says_so() {
        let plan = from_text("x.toml", TEXT).unwrap();
        assert!(claims(&[plan], &[]).contains("Not measured yet."));
    }
}
