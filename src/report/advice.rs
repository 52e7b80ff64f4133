//! What follows from the figures of `linger exec`, in plain words: pure, from a record to a list, gravest first.

use std::fmt;

use super::number;
use crate::record::schema::{ClosedFirst, Closings, Connects, ExecEndKind, ExecRan, Record};

/// From this share on it is how the program closes, and not a few connections of it.
const MOSTLY: f64 = 0.5;
/// Fewer connections than these say nothing of how a program goes about with connections.
pub(super) const FEW: u64 = 10;
/// From this many connections a request on, connections are not kept: most of them served one request or two.
const CHURNS: f64 = 0.5;

/// One thing to be told, with its figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Advice {
    /// Nothing was opened.
    NoConnection { server: String },
    /// More ports are taken than come back.
    Exhausts {
        holding_per_second: f64,
        ceiling_per_second: f64,
        after_seconds: f64,
    },
    /// Not at its pace over all, but at that of its busiest time.
    ExhaustsInBursts {
        burst_per_second: f64,
        ceiling_per_second: f64,
    },
    /// The client holds TIME_WAIT; `idle` connections would have served.
    ClientClosesFirst {
        share: f64,
        connections: u64,
        ceiling_per_second: f64,
        idle: u64,
    },
    /// A connection a request, or nearly.
    NotKept {
        connections: u64,
        requests: u64,
        per_request: f64,
        /// None where nobody saw how many were open at once.
        idle: Option<u64>,
    },
    /// The client ends connections by RST.
    Resets { connections: u64, of: u64 },
    /// Quit and close without reading to the server's FIN: both FINs may cross.
    DoesNotWait { crossed: u64, of: u64 },
    /// The protocol has a quit and it was not said.
    NoQuit { protocol: String, said: u64, of: u64 },
    /// The server lost patience with connections that were kept.
    ServerTires { connections: u64, idle_timeout: f64 },
    /// connect() did not succeed, by errno or by what was seen on the wire.
    Fails { failed: u64, kinds: Vec<(String, u64)> },
    /// connect() found no port: EADDRNOTAVAIL.
    NoPort { failed: u64, usable: u64 },
    /// What was sent was not the protocol.
    Misunderstood { connections: u64, protocol: String },
    /// Connections are kept.
    Keeps { connections: u64, requests: u64 },
}

/// Everything that the record gives reason to say.
#[must_use]
pub fn advise(record: &Record) -> Vec<Advice> {
    let Some(exec) = &record.exec else { return vec![] };
    if exec.ended.kind == ExecEndKind::NotStarted {
        return vec![];
    }
    let opened = exec.connections.opened.unwrap_or(0);
    let mut advice = failures(record, exec);
    if opened == 0 && advice.is_empty() {
        return vec![Advice::NoConnection {
            server: exec.server.address.clone(),
        }];
    }
    advice.extend(exhaustion(record, exec));
    if let Some(closings) = record.closings.as_ref().filter(|_| opened >= FEW) {
        advice.extend(closing(exec, closings, opened));
    }
    advice.extend(churn(record, exec, opened));
    advice.extend(manners(record, exec, opened));
    advice
}

/// Attempts of which no errno was seen and to which, by the wire, nothing answered: the program gave them up, or waits still.
fn unanswered(connects: &Connects, record: &Record) -> u64 {
    let open = connects.unknown.saturating_add(connects.connecting_at_end);
    let seen = |closings: &Closings| closings.unanswered.saturating_add(closings.abandoned);
    record.closings.as_ref().map_or(0, seen).min(open)
}

fn failures(record: &Record, exec: &ExecRan) -> Vec<Advice> {
    let mut kinds: Vec<(String, u64)> = match (&record.connects, &record.closings) {
        (Some(connects), _) => {
            let later = ("after EINPROGRESS".to_owned(), connects.failed_later);
            let failed = connects.failed.iter();
            failed
                .map(|failed| (failed.errno.clone(), failed.count))
                .chain([later, ("unanswered".to_owned(), unanswered(connects, record))])
                .collect()
        }
        (None, Some(closings)) => vec![
            ("refused".to_owned(), closings.refused),
            (
                "unanswered".to_owned(),
                closings.unanswered.saturating_add(closings.abandoned),
            ),
        ],
        (None, None) => vec![("after the SYN".to_owned(), exec.connections.failed.unwrap_or(0))],
    };
    kinds.retain(|(_, count)| *count > 0);
    let no_port = kinds
        .iter()
        .position(|(kind, _)| kind == "EADDRNOTAVAIL")
        .map(|at| kinds.remove(at));
    let no_port = no_port.map(|(_, failed)| Advice::NoPort {
        failed,
        usable: exec.ports.usable,
    });
    let others = (!kinds.is_empty()).then(|| Advice::Fails {
        failed: kinds.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count)),
        kinds,
    });
    no_port.into_iter().chain(others).collect()
}

/// What would come of it. Where it has come already, [`failures`] tells.
fn exhaustion(record: &Record, exec: &ExecRan) -> Option<Advice> {
    let forecast = exec.forecast.as_ref()?;
    let ceiling_per_second = forecast.ceiling_per_second?;
    if exec.ports.not_found.is_some_and(|calls| calls > 0) {
        return None;
    }
    if let Some(after_seconds) = forecast.exhausted_after_seconds {
        return Some(Advice::Exhausts {
            holding_per_second: forecast.holding_per_second,
            ceiling_per_second,
            after_seconds,
        });
    }
    let openings = record.closings.as_ref()?.openings?;
    let burst_per_second = openings.busiest as f64 / openings.busiest_seconds;
    (burst_per_second > ceiling_per_second).then_some(Advice::ExhaustsInBursts {
        burst_per_second,
        ceiling_per_second,
    })
}

fn all(first: &ClosedFirst) -> u64 {
    first.client_fin + first.client_rst + first.server_fin + first.server_rst + first.simultaneous
}

fn closing(exec: &ExecRan, closings: &Closings, opened: u64) -> Vec<Advice> {
    let first = &closings.closed_first;
    let mut advice = Vec::new();
    let ceiling = exec.forecast.as_ref().and_then(|forecast| forecast.ceiling_per_second);
    if let (Some(share), Some(ceiling_per_second)) = (exec.connections.client_first_share, ceiling)
        && share >= MOSTLY
    {
        advice.push(Advice::ClientClosesFirst {
            share,
            connections: opened,
            ceiling_per_second,
            idle: closings.concurrency.peak.max(1),
        });
    }
    if first.client_rst > 0 {
        advice.push(Advice::Resets {
            connections: first.client_rst,
            of: all(first),
        });
    }
    if first.simultaneous > 0 {
        advice.push(Advice::DoesNotWait {
            crossed: first.simultaneous,
            of: all(first),
        });
    }
    advice
}

fn churn(record: &Record, exec: &ExecRan, opened: u64) -> Option<Advice> {
    let connections = &exec.connections;
    let (requests, per_request) = (connections.requests?, connections.per_request?);
    if opened < FEW && requests < 2 * FEW || opened == 0 {
        return None;
    }
    let idle = record
        .closings
        .as_ref()
        .map(|closings| closings.concurrency.peak.max(1));
    Some(if per_request >= CHURNS && opened > idle.unwrap_or(1) {
        Advice::NotKept {
            connections: opened,
            requests,
            per_request,
            idle,
        }
    } else {
        Advice::Keeps {
            connections: opened,
            requests,
        }
    })
}

/// What only the built-in server hears.
fn manners(record: &Record, exec: &ExecRan, opened: u64) -> Vec<Advice> {
    let Some(said) = record.server.as_ref().and_then(|server| server.conversations.as_ref()) else {
        return vec![];
    };
    let protocol = exec.server.protocol.clone();
    let mut advice = Vec::new();
    if said.malformed > 0 {
        advice.push(Advice::Misunderstood {
            connections: said.malformed,
            protocol: protocol.clone(),
        });
    }
    if said.idle_timeout > 0 {
        let seconds = record
            .scenario
            .pointer("/server/idle_timeout")
            .and_then(serde_json::Value::as_f64);
        advice.push(Advice::ServerTires {
            connections: said.idle_timeout,
            idle_timeout: seconds.unwrap_or(0.0),
        });
    }
    let has_quit = matches!(protocol.as_str(), "mysql" | "memcached" | "redis");
    let client_first = exec.connections.client_first_share.unwrap_or(0.0);
    if has_quit && opened >= FEW && said.quit * 2 < opened && client_first >= MOSTLY {
        advice.push(Advice::NoQuit {
            protocol,
            said: said.quit,
            of: opened,
        });
    }
    advice
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = number::count;
        match self {
            Self::NoConnection { server } => write!(
                f,
                "opened no connection to {server}: let the program connect to $LINGER_HOST:$LINGER_PORT, or to server.linger"
            ),
            Self::Exhausts {
                holding_per_second,
                ceiling_per_second,
                after_seconds,
            } => write!(
                f,
                "leaves {} ports a second in TIME_WAIT: kept up, connect() fails with EADDRNOTAVAIL after {}; {} is the ceiling",
                number::per_second_of(*holding_per_second),
                number::forecast(*after_seconds),
                number::rate(*ceiling_per_second),
            ),
            Self::ExhaustsInBursts {
                burst_per_second,
                ceiling_per_second,
            } => write!(
                f,
                "opens up to {} in bursts, above the ceiling of {}: fit for bursts, not for that pace throughout",
                number::rate(*burst_per_second),
                number::rate(*ceiling_per_second),
            ),
            Self::ClientClosesFirst {
                share,
                connections,
                ceiling_per_second,
                idle,
            } => write!(
                f,
                "closes first on {} of {}: {} to one destination is the ceiling; let the server close, or keep {} idle",
                percent(*share),
                number::things(*connections, "connection"),
                number::rate(*ceiling_per_second),
                number::things(*idle, "connection"),
            ),
            Self::NotKept {
                connections,
                requests,
                per_request,
                idle,
            } => write!(
                f,
                "opens {per_request:.2} connections a request ({} for {}){}",
                count(*connections),
                number::things(*requests, "request"),
                idle.map_or(String::new(), |idle| format!(
                    ": {} kept open would have served",
                    number::things(idle, "connection")
                )),
            ),
            Self::Resets { connections, of } => write!(
                f,
                "ends {} of {} by RST: no TIME_WAIT, but what is under way is lost (SO_LINGER 0, or unread data at close)",
                count(*connections),
                number::things(*of, "connection"),
            ),
            Self::DoesNotWait { crossed, of } => write!(
                f,
                "closes {} of {} while the server does: both ends may hold TIME_WAIT; read to the server's FIN before close()",
                count(*crossed),
                number::things(*of, "connection"),
            ),
            Self::NoQuit { protocol, said, of } => write!(
                f,
                "says {protocol}'s quit on {} of {}: said, and read to the server's FIN, the server holds TIME_WAIT",
                count(*said),
                number::things(*of, "connection"),
            ),
            Self::ServerTires {
                connections,
                idle_timeout,
            } => write!(
                f,
                "keeps connections longer than the server does ({}): {} closed under it; close idle ones earlier, or check before use",
                number::seconds(*idle_timeout),
                number::things(*connections, "connection"),
            ),
            Self::Fails { failed, kinds } => {
                let kinds: Vec<String> = kinds
                    .iter()
                    .map(|(kind, times)| format!("{} {kind}", count(*times)))
                    .collect();
                write!(
                    f,
                    "{} came to nothing: {}",
                    number::things(*failed, "connect() call"),
                    kinds.join(", ")
                )
            }
            Self::NoPort { failed, usable } => write!(
                f,
                "{} found no port (EADDRNOTAVAIL): all {} to one destination were taken",
                number::things(*failed, "connect() call"),
                count(*usable)
            ),
            Self::Misunderstood { connections, protocol } => write!(
                f,
                "the server understood nothing on {}: it speaks {protocol} without TLS",
                number::things(*connections, "connection"),
            ),
            Self::Keeps { connections, requests } => write!(
                f,
                "keeps its connections: {} on {}",
                number::things(*requests, "request"),
                number::things(*connections, "connection"),
            ),
        }
    }
}

/// A share as `94 %`; what is not all is never shown as all.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 99.0 && percent < 100.0 {
        ">99 %".to_owned()
    } else if percent > 0.0 && percent < 1.0 {
        "<1 %".to_owned()
    } else {
        format!("{percent:.0} %")
    }
}

#[cfg(test)]
mod tests;
