use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::scenario::fixture;
use crate::scenario::spec::Arrival;
use crate::tcp::CloseMode;

/// 30,000 connections to one destination at the highest rate, the client closing first.
pub(crate) fn plan() -> TrialPlan {
    let mut plan = fixture::trial();
    plan.load.connections = Some(30_000);
    plan
}

pub(crate) fn facts(sysctls: &[(&str, &str)]) -> Facts {
    let map: BTreeMap<String, String> = sysctls
        .iter()
        .map(|(name, value)| (format!("net.ipv4.{name}"), (*value).to_owned()))
        .collect();
    Facts {
        kernel: KernelVersion::new(6, 18),
        hz: Some(250),
        client: map.clone(),
        server: map,
        bound: vec![],
        loopback: false,
    }
}

pub(crate) const DEFAULTS: [(&str, &str); 3] = [
    ("ip_local_port_range", "32768\t60999"),
    ("tcp_tw_reuse", "0"),
    ("tcp_timestamps", "1"),
];

#[test]
fn the_default_range_holds_28232_connections_to_one_destination() {
    let prediction = predict(&plan(), &facts(&DEFAULTS));
    // 60999 − 32768 + 1
    assert_eq!(prediction.usable_ports, 28_232);
    assert_eq!(prediction.capacity, Some(28_232));
    assert_eq!(prediction.first_failure_attempt, Some(28_233));
    assert_eq!(prediction.first_failure_at, None);
    // 28232 / (60 + 2.048 / 2)
    assert!((prediction.sustained_per_second.unwrap() - 462.64).abs() < 0.01);
}

#[test]
fn a_constant_rate_fails_when_every_port_was_used_once() {
    let mut plan = plan();
    (plan.load.arrival, plan.load.rate) = (Arrival::Constant, Some(20.0));
    (plan.load.connections, plan.load.duration) = (None, Some(Duration::from_secs(190)));
    let facts = facts(&[("ip_local_port_range", "40000 40999"), ("tcp_tw_reuse", "0")]);
    let prediction = predict(&plan, &facts);
    // kernel-facts: 1000 ports at 20/s first failed at 50 s = 1000 / 20.
    assert_eq!(prediction.first_failure_at, Some(50.0));
    plan.load.rate = Some(16.0);
    // 16 × 62.048 = 993
    assert_eq!(predict(&plan, &facts).first_failure_attempt, None);
}

#[test]
fn reserved_and_bound_ports_leave_the_pool_once_each() {
    let mut facts = facts(&[
        ("ip_local_port_range", "40000 40099"),
        ("ip_local_reserved_ports", "40000-40009,24224"),
    ]);
    facts.bound = vec![40_005, 40_050, 40_050, 7000];
    // 100 − 10 reserved − 1 bound (40005 is reserved already, 7000 is outside)
    assert_eq!(predict(&plan(), &facts).usable_ports, 89);
}

#[test]
fn nothing_stays_taken_when_the_close_is_abortive_or_the_servers() {
    for (closer, mode) in [
        (Closer::Client, CloseMode::Abortive),
        (Closer::Server, CloseMode::Abortive),
        (Closer::Server, CloseMode::Graceful),
        (Closer::Server, CloseMode::QuitWait),
    ] {
        let mut plan = plan();
        (plan.close.closer, plan.close.mode) = (closer, mode);
        let prediction = predict(&plan, &facts(&DEFAULTS));
        assert_eq!(prediction.capacity, None, "{closer} {mode}");
        assert_eq!((prediction.hold_seconds, prediction.undetermined), (0.0, None));
    }
}

#[test]
fn who_holds_a_connection_that_both_end_for_one_quit_is_not_predicted() {
    let mut plan = plan();
    plan.close.mode = CloseMode::QuitClose;
    let prediction = predict(&plan, &facts(&DEFAULTS));
    assert!(prediction.undetermined.is_some());
    let limits = (
        prediction.capacity,
        prediction.first_failure_attempt,
        prediction.sustained_per_second,
    );
    assert_eq!(limits, (None, None, None));
    assert!(
        !prediction.because.iter().any(|step| step.contains("do not limit")),
        "{prediction:?}"
    );
}

#[test]
fn reuse_value_two_counts_for_loopback_only() {
    let mut facts = facts(&[("tcp_tw_reuse", "2"), ("tcp_timestamps", "1")]);
    assert!(predict(&plan(), &facts).hold_seconds > 60.0);
    facts.loopback = true;
    assert_eq!(predict(&plan(), &facts).hold_seconds, 1.0);
    facts.loopback = false;
    facts.kernel = KernelVersion::new(4, 18);
    assert!(
        predict(&plan(), &facts).hold_seconds < 2.1,
        "before 4.19 every value but 0 meant 1"
    );
}

#[test]
fn reuse_needs_timestamps_at_both_ends_and_a_port_chosen_by_connect() {
    let mut facts = facts(&[("tcp_tw_reuse", "1"), ("tcp_timestamps", "1")]);
    assert!(predict(&plan(), &facts).hold_seconds < 1.1);
    let mut bound = plan();
    bound.client.source = Source::BindAddress;
    assert!(predict(&bound, &facts).hold_seconds > 60.0);
    facts.server.insert("net.ipv4.tcp_timestamps".into(), "0".into());
    assert!(predict(&plan(), &facts).hold_seconds > 60.0);
}

#[test]
fn bind_address_has_one_pool_for_all_destinations() {
    let mut plan = plan();
    plan.server.addresses = 3;
    plan.client.addresses = 2;
    plan.client.source = Source::BindAddress;
    let facts = facts(&[("ip_local_port_range", "40000 40099")]);
    assert_eq!(predict(&plan, &facts).capacity, Some(200));
    plan.client.source = Source::BindAddressNoPort;
    assert_eq!(predict(&plan, &facts).capacity, Some(600));
}

#[test]
fn connections_held_open_are_limited_by_ports_only_where_more_are_held_than_there_are() {
    let mut plan = plan();
    plan.close.mode = CloseMode::Abortive;
    plan.load.hold = Duration::from_secs(3);
    plan.load.in_flight = 1100;
    let facts = facts(&[("ip_local_port_range", "40000 40999")]);
    assert_eq!(predict(&plan, &facts).capacity, Some(1000));
    plan.load.in_flight = 1000;
    assert_eq!(predict(&plan, &facts).capacity, None);
}

#[test]
fn a_small_limit_of_time_wait_sockets_frees_the_ports() {
    let facts = facts(&[("ip_local_port_range", "40000 40099"), ("tcp_max_tw_buckets", "30")]);
    assert_eq!(predict(&plan(), &facts).capacity, None);
}

#[test]
fn kernel_3_13_holds_longer_under_load() {
    let mut plan = plan();
    (plan.load.arrival, plan.load.rate) = (Arrival::Constant, Some(400.0));
    (plan.load.connections, plan.load.duration) = (None, Some(Duration::from_secs(600)));
    let mut facts = facts(&DEFAULTS);
    // kernel-facts: 400/s never fails from 4.1 on (400 × 62.048 = 24819), and fails on 3.13 (400 × 97.5 = 39000).
    assert_eq!(predict(&plan, &facts).first_failure_attempt, None);
    facts.kernel = KernelVersion::new(3, 13);
    let prediction = predict(&plan, &facts);
    // After 75 s of it the ports that came back at 60 and 75 s are taken again, and the lag is there.
    let at = prediction.first_failure_at.unwrap();
    assert!((80.0..95.0).contains(&at), "{at}");
    assert_eq!(prediction.first_failure_attempt, Some((400.0 * at).floor() as u64 + 1));
    assert_eq!(prediction.hold_seconds, 105.0);
}

#[test]
fn reuse_at_the_highest_rate_predicts_no_first_failure() {
    let facts = facts(&[("tcp_tw_reuse", "1"), ("tcp_timestamps", "1")]);
    let prediction = predict(&plan(), &facts);
    // 28,232 ports take longer to fill than the second after which they come back, or not: the model does not know.
    assert_eq!(prediction.first_failure_attempt, None);
    assert_eq!(prediction.capacity, Some(28_232));
}

#[test]
fn pools_that_fill_one_after_the_other_have_a_capacity_and_no_predicted_first_failure() {
    let facts = facts(&[("ip_local_port_range", "40000 40099")]);
    let mut bound = plan();
    (bound.client.source, bound.client.addresses) = (Source::BindAddress, 2);
    assert_eq!(predict(&bound, &facts).capacity, Some(200));
    assert_eq!(predict(&bound, &facts).first_failure_attempt, None);
    let mut random = plan();
    (random.client.order, random.server.addresses) = (Order::Random, 4);
    assert_eq!(predict(&random, &facts).first_failure_attempt, None);
}

#[test]
fn a_range_of_odd_size_is_warned_of() {
    for (range, odd) in [("40000 40100", true), ("40000 40099", false)] {
        let because = predict(&plan(), &facts(&[("ip_local_port_range", range)])).because;
        assert_eq!(because.iter().any(|step| step.contains("odd")), odd, "{range}");
    }
}

proptest! {
    #[test]
    fn capacity_grows_with_sources_and_destinations_and_is_never_more_than_the_product(
        sources in 1u32..8, addresses in 1u32..8, ports in 1u32..8, low in 1u16..60_000, size in 1u16..5000,
    ) {
        let mut plan = plan();
        plan.client.addresses = sources;
        plan.client.source = Source::BindAddressNoPort;
        (plan.server.addresses, plan.server.ports) = (addresses, ports);
        let high = low.saturating_add(size);
        let facts = facts(&[("ip_local_port_range", &format!("{low} {high}"))]);
        let prediction = predict(&plan, &facts);
        prop_assert_eq!(prediction.usable_ports, u64::from(high - low) + 1);
        prop_assert_eq!(
            prediction.capacity,
            Some(prediction.usable_ports * u64::from(sources * addresses * ports))
        );
    }
}
