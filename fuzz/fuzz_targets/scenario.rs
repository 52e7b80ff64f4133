//! No text makes the reader of scenarios panic: it gives a plan, or the problems, each with its place.
#![no_main]

use linger::scenario;

libfuzzer_sys::fuzz_target!(|text: &str| match scenario::from_text("fuzz.toml", text) {
    Ok(plan) => assert!(!plan.trials.is_empty()),
    Err(problems) => assert!(problems.to_string().contains("fuzz.toml")),
});
