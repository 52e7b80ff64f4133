//! What is advised of which record.

use super::*;
use crate::record::fixture;
use proptest::prelude::*;

fn told(record: &Record) -> Vec<String> {
    advise(record).iter().map(ToString::to_string).collect()
}

#[test]
fn a_connection_a_request_closed_by_the_client_is_told_with_the_ceiling_and_what_would_have_served() {
    let told = told(&fixture::exec());
    assert_eq!(
        told,
        [
            "leaves 950 ports a second in TIME_WAIT: kept up, connect() fails with EADDRNOTAVAIL after 30 s; 462.6 \
             conn/s is the ceiling",
            "closes first on 100 % of 2,000 connections: 462.6 conn/s to one destination is the ceiling; let the server \
             close, or keep 8 connections idle",
            "opens 1.00 connections a request (2,000 for 2,000 requests): 8 connections kept open would have served",
        ]
    );
}

#[test]
fn ports_that_were_used_up_are_told_as_such_and_not_foretold() {
    let mut record = fixture::exec();
    record.exec.as_mut().unwrap().ports.not_found = Some(30);
    record.connects = Some(Connects {
        attempts: 2_030,
        ok: 2_000,
        failed: vec![crate::record::schema::ConnectsFailed {
            errno: "EADDRNOTAVAIL".into(),
            count: 30,
        }],
        ..Connects::default()
    });
    let told = told(&record);
    assert!(told[0].starts_with("30 connect() calls found no port"), "{told:#?}");
    assert!(!told.iter().any(|line| line.contains("kept up")), "{told:#?}");
}

#[test]
fn bursts_above_the_ceiling_are_told_where_the_pace_over_all_is_below_it() {
    let mut record = fixture::exec();
    let forecast = record.exec.as_mut().unwrap().forecast.as_mut().unwrap();
    (forecast.holding_per_second, forecast.exhausted_after_seconds) = (400.0, None);
    assert_eq!(
        told(&record)[0],
        "opens up to 960 conn/s in bursts, above the ceiling of 462.6 conn/s: fit for bursts, not for that pace throughout"
    );
}

#[test]
fn attempts_that_nothing_answered_came_to_nothing() {
    let mut record = fixture::exec();
    record.closings.as_mut().unwrap().unanswered = 1;
    record.connects = Some(Connects {
        attempts: 2_001,
        ok: 2_000,
        unknown: 1,
        ..Connects::default()
    });
    assert_eq!(told(&record)[0], "1 connect() call came to nothing: 1 unanswered");
}

#[test]
fn a_pool_is_told_that_it_keeps_its_connections() {
    let mut record = fixture::exec();
    let exec = record.exec.as_mut().unwrap();
    exec.connections.opened = Some(8);
    exec.connections.per_request = Some(0.004);
    exec.forecast = None;
    assert_eq!(
        told(&record),
        ["keeps its connections: 2,000 requests on 8 connections"]
    );
}

#[test]
fn a_program_that_connects_to_nothing_is_told_where_the_server_is() {
    let mut record = fixture::exec();
    record.closings = None;
    let exec = record.exec.as_mut().unwrap();
    exec.connections = Default::default();
    exec.forecast = None;
    assert!(told(&record)[0].contains("opened no connection to 10.2.0.1:80"));
}

#[test]
fn a_load_of_our_own_gets_no_advice() {
    assert!(advise(&fixture::exhaustion()).is_empty());
}

proptest! {
    #[test]
    fn whatever_was_counted_something_can_be_said_of_it(
        opened: Option<u64>, failed: Option<u64>, requests: Option<u64>, per_request: Option<f64>, share: Option<f64>,
        quit in 0..u64::MAX / 4, peak: u64,
    ) {
        let mut record = fixture::exec();
        let exec = record.exec.as_mut().unwrap();
        exec.connections.opened = opened;
        exec.connections.failed = failed;
        exec.connections.requests = requests;
        exec.connections.per_request = per_request;
        exec.connections.client_first_share = share;
        exec.server.protocol = "redis".into();
        record.closings.as_mut().unwrap().concurrency.peak = peak;
        record.server.as_mut().unwrap().conversations.as_mut().unwrap().quit = quit;
        for line in told(&record) {
            prop_assert!(!line.is_empty());
        }
    }
}
