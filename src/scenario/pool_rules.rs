//! What the keys about a pool mean together, and with the load that borrows from it.

use std::time::Duration;

use super::meaning::Rules;
use super::pool::{LoadKind, OnReturn, Validation};
use super::spec::{Protocol, Span};
use crate::tcp::{CloseMode, Closer};

pub(super) fn check(rules: &mut Rules<'_>) {
    match rules.read_or("load.kind", LoadKind::Connections) {
        Some(LoadKind::Connections) => connections(rules),
        Some(LoadKind::Pool) => {
            load(rules);
            ends(rules);
            pool(rules);
        }
        None => {}
    }
}

fn connections(rules: &mut Rules<'_>) {
    if rules.has("pool") {
        rules.report(
            "pool",
            "only load.kind `pool` borrows from a pool; set it, or remove the pool",
        );
    }
    if rules.has("load.requests") {
        rules.report(
            "load.requests",
            "a load of connections counts these; set load.connections (and load.requests_per_connection), or load.kind to \
             `pool`",
        );
    }
}

/// Arrivals are of requests.
fn load(rules: &mut Rules<'_>) {
    if !rules.has("pool") {
        rules.report("pool", "missing; load.kind `pool` needs at least pool.size");
    }
    let faults = [
        (
            "load.connections",
            "how many connections it takes is what a pool decides; bound the load by load.requests or load.duration",
        ),
        (
            "load.requests_per_connection",
            "how many requests a connection serves is what a pool decides; remove it (pool.on_return `close` makes it one)",
        ),
        (
            "load.threads",
            "one thread drives a pool, so that its order of lending is exact; remove it",
        ),
        (
            "fill",
            "what a fill makes is a load of connections; remove it, or set load.kind to `connections`",
        ),
    ];
    for (key, fault) in faults {
        if rules.has(key) {
            rules.report(key, fault);
        }
    }
    if rules.read_or("server.protocol", Protocol::None) == Some(Protocol::None) {
        rules.report(
            "server.protocol",
            "protocol `none` has no request to borrow a connection for; choose `echo`, `http`, `mysql`, `memcached` or \
             `redis`",
        );
    }
}

/// Who closes, and how.
fn ends(rules: &mut Rules<'_>) {
    let mode = rules.read::<CloseMode>("close.mode");
    // Who is the closer with a quit follows from it: `protocol_rules` has that.
    let quits = mode.is_some_and(CloseMode::says_quit);
    if rules.read("close.closer") == Some(Closer::Server) && !quits {
        rules.report(
            "close.closer",
            "a pool is the client's and closes what it has; choose `client` (server.idle_timeout and server.max_requests make \
             the server close, and so does the pool's quit with mode `quit-wait`)",
        );
    }
    if let Some(mode) = mode.filter(|_| quits)
        && rules.read("server.protocol") == Some(Protocol::Http)
    {
        rules.report(
            "close.mode",
            format!(
                "mode `{mode}` says HTTP's quit, `Connection: close`, in a connection's last request, and a pool does not know \
                 beforehand which that is; choose another close.mode, or protocol `mysql`, `memcached` or `redis`"
            ),
        );
    }
}

fn pool(rules: &mut Rules<'_>) {
    let (size, idle) = (rules.read::<u32>("pool.size"), rules.read::<u32>("pool.min_idle"));
    if let (Some(size), Some(idle)) = (size, idle)
        && idle > size
    {
        rules.report(
            "pool.min_idle",
            format!("more than the pool may hold; expected at most pool.size, which is {size}"),
        );
    }
    if rules.read::<Span>("pool.borrow_timeout") == Some(Span(Duration::ZERO)) {
        rules.report("pool.borrow_timeout", "0s leaves no time; expected more than 0s");
    }
    if rules.read_or("pool.on_return", OnReturn::Keep) == Some(OnReturn::Close) {
        for (key, what) in [
            ("pool.min_idle", "is ever idle"),
            ("pool.idle_timeout", "is ever idle"),
            ("pool.order", "is ever idle"),
            ("pool.max_lifetime", "outlives its request"),
            ("pool.validation", "is lent twice"),
        ] {
            if rules.has(key) && !is_off(rules, key) {
                rules.report(
                    key,
                    format!(
                        "with pool.on_return `close` no connection {what}; remove it, or set pool.on_return to `keep`"
                    ),
                );
            }
        }
    }
    validation(rules);
}

/// Whether the key says the same as its absence.
fn is_off(rules: &Rules<'_>, key: &str) -> bool {
    match key {
        "pool.min_idle" => rules.read::<u32>(key) == Some(0),
        "pool.validation" => rules.read::<Validation>(key) == Some(Validation::None),
        "pool.order" => false,
        _ => rules.read::<Span>(key) == Some(Span(Duration::ZERO)),
    }
}

fn validation(rules: &mut Rules<'_>) {
    let protocol = rules.read_or("server.protocol", Protocol::None);
    if rules.read("pool.validation") == Some(Validation::RoundTrip)
        && let Some(protocol @ (Protocol::Echo | Protocol::Http)) = protocol
    {
        let name = if protocol == Protocol::Echo { "echo" } else { "http" };
        rules.report(
            "pool.validation",
            format!(
                "protocol `{name}` has no request that asks only whether the other end is there; choose `peek` or `none`, or \
                 protocol `mysql`, `memcached` or `redis`"
            ),
        );
    }
}
