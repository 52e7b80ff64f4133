//! The prediction of a pool: how many of its connections are busy, how many it closes and opens again, and the TIME_WAIT
//! that this keeps. docs/pools.md derives it.

use super::Facts;
use super::hold::{self, Held};
use crate::record::schema::{PoolPrediction, Prediction};
use crate::scenario::plan::TrialPlan;
use crate::scenario::pool::{OnReturn, PoolPlan};
use crate::tcp::Closer;

/// TCP_TIMEWAIT_LEN, where the server holds TIME_WAIT and its timers are not asked for.
const TIME_WAIT: f64 = 60.0;

/// Predicts a trial whose requests borrow from `pool`. `usable_ports` and `tuples` are those of any load.
pub(super) fn predict(
    plan: &TrialPlan,
    pool: &PoolPlan,
    facts: &Facts,
    (usable_ports, tuples): (u64, u64),
    mut because: Vec<String>,
) -> Prediction {
    let (after_close, undetermined) = match hold::after_close(plan, facts, tuples, &mut because) {
        Held::For(time) => (Some(time), None),
        Held::Free => (None, None),
        Held::Undetermined(why) => (None, Some(why.to_owned())),
    };
    let demand = Demand::of(plan, pool);
    demand.explain(plan, pool, &mut because);
    let open = demand.open(pool, &mut because);
    let (churn, by_itself) = churn(plan, pool, &demand, open, &mut because);
    // By itself, or for the pool's quit.
    let by_server = by_itself || (plan.server.listen && plan.close.closer == Closer::Server);
    let held_for = match after_close {
        _ if by_server => Some(TIME_WAIT),
        held => held.map(|time| time.nominal),
    };
    let time_wait_held = churn.zip(held_for).map(|(churn, seconds)| churn * seconds);
    let is_clients = after_close.is_some() && !by_server;
    let share = time_wait_held
        .filter(|_| is_clients && tuples > 0)
        .map(|held| held / tuples as f64);
    if let (Some(churn), Some(held)) = (churn.filter(|churn| *churn > 0.0), time_wait_held) {
        let whose = if is_clients { "client" } else { "server" };
        because.push(format!(
            "{churn:.3} connections closed a second keep {held:.0} TIME_WAIT on the {whose} in the long run{}",
            share.map_or(String::new(), |share| format!(
                ", {:.1} % of {tuples} four-tuples",
                share * 100.0
            ))
        ));
    }
    let open_at_once = u64::from(pool.size);
    let limited = undetermined.is_none() && (after_close.is_some() || open_at_once > tuples);
    let nominal = after_close.unwrap_or_default().nominal;
    let sustained = (limited && nominal > 0.0).then(|| tuples as f64 / nominal);
    // Fewer connections in all than four-tuples never run out; more may, at a moment that the churn decides.
    let runs_out = sustained.zip(churn).is_some_and(|(most, churn)| churn > most);
    if runs_out {
        because.push("more connections a second than four-tuples come back: in the end connect() fails".into());
    }
    let at = churn.filter(|_| runs_out).map(|churn| tuples as f64 / churn);
    let lasts = plan.load.duration.map(|duration| duration.as_secs_f64());
    Prediction {
        usable_ports,
        capacity: limited.then_some(tuples),
        hold_seconds: nominal,
        sustained_per_second: sustained,
        first_failure_at: at.filter(|at| lasts.is_none_or(|lasts| *at < lasts)),
        first_failure_attempt: None,
        undetermined,
        pool: Some(PoolPrediction {
            busy: demand.busy(),
            ceiling_per_second: demand.ceiling,
            too_small: demand.too_small(),
            open,
            churn_per_second: churn,
            time_wait_held,
            share_of_capacity: share,
        }),
        because,
    }
}

/// What requests ask of the pool.
#[derive(Debug)]
struct Demand {
    /// Requests a second; None with arrival `max`.
    rate: Option<f64>,
    /// Seconds that the plan keeps a connection lent; None where it says nothing, and only the machine does.
    service: Option<f64>,
    /// Requests a second that the pool can serve, where the service time is known.
    ceiling: Option<f64>,
    /// As many as may be lent at once.
    most: u64,
}

impl Demand {
    fn of(plan: &TrialPlan, pool: &PoolPlan) -> Self {
        let service = Some(plan.service().as_secs_f64()).filter(|service| *service > 0.0);
        let most = u64::from(pool.size.min(plan.load.in_flight));
        Self {
            rate: plan.load.rate,
            service,
            ceiling: service.map(|service| most as f64 / service),
            most,
        }
    }

    /// Little's law: connections that are lent in the mean.
    fn busy(&self) -> Option<f64> {
        let (rate, service) = (self.rate?, self.service?);
        Some((rate * service).min(self.most as f64))
    }

    fn too_small(&self) -> Option<bool> {
        Some(self.rate? > self.ceiling?)
    }

    /// Requests a second that are served.
    fn served(&self) -> Option<f64> {
        match (self.rate, self.ceiling) {
            (Some(rate), Some(ceiling)) => Some(rate.min(ceiling)),
            (Some(rate), None) => Some(rate),
            // As fast as it goes: what the plan's times allow, if they are what limits.
            (None, ceiling) => ceiling,
        }
    }

    fn explain(&self, plan: &TrialPlan, pool: &PoolPlan, because: &mut Vec<String>) {
        let (Some(service), Some(ceiling)) = (self.service, self.ceiling) else {
            return because.push("the plan says nothing of how long a request takes: only the machine does".into());
        };
        because.push(format!(
            "a request keeps its connection for {service:.3} s, so that {} at once serve {ceiling:.1} requests a second",
            self.most
        ));
        match (self.rate, self.too_small()) {
            (Some(rate), Some(true)) => because.push(format!(
                "{rate}/s come, more than that: {} connections would be busy by Little's law, requests wait, and those that \
                 wait longer than {:.3} s fail",
                rate * service,
                pool.borrow_timeout.as_secs_f64()
            )),
            (Some(rate), Some(false)) => because.push(format!(
                "{rate}/s keep {:.2} connections busy in the mean (Little's law)",
                rate * service
            )),
            _ => because.push(format!("{} are under way at once at the most", plan.load.in_flight)),
        }
    }

    /// Connections open in the long run, where it is plain.
    fn open(&self, pool: &PoolPlan, because: &mut Vec<String>) -> Option<u64> {
        let size = u64::from(pool.size);
        let full = pool.min_idle == pool.size || (self.most == size && self.too_small() == Some(true));
        let by_max = self.rate.is_none() && self.most == size && self.service.is_some();
        if full || by_max {
            because.push(format!("all {size} are open"));
            return Some(size);
        }
        because.push(format!(
            "how many of {size} are open depends on how requests crowd: at least {} idle are kept",
            pool.min_idle
        ));
        None
    }
}

/// Connections closed a second, and whether it is the server that closes them first, of its own accord.
fn churn(
    plan: &TrialPlan,
    pool: &PoolPlan,
    demand: &Demand,
    open: Option<u64>,
    because: &mut Vec<String>,
) -> (Option<f64>, bool) {
    let manner = &plan.server.manner;
    if pool.on_return == OnReturn::Close {
        because.push("each request opens a connection and closes it: one connection a request".into());
        return (demand.served(), false);
    }
    if manner.max_requests > 0 {
        because.push(format!(
            "the server closes each connection after {} requests",
            manner.max_requests
        ));
        let churn = demand.served().map(|served| served / f64::from(manner.max_requests));
        return (churn, true);
    }
    let (idle, server_idle) = (pool.idle_timeout, manner.idle_timeout);
    if !server_idle.is_zero() && (idle.is_zero() || server_idle <= idle) {
        because.push(format!(
            "the server closes what is idle for {:.3} s, before the pool does: who borrows such a connection finds it dead",
            server_idle.as_secs_f64()
        ));
        return (None, true);
    }
    if !pool.max_lifetime.is_zero() {
        let lifetime = pool.max_lifetime.as_secs_f64();
        because.push(format!("each connection is closed after {lifetime:.3} s"));
        return (open.map(|open| open as f64 / lifetime), false);
    }
    if !idle.is_zero() && pool.min_idle < pool.size {
        because.push("how often a connection is idle for too long depends on how requests crowd".into());
        return (None, false);
    }
    because.push("nothing closes a connection before the load's end: no churn".into());
    (Some(0.0), false)
}

#[cfg(test)]
mod tests;
