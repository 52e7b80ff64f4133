//! Of what is spoken with whom: quits, pools, servers of somebody else's.

use std::time::Duration;

use super::{only_problem, problems};
use crate::scenario::from_text;

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
