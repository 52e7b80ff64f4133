//! Fills a record's verdict: each expectation by itself, then the whole.

use cel::Value;
use cel::common::ast::{Expr, IdedExpr, operators};

use super::conjunction::conjuncts;
use super::expression::{Evidence, GAVE_UP, compile, on_large_stack, shown};
use crate::record::schema::{Judged, Ledger, Record, Status, StepResult, Verdict};
use crate::scenario::kernel_range::is_in_range;
use crate::scenario::plan::Expectation;

/// Judges `record` by `expectations` and fills its verdict. A record that is already `unavailable` stays so.
pub fn judge(record: &mut Record, expectations: &[Expectation]) {
    if record.verdict.status == Status::Unavailable {
        return;
    }
    let judged = on_large_stack(|| {
        let evidence = Evidence::new(record);
        let assess = |expectation| assess(&evidence, &record.environment.kernel, expectation);
        expectations.iter().map(assess).collect()
    });
    let gave_up = |expectation| without_value(expectation, Some(Status::Inconclusive), GAVE_UP.to_owned());
    let judged: Vec<Judged> = judged.unwrap_or_else(|| expectations.iter().map(gave_up).collect());
    let judged = steps(record).into_iter().chain(judged).collect();
    record.verdict = conclude(record, judged);
}

/// A sequence's steps as one expectation: that each goes as it says.
fn steps(record: &Record) -> Option<Judged> {
    let last = record.steps.last()?;
    let with = |status| record.steps.iter().find(move |step| step.status == Some(status));
    let (failed, unknown) = (with(Status::Unmet), with(Status::Inconclusive));
    let not_done = record.steps.iter().find(|step| step.status.is_none());
    let number = |step: &StepResult| format!("step {} of {}: {}", step.number, record.steps.len(), step.does);
    Some(match (failed, unknown, not_done) {
        (Some(step), _, _) => Judged {
            that: number(step),
            at: step.at.clone(),
            status: Some(Status::Unmet),
            expected: Some(step.expected.clone()),
            actual: step.actual.clone(),
            note: None,
        },
        (None, Some(step), _) => Judged {
            that: number(step),
            at: step.at.clone(),
            status: Some(Status::Inconclusive),
            expected: Some(step.expected.clone()),
            actual: None,
            note: step.actual.clone(),
        },
        (None, None, Some(step)) => Judged {
            that: number(step),
            at: step.at.clone(),
            status: Some(Status::Inconclusive),
            expected: None,
            actual: None,
            note: Some("it was not done".to_owned()),
        },
        (None, None, None) => Judged {
            that: format!("each of the {} steps goes as it says", record.steps.len()),
            at: last.at.clone(),
            status: Some(Status::Met),
            expected: None,
            actual: None,
            note: None,
        },
    })
}

/// The whole verdict. What puts the measurement itself in doubt outweighs what it says.
fn conclude(record: &Record, expectations: Vec<Judged>) -> Verdict {
    let doubts = doubts(record);
    let any = |status| expectations.iter().any(|judged| judged.status == Some(status));
    let (status, reasons) = if !doubts.is_empty() {
        (Status::Inconclusive, doubts)
    } else if any(Status::Unmet) {
        (Status::Unmet, vec![])
    } else if any(Status::Inconclusive) {
        (Status::Inconclusive, vec![])
    } else if any(Status::Met) {
        (Status::Met, vec![])
    } else if expectations.is_empty() {
        (Status::Met, vec!["no expectations: measured only".to_owned()])
    } else {
        let none = "no expectation applies to this kernel and cell".to_owned();
        (Status::Inconclusive, vec![none])
    };
    Verdict {
        status,
        reasons,
        expectations,
    }
}

/// Why the measurement cannot be trusted to answer.
fn doubts(record: &Record) -> Vec<String> {
    let mut doubts = Vec::new();
    if record.interrupted {
        doubts.push("interrupted: what was measured till then is kept; run it again to its end".to_owned());
    }
    if record.offered.as_ref().is_some_and(|offered| offered.attempted == 0) {
        doubts.push("no attempt was made: the load was over before its first was due".to_owned());
    }
    if let Some(unsettled) = record.ledger.as_ref().and_then(|ledger| ledger.unsettled.as_ref()) {
        doubts.push(format!("the books are not of one moment: {unsettled}"));
    }
    match &record.ledger {
        None => doubts.push("there is no ledger: nothing was reconciled with the kernel's counters".to_owned()),
        Some(ledger) if !ledger.balanced => doubts.extend(unbalanced(ledger)),
        Some(_) => {}
    }
    if let Some(trouble) = record.observation.as_ref().and_then(|cost| cost.trouble.as_ref()) {
        doubts.push(format!(
            "a look at the kernel failed, so that less was observed: {trouble}"
        ));
    }
    doubts
}

fn unbalanced(ledger: &Ledger) -> Vec<String> {
    let rows: Vec<String> = ledger
        .rows
        .iter()
        .filter(|row| !row.balanced)
        .map(|row| {
            let kernel = row.kernel.map_or("nothing".to_owned(), |kernel| kernel.to_string());
            format!(
                "the ledger does not balance: {}: {} {}, {} {kernel} (up to {} is explained)",
                row.name, row.ours_is, row.ours, row.kernel_is, row.tolerance
            )
        })
        .collect();
    if rows.is_empty() {
        vec!["the ledger does not balance".to_owned()]
    } else {
        rows
    }
}

/// Judges one expectation: whether it applies, then whether it holds.
fn assess(evidence: &Evidence, kernel: &str, expectation: &Expectation) -> Judged {
    let judged = |status, note| without_value(expectation, status, note);
    if let Some(range) = &expectation.kernel {
        match is_in_range(kernel, range) {
            Ok(true) => {}
            Ok(false) => return judged(None, format!("applies to kernels {range}; this is {kernel}")),
            Err(error) => return judged(Some(Status::Inconclusive), error),
        }
    }
    if let Some(when) = &expectation.when {
        match evidence.is_true(when) {
            Ok(true) => {}
            Ok(false) => return judged(None, format!("applies where {when}")),
            Err(error) => return judged(Some(Status::Inconclusive), format!("when `{when}`: {error}")),
        }
    }
    hold(evidence, expectation)
}

fn without_value(expectation: &Expectation, status: Option<Status>, note: String) -> Judged {
    Judged {
        that: expectation.that.clone(),
        at: expectation.at.clone(),
        status,
        expected: None,
        actual: None,
        note: Some(note),
    }
}

/// Whether `that` holds, with what was expected and what was found.
fn hold(evidence: &Evidence, expectation: &Expectation) -> Judged {
    let that = &expectation.that;
    let (status, mut note) = match evidence.is_true(that) {
        Ok(true) => (Status::Met, None),
        Ok(false) => (Status::Unmet, None),
        Err(error) => (Status::Inconclusive, Some(error)),
    };
    let failing = (status == Status::Unmet)
        .then(|| {
            conjuncts(that)
                .into_iter()
                .find(|part| evidence.is_true(part) == Ok(false))
        })
        .flatten();
    if let Some(part) = failing {
        note = Some(format!("`{part}` does not hold"));
    }
    let (expected, actual) =
        compile(failing.unwrap_or(that)).map_or((None, None), |program| sides(evidence, program.expression()));
    Judged {
        that: that.clone(),
        at: expectation.at.clone(),
        status: Some(status),
        expected,
        actual,
        note,
    }
}

/// What was expected and what was found: the sides of a comparison, or the values of the names that occur.
fn sides(evidence: &Evidence, node: &IdedExpr) -> (Option<String>, Option<String>) {
    let side = |node| evidence.value(node).ok().map(|value: Value| shown(&value));
    if let Some((operator, left, right)) = comparison(node) {
        return (side(right).map(|right| format!("{operator} {right}")), side(left));
    }
    let values = evidence.quoted_values(node);
    (None, (!values.is_empty()).then(|| values.join(", ")))
}

fn comparison(node: &IdedExpr) -> Option<(&'static str, &IdedExpr, &IdedExpr)> {
    let Expr::Call(call) = &node.expr else { return None };
    let operator = match call.func_name.as_str() {
        operators::EQUALS => "==",
        operators::NOT_EQUALS => "!=",
        operators::LESS => "<",
        operators::LESS_EQUALS => "<=",
        operators::GREATER => ">",
        operators::GREATER_EQUALS => ">=",
        _ => return None,
    };
    match call.args.as_slice() {
        [left, right] => Some((operator, left, right)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
