//! Sequences on the running kernel, in labs of their own. They need root, or `unshare --user --map-root-user`.

mod routers;

use std::sync::atomic::AtomicBool;

use super::{Conducted, conduct};
use crate::lab::{FIRST_SERVER_PORT, Lab, Privilege};
use crate::record::schema::Status;
use crate::scenario::plan::TrialPlan;
use crate::scenario::step::{Action, Step};

/// A plan with these steps, one a line.
fn plan(head: &str, steps: &str) -> TrialPlan {
    let steps: String = steps
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| format!("[[step]]\n{}\n", line.replace(" ; ", "\n")))
        .collect();
    let text = format!("# Why: to test.\nid = \"test\"\nclaim = \"none\"\n{head}\n{steps}");
    let plan = crate::scenario::from_text("test.toml", &text).unwrap_or_else(|problems| panic!("{problems}"));
    plan.trials.into_iter().next().unwrap()
}

fn conducted(head: &str, steps: &str) -> Conducted {
    let plan = plan(head, steps);
    let lab = Lab::build(&plan, Privilege::Root).expect("this test needs network namespaces: run it as root");
    conduct(&plan.steps, &lab, &AtomicBool::new(false), &mut |_, _| {}).unwrap()
}

/// All steps met.
fn met(head: &str, steps: &str) -> Conducted {
    let conducted = conducted(head, steps);
    for step in &conducted.steps {
        assert_eq!(step.status, Some(Status::Met), "{step:#?}\n{:#?}", conducted.segments);
    }
    assert!(conducted.ledger.balanced, "{:?}", conducted.ledger);
    conducted
}

/// Each way two sides can be joined, in both families.
const LABS: [&str; 4] = [
    "lab = { topology = \"pair\", family = \"ipv4\" }",
    "lab = { topology = \"pair\", family = \"ipv6\" }",
    "lab = { topology = \"loopback\", family = \"ipv4\" }",
    "lab = { topology = \"loopback\", family = \"ipv6\" }",
];

/// A connection `a` that the client has closed first.
const CLOSED: &str = r#"
    listen = {}
    connect = { connection = "a", from_port = 40000 }
    accept = { connection = "a" }
    send = { end = "a.client", text = "hello" }
    recv = { end = "a.server", text = "hello" }
    close = { end = "a.client", mode = "graceful" }
    recv = { end = "a.server", expect = "eof" }
    close = { end = "a.server", mode = "graceful" }
    await_state = { end = "a.client", state = "TIME_WAIT", expires_at_least = "58s" }
    await_state = { end = "a.server", state = "ABSENT" }
"#;

#[test]
fn the_steps_default_port_is_the_labs_first() {
    let step: Step = serde_json::from_str(r#"{"listen": {}}"#).unwrap();
    match step.action() {
        Some(Action::Listen(listen)) => assert_eq!(listen.port, FIRST_SERVER_PORT),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_crafted_reset_ends_time_wait_in_every_lab() {
    for lab in LABS {
        let steps = format!(
            "{CLOSED}
            inject = {{ to = \"a.client\", flags = [\"rst\"] }}
            await_state = {{ end = \"a.client\", state = \"ABSENT\" }}"
        );
        let conducted = met(lab, &steps);
        let last = conducted.segments.last().unwrap();
        assert_eq!((last.flags.as_str(), last.step), ("RST", 11), "{lab}");
    }
}

#[test]
fn a_reset_beside_the_window_does_not_end_time_wait() {
    let steps = format!(
        "{CLOSED}
        mark = {{ moment = \"m\" }}
        inject = {{ to = \"a.client\", flags = [\"rst\"], seq = -1000 }}
        await_counter = {{ side = \"client\", name = \"InSegs\", since = \"m\", at_least = 1 }}
        expect_state = {{ end = \"a.client\", state = \"TIME_WAIT\" }}"
    );
    met(LABS[0], &steps);
}

#[test]
fn lost_acknowledgements_leave_last_ack_till_they_are_lost_no_more() {
    for lab in LABS {
        met(
            lab,
            r#"
            listen = {}
            connect = { connection = "a" }
            accept = { connection = "a" }
            close = { end = "a.client", mode = "graceful" }
            recv = { end = "a.server", expect = "eof" }
            drop = { end = "a.server", with = ["ack"], without = ["syn", "rst"] }
            shutdown = { end = "a.server" }
            await_counter = { side = "server", name = "RetransSegs", at_least = 1 }
            expect_state = { end = "a.server", state = "LAST_ACK" }
            expect_state = { end = "a.client", state = "TIME_WAIT" }
            undrop = { end = "a.server" }
            await_state = { end = "a.server", state = "ABSENT" }
            "#,
        );
    }
}

#[test]
fn a_listener_can_lose_the_handshakes_last_ack() {
    met(
        LABS[0],
        r#"
        listen = {}
        drop = { listener = "main", with = ["ack"], without = ["syn"] }
        connect = { connection = "a" }
        await_state = { end = "a.server", state = "SYN_RECV" }
        expect_state = { end = "a.client", state = "ESTABLISHED" }
        undrop = { listener = "main" }
        send = { end = "a.client", text = "x" }
        accept = { connection = "a" }
        recv = { end = "a.server", text = "x" }
        "#,
    );
}

#[test]
fn a_segment_sent_again_is_what_was_captured() {
    let conducted = met(
        LABS[1],
        r#"
        listen = {}
        connect = { connection = "a" }
        accept = { connection = "a" }
        send = { end = "a.client", text = "once" }
        recv = { end = "a.server", text = "once" }
        replay = { of = "a.client", with = ["psh"] }
        await_segment = { from = "a.server", with = ["ack"] }
        "#,
    );
    let data: Vec<_> = conducted.segments.iter().filter(|segment| segment.bytes == 4).collect();
    let [first, second] = data[..] else {
        panic!("{:#?}", conducted.segments)
    };
    assert_eq!(
        (first.seq, first.ack, first.timestamp),
        (second.seq, second.ack, second.timestamp)
    );
    assert_eq!((first.step, second.step), (4, 6));
}

#[test]
fn a_hanging_connect_is_awaited_where_it_was_left() {
    let conducted = met(
        LABS[0],
        r#"
        start_connect = { connection = "a" }
        as = "refused" ; await_connect = { connection = "a", expect = "ECONNREFUSED" }
        listen = {}
        connect = { connection = "b", from_port = 41000 }
        connect = { connection = "c", from_port = 41000, expect = "EADDRINUSE" }
        "#,
    );
    assert_eq!(conducted.captured["refused"]["outcome"], "ECONNREFUSED");
    assert_eq!(
        conducted.captured["refused"]["port"].as_u64().map(|port| port > 0),
        Some(true)
    );
}

#[test]
fn a_step_that_is_not_met_tells_both_and_ends_the_sequence() {
    let conducted = conducted(
        LABS[0],
        r#"
        listen = {}
        connect = { connection = "a" }
        await_state = { end = "a.client", state = "TIME_WAIT", within = "20ms" }
        accept = { connection = "a" }
        "#,
    );
    let [.., failed, not_done] = &conducted.steps[..] else {
        panic!("{:?}", conducted.steps)
    };
    assert_eq!(failed.status, Some(Status::Unmet));
    assert_eq!(
        (failed.expected.as_str(), failed.actual.as_deref()),
        ("TIME_WAIT", Some("ESTABLISHED"))
    );
    // Six lines of head, and two lines a step before.
    assert_eq!((failed.number, failed.at.as_str()), (3, "test.toml:9"));
    assert_eq!((not_done.status, &not_done.actual), (None, &None));
}

#[test]
fn what_cannot_be_done_is_told_and_not_a_panic() {
    let cases = [
        (
            "connect = { connection = \"a\" }\n close = { end = \"a.client\", mode = \"graceful\" }\n shutdown = { end = \"a.client\" }",
            "no socket",
        ),
        (
            "stop_listening = {}\n accept = { connection = \"a\" }",
            "does not listen",
        ),
        (
            "connect = { connection = \"a\" }\n replay = { of = \"a.client\", with = [\"rst\"] }",
            "no such segment",
        ),
    ];
    for (steps, why) in cases {
        let first = if steps.contains("accept") {
            "connect = { connection = \"a\" }\n"
        } else {
            ""
        };
        let conducted = conducted(LABS[0], &format!("listen = {{}}\n{first}{steps}"));
        let failed = conducted.steps.iter().find(|step| step.status == Some(Status::Unmet));
        let actual = failed.and_then(|step| step.actual.clone()).unwrap_or_default();
        assert!(actual.contains(why), "expected {why:?}, came {actual:?}");
    }
}

#[test]
fn a_counter_that_the_kernel_lacks_is_inconclusive_and_not_waited_for() {
    for step in ["expect_counter", "await_counter"] {
        let conducted = conducted(
            LABS[0],
            &format!("{step} = {{ side = \"client\", name = \"NoSuch\", at_least = 1 }}\n listen = {{}}"),
        );
        let [asked, not_done] = conducted.steps.as_slice() else {
            panic!("two steps");
        };
        assert_eq!(asked.status, Some(Status::Inconclusive), "{asked:?}");
        assert_eq!(asked.actual.as_deref(), Some("this kernel has no counter NoSuch"));
        assert!(asked.took_seconds < Some(5.0), "{asked:?}");
        assert_eq!(not_done.status, None);
    }
}

#[test]
fn a_sysctl_that_the_kernel_lacks_makes_the_sequence_unavailable() {
    let plan = plan(
        LABS[0],
        "sysctl = { side = \"client\", name = \"net.ipv4.no_such\", value = 1 }",
    );
    let lab = Lab::build(&plan, Privilege::Root).unwrap();
    let error = conduct(&plan.steps, &lab, &AtomicBool::new(false), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("net.ipv4.no_such"), "{error}");
}

#[test]
fn the_users_wish_to_stop_leaves_the_rest_undone() {
    let plan = plan(LABS[0], "listen = {}\nwait = { time = \"1h\" }\nstop_listening = {}");
    let lab = Lab::build(&plan, Privilege::Root).unwrap();
    let stop = AtomicBool::new(false);
    let conducted = conduct(&plan.steps, &lab, &stop, &mut |number, _| {
        if number == 2 {
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    })
    .unwrap();
    assert_eq!(conducted.steps.last().unwrap().status, None);
}

#[test]
fn with_two_ways_the_answer_comes_over_the_other_link() {
    for family in ["ipv4", "ipv6"] {
        let lab = format!("lab = {{ topology = \"routed\", family = \"{family}\" }}");
        met(&lab, CLOSED);
    }
    let steps = r#"
        listen = {}
        sysctl = { side = "client", name = "net.ipv4.conf.all.rp_filter", value = 1 }
        start_connect = { connection = "a" }
        await_counter = { side = "client", name = "IPReversePathFilter", at_least = 1 }
        expect_state = { end = "a.client", state = "SYN_SENT" }
        sysctl = { side = "client", name = "net.ipv4.conf.all.rp_filter", value = 0 }
        await_connect = { connection = "a" }
    "#;
    met("lab = { topology = \"routed\" }", steps);
}

#[test]
fn a_loss_ends_once_so_many_segments_are_lost() {
    for lab in LABS {
        let conducted = met(
            lab,
            r#"
            listen = {}
            connect = { connection = "a" }
            accept = { connection = "a" }
            close = { end = "a.client", mode = "graceful" }
            recv = { end = "a.server", expect = "eof" }
            drop = { end = "a.server", with = ["ack"], without = ["syn", "rst"] }
            shutdown = { end = "a.server" }
            as = "lost" ; undrop = { end = "a.server", after = 2 }
            await_state = { end = "a.server", state = "ABSENT" }
            "#,
        );
        assert_eq!(conducted.captured["lost"]["count"], 2, "{lab}");
        let fins = |segment: &&crate::record::schema::SegmentSeen| {
            segment.flags.contains("FIN") && segment.from.ends_with(":7000")
        };
        assert_eq!(
            conducted.segments.iter().filter(fins).count(),
            3,
            "{lab}: the FIN and twice more"
        );
    }
}

#[test]
fn a_loss_that_does_not_come_is_not_met() {
    let conducted = conducted(
        LABS[0],
        r#"
        listen = {}
        drop = { listener = "main", with = ["rst"] }
        connect = { connection = "a" }
        undrop = { listener = "main", after = 1, within = "20ms" }
        "#,
    );
    let last = conducted.steps.last().unwrap();
    assert_eq!(
        (last.status, last.actual.as_deref()),
        (Some(Status::Unmet), Some("0 lost"))
    );
}

#[test]
fn sockets_with_windows_of_their_own_choose_ports_within_them() {
    let conducted = met(
        "[sysctl.client]\n\"net.ipv4.ip_local_port_range\" = \"40000 40019\"",
        r#"
        listen = {}
        as = "a" ; connect = { connection = "a", port_range = "40003 40003" }
        connect = { connection = "b", port_range = "40003 40003", expect = "EADDRNOTAVAIL" }
        as = "c" ; connect = { connection = "c", port_range = "40004 40004" }
        "#,
    );
    assert_eq!(
        (&conducted.captured["a"]["port"], &conducted.captured["c"]["port"]),
        (&40003.into(), &40004.into())
    );
}

#[test]
fn a_buffer_is_full_when_the_peer_takes_no_more() {
    let conducted = met(
        LABS[0],
        r#"
        listen = {}
        connect = { connection = "a" }
        accept = { connection = "a" }
        as = "filled" ; send = { end = "a.client", bytes = 0 }
        as = "again" ; send = { end = "a.client", bytes = 0 }
        "#,
    );
    assert_eq!(conducted.captured["again"]["bytes"], 0, "{:?}", conducted.captured);
}
