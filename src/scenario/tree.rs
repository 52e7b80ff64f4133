//! A TOML document whose every value knows where it came from: the file's line, or an option of the command line.
//!
//! Options and matrix cells are set into a copy of the tree before it is checked, so that a wrong value is found by
//! the same checks wherever it comes from, and its problem still names its place.

use serde_json::Value as Json;
use toml_edit::{Item, TableLike};

use super::problem::{Origin, Problem, quoted};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// TOML's own type; no key of a scenario takes one.
    DateTime(String),
    List(Vec<Node>),
    /// In the file's order: the matrix's axes depend on it.
    Table(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key is written.
    pub(super) origin: Origin,
    pub(super) node: Node,
}

impl Node {
    /// Reads a file's text; the problem names line and column of a fault of syntax.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let lines = Lines::of(text);
        let document = toml_edit::Document::parse(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let message = format!("not TOML: {}", error.message().replace('\n', " "));
            Problem::new(&lines.origin(start), "", message)
        })?;
        let start = lines.origin(0);
        Ok(Self {
            value: table(document.as_table(), &lines),
            origin: start,
        })
    }

    /// A value of the command line: TOML where it is TOML, else the text itself.
    pub(super) fn from_option(text: &str, origin: &Origin) -> Self {
        let item = text.parse().map_or_else(
            |_| Item::Value(text.into()),
            |value: toml_edit::Value| Item::Value(value),
        );
        let mut node = node(&item, origin, &Lines::of(text));
        node.place(origin);
        node
    }

    pub(super) fn empty_table(origin: &Origin) -> Self {
        Self {
            value: Value::Table(Vec::new()),
            origin: origin.clone(),
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        Some(&entry.node)
    }

    /// Sets a key, making the tables on the way; what is no table gives way to one and is found by the checks.
    pub(super) fn set(&mut self, path: &[String], node: Self) {
        let Some((first, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        if !matches!(self.value, Value::Table(_)) {
            *self = Self::empty_table(&node.origin);
        }
        let Value::Table(entries) = &mut self.value else {
            unreachable!("it was just made a table");
        };
        let index = entries.iter().position(|entry| entry.key == *first).unwrap_or_else(|| {
            entries.push(Entry {
                key: first.clone(),
                origin: node.origin.clone(),
                node: Self::empty_table(&node.origin),
            });
            entries.len() - 1
        });
        entries[index].node.set(rest, node);
    }

    /// For serde. A float that JSON lacks becomes null; the checks have refused it before.
    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Text(text) | Value::DateTime(text) => Json::from(text.as_str()),
            Value::Integer(integer) => Json::from(*integer),
            Value::Float(float) => Json::from(*float),
            Value::Boolean(boolean) => Json::from(*boolean),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Table(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// What it is, for a message: `the text `max``, `the integer 0`, `a table`.
    pub(super) fn described(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("the text {}", quoted(text)),
            Value::Integer(integer) => format!("the integer {integer}"),
            Value::Float(float) => format!("the number {float:?}"),
            Value::Boolean(boolean) => format!("the boolean {boolean}"),
            Value::DateTime(text) => format!("the date {}", quoted(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
        }
    }

    fn place(&mut self, origin: &Origin) {
        self.origin = origin.clone();
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.place(origin)),
            Value::Table(entries) => entries.iter_mut().for_each(|entry| {
                entry.origin = origin.clone();
                entry.node.place(origin);
            }),
            _ => {}
        }
    }
}

fn node(item: &Item, fallback: &Origin, lines: &Lines<'_>) -> Node {
    let origin = item
        .span()
        .map_or_else(|| fallback.clone(), |span| lines.origin(span.start));
    let value = match item {
        Item::None => Value::Table(Vec::new()),
        Item::Value(value) => return leaf(value, &origin, lines),
        Item::Table(inner) => table(inner, lines),
        Item::ArrayOfTables(tables) => Value::List(
            tables
                .iter()
                .map(|inner| Node {
                    value: table(inner, lines),
                    origin: inner
                        .span()
                        .map_or_else(|| origin.clone(), |span| lines.origin(span.start)),
                })
                .collect(),
        ),
    };
    Node { value, origin }
}

fn leaf(value: &toml_edit::Value, fallback: &Origin, lines: &Lines<'_>) -> Node {
    use toml_edit::Value as Toml;
    let origin = value
        .span()
        .map_or_else(|| fallback.clone(), |span| lines.origin(span.start));
    let value = match value {
        Toml::String(text) => Value::Text(text.value().clone()),
        Toml::Integer(integer) => Value::Integer(*integer.value()),
        Toml::Float(float) => Value::Float(*float.value()),
        Toml::Boolean(boolean) => Value::Boolean(*boolean.value()),
        Toml::Datetime(date) => Value::DateTime(date.value().to_string()),
        Toml::Array(items) => Value::List(items.iter().map(|item| leaf(item, &origin, lines)).collect()),
        Toml::InlineTable(inner) => table(inner, lines),
    };
    Node { value, origin }
}

fn table(table: &dyn TableLike, lines: &Lines<'_>) -> Value {
    let entry = |(name, item): (&str, &Item)| {
        let span = table.key(name).and_then(toml_edit::Key::span);
        let origin = lines.origin(span.map_or(0, |span| span.start));
        Entry {
            key: name.to_owned(),
            node: node(item, &origin, lines),
            origin,
        }
    };
    Value::Table(table.iter().map(entry).collect())
}

/// Where each line of a text begins, to turn an offset into line and column.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    fn origin(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let before = self.text.get(self.starts[line - 1]..offset).unwrap_or_default();
        Origin::File {
            line,
            column: before.chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: usize, column: usize) -> Origin {
        Origin::File { line, column }
    }

    #[test]
    fn each_value_and_key_knows_its_place() {
        let root = Node::parse("id = \"a\"\n[load]\n  rate = 5\n[[expect]]\nthat = \"ü\"\nwhen = \"x\"").unwrap();
        assert_eq!(root.child("id").unwrap().origin, at(1, 6));
        let load = root.child("load").unwrap();
        assert_eq!(load.origin, at(2, 1));
        assert_eq!(load.child("rate").unwrap().origin, at(3, 10));
        assert_eq!(load.entries()[0].origin, at(3, 3));
        let expectation = &root.child("expect").unwrap().items()[0];
        assert_eq!(expectation.origin, at(4, 1));
        assert_eq!(expectation.child("when").unwrap().origin, at(6, 8));
    }

    #[test]
    fn a_fault_of_syntax_names_line_and_column() {
        let problem = Node::parse("id = \"a\"\nclaim = = 3\n").unwrap_err();
        assert_eq!(problem.origin, Some(at(2, 9)));
        assert!(problem.message.starts_with("not TOML: "), "{}", problem.message);
    }

    #[test]
    fn an_option_is_toml_where_it_can_be_and_text_where_not() {
        let origin = Origin::Option("--set a=b".to_owned());
        let read = |text| Node::from_option(text, &origin).value;
        assert_eq!(read("5"), Value::Integer(5));
        assert_eq!(read("2.5"), Value::Float(2.5));
        assert_eq!(read("true"), Value::Boolean(true));
        assert_eq!(read("\"5\""), Value::Text("5".to_owned()));
        assert_eq!(read("40000 40099"), Value::Text("40000 40099".to_owned()));
        assert_eq!(read("90s"), Value::Text("90s".to_owned()));
        assert_eq!(read(""), Value::Text(String::new()));
        let list = Node::from_option("[1, 2]", &origin);
        assert!(list.items().iter().all(|item| item.origin == origin));
    }

    #[test]
    fn a_key_is_set_with_the_tables_on_its_way() {
        let mut root = Node::parse("a = 1").unwrap();
        let five = Node::from_option("5", &Origin::Option("--set".to_owned()));
        root.set(&["load".to_owned(), "rate".to_owned()], five.clone());
        root.set(&["a".to_owned(), "b".to_owned()], five);
        assert_eq!(root.to_json(), serde_json::json!({"a": {"b": 5}, "load": {"rate": 5}}));
    }
}
