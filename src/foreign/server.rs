//! A real server in a side's namespace: started, waited for until it listens, stopped.
//!
//! That it listens is seen in the kernel's list of sockets and not tried by connecting: a connection would be counted,
//! and some servers count it against a client.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ended::Ended;
use super::program::{Program, Running, StartError};
use super::threads::Threads;
use crate::lab::{Privilege, Side, Unavailable};
use crate::observe::{Eyes, LookError};
use crate::tcp::State;

/// Between two looks at the list of sockets.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// From SIGTERM to SIGKILL: a database writes its pages first.
const GRACE: Duration = Duration::from_secs(10);

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Lab(#[from] Unavailable),
    #[error("whether the server listens cannot be seen: {0}")]
    Look(#[from] LookError),
    #[error("the server `{name}` {how} before it listened on {address}{}", printed(.lines))]
    Ended {
        name: String,
        how: String,
        address: SocketAddr,
        lines: Vec<String>,
    },
    #[error(
        "the server `{name}` does not listen on {address} after {} s{}{}",
        .within.as_secs_f64(),
        elsewhere(.listening),
        printed(.lines)
    )]
    Late {
        name: String,
        address: SocketAddr,
        within: Duration,
        /// Where something else listens in its namespace.
        listening: Vec<SocketAddr>,
        lines: Vec<String>,
    },
    #[error("stopped while the server `{name}` was starting")]
    Stopped { name: String },
}

fn printed(lines: &[String]) -> String {
    if lines.is_empty() {
        return "; it printed nothing".to_owned();
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("\n  | {line}")).collect();
    format!("; its last lines:{}", lines.concat())
}

fn elsewhere(listening: &[SocketAddr]) -> String {
    if listening.is_empty() {
        return String::new();
    }
    let addresses: Vec<String> = listening.iter().map(ToString::to_string).collect();
    format!(" (there are listeners on {})", addresses.join(", "))
}

/// A server that listens. Ended with its whole tree when this is dropped.
#[derive(Debug)]
pub struct Server {
    program: Running,
}

/// How a server was stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopped {
    /// None where not even SIGKILL ended it in time.
    pub ended: Option<Ended>,
    /// Whether it had ended before it was told to.
    pub early: bool,
    /// Whether SIGTERM was not enough.
    pub killed: bool,
}

impl Server {
    /// Starts the program and returns when it listens on `address`, on that very address or on all.
    ///
    /// # Errors
    /// It cannot be started, ends, does not listen within that time, or `stopped` says that nobody wants it any more.
    pub fn start(
        program: Program,
        side: &Side,
        privilege: Privilege,
        address: SocketAddr,
        within: Duration,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Self, ServerError> {
        let mut eyes = side.run(Eyes::open)??;
        let mut program = program.start(side, privilege)?;
        let given_up = Instant::now() + within;
        loop {
            let listening = listening(&mut eyes)?;
            if listening.iter().any(|listener| serves(*listener, address)) {
                return Ok(Self { program });
            }
            let name = program.name().to_owned();
            if let Some(ended) = program.wait(LOOK_EVERY) {
                let how = ended.how.to_string();
                return Err(ServerError::Ended {
                    name,
                    how,
                    address,
                    lines: program.last_lines(),
                });
            }
            if stopped() {
                return Err(ServerError::Stopped { name });
            }
            if Instant::now() > given_up {
                return Err(ServerError::Late {
                    name,
                    address,
                    within,
                    listening,
                    lines: program.last_lines(),
                });
            }
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.program.wait(Duration::ZERO).is_none()
    }

    /// What its threads have had of the CPUs; of none once it has ended.
    #[must_use]
    pub fn threads(&self) -> Threads {
        self.program.threads()
    }

    /// The last lines that it printed.
    #[must_use]
    pub fn last_lines(&self) -> Vec<String> {
        self.program.last_lines()
    }

    /// SIGTERM to its whole tree, and SIGKILL where that does not end it.
    #[must_use]
    pub fn stop(mut self) -> Stopped {
        let early = !self.is_running();
        let killed = !early && self.program.end(GRACE);
        Stopped {
            ended: self.program.wait(Duration::ZERO).cloned(),
            early,
            killed,
        }
    }
}

/// The endpoints of all sockets in LISTEN.
fn listening(eyes: &mut Eyes) -> Result<Vec<SocketAddr>, LookError> {
    let mut listening = Vec::new();
    let listed = eyes.dump(|socket| {
        if socket.state == State::Listen {
            listening.push(socket.tuple.local);
        }
    });
    match listed {
        // Of a list that changed meanwhile the next look tells.
        Ok(()) | Err(LookError::Interrupted) => Ok(listening),
        Err(error) => Err(error),
    }
}

/// Whether who connects to `address` comes to that listener. `::` takes IPv4 too, unless it was told not to
/// (IPV6_V6ONLY), which the list does not tell.
fn serves(listener: SocketAddr, address: SocketAddr) -> bool {
    let everywhere = listener.ip().is_unspecified() && (listener.is_ipv6() || address.is_ipv4());
    listener.port() == address.port() && (listener.ip() == address.ip() || everywhere)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foreign::How;

    #[test]
    fn a_listener_on_all_addresses_serves_each_of_its_family() {
        let serves = |listener: &str, address: &str| serves(listener.parse().unwrap(), address.parse().unwrap());
        assert!(serves("10.2.0.1:80", "10.2.0.1:80"));
        assert!(serves("0.0.0.0:80", "10.2.0.1:80"));
        assert!(serves("[::]:80", "10.2.0.1:80"));
        assert!(serves("[::]:80", "[fd6c::1]:80"));
        assert!(!serves("0.0.0.0:80", "[fd6c::1]:80"));
        assert!(!serves("0.0.0.0:81", "10.2.0.1:80"));
        assert!(!serves("10.2.0.2:80", "10.2.0.1:80"));
    }

    #[test]
    fn a_server_that_failed_is_told_with_its_last_lines() {
        let error = ServerError::Ended {
            name: "mariadbd".into(),
            how: How::Exited(1).to_string(),
            address: "10.2.0.1:3306".parse().unwrap(),
            lines: vec!["[ERROR] Please consult the manual".into()],
        };
        assert_eq!(
            error.to_string(),
            "the server `mariadbd` ended with exit code 1 before it listened on 10.2.0.1:3306; its last lines:\n  | \
             [ERROR] Please consult the manual"
        );
        assert_eq!(
            How::Signal {
                number: 11,
                core_dumped: false
            }
            .to_string(),
            "was ended by SIGSEGV"
        );
    }
}
