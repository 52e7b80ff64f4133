//! The matrix: axes of keys and values, and the cells that they span.
//!
//! An axis is one key, or several joined by commas that move together. Cells come in the file's order of axes, the
//! last axis quickest.

use serde_json::Value as Json;

use super::key::Key;
use super::problem::{Origin, Problem, did_you_mean, nearest, quoted, shown};
use super::shape::Shape;
use super::tree::{Entry, Node, Value};

/// More trials than this are taken for a slip.
const MOST_TRIALS: usize = 1000;

/// What makes a scenario the one it is, and cannot vary within it.
const FIXED: [&str; 13] = [
    "id",
    "claim",
    "holds",
    "figure",
    "alone",
    "real_time",
    "sources",
    "repeats",
    "matrix",
    "emulated",
    "step",
    "takes",
    "expect",
];

#[derive(Clone, Debug)]
pub(super) struct Axis {
    keys: Vec<Key>,
    /// One value a key in each row.
    rows: Vec<Vec<Node>>,
}

/// One combination of the axes' values.
pub(super) type Cell = Vec<(Key, Node)>;

/// The document's axes; those that are wrong are left out and told in `problems`.
pub(super) fn axes(shape: &Shape, root: &Node, problems: &mut Vec<Problem>) -> Vec<Axis> {
    let entries = root.child("matrix").map(Node::entries).unwrap_or_default();
    let mut axes: Vec<Axis> = Vec::new();
    for entry in entries {
        let mut report = |origin: &Origin, message: String| {
            problems.push(Problem::new(origin, format!("matrix.{}", shown(&entry.key)), message));
        };
        let Ok(keys) = keys(shape, entry).map_err(|message| report(&entry.origin, message)) else {
            continue;
        };
        let taken = |key: &&Key| axes.iter().any(|axis| axis.keys.contains(key));
        if let Some(key) = keys.iter().find(taken) {
            report(&entry.origin, format!("`{key}` is on an axis already; one axis a key"));
        } else if let Some(rows) = rows(&keys, entry, &mut report) {
            axes.push(Axis { keys, rows });
        }
    }
    axes
}

impl Axis {
    /// Holds a key that is on this axis to one value, and drops the rows that become the same by it.
    pub(super) fn narrow(&mut self, key: &Key, node: &Node) {
        for (column, _) in self.keys.iter().enumerate().filter(|(_, own)| key.covers(own)) {
            for row in &mut self.rows {
                row[column] = node.clone();
            }
        }
        let mut seen = Vec::new();
        self.rows.retain(|row| {
            let values = comparable(row);
            let new = !seen.contains(&values);
            seen.push(values);
            new
        });
    }
}

/// Every combination, or the first alone where there are too many, which `problems` then tells.
pub(super) fn cells(axes: &[Axis], repeats: usize, root: &Node, problems: &mut Vec<Problem>) -> Vec<Cell> {
    let count = axes
        .iter()
        .fold(repeats, |count, axis| count.saturating_mul(axis.rows.len()));
    let too_many = count > MOST_TRIALS;
    if too_many {
        let message = format!("{count} trials (cells × repeats); at most {MOST_TRIALS} are allowed");
        let (key, origin) = match root.child("matrix") {
            Some(matrix) if !axes.is_empty() => ("matrix", &matrix.origin),
            _ => (
                "repeats",
                root.child("repeats").map_or(&root.origin, |node| &node.origin),
            ),
        };
        problems.push(Problem::new(origin, key, message));
    }
    axes.iter().fold(vec![Cell::new()], |cells, axis| {
        let rows = if too_many { &axis.rows[..1] } else { &axis.rows[..] };
        cells
            .iter()
            .flat_map(|cell| rows.iter().map(|row| extended(cell, &axis.keys, row)))
            .collect()
    })
}

/// How a cell is told: `close.closer=server, load.rate=500`.
pub(super) fn label(cell: &Cell) -> String {
    let value = |node: &Node| match &node.value {
        Value::Text(text) => text.clone(),
        _ => node.to_json().to_string(),
    };
    let pairs: Vec<String> = cell
        .iter()
        .map(|(key, node)| format!("{key}={}", value(node)))
        .collect();
    pairs.join(", ")
}

fn extended(cell: &Cell, keys: &[Key], row: &[Node]) -> Cell {
    let mut cell = cell.clone();
    cell.extend(keys.iter().cloned().zip(row.iter().cloned()));
    cell
}

fn keys(shape: &Shape, entry: &Entry) -> Result<Vec<Key>, String> {
    entry.key.split(',').map(|text| key(shape, text)).collect()
}

fn key(shape: &Shape, text: &str) -> Result<Key, String> {
    let key = Key::parse(text).map_err(|fault| format!("{} is no key: {fault}", quoted(text)))?;
    if FIXED.contains(&key.segments()[0].as_str()) {
        return Err(format!("{} cannot vary within a scenario", quoted(text)));
    }
    match shape.at(key.segments()) {
        None => {
            let leaves = shape.leaves();
            let meant = nearest(&key.to_string(), leaves.iter().map(String::as_str));
            Err(format!(
                "{} is no key of a scenario{}",
                quoted(text),
                did_you_mean(meant)
            ))
        }
        Some(Shape::Table { .. } | Shape::Map(_)) => {
            Err(format!("{} is a table; an axis is a single key", quoted(text)))
        }
        Some(_) => Ok(key),
    }
}

/// The axis's rows; None where the value is no list, which the check of the structure tells.
fn rows(keys: &[Key], entry: &Entry, report: &mut impl FnMut(&Origin, String)) -> Option<Vec<Vec<Node>>> {
    let Value::List(items) = &entry.node.value else {
        return None;
    };
    if items.is_empty() {
        report(&entry.node.origin, "empty; expected at least one value".to_owned());
        return None;
    }
    if items.len() > MOST_TRIALS {
        let message = format!("{} values; at most {MOST_TRIALS} trials are allowed", items.len());
        report(&entry.node.origin, message);
        return None;
    }
    let mut rows: Vec<Vec<Node>> = Vec::new();
    let mut sound = true;
    for item in items {
        let row = if keys.len() == 1 {
            std::slice::from_ref(item)
        } else {
            item.items()
        };
        if row.len() != keys.len() {
            let came = match &item.value {
                Value::List(_) => format!("a list of {}", row.len()),
                _ => item.described(),
            };
            let message = format!("expected a list of {} values, one a key, came {came}", keys.len());
            report(&item.origin, message);
            sound = false;
        } else if rows.iter().any(|earlier| comparable(earlier) == comparable(row)) {
            report(
                &item.origin,
                format!("{} is there twice; each value once", item.described()),
            );
            sound = false;
        } else {
            rows.push(row.to_vec());
        }
    }
    sound.then_some(rows)
}

/// Values as they compare: 1 and 1.0 are one number.
fn comparable(row: &[Node]) -> Vec<Json> {
    row.iter()
        .map(|node| match node.value {
            Value::Integer(integer) => Json::from(integer as f64),
            _ => node.to_json(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Axis>, Vec<String>) {
        let root = Node::parse(text).unwrap();
        let mut problems = Vec::new();
        let axes = axes(&Shape::of_file(&root), &root, &mut problems);
        (axes, problems.iter().map(Problem::to_string).collect())
    }

    fn labels(axes: &[Axis]) -> Vec<String> {
        let root = Node::parse("").unwrap();
        cells(axes, 1, &root, &mut Vec::new()).iter().map(label).collect()
    }

    #[test]
    fn the_last_axis_is_the_quickest() {
        let (axes, problems) = read("[matrix]\n\"load.rate\" = [2, 1]\n\"close.closer\" = [\"server\", \"client\"]\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            labels(&axes),
            [
                "load.rate=2, close.closer=server",
                "load.rate=2, close.closer=client",
                "load.rate=1, close.closer=server",
                "load.rate=1, close.closer=client"
            ]
        );
    }

    #[test]
    fn keys_joined_by_a_comma_move_together() {
        let (mut axes, problems) = read("[matrix]\n\"load.rate, load.connections\" = [[1, 10], [2, 20]]\n");
        assert_eq!(problems, [""; 0]);
        assert_eq!(
            labels(&axes),
            ["load.rate=1, load.connections=10", "load.rate=2, load.connections=20"]
        );
        let five = Node::from_option("5", &Origin::Option("--set".to_owned()));
        axes[0].narrow(&Key::parse("load.rate").unwrap(), &five);
        assert_eq!(
            labels(&axes),
            ["load.rate=5, load.connections=10", "load.rate=5, load.connections=20"]
        );
        axes[0].narrow(&Key::parse("load.connections").unwrap(), &five);
        assert_eq!(labels(&axes), ["load.rate=5, load.connections=5"]);
    }

    #[test]
    fn what_is_wrong_with_an_axis_is_told_and_the_axis_left_out() {
        let (axes, problems) = read(concat!(
            "[matrix]\n",
            "\"load.rte\" = [1]\n",
            "\"load\" = [1]\n",
            "\"id\" = [\"a\"]\n",
            "\"load.seed\" = []\n",
            "\"load.rate\" = [1, 2, 1.0]\n",
            "\"load.hold, load.duration\" = [[\"1s\"]]\n",
            "\"net.ipv4.tcp_tw_reuse\" = [0]\n",
            "'sysctl.both.\"net.ipv4.tcp_tw_reuse\"' = [1]\n",
        ));
        assert_eq!(axes.len(), 1);
        insta::assert_snapshot!(problems.join("\n"), @r#"
        matrix.load.rte: `load.rte` is no key of a scenario; did you mean `load.rate`?
        matrix.load: `load` is a table; an axis is a single key
        matrix.id: `id` cannot vary within a scenario
        matrix.load.seed: empty; expected at least one value
        matrix.load.rate: the number 1.0 is there twice; each value once
        matrix.load.hold, load.duration: expected a list of 2 values, one a key, came a list of 1
        matrix.sysctl.both."net.ipv4.tcp_tw_reuse": `sysctl.both.net.ipv4.tcp_tw_reuse` is on an axis already; one axis a key
        "#);
    }

    #[test]
    fn too_many_trials_leave_the_first_cell() {
        let (axes, _) = read("[matrix]\n\"load.rate\" = [1, 2]\n\"load.seed\" = [1, 2]\n");
        let root = Node::parse("repeats = 500").unwrap();
        let mut problems = Vec::new();
        assert_eq!(cells(&axes, 500, &root, &mut problems).len(), 1);
        assert_eq!(
            problems[0].message,
            "2000 trials (cells × repeats); at most 1000 are allowed"
        );
    }
}
