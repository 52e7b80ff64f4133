//! Tests of the whole way from a scenario's text to its plan or its problems.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::plan::Plan;
use super::spec::Topology;
use super::{Problems, from_text, load};

const SOUND: &str = r#"# Why: to test
# the tests.
id = "sound"
claim = "all is well"
[close]
closer = "client"
mode = "graceful"
[load]
arrival = "constant"
rate = 500
duration = "2s"
"#;

#[test]
fn an_expression_nested_beyond_reason_is_a_problem_and_no_panic() {
    let nested = format!("{SOUND}[[expect]]\nthat = \"{}\"\n", "(".repeat(5000));
    assert!(only_problem(&nested).contains("too deep"));
    let nested = format!("{SOUND}[lab]\nfamily = {}\n", "[".repeat(5000));
    assert!(only_problem(&nested).contains("not TOML"));
}

/// The plan of a catalogue scenario with `--set` options.
fn set(id: &str, sets: &[&str]) -> Result<Plan, Problems> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    load(&[id.to_owned()], &sets, None, None).map(|mut plans| plans.remove(0))
}

fn problems(text: &str) -> Vec<String> {
    match from_text("x.toml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn only_problem(text: &str) -> String {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

#[test]
fn defaults_are_filled_in() {
    let plan = from_text("x.toml", SOUND).unwrap();
    assert_eq!((plan.id.as_str(), plan.why.as_str()), ("sound", "to test the tests."));
    let [trial] = &plan.trials[..] else {
        panic!("one trial without a matrix, not {}", plan.trials.len());
    };
    insta::assert_json_snapshot!(trial);
    // Half a second for the lab.
    assert_eq!(plan.expected_duration(), Duration::from_millis(2500));
}

#[test]
fn echo_makes_one_request_a_connection() {
    let plan = from_text("x.toml", &format!("{SOUND}[server]\nprotocol = \"echo\"\n")).unwrap();
    assert_eq!(plan.trials[0].load.requests_per_connection, 1);
}

#[test]
fn repeats_are_interleaved() {
    let text = format!("repeats = 2\n{SOUND}[matrix]\n\"load.seed\" = [1, 2]\n");
    let plan = from_text("x.toml", &text).unwrap();
    let order: Vec<(u32, u64)> = plan
        .trials
        .iter()
        .map(|trial| (trial.repeat, trial.load.seed))
        .collect();
    assert_eq!(order, [(1, 1), (1, 2), (2, 1), (2, 2)]);
    assert_eq!(
        plan.trials[1].cell,
        BTreeMap::from([("load.seed".to_owned(), json!(2))])
    );
}

#[test]
fn an_expectation_knows_its_line() {
    let plan = from_text("dir/x.toml", &format!("{SOUND}[[expect]]\nthat = \"true\"\n")).unwrap();
    assert_eq!(plan.trials[0].expect[0].at, "dir/x.toml:13 expect[0].that");
    let plan = set("exhaustion", &[]).unwrap();
    assert!(plan.trials[0].expect[0].at.starts_with("scenarios/exhaustion.toml:"));
}

#[test]
fn a_key_required_by_the_format_may_come_from_the_matrix() {
    let text = SOUND.replace("closer = \"client\"\n", "");
    assert!(only_problem(&text).contains("close.closer: missing"));
    assert_eq!(
        problems(&format!(
            "{text}[matrix]\n\"close.closer\" = [\"client\", \"server\"]\n"
        )),
        [""; 0]
    );
}

#[test]
fn set_reaches_sysctls_quoted_bare_and_on_both_sides() {
    for key in [
        "sysctl.client.net.ipv4.tcp_tw_reuse",
        "sysctl.client.\"net.ipv4.tcp_tw_reuse\"",
        "sysctl.\"client\".'net.ipv4.tcp_tw_reuse'",
    ] {
        let plan = set("exhaustion", &[&format!("{key}=2")]).unwrap();
        let sysctl = &plan.trials[0].sysctl;
        assert_eq!(sysctl.client["net.ipv4.tcp_tw_reuse"], "2");
        assert!(!sysctl.server.contains_key("net.ipv4.tcp_tw_reuse"));
    }
    let plan = set("exhaustion", &["net.ipv4.ip_local_port_range=40000 40099"]).unwrap();
    let sysctl = &plan.trials[0].sysctl;
    assert_eq!(sysctl.client["net.ipv4.ip_local_port_range"], "40000 40099");
    assert_eq!(sysctl.server["net.ipv4.ip_local_port_range"], "40000 40099");
}

#[test]
fn set_holds_an_axis_to_its_value_and_keeps_it_in_the_cell() {
    let plan = set("reuse-matrix", &["close.closer=server", "net.ipv4.tcp_timestamps=0"]).unwrap();
    assert_eq!(plan.trials.len(), 3);
    for trial in &plan.trials {
        assert_eq!(trial.cell["close.closer"], "server");
        assert_eq!(trial.cell["sysctl.both.net.ipv4.tcp_timestamps"], 0);
        assert_eq!(trial.sysctl.client["net.ipv4.tcp_timestamps"], "0");
    }
    let plan = set("reuse-needs-timestamps", &["net.ipv4.tcp_timestamps=1"]).unwrap();
    assert_eq!(plan.trials.len(), 1, "both axes are of that sysctl");
    let plan = set("active-closer-holds", &["matrix.close.closer=[\"server\"]"]).unwrap();
    assert_eq!(plan.trials.len(), 1);
}

#[test]
fn topology_and_repeats_come_from_the_command_line() {
    let id = ["reuse-loopback-default".to_owned()];
    let plan = load(&id, &[], Some(3), Some(Topology::Pair)).unwrap().remove(0);
    assert_eq!(plan.trials.len(), 3);
    assert!(plan.trials.iter().all(|trial| trial.lab.topology == Topology::Pair));
    let found = load(&id, &[], Some(0), Some(Topology::Host)).unwrap_err().to_string();
    assert!(
        found.contains("--repeat 0: repeats: expected an integer from 1 to 1000"),
        "{found}"
    );
    assert!(found.contains("topology `host` sets no sysctl"), "{found}");
}

#[test]
fn a_fault_of_an_option_names_the_option() {
    let found = set("exhaustion", &["load.rat=5", "nonsense", "load.in_flight=0"]).unwrap_err();
    insta::assert_snapshot!(found);
}

#[test]
fn an_unknown_id_is_told_the_nearest_and_a_file_that_cannot_be_read_why() {
    let arguments = ["exhuastion", "no/such.toml", "/dev/zero"].map(str::to_owned);
    let found = load(&arguments, &[], None, None).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found[0].contains("did you mean `exhaustion`?"), "{found:?}");
    assert!(found[1].starts_with("no/such.toml: cannot be read: "), "{found:?}");
    assert!(found[2].contains("larger than 1 MiB"), "{found:?}");
}

#[test]
fn a_file_is_read_by_its_path() {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(SOUND.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let plan = load(std::slice::from_ref(&path), &[], None, None).unwrap().remove(0);
    assert_eq!(plan.origin, path);
    file.write_all(b"\xff").unwrap();
    let found = load(&[path], &[], None, None).unwrap_err().to_string();
    assert!(found.contains("not UTF-8 at byte "), "{found}");
}

#[test]
fn more_pairs_than_memory_can_follow_are_refused_with_what_is_allowed() {
    let text = |ports: u32, tuples: bool| {
        let text = SOUND.replace("[close]", &format!("[server]\naddresses = 4\nports = {ports}\n[close]"));
        format!("{text}[observe]\ntuples = {tuples}\n")
    };
    let found = only_problem(&text(1_025, true));
    assert!(found.contains("observe.tuples: 4100 pairs"), "{found}");
    assert!(found.contains("512 KiB") && found.contains("at most 4096"), "{found}");
    for (ports, tuples) in [(1_024, true), (1_025, false)] {
        from_text("x.toml", &text(ports, tuples)).unwrap();
    }
}

#[test]
fn a_fault_of_some_cells_names_the_first_and_counts_the_rest() {
    let text = format!("{SOUND}[matrix]\n\"load.arrival\" = [\"max\", \"constant\"]\n\"load.seed\" = [1, 2]\n");
    let found = only_problem(&text);
    assert!(
        found.starts_with("x.toml:10:8: load.rate: arrival `max` takes no rate"),
        "{found}"
    );
    assert!(
        found.ends_with("(in the cell load.arrival=max, load.seed=1 and 1 more)"),
        "{found}"
    );
    let wrong_value = format!("{SOUND}[matrix]\n\"load.rate\" = [5, 0]\n");
    let found = only_problem(&wrong_value);
    assert!(
        found.starts_with("x.toml:13:19: load.rate: expected a number from 0.001"),
        "{found}"
    );
    assert!(found.ends_with("(in the cell load.rate=0)"), "{found}");
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    let text = r#"# Why: to be wrong in as many ways as there are.
id = "Ten Mistakes"
clam = "a misspelt key"
repeats = 0

[lab]
topology = "pear"

[server]
addresses = "two"
protocol = "none"

[client]
source = "port-range"
port_range = "60999 32768"

[close]
mode = "gracefull"
linger_seconds = 5

[load]
arrival = "constant"
rate = 0
hold = "soon"
request_bytes = 10

[sysctl.client]
"net.ipv4.ip_local_port_range" = "60999 32768"
"kernel.pid_max" = 100
net.ipv4.tcp_tw_reuse = 1

[matrix]
"load.sed" = [1, 2]
"close.closer" = []

[[expect]]
kernel = "4.x.y.z"
that = "outcomes.ok =="

[[expect]]
when = "true"
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}

#[test]
fn combinations_that_cannot_be_had_are_refused() {
    let cases = [
        (
            "arrival = \"constant\"\nrate = 500",
            "arrival = \"constant\"",
            "load.rate: missing",
        ),
        ("duration = \"2s\"", "", "load: without an end"),
        (
            "duration = \"2s\"",
            "duration = \"0s\"",
            "load.duration: 0s leaves no time",
        ),
        ("duration = \"2s\"", "duration = \"9999h\"", "at most 168h"),
        (
            "mode = \"graceful\"",
            "mode = \"lingering\"",
            "close.linger_seconds: missing",
        ),
        (
            "mode = \"graceful\"",
            "mode = \"graceful\"\nlinger_seconds = 1",
            "takes no linger_seconds",
        ),
        ("[load]", "[client]\naddresses = 2\n[load]", "use one address only"),
        (
            "[load]",
            "[client]\nsource = \"port-range\"\n[load]",
            "client.port_range: missing",
        ),
        (
            "[load]",
            "[client]\nport_range = \"1 2\"\n[load]",
            "only sources `port-range`, `owned` and `bind-port` take a window",
        ),
        (
            "[load]",
            "[server]\naddresses = 4096\nports = 4096\n[load]",
            "pairs of source and destination",
        ),
        (
            "[load]",
            "[load]\nrequests_per_connection = 1",
            "protocol `none` sends no byte",
        ),
        (
            "[load]",
            "[sysctl.client]\n\"net.ipv4.a b\" = 1\n[load]",
            "is no sysctl",
        ),
        (
            "[load]",
            "[sysctl.client]\n\"vm.swappiness\" = 1\n[load]",
            "the whole machine's",
        ),
        (
            "[load]",
            "[sysctl.client]\n\"net.//.//.kernel.x\" = 1\n[load]",
            "has an empty part",
        ),
        (
            "[load]",
            "[sysctl.both]\n\"net.a\" = \"1\\n2\"\n[load]",
            "control characters",
        ),
        (
            "[load]",
            "[sysctl]\nboth.\"net.a\" = 1\nclient.\"net.a\" = 2\n[load]",
            "set in sysctl.both too",
        ),
        (
            "[load]",
            "[lab]\ntopology = \"host\"\n[sysctl.client]\n\"net.a\" = 1\n[load]",
            "sets no sysctl",
        ),
        (
            "[load]",
            "[lab]\ntopology = \"host\"\nfamily = \"ipv6\"\n[server]\naddresses = 2\n[load]",
            "one IPv6 loopback address",
        ),
        (
            "[load]",
            "[lab]\ntopology = \"loopback\"\n[sysctl]\nclient.\"net.a\" = 1\nserver.\"net.a\" = 2\n[load]",
            "both sides are one namespace",
        ),
        (
            "[load]",
            "[[expect]]\nthat = \"1 +\"\n[load]",
            "expect[0].that: not CEL",
        ),
        (
            "[load]",
            "[[expect]]\nthat = \"true\"\nkernel = \"new\"\n[load]",
            "expect[0].kernel",
        ),
        (
            "[load]",
            "[server]\nlatency = \"1s\"\n[load]",
            "protocol `none` has no request",
        ),
        (
            "[load]",
            "[server]\nprotocol = \"echo\"\nerror_rate = 0.5\n[load]",
            "protocol `echo` knows no error",
        ),
        (
            "[load]",
            "[server]\nprotocol = \"echo\"\n[load]\nrequest_bytes = 0",
            "expected at least 1",
        ),
        (
            "[load]",
            "[server]\nprotocol = \"redis\"\nmax_requests = 2\n[load]\nrequests_per_connection = 3",
            "would close before the last of 3 requests",
        ),
        (
            "[load]",
            "[server]\nprotocol = \"redis\"\nmax_requests = 3\n[load]\nrequests_per_connection = 3",
            "expected more than 3, or closer `server`",
        ),
        (
            "[load]",
            "[server]\nprotocol = \"http\"\nidle_timeout = \"1s\"\n[load]\nhold = \"1s\"",
            "the server would close first",
        ),
    ];
    for (from, to, message) in cases {
        let found = only_problem(&SOUND.replace(from, to));
        assert!(found.contains(message), "expected {message:?}, came {found:?}");
        assert!(found.starts_with("x.toml:"), "{found}");
    }
}

#[test]
fn combinations_that_can_be_had_are_not_refused() {
    let cases = [
        "[client]\nsource = \"port-range\"\nport_range = \"40000 40099\"\naddresses = 4\n[load]",
        "[client]\nsource = \"bind-address\"\naddresses = 4\n[load]",
        "[lab]\ntopology = \"loopback\"\nfamily = \"ipv6\"\n[server]\naddresses = 3\n[load]",
        "[lab]\ntopology = \"loopback\"\n[sysctl]\nclient.\"net.a\" = 1\nserver.\"net.a\" = \"1\"\n[load]",
        "[sysctl.client]\n\"net.ipv4.conf.eth0/1.rp_filter\" = 1\n[load]",
        "[sysctl.client]\n\"net.ipv4.ip_local_reserved_ports\" = \"\"\n[load]",
        "[server]\nprotocol = \"mysql\"\nlatency = \"1ms\"\nerror_rate = 0.5\nmax_requests = 2\nidle_timeout = \"1s\"\n[load]",
    ];
    for case in cases {
        assert_eq!(problems(&SOUND.replace("[load]", case)), [""; 0], "{case}");
    }
}

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
    let again: super::plan::TrialPlan = serde_json::from_value(serde_json::to_value(trial).unwrap()).unwrap();
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
fn a_scenario_is_a_load_or_a_sequence() {
    let both = format!("{SEQUENCE}[close]\ncloser = \"client\"\nmode = \"graceful\"\n");
    assert!(only_problem(&both).contains("a load or a sequence"));
    let neither = "id = \"x\"\nclaim = \"y\"\n";
    assert_eq!(problems(neither).len(), 3, "close.closer, close.mode, load.arrival");
}

#[test]
fn a_quit_that_nobody_can_say_is_told_with_all_that_is_wrong_with_it() {
    let quit = |protocol: &str, closer: &str, mode: &str, rest: &str| {
        format!(
            "id = \"x\"\nclaim = \"y\"\n[server]\nprotocol = \"{protocol}\"\n[close]\ncloser = \"{closer}\"\nmode = \"{mode}\"\n\
             [load]\narrival = \"max\"\nconnections = 1\n{rest}"
        )
    };
    for protocol in ["none", "echo"] {
        let found = problems(&quit(protocol, "client", "quit-wait", ""));
        assert!(
            found[1].contains("close.mode: mode `quit-wait` says the protocol's quit"),
            "{found:?}"
        );
        assert!(found[0].contains("close.closer: with mode `quit-wait`"), "{found:?}");
    }
    let found = only_problem(&quit("redis", "server", "quit-close", ""));
    assert!(found.contains("expected `client`"), "{found}");
    let found = problems(&quit(
        "http",
        "client",
        "quit-close",
        "requests_per_connection = 0\nhold = \"1s\"\n",
    ));
    assert!(
        found[0].contains("expected at least 1") && found[1].contains("remove load.hold"),
        "{found:?}"
    );
    let limited = quit("redis", "server", "quit-wait", "requests_per_connection = 3\n")
        .replace("protocol =", "max_requests = 3\nprotocol =");
    assert!(only_problem(&limited).contains("expected more than 3"));
    for (protocol, closer, mode) in [("mysql", "server", "quit-wait"), ("http", "client", "quit-close")] {
        from_text("x.toml", &quit(protocol, closer, mode, "")).unwrap();
    }
}

/// A load of requests over a pool of two.
const POOLED: &str = r#"id = "pooled"
claim = "a claim"
server = { protocol = "redis" }
close = { closer = "client", mode = "graceful" }
load = { kind = "pool", arrival = "max", requests = 10 }
pool = { size = 2 }
"#;

#[test]
fn a_pools_defaults_are_filled_in() {
    let plan = from_text("x.toml", POOLED).unwrap();
    let trial = &plan.trials[0];
    let pool = trial.pool.as_ref().unwrap();
    assert_eq!((pool.size, pool.min_idle), (2, 0));
    assert_eq!(pool.borrow_timeout, Duration::from_secs(10));
    assert_eq!(trial.load.planned(), Some(10));
    assert_eq!((trial.load.connections, trial.load.requests_per_connection), (None, 0));
}

#[test]
fn what_a_pool_cannot_be_is_told_at_once_with_what_would_mend_it() {
    let faults = |edits: &[(&str, &str)]| {
        let mut text = POOLED.to_owned();
        for (from, to) in edits {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        problems(&text).join("\n")
    };
    assert_eq!(faults(&[]), "");
    let told = faults(&[
        (
            "requests = 10",
            "connections = 10, requests_per_connection = 2, threads = 2",
        ),
        ("closer = \"client\"", "closer = \"server\""),
        ("protocol = \"redis\"", "protocol = \"none\""),
        (
            "size = 2",
            "size = 2, min_idle = 3, borrow_timeout = \"0s\", on_return = \"close\", order = \"fifo\", max_lifetime = \"1s\"",
        ),
    ]);
    for key in [
        "load: without an end; set `requests`, `duration` or both",
        "load.connections: how many connections it takes is what a pool decides",
        "load.requests_per_connection: ",
        "load.threads: one thread drives a pool",
        "close.closer: a pool is the client's",
        "server.protocol: protocol `none` has no request",
        "pool.min_idle: more than the pool may hold; expected at most pool.size, which is 2",
        "pool.borrow_timeout: 0s leaves no time",
        "pool.order: with pool.on_return `close` no connection is ever idle",
        "pool.max_lifetime: with pool.on_return `close` no connection outlives its request",
    ] {
        assert!(told.contains(key), "{key} is missing in\n{told}");
    }
    let told = faults(&[("size = 2", "size = 2, validation = \"round-trip\""), ("redis", "http")]);
    assert!(
        told.contains("pool.validation: protocol `http` has no request"),
        "{told}"
    );
    let told = faults(&[("pool = { size = 2 }", "")]);
    assert!(
        told.contains("pool: missing; load.kind `pool` needs at least pool.size"),
        "{told}"
    );
    let told = faults(&[("kind = \"pool\", ", "")]);
    for key in [
        "pool: only load.kind `pool`",
        "load.requests: a load of connections counts these",
    ] {
        assert!(told.contains(key), "{key} is missing in\n{told}");
    }
}

#[test]
fn a_pool_says_quit_where_the_protocol_has_one_and_the_closer_follows_from_it() {
    let quitting = |protocol: &str, closer: &str, mode: &str| {
        POOLED
            .replace("redis", protocol)
            .replace("closer = \"client\"", &format!("closer = \"{closer}\""))
            .replace("graceful", mode)
    };
    for protocol in ["mysql", "memcached", "redis"] {
        for (closer, mode) in [("server", "quit-wait"), ("client", "quit-close")] {
            from_text("x.toml", &quitting(protocol, closer, mode)).unwrap();
        }
        let found = only_problem(&quitting(protocol, "client", "quit-wait"));
        assert!(
            found.contains("close.closer: ") && found.contains("expected `server`"),
            "{found}"
        );
        let found = only_problem(&quitting(protocol, "server", "quit-close"));
        assert!(
            found.contains("close.closer: ") && found.contains("expected `client`"),
            "{found}"
        );
    }
    for (closer, mode) in [("server", "quit-wait"), ("client", "quit-close")] {
        let found = only_problem(&quitting("http", closer, mode));
        assert!(
            found.contains("close.mode: ") && found.contains("a pool does not know beforehand which that is"),
            "{found}"
        );
        let found = only_problem(&quitting("echo", closer, mode));
        assert!(found.contains("protocol `echo` has none"), "{found}");
    }
    let found = only_problem(&quitting("redis", "server", "half-close"));
    assert!(found.contains("close.closer: a pool is the client's"), "{found}");
}

#[test]
fn what_a_program_in_place_of_the_built_in_server_cannot_be_asked_for_is_told() {
    let text = "id = \"x\"\nclaim = \"y\"\n[server]\nexec = \"exec redis-server\"\nprotocol = \"redis\"\n[close]\ncloser = \
                \"server\"\nmode = \"quit-wait\"\n[load]\narrival = \"max\"\nconnections = 1\n";
    let plan = from_text("x.toml", text).unwrap().trials.remove(0);
    assert_eq!(plan.server.exec.as_deref(), Some("exec redis-server"));
    let wrong = text
        .replace("quit-wait", "abortive")
        .replace(
            "exec =",
            "backlog = 5\nlatency = \"1s\"\nlisten = false\nports = 2\nexec =",
        )
        .replace(
            "[close]",
            "[lab]\ntopology = \"host\"\n[fill]\nconnections = 1\n[close]",
        );
    let found = problems(&wrong).join("\n");
    for key in [
        "server.backlog",
        "server.latency",
        "server.listen",
        "server.ports",
        "lab.topology",
        "fill",
        "close.mode",
    ] {
        assert!(found.contains(&format!("{key}: ")), "no word on {key}: {found}");
    }
    assert!(only_problem(&text.replace("exec redis-server", "")).contains("server.exec: empty"));
}
