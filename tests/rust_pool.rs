//! A Rust pool that nobody here wrote (r2d2 with redis, examples/rust-pool) in `linger exec`: eight connections at the most,
//! and without the pool one a request, as the kernel's own counters have it too.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{linger, records, run, said};
use tempfile::tempdir;

/// Builds the example, in a folder of its own.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rust-pool");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--manifest-path", "examples/rust-pool/Cargo.toml"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &target)
        .stdin(Stdio::null())
        .output()
        .expect("starting cargo");
    assert!(output.status.success(), "{}", said(&output));
    target.join("debug/rust-pool")
}

fn number(record: &Value, pointer: &str) -> u64 {
    let found = record.pointer(pointer).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no number at {pointer}: {record:#}"))
}

/// The record of 200 requests by four threads. What was opened is what both kernels counted.
fn measure(program: &Path, mode: &[&str]) -> Value {
    let directory = tempdir().unwrap();
    let command = [
        &["exec", "--json", "--protocol", "redis", "--", program.to_str().unwrap()],
        mode,
    ]
    .concat();
    let output = run(linger(
        directory.path(),
        &[&command[..], &["--requests", "200", "--threads", "4"]].concat(),
    ));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let record = records(&output).remove(0);
    let opened = number(&record, "/exec/connections/opened");
    assert_eq!(opened, number(&record, "/counters/client/ActiveOpens"), "{record:#}");
    assert_eq!(opened, number(&record, "/counters/server/PassiveOpens"), "{record:#}");
    let time_wait = number(&record, "/time_wait/client/end") + number(&record, "/time_wait/server/end");
    assert_eq!(time_wait, opened, "{:#}", record["closings"]);
    assert_eq!(record["ledger"]["balanced"], true, "{:#}", record["ledger"]);
    record
}

#[test]
fn r2d2_opens_as_many_connections_as_its_pool_has_and_without_it_one_a_request() {
    let program = program();
    let pooled = measure(&program, &["--pool", "8"]);
    // r2d2 fills its pool, whatever is asked of it.
    assert_eq!(number(&pooled, "/exec/connections/opened"), 8);
    // It asks PING before each loan, and the driver says who it is on each connection: none of that is a request.
    assert_eq!(number(&pooled, "/exec/connections/requests"), 200);
    assert!(number(&pooled, "/server/conversations/setup") >= 200);
    let churning = measure(&program, &["--no-pool"]);
    assert_eq!(number(&churning, "/exec/connections/opened"), 200);
    assert_eq!(churning.pointer("/exec/connections/per_request"), Some(&1.0.into()));
}
