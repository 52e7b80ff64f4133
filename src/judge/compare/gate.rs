//! Judges the limits of `--fail-if`, each in every cell.
//!
//! All ratio limits of one comparison share the allowed error (Bonferroni): ten limits over nine cells together give no
//! more false alarms than one. The rank test keeps that promise for few repeats, where bootstrap intervals are too
//! narrow; the interval keeps it for the size of the change, of which ranks know nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::limit::{Limit, Operator};
use super::stats::Interval;
use super::{Evaluate, Options, Pair, metrics, noisier, pairs, rank_test, stats};
use crate::record::schema::Status;

/// One limit, judged in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgedLimit {
    /// As it was written.
    pub fail_if: String,
    pub id: String,
    pub cell: BTreeMap<String, Value>,
    /// `unmet`: the limit was crossed, and that is no chance. `met`: that was not shown. `inconclusive`: it could not be.
    pub status: Status,
    /// Of the medians new to base; null for a condition, and for infinitely more.
    pub ratio: Option<f64>,
    /// At the share of the error that falls to this limit.
    pub interval: Option<Interval>,
    /// Rank test in the limit's direction, new against base × limit.
    pub p: Option<f64>,
    /// About how many repeats a side would tell.
    pub repeats_needed: Option<usize>,
    /// What was found, in words.
    pub why: String,
}

impl JudgedLimit {
    /// The scenario and cell in one line.
    #[must_use]
    pub fn group(&self) -> String {
        pairs::name(&self.id, &self.cell)
    }
}

pub(super) fn judge(pairs: &[Pair<'_>], options: &Options, evaluate: Evaluate<'_>) -> Vec<JudgedLimit> {
    let ratios = options
        .limits
        .iter()
        .filter(|limit| matches!(limit, Limit::Ratio { .. }))
        .count();
    let tail = options.tail() / (ratios * pairs.len()).max(1) as f64;
    let judge_in = |limit: &Limit, pair: &Pair<'_>| {
        let blank = JudgedLimit {
            fail_if: limit.text().to_owned(),
            id: pair.id.clone(),
            cell: pair.cell.clone(),
            status: Status::Inconclusive,
            ratio: None,
            interval: None,
            p: None,
            repeats_needed: None,
            why: String::new(),
        };
        match limit {
            Limit::Condition { cel, .. } => judge_condition(cel, pair, evaluate, blank),
            Limit::Ratio {
                metric,
                operator,
                bound,
                ..
            } => {
                let seed = options.seed;
                judge_ratio(
                    metric,
                    Bound {
                        operator: *operator,
                        ratio: *bound,
                        tail,
                        seed,
                    },
                    pair,
                    blank,
                )
            }
        }
    };
    options
        .limits
        .iter()
        .flat_map(|limit| pairs.iter().map(move |pair| judge_in(limit, pair)))
        .collect()
}

/// A condition fails when it is true of any new record.
fn judge_condition(cel: &str, pair: &Pair<'_>, evaluate: Evaluate<'_>, blank: JudgedLimit) -> JudgedLimit {
    let results: Vec<Result<bool, String>> = pair.new.iter().map(|record| evaluate(record, cel)).collect();
    let (all, failing) = (
        results.len(),
        results.iter().filter(|result| **result == Ok(true)).count(),
    );
    let missing = results.into_iter().find_map(Result::err);
    let (status, why) = match missing {
        _ if failing > 0 => (Status::Unmet, format!("true of {failing} of {all} new records")),
        Some(missing) => (Status::Inconclusive, missing),
        None => (Status::Met, format!("false of all {all} new records")),
    };
    JudgedLimit { status, why, ..blank }
}

struct Bound {
    operator: Operator,
    ratio: f64,
    /// The error allowed.
    tail: f64,
    seed: u64,
}

fn judge_ratio(metric: &str, bound: Bound, pair: &Pair<'_>, blank: JudgedLimit) -> JudgedLimit {
    let (base, new) = pair.values(metric);
    if let Some(why) = not_measured(metric, &base, &new, pair) {
        return JudgedLimit { why, ..blank };
    }
    // The values that new would have, were it just at the limit.
    let at_limit: Vec<f64> = base.iter().map(|value| value * bound.ratio).collect();
    let (Some(base_median), Some(new_median), Some(interval), Some(test)) = (
        stats::median(&base),
        stats::median(&new),
        stats::bootstrap(&base, &new, bound.tail, bound.seed),
        rank_test::mann_whitney(&at_limit, &new),
    ) else {
        return blank;
    };
    let ratio = stats::ratio(base_median, new_median);
    let p = if bound.operator.is_upward() {
        test.higher
    } else {
        test.lower
    };
    let noise = noisier(&base, &new).unwrap_or(0.0);
    let (status, needed) = if rank_test::smallest_p(base.len(), new.len()) > bound.tail {
        (Status::Inconclusive, Some(rank_test::fewest_repeats(bound.tail)))
    } else if bound.operator.holds_throughout(interval, bound.ratio) && p <= bound.tail {
        (Status::Unmet, None)
    } else if bound.operator.holds(ratio, bound.ratio) {
        let more = rank_test::repeats_to_tell(ratio / bound.ratio, noise, bound.tail);
        (Status::Met, Some(more.max(base.len().min(new.len()) + 1)))
    } else {
        (Status::Met, None)
    };
    let why = match (status, needed) {
        (Status::Unmet, _) => "the whole interval is beyond the limit".to_owned(),
        (Status::Inconclusive, Some(needed)) => {
            format!(
                "{} and {} repeats cannot tell; at least {needed} a side can",
                base.len(),
                new.len()
            )
        }
        (_, Some(needed)) => {
            format!("beyond the limit, but so could chance be; about {needed} repeats a side would tell")
        }
        _ => "not beyond the limit".to_owned(),
    };
    let ratio = Some(ratio).filter(|ratio| ratio.is_finite());
    JudgedLimit {
        status,
        ratio,
        interval: Some(interval),
        p: Some(p),
        repeats_needed: needed,
        why,
        ..blank
    }
}

/// Why a metric has no ratio here; None when it has one.
fn not_measured(metric: &str, base: &[f64], new: &[f64], pair: &Pair<'_>) -> Option<String> {
    if metrics::is_of_the_machine(metric) && !pair.times_alike() {
        return Some(format!(
            "{metric} of an emulator, or of virtual time, is not compared with others"
        ));
    }
    let side = match (base.is_empty(), new.is_empty()) {
        (false, false) => {
            let negative = base.iter().chain(new).any(|value| *value < 0.0);
            return negative.then(|| format!("{metric} has values below 0, which have no ratio"));
        }
        (true, true) => "no record",
        (true, false) => "no record of base",
        (false, true) => "no record of new",
    };
    let near = metrics::nearest(metric, pair.base_json.iter().chain(&pair.new_json)).filter(|near| near != metric);
    let hint = near.map_or(String::new(), |near| format!("; the nearest metric is {near}"));
    Some(format!("{side} has {metric}{hint}"))
}
