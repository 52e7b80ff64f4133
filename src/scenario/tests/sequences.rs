//! Of sequences: what a step means, and what it cannot mean.

use std::time::Duration;

use serde_json::json;

use super::{only_problem, problems};
use crate::scenario::from_text;
use crate::scenario::plan::TrialPlan;

const SEQUENCE: &str = r#"# Why: to test the tests of steps.
id = "sequence"
claim = "all is well"
[[step]]
listen = {}
[[step]]
connect = { connection = "a" }
[[step]]
accept = { connection = "a" }
[[step]]
recv = { end = "a.server", text = "x", within = "1s" }
[[step]]
as = "held"
expect_state = { end = "a.client", state = "TIME_WAIT" }
"#;

#[test]
fn a_steps_place_and_defaults_are_in_the_plan() {
    let plan = from_text("x.toml", SEQUENCE).unwrap();
    let trial = &plan.trials[0];
    assert!(trial.is_sequence());
    assert_eq!(trial.steps[4].at, "x.toml:12");
    assert_eq!(trial.steps[4].named.as_deref(), Some("held"));
    assert_eq!(
        serde_json::to_value(&trial.steps[1]).unwrap(),
        json!({"at": "x.toml:6", "connect": {"connection": "a", "port": 7000, "address": 1, "from_port": 0,
            "from_address": 0, "reuse_address": false, "expect": "ok", "within": "10s"}})
    );
    let again: TrialPlan = serde_json::from_value(serde_json::to_value(trial).unwrap()).unwrap();
    assert_eq!(again.steps.len(), 5);
}

#[test]
fn a_sequence_takes_as_long_as_it_says_or_waits() {
    let took = |text: &str| from_text("x.toml", text).unwrap().expected_duration();
    assert_eq!(took(SEQUENCE), Duration::from_secs(1));
    let waiting = format!("{SEQUENCE}[[step]]\nwait = {{ time = \"3s\" }}\n");
    assert_eq!(took(&waiting), Duration::from_secs(4));
    assert_eq!(
        took(&waiting.replace("claim", "takes = \"62s\"\nclaim")),
        Duration::from_secs(62)
    );
}

#[test]
fn steps_that_mean_nothing_are_refused() {
    let cases = [
        ("listen = {}", "listn = {}", "did you mean `listen`?"),
        ("listen = {}", "listen = {}\nmark = { moment = \"m\" }", "came all"),
        (
            "as = \"held\"\nexpect_state = { end = \"a.client\", state = \"TIME_WAIT\" }",
            "as = \"held\"",
            "a step does one thing",
        ),
        (
            "accept = { connection = \"a\" }",
            "mark = { moment = \"m\" }",
            "before it is accepted",
        ),
        (
            "accept = { connection = \"a\" }",
            "accept = { connection = \"b\" }\n[[step]]\naccept = { connection = \"a\" }",
            "no earlier step has a connection `b`",
        ),
        ("end = \"a.server\"", "end = \"a.sever\"", "NAME.client or NAME.server"),
        ("text = \"x\", ", "", "recv needs"),
        (
            "text = \"x\", ",
            "text = \"x\", bytes = 1, ",
            "one of `text` and `bytes`",
        ),
        (
            "state = \"TIME_WAIT\"",
            "state = \"TIME-WAIT\"",
            "did you mean `TIME_WAIT`?",
        ),
        (
            "state = \"TIME_WAIT\"",
            "state = \"TIME_WAIT\", within = \"1s\"",
            "looked at once",
        ),
        (
            "as = \"held\"",
            "as = \"Held\"",
            "lower-case letters, digits and underscores",
        ),
        (
            "connection = \"a\" }\n[[step]]\naccept",
            "connection = \"a\", expect = \"EWHAT\" }\n[[step]]\naccept",
            "no outcome",
        ),
        (
            "connection = \"a\" }\n[[step]]\naccept",
            "connection = \"a\", expect = \"eof\" }\n[[step]]\naccept",
            "only recv",
        ),
        (
            "connection = \"a\" }\n[[step]]\naccept",
            "connection = \"a\", from_address = 2 }\n[[step]]\naccept",
            "beyond client.addresses",
        ),
        (
            "connection = \"a\" }\n[[step]]\naccept",
            "connection = \"a\", port_range = \"9 8\" }\n[[step]]\naccept",
            "LOW ≤ HIGH",
        ),
        (
            "connection = \"a\" }\n[[step]]\naccept",
            "connection = \"a\", port_range = \"8 9\", from_port = 8 }\n[[step]]\naccept",
            "one of port_range and from_port",
        ),
        (
            "[[step]]\nrecv",
            "[[step]]\nundrop = { end = \"a.server\", within = \"1s\" }\n[[step]]\nrecv",
            "nothing is waited for",
        ),
        (
            "[[step]]\nlisten",
            "[lab]\ntopology = \"host\"\n[[step]]\nlisten",
            "choose topology",
        ),
        (
            "[[step]]\nlisten",
            "[lab]\ntopology = \"nat\"\n[[step]]\nlisten",
            "lab.nat_ports: missing",
        ),
        (
            "[[step]]\nlisten",
            "[sysctl.router]\n\"net.a\" = 1\n[[step]]\nlisten",
            "only topology `nat` has a router",
        ),
        ("claim = ", "holds = \"1 +\"\nclaim = ", "holds: not CEL"),
        (
            "[[step]]\nlisten",
            "[[step]]\nclose = { end = \"a.client\", mode = \"half-close\" }\n[[step]]\nlisten",
            "is several steps",
        ),
    ];
    for (from, to, message) in cases {
        assert!(SEQUENCE.contains(from), "{from}");
        let found = problems(&SEQUENCE.replacen(from, to, 1)).join("\n");
        assert!(found.contains(message), "expected {message:?}, came {found:?}");
        assert!(found.starts_with("x.toml:"), "{found}");
    }
}

#[test]
fn what_a_step_keeps_has_a_name_of_its_own() {
    let twice = SEQUENCE.replace("recv = {", "as = \"held\"\nrecv = {");
    let found = only_problem(&twice);
    assert!(
        found.starts_with("x.toml:13:1: step 5: an earlier step keeps what it found as `held` already"),
        "{found}"
    );
}

#[test]
fn steps_are_counted_from_one_as_records_and_verdicts_count_them() {
    let found = only_problem(&SEQUENCE.replace("within = \"1s\"", "within = 1"));
    assert!(found.contains(": step 4: recv.within: expected"), "{found}");
    let found = problems(&SEQUENCE.replace("end = \"a.server\"", "end = \"b.server\"")).join("\n");
    assert!(
        found.contains(": step 4: no earlier step has a connection `b`"),
        "{found}"
    );
}

#[test]
fn a_scenario_is_a_load_or_a_sequence() {
    let both = format!("{SEQUENCE}[close]\ncloser = \"client\"\nmode = \"graceful\"\n");
    assert!(only_problem(&both).contains("a load or a sequence"));
    let neither = "id = \"x\"\nclaim = \"y\"\n";
    assert_eq!(problems(neither).len(), 3, "close.closer, close.mode, load.arrival");
}
