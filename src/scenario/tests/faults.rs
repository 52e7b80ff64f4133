//! Of what is wrong with a scenario: each fault is found, and told with its place and what would mend it.

use super::{SOUND, only_problem, problems};
use crate::scenario::from_text;

#[test]
fn an_expression_nested_beyond_reason_is_a_problem_and_no_panic() {
    let nested = format!("{SOUND}[[expect]]\nthat = \"{}\"\n", "(".repeat(5000));
    assert!(only_problem(&nested).contains("too deep"));
    let nested = format!("{SOUND}[lab]\nfamily = {}\n", "[".repeat(5000));
    assert!(only_problem(&nested).contains("not TOML"));
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
