//! The JSON Schemas that are checked in are those of the types.

use std::fs;
use std::path::Path;

use serde_json::Value;

fn assert_current(name: &str, schema: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
    let current = format!("{schema:#}\n");
    if std::env::var_os("LINGER_UPDATE_SCHEMA").is_some_and(|value| value == "1") {
        fs::write(&path, &current).unwrap();
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == current,
        "schema/{name} is not that of the types; regenerate it with `LINGER_UPDATE_SCHEMA=1 cargo test --test schema` \
         and look at the difference: keys are added, never renamed"
    );
}

#[test]
fn the_scenario_schema_is_current() {
    assert_current("scenario.schema.json", &linger::scenario::schema());
}

#[test]
fn the_record_schema_is_current() {
    let schema = serde_json::to_value(schemars::schema_for!(linger::record::schema::Record)).unwrap();
    assert_current("record.schema.json", &schema);
}

#[test]
fn every_scenario_shipped_fits_the_schema() {
    let validator = jsonschema::validator_for(&linger::scenario::schema()).unwrap();
    for id in linger::scenario::catalogue::ids() {
        let text = linger::scenario::catalogue::text(id).unwrap();
        let scenario: Value = toml::from_str(text).unwrap();
        // A key that the matrix gives is required all the same: it is set here as in the first cell.
        let scenario = with_first_cell(scenario);
        let faults: Vec<String> = validator
            .iter_errors(&scenario)
            .map(|fault| fault.to_string())
            .collect();
        assert!(faults.is_empty(), "{id}: {faults:#?}");
    }
}

fn with_first_cell(mut scenario: Value) -> Value {
    if let Some(closers) = scenario.pointer("/matrix/close.closer/0").cloned() {
        scenario["close"]["closer"] = closers;
    }
    scenario
}

/// A schema with its references followed; of a key that may be absent, what it is where it is there.
fn resolved<'s>(schema: &'s Value, root: &'s Value) -> &'s Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let place = root.pointer(reference.trim_start_matches('#'));
        return resolved(place.expect("a reference leads somewhere"), root);
    }
    let ways = schema["anyOf"].as_array().into_iter().flatten();
    let mut there = ways.filter(|way| way["type"] != "null" && way.get("$ref").is_some());
    there.next().map_or(schema, |way| resolved(way, root))
}

/// Names of a table's keys.
fn keys(schema: &Value) -> Vec<String> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties.map(|(key, _)| key.clone()).collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The texts in backticks of a row's cell, `.key` completed by the table of the one before.
fn told(cell: &str) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2) {
        let table = told.last().and_then(|last| last.rsplit_once('.'));
        let name = match (name.strip_prefix('.'), table) {
            (Some(key), Some((table, _))) => format!("{table}.{key}"),
            _ => name.to_owned(),
        };
        told.push(name);
    }
    told
}

#[test]
fn the_readme_has_every_key_of_a_scenario_and_no_other() {
    let schema = linger::scenario::schema();
    let readme = text("README.md");
    let section = readme.split("## Scenarios, key by key").nth(1).unwrap();
    let rows = section
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| `"));
    let told: Vec<String> = rows.flat_map(|row| told(row.split('|').nth(1).unwrap())).collect();
    let mut known = Vec::new();
    for key in keys(&schema) {
        let inner = keys(resolved(&schema["properties"][&key], &schema));
        let whole = [format!("[{key}]"), format!("[[{key}]]"), key.clone()];
        if inner.is_empty() || whole.iter().any(|whole| told.contains(whole)) {
            assert!(
                whole.iter().any(|whole| told.contains(whole)),
                "README.md has no `{key}`"
            );
            known.extend(whole);
        } else {
            for inner in inner {
                let dotted = format!("{key}.{inner}");
                assert!(told.contains(&dotted), "README.md has no `{dotted}`");
                known.push(dotted);
            }
        }
    }
    for name in &told {
        assert!(
            known.contains(name),
            "README.md tells of `{name}`, which no scenario has"
        );
    }
}

#[test]
fn the_table_of_steps_has_every_kind_with_its_arguments() {
    let schema = linger::scenario::schema();
    let step = &schema["$defs"]["Step"];
    let page = text("docs/scenarios.md");
    let row_of = |kind: &str| page.lines().find(|line| line.starts_with(&format!("| `{kind}` |")));
    for kind in keys(step).into_iter().filter(|kind| kind != "as") {
        let row = row_of(&kind).unwrap_or_else(|| panic!("docs/scenarios.md has no step `{kind}`"));
        let cell = row.split('|').nth(2).unwrap();
        // `as `connect`` stands for all that connect takes.
        let other = cell.trim().strip_prefix("as `").and_then(|rest| rest.split_once('`'));
        let borrowed = other
            .and_then(|(other, _)| row_of(other))
            .map(|row| row.split('|').nth(2).unwrap());
        let told: Vec<String> = [Some(cell), borrowed].into_iter().flatten().flat_map(told).collect();
        // What is expected is looked at once: `within` is refused there, though the table of its keys is the await's.
        let is_refused = |argument: &str| argument == "within" && kind.starts_with("expect_");
        let arguments = keys(resolved(&step["properties"][&kind], &schema));
        for argument in arguments.into_iter().filter(|argument| !is_refused(argument)) {
            assert!(
                told.contains(&argument),
                "docs/scenarios.md: `{kind}` has no `{argument}`"
            );
        }
    }
}
