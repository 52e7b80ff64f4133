//! What the keys mean together where the server is a program of somebody else's: what of the built-in server it cannot be
//! asked for.

use super::meaning::Rules;
use super::spec::Topology;
use crate::tcp::{CloseMode, Closer};

/// How the built-in server treats its clients and its sockets: a program has its own ways.
const BUILT_IN: [&str; 7] = [
    "server.backlog",
    "server.accept_delay",
    "server.threads",
    "server.latency",
    "server.error_rate",
    "server.idle_timeout",
    "server.max_requests",
];

pub(super) fn check(rules: &mut Rules<'_>) {
    if !rules.has("server.exec") {
        return;
    }
    for key in BUILT_IN {
        if rules.has(key) {
            rules.report(
                key,
                "only the built-in server takes it; remove it, or tell the program of server.exec in its own way",
            );
        }
    }
    if rules.read("server.listen") == Some(false) {
        rules.report(
            "server.listen",
            "the program of server.exec listens; remove one of the two",
        );
    }
    for key in ["server.addresses", "server.ports"] {
        if rules.read(key).is_some_and(|count: u32| count > 1) {
            rules.report(
                key,
                "the program of server.exec is told one address and one port; expected 1",
            );
        }
    }
    if rules.read("lab.topology") == Some(Topology::Host) {
        rules.report(
            "lab.topology",
            "on the host a program would be reached by others too; choose `pair` or `loopback`",
        );
    }
    if rules.has("fill") {
        rules.report(
            "fill",
            "the built-in server alone is filled; remove server.exec or [fill]",
        );
    }
    if rules.has("step") {
        rules.report("server.exec", "a sequence's steps are both ends themselves; remove it");
    }
    let mode = rules.read::<CloseMode>("close.mode");
    if rules.read("close.closer") == Some(Closer::Server)
        && let Some(mode @ (CloseMode::Abortive | CloseMode::Lingering | CloseMode::HalfClose)) = mode
    {
        rules.report(
            "close.mode",
            format!(
                "the program of server.exec closes in its own way, which `{mode}` may not be; with closer `server` expected \
                 `graceful` or `quit-wait`"
            ),
        );
    }
}
