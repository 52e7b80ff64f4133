//! Tests of the whole way from a scenario's text to its plan or its problems.

mod faults;
mod sequences;
mod servers_and_pools;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde_json::json;

use super::plan::Plan;
use super::spec::Topology;
use super::{Problems, from_text, load};

const SOUND: &str = r#"# Why: to test
# the tests.
id = "sound"
claim = "all is well"
[close]
closer = "client"
mode = "graceful"
[load]
arrival = "constant"
rate = 500
duration = "2s"
"#;

/// The plan of a catalogue scenario with `--set` options.
fn set(id: &str, sets: &[&str]) -> Result<Plan, Problems> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    load(&[id.to_owned()], &sets, None, None).map(|mut plans| plans.remove(0))
}

fn problems(text: &str) -> Vec<String> {
    match from_text("x.toml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn only_problem(text: &str) -> String {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

#[test]
fn defaults_are_filled_in() {
    let plan = from_text("x.toml", SOUND).unwrap();
    assert_eq!((plan.id.as_str(), plan.why.as_str()), ("sound", "to test the tests."));
    let [trial] = &plan.trials[..] else {
        panic!("one trial without a matrix, not {}", plan.trials.len());
    };
    insta::assert_json_snapshot!(trial);
    // Half a second for the lab.
    assert_eq!(plan.expected_duration(), Duration::from_millis(2500));
}

#[test]
fn echo_makes_one_request_a_connection() {
    let plan = from_text("x.toml", &format!("{SOUND}[server]\nprotocol = \"echo\"\n")).unwrap();
    assert_eq!(plan.trials[0].load.requests_per_connection, 1);
}

#[test]
fn repeats_are_interleaved() {
    let text = format!("repeats = 2\n{SOUND}[matrix]\n\"load.seed\" = [1, 2]\n");
    let plan = from_text("x.toml", &text).unwrap();
    let order: Vec<(u32, u64)> = plan
        .trials
        .iter()
        .map(|trial| (trial.repeat, trial.load.seed))
        .collect();
    assert_eq!(order, [(1, 1), (1, 2), (2, 1), (2, 2)]);
    assert_eq!(
        plan.trials[1].cell,
        BTreeMap::from([("load.seed".to_owned(), json!(2))])
    );
}

#[test]
fn an_expectation_knows_its_line() {
    let plan = from_text("dir/x.toml", &format!("{SOUND}[[expect]]\nthat = \"true\"\n")).unwrap();
    assert_eq!(plan.trials[0].expect[0].at, "dir/x.toml:13 expect[0].that");
    let plan = set("exhaustion", &[]).unwrap();
    assert!(plan.trials[0].expect[0].at.starts_with("scenarios/exhaustion.toml:"));
}

#[test]
fn a_key_required_by_the_format_may_come_from_the_matrix() {
    let text = SOUND.replace("closer = \"client\"\n", "");
    assert!(only_problem(&text).contains("close.closer: missing"));
    assert_eq!(
        problems(&format!(
            "{text}[matrix]\n\"close.closer\" = [\"client\", \"server\"]\n"
        )),
        [""; 0]
    );
}

#[test]
fn set_reaches_sysctls_quoted_bare_and_on_both_sides() {
    for key in [
        "sysctl.client.net.ipv4.tcp_tw_reuse",
        "sysctl.client.\"net.ipv4.tcp_tw_reuse\"",
        "sysctl.\"client\".'net.ipv4.tcp_tw_reuse'",
    ] {
        let plan = set("exhaustion", &[&format!("{key}=2")]).unwrap();
        let sysctl = &plan.trials[0].sysctl;
        assert_eq!(sysctl.client["net.ipv4.tcp_tw_reuse"], "2");
        assert!(!sysctl.server.contains_key("net.ipv4.tcp_tw_reuse"));
    }
    let plan = set("exhaustion", &["net.ipv4.ip_local_port_range=40000 40099"]).unwrap();
    let sysctl = &plan.trials[0].sysctl;
    assert_eq!(sysctl.client["net.ipv4.ip_local_port_range"], "40000 40099");
    assert_eq!(sysctl.server["net.ipv4.ip_local_port_range"], "40000 40099");
}

#[test]
fn set_holds_an_axis_to_its_value_and_keeps_it_in_the_cell() {
    let plan = set("reuse-matrix", &["close.closer=server", "net.ipv4.tcp_timestamps=0"]).unwrap();
    assert_eq!(plan.trials.len(), 3);
    for trial in &plan.trials {
        assert_eq!(trial.cell["close.closer"], "server");
        assert_eq!(trial.cell["sysctl.both.net.ipv4.tcp_timestamps"], 0);
        assert_eq!(trial.sysctl.client["net.ipv4.tcp_timestamps"], "0");
    }
    let plan = set("reuse-needs-timestamps", &["net.ipv4.tcp_timestamps=1"]).unwrap();
    assert_eq!(plan.trials.len(), 1, "both axes are of that sysctl");
    let plan = set("active-closer-holds", &["matrix.close.closer=[\"server\"]"]).unwrap();
    assert_eq!(plan.trials.len(), 1);
}

#[test]
fn topology_and_repeats_come_from_the_command_line() {
    let id = ["reuse-loopback-default".to_owned()];
    let plan = load(&id, &[], Some(3), Some(Topology::Pair)).unwrap().remove(0);
    assert_eq!(plan.trials.len(), 3);
    assert!(plan.trials.iter().all(|trial| trial.lab.topology == Topology::Pair));
    let found = load(&id, &[], Some(0), Some(Topology::Host)).unwrap_err().to_string();
    assert!(
        found.contains("--repeat 0: repeats: expected an integer from 1 to 1000"),
        "{found}"
    );
    assert!(found.contains("topology `host` sets no sysctl"), "{found}");
}

#[test]
fn a_fault_of_an_option_names_the_option() {
    let found = set("exhaustion", &["load.rat=5", "nonsense", "load.in_flight=0"]).unwrap_err();
    insta::assert_snapshot!(found);
}

#[test]
fn an_unknown_id_is_told_the_nearest_and_a_file_that_cannot_be_read_why() {
    let arguments = ["exhuastion", "no/such.toml", "/dev/zero"].map(str::to_owned);
    let found = load(&arguments, &[], None, None).unwrap_err();
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found[0].contains("did you mean `exhaustion`?"), "{found:?}");
    assert!(found[1].starts_with("no/such.toml: cannot be read: "), "{found:?}");
    assert!(found[2].contains("larger than 1 MiB"), "{found:?}");
}

#[test]
fn a_file_is_read_by_its_path() {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(SOUND.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let plan = load(std::slice::from_ref(&path), &[], None, None).unwrap().remove(0);
    assert_eq!(plan.origin, path);
    file.write_all(b"\xff").unwrap();
    let found = load(&[path], &[], None, None).unwrap_err().to_string();
    assert!(found.contains("not UTF-8 at byte "), "{found}");
}

#[test]
fn mistakes_of_every_kind_are_told_at_once() {
    let text = r#"# Why: to be wrong in as many ways as there are.
id = "Ten Mistakes"
clam = "a misspelt key"
repeats = 0

[lab]
topology = "pear"

[server]
addresses = "two"
protocol = "none"

[client]
source = "port-range"
port_range = "60999 32768"

[close]
mode = "gracefull"
linger_seconds = 5

[load]
arrival = "constant"
rate = 0
hold = "soon"
request_bytes = 10

[sysctl.client]
"net.ipv4.ip_local_port_range" = "60999 32768"
"kernel.pid_max" = 100
net.ipv4.tcp_tw_reuse = 1

[matrix]
"load.sed" = [1, 2]
"close.closer" = []

[[expect]]
kernel = "4.x.y.z"
that = "outcomes.ok =="

[[expect]]
when = "true"
"#;
    insta::assert_snapshot!(problems(text).join("\n"));
}
