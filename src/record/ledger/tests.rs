use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::record::tally::First;

const FIRST: First = First { at: 0, attempt: 1 };

/// A namespace's counters after a load in which the client made `graceful` closes and `aborted` ones.
fn counters(graceful: i64, aborted: i64, refused: i64) -> BTreeMap<String, i64> {
    let made = graceful + aborted;
    let list = [
        ("ActiveOpens", made + refused),
        ("PassiveOpens", made),
        ("AttemptFails", refused),
        ("EstabResets", 2 * aborted),
        ("OutRsts", aborted + refused),
        ("ListenOverflows", 0),
        ("EmbryonicRsts", 0),
        ("TW", graceful),
        ("TWKilled", 0),
        ("TWRecycled", 0),
        ("TCPTimeWaitOverflow", 0),
        ("TCPAbortOnData", aborted),
    ];
    list.map(|(name, value)| (name.to_owned(), value)).into()
}

fn attempts(ok: u64, refused: u64, no_port: u64) -> Tally {
    let mut tally = Tally::default();
    tally.attempted = ok + refused + no_port;
    (tally.ok, tally.connected) = (ok, ok);
    for _ in 0..refused {
        tally.fail(Phase::Connect, Cause::Errno(libc::ECONNREFUSED), FIRST);
    }
    for _ in 0..no_port {
        tally.fail(Phase::Connect, Cause::Errno(libc::EADDRNOTAVAIL), FIRST);
    }
    tally
}

fn books<'a>(attempts: &'a Tally, counters: &'a BTreeMap<String, i64>, graceful: u64, aborted: u64) -> Books<'a> {
    Books {
        attempts,
        client: Closes {
            closed_first: graceful,
            aborted,
            ..Closes::default()
        },
        server: Closes {
            peer_closed_first: graceful,
            peer_reset: aborted,
            ..Closes::default()
        },
        accepted: graceful + aborted,
        server_books: ServerBooks::Ours,
        counted: Counted::Together(counters),
        held: [graceful, 0],
        reused: None,
        disconnects: false,
        seconds: 10.0,
        kernel: (6, 18),
    }
}

fn find<'a>(ledger: &'a Ledger, name: &str) -> &'a LedgerRow {
    ledger.rows.iter().find(|row| row.name == name).unwrap()
}

proptest! {
    #[test]
    fn true_books_balance_and_any_counter_that_is_off_shows(
        graceful in 0u64..500, aborted in 0u64..500, refused in 0u64..50, no_port in 0u64..50, which: prop::sample::Index,
        off in prop_oneof![-3i64..0, 1i64..4],
    ) {
        let tally = attempts(graceful + aborted, refused, no_port);
        let mut counters = counters(graceful as i64, aborted as i64, refused as i64);
        prop_assert!(reconcile(&books(&tally, &counters, graceful, aborted)).balanced);
        // The others only explain differences.
        let exact = ["ActiveOpens", "PassiveOpens", "AttemptFails", "EstabResets", "TW", "TWRecycled", "TCPAbortOnData"];
        *counters.get_mut(exact[which.index(exact.len())]).unwrap() += off;
        prop_assert!(!reconcile(&books(&tally, &counters, graceful, aborted)).balanced);
    }

    #[test]
    fn a_counter_that_the_kernel_lacks_is_not_checked_and_not_zero(missing: prop::sample::Index) {
        let tally = attempts(30, 0, 0);
        let mut counters = counters(20, 10, 0);
        let name = counters.keys().nth(missing.index(counters.len())).unwrap().clone();
        counters.remove(&name);
        let ledger = reconcile(&books(&tally, &counters, 20, 10));
        prop_assert!(ledger.balanced);
        for row in ledger.rows.iter().filter(|row| row.kernel_is.contains(&name)) {
            prop_assert_eq!(row.kernel, None);
            prop_assert!(row.note.as_ref().unwrap().contains(&name));
        }
    }
}

#[test]
fn an_attempt_that_vanished_is_no_balance() {
    let (mut tally, counters) = (attempts(30, 0, 0), counters(30, 0, 0));
    tally.attempted += 1;
    let ledger = reconcile(&books(&tally, &counters, 30, 0));
    assert!(!find(&ledger, "attempts").balanced);
}

#[test]
fn cancelled_attempts_are_in_the_books_and_explain_what_the_kernel_did_meanwhile() {
    let (mut tally, mut counters) = (attempts(30, 0, 0), counters(30, 0, 0));
    tally.attempted += 2;
    tally.fail(Phase::Connect, Cause::Cancelled, FIRST);
    tally.fail(Phase::Connect, Cause::Cancelled, FIRST);
    *counters.get_mut("ActiveOpens").unwrap() += 2;
    // One of the two was established, and accepted, after we had given it up.
    *counters.get_mut("PassiveOpens").unwrap() += 1;
    let ledger = reconcile(&Books {
        accepted: 31,
        ..books(&tally, &counters, 30, 0)
    });
    assert!(ledger.balanced, "{:#?}", ledger.rows);
    assert_eq!(find(&ledger, "server opens").tolerance, 2);
}

#[test]
fn tw_is_not_checked_where_it_may_count_endings() {
    let (tally, counters) = (attempts(30, 0, 0), counters(0, 0, 0));
    let old = Books {
        kernel: (5, 11),
        ..books(&tally, &counters, 30, 0)
    };
    let made = reconcile(&old);
    assert_eq!(find(&made, "TIME_WAIT made, both sides").kernel, None);
}

#[test]
fn a_load_longer_than_time_wait_says_nothing_of_what_is_held() {
    let (tally, counters) = (attempts(30, 0, 0), counters(30, 0, 0));
    let long = Books {
        seconds: 61.0,
        held: [3, 0],
        ..books(&tally, &counters, 30, 0)
    };
    let ledger = reconcile(&long);
    assert_eq!(find(&ledger, "TIME_WAIT held, both sides").kernel, None);
    assert!(ledger.balanced);
}

#[test]
fn before_4_1_time_wait_may_end_after_52_and_a_half_seconds() {
    let (tally, counters) = (attempts(30, 0, 0), counters(30, 0, 0));
    for (kernel, checked) in [((4, 0), false), ((4, 1), true)] {
        let ledger = reconcile(&Books {
            seconds: 55.0,
            kernel,
            ..books(&tally, &counters, 30, 0)
        });
        assert_eq!(
            find(&ledger, "TIME_WAIT held, both sides").kernel.is_some(),
            checked,
            "{kernel:?}"
        );
    }
}

#[test]
fn counters_of_other_programs_are_not_checked() {
    let tally = attempts(30, 0, 0);
    let ledger = reconcile(&Books {
        counted: Counted::Shared,
        ..books(&tally, &BTreeMap::new(), 30, 0)
    });
    assert!(ledger.balanced);
    let checked = ledger.rows.iter().filter(|row| row.kernel.is_some());
    assert_eq!(checked.count(), 2, "attempts and endings, which are ours alone");
}

#[test]
fn a_stray_reset_explains_a_time_wait_that_is_gone() {
    let (tally, mut counters) = (attempts(30, 0, 0), counters(30, 0, 0));
    let gone = |counters: &BTreeMap<String, i64>| {
        let held = [28, 0];
        reconcile(&Books {
            held,
            ..books(&tally, counters, 30, 0)
        })
        .balanced
    };
    assert!(!gone(&counters));
    counters.insert("OutRsts".into(), 2);
    assert!(gone(&counters));
}

#[test]
fn who_was_first_with_a_quit_may_be_either_end_or_neither() {
    let tally = attempts(30, 0, 0);
    for (made, resets) in [(30, 0), (60, 0), (0, 30)] {
        let mut counters = counters(made, 0, 0);
        for (name, value) in [
            ("ActiveOpens", 30),
            ("PassiveOpens", 30),
            ("EstabResets", resets),
            ("TCPAbortOnData", resets),
        ] {
            counters.insert(name.into(), value);
        }
        let undetermined = Closes {
            undetermined: 30,
            ..Closes::default()
        };
        let ledger = reconcile(&Books {
            client: undetermined,
            server: undetermined,
            held: [made as u64, 0],
            ..books(&tally, &counters, 30, 0)
        });
        assert!(ledger.balanced, "{made} {resets}: {:?}", ledger.rows);
        assert_eq!(find(&ledger, "client endings").kernel, Some(30));
    }
}

#[test]
fn what_rests_on_a_foreign_servers_counts_is_not_checked_and_the_rest_is() {
    let (tally, ours) = (attempts(30, 0, 0), counters(0, 0, 0));
    let (mut client, server) = (counters(0, 0, 0), counters(30, 0, 0));
    client.insert("ActiveOpens".into(), 30);
    let books = |client| {
        let apart = Counted::Apart {
            client,
            server: &server,
        };
        let closes = Closes {
            peer_closed_first: 30,
            ..Closes::default()
        };
        reconcile(&Books {
            client: closes,
            server: Closes::default(),
            accepted: 0,
            server_books: ServerBooks::Nobodys,
            counted: apart,
            held: [0, 30],
            ..books(&tally, &ours, 30, 0)
        })
    };
    let ledger = books(&client);
    assert!(ledger.balanced, "{:?}", ledger.rows);
    let unchecked: Vec<&str> = ledger
        .rows
        .iter()
        .filter(|row| row.kernel.is_none())
        .map(|row| &*row.name)
        .collect();
    let servers = [
        "server accepts",
        "aborts, server",
        "resets, server",
        "TIME_WAIT made, server",
        "TIME_WAIT held, server",
    ];
    assert_eq!(unchecked, servers);
    // The client's own are checked as ever: one of its connections is in TIME_WAIT against our books.
    let mut off = client.clone();
    off.insert("TW".into(), 1);
    assert!(!books(&off).balanced);
}
