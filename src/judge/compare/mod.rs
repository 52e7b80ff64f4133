//! Compares two sets of records: base and new, by scenario and matrix cell, metric by metric.
//!
//! `comparable` decides whether they may be compared, `pairs` joins them, `metrics` says which numbers are compared, `stats` and `rank_test` tell change from
//! noise, `limit` reads what `--fail-if` says and `gate` judges it. Reads records only; no file, no clock, no terminal.
//!
//! Two rules are kept throughout. A gate that cries wolf is switched off: a limit fails only when the whole confidence
//! interval is beyond it and the rank test agrees, at an error that all limits of one comparison share. And what cannot be
//! told is inconclusive, never a pass: neither too few repeats, which say how many it would take, nor too much noise, nor
//! runs of a program that failed.
#![forbid(unsafe_code)]

pub mod comparable;
pub mod ended;
mod gate;
pub mod known;
pub mod limit;
pub mod metrics;
mod pairs;
pub mod rank_test;
pub mod stats;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

use crate::record::schema::{Record, Status};
use comparable::{Class, Difference};
pub use gate::JudgedLimit;
use limit::Limit;
use metrics::Direction;
pub use pairs::record_name;
use pairs::{Pair, pair_up, whole};
use stats::Interval;

/// The `schema` key of every comparison.
pub const SCHEMA: &str = "linger.comparison/1";

/// How to compare.
#[derive(Clone, Debug)]
pub struct Options {
    /// When to fail.
    pub limits: Vec<Limit>,
    /// What may differ between base and new.
    pub allow: BTreeSet<Class>,
    /// Of each interval and test, two-sided: 0.99 is one error in a hundred.
    pub confidence: f64,
    /// The smallest relative change that matters: 0.10 is ten per cent more, or one eleventh less.
    pub effect: f64,
    /// Of the bootstrap.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: vec![],
            allow: BTreeSet::new(),
            confidence: 0.99,
            effect: 0.10,
            seed: 1,
        }
    }
}

impl Options {
    /// The error allowed in one direction, between 0 and 0.5 whatever the confidence asked for.
    fn tail(&self) -> f64 {
        let tail = (1.0 - self.confidence) / 2.0;
        if tail.is_nan() { 0.005 } else { tail.clamp(1e-6, 0.4999) }
    }

    /// What of it falls to each ratio limit in each of so many cells, and is the error of all that is shown with them.
    fn shared_tail(&self, cells: usize) -> f64 {
        let is_ratio = |limit: &&Limit| matches!(limit, Limit::Ratio { .. });
        let ratios = self.limits.iter().filter(is_ratio).count();
        self.tail() / (ratios * cells).max(1) as f64
    }

    /// The fewest repeats a side with which these limits can be judged in so many cells.
    #[must_use]
    pub fn fewest_repeats(&self, cells: usize) -> usize {
        rank_test::fewest_repeats(self.shared_tail(cells))
    }
}

/// Evaluates CEL over a record: whether it is true.
///
/// The error says what the record lacks.
pub type Evaluate<'a> = &'a dyn Fn(&Record, &str) -> Result<bool, String>;

/// Base against new.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Always `linger.comparison/1`.
    pub schema: &'static str,
    /// The one thing that differs, such as `kernel 6.1.0 against 6.18.44`; null where nothing or much does.
    pub heading: Option<String>,
    /// `unmet` when a limit was crossed, `inconclusive` when one could not be judged, or there is none and no metric could.
    pub status: Status,
    /// Of each interval: what was asked for, shared by all ratio limits.
    pub confidence: f64,
    pub effect: f64,
    pub limits: Vec<JudgedLimit>,
    pub differences: BTreeSet<Difference>,
    /// What else a reader should know, such as records that were left out.
    pub notes: Vec<String>,
    pub groups: Vec<Group>,
}

impl Comparison {
    /// 0, 3 when a limit was crossed, 5 when it could not be told.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self.status {
            Status::Met => 0,
            Status::Unmet => 3,
            Status::Inconclusive | Status::Unavailable => 5,
        }
    }
}

/// One scenario and matrix cell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    pub id: String,
    pub cell: BTreeMap<String, Value>,
    pub base_repeats: usize,
    pub new_repeats: usize,
    pub metrics: Vec<Compared>,
    /// Runs of the program failed, and not all alike: nothing is told by the metrics.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub runs_failed: bool,
}

impl Group {
    /// `exhaustion, close.closer = client`.
    #[must_use]
    pub fn name(&self) -> String {
        pairs::name(&self.id, &self.cell)
    }
}

/// One metric, base against new.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The record's key.
    pub metric: String,
    pub direction: Direction,
    /// The repeats that have the metric, in the order of the records.
    pub base: Vec<f64>,
    pub new: Vec<f64>,
    pub base_median: Option<f64>,
    pub new_median: Option<f64>,
    /// Median to median. Null where a side has none, or where base is 0 and new is not: infinitely more.
    pub ratio: Option<f64>,
    pub interval: Option<Interval>,
    /// Mann–Whitney, two-sided.
    pub p: Option<f64>,
    /// The relative spread of repeats on the noisier side.
    pub noise: Option<f64>,
    pub verdict: Change,
    /// About how many repeats a side would tell; where the verdict is inconclusive for want of them.
    pub repeats_needed: Option<usize>,
}

/// What became of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The whole interval is within the effect that matters.
    Same,
    Better,
    Worse,
    /// It changed, and which way is better is not known.
    Changed,
    Inconclusive,
}

impl Change {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Changed => "changed",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// Why two sets of records were not compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompareError {
    #[error("{side} has no record to compare ({given} given, {left_out} of them interrupted or unavailable)")]
    Nothing {
        side: &'static str,
        given: usize,
        left_out: usize,
    },
    #[error("base and new are not comparable:{}\n{}", lines(.0), remedy(.0))]
    NotComparable(BTreeSet<Difference>),
    #[error("base and new have no cell in common:{}\ngive records of the same scenario and matrix", lines(.0))]
    NothingInCommon(BTreeSet<Difference>),
}

/// Joins what would mend it to what differs.
fn remedy(differences: &BTreeSet<Difference>) -> String {
    let is_mixed = differences.iter().any(|difference| !difference.mixed.is_empty());
    let mend = if is_mixed {
        "a side must be of one command and one setting: give it only the files of one"
    } else {
        "measure both alike"
    };
    format!("{mend}, or say --allow {}", classes(differences))
}

fn lines(differences: &BTreeSet<Difference>) -> String {
    differences
        .iter()
        .map(|difference| format!("\n  {difference}"))
        .collect()
}

fn classes(differences: &BTreeSet<Difference>) -> String {
    let classes: BTreeSet<&str> = differences.iter().map(|difference| difference.class.name()).collect();
    classes.into_iter().collect::<Vec<_>>().join(",")
}

/// Compares new with base.
///
/// # Errors
/// When a side has no whole record, or when they differ in what `options.allow` does not name.
pub fn compare(
    base: &[Record],
    new: &[Record],
    options: &Options,
    evaluate: Evaluate<'_>,
) -> Result<Comparison, CompareError> {
    let mut notes = Vec::new();
    let base = whole("base", base, &mut notes)?;
    let new = whole("new", new, &mut notes)?;
    let (pairs, mut differences) = pair_up(&base, &new);
    for pair in &pairs {
        differences.extend(comparable::differences(&pair.base, &pair.new));
    }
    let refused: BTreeSet<Difference> = differences
        .iter()
        .filter(|difference| !options.allow.contains(&difference.class))
        .cloned()
        .collect();
    if !refused.is_empty() {
        return Err(CompareError::NotComparable(refused));
    }
    if pairs.is_empty() {
        return Err(CompareError::NothingInCommon(differences));
    }
    if pairs.iter().any(|pair| !pair.times_alike()) {
        notes.push("latencies and rates left out: times of an emulator, or of virtual time, beside others".to_owned());
    }
    notes.extend(counted_otherwise(&base, &new));
    notes.extend(pairs.iter().filter_map(|pair| pair.doubt.clone()));
    notes.extend(pairs.iter().filter_map(|pair| ended::alike(&pair.base, &pair.new)));
    let tail = options.shared_tail(pairs.len());
    let mut groups: Vec<Group> = pairs.iter().map(|pair| compare_group(pair, tail, options)).collect();
    let limits = gate::judge(&pairs, options, evaluate);
    groups.iter_mut().for_each(|group| take_repeats_of(&limits, group));
    Ok(Comparison {
        schema: SCHEMA,
        heading: comparable::heading(&differences),
        status: status(&limits, &groups),
        confidence: 1.0 - 2.0 * tail,
        effect: options.effect,
        limits,
        differences,
        notes,
        groups,
    })
}

/// What a limit and its metric's row say of the repeats that it takes is one thing.
fn take_repeats_of(limits: &[JudgedLimit], group: &mut Group) {
    for metric in group
        .metrics
        .iter_mut()
        .filter(|metric| metric.repeats_needed.is_some())
    {
        let of_metric = |limit: &&JudgedLimit| {
            limit.metric.as_ref() == Some(&metric.metric) && (&limit.id, &limit.cell) == (&group.id, &group.cell)
        };
        let needed = limits
            .iter()
            .filter(of_metric)
            .filter_map(|limit| limit.repeats_needed)
            .max();
        metric.repeats_needed = needed.or(metric.repeats_needed);
    }
}

/// Warns of records whose requests count what a client says about its connection, beside others that count it apart.
fn counted_otherwise(base: &[&Record], new: &[&Record]) -> Option<String> {
    let of = |side: &[&Record], apart: bool| {
        let conversations = side
            .iter()
            .filter_map(|record| record.server.as_ref()?.conversations.as_ref());
        conversations.filter(|said| said.setup.is_some() == apart).count()
    };
    let older = [of(base, false), of(new, false)];
    let newer = of(base, true) + of(new, true);
    (newer > 0 && older != [0, 0]).then(|| {
        format!(
            "{} records of base and {} of new are older: they have no server.conversations.setup, and their requests count what \
             a client says about its connection, too; requests and connections a request cannot be compared with those of the \
             others, measure again",
            older[0], older[1]
        )
    })
}

fn compare_group(pair: &Pair<'_>, tail: f64, options: &Options) -> Group {
    let is_pool = pair.base.iter().chain(&pair.new).all(|record| record.pool.is_some());
    let measured = pair.metrics().into_iter().filter_map(|(metric, direction)| {
        let direction = if is_pool {
            metrics::direction_of_pool(&metric, direction)
        } else {
            direction
        };
        let (base, new) = pair.values(&metric);
        // What neither side measured says nothing; what one side lacks has to be seen.
        (!base.is_empty() || !new.is_empty()).then(|| {
            let compared = compare_metric(&metric, direction, base, new, (tail, options));
            match pair.doubt {
                // Nobody knows what the program would have done had it not failed.
                Some(_) => Compared {
                    verdict: Change::Inconclusive,
                    repeats_needed: None,
                    ..compared
                },
                None => compared,
            }
        })
    });
    Group {
        id: pair.id.clone(),
        cell: pair.cell.clone(),
        base_repeats: pair.base.len(),
        new_repeats: pair.new.len(),
        metrics: measured.collect(),
        runs_failed: pair.doubt.is_some(),
    }
}

fn compare_metric(
    metric: &str,
    direction: Direction,
    base: Vec<f64>,
    new: Vec<f64>,
    (tail, options): (f64, &Options),
) -> Compared {
    let (base_median, new_median) = (stats::median(&base), stats::median(&new));
    let ratio = base_median.zip(new_median).map(|(base, new)| stats::ratio(base, new));
    let interval = stats::bootstrap(&base, &new, tail, options.seed);
    let p = rank_test::mann_whitney(&base, &new).map(rank_test::RankTest::two_sided);
    let noise = noisier(&base, &new);
    let verdict = match (ratio, interval, p) {
        (Some(ratio), Some(interval), Some(p)) if rank_test::smallest_p(base.len(), new.len()) <= tail => {
            change(ratio, interval, p <= 2.0 * tail, direction, options.effect)
        }
        _ => Change::Inconclusive,
    };
    let wanting = verdict == Change::Inconclusive && ratio.is_some();
    let needed = || rank_test::repeats_to_tell(1.0 + options.effect, noise.unwrap_or(0.0), tail);
    Compared {
        metric: metric.to_owned(),
        direction,
        repeats_needed: wanting.then(|| needed().max(base.len().min(new.len()) + 1)),
        base,
        new,
        base_median,
        new_median,
        ratio: ratio.filter(|ratio| ratio.is_finite()),
        interval,
        p,
        noise,
        verdict,
    }
}

fn noisier(base: &[f64], new: &[f64]) -> Option<f64> {
    let (base, new) = (stats::noise(base), stats::noise(new));
    base.into_iter().chain(new).max_by(f64::total_cmp)
}

/// A change is one that the rank test and the interval both see and that is large enough to matter.
fn change(ratio: f64, interval: Interval, unlikely: bool, direction: Direction, effect: f64) -> Change {
    let (least, most) = (1.0 / (1.0 + effect), 1.0 + effect);
    let seen = unlikely && (interval.low > 1.0 || interval.high < 1.0);
    if seen && !(least..=most).contains(&ratio) {
        match (direction, ratio > 1.0) {
            (Direction::Neither, _) => Change::Changed,
            (Direction::LowerIsBetter, true) | (Direction::HigherIsBetter, false) => Change::Worse,
            (Direction::LowerIsBetter, false) | (Direction::HigherIsBetter, true) => Change::Better,
        }
    } else if interval.low >= least && interval.high <= most {
        Change::Same
    } else {
        Change::Inconclusive
    }
}

/// Limits decide; where none is given, only that something could be told at all.
fn status(limits: &[JudgedLimit], groups: &[Group]) -> Status {
    let any = |status| limits.iter().any(|limit| limit.status == status);
    let told = groups
        .iter()
        .flat_map(|group| &group.metrics)
        .any(|metric| metric.verdict != Change::Inconclusive);
    if any(Status::Unmet) {
        Status::Unmet
    } else if any(Status::Inconclusive) || (limits.is_empty() && !told) {
        Status::Inconclusive
    } else {
        Status::Met
    }
}
