//! The books of a program that linger did not write: what was seen on the wire, and what the built-in server counted,
//! against the kernel's counters of both namespaces.

use super::{Allowance, Counted, Kernel, TW_COUNTS_BEGINNINGS, of_rows, row, signed, sum};
use crate::record::schema::{Closings, Ledger, LedgerRow};

/// Everything that is reconciled, of one moment: the program has ended and both sides are at rest.
#[derive(Clone, Copy, Debug)]
pub struct ExecBooks<'a> {
    /// Connections that the built-in server accepted; None with a real one.
    pub accepted: Option<u64>,
    /// None where nobody watched the wire.
    pub closings: Option<&'a Closings>,
    pub counted: Counted<'a>,
    /// Mini-sockets that the last dump found on the client and on the server.
    pub held: [u64; 2],
    /// Seconds from the beginning to that moment.
    pub seconds: f64,
    /// The kernel's major and minor version.
    pub kernel: (u32, u32),
}

/// Sets the books of a foreign program against the kernel's, row by row.
#[must_use]
pub fn reconcile_exec(books: &ExecBooks<'_>) -> Ledger {
    let mut rows: Vec<LedgerRow> = books.accepts().into_iter().collect();
    if let Some(closings) = books.closings {
        rows.extend(books.opens(closings));
        rows.extend(books.time_wait(closings));
    }
    of_rows(rows)
}

impl ExecBooks<'_> {
    /// Changes of a counter, or a sum of them, in the client's namespace (0) or the server's (1).
    fn kernel(&self, side: usize, names: &[&str]) -> Kernel {
        let counters = match self.counted {
            Counted::Together(both) => Some(both),
            Counted::Apart { client, server } => Some(if side == 0 { client } else { server }),
            Counted::Shared => None,
        };
        sum(counters, names)
    }

    fn accepts(&self) -> Option<LedgerRow> {
        let ours = (signed(self.accepted?), "accepted");
        let kernel = self.kernel(1, &["PassiveOpens"]);
        Some(row(
            "server accepts",
            ours,
            kernel,
            "PassiveOpens",
            Allowance::default(),
        ))
    }

    fn opens(&self, closings: &Closings) -> [LedgerRow; 2] {
        let missed = closings.incomplete.is_empty();
        let whole = |kernel: Kernel| {
            if missed {
                kernel
            } else {
                Err(closings.incomplete.join("; "))
            }
        };
        let elsewhere = Allowance::of(
            closings.elsewhere,
            "the program also had connections that were not to the lab's server",
        );
        let opens = (signed(closings.opened), "connections whose SYN was seen");
        let established = (signed(closings.established), "connections whose SYN-ACK was seen");
        [
            row(
                "client opens",
                opens,
                whole(self.kernel(0, &["ActiveOpens"])),
                "ActiveOpens",
                elsewhere,
            ),
            row(
                "server opens",
                established,
                whole(self.kernel(1, &["PassiveOpens"])),
                "PassiveOpens",
                Allowance::of(
                    closings.syn_ack_retransmissions + closings.abandoned,
                    "the accept queue was full, or the program gave up: the two ends disagree on what was established",
                ),
            ),
        ]
    }

    /// TIME_WAIT that there should be by who closed first, on each side, or on both together where they share a namespace.
    fn time_wait(&self, closings: &Closings) -> Vec<LedgerRow> {
        let expected = closings.time_wait;
        let (client, server) = (expected.client + expected.both, expected.server + expected.both);
        let sides = match self.counted {
            Counted::Apart { .. } => vec![("client", 0, client, self.held[0]), ("server", 1, server, self.held[1])],
            Counted::Together(_) => vec![("both sides", 0, client + server, self.held.iter().sum())],
            Counted::Shared => vec![],
        };
        let rows = sides.into_iter().flat_map(|(whose, side, made, held)| {
            [
                self.made(closings, whose, side, made),
                self.held(closings, whose, side, made, held),
            ]
        });
        rows.collect()
    }

    fn made(&self, closings: &Closings, whose: &str, side: usize, made: u64) -> LedgerRow {
        let kernel = if self.kernel < TW_COUNTS_BEGINNINGS {
            Err("before Linux 5.19 TW may count a TIME_WAIT when it ends".into())
        } else if !closings.incomplete.is_empty() {
            Err(closings.incomplete.join("; "))
        } else {
            self.kernel(side, &["TW", "TWKilled", "TCPTimeWaitOverflow"])
        };
        row(
            &format!("TIME_WAIT made, {whose}"),
            (signed(made), "connections that this end closed first, by FIN"),
            kernel,
            "TW + TWKilled + TCPTimeWaitOverflow",
            disagreements(closings),
        )
    }

    /// The kernel does not count TIME_WAIT sockets that an incoming SYN replaces: the wire tells of them.
    fn replaced(&self, closings: &Closings, side: usize) -> i64 {
        match self.counted {
            Counted::Apart { .. } if side == 0 => 0,
            _ => signed(closings.server_time_wait_replaced),
        }
    }

    fn held(&self, closings: &Closings, whose: &str, side: usize, made: u64, held: u64) -> LedgerRow {
        let gone = self.kernel(side, &["TWRecycled", "TCPTimeWaitOverflow"]);
        let (gone, kernel) = match gone {
            _ if super::outlasts_time_wait(self.seconds, self.kernel) => {
                (0, Err("it took so long that TIME_WAIT ended meanwhile".into()))
            }
            _ if !closings.incomplete.is_empty() => (0, Err(closings.incomplete.join("; "))),
            Ok(gone) => (gone + self.replaced(closings, side), Ok(signed(held))),
            Err(why) => (0, Err(why)),
        };
        row(
            &format!("TIME_WAIT held, {whose}"),
            (
                signed(made) - gone,
                "the same, less TWRecycled, TCPTimeWaitOverflow and four-tuples accepted again",
            ),
            kernel,
            "TIME_WAIT and orphaned FIN_WAIT2 in the last dump",
            disagreements(closings),
        )
    }
}

/// Connections after which the wire does not tell what a socket became.
fn disagreements(closings: &Closings) -> Allowance {
    Allowance::of(
        closings.reset_after_fin.client + closings.reset_after_fin.server,
        "a RST after a FIN may end a TIME_WAIT, or come too late to",
    )
    .and(
        closings.half_closed_at_end,
        "FIN_WAIT2 whose peer has not closed ends after tcp_fin_timeout",
    )
    .and(
        closings.elsewhere,
        "the program also had connections that were not to the lab's server",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::schema::TimeWaitExpected;
    use std::collections::BTreeMap;

    fn counters(values: &[(&str, i64)]) -> BTreeMap<String, i64> {
        let none = [
            "ActiveOpens",
            "PassiveOpens",
            "TW",
            "TWKilled",
            "TCPTimeWaitOverflow",
            "TWRecycled",
        ];
        let mut counters: BTreeMap<String, i64> = none.map(|name| (name.to_owned(), 0)).into();
        counters.extend(values.iter().map(|(name, value)| ((*name).to_owned(), *value)));
        counters
    }

    fn books(client: &[(&str, i64)], held: u64) -> Ledger {
        let closings = Closings {
            opened: 10,
            established: 10,
            time_wait: TimeWaitExpected {
                client: 9,
                both: 1,
                ..TimeWaitExpected::default()
            },
            ..Closings::default()
        };
        let (client, server) = (counters(client), counters(&[("PassiveOpens", 10), ("TW", 1)]));
        reconcile_exec(&ExecBooks {
            accepted: Some(10),
            closings: Some(&closings),
            counted: Counted::Apart {
                client: &client,
                server: &server,
            },
            held: [held, 1],
            seconds: 1.0,
            kernel: (6, 18),
        })
    }

    #[test]
    fn what_was_seen_on_the_wire_and_what_the_kernel_counted_balance() {
        let ledger = books(&[("ActiveOpens", 10), ("TW", 10)], 10);
        assert!(ledger.balanced, "{ledger:#?}");
        assert_eq!(ledger.rows.len(), 7);
        let recycled = books(&[("ActiveOpens", 10), ("TW", 10), ("TWRecycled", 4)], 6);
        assert!(recycled.balanced, "{recycled:#?}");
    }

    #[test]
    fn a_servers_time_wait_that_a_syn_replaced_is_held_no_more() {
        let closings = |replaced| Closings {
            opened: 10,
            established: 10,
            time_wait: TimeWaitExpected {
                server: 10,
                ..TimeWaitExpected::default()
            },
            server_time_wait_replaced: replaced,
            ..Closings::default()
        };
        let balanced = |replaced, held| {
            let (client, server) = (
                counters(&[("ActiveOpens", 10)]),
                counters(&[("PassiveOpens", 10), ("TW", 10)]),
            );
            let ledger = reconcile_exec(&ExecBooks {
                accepted: Some(10),
                closings: Some(&closings(replaced)),
                counted: Counted::Apart {
                    client: &client,
                    server: &server,
                },
                held: [0, held],
                seconds: 1.0,
                kernel: (6, 18),
            });
            ledger.balanced
        };
        assert!(balanced(4, 6) && balanced(0, 10));
        assert!(!balanced(0, 6) && !balanced(4, 10));
    }

    #[test]
    fn one_connection_more_or_less_does_not_balance() {
        for client in [[("ActiveOpens", 11), ("TW", 10)], [("ActiveOpens", 10), ("TW", 9)]] {
            assert!(!books(&client, 10).balanced);
        }
        assert!(!books(&[("ActiveOpens", 10), ("TW", 10)], 9).balanced);
    }
}
