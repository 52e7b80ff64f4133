//! From options to a plan: a scenario without a load, set by the options and checked as every scenario is.

use anyhow::Result;

use crate::cli::Exec;
use crate::command::Usage;
use linger::scenario::plan::TrialPlan;
use linger::scenario::spec::{Protocol, Topology};
use linger::scenario::{self};

/// What the options are set into. The load is the program's own: what stands here of it is never run, nor recorded.
const SCENARIO: &str = r#"id = "exec"
claim = "what a program does to its connections"
[server]
protocol = "http"
[close]
closer = "client"
mode = "graceful"
[load]
arrival = "max"
connections = 1
requests_per_connection = 1
"#;

/// Keys that --set may begin with.
const SETTABLE: [&str; 6] = ["net.", "sysctl.", "lab.", "server.", "close.", "client.addresses"];

/// The plan of each run, in order.
pub(super) fn plans(options: &Exec, repeats: u32) -> Result<Vec<TrialPlan>> {
    for set in &options.set {
        if !SETTABLE.iter().any(|start| set.trim_start().starts_with(start)) {
            return Err(Usage(format!(
                "--set {set}: the load is the program's own; expected a key that begins with {}",
                SETTABLE.join(", ")
            ))
            .into());
        }
    }
    let topology = options.lab.map(Topology::from);
    let plan = scenario::from_text_with("exec", SCENARIO, &settings(options), Some(repeats), topology)?;
    if plan.trials.iter().any(|trial| trial.lab.topology == Topology::Host) {
        return Err(Usage(
            "exec needs a lab of its own: in the host's namespace the counters are of every program; expected --lab pair, \
             loopback, nat or routed"
                .into(),
        )
        .into());
    }
    Ok(plan.trials)
}

fn settings(options: &Exec) -> Vec<String> {
    let protocol = serde_json::to_value(protocol(options)).unwrap_or_default();
    let protocol = protocol.as_str().unwrap_or("none").to_owned();
    let spoken = if options.server_exec.is_some() {
        "none".to_owned()
    } else {
        protocol
    };
    let mut settings = vec![format!("server.protocol={spoken}")];
    if spoken == "none" || options.closer.as_deref() != Some("server") {
        // How many requests the program makes is not known: any --max-requests may be fewer.
        settings.push("load.requests_per_connection=0".to_owned());
    }
    let options_of_keys = [
        ("server.latency", &options.latency),
        ("server.error_rate", &options.error_rate),
        ("server.idle_timeout", &options.idle_timeout),
        ("server.max_requests", &options.max_requests),
        ("close.closer", &options.closer),
        ("close.mode", &options.mode),
        ("load.response_bytes", &options.response_bytes),
    ];
    let given = options_of_keys
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    settings.extend(given);
    settings.extend(options.set.iter().cloned());
    settings
}

/// What is spoken, as the program is told.
pub(super) fn protocol(options: &Exec) -> Protocol {
    match options.protocol {
        Some(protocol) => protocol.into(),
        None if options.server_exec.is_some() => Protocol::None,
        None => Protocol::Http,
    }
}

/// The port asked for, or the protocol's own.
///
/// # Errors
/// A real server whose protocol was not told has none.
pub(super) fn port(options: &Exec) -> Result<u16> {
    let own = match protocol(options) {
        Protocol::None => None,
        Protocol::Echo => Some(7),
        Protocol::Http => Some(80),
        Protocol::Mysql => Some(3306),
        Protocol::Memcached => Some(11211),
        Protocol::Redis => Some(6379),
    };
    options.port.or(own).ok_or_else(|| {
        Usage("--server-exec: on which port? expected --port, or --protocol for the protocol's own".into()).into()
    })
}
