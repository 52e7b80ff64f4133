//! From options to a plan: a scenario without a load, set by the options and checked as every scenario is.

use anyhow::Result;
use clap::ValueEnum;

use crate::cli::{Exec, ServerCloser};
use crate::command::Usage;
use linger::scenario::plan::TrialPlan;
use linger::scenario::spec::{Protocol, Topology};
use linger::scenario::{self, Origin, Problems};
use linger::tcp::{CloseMode, Closer};

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

/// Keys that options set; what is said about the key is said about the option.
const OPTIONS: [(&str, &str); 7] = [
    ("server.latency", "--latency"),
    ("server.error_rate", "--error-rate"),
    ("server.idle_timeout", "--idle-timeout"),
    ("server.max_requests", "--max-requests"),
    ("close.closer", "--closer"),
    ("close.mode", "--mode"),
    ("load.response_bytes", "--response-bytes"),
];

/// The plan of each run, in order.
pub(super) fn plans(options: &Exec, repeats: u32) -> Result<Vec<TrialPlan>> {
    for set in &options.set {
        refuse(options, set)?;
    }
    let topology = options.lab.map(Topology::from);
    let plan = scenario::from_text_with("exec", SCENARIO, &settings(options), Some(repeats), topology)
        .map_err(|problems| told_of_options(options, &problems))?;
    for trial in &plan.trials {
        honours(options, trial)?;
    }
    Ok(plan.trials)
}

/// What --set may not: there is no load, and the server has options of its own.
fn refuse(options: &Exec, set: &str) -> Result<()> {
    let key = set.split('=').next().unwrap_or_default().trim();
    let instead = match key {
        "server.exec" => "a real server is started by --server-exec 'COMMAND'",
        "server.protocol" => "what the server speaks is said by --protocol",
        "server.addresses" | "server.ports" => {
            "the program is told of one address and one port; expected --port for another port"
        }
        _ if options.server_exec.is_some() && key.starts_with("server.") => {
            "it is a setting of the built-in server, and --server-exec takes its place"
        }
        _ if !SETTABLE.iter().any(|start| key.starts_with(start)) => {
            let expected = SETTABLE.join(", ");
            return usage(format!(
                "--set {set}: the load is the program's own; expected a key that begins with {expected}"
            ));
        }
        _ => return Ok(()),
    };
    usage(format!("--set {set}: {instead}"))
}

/// Refuses a plan of which a part would be passed over.
fn honours(options: &Exec, trial: &TrialPlan) -> Result<()> {
    if trial.lab.topology == Topology::Host {
        return usage(
            "exec needs a lab of its own: in the host's namespace the counters are of every program; expected --lab pair, \
             loopback, nat or routed",
        );
    }
    let closes = trial.close.closer == Closer::Server && options.server_exec.is_none();
    if trial.close.mode != CloseMode::Graceful && !closes {
        let mode = options.mode.map_or_else(
            || "--set close.mode".to_owned(),
            |mode| format!("--mode {}", name_of(&mode)),
        );
        return usage(format!(
            "{mode}: it is how the built-in server closes where it is to close first; expected --closer server beside it"
        ));
    }
    Ok(())
}

fn usage<T>(text: impl Into<String>) -> Result<T> {
    Err(Usage(text.into()).into())
}

/// What is wrong, with the option that was typed in place of the key that it sets.
fn told_of_options(options: &Exec, problems: &Problems) -> Usage {
    let typed = given(options);
    let told = problems.iter().map(|problem| {
        let option = OPTIONS.iter().find(|(key, _)| *key == problem.key);
        let value = typed.iter().find(|(key, _)| *key == problem.key);
        match (option, value, &problem.origin) {
            (Some((_, option)), Some((_, value)), _) => format!("{option} {value}: {}", problem.message),
            (_, _, Some(Origin::Option(origin))) if options.set.iter().any(|set| *origin == format!("--set {set}")) => {
                format!("{origin}: {}", problem.message)
            }
            _ if problem.key.is_empty() => problem.message.clone(),
            _ => format!("{}: {}", problem.key, problem.message),
        }
    });
    Usage(told.collect::<Vec<_>>().join("\n"))
}

/// The keys that options were given for, with the value.
fn given(options: &Exec) -> Vec<(&'static str, String)> {
    let values = [
        options.latency.clone(),
        options.error_rate.clone(),
        options.idle_timeout.clone(),
        options.max_requests.clone(),
        options.closer.as_ref().map(name_of),
        options.mode.as_ref().map(name_of),
        options.response_bytes.clone(),
    ];
    let keys = OPTIONS.iter().map(|(key, _)| *key);
    keys.zip(values)
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// As it is typed.
fn name_of(value: &impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default()
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
    let server_closes = options.closer == Some(ServerCloser::Server)
        || options
            .set
            .iter()
            .any(|set| set.replace(' ', "") == "close.closer=server");
    if spoken == "none" || !server_closes {
        // How many requests the program makes is not known: any --max-requests may be fewer.
        settings.push("load.requests_per_connection=0".to_owned());
    }
    settings.extend(given(options).iter().map(|(key, value)| format!("{key}={value}")));
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
