//! Judges the limits of `--fail-if`, each in every cell.
//!
//! A limit is crossed when the whole interval is beyond it and the rank test agrees. It is kept when the whole interval is
//! within it; or, so that a noisy metric can pass at all, when that holds at the usual 5 % of a non-inferiority test and
//! the rank test agrees. Else nothing was shown, and that is inconclusive: no pass.
//!
//! All ratio limits of one comparison share the allowed error (Bonferroni): ten limits over nine cells together give no
//! more false alarms than one. The error of a wrong pass is not shared: one limit that is not kept is enough. The rank test
//! keeps these promises for few repeats, where bootstrap intervals are too narrow; the interval keeps them for the size of
//! the change, of which ranks know nothing.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::limit::{Limit, Operator};
use super::rank_test::MOST_REPEATS;
use super::stats::Interval;
use super::{Evaluate, Options, Pair, metrics, pairs, rank_test, stats};
use crate::record::schema::Status;

/// The chance to pass what is just beyond the limit, one-sided.
const WRONG_PASS: f64 = 0.05;

/// One limit, judged in one cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgedLimit {
    /// As it was written.
    pub fail_if: String,
    /// What its ratio is of; absent for a condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    pub id: String,
    pub cell: BTreeMap<String, Value>,
    /// `unmet`: the limit was crossed, and that is no chance. `met`: it was kept, and that is none. `inconclusive`: neither
    /// was shown.
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
    let tail = options.shared_tail(pairs.len());
    let judge_in = |limit: &Limit, pair: &Pair<'_>| {
        let blank = JudgedLimit {
            fail_if: limit.text().to_owned(),
            metric: limit.metric().map(str::to_owned),
            id: pair.id.clone(),
            cell: pair.cell.clone(),
            status: Status::Inconclusive,
            ratio: None,
            interval: None,
            p: None,
            repeats_needed: None,
            why: String::new(),
        };
        let judged = match limit {
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
        };
        not_kept_by_failed_runs(judged, pair)
    };
    options
        .limits
        .iter()
        .flat_map(|limit| pairs.iter().map(move |pair| judge_in(limit, pair)))
        .collect()
}

/// What a program did that failed is no evidence that it keeps a limit.
fn not_kept_by_failed_runs(judged: JudgedLimit, pair: &Pair<'_>) -> JudgedLimit {
    match &pair.doubt {
        Some(doubt) if judged.status == Status::Met => JudgedLimit {
            status: Status::Inconclusive,
            why: doubt.clone(),
            ..judged
        },
        _ => judged,
    }
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
    let (p, p_within) = if bound.operator.is_upward() {
        (test.higher, test.lower)
    } else {
        (test.lower, test.higher)
    };
    let is_kept = || {
        let narrower = stats::bootstrap(&base, &new, WRONG_PASS, bound.seed);
        let within = |interval| bound.operator.holds_nowhere(interval, bound.ratio);
        within(interval) || (p_within <= WRONG_PASS && narrower.is_some_and(within))
    };
    let few = base.len().min(new.len());
    let (status, needed, why) = if rank_test::smallest_p(base.len(), new.len()) > bound.tail {
        let fewest = rank_test::fewest_repeats(bound.tail);
        let why = format!(
            "{} and {} repeats cannot tell; at least {fewest} a side can",
            base.len(),
            new.len()
        );
        (Status::Inconclusive, Some(fewest), why)
    } else if bound.operator.holds_throughout(interval, bound.ratio) && p <= bound.tail {
        (Status::Unmet, None, "the whole interval is beyond the limit".to_owned())
    } else if is_kept() {
        (Status::Met, None, kept(interval, &bound).to_owned())
    } else {
        // Of the pairs of a repeat of base, at the limit, with one of new: the share in which new is beyond it.
        let above = test.u / (base.len() * new.len()) as f64;
        let beyond = if bound.operator.is_upward() { above } else { 1.0 - above };
        let needed = rank_test::repeats_to_decide(beyond, bound.tail, WRONG_PASS).max(few + 1);
        let is_beyond = |value: &&f64| bound.operator.holds(stats::ratio(base_median, **value), bound.ratio);
        let why = format!(
            "{} of {} new repeats are beyond the limit; {} a side would tell",
            new.iter().filter(is_beyond).count(),
            new.len(),
            repeats(needed)
        );
        (Status::Inconclusive, Some(needed), why)
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

/// How it was shown that a limit is kept.
fn kept(interval: Interval, bound: &Bound) -> &'static str {
    if bound.operator.holds_nowhere(interval, bound.ratio) {
        "the whole interval is within the limit"
    } else {
        "within the limit, at a chance of 5 % to be wrong"
    }
}

fn repeats(needed: usize) -> String {
    if needed >= MOST_REPEATS {
        format!("{MOST_REPEATS} or more repeats")
    } else {
        format!("about {needed} repeats")
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
