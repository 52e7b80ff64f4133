//! Which records are compared with which: whole trials of the same scenario and cell.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::comparable::{Class, Difference};
use super::metrics::Direction;
use super::{CompareError, ended, metrics};
use crate::record::schema::{Record, Status};

/// The records that ran to their end; notes those that did not, and those whose measurement is in doubt.
pub(super) fn whole<'r>(
    side: &'static str,
    records: &'r [Record],
    notes: &mut Vec<String>,
) -> Result<Vec<&'r Record>, CompareError> {
    let is_whole = |record: &&Record| !record.interrupted && record.verdict.status != Status::Unavailable;
    let kept: Vec<&Record> = records.iter().filter(is_whole).collect();
    let left_out = records.len() - kept.len();
    if kept.is_empty() {
        return Err(CompareError::Nothing {
            side,
            given: records.len(),
            left_out,
        });
    }
    if left_out > 0 {
        notes.push(format!(
            "{left_out} of {} records of {side} left out: interrupted or unavailable",
            records.len()
        ));
    }
    let unbalanced = kept
        .iter()
        .filter(|record| record.ledger.as_ref().is_some_and(|ledger| !ledger.balanced))
        .count();
    if unbalanced > 0 {
        notes.push(format!(
            "the ledger of {unbalanced} of {} records of {side} does not balance",
            kept.len()
        ));
    }
    Ok(kept)
}

/// The records of one scenario and cell, of both sides, with their JSON.
#[derive(Debug)]
pub(super) struct Pair<'r> {
    pub(super) id: String,
    pub(super) cell: BTreeMap<String, Value>,
    pub(super) base: Vec<&'r Record>,
    pub(super) new: Vec<&'r Record>,
    pub(super) base_json: Vec<Value>,
    pub(super) new_json: Vec<Value>,
    /// Why the runs of a program tell nothing of it.
    pub(super) doubt: Option<String>,
}

impl Pair<'_> {
    /// Whether all records took their times in the same way: with one clock, and all on an emulator or none.
    pub(super) fn times_alike(&self) -> bool {
        let how = |record: &&Record| (record.environment.clock, record.environment.emulated);
        let mut ways = self.base.iter().chain(&self.new).map(how);
        let first = ways.next();
        ways.all(|way| Some(way) == first)
    }

    /// What to compare.
    pub(super) fn metrics(&self) -> Vec<(String, Direction)> {
        metrics::of_records(self.base.iter().chain(&self.new).copied())
    }

    /// A metric's values on both sides, of the records that have it. Times of an emulator beside real ones are none.
    pub(super) fn values(&self, metric: &str) -> (Vec<f64>, Vec<f64>) {
        if metrics::is_of_the_machine(metric) && !self.times_alike() {
            return (vec![], vec![]);
        }
        let of = |side: &[Value]| {
            side.iter()
                .filter_map(|record| metrics::number(record, metric))
                .collect()
        };
        (of(&self.base_json), of(&self.new_json))
    }
}

/// Joins base and new by scenario and cell; what only one side has is a difference.
///
/// Where each side is of one scenario, and these differ, only the cells have to match: that they differ is found later.
pub(super) fn pair_up<'r>(base: &[&'r Record], new: &[&'r Record]) -> (Vec<Pair<'r>>, BTreeSet<Difference>) {
    let ids = |side: &[&Record]| side.iter().map(|record| id(record)).collect::<BTreeSet<_>>().len();
    let by_id = ids(base) > 1 || ids(new) > 1;
    let key = |record: &Record| (by_id.then(|| id(record)), name("", &record.cell));
    let mut keys: Vec<_> = Vec::new();
    for record in base.iter().chain(new) {
        if !keys.contains(&key(record)) {
            keys.push(key(record));
        }
    }
    let (mut pairs, mut lonely) = (Vec::new(), BTreeSet::new());
    for wanted in keys {
        let of = |side: &[&'r Record]| {
            side.iter()
                .copied()
                .filter(|record| key(record) == wanted)
                .collect::<Vec<_>>()
        };
        let (base, new) = (of(base), of(new));
        let first = base.first().or(new.first()).expect("each key comes from a record");
        let here = record_name(first);
        if base.is_empty() || new.is_empty() {
            let shown = |side: &[&Record]| {
                if side.is_empty() {
                    "absent".to_owned()
                } else {
                    here.clone()
                }
            };
            let (base, new) = (shown(&base), shown(&new));
            lonely.insert(Difference {
                class: Class::Scenario,
                path: "cell".into(),
                base,
                new,
                mixed: vec![],
            });
            continue;
        }
        let json = |side: &[&Record]| {
            side.iter()
                .filter_map(|record| serde_json::to_value(record).ok())
                .collect()
        };
        let (base_json, new_json) = (json(&base), json(&new));
        pairs.push(Pair {
            id: id(first),
            cell: first.cell.clone(),
            doubt: ended::doubt(&base, &new),
            base,
            new,
            base_json,
            new_json,
        });
    }
    (pairs, lonely)
}

fn id(record: &Record) -> String {
    record
        .scenario
        .get("id")
        .and_then(Value::as_str)
        .unwrap_or("unnamed")
        .to_owned()
}

/// A record's scenario and cell in one line: `exhaustion, close.closer = client`.
#[must_use]
pub fn record_name(record: &Record) -> String {
    name(&id(record), &record.cell)
}

pub(super) fn name(id: &str, cell: &BTreeMap<String, Value>) -> String {
    let keys = cell.iter().map(|(key, value)| match value {
        Value::String(text) => format!("{key} = {text}"),
        other => format!("{key} = {other}"),
    });
    std::iter::once(id.to_owned())
        .chain(keys)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}
