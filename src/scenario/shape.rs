//! The format's structure, read from the JSON Schema that schemars generates from `spec`: the one source for which
//! keys there are, which of them are required, and what each takes.

use std::fmt;

use serde_json::Value as Json;

use super::problem::listed;
use super::spec::Scenario;
use super::tree::Node;

/// The JSON Schema of a scenario file.
#[must_use]
pub fn schema() -> Json {
    // Serialised, so that its keys come in schemars's order: title and description first.
    serde_json::to_value(schemars::schema_for!(Scenario)).unwrap_or_default()
}

/// What a key takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Table {
        keys: Vec<Field>,
    },
    /// A table of arbitrary keys.
    Map(Box<Shape>),
    List(Box<Shape>),
    Text(Text),
    Choice(Vec<String>),
    Integer {
        least: Option<i64>,
        most: Option<i64>,
    },
    Number {
        least: Option<f64>,
        most: Option<f64>,
    },
    Boolean,
    Either(Vec<Shape>),
    Any,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) shape: Shape,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text {
    /// What a message calls it: the description of a type of its own.
    pub(super) noun: Option<String>,
    pub(super) pattern: Option<String>,
    pub(super) least_length: usize,
}

impl Shape {
    /// The format as a file means it: with steps it is a sequence's, else a load's, and each needs keys of its own.
    pub(super) fn of_file(root: &Node) -> Self {
        let schema = schema();
        let mut shape = Self::of(&schema, &schema);
        let sequence = root.child("step").is_some();
        let alternatives = schema["oneOf"].as_array().into_iter().flatten();
        for alternative in alternatives {
            let keys = alternative["required"].as_array().cloned().unwrap_or_default();
            if keys.contains(&Json::from("step")) == sequence {
                shape.require(&keys);
            }
        }
        shape
    }

    fn require(&mut self, names: &[Json]) {
        if let Self::Table { keys } = self {
            for key in keys {
                key.required |= names.contains(&Json::from(key.name.as_str()));
            }
        }
    }

    fn of(schema: &Json, root: &Json) -> Self {
        if let Some(name) = schema["$ref"].as_str() {
            let pointer = name.trim_start_matches('#');
            return root.pointer(pointer).map_or(Self::Any, |target| Self::of(target, root));
        }
        if let Some(alternatives) = schema["anyOf"].as_array() {
            return Self::of_alternatives(alternatives, root);
        }
        if let Some(names) = names(schema) {
            return Self::Choice(names);
        }
        match kind(schema) {
            Some("object") => Self::of_object(schema, root),
            Some("array") => Self::List(Box::new(Self::of(&schema["items"], root))),
            Some("string") => Self::Text(Text {
                noun: schema["pattern"].as_str().and(schema["description"].as_str()).map(noun),
                pattern: schema["pattern"].as_str().map(str::to_owned),
                least_length: schema["minLength"].as_u64().unwrap_or(0) as usize,
            }),
            Some("integer") => Self::Integer {
                least: schema["minimum"].as_i64(),
                most: schema["maximum"].as_i64(),
            },
            Some("number") => Self::Number {
                least: schema["minimum"].as_f64(),
                most: schema["maximum"].as_f64(),
            },
            Some("boolean") => Self::Boolean,
            _ => Self::Any,
        }
    }

    /// `Option<T>` is T or null; TOML has no null.
    fn of_alternatives(alternatives: &[Json], root: &Json) -> Self {
        let mut shapes: Vec<Self> = alternatives
            .iter()
            .filter(|alternative| alternative["type"] != "null")
            .map(|alternative| Self::of(alternative, root))
            .collect();
        if shapes.len() == 1 {
            shapes.remove(0)
        } else {
            Self::Either(shapes)
        }
    }

    fn of_object(schema: &Json, root: &Json) -> Self {
        let Some(properties) = schema["properties"].as_object() else {
            return Self::Map(Box::new(Self::of(&schema["additionalProperties"], root)));
        };
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let field = |(name, property): (&String, &Json)| Field {
            name: name.clone(),
            required: required.contains(&Json::from(name.as_str())),
            shape: Self::of(property, root),
        };
        Self::Table {
            keys: properties.iter().map(field).collect(),
        }
    }

    pub(super) fn fields(&self) -> &[Field] {
        match self {
            Self::Table { keys } => keys,
            _ => &[],
        }
    }

    /// The shape at a key; None where there is no such key.
    pub(super) fn at(&self, segments: &[String]) -> Option<&Self> {
        let Some((first, rest)) = segments.split_first() else {
            return Some(self);
        };
        match self {
            Self::Table { keys } => keys.iter().find(|field| field.name == *first)?.shape.at(rest),
            Self::Map(item) => item.at(rest),
            _ => None,
        }
    }

    /// Every dotted key that takes a single value, but for those whose names are free.
    pub(super) fn leaves(&self) -> Vec<String> {
        let leaves_of = |field: &Field| match &field.shape {
            table @ Self::Table { .. } => table
                .leaves()
                .into_iter()
                .map(|leaf| format!("{}.{leaf}", field.name))
                .collect(),
            Self::Map(_) | Self::List(_) => Vec::new(),
            _ => vec![field.name.clone()],
        };
        self.fields().iter().flat_map(leaves_of).collect()
    }
}

/// What is allowed, for a message.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table { keys } => {
                let names = listed(keys.iter().map(|field| field.name.as_str()));
                write!(f, "a table with the keys {names}")
            }
            Self::Map(_) => f.write_str("a table"),
            Self::List(_) => f.write_str("a list"),
            Self::Text(text) => f.write_str(text.noun.as_deref().unwrap_or("a text")),
            Self::Choice(names) => write!(f, "one of {}", listed(names.iter().map(String::as_str))),
            Self::Integer { least, most } => write!(f, "an integer{}", bounds(*least, *most)),
            Self::Number { least, most } => write!(f, "a number{}", bounds(*least, *most)),
            Self::Boolean => f.write_str("true or false"),
            Self::Either(shapes) => {
                let shapes: Vec<String> = shapes.iter().map(Self::to_string).collect();
                f.write_str(&shapes.join(" or "))
            }
            Self::Any => f.write_str("any value"),
        }
    }
}

fn bounds<T: fmt::Display>(least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    }
}

/// The names of an enum: schemars writes a list, or a `oneOf` of constants where variants are documented.
fn names(schema: &Json) -> Option<Vec<String>> {
    let name = |value: &Json| value.as_str().map(str::to_owned);
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(name).collect();
    }
    let variants = schema["oneOf"].as_array()?;
    let of_variant = |variant: &Json| match variant["enum"].as_array() {
        Some(values) => values.iter().map(name).collect(),
        None => name(&variant["const"]).map(|only| vec![only]),
    };
    let names: Option<Vec<Vec<String>>> = variants.iter().map(of_variant).collect();
    Some(names?.concat())
}

/// The type's name, null left out.
fn kind(schema: &Json) -> Option<&str> {
    match &schema["type"] {
        Json::String(kind) => Some(kind),
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

/// A description as it reads within a sentence: without its capital and its full stop.
fn noun(description: &str) -> String {
    let text = description.trim_end_matches('.');
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_lowercase().chain(letters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::key::Key;
    use super::*;

    fn load() -> Shape {
        Shape::of_file(&Node::parse("").unwrap())
    }

    fn at(key: &str) -> Option<Shape> {
        load().at(Key::parse(key).unwrap().segments()).cloned()
    }

    #[test]
    fn the_schema_is_understood_whole() {
        fn opaque(shape: &Shape, key: &str, found: &mut Vec<String>) {
            match shape {
                Shape::Any => found.push(key.to_owned()),
                Shape::Table { keys } => keys
                    .iter()
                    .for_each(|field| opaque(&field.shape, &format!("{key}.{}", field.name), found)),
                Shape::Map(item) | Shape::List(item) => opaque(item, &format!("{key}[]"), found),
                Shape::Either(shapes) => shapes.iter().for_each(|shape| opaque(shape, key, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        opaque(&load(), "", &mut found);
        assert_eq!(found, [".matrix[][]", ".emulated[]"], "only these values are free");
    }

    #[test]
    fn bounds_and_names_come_from_the_types() {
        assert_eq!(at("load.rate").unwrap().to_string(), "a number from 0.001 to 10000000");
        assert_eq!(at("close.closer").unwrap().to_string(), "one of `client`, `server`");
        assert_eq!(
            at("lab.topology").unwrap().to_string(),
            "one of `loopback`, `pair`, `nat`, `routed`, `host`"
        );
        assert_eq!(at("load.connections").unwrap().to_string(), "an integer of at least 1");
        assert_eq!(at("net.ipv4.tcp_tw_reuse").unwrap().to_string(), "an integer or a text");
        assert_eq!(
            at("load.hold").unwrap().to_string(),
            "a length of time: a number and a unit, such as \"90s\", \"500ms\" or \"1m 30s\""
        );
        assert_eq!(at("load.rat"), None);
        assert_eq!(at("load.rate.x"), None);
    }
}
