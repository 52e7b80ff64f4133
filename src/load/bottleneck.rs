//! Who kept a load from its rate: pure, from what was measured.
//!
//! Looked at in the order of cause and effect. Taken ports make connect() search, a search makes the client busy, a
//! busy client leaves the server idle: what comes first explains what comes after it.

use crate::record::schema::Bottleneck;

/// What was measured of a load with a rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evidence {
    pub attempted: u64,
    pub not_offered: u64,
    /// 99th percentile of how late attempts began, in seconds.
    pub lag_p99: f64,
    pub load_seconds: f64,
    /// Attempts that failed for want of a port: EADDRNOTAVAIL, EADDRINUSE.
    pub without_port: u64,
    /// Seconds in connect() calls, over all client threads.
    pub connect_call_seconds: f64,
    pub client_threads: u32,
    /// CPU seconds of the client's threads, less those spun away until intended starts.
    pub client_cpu_seconds: f64,
    /// Seconds in which they could have run and other threads had the CPUs.
    pub client_waited_seconds: f64,
    pub server: ServerTime,
    pub in_flight: u32,
}

/// What the server's threads had of the CPUs during the load.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerTime {
    pub threads: u32,
    pub cpu_seconds: f64,
    pub waited_seconds: f64,
    /// On a CPU and waiting for one, of the thread that had most, where they do not share the work alike.
    pub busiest_seconds: Option<f64>,
}

impl ServerTime {
    /// The share of their time that they were on a CPU, and that they waited for one.
    fn shares(&self, load_seconds: f64) -> (f64, f64) {
        let all = load_seconds * f64::from(self.threads.max(1));
        (self.cpu_seconds / all, self.waited_seconds / all)
    }

    /// The share of its time that the busiest had something to do.
    fn busiest(&self, load_seconds: f64) -> f64 {
        let (cpu, waited) = self.shares(load_seconds);
        self.busiest_seconds
            .map_or(cpu + waited, |seconds| seconds / load_seconds)
    }

    /// The share of their time that the threads were on a CPU; not known of the busiest by itself.
    fn busiest_on_cpu(&self, load_seconds: f64) -> f64 {
        match self.busiest_seconds {
            Some(_) => (self.cpu_seconds / load_seconds).min(self.busiest(load_seconds)),
            None => self.shares(load_seconds).0,
        }
    }

    fn told(&self, load_seconds: f64) -> String {
        let (cpu, waited) = self.shares(load_seconds);
        let busiest = self
            .busiest_seconds
            .map(|seconds| format!(", its busiest thread {:.0} %", seconds / load_seconds * 100.0));
        format!(
            "server {:.0} % and {:.0} % of {} × {load_seconds:.3} s{}",
            cpu * 100.0,
            waited * 100.0,
            self.threads,
            busiest.unwrap_or_default()
        )
    }
}

/// A share of a thread's time, on a CPU or waiting for one, from which on it is taken to be its limit.
const BUSY: f64 = 0.85;
/// A connect() call of more than this many seconds in the mean is one that searches: on loopback the whole handshake
/// with a free port takes 6 µs.
const SEARCH: f64 = 50e-6;
/// The share of attempts without a port from which on ports are the reason.
const STARVED: f64 = 0.01;
/// A lag below this is the machine's noise, in seconds.
const NOISE: f64 = 1e-3;

impl Evidence {
    /// Whether all attempts were begun, and about when they were due.
    fn rate_was_kept(&self) -> bool {
        self.not_offered == 0 && self.lag_p99 <= NOISE.max(self.load_seconds / 100.0)
    }

    /// What was in the way; None when the rate was kept.
    #[must_use]
    pub fn bottleneck(&self) -> Option<Bottleneck> {
        if self.rate_was_kept() || self.load_seconds <= 0.0 {
            return None;
        }
        let client_seconds = self.load_seconds * f64::from(self.client_threads.max(1));
        let client = self.client_cpu_seconds / client_seconds;
        // A thread that waits for a CPU has work to do: the machine is too small for it, not its load too light.
        let client_waits = self.client_waited_seconds / client_seconds;
        let (connecting, attempts) = (self.connect_call_seconds / client_seconds, self.attempted.max(1) as f64);
        let call = self.connect_call_seconds / attempts;
        let (who, why) = if self.without_port as f64 / attempts >= STARVED {
            let why = format!(
                "{} of {} attempts found no free port",
                self.without_port, self.attempted
            );
            ("ports", why)
        } else if connecting >= 0.5 && call >= SEARCH {
            let why = format!(
                "connect() calls took {:.0} % of the client's time, {:.0} µs each: the search for a free port",
                connecting * 100.0,
                call * 1e6
            );
            ("port-search", why)
        } else if client + client_waits >= BUSY {
            ("client-cpu", without_time("the client's threads", client))
        } else if self.server.busiest(self.load_seconds) >= BUSY {
            let whose = match self.server.busiest_seconds {
                Some(_) => "the server's busiest thread",
                None => "the server's threads",
            };
            (
                "server-cpu",
                without_time(whose, self.server.busiest_on_cpu(self.load_seconds)),
            )
        } else if self.not_offered > 0 {
            let why = format!("all {} that may be under way at once were", self.in_flight);
            ("in-flight", why)
        } else {
            (
                "unknown",
                "no thread was busy: other programs, or the machine below".to_owned(),
            )
        };
        let evidence = vec![
            why,
            format!(
                "{} attempts not offered; the latest hundredth began {:.3} ms late or more",
                self.not_offered,
                self.lag_p99 * 1e3
            ),
            format!(
                "busy: client {:.0} % and {:.0} % waiting for a CPU of {} × {:.3} s, {}",
                client * 100.0,
                client_waits * 100.0,
                self.client_threads,
                self.load_seconds,
                self.server.told(self.load_seconds)
            ),
        ];
        Some(Bottleneck {
            who: who.to_owned(),
            evidence,
        })
    }
}

/// Why a side had no time left, by the share of it that it was on a CPU.
fn without_time(whose: &str, on_cpu: f64) -> String {
    match on_cpu >= BUSY {
        true => format!("{whose} had no time left"),
        false => format!("{whose} had work to do and waited for a CPU that others had"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ten seconds at a rate that was not kept, one thread a side, nobody busy.
    fn late() -> Evidence {
        Evidence {
            attempted: 100_000,
            not_offered: 0,
            lag_p99: 2.0,
            load_seconds: 10.0,
            client_threads: 1,
            server: ServerTime {
                threads: 1,
                ..ServerTime::default()
            },
            in_flight: 16,
            ..Evidence::default()
        }
    }

    fn who(evidence: Evidence) -> Option<String> {
        evidence.bottleneck().map(|bottleneck| bottleneck.who)
    }

    #[test]
    fn the_first_cause_is_named_and_not_what_follows_from_it() {
        let server = Evidence {
            server: ServerTime {
                threads: 1,
                cpu_seconds: 9.0,
                ..ServerTime::default()
            },
            ..late()
        };
        assert_eq!(who(server).as_deref(), Some("server-cpu"));
        let client = Evidence {
            client_cpu_seconds: 9.0,
            ..server
        };
        assert_eq!(who(client).as_deref(), Some("client-cpu"));
        let kept_waiting = Evidence {
            client_waited_seconds: 6.0,
            client_cpu_seconds: 3.0,
            ..server
        };
        let named = kept_waiting.bottleneck().unwrap();
        assert_eq!(named.who, "client-cpu");
        assert!(
            named.evidence[0].contains("waited for a CPU that others had"),
            "{named:?}"
        );
        // 8 s in 100,000 calls: 80 µs each.
        let search = Evidence {
            connect_call_seconds: 8.0,
            ..client
        };
        assert_eq!(who(search).as_deref(), Some("port-search"));
        let ports = Evidence {
            without_port: 1_000,
            ..search
        };
        assert_eq!(who(ports).as_deref(), Some("ports"));
        assert_eq!(
            who(Evidence {
                not_offered: 1,
                ..late()
            })
            .as_deref(),
            Some("in-flight")
        );
        assert_eq!(who(late()).as_deref(), Some("unknown"));
    }

    #[test]
    fn one_thread_without_time_left_is_enough_where_the_work_is_not_shared_alike() {
        let server = |busiest_seconds| Evidence {
            server: ServerTime {
                threads: 20,
                cpu_seconds: 9.9,
                waited_seconds: 0.0,
                busiest_seconds: Some(busiest_seconds),
            },
            ..late()
        };
        let named = server(9.6).bottleneck().unwrap();
        assert_eq!(named.who, "server-cpu");
        assert!(
            named.evidence[2].ends_with("server 5 % and 0 % of 20 × 10.000 s, its busiest thread 96 %"),
            "{named:?}"
        );
        assert_eq!(who(server(3.0)).as_deref(), Some("unknown"));
    }

    #[test]
    fn many_cheap_calls_are_the_clients_work_and_no_search() {
        // 8 s in 1,000,000 calls: 8 µs each.
        let busy = Evidence {
            attempted: 1_000_000,
            connect_call_seconds: 8.0,
            client_cpu_seconds: 9.9,
            ..late()
        };
        assert_eq!(who(busy).as_deref(), Some("client-cpu"));
    }

    proptest! {
        #[test]
        fn a_rate_that_was_kept_has_no_bottleneck_and_one_that_was_not_has_one_with_evidence(
            not_offered in prop::sample::select(vec![0u64, 1, 500]),
            lag_p99 in 0.0f64..1.0,
            load_seconds in 0.1f64..100.0,
            without_port in 0u64..100,
            cpu in (0.0f64..200.0, 0.0f64..200.0, 0.0f64..200.0),
            threads in (1u32..5, 1u32..5),
        ) {
            let evidence = Evidence {
                attempted: 1_000,
                not_offered,
                lag_p99,
                load_seconds,
                without_port,
                connect_call_seconds: cpu.0,
                client_threads: threads.0,
                client_cpu_seconds: cpu.1,
                server: ServerTime {
                    threads: threads.1,
                    cpu_seconds: cpu.2,
                    ..ServerTime::default()
                },
                in_flight: 16,
                ..Evidence::default()
            };
            match evidence.bottleneck() {
                None => prop_assert!(evidence.rate_was_kept()),
                Some(bottleneck) => {
                    prop_assert!(!evidence.rate_was_kept());
                    prop_assert_eq!(bottleneck.evidence.len(), 3);
                    prop_assert_eq!(bottleneck.who == "ports", without_port >= 10);
                }
            }
        }
    }
}
