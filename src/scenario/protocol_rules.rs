//! What the keys about the protocol mean together: what is said, how the server treats it, and when it is closed.

use std::time::Duration;

use super::meaning::Rules;
use super::pool::LoadKind;
use super::spec::{Protocol, Span};
use crate::tcp::{CloseMode, Closer};

pub(super) fn check(rules: &mut Rules<'_>) {
    quit(rules);
    match rules.read_or("server.protocol", Protocol::None) {
        Some(Protocol::None) => silence(rules),
        Some(protocol) => {
            if protocol == Protocol::Echo {
                echo(rules);
            } else {
                understood(rules);
            }
            limits(rules);
        }
        None => {}
    }
}

/// A quit needs a protocol that has one, and is the client's to say.
fn quit(rules: &mut Rules<'_>) {
    let Some(mode) = rules.read::<CloseMode>("close.mode").filter(|mode| mode.says_quit()) else {
        return;
    };
    let protocol = rules.read_or("server.protocol", Protocol::None);
    if let Some(protocol @ (Protocol::None | Protocol::Echo)) = protocol {
        let name = if protocol == Protocol::None { "none" } else { "echo" };
        rules.report(
            "close.mode",
            format!(
                "mode `{mode}` says the protocol's quit, and protocol `{name}` has none; choose another close.mode, or \
                 server.protocol `http`, `mysql`, `memcached` or `redis`"
            ),
        );
    }
    match (mode, rules.read::<Closer>("close.closer")) {
        (CloseMode::QuitWait, Some(Closer::Client)) => rules.report(
            "close.closer",
            "with mode `quit-wait` the client says quit and waits, so that the server closes first; expected `server`",
        ),
        (CloseMode::QuitClose, Some(Closer::Server)) => rules.report(
            "close.closer",
            "with mode `quit-close` the client closes without waiting for the server; expected `client`",
        ),
        _ => {}
    }
    if protocol == Some(Protocol::Http) {
        if rules.read("load.requests_per_connection") == Some(0u32) {
            rules.report(
                "load.requests_per_connection",
                format!(
                    "mode `{mode}` says HTTP's quit, `Connection: close`, in the last request; expected at least 1"
                ),
            );
        }
        if rules.read::<Span>("load.hold").is_some_and(|hold| !hold.0.is_zero()) {
            rules.report(
                "load.hold",
                format!(
                    "mode `{mode}` says HTTP's quit in the last request, whose reply the server closes after: nothing is \
                     held; remove load.hold or choose another close.mode"
                ),
            );
        }
    }
}

/// Nothing is said, so nothing can be said of it.
fn silence(rules: &mut Rules<'_>) {
    let requests = rules
        .read::<u32>("load.requests_per_connection")
        .is_some_and(|count| count > 0);
    let keys = [
        ("load.requests_per_connection", requests),
        ("load.request_bytes", rules.has("load.request_bytes")),
        ("load.response_bytes", rules.has("load.response_bytes")),
    ];
    for (key, given) in keys {
        if given {
            rules.report(
                key,
                "protocol `none` sends no byte; remove it or set server.protocol to `echo`",
            );
        }
    }
    for key in [
        "server.latency",
        "server.error_rate",
        "server.idle_timeout",
        "server.max_requests",
    ] {
        if rules.has(key) {
            rules.report(
                key,
                "protocol `none` has no request; remove it or choose a server.protocol that has, such as `http`",
            );
        }
    }
}

fn echo(rules: &mut Rules<'_>) {
    if rules.read("load.request_bytes") == Some(0u32) {
        rules.report(
            "load.request_bytes",
            "protocol `echo` answers bytes; expected at least 1",
        );
    }
    if rules.read("server.error_rate").is_some_and(|rate: f64| rate > 0.0) {
        rules.report(
            "server.error_rate",
            "protocol `echo` knows no error; remove it or choose `http`, `mysql`, `memcached` or `redis`",
        );
    }
}

fn understood(rules: &mut Rules<'_>) {
    let quits = rules.read("close.mode") == Some(CloseMode::QuitWait);
    let server_closes = rules.read("close.closer") == Some(Closer::Server) && !quits;
    if server_closes && rules.read("load.requests_per_connection") == Some(0u32) {
        rules.report(
            "load.requests_per_connection",
            "with closer `server` the server closes after the last reply; expected at least 1 request",
        );
    }
}

/// What the server does by itself must not come before what the plan says.
fn limits(rules: &mut Rules<'_>) {
    // A pool has no plan for a connection that the server could cross.
    if rules.read("load.kind") == Some(LoadKind::Pool) {
        return;
    }
    let requests = rules.read_or("load.requests_per_connection", 1u32);
    let limit = rules.read_or("server.max_requests", 0u32).filter(|limit| *limit > 0);
    let closer = rules.read::<Closer>("close.closer");
    let waits_for_client = match rules.read::<CloseMode>("close.mode") {
        Some(mode) if mode.says_quit() => true,
        _ => closer == Some(Closer::Client),
    };
    if let (Some(requests), Some(limit), Some(_)) = (requests, limit, closer) {
        if limit < requests {
            rules.report(
                "server.max_requests",
                format!("the server would close before the last of {requests} requests; expected at least {requests}"),
            );
        } else if limit == requests && waits_for_client {
            rules.report(
                "server.max_requests",
                format!(
                    "after {requests} requests the server would close, where `close` says that the client acts first; \
                     expected more than {requests}, or closer `server` without a quit"
                ),
            );
        }
    }
    let hold = rules.read_or("load.hold", Span(Duration::ZERO));
    let idle = rules
        .read::<Span>("server.idle_timeout")
        .filter(|idle| !idle.0.is_zero());
    if let (Some(hold), Some(idle), true) = (hold, idle, waits_for_client)
        && hold >= idle
    {
        rules.report(
            "server.idle_timeout",
            format!(
                "the client holds each connection for {hold}, so that the server would close first; expected more than \
                 {hold}"
            ),
        );
    }
}
