//! The command line: clap types only.

mod exec;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use linger::load::{Choice, Pacing};
use linger::scenario::spec::Topology;
use linger::trial::Tuning;

pub(crate) use exec::{Exec, ServerCloser, TraceWay};

/// Reproduce, measure and gate TCP TIME_WAIT and ephemeral-port exhaustion, in a throw-away lab, without root.
#[derive(Debug, Parser)]
#[command(name = "linger", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all met · 1 internal error · 2 invalid usage or scenario · \
3 an expectation unmet · 4 the lab or a needed part is unavailable · 5 inconclusive · 130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run scenarios, each trial in a lab of its own, and judge them
    Run(Run),
    /// Put the catalogue's claims to this kernel: claim by claim what it does, and the verdict
    Verify(Verify),
    /// List the catalogue: id, claim, how long it takes, whether this machine can run it
    List(List),
    /// Show a scenario: why, claim, sources, text, and the prediction for this machine
    Show(Show),
    /// Tell what this machine allows, with the remedy for each no
    Check(Check),
    /// List the kernels that `--kernel` finds here, and those that can be downloaded
    Kernels(Kernels),
    /// Render records as a table or a page
    Report(Report),
    /// Run any program in the lab's client namespace against the built-in server or a real one; measure its connections
    Exec(Box<Exec>),
    /// Compare two sets of records: statistics, verdict, exit code
    Compare(Compare),
    /// Print shell completions
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Ids of the catalogue (see `linger list`) or paths of scenario files
    #[arg(required = true, value_name = "SCENARIO")]
    pub(crate) scenarios: Vec<String>,
    /// Set a key of the scenario, such as load.rate=200 or net.ipv4.tcp_tw_reuse=1 (both sides)
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Run each cell N times, each in a fresh lab
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repeat: Option<u32>,
    /// Use this topology instead of the scenario's
    #[arg(long, value_name = "TOPOLOGY")]
    pub(crate) lab: Option<LabTopology>,
    /// Boot this kernel under QEMU and run there: a vmlinuz, a .deb, a directory, a name of `linger kernels`, or `host`
    /// for the kernel that runs here; repeat it to compare
    #[arg(long, value_name = "KERNEL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) kernel: Vec<String>,
    /// What booted kernels' clocks follow (default: real)
    #[arg(long, value_name = "CLOCK")]
    pub(crate) clock: Option<GuestClock>,
    /// Short for --clock virtual
    #[arg(long, conflicts_with = "clock")]
    pub(crate) virtual_time: bool,
    /// Memory of a booted kernel's machine, in MiB (default: 1024)
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub(crate) guest_memory: Option<u32>,
    /// Use this client engine; the default is uring for requests with arrival max where the kernel allows it, else epoll
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<Engine>,
    /// How intended starts are waited for; the default is hybrid where each thread can have a CPU, else timer
    #[arg(long, value_name = "PACING")]
    pub(crate) pacing: Option<PacingWay>,
    /// Pin each client and server thread to a CPU of its own
    #[arg(long)]
    pub(crate) pin: bool,
    /// Where the client closes abortively, send the RST by connect(AF_UNSPEC) and connect the same socket again
    #[arg(long)]
    pub(crate) reuse_descriptor: bool,
    /// Write records to DIR/<id>/<UTC time>.jsonl (default: results)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write records to stdout as JSON Lines, everything else to stderr
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Ids of the catalogue (see `linger list`) or paths of scenario files (default: the whole catalogue)
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
    /// Leave out what is expected to take more than 15 s by itself
    #[arg(long)]
    pub(crate) quick: bool,
    /// Set a key of every scenario, such as lab.family=ipv6
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Boot this kernel under QEMU and put the claims to it: a vmlinuz, a .deb, a directory, a name of `linger kernels`, or
    /// `host` for the kernel that runs here (default: host); repeat it to have them side by side
    #[arg(long, value_name = "KERNEL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) kernel: Vec<String>,
    /// What booted kernels' clocks follow
    #[arg(long, value_name = "CLOCK", default_value = "auto", requires = "kernel")]
    pub(crate) clock: GuestClock,
    /// Short for --clock virtual
    #[arg(long, requires = "kernel", conflicts_with = "clock")]
    pub(crate) virtual_time: bool,
    /// Do not scale scenarios down for kernels that an emulator executes: some then take minutes each
    #[arg(long, requires = "kernel")]
    pub(crate) full: bool,
    /// Real time for each booted kernel, at the most; trials that have no record by then are unavailable
    #[arg(long, value_name = "MINUTES", default_value_t = 30, requires = "kernel",
        value_parser = clap::value_parser!(u32).range(1..=1440))]
    pub(crate) kernel_minutes: u32,
    /// Memory of a booted kernel's machine, in MiB (default: 1024)
    #[arg(long, value_name = "MIB", requires = "kernel", value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub(crate) guest_memory: Option<u32>,
    /// Trials at once, at the most; most of them only wait (default: 8 for each CPU). Booted kernels run their trials one
    /// after the other, and as many kernels at once as there are CPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) jobs: Option<u32>,
    /// Write records to DIR/<id>/<UTC time>.jsonl (default: results)
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Write records to stdout as JSON Lines, everything else to stderr
    #[arg(long)]
    pub(crate) json: bool,
}

impl Verify {
    /// With `--virtual-time` as the clock that it is short for.
    pub(crate) fn settled(self) -> Self {
        let clock = if self.virtual_time {
            GuestClock::Virtual
        } else {
            self.clock
        };
        Self { clock, ..self }
    }

    /// The options that say how kernels are booted, and whether each was given.
    pub(crate) fn of_booted_kernels(&self) -> [(&'static str, bool); 4] {
        [
            ("--virtual-time", self.virtual_time),
            ("--clock", self.clock != GuestClock::Auto),
            ("--full", self.full),
            ("--guest-memory", self.guest_memory.is_some()),
        ]
    }
}

impl Run {
    /// How the load is to be run.
    pub(crate) fn tuning(&self) -> Tuning {
        Tuning {
            engine: match self.engine {
                None => Choice::Auto,
                Some(Engine::Epoll) => Choice::Epoll,
                Some(Engine::Uring) => Choice::Uring,
            },
            pacing: self.pacing.map(|way| match way {
                PacingWay::Hybrid => Pacing::Hybrid,
                PacingWay::Timer => Pacing::Timer,
            }),
            pin: self.pin,
            reuse_descriptor: self.reuse_descriptor,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GuestClock {
    /// Virtual time; real time for scenarios that measure latency or CPU, where KVM serves
    Auto,
    /// An instruction is a nanosecond and idle time is skipped: two runs give the same, times are counts of instructions
    Virtual,
    /// The host's time
    Real,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Engine {
    /// Non-blocking sockets and epoll(7), on every kernel
    Epoll,
    /// Chains of requests by io_uring(7), Linux 6.7 and later
    Uring,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PacingWay {
    /// Sleep until shortly before, then spin
    Hybrid,
    /// Sleep on a timer
    Timer,
}

/// spec::Topology as clap lists it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LabTopology {
    /// Client and server in one network namespace
    Loopback,
    /// A network namespace each, joined by a veth pair
    Pair,
    /// A router between that gives all clients one address
    Nat,
    /// Two links: the answers take another way
    Routed,
    /// No namespace: the host's loopback, sysctls read only
    Host,
}

impl From<LabTopology> for Topology {
    fn from(topology: LabTopology) -> Self {
        match topology {
            LabTopology::Loopback => Self::Loopback,
            LabTopology::Pair => Self::Pair,
            LabTopology::Nat => Self::Nat,
            LabTopology::Routed => Self::Routed,
            LabTopology::Host => Self::Host,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// An id of the catalogue or a path
    #[arg(value_name = "ID")]
    pub(crate) scenario: String,
    /// Set a key of the scenario before predicting
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Kernels {
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// Record files (JSON Lines) or directories of them
    #[arg(required = true, value_name = "RECORDS")]
    pub(crate) records: Vec<PathBuf>,
    /// How to render
    #[arg(long, default_value = "terminal")]
    pub(crate) format: Format,
    /// Write to FILE instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    /// As `linger run` prints it
    Terminal,
    /// Tables for a page or a CI summary
    Markdown,
    /// One table of claims, as `linger verify` prints it
    Verify,
    /// A page of claims: why, how each is shown, figures and verdict by kernel
    Claims,
    /// JUnit XML, a test case an expectation
    Junit,
    /// CSV, a row a record
    Csv,
    /// CSV, a row an interval of each timeline
    CsvTimeline,
    /// HdrHistogram interval log
    Hdr,
    /// HdrHistogram percentile text
    HdrPercentiles,
}

#[derive(Debug, Args)]
#[command(after_help = COMPARE_HELP)]
pub(crate) struct Compare {
    /// Records to compare with: a file or a directory
    #[arg(value_name = "BASE")]
    pub(crate) base: PathBuf,
    /// Records to judge: a file or a directory
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// When to fail: `METRIC > RATIO` on new/base, or `new: CEL` over each new record
    #[arg(long, value_name = "EXPR")]
    pub(crate) fail_if: Vec<String>,
    /// Compare although these differ: scenario, kernel, sysctl, machine, lab, linger, or all
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) allow: Vec<String>,
    /// How to render
    #[arg(long, default_value = "terminal")]
    pub(crate) format: ComparisonFormat,
    /// Write to FILE instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

const COMPARE_HELP: &str = "Exit codes: 0 nothing beyond a limit · 2 usage, or records that cannot be compared · \
3 a limit is crossed · 5 inconclusive";

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ComparisonFormat {
    Terminal,
    /// Tables for a CI job's summary
    Markdown,
    /// JUnit XML, a test case a limit
    Junit,
    Json,
}
