//! A pool as a scenario asks for it: what the file says, and what is resolved of it.
//!
//! What each key means is that of the pools in use, named where these differ: HikariCP, Go's database/sql, bb8 and r2d2,
//! redis-py, urllib3. docs/pools.md sets them side by side.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::seconds;
use super::spec::Span;

/// What the load's arrivals are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LoadKind {
    /// Connections: each attempt opens one, says what it has to say, and closes it.
    #[default]
    Connections,
    /// Requests, each over a connection that is borrowed from a pool.
    Pool,
}

/// The pool that requests borrow their connections from, with load.kind `pool`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// The most connections at once: those being opened, idle and lent.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub size: u32,
    /// What becomes of a connection when its request is over (default `keep`).
    pub on_return: Option<OnReturn>,
    /// Idle connections that the pool keeps ready from the beginning, as far as size allows (default 0).
    #[schemars(range(min = 0, max = 1_000_000))]
    pub min_idle: Option<u32>,
    /// A connection is closed so long after it was opened: at once where it is idle, else when it is returned (default 0s:
    /// never).
    pub max_lifetime: Option<Span>,
    /// A connection that was idle for so long is closed, unless fewer than min_idle would be left (default 0s: never).
    pub idle_timeout: Option<Span>,
    /// How an idle connection is tried before it is lent (default `none`).
    pub validation: Option<Validation>,
    /// Which of the idle connections is lent (default `lifo`).
    pub order: Option<LendOrder>,
    /// How long a request waits for a connection before it fails (default 10s).
    pub borrow_timeout: Option<Span>,
}

/// What becomes of a connection when its request is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnReturn {
    /// It is idle until it is lent again.
    #[default]
    Keep,
    /// It is closed: no pool, but a connection a request, of which size are open at once at the most.
    Close,
}

/// How an idle connection is tried before it is lent. One that fails is closed, and the next idle one is tried or a new one
/// opened, all within the borrow's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// Not at all: whoever borrows a dead one finds out.
    #[default]
    None,
    /// By recv(MSG_PEEK), without a byte sent: finds the FIN or RST that has come (redis-py, urllib3, go-sql-driver).
    Peek,
    /// By the protocol's own cheap request and its reply: COM_PING, PING, version (HikariCP, bb8, r2d2). Not with `echo`
    /// and `http`, which have none.
    RoundTrip,
}

/// Which of the idle connections is lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LendOrder {
    /// That which was returned last: the others may grow old.
    #[default]
    Lifo,
    /// That which has been idle the longest: all are used in turn.
    Fifo,
}

/// The pool of one trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolPlan {
    pub size: u32,
    pub on_return: OnReturn,
    pub min_idle: u32,
    /// Zero: none.
    #[serde(with = "seconds")]
    pub max_lifetime: Duration,
    /// Zero: none.
    #[serde(with = "seconds")]
    pub idle_timeout: Duration,
    pub validation: Validation,
    pub order: LendOrder,
    #[serde(with = "seconds")]
    pub borrow_timeout: Duration,
}

impl Pool {
    /// Fills in the defaults.
    pub(super) fn resolve(self) -> PoolPlan {
        let length = |span: Option<Span>| span.map_or(Duration::ZERO, |Span(length)| length);
        PoolPlan {
            size: self.size,
            on_return: self.on_return.unwrap_or_default(),
            min_idle: self.min_idle.unwrap_or(0),
            max_lifetime: length(self.max_lifetime),
            idle_timeout: length(self.idle_timeout),
            validation: self.validation.unwrap_or_default(),
            order: self.order.unwrap_or_default(),
            borrow_timeout: self
                .borrow_timeout
                .map_or(Duration::from_secs(10), |Span(length)| length),
        }
    }
}
