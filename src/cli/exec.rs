//! `linger exec` as clap reads it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use linger::scenario::spec::{Protocol, Topology};

#[derive(Debug, Args)]
#[command(after_help = EXEC_HELP)]
pub(crate) struct Exec {
    /// What the server speaks (default: http; of a real server's, which --server-exec starts, nothing)
    #[arg(long, value_name = "PROTOCOL")]
    pub(crate) protocol: Option<ServerProtocol>,
    /// Start this real server (a line for /bin/sh) in the server's namespace, wait until it listens, stop it after
    #[arg(long, value_name = "COMMAND")]
    pub(crate) server_exec: Option<String>,
    /// How long a real server may take until it listens
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "server_exec", value_parser = humantime::parse_duration)]
    pub(crate) server_within: std::time::Duration,
    /// The server's port (default: the protocol's own: echo 7, http 80, mysql 3306, memcached 11211, redis 6379)
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,
    /// The built-in server: time from a request to its reply, such as 5ms
    #[arg(long, value_name = "TIME", conflicts_with = "server_exec")]
    pub(crate) latency: Option<String>,
    /// The built-in server: share of requests that are answered with the protocol's error, 0 to 1
    #[arg(long, value_name = "SHARE", conflicts_with = "server_exec")]
    pub(crate) error_rate: Option<String>,
    /// The built-in server: close what is idle for so long
    #[arg(long, value_name = "TIME", conflicts_with = "server_exec")]
    pub(crate) idle_timeout: Option<String>,
    /// The built-in server: close after so many requests on a connection
    #[arg(long, value_name = "N", conflicts_with = "server_exec")]
    pub(crate) max_requests: Option<String>,
    /// The built-in server: who is to close first, client (default: it waits) or server (after each request, or --max-requests)
    #[arg(long, value_name = "SIDE", conflicts_with = "server_exec")]
    pub(crate) closer: Option<ServerCloser>,
    /// The built-in server: how it closes with --closer server (default: graceful)
    #[arg(long, value_name = "MODE", conflicts_with = "server_exec")]
    pub(crate) mode: Option<ServerCloseMode>,
    /// The built-in server: bytes of http's body, of echo's reply (else what was sent), of the key `linger` (default 1)
    #[arg(long, value_name = "N", conflicts_with = "server_exec")]
    pub(crate) response_bytes: Option<String>,
    /// Set a sysctl (net.…), or a key of lab., server., close. or client., such as lab.family=ipv6
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The lab's topology
    #[arg(long, value_name = "TOPOLOGY")]
    pub(crate) lab: Option<ExecLab>,
    /// End the program with all that it started after so long (exit code 124); 0s: never
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// Run it N times, each in a fresh lab (default 1; 10 with --against)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: Option<u32>,
    /// Also run this command (a line for /bin/sh), by turns with CMD, and compare: it is the base, CMD the new. The
    /// comparison goes to stdout (with --json to stderr), what both write there to stderr
    #[arg(long, value_name = "COMMAND")]
    pub(crate) against: Option<String>,
    /// With --against, when to fail: `METRIC > RATIO` on new/base, or `new: CEL` over each new record
    #[arg(long, value_name = "EXPR", requires = "against")]
    pub(crate) fail_if: Vec<String>,
    /// How the program's connect() calls are observed; the default is notify, or ptrace where the kernel refuses that
    #[arg(long, value_name = "WAY")]
    pub(crate) trace: Option<TraceWay>,
    /// Do not observe the program's connect() calls: what they fail with is then unknown
    #[arg(long, conflicts_with = "trace")]
    pub(crate) no_trace: bool,
    /// Write records to DIR/exec/<UTC time>.jsonl (default: results)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write records to stdout as JSON Lines; what the program writes to stdout goes to stderr
    #[arg(long)]
    pub(crate) json: bool,
    /// The program and its arguments; it finds the server by LINGER_HOST, LINGER_PORT, LINGER_SERVER (both), or as
    /// server.linger
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

const EXEC_HELP: &str = "Exit codes: the program's own; 128 and the signal's number where one ended it; 124 after --timeout; 126 it \
cannot be executed; 127 there is no such program · where it was not run: 2 invalid usage · 4 the lab or the server is \
unavailable · 1 internal error · with --against those of compare: 0, 3 a limit is crossed, 5 inconclusive";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TraceWay {
    /// seccomp user notification, Linux 5.6 and later
    Notify,
    /// ptrace(2): the program can trace nothing itself, and runs more slowly
    Ptrace,
}

/// Who is to close first, as scenarios have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerCloser {
    /// The server waits for the program's close
    Client,
    /// The server closes after each request, or after --max-requests
    Server,
}

/// Close modes that are the server's; those with a quit are the client's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerCloseMode {
    /// FIN
    Graceful,
    /// RST
    Abortive,
    /// FIN, then read to the program's
    HalfClose,
}

/// Topologies with namespaces of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExecLab {
    /// Client and server in one network namespace
    Loopback,
    /// A network namespace each, joined by a veth pair
    Pair,
    /// A router between that gives all clients one address
    Nat,
    /// Two links: the answers take another way
    Routed,
}

impl From<ExecLab> for Topology {
    fn from(topology: ExecLab) -> Self {
        match topology {
            ExecLab::Loopback => Self::Loopback,
            ExecLab::Pair => Self::Pair,
            ExecLab::Nat => Self::Nat,
            ExecLab::Routed => Self::Routed,
        }
    }
}

/// spec::Protocol as clap lists it, without that of silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ServerProtocol {
    Echo,
    Http,
    Mysql,
    Memcached,
    Redis,
}

impl From<ServerProtocol> for Protocol {
    fn from(protocol: ServerProtocol) -> Self {
        match protocol {
            ServerProtocol::Echo => Self::Echo,
            ServerProtocol::Http => Self::Http,
            ServerProtocol::Mysql => Self::Mysql,
            ServerProtocol::Memcached => Self::Memcached,
            ServerProtocol::Redis => Self::Redis,
        }
    }
}
