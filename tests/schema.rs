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
