//! Whether a record can have what a limit asks for: told by the record's schema, before anything was measured.

use cel::common::ast::{Expr, IdedExpr};
use serde_json::Value;

use super::super::expression::{GAVE_UP, compile, on_large_stack};
use super::super::paths::{Paths, path_text, step};
use super::limit::Limit;
use super::metrics;
use crate::record::schema::Record;

/// CEL's names of types, which are no keys.
const TYPES: [&str; 10] = [
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
];

/// Every path of the record that a limit needs, such as `exec.connections.opened`.
///
/// # Errors
/// The first that no record has, and what is near to it.
pub fn paths(limit: &Limit) -> Result<Vec<String>, String> {
    match limit {
        Limit::Ratio { metric, .. } => {
            let keys: Vec<&str> = metric.split('.').collect();
            let is_derived = metrics::is_derived(metric);
            if is_derived || leads(&schema(), &keys, Wanted::Number) {
                return Ok(vec![metric.clone()]);
            }
            let near = metrics::nearest(metric, []);
            let near = near.map_or_else(String::new, |near| format!("; the nearest metric is {near}"));
            Err(format!("no record has the number {metric}{near}"))
        }
        Limit::Condition { cel, .. } => on_large_stack(|| of_condition(cel)).unwrap_or_else(|| Err(GAVE_UP.to_owned())),
    }
}

fn of_condition(cel: &str) -> Result<Vec<String>, String> {
    let program = compile(cel)?;
    let paths = Paths::of(program.expression());
    let schema = schema();
    let mut needed = Vec::new();
    for path in paths.read.iter().filter(|path| !paths.is_guarded(path)) {
        let (text, keys) = (path_text(path).unwrap_or_default(), keys(path));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        if TYPES.contains(&text.as_str()) {
            continue;
        }
        if !leads(&schema, &keys, Wanted::Anything) {
            return Err(format!("no record has {text}"));
        }
        needed.push(text);
    }
    Ok(needed)
}

fn keys(path: &IdedExpr) -> Vec<String> {
    if let Expr::Ident(name) = &path.expr {
        return vec![name.clone()];
    }
    step(path).map_or_else(Vec::new, |(parent, key)| [keys(parent), vec![key]].concat())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Number,
    Anything,
}

fn schema() -> Value {
    serde_json::to_value(schemars::schema_for!(Record)).unwrap_or_default()
}

fn leads(schema: &Value, keys: &[&str], wanted: Wanted) -> bool {
    leads_from(schema, schema, keys, wanted)
}

/// Whether `keys` lead from the schema `here` to what is wanted. What a schema leaves open may be anything.
fn leads_from(root: &Value, here: &Value, keys: &[&str], wanted: Wanted) -> bool {
    if let Some(reference) = here.get("$ref").and_then(Value::as_str) {
        let definition = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return definition.is_some_and(|definition| leads_from(root, definition, keys, wanted));
    }
    let choices = ["anyOf", "oneOf", "allOf"]
        .iter()
        .filter_map(|choice| here.get(*choice)?.as_array());
    let choices: Vec<&Value> = choices.flatten().collect();
    if !choices.is_empty() {
        return choices.into_iter().any(|choice| leads_from(root, choice, keys, wanted));
    }
    let types = match here.get("type") {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if types.is_empty() {
        return !here.get("const").is_some_and(|_| wanted == Wanted::Number);
    }
    let Some((key, rest)) = keys.split_first() else {
        return wanted == Wanted::Anything || types.contains(&"number") || types.contains(&"integer");
    };
    if let Some(items) = here.get("items").filter(|_| types.contains(&"array")) {
        let is_index = wanted == Wanted::Anything && key.bytes().all(|byte| byte.is_ascii_digit());
        return is_index && leads_from(root, items, rest, wanted);
    }
    if let Some(property) = here.get("properties").and_then(|properties| properties.get(key)) {
        return leads_from(root, property, rest, wanted);
    }
    // A map's keys may have dots, and are known to nobody.
    match here.get("additionalProperties") {
        Some(Value::Bool(open)) => *open,
        Some(_) => true,
        None => types.contains(&"object") && here.get("properties").is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limit: &str) -> Result<Vec<String>, String> {
        paths(&limit.parse().unwrap())
    }

    #[test]
    fn every_metric_that_is_compared_is_known() {
        for (metric, _) in metrics::METRICS {
            assert_eq!(of(&format!("{metric} > 1.1")), Ok(vec![metric.to_owned()]));
        }
        assert!(of("connects.failed.EADDRNOTAVAIL > 1.1").is_ok());
        assert!(of("counters.client.ActiveOpens > 1.1").is_ok());
    }

    #[test]
    fn what_no_record_has_is_told_with_the_nearest_name() {
        assert_eq!(
            of("exec.nonsense > 1.1"),
            Err("no record has the number exec.nonsense; the nearest metric is exec.seconds".to_owned())
        );
        assert_eq!(
            of("exec.connections.opend > 1.1"),
            Err(
                "no record has the number exec.connections.opend; the nearest metric is exec.connections.opened"
                    .to_owned()
            )
        );
        for no_number in ["exec.connections > 1.1", "exec.command > 1.1", "verdict.status > 1.1"] {
            assert!(of(no_number).is_err(), "{no_number}");
        }
    }

    #[test]
    fn a_conditions_names_are_looked_up_but_for_those_that_it_asks_for_itself() {
        assert_eq!(
            of("new: exec.connections.opened > 8 && connects.failed.exists(it, it.errno == 'EMFILE')"),
            Ok(vec!["exec.connections.opened".to_owned(), "connects.failed".to_owned()])
        );
        assert!(of("new: cell['load.rate'] > 8 || timeline[0].ok > 1").is_ok());
        assert_eq!(
            of("new: exec.nonsense > 8"),
            Err("no record has exec.nonsense".to_owned())
        );
        assert!(of("new: has(exec.nonsense) && exec.nonsense > 8").is_ok());
    }
}
