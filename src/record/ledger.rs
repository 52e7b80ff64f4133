//! Reconciles what linger counted with what the kernel counted: two sets of books over the same connections.
//!
//! A row sets a sum of our counts against a sum of the kernel's counters (/proc/net/snmp, netstat) or of a dump. Only
//! rows that were seen to hold in experiment are here (tests/observe/books.rs). Pure; knows no file and no socket.
//!
//! What the kernel counts, by net/ipv4 of Linux 6.18:
//! - `ActiveOpens`: each SYN that connect() sends; what fails before, as EADDRNOTAVAIL does, is not in it.
//! - `AttemptFails`: a connection given up in SYN_SENT by the kernel; not one that we close there.
//! - `PassiveOpens`: each connection whose handshake the server completes, accepted or not.
//! - `TCPAbortOnData`: each close() with SO_LINGER 0.
//! - `EstabResets`: each connection that leaves ESTABLISHED or CLOSE_WAIT by a reset, sent or received.
//! - `TW`, `TWKilled`: each mini-socket at its beginning (from 5.19; through 5.11 at its end), for TIME_WAIT or orphaned
//!   FIN_WAIT2; the second when its time is at most 4 s. `TCPTimeWaitOverflow`: each that tcp_max_tw_buckets forbade.
//! - `TWRecycled`: each TIME_WAIT that connect() replaced. One that an incoming SYN replaced is in no counter.

mod exec;
mod rows;
mod sequence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use nix::libc;

use super::schema::{Ledger, LedgerRow};
use super::tally::{Cause, Phase, Tally};
pub use exec::{ExecBooks, reconcile_exec};
pub use sequence::reconcile_sequence;

/// How one side's established connections ended, by who acted first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closes {
    /// This side closed first, with FIN.
    pub closed_first: u64,
    /// This side closed first, with RST by SO_LINGER 0.
    pub aborted: u64,
    /// The peer's FIN came first.
    pub peer_closed_first: u64,
    /// The peer's RST came first.
    pub peer_reset: u64,
    /// Both ends closed for one quit (close mode `quit-close`): whose FIN came first only the kernel knows, and a reply to
    /// the quit that finds the client gone is answered with RST.
    pub undetermined: u64,
}

impl std::ops::Add for Closes {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            closed_first: self.closed_first + other.closed_first,
            aborted: self.aborted + other.aborted,
            peer_closed_first: self.peer_closed_first + other.peer_closed_first,
            peer_reset: self.peer_reset + other.peer_reset,
            undetermined: self.undetermined + other.undetermined,
        }
    }
}

/// Whose counters there are: changes over the load by name, as `observe` gives them.
#[derive(Clone, Copy, Debug)]
pub enum Counted<'a> {
    /// One namespace for both sides.
    Together(&'a BTreeMap<String, i64>),
    /// A namespace each.
    Apart {
        client: &'a BTreeMap<String, i64>,
        server: &'a BTreeMap<String, i64>,
    },
    /// A namespace with other programs in it, whose counters say nothing of us.
    Shared,
}

/// Whether the server's own counts are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerBooks {
    /// The built-in server kept them.
    Ours,
    /// The server is a program of somebody else's: `server` and `accepted` say nothing.
    Nobodys,
}

/// Everything that is reconciled. All of it is of one moment: when the load was over and both sides at rest.
#[derive(Clone, Copy, Debug)]
pub struct Books<'a> {
    pub attempts: &'a Tally,
    pub client: Closes,
    pub server: Closes,
    /// Connections that the server accepted.
    pub accepted: u64,
    pub server_books: ServerBooks,
    pub counted: Counted<'a>,
    /// Mini-sockets that a dump found on the client and on the server: TIME_WAIT and orphaned FIN_WAIT2.
    pub held: [u64; 2],
    /// Successful connections on a four-tuple that was closed before; None when they were not followed, or not by one
    /// thread alone.
    pub reused: Option<u64>,
    /// Whether the client's RSTs were sent by connect(AF_UNSPEC), which counts no TCPAbortOnData.
    pub disconnects: bool,
    /// Seconds from the load's beginning to that moment.
    pub seconds: f64,
    /// The kernel's major and minor version.
    pub kernel: (u32, u32),
}

/// How the note of a row begins that has nothing to be checked against.
pub const NOT_CHECKED: &str = "not checked: ";
const UNDETERMINED: &str = "the client closed at once after its quit: whose FIN came first, and whether a late reply met a \
                            closed socket, only the kernel knows";
const NOBODYS: &str = "the server is a program of somebody else's, whose counts linger does not have";
const ASSASSINATION: &str = "a RST that answers a late ACK may end a TIME_WAIT, which no counter tells (RFC 1337)";
/// TIME_WAIT lasts at least this many seconds (TCP_TIMEWAIT_LEN); until then none can have ended by itself.
const TIME_WAIT_SECONDS: f64 = 60.0;
/// The same before 4.1, whose wheel of eight slots of 7.5 s may end a slot that was filled just before it turned.
const TIME_WAIT_SECONDS_OF_WHEEL: f64 = 52.5;
const TIME_WAIT_HAS_TIMERS: (u32, u32) = (4, 1);
/// From this version on `TW` counts a TIME_WAIT when it begins.
const TW_COUNTS_BEGINNINGS: (u32, u32) = (5, 19);

/// connect() gives these before it sends a SYN.
const BEFORE_SYN: [i32; 8] = [
    libc::EADDRNOTAVAIL,
    libc::EACCES,
    libc::EPERM,
    libc::EAFNOSUPPORT,
    libc::EINVAL,
    libc::EAGAIN,
    libc::ENOBUFS,
    libc::ENOMEM,
];
/// connect() gives these for want of a route, before the SYN, or for an ICMP message, after it.
const ROUTING: [i32; 4] = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ENETDOWN, libc::EHOSTDOWN];

/// Sets our books against the kernel's, row by row.
#[must_use]
pub fn reconcile(books: &Books<'_>) -> Ledger {
    let mut rows = vec![
        books.attempts(),
        books.endings(),
        books.client_opens(),
        books.failed_opens(),
        books.server_opens(),
        books.accepts(),
    ];
    for account in books.accounts() {
        rows.extend([books.aborts(&account), books.resets(&account)]);
        rows.extend([books.time_wait_made(&account), books.time_wait_held(&account)]);
    }
    rows.extend(books.reuse());
    of_rows(rows)
}

fn of_rows(rows: Vec<LedgerRow>) -> Ledger {
    Ledger {
        balanced: rows.iter().all(|row| row.balanced),
        rows,
        unsettled: None,
    }
}

/// One namespace's side of the books, or both sides of the one that they share.
#[derive(Debug)]
struct Account<'a> {
    whose: &'static str,
    counters: Option<&'a BTreeMap<String, i64>>,
    closes: Closes,
    held: u64,
    /// Whether the server's TIME_WAIT sockets are in it.
    is_servers: bool,
    /// Connections closed first that the peer did not close in turn: FIN_WAIT2, until tcp_fin_timeout ends it uncounted.
    unanswered: u64,
    /// RSTs that its peer sent without closing or refusing anything by them. Each may have ended a TIME_WAIT (RFC 1337)
    /// and no counter tells: seen where a delayed ACK is sent just behind the FIN, on another CPU; TIME_WAIT answers what
    /// is out of its window, and the other end, closed by now, answers that with RST.
    stray_resets: u64,
}

/// The kernel's number, or why there is none to check against.
type Kernel = Result<i64, String>;

/// A difference that is explained, by one reason or several.
#[derive(Debug, Default)]
struct Allowance {
    up_to: u64,
    why: Vec<&'static str>,
}

impl Allowance {
    fn of(up_to: u64, why: &'static str) -> Self {
        Self::default().and(up_to, why)
    }

    fn and(mut self, up_to: u64, why: &'static str) -> Self {
        if up_to > 0 {
            self.up_to += up_to;
            self.why.push(why);
        }
        self
    }
}

impl<'a> Books<'a> {
    fn accounts(&self) -> Vec<Account<'a>> {
        let (client, server) = (self.client_closes(), self.server);
        let refused = self.connect_failed(&[libc::ECONNREFUSED]);
        let unanswered = match self.server_books {
            ServerBooks::Ours => [
                client.closed_first.saturating_sub(server.peer_closed_first),
                server.closed_first.saturating_sub(client.peer_closed_first),
            ],
            // Both sides were seen to be at rest.
            ServerBooks::Nobodys => [0; 2],
        };
        let joint = |counters| Account {
            whose: "both sides",
            counters,
            closes: client + server,
            held: self.held.iter().sum(),
            is_servers: true,
            unanswered: unanswered.iter().sum(),
            stray_resets: stray(counters, client.aborted + server.aborted + refused),
        };
        match self.counted {
            Counted::Apart {
                client: ours,
                server: theirs,
            } => vec![
                Account {
                    whose: "client",
                    counters: Some(ours),
                    closes: client,
                    held: self.held[0],
                    is_servers: false,
                    unanswered: unanswered[0],
                    stray_resets: stray(Some(theirs), server.aborted + refused),
                },
                Account {
                    whose: "server",
                    counters: Some(theirs),
                    closes: server,
                    held: self.held[1],
                    is_servers: true,
                    unanswered: unanswered[1],
                    stray_resets: stray(Some(ours), client.aborted),
                },
            ],
            Counted::Together(both) => vec![joint(Some(both))],
            Counted::Shared => vec![joint(None)],
        }
    }

    /// Whether TIME_WAIT sockets may have ended by themselves.
    fn outlasts_time_wait(&self) -> bool {
        outlasts_time_wait(self.seconds, self.kernel)
    }

    /// The client's endings, with those connections that a reset ended before connect() told of them.
    fn client_closes(&self) -> Closes {
        Closes {
            peer_reset: self.client.peer_reset + self.reset_in_connect(),
            ..self.client
        }
    }

    /// Connections that the server reset before connect() told of the handshake: in SYN_SENT it would be ECONNREFUSED.
    fn reset_in_connect(&self) -> u64 {
        self.connect_failed(&[libc::ECONNRESET])
    }

    /// A counter of the client's namespace.
    fn client_counter(&self, name: &str) -> Kernel {
        sum(self.accounts()[0].counters, &[name])
    }

    /// A counter of the server's namespace.
    fn server_counter(&self, name: &str) -> Kernel {
        sum(self.accounts().last().and_then(|account| account.counters), &[name])
    }

    /// The kernel's number for an account, where ours is complete.
    fn checked(&self, account: &Account<'_>, kernel: Kernel) -> Kernel {
        match self.server_books {
            ServerBooks::Nobodys if account.is_servers => Err(NOBODYS.into()),
            _ => kernel,
        }
    }

    /// Failed connect() calls with one of these errnos.
    fn connect_failed(&self, errnos: &[i32]) -> u64 {
        let count = |errno: &i32| self.attempts.count(Phase::Connect, Cause::Errno(*errno));
        errnos.iter().map(count).sum()
    }

    fn in_phase(&self, phases: &[Phase]) -> u64 {
        let failures = self.attempts.failures();
        let of_phase = failures.iter().filter(|failure| phases.contains(&failure.phase));
        of_phase.map(|failure| failure.count).sum()
    }

    /// connect() calls that we gave up: the kernel may have got further than we know.
    fn given_up(&self) -> u64 {
        let count = |cause| self.attempts.count(Phase::Connect, cause);
        count(Cause::LingerTimeout) + count(Cause::Cancelled)
    }

    /// What may have been counted on this account or not.
    fn unsure(&self, account: &Account<'_>) -> Allowance {
        self.broken_off().and(account.closes.undetermined, UNDETERMINED)
    }

    /// Connections that failed after they were established: either end may have been in the middle of something.
    fn broken_off(&self) -> Allowance {
        Allowance::of(
            self.in_phase(&[Phase::Send, Phase::Recv, Phase::Close]),
            "connections that failed after the handshake may have been closed by either end",
        )
    }
}

/// Whether a TIME_WAIT that began with a load may have ended by itself so many seconds later, on this kernel.
#[must_use]
pub fn outlasts_time_wait(seconds: f64, kernel: (u32, u32)) -> bool {
    let least = if kernel >= TIME_WAIT_HAS_TIMERS {
        TIME_WAIT_SECONDS
    } else {
        TIME_WAIT_SECONDS_OF_WHEEL
    };
    seconds >= least
}

fn row(name: &str, (ours, ours_is): (i64, &str), kernel: Kernel, kernel_is: &str, allowance: Allowance) -> LedgerRow {
    let tolerance = signed(allowance.up_to);
    let balanced = kernel
        .as_ref()
        .map_or(true, |kernel| ours.abs_diff(*kernel) <= allowance.up_to);
    let note = match &kernel {
        Err(why) => Some(format!("{NOT_CHECKED}{why}")),
        Ok(_) => (tolerance > 0).then(|| allowance.why.join("; ")),
    };
    LedgerRow {
        name: name.to_owned(),
        ours,
        ours_is: ours_is.to_owned(),
        kernel: kernel.ok(),
        kernel_is: kernel_is.to_owned(),
        tolerance,
        balanced,
        note,
    }
}

/// RSTs sent beyond those that closed or refused something.
fn stray(counters: Option<&BTreeMap<String, i64>>, meant: u64) -> u64 {
    sum(counters, &["OutRsts"]).map_or(0, |sent| sent.unsigned_abs().saturating_sub(meant))
}

/// The sum of several counters; none of them may be missing, since absent is not zero.
fn sum(counters: Option<&BTreeMap<String, i64>>, names: &[&str]) -> Kernel {
    let counters = counters.ok_or("other programs use the same counters")?;
    let value = |name: &&str| {
        counters
            .get(*name)
            .copied()
            .ok_or_else(|| format!("this kernel has no {name}"))
    };
    names.iter().map(value).sum()
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
