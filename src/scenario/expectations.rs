//! Checks that expectations can be read: CEL in `when`, `that`, `holds` and `figure`, versions in `kernel` and `kernels`.
//!
//! What they say of a record is judged elsewhere; a typing slip must not cost a run to be found.

use super::problem::{Problem, quoted};
use super::tree::Node;

/// The CEL parser descends some 200 KiB of stack a bracket (debug build), and a thread has 2 MiB.
const DEEPEST: usize = 8;

/// Characters of an expression: the parser's trees grow as deep as a chain of operators is long.
const LONGEST: usize = 2000;

/// Every expectation that cannot be read. They are the same in each cell, so once a document is enough.
pub(super) fn check(root: &Node) -> Vec<Problem> {
    let expectations = root.child("expect").map(Node::items).unwrap_or_default();
    let mut problems = Vec::new();
    for name in ["holds", "figure"] {
        if let Some(node) = root.child(name)
            && let Some(message) = node.text().and_then(cel_fault)
        {
            problems.push(Problem::new(&node.origin, name.to_owned(), message));
        }
    }
    if let Some(node) = root.child("kernels")
        && let Some(message) = node.text().and_then(version_fault)
    {
        problems.push(Problem::new(&node.origin, "kernels".to_owned(), message));
    }
    for (index, expectation) in expectations.iter().enumerate() {
        for name in ["when", "kernel", "that"] {
            let Some(node) = expectation.child(name) else {
                continue;
            };
            let fault = if name == "kernel" { version_fault } else { cel_fault };
            if let Some(message) = node.text().and_then(fault) {
                problems.push(Problem::new(&node.origin, format!("expect[{index}].{name}"), message));
            }
        }
    }
    problems
}

fn cel_fault(text: &str) -> Option<String> {
    if text.len() > LONGEST || nesting(text) > DEEPEST {
        return Some(format!(
            "too long or too deep to be read as CEL; at most {LONGEST} characters and {DEEPEST} brackets within \
             each other are allowed"
        ));
    }
    let faults = cel::Program::compile(text).err()?;
    let first = faults.errors.first()?;
    // The parser goes on with every token that it would have taken, which helps nobody.
    let said = first.msg.split(" expecting {").next().unwrap_or_default();
    let (line, column) = first.pos;
    Some(format!("not CEL: {} at its line {line}, column {column}", quoted(said)))
}

/// How many brackets are open at once, at most; those in quotes do not count.
fn nesting(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    let mut quote = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(_), '\\') => drop(letters.next()),
            (Some(start), end) if start == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '(' | '[' | '{') => open += 1,
            (None, ')' | ']' | '}') => open = open.saturating_sub(1),
            (None, _) => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// Why a text is no range of kernel versions, if it is none.
pub(super) fn version_fault(text: &str) -> Option<String> {
    let fault = semver::VersionReq::parse(text).err()?;
    let came = quoted(text);
    Some(format!(
        "{came} is no range of versions: {fault}; expected such as \">=4.1, <6.8\""
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_counted_outside_quotes() {
        assert_eq!(nesting("a"), 0);
        assert_eq!(nesting("a.map(f, f['b']) == [c(d)]"), 2);
        assert_eq!(nesting("a == '((((' && b == \"\\\"(((\""), 0);
    }

    #[test]
    fn the_deepest_and_the_longest_allowed_can_be_read_on_a_thread_of_two_mebibytes() {
        let brackets = [
            ("(", ")"),
            ("[", "]"),
            ("!(b && c || d ? e : ", ")"),
            ("{1: ", "}"),
            ("a.map(f, ", ")"),
        ];
        for (open, close) in brackets {
            let nested = |depth: usize| format!("{}a{}", open.repeat(depth), close.repeat(depth));
            assert_eq!(cel_fault(&nested(DEEPEST)), None);
            assert!(cel_fault(&nested(DEEPEST + 1)).unwrap().contains("too deep"));
        }
        for chain in ["a+", "a.", "a&&", "!"] {
            let long = |letters: usize| format!("{}a", chain.repeat(letters / chain.len()));
            assert_eq!(cel_fault(&long(LONGEST - 10)), None);
            assert!(cel_fault(&long(LONGEST * 2)).unwrap().contains("too long"));
        }
    }
}
