//! JUnit XML: a test suite a record or a cell, a test case an expectation or a limit.
//!
//! `unmet` is a failure, `inconclusive` an error (it never passes), `unavailable` and what does not apply are skipped with
//! the reason. A program that `linger exec` ran has a case of its own, by how it ended: a failure where it failed, an error
//! where it never ran.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::Value;

use crate::judge::compare::stats::Interval;
use crate::judge::compare::{Comparison, Group, JudgedLimit, ended, record_name};
use crate::record::schema::{ExecEndKind, ExecRan, Judged, Record, Status};

/// Every expectation of these records; a record's verdict itself is a case where no expectation explains it.
#[must_use]
pub fn records(records: &[Record]) -> String {
    let mut report = Report::new("linger");
    for record in records {
        let name = format!("{}, repeat {}", record_name(record), record.repeat);
        let mut suite = TestSuite::new(name.as_str());
        suite.add_property(("kernel", record.environment.kernel.as_str()));
        suite.add_property(("started_at", record.started_at.as_str()));
        let class = record.scenario.get("id").and_then(Value::as_str).unwrap_or("unnamed");
        for judged in &record.verdict.expectations {
            suite.add_test_case(case(&judged.that, class, expectation_status(judged)));
        }
        if let Some(exec) = &record.exec {
            suite.add_property(("command", exec.command.join(" ").as_str()));
            suite.add_test_case(case("the program's end", class, end_status(exec)));
        }
        let verdict = &record.verdict;
        let is_told = record.exec.is_some() && verdict.status == Status::Met;
        if !is_told
            && !verdict
                .expectations
                .iter()
                .any(|judged| judged.status == Some(verdict.status))
        {
            suite.add_test_case(case(
                "verdict",
                class,
                status(verdict.status, &verdict.reasons.join("; ")),
            ));
        }
        report.add_test_suite(suite);
    }
    written(&report)
}

/// Every limit of a comparison. One without limits has a case that says whether anything could be told.
#[must_use]
pub fn comparison(comparison: &Comparison) -> String {
    let mut report = Report::new("linger compare");
    for group in &comparison.groups {
        let mut suite = TestSuite::new(group.name());
        let of_group = |limit: &&_| same_group(limit, group);
        for limit in comparison.limits.iter().filter(of_group) {
            let name = format!("fail if {}", limit.fail_if);
            suite.add_test_case(case(&name, &group.id, status(limit.status, &found(limit))));
        }
        if comparison.limits.is_empty() {
            suite.add_test_case(case(
                "comparison",
                &group.id,
                status(comparison.status, nothing_told(group)),
            ));
        }
        report.add_test_suite(suite);
    }
    written(&report)
}

fn nothing_told(group: &Group) -> &'static str {
    if group.runs_failed {
        "runs of the program failed"
    } else {
        "no metric could be told from noise"
    }
}

fn same_group(limit: &JudgedLimit, group: &Group) -> bool {
    limit.id == group.id && limit.cell == group.cell
}

/// What was found, with the figures where there are any.
fn found(limit: &JudgedLimit) -> String {
    match (limit.ratio, limit.interval) {
        (Some(ratio), Some(Interval { low, high })) => {
            format!("new/base {ratio:.3}, interval {low:.3}–{high:.3}: {}", limit.why)
        }
        _ => limit.why.clone(),
    }
}

fn case(name: &str, class: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
    case
}

fn expectation_status(judged: &Judged) -> TestCaseStatus {
    let told = [
        judged.expected.as_ref().map(|expected| format!("expected {expected}")),
        judged.actual.as_ref().map(|actual| format!("actual {actual}")),
        judged.note.clone(),
        Some(format!("at {}", judged.at)),
    ];
    let message = told.into_iter().flatten().collect::<Vec<_>>().join("; ");
    match judged.status {
        Some(found) => status(found, &message),
        None => skipped(&message),
    }
}

fn status(status: Status, message: &str) -> TestCaseStatus {
    let kind = match status {
        Status::Met => return TestCaseStatus::success(),
        Status::Unavailable => return skipped(message),
        Status::Unmet => NonSuccessKind::Failure,
        Status::Inconclusive => NonSuccessKind::Error,
    };
    let mut told = TestCaseStatus::non_success(kind);
    told.set_type(if status == Status::Unmet {
        "unmet"
    } else {
        "inconclusive"
    });
    told.set_message(message);
    told
}

fn end_status(exec: &ExecRan) -> TestCaseStatus {
    if !ended::failed(exec) {
        return TestCaseStatus::success();
    }
    let (kind, name) = match exec.ended.kind {
        ExecEndKind::NotStarted | ExecEndKind::Lost => (NonSuccessKind::Error, "not run"),
        ExecEndKind::Exit | ExecEndKind::Signal => (NonSuccessKind::Failure, "failed"),
    };
    let why = exec
        .ended
        .why
        .as_ref()
        .map_or_else(String::new, |why| format!(": {why}"));
    let mut told = TestCaseStatus::non_success(kind);
    told.set_type(name);
    told.set_message(format!("the program ended {}{why}", ended::how(&exec.ended)));
    told
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut told = TestCaseStatus::skipped();
    told.set_message(message);
    told
}

fn written(report: &Report) -> String {
    report
        .to_string()
        .expect("a report of text without times is written to memory")
}
