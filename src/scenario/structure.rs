//! Checks a document's structure along the schema: unknown keys, missing keys, types, names, bounds, patterns.
//!
//! Knows nothing of what the keys mean; combinations are checked in `meaning`.

use super::problem::{Origin, Problem, did_you_mean, listed, member, nearest, quoted, shown};
use super::shape::{Shape, Text};
use super::span::{SPAN_PATTERN, Span};
use super::spec::ID_PATTERN;
use super::step::{END_PATTERN, End, NAME_PATTERN, OUTCOME_PATTERN, Outcome};
use super::tree::{Entry, Node, Value};

/// Everything that does not fit the schema.
pub(super) fn check(shape: &Shape, root: &Node) -> Vec<Problem> {
    let mut walk = Walk {
        leaves: shape.leaves(),
        problems: Vec::new(),
    };
    walk.node(shape, "", root);
    walk.problems
}

struct Walk {
    /// Every key of the format, to tell where a misplaced one belongs.
    leaves: Vec<String>,
    problems: Vec<Problem>,
}

impl Walk {
    fn report(&mut self, origin: &Origin, key: &str, message: String) {
        self.problems.push(Problem::new(origin, key, message));
    }

    fn node(&mut self, shape: &Shape, key: &str, node: &Node) {
        match (shape, &node.value) {
            (Shape::Any, _) | (Shape::Boolean, Value::Boolean(_)) => {}
            (Shape::Table { .. }, Value::Table(entries)) => self.table(shape, key, node, entries),
            (Shape::Map(item), Value::Table(entries)) => self.map(item, key, entries),
            (Shape::List(item), Value::List(items)) => {
                for (index, node) in items.iter().enumerate() {
                    self.node(item, &member(key, index), node);
                }
            }
            (Shape::Text(text), Value::Text(came)) => self.text(text, key, node, came),
            (Shape::Choice(names), Value::Text(came)) => self.choice(names, key, node, came),
            (Shape::Integer { least, most }, Value::Integer(came)) => {
                let within = least.is_none_or(|least| *came >= least) && most.is_none_or(|most| *came <= most);
                self.require(within, shape, key, node);
            }
            (Shape::Number { least, most }, Value::Integer(_) | Value::Float(_)) => {
                let came = match node.value {
                    Value::Integer(integer) => integer as f64,
                    Value::Float(float) => float,
                    _ => unreachable!("only numbers come here"),
                };
                let within = least.is_none_or(|least| came >= least) && most.is_none_or(|most| came <= most);
                self.require(came.is_finite() && within, shape, key, node);
            }
            (Shape::Either(_), value) => self.require(same_type(shape, value), shape, key, node),
            _ => self.require(false, shape, key, node),
        }
    }

    fn require(&mut self, holds: bool, shape: &Shape, key: &str, node: &Node) {
        if !holds {
            self.report(
                &node.origin,
                key,
                format!("expected {shape}, came {}", node.described()),
            );
        }
    }

    fn table(&mut self, shape: &Shape, key: &str, node: &Node, entries: &[Entry]) {
        for entry in entries {
            let child = join(key, &entry.key);
            match shape.fields().iter().find(|field| field.name == entry.key) {
                Some(field) => self.node(&field.shape, &child, &entry.node),
                None => self.unknown(shape, &child, entry),
            }
        }
        for field in shape.fields().iter().filter(|field| field.required) {
            if node.child(&field.name).is_none() {
                self.missing(&field.shape, &join(key, &field.name), &node.origin);
            }
        }
    }

    fn unknown(&mut self, shape: &Shape, key: &str, entry: &Entry) {
        let siblings = || shape.fields().iter().map(|field| field.name.as_str());
        let elsewhere = self
            .leaves
            .iter()
            .find(|leaf| leaf.ends_with(&format!(".{}", entry.key)));
        let meant = nearest(&entry.key, siblings()).or(elsewhere.map(String::as_str));
        let message = format!(
            "unknown key{} (known here: {})",
            did_you_mean(meant),
            listed(siblings())
        );
        self.report(&entry.origin, key, message);
    }

    /// A missing table is told by what is missing in it.
    fn missing(&mut self, shape: &Shape, key: &str, origin: &Origin) {
        match shape {
            Shape::Table { .. } => self.node(shape, key, &Node::empty_table(origin)),
            _ => self.report(origin, key, format!("missing; expected {shape}")),
        }
    }

    /// TOML reads an unquoted dotted key as nested tables, where a free key was meant.
    fn map(&mut self, item: &Shape, key: &str, entries: &[Entry]) {
        for entry in entries {
            let child = join(key, &entry.key);
            let nested = !entry.node.entries().is_empty();
            if nested && !same_type(item, &entry.node.value) {
                let quoted = format!("a dotted key is written in quotes here: \"{}\"", dotted(entry));
                self.report(
                    &entry.origin,
                    &child,
                    format!("expected {item}, came a table; {quoted}"),
                );
            } else {
                self.node(item, &child, &entry.node);
            }
        }
    }

    fn text(&mut self, text: &Text, key: &str, node: &Node, came: &str) {
        if came.chars().count() < text.least_length {
            self.report(&node.origin, key, "empty; expected a text".to_owned());
        } else if let Some(fault) = text.pattern.as_deref().and_then(|pattern| pattern_fault(pattern, came)) {
            self.report(&node.origin, key, fault);
        }
    }

    fn choice(&mut self, names: &[String], key: &str, node: &Node, came: &str) {
        if !names.iter().any(|name| name == came) {
            let known = || names.iter().map(String::as_str);
            let meant = did_you_mean(nearest(came, known()));
            let message = format!("{} is not known{meant} (allowed: {})", quoted(came), listed(known()));
            self.report(&node.origin, key, message);
        }
    }
}

/// Why a text does not match: each pattern of the schema stands for a parser of ours, which says more than a regular
/// expression could.
fn pattern_fault(pattern: &str, text: &str) -> Option<String> {
    let told = |fault: String| format!("{} is {fault}", quoted(text));
    match pattern {
        SPAN_PATTERN => text.parse::<Span>().err(),
        ID_PATTERN => {
            let word =
                |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            let message = || format!("{} is no id; expected lower-case words joined by hyphens", quoted(text));
            (!text.split('-').all(word)).then(message)
        }
        END_PATTERN => text.parse::<End>().err().map(told),
        OUTCOME_PATTERN => text.parse::<Outcome>().err().map(told),
        NAME_PATTERN => {
            let first = text.starts_with(|c: char| c.is_ascii_lowercase());
            let rest = text
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            (!(first && rest)).then(|| told("no name; expected lower-case letters, digits and underscores".to_owned()))
        }
        _ => None,
    }
}

fn same_type(shape: &Shape, value: &Value) -> bool {
    if let Shape::Either(shapes) = shape {
        return shapes.iter().any(|shape| same_type(shape, value));
    }
    matches!(
        (shape, value),
        (Shape::Any, _)
            | (Shape::Boolean, Value::Boolean(_))
            | (Shape::Text(_) | Shape::Choice(_), Value::Text(_))
            | (Shape::Integer { .. }, Value::Integer(_))
            | (Shape::Number { .. }, Value::Integer(_) | Value::Float(_))
            | (Shape::List(_), Value::List(_))
            | (Shape::Table { .. } | Shape::Map(_), Value::Table(_))
    )
}

fn join(key: &str, child: &str) -> String {
    let child = shown(child);
    if key.is_empty() {
        child
    } else if key
        .strip_prefix("step ")
        .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        format!("{key}: {child}")
    } else {
        format!("{key}.{child}")
    }
}

/// The dotted key that nested tables were meant to be, along their first entries.
fn dotted(entry: &Entry) -> String {
    match entry.node.entries() {
        [first, ..] => format!("{}.{}", entry.key, dotted(first)),
        [] => entry.key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let root = Node::parse(text).unwrap();
        check(&Shape::of_file(&root), &root)
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    const HEAD: &str = "id = \"a\"\nclaim = \"b\"\nclose = { closer = \"client\", mode = \"graceful\" }\n";

    fn with_head(text: &str) -> Vec<String> {
        problems(&format!("{HEAD}{text}"))
    }

    #[test]
    fn every_pattern_of_the_schema_has_its_parser() {
        fn patterns(value: &serde_json::Value, found: &mut Vec<String>) {
            if let Some(pattern) = value["pattern"].as_str() {
                found.push(pattern.to_owned());
            }
            let children: Vec<&serde_json::Value> = match value {
                serde_json::Value::Object(map) => map.values().collect(),
                serde_json::Value::Array(list) => list.iter().collect(),
                _ => Vec::new(),
            };
            children.into_iter().for_each(|child| patterns(child, found));
        }
        let mut found = Vec::new();
        patterns(&super::super::shape::schema(), &mut found);
        assert!(!found.is_empty());
        for pattern in found {
            assert!(
                pattern_fault(&pattern, "no such thing!").is_some(),
                "no parser for {pattern}"
            );
        }
    }

    #[test]
    fn a_sound_document_has_no_problem() {
        assert_eq!(with_head("load = { arrival = \"max\", hold = \"1m 30s\" }"), [""; 0]);
    }

    #[test]
    fn a_missing_table_is_told_by_its_missing_keys() {
        let found = problems("id = \"a\"\nclaim = \"b\"\n[load]\narrival = \"max\"\n");
        assert_eq!(
            found,
            [
                "close.closer: missing; expected one of `client`, `server`",
                "close.mode: missing; expected one of `graceful`, `abortive`, `lingering`, `half-close`, `quit-wait`, `quit-close`"
            ]
        );
    }

    #[test]
    fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
        let found = with_head("load = { arrival = \"max\", topology = \"pair\" }");
        assert!(found[0].contains("did you mean `lab.topology`?"), "{found:?}");
    }

    #[test]
    fn an_unquoted_sysctl_is_told_to_be_quoted() {
        let found = with_head("load = { arrival = \"max\" }\nsysctl.client.net.ipv4.tcp_tw_reuse = 1\n");
        assert!(found[0].contains("\"net.ipv4.tcp_tw_reuse\""), "{found:?}");
        let found = with_head("load = { arrival = \"max\" }\nmatrix.close.closer = [\"client\"]\n");
        assert!(found[0].contains("\"close.closer\""), "{found:?}");
    }

    #[test]
    fn numbers_are_held_to_their_bounds() {
        let found = with_head("load = { arrival = \"constant\", rate = nan, in_flight = 0, connections = 1.5 }");
        assert_eq!(
            found,
            [
                "load.rate: expected a number from 0.001 to 10000000, came the number NaN",
                "load.in_flight: expected an integer from 1 to 4000000, came the integer 0",
                "load.connections: expected an integer of at least 1, came the number 1.5"
            ]
        );
    }
}
