//! At what rate a program goes about with connections, and what that comes to if it goes on. Pure.
//!
//! The rate is that of the connections which came after the first of all had ended: what a pool opens at its start and
//! keeps is no churn, and neither the time before the first connection nor that after the last says anything of it.

use super::Results;
use crate::model;
use crate::record::schema::{Closings, ExecConnections, ExecForecast, ExecForecastOf, Prediction};
use crate::scenario::plan::TrialPlan;
use crate::scenario::spec::Arrival;
use crate::tcp::{CloseMode, Closer};

/// Fewer connections than these give no rate.
const FEW: u64 = 10;
/// Where fewer of the connections leave their port in TIME_WAIT, it is by chance, and no way to close.
const HARDLY_ANY: f64 = 0.01;

/// What was seen of how connections follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Churn {
    /// No connection, or none of which it is known who closed.
    Unseen,
    /// Connections, but too few in the place of others for a rate.
    TooFew { opened: u64, share: f64 },
    /// No port stays held, or hardly any.
    NothingHeld(Rate),
    /// Ports are held at this rate.
    Holding(Rate),
}

/// Connections a second, and of which the client holds a share in TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    per_second: f64,
    share: f64,
    of: ExecForecastOf,
    seconds: f64,
}

impl Rate {
    /// Ports that stay held, a second.
    fn holding(&self) -> f64 {
        // The model prints it.
        (self.per_second * self.share * 10.0).round() / 10.0
    }
}

/// Those after the first, a second; None of fewer than two.
pub(super) fn pace(count: u64, seconds: f64) -> Option<f64> {
    (count >= 2 && seconds > 0.0).then(|| (count - 1) as f64 / seconds)
}

/// What `closings` and the counts tell.
pub(super) fn churn(closings: Option<&Closings>, connections: &ExecConnections) -> Churn {
    let opened = connections.opened.filter(|opened| *opened > 0);
    let Some((opened, share)) = opened.zip(connections.client_first_share) else {
        return Churn::Unseen;
    };
    let rate = match closings {
        Some(closings) => replacements(closings),
        None => connections.opened_per_second.filter(|_| opened >= FEW).map(|rate| {
            let seconds = opened as f64 / rate;
            (rate, seconds, ExecForecastOf::WholeLife)
        }),
    };
    let Some((per_second, seconds, of)) = rate else {
        return Churn::TooFew { opened, share };
    };
    let rate = Rate {
        per_second,
        share,
        of,
        seconds,
    };
    let held = (share * opened as f64).round() as u64;
    if held < FEW || share < HARDLY_ANY || rate.holding() <= 0.0 {
        Churn::NothingHeld(rate)
    } else {
        Churn::Holding(rate)
    }
}

/// The rate of the connections that took others' place, and the time that it was taken over.
fn replacements(closings: &Closings) -> Option<(f64, f64, ExecForecastOf)> {
    let openings = closings.openings?;
    let in_place = closings.established.saturating_sub(closings.concurrency.peak);
    let seconds = openings.after_first_end_seconds;
    let rate =
        pace(openings.after_first_end, seconds).filter(|_| in_place >= FEW && openings.after_first_end >= FEW)?;
    Some((rate, seconds, ExecForecastOf::Replacements))
}

impl Churn {
    pub(super) fn forecast(&self, prediction: &Prediction) -> Option<ExecForecast> {
        let (rate, holds) = match self {
            Self::Unseen | Self::TooFew { .. } => return None,
            Self::NothingHeld(rate) => (rate, false),
            Self::Holding(rate) => (rate, true),
        };
        Some(ExecForecast {
            holding_per_second: rate.holding(),
            of: Some(rate.of),
            of_seconds: Some(rate.seconds),
            ceiling_per_second: prediction
                .sustained_per_second
                .filter(|_| holds)
                .map(|sustained| sustained / rate.share),
            exhausted_after_seconds: prediction.first_failure_at.filter(|_| holds),
        })
    }
}

/// What the model says of connections that come as these came, of which the client holds as many as was seen.
pub(super) fn predict(plan: &TrialPlan, results: &Results, churn: &Churn) -> Prediction {
    let mut plan = plan.clone();
    let closings = results.closings.as_ref();
    let lifetime = closings.and_then(|closings| closings.lifetime.as_ref());
    plan.server.manner.latency = std::time::Duration::ZERO;
    plan.load.hold = lifetime
        .and_then(|lifetime| std::time::Duration::try_from_secs_f64(lifetime.p50_us / 1e6).ok())
        .unwrap_or_default();
    let peak = closings.map_or(1, |closings| closings.concurrency.peak);
    plan.load.in_flight = u32::try_from(peak).unwrap_or(u32::MAX);
    (plan.load.connections, plan.load.duration) = (None, None);
    plan.server.listen = true;
    plan.close.mode = CloseMode::Graceful;
    (plan.load.arrival, plan.load.rate) = (Arrival::Max, None);
    plan.close.closer = match churn {
        Churn::Holding(rate) => {
            (plan.load.arrival, plan.load.rate) = (Arrival::Constant, Some(rate.holding()));
            Closer::Client
        }
        // These, and no more.
        Churn::TooFew { opened, share } => {
            plan.load.connections = Some(*opened);
            if *share > 0.0 { Closer::Client } else { Closer::Server }
        }
        Churn::Unseen | Churn::NothingHeld(_) => Closer::Server,
    };
    model::predict(&plan, &results.facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::schema::{Concurrency, Openings};
    use proptest::prelude::*;

    fn seen(established: u64, peak: u64, after: u64, seconds: f64, share: f64) -> Churn {
        let closings = Closings {
            established,
            concurrency: Concurrency {
                peak,
                ..Concurrency::default()
            },
            openings: Some(Openings {
                seconds,
                after_first_end: after,
                after_first_end_seconds: seconds,
                ..Openings::default()
            }),
            ..Closings::default()
        };
        let connections = ExecConnections {
            opened: Some(established),
            client_first_share: Some(share),
            opened_per_second: Some(established as f64 / 60.0),
            ..ExecConnections::default()
        };
        churn(Some(&closings), &connections)
    }

    #[test]
    fn a_program_that_opens_one_after_the_other_has_the_rate_at_which_it_did_whatever_it_did_before_and_after() {
        let Churn::Holding(rate) = seen(801, 1, 800, 1.0, 1.0) else {
            panic!("it churns")
        };
        assert_eq!(rate.holding(), 799.0);
    }

    #[test]
    fn a_pool_that_opens_its_connections_and_keeps_them_has_no_rate() {
        let told = |churn| matches!(churn, Churn::TooFew { .. });
        assert!(told(seen(8, 8, 0, 0.0135, 1.0)));
        assert!(told(seen(300, 300, 0, 0.1, 1.0)));
        // One to try whether anybody is there, and then the pool.
        assert!(told(seen(65, 64, 64, 0.01, 1.0)));
    }

    #[test]
    fn a_handful_of_ports_that_the_client_holds_by_chance_sets_no_ceiling() {
        assert!(matches!(
            seen(20_000, 4, 19_996, 2.0, 3.0 / 20_000.0),
            Churn::NothingHeld(_)
        ));
        assert!(matches!(seen(100, 1, 99, 2.0, 0.05), Churn::NothingHeld(_)));
        assert!(matches!(seen(100, 1, 99, 2.0, 0.5), Churn::Holding(_)));
    }

    proptest! {
        #[test]
        fn whatever_was_counted_a_rate_is_finite_and_of_ten_connections_at_least(
            established: u64, peak: u64, after: u64, seconds in 0.0..1e6, share in 0.0..=1.0,
        ) {
            if let Churn::Holding(rate) = seen(established, peak, after, seconds, share) {
                prop_assert!(rate.holding().is_finite() && rate.holding() > 0.0);
                prop_assert!(established - peak >= FEW && after >= FEW);
            }
        }
    }
}
