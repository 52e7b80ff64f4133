//! What a scenario file says: the serde types of the TOML format, from which its JSON Schema is generated.
//!
//! Doc comments here become the schema's descriptions. Nothing is resolved: an absent key stays absent.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pool::{LoadKind, Pool};
pub use super::span::Span;
use super::step::Step;
use crate::tcp::{CloseMode, Closer};

/// What a scenario's name looks like.
pub(super) const ID_PATTERN: &str = "^[a-z0-9]+(-[a-z0-9]+)*$";

/// A linger scenario: one question about TIME_WAIT or ephemeral ports, put to the running kernel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["close", "load"]}, {"required": ["step"]}]))]
pub struct Scenario {
    /// The scenario's name: lower-case words joined by hyphens.
    #[schemars(regex(pattern = ID_PATTERN))]
    pub id: String,
    /// The statement put to the test, one sentence.
    #[schemars(length(min = 1))]
    pub claim: String,
    /// CEL over `records`, the list of the scenario's records in trial order: true where the claim holds on this kernel.
    pub holds: Option<String>,
    /// CEL over `records`: what this kernel did, a short text or a number. Beside CEL's own functions there are those of
    /// its strings extension, such as `'%.3f to %.3f s'.format([a, b])` and `list.join(', ')`, and `min(list)`,
    /// `max(list)` and `sum(list)`.
    pub figure: Option<String>,
    /// Whether its trials run with no other beside them (`linger verify`), because they measure latency, CPU or memory
    /// (default false).
    pub alone: Option<bool>,
    /// Whether its figures are times that the machine takes (latency, CPU): `linger verify --kernel` then runs it in real
    /// time where KVM serves, and else in virtual time, where a time is a count of instructions (default false).
    pub real_time: Option<bool>,
    /// The kernel that runs it: as `--kernel` takes it, or `host` (default: those of the command line, or the host's).
    /// Meant for an axis of the matrix.
    #[schemars(length(min = 1))]
    pub kernel: Option<String>,
    /// The kernels that the claim is about, such as "< 4.12" or ">= 6.3" (default: all). On any other it is not put to the
    /// test, and `linger verify` counts it apart: "not of this kernel".
    #[schemars(length(min = 1))]
    pub kernels: Option<String>,
    /// Where the claim comes from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// How often each matrix cell is run, each time in a fresh lab (default 1).
    #[schemars(range(min = 1, max = 1000))]
    pub repeats: Option<u32>,
    #[serde(default)]
    pub lab: Lab,
    #[serde(default)]
    pub server: Server,
    #[serde(default)]
    pub client: Client,
    /// Of a load: how its connections end.
    pub close: Option<Close>,
    /// A load, or else the steps of a sequence.
    pub load: Option<Load>,
    /// With load.kind `pool`: the pool.
    pub pool: Option<Pool>,
    /// TIME_WAIT sockets that are there before the load begins, at destinations of their own.
    pub fill: Option<Fill>,
    /// A sequence: what is done in order, over named connections.
    #[serde(default)]
    pub step: Vec<Step>,
    /// About how long a sequence takes, where its steps' own times do not tell (default: the sum of its waits).
    pub takes: Option<Span>,
    /// Sysctls to set in the lab, by side; each is read back.
    #[serde(default)]
    pub sysctl: Sysctls,
    #[serde(default)]
    pub observe: Observe,
    /// Any key of this file, dotted, with the values it takes: each combination is a cell, each cell a lab of its own.
    /// Keys joined by a comma move together: "A, B" = [[a1, b1], [a2, b2]].
    #[serde(default)]
    pub matrix: BTreeMap<String, Vec<serde_json::Value>>,
    /// Any key of this file, dotted (`matrix.\"KEY\"` for an axis), with the value that `linger verify --kernel` gives it
    /// where an emulator executes the kernel, some twenty times slower than a processor; { kernel = RANGE, value = VALUE }
    /// gives it to kernels of some versions only.
    #[serde(default)]
    pub emulated: BTreeMap<String, serde_json::Value>,
    /// What must hold for the verdict `met`.
    #[serde(default)]
    pub expect: Vec<Expect>,
}

/// The network that is built for a trial and thrown away after it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lab {
    /// Default `pair`.
    pub topology: Option<Topology>,
    /// Default `ipv4`.
    pub family: Option<Family>,
    /// With topology `nat`: the ports `LOW HIGH` (both inclusive) of the one address that all clients share.
    pub nat_ports: Option<String>,
}

/// How the namespaces are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Client and server in one network namespace, over its loopback interface.
    Loopback,
    /// Client and server in a network namespace each, joined by a veth pair.
    Pair,
    /// A pair with a router between, which gives all clients one address and the ports of lab.nat_ports.
    Nat,
    /// A pair joined by two links: the client sends over the one and the server answers over the other.
    Routed,
    /// No namespace: the host's own loopback interface; sysctls are read and never set.
    Host,
}

/// The addresses' family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// The built-in server.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Whether anyone listens on the server's ports (default true).
    pub listen: Option<bool>,
    /// Number of server addresses (default 1).
    #[schemars(range(min = 1, max = 4096))]
    pub addresses: Option<u32>,
    /// Number of server ports on each address (default 1).
    #[schemars(range(min = 1, max = 4096))]
    pub ports: Option<u32>,
    /// A shell command that is started in the server's namespace in place of the built-in server, with LINGER_HOST,
    /// LINGER_PORT and LINGER_SERVER (both) in its environment. The load begins when it listens there; at the end it gets
    /// SIGTERM. server.protocol says what it speaks.
    #[schemars(length(min = 1))]
    pub exec: Option<String>,
    /// What the server speaks (default `none`).
    pub protocol: Option<Protocol>,
    /// listen()'s backlog, capped by net.core.somaxconn (default 4096).
    #[schemars(range(min = 0, max = 1_000_000))]
    pub backlog: Option<u32>,
    /// How long the server waits before each accept() (default 0s).
    pub accept_delay: Option<Span>,
    /// Server threads, each with a listener of its own by SO_REUSEPORT (default: one, and more where the client has
    /// several).
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u32>,
    /// The time between a request's end and its reply (default 0s). Not with protocol `none`.
    pub latency: Option<Span>,
    /// The share of requests that are answered with the protocol's own error: 503, ERR 1105, `SERVER_ERROR`, `-ERR`
    /// (default 0). Not with protocols `none` and `echo`, which know no error.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub error_rate: Option<f64>,
    /// The server closes a connection on which nothing has come for so long (default 0s: never). Not with protocol `none`.
    pub idle_timeout: Option<Span>,
    /// The server closes a connection after so many requests (default 0: never). Not with protocol `none`.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub max_requests: Option<u32>,
}

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// No byte is sent: connect and close.
    None,
    /// The client sends request_bytes, the server answers with response_bytes.
    Echo,
    /// HTTP/1.1: GET, or POST of request_bytes, answered 200 with response_bytes.
    Http,
    /// MySQL: login, then a SELECT of a constant, of request_bytes, answered with a row of response_bytes.
    Mysql,
    /// memcached's text protocol: `get` answered with response_bytes, or `set` of request_bytes.
    Memcached,
    /// Redis: GET answered with response_bytes, or SET of request_bytes.
    Redis,
}

/// The client's addresses and where its source ports come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Number of client addresses (default 1).
    #[schemars(range(min = 1, max = 4096))]
    pub addresses: Option<u32>,
    /// Who chooses address and port of the source (default `ephemeral`).
    pub source: Option<Source>,
    /// The window `LOW HIGH` (both inclusive) for source `port-range`; also for `owned` and `bind-port`, whose default
    /// is net.ipv4.ip_local_port_range.
    pub port_range: Option<String>,
    /// The order in which pairs of source and destination are taken (default `round-robin`).
    pub order: Option<Order>,
}

/// Who chooses the source address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// connect() chooses both.
    Ephemeral,
    /// bind(address, 0): bind() chooses the port, before the destination is known.
    BindAddress,
    /// IP_BIND_ADDRESS_NO_PORT and bind(address, 0): connect() chooses the port (Linux 4.2).
    BindAddressNoPort,
    /// IP_LOCAL_PORT_RANGE: connect() chooses within client.port_range (Linux 6.3).
    PortRange,
    /// The harness chooses each port in turn and leaves connect() no other (IP_LOCAL_PORT_RANGE of one port). TIME_WAIT
    /// keeps a port taken as ever, without a search. Before Linux 6.3: bind(address, port) without SO_REUSEADDR, where
    /// a port is one for all destinations.
    Owned,
    /// The harness chooses each port in turn by SO_REUSEADDR and bind(address, port). Takes ports in TIME_WAIT at once
    /// where timestamps are on, and so hides exhaustion.
    BindPort,
}

impl Source {
    /// Whether the harness names each port.
    #[must_use]
    pub fn is_chosen_by_harness(self) -> bool {
        matches!(self, Self::Owned | Self::BindPort)
    }
}

/// The order in which pairs of source and destination are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    RoundRobin,
    Random,
}

/// How connections end. Both keys are required: no tool should choose them silently.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// Who closes first.
    pub closer: Closer,
    /// How the closer closes.
    pub mode: CloseMode,
    /// SO_LINGER's time in seconds for mode `lingering`.
    #[schemars(range(min = 1, max = 3600))]
    pub linger_seconds: Option<u32>,
}

/// The load that is offered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// What the arrivals are of (default `connections`). With `pool`, attempts are requests, rate is theirs, and in_flight
    /// the most that borrow, or wait for, a connection at once.
    pub kind: Option<LoadKind>,
    /// When attempts are due.
    pub arrival: Arrival,
    /// Attempts per second, for arrival `constant` and `poisson`.
    #[schemars(range(min = 0.001, max = 10_000_000.0))]
    pub rate: Option<f64>,
    /// The most connections open at once, from socket() to close() (default 16).
    #[schemars(range(min = 1, max = 4_000_000))]
    pub in_flight: Option<u32>,
    /// Attempts in all, of kind `connections`.
    #[schemars(range(min = 1))]
    pub connections: Option<u64>,
    /// Requests in all, of kind `pool`.
    #[schemars(range(min = 1))]
    pub requests: Option<u64>,
    /// How long attempts are offered.
    pub duration: Option<Span>,
    /// Requests on each connection (default 0 with protocol `none`, else 1).
    #[schemars(range(min = 0, max = 1_000_000))]
    pub requests_per_connection: Option<u32>,
    /// Bytes of a request: with protocol `echo` the request (default 1), else the value that it carries (default 0: none,
    /// it asks for one).
    #[schemars(range(min = 0, max = 1_048_576))]
    pub request_bytes: Option<u32>,
    /// Bytes of a response, or of the value that it carries (default 1).
    #[schemars(range(min = 1, max = 1_048_576))]
    pub response_bytes: Option<u32>,
    /// How long a connection is held open before it is closed, and with kind `pool` before it is returned (default 0s).
    pub hold: Option<Span>,
    /// Our limit on connect() (default 10s); the kernel's own gives ETIMEDOUT.
    pub connect_timeout: Option<Span>,
    /// Our limit on each send, receive and wait for the peer's close (default 10s).
    pub io_timeout: Option<Span>,
    /// Seed of arrival `poisson` and order `random` (default 1).
    pub seed: Option<u64>,
    /// Client threads, among which attempts, pairs and in_flight are divided (default: one with arrival `max`, where
    /// only one gives an exact order of attempts; else as many as the rate needs).
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<u32>,
}

/// Connections that are made and closed before the load begins, by the same engine, source and close, and counted apart:
/// their TIME_WAIT sockets lie at other destinations than the load's.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// How many; 0 leaves the fill's destinations empty.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub connections: u64,
    /// Server addresses that are the fill's alone, beside server.addresses (default 1).
    #[schemars(range(min = 1, max = 4096))]
    pub addresses: Option<u32>,
}

/// When attempts are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Arrival {
    /// As soon as fewer than in_flight are open (closed loop).
    Max,
    /// Every 1/rate seconds, whatever became of the ones before (open loop).
    Constant,
    /// At random with exponential gaps of mean 1/rate (open loop).
    Poisson,
}

/// Sysctls by side, all below `net.`. With topology `loopback` both sides are one namespace.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sysctls {
    /// Set on the client and on the server alike.
    #[serde(default)]
    pub both: BTreeMap<String, SysctlValue>,
    #[serde(default)]
    pub client: BTreeMap<String, SysctlValue>,
    #[serde(default)]
    pub server: BTreeMap<String, SysctlValue>,
    /// On the router of topology `nat`.
    #[serde(default)]
    pub router: BTreeMap<String, SysctlValue>,
}

/// A sysctl's value: a number, or text such as "32768 60999".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SysctlValue {
    Number(i64),
    Text(String),
}

impl fmt::Display for SysctlValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What is observed beyond counts.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Observe {
    /// Follow each four-tuple: TIME_WAIT lifetimes and the time until a port is used again. Costs one getsockname()
    /// a connection (default false).
    pub tuples: Option<bool>,
    /// How long to go on observing after the load, or until no TIME_WAIT is left (default 0s).
    pub after: Option<Span>,
}

/// One expectation on the record.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// CEL over the record: the expectation applies where this is true (default: always).
    pub when: Option<String>,
    /// Kernel versions it applies to, such as ">=4.1, <6.8" (default: all).
    pub kernel: Option<String>,
    /// CEL over the record: what must be true.
    pub that: String,
}
