//! The verdict on a claim: what all records of its scenario say, by the scenario's own `holds` and `figure`.
//!
//! Nothing is judged from a part: where a trial is missing, could not be made, was interrupted or is inconclusive itself
//! (its books do not balance, the machine was too slow for what it should have shown), so is the claim.

use super::expression::{Evidence, GAVE_UP, on_large_stack};
use super::figure::Figure;
use crate::record::schema::{ClaimStatus, ClaimVerdict, Record, Status};

/// Judges the claim of the scenario that `records` are of, each of them judged already; None where the scenario has no
/// `holds`. Of several records of one trial the last counts, so that a directory of runs gives the latest.
#[must_use]
pub fn claim(records: &[Record]) -> Option<ClaimVerdict> {
    let records = latest(records);
    let holds = text(records.first()?, "holds")?;
    let figure = text(records[0], "figure");
    if let Some(record) = with_status(&records, Status::Unavailable).next() {
        return Some(ClaimVerdict {
            status: ClaimStatus::Unavailable,
            figure: None,
            reasons: record.verdict.reasons.clone(),
        });
    }
    let doubts = doubts(&records);
    let said = on_large_stack(|| {
        let evidence = Evidence::of_all(&records);
        let figure = figure.map_or_else(Figure::default, |figure| evidence.figure(figure));
        (evidence.is_true(holds), figure)
    });
    let (holds, mut figure) = said.unwrap_or_else(|| (Err(GAVE_UP.to_owned()), Figure::default()));
    // Without a figure there is none to stand in for.
    if figure.unsaid.is_some() && figure.text.is_none() {
        figure.text = failed_step(&records);
    }
    Some(conclude(doubts, holds, figure))
}

fn conclude(doubts: Vec<String>, holds: Result<bool, String>, figure: Figure) -> ClaimVerdict {
    let unsaid = match (&figure.text, figure.unsaid) {
        (Some(_), Some(why)) => Some(format!("the figure could not be told whole: {why}")),
        (None, Some(why)) => Some(format!("the figure could not be told: {why}")),
        (_, None) => None,
    };
    let (status, reasons) = match holds {
        _ if !doubts.is_empty() => (ClaimStatus::Inconclusive, doubts),
        Err(why) => (ClaimStatus::Inconclusive, vec![why]),
        Ok(true) => (ClaimStatus::Holds, unsaid.into_iter().collect()),
        Ok(false) => (ClaimStatus::Refuted, unsaid.into_iter().collect()),
    };
    ClaimVerdict {
        status,
        figure: figure.text,
        reasons,
    }
}

/// Where a sequence ended, for whoever asks for what it would have found later.
fn failed_step(records: &[&Record]) -> Option<String> {
    let (record, step) = records.iter().find_map(|record| {
        let failed = record.steps.iter().find(|step| step.status == Some(Status::Unmet));
        Some((record, failed?))
    })?;
    let found = step.actual.as_deref().unwrap_or("nothing");
    Some(format!(
        "step {} of {}, {}: expected {}, found {found}",
        step.number,
        record.steps.len(),
        step.does,
        step.expected
    ))
}

/// Each trial's last record, in trial order, of one scenario's records.
#[must_use]
pub fn latest(records: &[Record]) -> Vec<&Record> {
    let mut latest: Vec<&Record> = Vec::new();
    for record in records {
        match latest.iter_mut().find(|earlier| ordinal(earlier) == ordinal(record)) {
            Some(earlier) => *earlier = record,
            None => latest.push(record),
        }
    }
    latest.sort_by_key(|record| ordinal(record).0);
    latest
}

/// Which trial of its scenario a record is of. Cell and repeat tell apart what was recorded without a number.
fn ordinal(record: &Record) -> (u64, String, u32) {
    let number = record.scenario["trial"].as_u64().unwrap_or(1);
    (number, format!("{:?}", record.cell), record.repeat)
}

/// Why the records cannot answer.
fn doubts(records: &[&Record]) -> Vec<String> {
    let trials = records[0].scenario["trials"].as_u64().unwrap_or(1);
    let mut doubts = Vec::new();
    if (records.len() as u64) < trials {
        doubts.push(format!("{} of {trials} trials were run", records.len()));
    }
    for record in with_status(records, Status::Inconclusive) {
        let notes = record.verdict.expectations.iter();
        let notes = notes.filter(|judged| judged.status == Some(Status::Inconclusive));
        doubts.extend(record.verdict.reasons.iter().cloned());
        doubts.extend(notes.filter_map(|judged| judged.note.clone()));
    }
    let mut seen = std::collections::BTreeSet::new();
    doubts.retain(|doubt| seen.insert(doubt.clone()));
    doubts
}

fn with_status<'a>(records: &'a [&Record], status: Status) -> impl Iterator<Item = &'a Record> {
    let of_status = move |record: &&&Record| record.verdict.status == status;
    records.iter().filter(of_status).copied()
}

fn text<'a>(record: &'a Record, key: &str) -> Option<&'a str> {
    record.scenario[key].as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;
    use crate::record::schema::StepResult;
    use proptest::prelude::*;
    use serde_json::json;

    const FIGURE: &str = "'%d ports'.format([records[0].outcomes.ok])";

    fn records(holds: &str, figure: &str, count: u32) -> Vec<Record> {
        let numbered = |trial: u32| {
            let mut record = fixture::exhaustion();
            record.scenario["holds"] = json!(holds);
            record.scenario["figure"] = json!(figure);
            record.scenario["trial"] = json!(trial);
            record.scenario["trials"] = json!(count);
            record
        };
        (1..=count).map(numbered).collect()
    }

    fn verdict(holds: &str, figure: &str) -> ClaimVerdict {
        claim(&records(holds, figure, 1)).unwrap()
    }

    #[test]
    fn a_claim_holds_or_is_refuted_and_the_figure_tells_what_the_kernel_did() {
        let holds = verdict("records[0].outcomes.ok == 28232", FIGURE);
        assert_eq!(holds.status, ClaimStatus::Holds);
        assert_eq!(holds.figure.as_deref(), Some("28232 ports"));
        assert!(holds.reasons.is_empty());
        let refuted = verdict("records.all(r, r.outcomes.ok > 30000)", FIGURE);
        assert_eq!(refuted.status, ClaimStatus::Refuted);
        assert_eq!(refuted.figure.as_deref(), Some("28232 ports"));
        assert_eq!(
            verdict("true", "records[0].outcomes.ok").figure.as_deref(),
            Some("28232")
        );
    }

    #[test]
    fn a_scenario_without_holds_has_no_verdict_on_its_claim() {
        assert_eq!(claim(&[fixture::exhaustion()]), None);
        assert_eq!(claim(&[]), None);
    }

    #[test]
    fn what_the_records_lack_is_inconclusive() {
        for holds in [
            "records[0].outcomes.okay == 28232",
            "true && records[0].nothing == 1",
            "records[1].outcomes.ok == 28232",
            "records.all(r, r.slab.size() > 0)",
            "records[0].outcomes.ok",
        ] {
            let verdict = verdict(holds, FIGURE);
            assert_eq!(verdict.status, ClaimStatus::Inconclusive, "{holds}");
            assert!(!verdict.reasons.is_empty(), "{holds}");
        }
    }

    #[test]
    fn a_scenario_can_say_that_its_records_do_not_answer() {
        let holds = "records.all(r, r.environment.cpus < 1000) ? inconclusive('a race takes more CPUs') : true";
        let verdict = verdict(holds, FIGURE);
        assert_eq!(verdict.status, ClaimStatus::Inconclusive);
        assert_eq!(verdict.reasons, ["a race takes more CPUs"]);
        assert_eq!(verdict.figure.as_deref(), Some("28232 ports"));
    }

    #[test]
    fn a_figure_that_cannot_be_told_leaves_the_verdict_and_says_so() {
        let verdict = verdict("true", "records[0].outcomes.okay");
        assert_eq!((verdict.status, &verdict.figure), (ClaimStatus::Holds, &None));
        assert!(
            verdict.reasons[0].starts_with("the figure could not be told"),
            "{verdict:?}"
        );
    }

    /// A sequence of three steps, the second of which found a reset where it expected none.
    fn ended_early() -> Record {
        let mut record = fixture::exhaustion();
        let step = |number: usize, actual: Option<&str>, status| StepResult {
            number,
            at: format!("a.toml:{number}"),
            does: format!("await state {number}.client"),
            expected: "TIME_WAIT".into(),
            actual: actual.map(str::to_owned),
            status,
            began_seconds: None,
            took_seconds: None,
        };
        record.steps = vec![
            step(1, Some("TIME_WAIT"), Some(Status::Met)),
            step(2, Some("ABSENT"), Some(Status::Unmet)),
            step(3, None, None),
        ];
        record.captured = [("first".to_owned(), [("state".to_owned(), json!("ABSENT"))].into())].into();
        record.verdict.status = Status::Unmet;
        record
    }

    #[test]
    fn a_sequence_that_ended_early_refutes_what_it_found_otherwise_and_tells_what_it_found() {
        let mut record = ended_early();
        record.scenario["holds"] =
            json!("records[0].captured.first.state == 'TIME_WAIT' && records[0].captured.second.state == 'TIME_WAIT'");
        record.scenario["figure"] = json!(
            "'first: ' + (records[0].captured.first.state == 'ABSENT' ? 'gone' : 'there') + '; second: ' + \
             records[0].captured.second.state"
        );
        let verdict = claim(&[record]).unwrap();
        assert_eq!(verdict.status, ClaimStatus::Refuted);
        assert_eq!(verdict.figure.as_deref(), Some("first: gone; second: ?"));
        assert!(verdict.reasons[0].contains("captured.second.state"), "{verdict:?}");
    }

    #[test]
    fn a_sequence_that_found_nothing_of_its_figure_tells_the_step_at_which_it_ended() {
        let mut record = ended_early();
        record.scenario["holds"] = json!("records[0].captured.second.state == 'TIME_WAIT'");
        record.scenario["figure"] = json!("'second: ' + records[0].captured.second.state");
        let verdict = claim(&[record]).unwrap();
        assert_eq!(verdict.status, ClaimStatus::Inconclusive);
        assert_eq!(
            verdict.figure.as_deref(),
            Some("step 2 of 3, await state 2.client: expected TIME_WAIT, found ABSENT")
        );
    }

    #[test]
    fn nothing_is_judged_from_a_part_of_the_trials() {
        let mut some = records("true", FIGURE, 3);
        some.remove(1);
        let verdict = claim(&some).unwrap();
        assert_eq!(verdict.status, ClaimStatus::Inconclusive);
        assert_eq!(verdict.reasons, ["2 of 3 trials were run"]);
    }

    #[test]
    fn records_are_taken_in_trial_order_and_of_two_runs_the_later() {
        let holds = "records.map(r, r.outcomes.ok) == [1, 2]";
        let mut two = records(holds, FIGURE, 2);
        let mut old = two.clone();
        for (record, ok) in two.iter_mut().zip([1, 2]) {
            record.outcomes.as_mut().unwrap().ok = ok;
        }
        two.reverse();
        old.extend(two);
        assert_eq!(claim(&old).unwrap().status, ClaimStatus::Holds);
    }

    #[test]
    fn one_trial_unavailable_makes_the_claim_unavailable_and_one_inconclusive_makes_it_inconclusive() {
        let mut two = records("true", FIGURE, 2);
        two[1].verdict.status = Status::Inconclusive;
        two[1].verdict.reasons = vec!["no expectation applies to this kernel and cell".into()];
        let verdict = claim(&two).unwrap();
        assert_eq!(verdict.status, ClaimStatus::Inconclusive);
        assert_eq!(verdict.reasons, ["no expectation applies to this kernel and cell"]);

        two[0].verdict = fixture::unavailable().verdict;
        let verdict = claim(&two).unwrap();
        assert_eq!((verdict.status, &verdict.figure), (ClaimStatus::Unavailable, &None));
        assert!(verdict.reasons[0].contains("tcp_tw_reuse_delay"));
    }

    #[test]
    fn an_unmet_expectation_is_not_the_claims_verdict() {
        let mut one = records("true", FIGURE, 1);
        one[0].verdict.status = Status::Unmet;
        assert_eq!(claim(&one).unwrap().status, ClaimStatus::Holds);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_text_is_judged_without_a_panic(holds in ".{0,40}", figure in ".{0,40}") {
            verdict(&holds, &figure);
        }

        #[test]
        fn a_missing_name_never_holds(name in "zz[a-z]{1,8}", operator in "==|!=|<|>=") {
            for holds in [
                format!("records[0].outcomes.{name} {operator} 1"),
                format!("true && records[0].{name} {operator} 1"),
                format!("records.all(r, r.outcomes.{name} {operator} 1)"),
            ] {
                prop_assert_eq!(verdict(&holds, FIGURE).status, ClaimStatus::Inconclusive, "{}", holds);
            }
        }
    }
}
