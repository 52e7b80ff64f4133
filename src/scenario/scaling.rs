//! `[emulated]`: the values that a scenario's keys get where an emulator executes the kernel, for all kernels or for some:
//! `"load.connections" = 4100`, or `"load.connections" = { kernel = ">=4.6", value = 4100 }`.

use super::expectations::version_fault;
use super::key::Key;
use super::problem::{Problem, did_you_mean, nearest, quoted, shown};
use super::read::Setting;
use super::shape::Shape;
use super::tree::{Entry, Node, Value};

/// A key's other value.
#[derive(Debug)]
pub(super) struct Scaling {
    pub(super) setting: Setting,
    /// The versions that it is for, in semver's notation; None: all.
    pub(super) kernel: Option<String>,
}

/// Keys of `[emulated]` that no scenario has, and ranges of versions that are none; the values are checked where they are set.
pub(super) fn check(shape: &Shape, root: &Node) -> Vec<Problem> {
    let scaling = match of(root) {
        Ok(scaling) => scaling,
        Err(problem) => return vec![problem],
    };
    let unknown = |scaling: &&Scaling| shape.at(scaling.setting.key.segments()).is_none();
    let problem = |scaling: &Scaling| {
        let name = scaling.setting.key.to_string();
        let leaves = shape.leaves();
        let meant = did_you_mean(nearest(&name, leaves.iter().map(String::as_str)));
        let message = format!("{} is no key of a scenario{meant}", quoted(&name));
        Problem::new(&scaling.setting.node.origin, place(&name), message)
    };
    scaling.iter().filter(unknown).map(problem).collect()
}

/// The file's `[emulated]`, in its order.
///
/// # Errors
/// The first entry that cannot be read.
pub(super) fn of(root: &Node) -> Result<Vec<Scaling>, Problem> {
    let entries = root.child("emulated").map(Node::entries).unwrap_or_default();
    entries.iter().map(scaling).collect()
}

fn scaling(entry: &Entry) -> Result<Scaling, Problem> {
    let key = Key::parse(&entry.key).map_err(|fault| {
        let message = format!("{} is no key: {fault}", quoted(&entry.key));
        Problem::new(&entry.origin, place(&entry.key), message)
    })?;
    let (node, kernel) = match &entry.node.value {
        Value::Table(_) => bounded(entry)?,
        _ => (entry.node.clone(), None),
    };
    Ok(Scaling {
        setting: Setting { key, node },
        kernel,
    })
}

/// `{ kernel = RANGE, value = VALUE }`.
fn bounded(entry: &Entry) -> Result<(Node, Option<String>), Problem> {
    let (kernel, value) = (entry.node.child("kernel"), entry.node.child("value"));
    let (Some(kernel), Some(value), 2) = (kernel, value, entry.node.entries().len()) else {
        let message = "expected a value, or { kernel = RANGE, value = VALUE } for some kernels only";
        return Err(Problem::new(&entry.origin, place(&entry.key), message));
    };
    let place = || format!("{}.kernel", place(&entry.key));
    let Some(range) = kernel.text() else {
        let message = format!(
            "expected a range of versions such as \">=4.6\", found {}",
            kernel.described()
        );
        return Err(Problem::new(&kernel.origin, place(), message));
    };
    match version_fault(range) {
        Some(message) => Err(Problem::new(&kernel.origin, place(), message)),
        None => Ok((value.clone(), Some(range.to_owned()))),
    }
}

fn place(key: &str) -> String {
    format!("emulated.{}", shown(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, Option<String>, String)>, String> {
        let root = Node::parse(&format!("[emulated]\n{text}")).unwrap();
        let told = |scaling: Scaling| {
            let Setting { key, node } = scaling.setting;
            (key.to_string(), scaling.kernel, node.to_json().to_string())
        };
        of(&root)
            .map(|all| all.into_iter().map(told).collect())
            .map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_value_is_for_all_kernels_or_for_those_in_a_range() {
        let text = "\"load.rate\" = 5\n\"load.connections\" = { kernel = \">=4.6\", value = 4100 }";
        let (rate, connections) = ("load.rate".to_owned(), "load.connections".to_owned());
        let expected = [
            (rate, None, "5".to_owned()),
            (connections, Some(">=4.6".to_owned()), "4100".to_owned()),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_table_of_another_shape_is_told_what_was_expected() {
        for (text, said) in [
            ("load = { connections = 5 }", "expected a value, or { kernel"),
            ("\"load.rate\" = { kernel = 4.6, value = 5 }", "found the number 4.6"),
            ("\"load.rate\" = { kernel = \"new\", value = 5 }", "`new`"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(said) && problem.contains("emulated."), "{problem}");
        }
    }
}
