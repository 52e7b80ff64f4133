//! The ledger's rows, one a function: what of ours, what of the kernel's, and which differences are explained.

use nix::libc;

use super::{
    ASSASSINATION, Account, Allowance, BEFORE_SYN, Books, Closes, NOBODYS, ROUTING, ServerBooks, TW_COUNTS_BEGINNINGS,
    row, signed, sum,
};
use crate::record::schema::LedgerRow;
use crate::record::tally::{Cause, Phase};

impl Books<'_> {
    pub(super) fn attempts(&self) -> LedgerRow {
        let sum = self.attempts.ok + self.attempts.failed();
        let ours = (signed(self.attempts.attempted), "attempts begun");
        row(
            "attempts",
            ours,
            Ok(signed(sum)),
            "ok + failed (ours)",
            Allowance::default(),
        )
    }

    pub(super) fn endings(&self) -> LedgerRow {
        let Closes {
            closed_first,
            aborted,
            peer_closed_first,
            peer_reset,
            undetermined,
        } = self.client;
        let sum = signed(closed_first + aborted + peer_closed_first + peer_reset + undetermined);
        let ours = (signed(self.attempts.connected), "connect() succeeded");
        let theirs = if undetermined > 0 {
            "client's closed first + aborted + closed by peer + reset by peer + quit and closed (ours)"
        } else {
            "client's closed first + aborted + closed by peer + reset by peer (ours)"
        };
        row("client endings", ours, Ok(sum), theirs, Allowance::default())
    }

    /// Attempts that got as far as the SYN.
    fn syns_sent(&self) -> u64 {
        let before = self.in_phase(&[Phase::Socket, Phase::Bind]) + self.connect_failed(&BEFORE_SYN);
        self.attempts
            .attempted
            .saturating_sub(before + self.connect_failed(&ROUTING))
    }

    pub(super) fn client_opens(&self) -> LedgerRow {
        let ours = (
            signed(self.syns_sent()),
            "attempts less those that failed before the SYN (socket, bind, no port, no route)",
        );
        let allowance = Allowance::of(
            self.connect_failed(&ROUTING),
            "unreachable: told by routing before the SYN, or by ICMP after it",
        );
        row(
            "client opens",
            ours,
            self.client_counter("ActiveOpens"),
            "ActiveOpens",
            allowance,
        )
    }

    pub(super) fn failed_opens(&self) -> LedgerRow {
        let by_kernel = self
            .attempts
            .failures()
            .iter()
            .fold(0, |sum, failure| match (failure.phase, failure.cause) {
                // A reset after the handshake is no failed open to the kernel.
                (Phase::Connect, Cause::Errno(libc::ECONNRESET)) => sum,
                (Phase::Connect, Cause::Errno(errno)) if !BEFORE_SYN.contains(&errno) && !ROUTING.contains(&errno) => {
                    sum + failure.count
                }
                _ => sum,
            });
        let ours = (signed(by_kernel), "connect() refused or timed out by the kernel");
        let allowance = Allowance::of(
            self.connect_failed(&ROUTING) + self.given_up(),
            "unreachable or given up: the kernel may have ended the attempt first",
        )
        .and(
            self.client_counter("EmbryonicRsts").map_or(0, i64::unsigned_abs),
            "a server in the same namespace counts a handshake that a RST ended",
        );
        row(
            "failed opens",
            ours,
            self.client_counter("AttemptFails"),
            "AttemptFails",
            allowance,
        )
    }

    pub(super) fn server_opens(&self) -> LedgerRow {
        let ours = (
            signed(self.attempts.connected + self.reset_in_connect()),
            "connect() succeeded, or told of a reset after the handshake",
        );
        let overflows = self.server_counter("ListenOverflows").unwrap_or(0);
        let allowance = Allowance::of(
            self.given_up() + overflows.unsigned_abs(),
            "given up, or the accept queue was full: the two ends disagree on whether the handshake was completed",
        );
        row(
            "server opens",
            ours,
            self.server_counter("PassiveOpens"),
            "PassiveOpens",
            allowance,
        )
    }

    pub(super) fn accepts(&self) -> LedgerRow {
        let ours = (signed(self.accepted), "accepted");
        let kernel = match self.server_books {
            ServerBooks::Ours => self.server_counter("PassiveOpens"),
            ServerBooks::Nobodys => Err(NOBODYS.into()),
        };
        row("server accepts", ours, kernel, "PassiveOpens", Allowance::default())
    }

    pub(super) fn aborts(&self, account: &Account<'_>) -> LedgerRow {
        let ours = (signed(account.closes.aborted), "closed first with SO_LINGER 0");
        let name = format!("aborts, {}", account.whose);
        let kernel = if self.disconnects {
            Err("connect(AF_UNSPEC) sends RST without counting TCPAbortOnData".into())
        } else {
            sum(account.counters, &["TCPAbortOnData"])
        };
        let kernel = self.checked(account, kernel);
        row(&name, ours, kernel, "TCPAbortOnData", self.unsure(account))
    }

    pub(super) fn resets(&self, account: &Account<'_>) -> LedgerRow {
        let Closes {
            aborted, peer_reset, ..
        } = account.closes;
        let ours = (signed(aborted + peer_reset), "aborted + reset by peer");
        let name = format!("resets, {}", account.whose);
        row(
            &name,
            ours,
            self.checked(account, sum(account.counters, &["EstabResets"])),
            "EstabResets",
            self.unsure(account),
        )
    }

    pub(super) fn time_wait_made(&self, account: &Account<'_>) -> LedgerRow {
        let ours = (signed(account.closes.closed_first), "closed first with FIN");
        let names = ["TW", "TWKilled", "TCPTimeWaitOverflow"];
        let kernel = if self.kernel >= TW_COUNTS_BEGINNINGS {
            sum(account.counters, &names)
        } else {
            Err("before Linux 5.19 TW may count a TIME_WAIT when it ends".into())
        };
        let name = format!("TIME_WAIT made, {}", account.whose);
        row(
            &name,
            ours,
            self.checked(account, kernel),
            "TW + TWKilled + TCPTimeWaitOverflow",
            self.unsure(account),
        )
    }

    pub(super) fn time_wait_held(&self, account: &Account<'_>) -> LedgerRow {
        let reaccepted = match self.reused {
            _ if !account.is_servers || self.server.closed_first + self.server.undetermined == 0 => Ok(0),
            Some(reused) => Ok(signed(reused)),
            None => {
                Err("the kernel does not count TIME_WAIT sockets that an incoming SYN replaces; observe.tuples does")
            }
        };
        let gone = sum(account.counters, &["TWRecycled", "TCPTimeWaitOverflow"]);
        let (gone, held) = match (gone, reaccepted) {
            _ if self.outlasts_time_wait() => (0, Err("the load ran so long that TIME_WAIT ended meanwhile".into())),
            (Ok(gone), Ok(reaccepted)) => (gone + reaccepted, Ok(signed(account.held))),
            (Err(why), _) => (0, Err(why)),
            (_, Err(why)) => (0, Err(why.into())),
        };
        let ours = signed(account.closes.closed_first) - gone;
        let ours = (
            ours,
            "closed first with FIN, less TWRecycled, TCPTimeWaitOverflow and four-tuples accepted again",
        );
        let name = format!("TIME_WAIT held, {}", account.whose);
        row(
            &name,
            ours,
            self.checked(account, held),
            "TIME_WAIT and orphaned FIN_WAIT2 in the last dump",
            self.unsure(account)
                .and(
                    account.unanswered,
                    "FIN_WAIT2 whose peer has not closed ends after tcp_fin_timeout",
                )
                .and(account.stray_resets, ASSASSINATION),
        )
    }

    /// Where the client alone holds TIME_WAIT, a four-tuple used again is one recycled.
    pub(super) fn reuse(&self) -> Option<LedgerRow> {
        let client_alone = self.server_books == ServerBooks::Ours
            && self.client.aborted + self.client.undetermined == 0
            && self.server.closed_first + self.server.aborted + self.server.undetermined == 0;
        let reused = self.reused.filter(|_| client_alone && !self.outlasts_time_wait())?;
        let stray = self.accounts()[0].stray_resets;
        let allowance = Allowance::of(
            self.syns_sent().saturating_sub(self.attempts.ok),
            "an attempt that failed may have replaced a TIME_WAIT, and a failed connection may have left none",
        )
        .and(stray, ASSASSINATION);
        let ours = (
            signed(reused),
            "successful connections on a four-tuple that was closed before",
        );
        Some(row(
            "reuse",
            ours,
            self.client_counter("TWRecycled"),
            "TWRecycled",
            allowance,
        ))
    }
}
