//! What the keys about the protocol mean together: what is said, how the server treats it, and when it is closed.

use std::time::Duration;

use super::meaning::Rules;
use super::pool::LoadKind;
use super::spec::{Protocol, Span};
use crate::tcp::Closer;

pub(super) fn check(rules: &mut Rules<'_>) {
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
    let server_closes = rules.read("close.closer") == Some(Closer::Server);
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
    if let (Some(requests), Some(limit), Some(closer)) = (requests, limit, closer) {
        if limit < requests {
            rules.report(
                "server.max_requests",
                format!("the server would close before the last of {requests} requests; expected at least {requests}"),
            );
        } else if limit == requests && closer == Closer::Client {
            rules.report(
                "server.max_requests",
                format!(
                    "after {requests} requests the server would close, where close.closer says the client does; expected \
                     more than {requests}, or closer `server`"
                ),
            );
        }
    }
    let hold = rules.read_or("load.hold", Span(Duration::ZERO));
    let idle = rules
        .read::<Span>("server.idle_timeout")
        .filter(|idle| !idle.0.is_zero());
    if let (Some(hold), Some(idle), Some(Closer::Client)) = (hold, idle, closer)
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
