//! `linger run`: the main job, as a user runs it, in real namespaces.

mod support;

use serde_json::{Value, json};
use support::{linger, linger_as_nobody, records, run, said, scenario, stderr};
use tempfile::tempdir;

/// A directory that an unprivileged user may use too.
fn public_tempdir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

#[test]
fn root_and_an_unprivileged_user_get_the_same_record_but_for_the_lab() {
    let directory = public_tempdir();
    let path = scenario(directory.path(), &[]);
    let as_root = run(linger(directory.path(), &["run", &path, "--json"]));
    let as_nobody = run(linger_as_nobody(directory.path(), &["run", &path, "--json"]));
    assert_eq!(as_root.status.code(), Some(0), "{}", said(&as_root));
    assert_eq!(as_nobody.status.code(), Some(0), "{}", said(&as_nobody));
    let (root, nobody) = (&records(&as_root)[0], &records(&as_nobody)[0]);
    for key in ["scenario", "cell", "prediction", "offered", "verdict", "ledger"] {
        assert_eq!(root[key], nobody[key], "{key}");
    }
    assert_eq!(root["outcomes"]["ok"], nobody["outcomes"]["ok"]);
    assert_eq!(root["environment"]["sysctl"], nobody["environment"]["sysctl"]);
    assert_ne!(root["environment"]["lab"], nobody["environment"]["lab"]);
}

#[test]
fn a_slow_server_is_hurried_on_when_the_load_is_over_and_the_books_are_of_one_moment() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let slow = ["run", &path, "--set", "server.accept_delay=100ms", "--json"];
    for (connections, sysctl) in [(100, "net.ipv4.tcp_fin_timeout=60"), (30, "net.ipv4.tcp_fin_timeout=1")] {
        let connections_key = format!("load.connections={connections}");
        let arguments = [&slow[..], &["--set", &connections_key, "--set", sysctl]].concat();
        let output = run(linger(directory.path(), &arguments));
        let record = &records(&output)[0];
        assert_eq!(record["ledger"]["balanced"], true, "{}", record["ledger"]);
        assert_eq!(record["ledger"]["unsettled"], Value::Null);
        assert_eq!(record["time_wait"]["client"]["end"], connections);
        assert_eq!(record["server"]["accepted"], connections);
    }
}

#[test]
fn each_matrix_cell_starts_in_a_fresh_lab() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[(
            "[[expect]]",
            "[matrix]\n\"close.closer\" = [\"client\", \"client\", \"server\"]\n[[expect]]",
        )],
    );
    let twice = run(linger(directory.path(), &["run", &path, "--json"]));
    assert_eq!(
        twice.status.code(),
        Some(2),
        "the same value twice is a slip: {}",
        said(&twice)
    );
    let path = scenario(directory.path(), &[]);
    let output = run(linger(directory.path(), &["run", &path, "--repeat", "3", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let ok: Vec<_> = records(&output).iter().map(|r| r["outcomes"]["ok"].clone()).collect();
    assert_eq!(ok, [100, 100, 100], "a TIME_WAIT of the last trial would take a port");
}

#[test]
fn records_go_to_a_file_by_scenario_and_time_and_the_screen_to_stdout() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let output = run(linger(directory.path(), &["run", &path]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let files: Vec<_> = std::fs::read_dir(directory.path().join("results/small"))
        .unwrap()
        .collect();
    assert_eq!(files.len(), 1);
    let text = std::fs::read_to_string(files[0].as_ref().unwrap().path()).unwrap();
    let record: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(record["schema"], "linger.record/1");
    let screen = String::from_utf8_lossy(&output.stdout);
    for word in ["EADDRNOTAVAIL", "TIME_WAIT", "met"] {
        assert!(screen.contains(word), "{word} is not on the screen:\n{screen}");
    }
    assert!(!screen.contains('\u{1b}'), "escape codes on a pipe");
}

#[test]
fn every_record_is_valid_by_the_checked_in_schema() {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string("schema/record.schema.json").unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let output = run(linger(directory.path(), &["run", &path, "--json"]));
    for record in records(&output) {
        let problems: Vec<_> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn an_unmet_expectation_exits_3_and_names_file_line_and_both_values() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[("outcomes.ok == prediction.capacity", "outcomes.ok == 99")],
    );
    let output = run(linger(directory.path(), &["run", &path]));
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let screen = String::from_utf8_lossy(&output.stdout);
    for word in ["unmet", "99", "100", "small.toml:16"] {
        assert!(screen.contains(word), "{word} is not on the screen:\n{screen}");
    }
}

#[test]
fn a_name_that_the_record_lacks_is_inconclusive_and_exits_5() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[("outcomes.ok == prediction.capacity", "outcomes.okay == 100")],
    );
    let output = run(linger(directory.path(), &["run", &path]));
    assert_eq!(output.status.code(), Some(5), "{}", said(&output));
    assert!(said(&output).contains("okay"), "{}", said(&output));
}

#[test]
fn a_sysctl_that_does_not_exist_makes_the_trial_unavailable_and_exits_4() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[("net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_tw_recycle")],
    );
    let output = run(linger(directory.path(), &["run", &path]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let said = said(&output);
    assert!(said.contains("net.ipv4.tcp_tw_recycle"), "{said}");
}

#[test]
fn a_read_only_proc_sys_is_named_with_its_remedy_by_run_and_check() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    for (arguments, status) in [(&["run", &path][..], Some(4)), (&["check"][..], None)] {
        let mut command = std::process::Command::new("unshare");
        command
            .args(["--mount", "sh", "-ec"])
            .arg("mount --bind /proc/sys /proc/sys; mount -o remount,ro,bind /proc/sys; exec \"$@\"")
            .args(["sh", env!("CARGO_BIN_EXE_linger")])
            .args(arguments)
            .current_dir(directory.path());
        let output = run(command);
        let said = said(&output);
        assert!(
            status.is_none_or(|status| output.status.code() == Some(status)),
            "{said}"
        );
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        for words_of_it in ["/proc/sys is mounted read-only", "systempaths=unconfined"] {
            assert!(words.contains(words_of_it), "{words_of_it} is not in:\n{said}");
        }
        assert!(!said.contains("4.15"), "{said}");
    }
}

#[test]
fn setting_a_sysctl_with_topology_host_is_refused() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let output = run(linger(directory.path(), &["run", &path, "--lab", "host"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(stderr(&output).contains("host"), "{}", said(&output));
}

#[test]
fn topology_host_runs_the_load_on_the_hosts_own_loopback_as_it_is() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            ("[sysctl.both]\n\"net.ipv4.tcp_rfc1337\" = 1\n[sysctl.client]\n", ""),
            ("\"net.ipv4.ip_local_port_range\" = \"40000 40099\"\n", ""),
            ("\"net.ipv4.tcp_tw_reuse\" = 0\n", ""),
            ("mode = \"graceful\"", "mode = \"abortive\""),
            ("outcomes.ok == prediction.capacity", "outcomes.ok == 130"),
        ],
    );
    let output = run(linger(directory.path(), &["run", &path, "--lab", "host", "--json"]));
    let record = &records(&output)[0];
    assert_eq!(record["outcomes"]["ok"], 130, "{}", said(&output));
    assert!(record["environment"]["lab"].as_str().unwrap().contains("host"));
}

#[test]
fn misspelt_keys_missing_keys_and_bad_values_are_reported_together_with_their_lines() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            ("closer = \"client\"\n", ""),
            ("arrival = \"max\"", "arival = \"max\"\nrate = 0"),
            ("40000 40099", "60999 32768"),
        ],
    );
    let output = run(linger(directory.path(), &["run", &path]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let text = stderr(&output);
    for word in ["closer", "arival", "arrival", "rate", "60999 32768", "small.toml:"] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn an_unknown_scenario_names_the_nearest_one() {
    let directory = tempdir().unwrap();
    let output = run(linger(directory.path(), &["run", "exhaustoin"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(stderr(&output).contains("exhaustion"), "{}", said(&output));
}

#[test]
fn more_descriptors_than_can_be_had_are_refused_before_the_trial_starts() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[("connections = 130", "connections = 130\nin_flight = 4000000")],
    );
    let output = run(linger(directory.path(), &["run", &path]));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("descriptors"), "{}", said(&output));
}

#[test]
fn the_load_keeps_its_rate_through_failure() {
    let directory = tempdir().unwrap();
    let path = scenario(
        directory.path(),
        &[
            ("arrival = \"max\"", "arrival = \"constant\"\nrate = 500"),
            ("connections = 130", "duration = \"1s\""),
        ],
    );
    let output = run(linger(directory.path(), &["run", &path, "--json"]));
    let record = &records(&output)[0];
    assert_eq!(record["offered"]["planned"], 500, "{}", said(&output));
    assert_eq!(record["offered"]["attempted"], 500);
    assert_eq!(record["outcomes"]["ok"], 100);
    assert_eq!(record["outcomes"]["failed"][0]["count"], 400);
}

#[test]
fn list_show_check_and_completions_work_without_a_lab() {
    let directory = tempdir().unwrap();
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["show", "exhaustion"],
        &["check"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let output = run(linger(directory.path(), arguments));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}

/// linger in a user namespace that allows no further one, without capabilities: what a locked-down machine is like.
/// The limit is that namespace's own, so the host is not touched.
fn linger_where_user_namespaces_are_forbidden(directory: &std::path::Path, arguments: &str) -> std::process::Command {
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "sh", "-c"])
        .arg(format!(
            "echo 0 > /proc/sys/user/max_user_namespaces && \
             exec setpriv --securebits=+noroot --bounding-set=-all --inh-caps=-all {} {arguments}",
            env!("CARGO_BIN_EXE_linger")
        ))
        .current_dir(directory)
        .env("NO_COLOR", "1");
    command
}

#[test]
fn forbidden_user_namespaces_are_named_with_their_remedy_and_exit_4() {
    let directory = tempdir().unwrap();
    let output = run(linger_where_user_namespaces_are_forbidden(
        directory.path(),
        "run refused --json",
    ));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert_eq!(records(&output)[0]["verdict"]["status"], "unavailable");
    let output = run(linger_where_user_namespaces_are_forbidden(directory.path(), "check"));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for word in ["user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces"] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn a_record_cut_in_half_costs_only_itself_and_is_told_by_its_line() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let output = run(linger(directory.path(), &["run", &path, "--repeat", "2", "--json"]));
    let whole = String::from_utf8(output.stdout).unwrap();
    let file = directory.path().join("half.jsonl");
    std::fs::write(&file, &whole[..whole.len() - 400]).unwrap();
    let output = run(linger(directory.path(), &["report", "half.jsonl"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("small: met"),
        "{}",
        said(&output)
    );
    assert!(stderr(&output).contains("half.jsonl:2"), "{}", said(&output));
}

#[test]
fn a_range_upside_down_is_refused_from_the_command_line_too() {
    let directory = tempdir().unwrap();
    let arguments = ["run", "exhaustion", "--set", "net.ipv4.ip_local_port_range=60999 32768"];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let text = stderr(&output);
    assert!(text.contains("60999 32768") && text.contains("--set"), "{text}");
}

#[test]
fn two_runs_of_the_same_scenario_compare_without_a_regression() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    for side in ["base", "new"] {
        let output = run(linger(
            directory.path(),
            &["run", &path, "--repeat", "5", "--out", side],
        ));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    }
    let arguments = ["compare", "base", "new", "--fail-if", "outcomes.ok < 0.99"];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let output = run(linger(
        directory.path(),
        &["compare", "base", "new", "--fail-if", "outcome.ok < 0.9"],
    ));
    assert_ne!(
        output.status.code(),
        Some(0),
        "a misspelt metric is never a pass: {}",
        said(&output)
    );
}

#[test]
fn the_matrix_of_reuse_timestamps_and_closer_gives_the_outcome_of_the_kernels_rules() {
    let directory = tempdir().unwrap();
    let output = run(linger(directory.path(), &["run", "reuse-matrix", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let records = records(&output);
    assert_eq!(records.len(), 12);
    for record in &records {
        let cell = |key: &str| record["cell"][key].clone();
        let reuse = cell("sysctl.both.net.ipv4.tcp_tw_reuse");
        let timestamps = cell("sysctl.both.net.ipv4.tcp_timestamps") == 1;
        let ok = record["outcomes"]["ok"].as_u64().unwrap();
        match cell("close.closer").as_str() {
            // Over loopback, 2 is as good as 1; without timestamps nothing is reused.
            Some("client") => assert_eq!(
                ok,
                if reuse != 0 && timestamps { 200 } else { 100 },
                "{:?}",
                record["cell"]
            ),
            _ => assert_eq!(ok, record["offered"]["attempted"], "{:?}", record["cell"]),
        }
    }
}

#[test]
fn the_books_count_each_reused_port_as_one_recycled() {
    let directory = tempdir().unwrap();
    let output = run(linger(directory.path(), &["run", "reuse-one-second", "--json"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let record = &records(&output)[0];
    let rows = record["ledger"]["rows"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "reuse").expect("a row for reuse");
    assert_eq!((&row["ours"], &row["kernel"]), (&json!(200), &json!(200)));
}

#[test]
fn a_reader_that_goes_away_is_no_panic_and_loses_no_record() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let binary = env!("CARGO_BIN_EXE_linger");
    for (line, code) in [
        // The screen and what is told have no reader: the file has the record.
        (
            format!("{binary} run {path} --out o 2>&1 | :; echo ${{PIPESTATUS[0]}}"),
            "0",
        ),
        (
            format!("{binary} run {path} --out o 2>/dev/full >/dev/null; echo $?"),
            "0",
        ),
        // Records themselves have none: going on would be in vain.
        (
            format!("{binary} run {path} --json --repeat 50 | :; echo ${{PIPESTATUS[0]}}"),
            "1",
        ),
    ] {
        let mut command = std::process::Command::new("bash");
        command.args(["-c", &line]).current_dir(directory.path());
        let output = run(command);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.trim(), code, "{line}: {}", said(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", said(&output));
    }
}

#[test]
fn two_runs_in_the_same_second_have_a_file_each() {
    let directory = tempdir().unwrap();
    let path = scenario(directory.path(), &[]);
    let output = run(linger(directory.path(), &["run", &path, &path, "--out", "o"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(std::fs::read_dir(directory.path().join("o/small")).unwrap().count(), 2);
}
