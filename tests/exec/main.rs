//! `linger exec` through the binary, with programs that nobody here wrote: what it counts is what the kernel counted, what
//! the program does is kept, and nothing outlives it.

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod figures;
mod misbehaving;
mod options;
mod servers;

use std::path::Path;
use std::process::Output;

use serde_json::Value;

/// Runs `linger exec OPTIONS --json -- COMMAND` in a directory: the record, and what was said.
fn exec(directory: &Path, options: &[&str], command: &[&str]) -> (Value, Output) {
    ended(support::run(support::linger(directory, &arguments(options, command))))
}

/// The same as an unprivileged user.
fn exec_as_nobody(directory: &Path, options: &[&str], command: &[&str]) -> (Value, Output) {
    ended(support::run(support::linger_as_nobody(
        directory,
        &arguments(options, command),
    )))
}

fn arguments<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [&["exec", "--json"], options, &["--"], command].concat()
}

fn ended(output: Output) -> (Value, Output) {
    let mut records = support::records(&output);
    assert_eq!(records.len(), 1, "{}", support::said(&output));
    (records.remove(0), output)
}

/// A number at a JSON pointer.
fn number(record: &Value, pointer: &str) -> u64 {
    record
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no number at {pointer}: {record:#}"))
}

/// What linger says was opened, and what TIME_WAIT it saw on each side, is what the kernel's own counters say: exactly,
/// and row by row.
fn agrees_with_the_kernel(record: &Value) {
    let opened = number(record, "/exec/connections/opened");
    assert_eq!(opened, number(record, "/counters/server/PassiveOpens"), "{record:#}");
    assert_eq!(
        opened + number(record, "/counters/client/AttemptFails"),
        number(record, "/counters/client/ActiveOpens"),
        "{record:#}"
    );
    assert_eq!(opened, number(record, "/closings/established"), "{record:#}");
    for (side, also) in [("client", "both"), ("server", "both")] {
        let expected = number(record, &format!("/closings/time_wait/{side}"))
            + number(record, &format!("/closings/time_wait/{also}"));
        let made = number(record, &format!("/counters/{side}/TW"));
        assert_eq!(expected, made, "{side}: {:#}", record["closings"]);
        let recycled = number(record, &format!("/counters/{side}/TWRecycled"));
        // What an incoming SYN replaces is in no counter.
        let replaced = match side {
            "server" => number(record, "/closings/server_time_wait_replaced"),
            _ => 0,
        };
        assert_eq!(
            made - recycled - replaced,
            number(record, &format!("/time_wait/{side}/end")),
            "{side}: {record:#}"
        );
    }
    assert_eq!(record["ledger"]["balanced"], true, "{:#}", record["ledger"]);
    assert_eq!(record["ledger"]["unsettled"], Value::Null, "{:#}", record["ledger"]);
}

/// Opened, requests, TIME_WAIT on the client and on the server.
fn figures(record: &Value) -> [u64; 4] {
    [
        "/exec/connections/opened",
        "/exec/connections/requests",
        "/time_wait/client/end",
        "/time_wait/server/end",
    ]
    .map(|pointer| number(record, pointer))
}
