use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::tests::{DEFAULTS, facts, plan};
use crate::scenario::pool::{LendOrder, LoadKind, Validation};
use crate::scenario::spec::{Arrival, Protocol};
use crate::tcp::CloseMode;

/// 8 connections, 400 requests a second of 10 ms each.
fn pooled(edit: impl FnOnce(&mut TrialPlan, &mut PoolPlan)) -> PoolPrediction {
    predicted(edit).pool.unwrap()
}

fn predicted(edit: impl FnOnce(&mut TrialPlan, &mut PoolPlan)) -> Prediction {
    let mut pool = PoolPlan {
        size: 8,
        on_return: OnReturn::Keep,
        min_idle: 8,
        max_lifetime: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        validation: Validation::None,
        order: LendOrder::Lifo,
        borrow_timeout: Duration::from_secs(1),
    };
    let mut plan = plan();
    plan.server.protocol = Protocol::Redis;
    plan.server.manner.latency = Duration::from_millis(10);
    let load = &mut plan.load;
    (load.kind, load.connections) = (LoadKind::Pool, None);
    (load.arrival, load.rate, load.duration) = (Arrival::Constant, Some(400.0), Some(Duration::from_secs(5)));
    edit(&mut plan, &mut pool);
    plan.pool = Some(pool);
    super::super::predict(&plan, &facts(&DEFAULTS))
}

#[test]
fn a_pool_that_keeps_its_connections_has_no_churn() {
    let prediction = pooled(|_, _| ());
    // 400/s × 10 ms; 8 / 10 ms
    assert_eq!(
        (prediction.busy, prediction.ceiling_per_second),
        (Some(4.0), Some(800.0))
    );
    assert_eq!(
        (prediction.too_small, prediction.churn_per_second),
        (Some(false), Some(0.0))
    );
}

#[test]
fn a_connection_a_request_is_the_rate_and_its_time_wait_a_share_of_the_range() {
    let prediction = pooled(|_, pool| (pool.on_return, pool.min_idle) = (OnReturn::Close, 0));
    assert_eq!(prediction.churn_per_second, Some(400.0));
    // 400/s × 61.024 s, of 28,232
    let held = prediction.time_wait_held.unwrap();
    assert!((held - 24_409.6).abs() < 0.1, "{held}");
    assert!((prediction.share_of_capacity.unwrap() - 0.8646).abs() < 1e-4);
}

#[test]
fn lifetime_divides_the_pool() {
    let prediction = pooled(|_, pool| pool.max_lifetime = Duration::from_millis(500));
    assert_eq!((prediction.open, prediction.churn_per_second), (Some(8), Some(16.0)));
}

#[test]
fn more_than_littles_law_allows_is_too_small() {
    let prediction = pooled(|plan, _| plan.load.rate = Some(1_000.0));
    assert_eq!((prediction.too_small, prediction.busy), (Some(true), Some(8.0)));
}

#[test]
fn a_server_that_closes_after_some_requests_decides_the_churn_and_holds_time_wait() {
    let prediction = pooled(|plan, _| plan.server.manner.max_requests = 100);
    assert_eq!(prediction.churn_per_second, Some(4.0));
    assert_eq!(
        (prediction.time_wait_held, prediction.share_of_capacity),
        (Some(240.0), None)
    );
}

#[test]
fn a_pool_that_waits_after_its_quit_leaves_time_wait_to_the_server_and_has_no_limit() {
    let prediction = predicted(|plan, pool| {
        (plan.close.closer, plan.close.mode) = (Closer::Server, CloseMode::QuitWait);
        (pool.on_return, pool.min_idle) = (OnReturn::Close, 0);
    });
    assert_eq!((prediction.capacity, prediction.undetermined), (None, None));
    let pool = prediction.pool.unwrap();
    assert_eq!((pool.time_wait_held, pool.share_of_capacity), (Some(24_000.0), None));
}

#[test]
fn who_holds_time_wait_when_a_pool_closes_with_its_quit_is_not_foretold() {
    let prediction = predicted(|plan, pool| {
        plan.close.mode = CloseMode::QuitClose;
        (pool.on_return, pool.min_idle) = (OnReturn::Close, 0);
    });
    assert!(prediction.undetermined.is_some());
    assert_eq!((prediction.capacity, prediction.sustained_per_second), (None, None));
    let pool = prediction.pool.unwrap();
    assert_eq!(
        (pool.churn_per_second, pool.time_wait_held, pool.share_of_capacity),
        (Some(400.0), None, None)
    );
}

#[test]
fn what_a_servers_idle_timeout_does_to_a_pool_that_waits_longer_is_not_foretold() {
    let prediction = pooled(|plan, _| plan.server.manner.idle_timeout = Duration::from_secs(1));
    assert_eq!(prediction.churn_per_second, None);
}

proptest! {
    #[test]
    fn no_figure_is_negative_or_without_end(rate in prop::option::of(0.001f64..1e6), size in 1u32..1000, latency in 0u64..1000, closes: bool, life in 0u64..1000) {
        let prediction = pooled(|plan, pool| {
            plan.load.rate = rate;
            plan.server.manner.latency = Duration::from_millis(latency);
            (pool.size, pool.min_idle) = (size, if closes { 0 } else { size });
            pool.max_lifetime = Duration::from_millis(life);
            pool.on_return = if closes { OnReturn::Close } else { OnReturn::Keep };
        });
        let figures = [prediction.busy, prediction.ceiling_per_second, prediction.churn_per_second, prediction.time_wait_held, prediction.share_of_capacity];
        prop_assert!(figures.into_iter().flatten().all(|figure| figure.is_finite() && figure >= 0.0));
    }
}
