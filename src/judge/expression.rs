//! The border to CEL: compiles expressions and evaluates them over a record.
//!
//! Three things are stricter here than in CEL, so that what was not measured is never taken for a pass:
//! - `null` is absent. CEL would answer `null != 5` with true; here the name is missing, and `has()` asks whether it is.
//! - A name that the record lacks makes the part unknown that needs it, and the whole where it hangs on that part
//!   (`truth`): CEL would answer `[missing].size() == 1` with true. A name that the same expression asks for by `has()` or `in`
//!   is exempt, and so is an index beyond a list's end, which depends on what was measured: both are left to CEL, which takes
//!   the branch that is there.
//! - A panic in the parser or interpreter is an error like any other.
//!
//! Integers of the record are CEL's int, all other numbers double. They compare with each other; CEL has no arithmetic
//! between them (`2 * 1.5`), so `double()` must say which is meant.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::common::ast::IdedExpr;
use cel::objects::Key;
use cel::{Context, ExecutionError, Program, Value};
use serde_json::Value as Json;

use super::figure::Figure;
use super::language;
use super::paths::{Paths, path_text, step};
use super::truth::Truth;
use crate::record::schema::Record;

/// Longer expressions are refused, in bytes: a stack that overflows cannot be caught as a panic can.
const LONGEST: usize = 2048;
/// The stack for CEL: parser and interpreter call themselves at each nesting, the parser some ten times and in large
/// frames. The longest expression of nothing but brackets takes half of this in an unoptimised build.
const STACK: usize = 64 << 20;

pub(super) const GAVE_UP: &str = "the CEL interpreter gave up";

/// Does CEL's work on a stack that it cannot exhaust; None when there is no thread to be had.
pub(super) fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// Whether `expression` is CEL.
///
/// # Errors
/// Where it is not, and what is allowed.
pub fn check(expression: &str) -> Result<(), String> {
    on_large_stack(|| compile(expression).map(drop)).unwrap_or_else(|| Err(GAVE_UP.to_owned()))
}

/// Whether `expression` is true of the record.
///
/// # Errors
/// It is not CEL, needs what the record lacks, or is neither true nor false.
pub fn is_true(record: &Record, expression: &str) -> Result<bool, String> {
    on_large_stack(|| Evidence::new(record).is_true(expression)).unwrap_or_else(|| Err(GAVE_UP.to_owned()))
}

/// Whether `expression` reads the record's key `name`, in one record or in one of `records`.
#[must_use]
pub fn reads(expression: &str, name: &str) -> bool {
    let read = on_large_stack(|| compile(expression).is_ok_and(|program| Paths::of(program.expression()).reads(name)));
    read.unwrap_or(false)
}

/// Compiles an expression; to be called [`on_large_stack`].
///
/// # Errors
/// As [`check`].
pub(super) fn compile(text: &str) -> Result<Program, String> {
    const ALLOWED: &str = "allowed is a CEL expression over the record's keys that is true or false, such as \
                           `outcomes.ok == prediction.capacity`";
    if text.trim().is_empty() {
        return Err(format!("the expression is empty; {ALLOWED}"));
    }
    if text.len() > LONGEST {
        return Err(format!(
            "the expression has {} bytes, the longest allowed is {LONGEST}",
            text.len()
        ));
    }
    match catch_unwind(|| Program::compile(text)) {
        Ok(Ok(program)) => Ok(program),
        Ok(Err(errors)) => {
            let (line, column, what) = errors.errors.first().map_or((1, 1, "not CEL"), |first| {
                (first.pos.0.max(1), first.pos.1.max(1), first.msg.as_str())
            });
            let what = what.trim_start_matches("Syntax error: ");
            Err(format!("`{text}`, line {line}, column {column}: {what}; {ALLOWED}"))
        }
        Err(_) => Err(format!("`{text}` is more than the CEL parser can read; {ALLOWED}")),
    }
}

/// What was measured as CEL sees it. To be used [`on_large_stack`].
pub(super) struct Evidence(Context<'static, 'static>);

impl Evidence {
    /// One record: each top-level key a variable.
    pub(super) fn new(record: &Record) -> Self {
        let mut context = language::context();
        if let Ok(Json::Object(keys)) = serde_json::to_value(record) {
            for (key, json) in keys {
                if let Some(value) = cel_value(json) {
                    context.add_variable_from_value(key, value);
                }
            }
        }
        Self(context)
    }

    /// Several records: the list `records`.
    pub(super) fn of_all(records: &[&Record]) -> Self {
        let mut context = language::context();
        let values = records.iter().map(|record| {
            let json = serde_json::to_value(record).unwrap_or_default();
            cel_value(json).unwrap_or(Value::Null)
        });
        context.add_variable_from_value("records", values.collect::<Vec<_>>());
        Self(context)
    }

    /// Whether `text` is true of the record.
    ///
    /// # Errors
    /// What is missing, or not as the expression needs it.
    pub(super) fn is_true(&self, text: &str) -> Result<bool, String> {
        let program = compile(text)?;
        let asked = Paths::of(program.expression());
        match self.scope(&asked).truth(program.expression()) {
            Truth::True => Ok(true),
            Truth::False => Ok(false),
            Truth::Unknown(why) => Err(why),
        }
    }

    /// What the expression `text` gives, in words.
    pub(super) fn figure(&self, text: &str) -> Figure {
        let program = match compile(text) {
            Ok(program) => program,
            Err(why) => return Figure::untold(why),
        };
        let asked = Paths::of(program.expression());
        self.scope(&asked).figure(program.expression())
    }

    fn scope<'s>(&'s self, asked: &'s Paths<'s>) -> Scope<'s> {
        Scope {
            context: &self.0,
            asked,
        }
    }

    /// The value of a part of an expression.
    ///
    /// # Errors
    /// Why it has none.
    pub(super) fn value(&self, node: &IdedExpr) -> Result<Value, String> {
        value(&self.0, node)
    }

    /// The paths of the record that occur in an expression with their values: `outcomes.ok = 28231`.
    pub(super) fn quoted_values(&self, node: &IdedExpr) -> Vec<String> {
        let mut quoted = Vec::new();
        for path in Paths::of(node).read {
            if let (Some(text), Ok(value)) = (path_text(path), self.value(path)) {
                let text = format!("{text} = {}", shown(&value));
                if !quoted.contains(&text) {
                    quoted.push(text);
                }
            }
        }
        quoted
    }
}

/// Where an expression's names are looked up: the record, and within `all` and `exists` the member in hand.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s> {
    pub(super) context: &'s Context<'s, 's>,
    /// The whole expression's paths: what it asks for by itself may be missing.
    asked: &'s Paths<'s>,
}

impl Scope<'_> {
    /// The same expression, its names looked up in `context`.
    pub(super) fn within<'s>(&'s self, context: &'s Context<'s, 's>) -> Scope<'s> {
        Scope {
            context,
            asked: self.asked,
        }
    }

    /// What CEL gives for an expression all of whose names are there.
    ///
    /// # Errors
    /// Which name is missing, or why there is no value.
    pub(super) fn measured(&self, node: &IdedExpr) -> Result<Value, String> {
        match self.first_missing(node) {
            Some(missing) => Err(missing),
            None => value(self.context, node),
        }
    }

    fn resolve(&self, node: &IdedExpr) -> Result<Value, Option<ExecutionError>> {
        resolve(self.context, node)
    }

    fn first_missing(&self, node: &IdedExpr) -> Option<String> {
        let paths = Paths::of(node);
        let missing = |path: &&&IdedExpr| {
            !self.asked.is_guarded(path)
                && !matches!(
                    self.resolve(path),
                    Ok(_) | Err(Some(ExecutionError::IndexOutOfBounds(_)))
                )
        };
        paths.read.iter().find(missing).map(|path| self.missing(path))
    }

    /// Says which name is missing, and which is nearest to it among those that are there.
    fn missing(&self, path: &IdedExpr) -> String {
        let whole = path_text(path).unwrap_or_default();
        let (mut node, mut name) = (path, None);
        while self.resolve(node).is_err() {
            let Some((parent, key)) = step(node) else { break };
            (node, name) = (parent, Some(key));
        }
        let known: Vec<String> = match self.resolve(node) {
            Ok(Value::Map(map)) => map.map.keys().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let nearest = name.and_then(|name| {
            known
                .iter()
                .map(|key| (strsim::jaro_winkler(key, &name), key))
                .filter(|(likeness, _)| *likeness > 0.85)
                .max_by(|a, b| a.0.total_cmp(&b.0))
        });
        let hint = nearest.map_or(String::new(), |(_, key)| format!("; the nearest name there is `{key}`"));
        format!("the record has no `{whole}`, or it is null: not measured here{hint}")
    }
}

/// None as the error is a panic of the interpreter.
fn resolve(context: &Context<'_, '_>, node: &IdedExpr) -> Result<Value, Option<ExecutionError>> {
    catch_unwind(AssertUnwindSafe(|| Value::resolve(node, context)))
        .map_err(|_| None)?
        .map_err(Some)
}

fn value(context: &Context<'_, '_>, node: &IdedExpr) -> Result<Value, String> {
    resolve(context, node).map_err(|error| error.map_or_else(|| GAVE_UP.to_owned(), |error| explained(&error)))
}

/// JSON as a CEL value; None for null.
pub(super) fn cel_value(json: Json) -> Option<Value> {
    Some(match json {
        Json::Null => return None,
        Json::Bool(truth) => Value::Bool(truth),
        Json::String(text) => text.into(),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(large)) => Value::UInt(large),
            (None, None) => Value::Float(number.as_f64()?),
        },
        Json::Array(items) => Value::List(
            items
                .into_iter()
                .map(|item| cel_value(item).unwrap_or(Value::Null))
                .collect::<Vec<_>>()
                .into(),
        ),
        Json::Object(keys) => Value::from(
            keys.into_iter()
                .filter_map(|(key, json)| Some((Key::from(key), cel_value(json)?)))
                .collect::<HashMap<Key, Value>>(),
        ),
    })
}

/// A value as a verdict quotes it; long lists and maps are cut.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 120;
    let text = match value {
        Value::Int(int) => int.to_string(),
        Value::UInt(uint) => uint.to_string(),
        Value::Float(float) => format!("{float:?}"),
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::Null => "null".to_owned(),
        Value::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Map(map) => {
            let mut entries: Vec<String> = map
                .map
                .iter()
                .map(|(key, value)| format!("{key}: {}", shown(value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(", "))
        }
        other => format!("{other:?}"),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn explained(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no key `{key}`, or it is null: not measured here"),
        ExecutionError::UndeclaredReference(name) => format!("there is no name or function `{name}`"),
        ExecutionError::IndexOutOfBounds(index) => format!("the list has no element {}", shown(index)),
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} cannot be compared with {}", shown(left), shown(right))
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => format!(
            "`{operator}` has no meaning for {} and {}; CEL does not mix int and double in arithmetic: write double(x)",
            shown(left),
            shown(right)
        ),
        ExecutionError::FunctionError { function, message } if function == language::INCONCLUSIVE => message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_tells_where_it_is_and_what_is_allowed() {
        let error = check("outcomes.ok == == 3").unwrap_err();
        assert!(error.contains("line 1, column 16"), "{error}");
        assert!(error.contains("allowed is a CEL expression"), "{error}");
        assert!(check("  ").unwrap_err().contains("empty"));
        assert_eq!(check("outcomes.ok == prediction.capacity"), Ok(()));
    }

    #[test]
    fn an_expression_reads_a_key_of_one_record_of_several_or_of_each() {
        for expression in [
            "memory.measured_bytes > 5",
            "records[0].memory.measured_bytes > 5 && records[0].outcomes.ok == 1",
            "records.all(r, r.memory.measured_bytes > 5)",
            "records[0]['memory'].measured_bytes > 5",
            "size(memory) > 0",
        ] {
            assert!(reads(expression, "memory"), "{expression}");
        }
        for expression in [
            "captured.memory.state == 'ABSENT'",
            "records[0].captured.memory.state == 'memory'",
            "records.all(r, r.cell.memory == 1)",
            "has(memory) && outcomes.ok == 1",
            "memory.",
        ] {
            assert!(!reads(expression, "memory"), "{expression}");
        }
    }

    #[test]
    fn the_longest_and_deepest_expressions_do_not_exhaust_the_stack() {
        let record = crate::record::fixture::exhaustion();
        for (open, close) in [
            ("1+", ""),
            ("!", ""),
            ("-", ""),
            ("(", ")"),
            ("[", "]"),
            ("{1:", "}"),
            ("a.", ""),
            ("a[", "]"),
            ("true?", ":1"),
            ("true?1:", ""),
            ("true&&", ""),
            ("false||", ""),
            ("size(", ")"),
            ("1<", ""),
            ("[1].all(x,", ")"),
            ("", "[0]"),
            ("", ".a"),
        ] {
            for times in [LONGEST / (open.len() + close.len()), 90, 24, 8] {
                let times = times.min((LONGEST - 1) / (open.len() + close.len()));
                let text = format!("{}1{}", open.repeat(times), close.repeat(times));
                let judged = on_large_stack(|| Evidence::new(&record).is_true(&text).is_ok());
                assert!(judged.is_some(), "{text}");
                let _ = check(&open.repeat(times));
            }
        }
        assert!(check(&"1".repeat(LONGEST + 1)).unwrap_err().contains("longest allowed"));
    }
}
