//! Sequences through a router that translates addresses: what each side sees, and how crafted segments get there.

use super::{conducted, met};
use crate::record::schema::Status;

#[test]
fn behind_a_router_the_server_sees_the_routers_address_and_its_ports() {
    for (family, address) in [("ipv4", "10.3.0.1"), ("ipv6", "[fd6c:696e:6765:3::1]")] {
        let head = format!(
            "[lab]\ntopology = \"nat\"\nfamily = \"{family}\"\nnat_ports = \"45000 45001\"\n[client]\naddresses = 2"
        );
        let conducted = met(
            &head,
            r#"
            listen = {}
            connect = { connection = "a", from_address = 1 }
            as = "a" ; accept = { connection = "a" }
            connect = { connection = "b", from_address = 2 }
            as = "b" ; accept = { connection = "b" }
            expect_state = { end = "a.server", state = "ESTABLISHED" }
            expect_state = { end = "b.client", state = "ESTABLISHED" }
            "#,
        );
        let mut from =
            [&conducted.captured["a"]["from"], &conducted.captured["b"]["from"]].map(|it| it.as_str().unwrap());
        from.sort_unstable();
        assert_eq!(from, [format!("{address}:45000"), format!("{address}:45001")]);
    }
}

/// A lab with a router, its clients behind one address.
fn behind_a_router(family: &str) -> String {
    format!("[lab]\ntopology = \"nat\"\nfamily = \"{family}\"\nnat_ports = \"45000 45003\"")
}

#[test]
fn a_crafted_segment_goes_through_the_router_either_way() {
    for family in ["ipv4", "ipv6"] {
        met(
            &behind_a_router(family),
            r#"
            listen = {}
            connect = { connection = "a" }
            accept = { connection = "a" }
            inject = { to = "a.server", flags = ["ack", "psh"], text = "crafted" }
            recv = { end = "a.server", text = "crafted" }
            connect = { connection = "b" }
            accept = { connection = "b" }
            inject = { to = "b.client", flags = ["ack", "psh"], text = "back" }
            recv = { end = "b.client", text = "back" }
            connect = { connection = "c" }
            accept = { connection = "c" }
            inject = { to = "c.server", flags = ["rst"] }
            await_state = { end = "c.server", state = "ABSENT" }
            expect_state = { end = "c.client", state = "ESTABLISHED" }
            connect = { connection = "d" }
            accept = { connection = "d" }
            inject = { to = "d.client", flags = ["rst"] }
            await_state = { end = "d.client", state = "ABSENT" }
            "#,
        );
    }
}

#[test]
fn what_the_router_takes_for_invalid_is_told_and_not_taken_for_sent() {
    for family in ["ipv4", "ipv6"] {
        let conducted = conducted(
            &behind_a_router(family),
            r#"
            listen = {}
            connect = { connection = "a" }
            accept = { connection = "a" }
            inject = { to = "a.server", flags = ["ack"], seq = 1000000000 }
            "#,
        );
        let last = conducted.steps.last().unwrap();
        assert_eq!(last.status, Some(Status::Unmet), "{family}: {last:?}");
        assert!(last.actual.as_ref().unwrap().contains("router"), "{last:?}");
    }
}

#[test]
fn a_captured_segment_is_sent_again_through_the_router() {
    for family in ["ipv4", "ipv6"] {
        met(
            &behind_a_router(family),
            r#"
            listen = {}
            connect = { connection = "a" }
            accept = { connection = "a" }
            send = { end = "a.client", text = "once" }
            recv = { end = "a.server", text = "once" }
            replay = { of = "a.client", with = ["psh"] }
            await_segment = { from = "a.server", with = ["ack"] }
            send = { end = "a.server", text = "back" }
            recv = { end = "a.client", text = "back" }
            mark = { moment = "before" }
            replay = { of = "a.server", with = ["psh"] }
            await_counter = { side = "client", name = "InSegs", since = "before", at_least = 1 }
            await_segment = { from = "a.client", with = ["ack"] }
            "#,
        );
    }
}
