//! `linger run --kernel`: real kernels, booted for real: Debian's, as scripts/kernels downloads them.
//!
//! Needs QEMU and, the first time, the network; says so and fails where either is missing.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::emulator::{emulator_of, is_running, wait_for};
use support::kernels::KERNEL_6_1;
use support::{linger, records, run, said, scenario};
use tempfile::tempdir;

fn kernel() -> &'static str {
    KERNEL_6_1.to_str().expect("a path in UTF-8")
}

fn uname() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    release.trim().to_owned()
}

#[test]
fn the_same_scenario_on_this_kernel_and_on_another_gives_the_same_exact_count() {
    let directory = tempdir().unwrap();
    let arguments = [
        "run",
        "reserved-ports",
        "--kernel",
        "host",
        "--kernel",
        kernel(),
        "--json",
    ];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let [here, booted] = &records(&output)[..] else {
        panic!("not two records: {}", said(&output))
    };
    for record in [here, booted] {
        assert_eq!(record["verdict"]["status"], "met");
        assert_eq!(record["prediction"]["usable_ports"], 90);
        assert_eq!(record["outcomes"]["ok"], 90);
        assert_eq!(record["environment"]["clock"], "real");
        assert_eq!(record["ledger"]["balanced"], true);
    }
    assert_eq!(here["scenario"], booted["scenario"]);
    assert_eq!(here["environment"]["kernel"], uname());
    assert_eq!(here["environment"]["emulated"], false);
    let release = booted["environment"]["kernel"].as_str().unwrap();
    assert!(release.starts_with("6.1."), "{release}");
    assert_ne!(release, uname());
    let began = |record: &Value| record["started_at"].as_str().unwrap().to_owned();
    assert!(began(here) < began(booted), "both by the host's clock");
    // One table, a row a kernel.
    assert!(said(&output).contains("kernel"), "{}", said(&output));
    assert!(said(&output).contains("2 of 2 met"), "{}", said(&output));
}

#[test]
fn a_booted_machine_is_a_host_with_a_loopback_interface_for_topology_host() {
    let directory = tempdir().unwrap();
    let sysctls = r#"[sysctl.both]
"net.ipv4.tcp_rfc1337" = 1
[sysctl.client]
"net.ipv4.ip_local_port_range" = "40000 40099"
"net.ipv4.tcp_tw_reuse" = 0
"#;
    let path = scenario(
        directory.path(),
        &[
            (sysctls, ""),
            ("outcomes.ok == prediction.capacity", "outcomes.ok == 130"),
        ],
    );
    let arguments = ["run", &path, "--lab", "host", "--kernel", kernel(), "--json"];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(records(&output)[0]["environment"]["lab"], "host");
}

/// What must be the same in two runs: all but when.
fn without_time(record: &Value) -> Value {
    let mut record = record.clone();
    record["started_at"] = json!(null);
    record
}

#[test]
fn virtual_time_gives_the_same_record_twice_but_for_when() {
    let directory = tempdir().unwrap();
    let arguments = [
        "run",
        "reserved-ports",
        "--kernel",
        kernel(),
        "--virtual-time",
        "--json",
    ];
    let [first, second] = [(); 2].map(|()| {
        let output = run(linger(directory.path(), &arguments));
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        records(&output).remove(0)
    });
    assert_eq!(first["environment"]["clock"], "virtual");
    assert_eq!(first["environment"]["emulated"], true);
    assert_eq!(without_time(&first), without_time(&second));
}

#[test]
fn a_kernel_that_cannot_be_booted_is_unavailable_and_the_others_go_on() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "This is no kernel.\n").unwrap();
    let arguments = [
        "run",
        "reserved-ports",
        "--kernel",
        "notes.txt",
        "--kernel",
        "host",
        "--json",
    ];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let records = records(&output);
    let statuses: Vec<_> = records.iter().map(|record| &record["verdict"]["status"]).collect();
    assert_eq!(statuses, ["unavailable", "met"], "{}", said(&output));
    let reason = records[0]["verdict"]["reasons"][0].as_str().unwrap();
    assert!(
        reason.contains("notes.txt") && reason.contains("expected an x86-64 kernel"),
        "{reason}"
    );
    assert_eq!(records[0]["environment"]["kernel"], "notes.txt");
}

#[test]
fn a_kernel_of_another_architecture_is_named_by_it() {
    let directory = tempdir().unwrap();
    // The header of an arm64 Image (Documentation/arch/arm64/booting.rst in the kernel).
    let mut image = vec![0; 4096];
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    fs::write(directory.path().join("Image"), image).unwrap();
    let output = run(linger(
        directory.path(),
        &["run", "refused", "--kernel", "Image", "--json"],
    ));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let record = &records(&output)[0];
    assert_eq!(record["verdict"]["status"], "unavailable");
    let reason = record["verdict"]["reasons"][0].as_str().unwrap();
    assert!(reason.contains("Image") && reason.contains("arm64"), "{reason}");
}

/// None of these boots anything, and none waits for what never comes.
#[test]
fn what_cannot_be_a_kernel_is_refused_and_no_machine_is_claimed_to_have_run() {
    let directory = tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    fs::write(directory.path().join("notes.txt"), "This is no kernel.\n").unwrap();
    for (kernel, expected) in [
        ("pipe", "pipe is a pipe (FIFO)"),
        ("notes.txt", "notes.txt is a text file"),
    ] {
        let output = run(linger(directory.path(), &["run", "refused", "--kernel", kernel]));
        assert_eq!(output.status.code(), Some(4), "{}", said(&output));
        let card = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(card.contains(&format!("no machine came up for `{kernel}`")), "{card}");
        assert!(!card.contains("Linux") && !card.contains("CPU"), "{card}");
        let card = card.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(card.contains(expected), "{card}");
    }
}

#[test]
fn a_server_of_this_machines_is_not_looked_for_in_a_guest() {
    let directory = tempdir().unwrap();
    let arguments = [
        "run",
        "reserved-ports",
        "--set",
        "server.exec=redis-server",
        "--kernel",
        "notes.txt",
        "--json",
    ];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let reason = records(&output)[0]["verdict"]["reasons"][0].to_string();
    assert!(
        reason.contains("program of this machine") && reason.contains("`host`"),
        "{reason}"
    );
}

#[test]
fn an_option_for_booted_kernels_is_refused_where_none_is() {
    let directory = tempdir().unwrap();
    for command in ["run", "verify"] {
        for option in [
            &["--virtual-time"][..],
            &["--clock", "virtual"],
            &["--guest-memory", "512"],
        ] {
            for kernel in [&[][..], &["--kernel", "host"]] {
                let arguments = [&[command, "refused"], option, kernel].concat();
                let output = run(linger(directory.path(), &arguments));
                assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
            }
        }
        let output = run(linger(directory.path(), &[command, "refused", "--kernel", ""]));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    }
    assert!(!directory.path().join("results").exists(), "nothing was run");
}

#[test]
fn another_kernels_prediction_is_not_made_of_this_ones_sysctls() {
    let directory = tempdir().unwrap();
    let axis = "[matrix]\nkernel = [\"host\", \"vmlinuz-3.13.11\"]\n[[expect]]";
    let path = scenario(directory.path(), &[("[[expect]]", axis)]);
    let output = run(linger(directory.path(), &["show", &path]));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, predicted) = text.split_once("prediction here").expect("a prediction");
    let (here, there) = predicted
        .split_once("kernel = \"vmlinuz-3.13.11\"\n")
        .expect("both cells");
    assert!(here.contains("capacity 100"), "{here}");
    assert!(there.starts_with("  predicted when it is booted"), "{there}");
}

/// `verify` boots on threads of its own, and the parent that a process outlives is the thread that made it.
#[test]
fn neither_an_interrupt_nor_a_kill_of_linger_leaves_a_qemu_behind() {
    for (command, signal) in [
        ("run", Signal::SIGKILL),
        ("verify", Signal::SIGINT),
        ("verify", Signal::SIGKILL),
    ] {
        let directory = tempdir().unwrap();
        let arguments = [command, "lifetime-60", "--kernel", kernel()];
        let mut host = linger(directory.path(), &arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("linger runs");
        let emulator = wait_for(|| emulator_of(&host), "a QEMU under linger");
        kill(Pid::from_raw(host.id().try_into().expect("a process id")), signal).expect("linger runs still");
        host.wait().expect("linger is a child");
        wait_for(|| (!is_running(emulator)).then_some(()), "the end of that QEMU");
    }
}

/// linger where QEMU cannot be found: it lies in /usr/bin, and only a mount namespace hides that.
fn linger_without_qemu(directory: &Path, arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!(
            "mount -t tmpfs none /usr/bin && exec {} {arguments}",
            env!("CARGO_BIN_EXE_linger")
        ))
        .current_dir(directory)
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("NO_COLOR", "1");
    command
}

#[test]
fn a_missing_qemu_is_told_with_its_remedy_by_run_and_by_check() {
    let directory = tempdir().unwrap();
    let wanted = format!("run reserved-ports --json --kernel {}", kernel());
    let output = run(linger_without_qemu(directory.path(), &wanted));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(
        said(&output).contains("apt-get install qemu-system-x86"),
        "{}",
        said(&output)
    );
    let output = run(linger_without_qemu(directory.path(), "check"));
    assert!(
        said(&output).contains("apt-get install qemu-system-x86"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_downloaded_kernel_is_listed_by_the_name_that_the_option_takes() {
    let directory = tempdir().unwrap();
    let package = KERNEL_6_1.file_name().and_then(|name| name.to_str()).unwrap();
    let name = package.split('_').next().unwrap();
    let output = run(linger(directory.path(), &["kernels"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains(name), "{}", said(&output));
    let output = run(linger(directory.path(), &["run", "refused", "--virtual-time"]));
    assert_eq!(output.status.code(), Some(2), "without --kernel: {}", said(&output));
}

#[test]
fn verify_puts_kernels_side_by_side_with_a_record_a_trial_and_one_exit_code() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "This is no kernel.\n").unwrap();
    let arguments = [
        "verify",
        "reserved-ports",
        "rfc1337",
        "--kernel",
        kernel(),
        "--kernel",
        "notes.txt",
        "--json",
    ];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let records = records(&output);
    assert_eq!(records.len(), 4, "{}", said(&output));
    let of = |name: &str| {
        records
            .iter()
            .filter(|record| record["environment"]["kernel"] == name)
            .count()
    };
    assert_eq!(of("notes.txt"), 2);
    for record in records
        .iter()
        .filter(|record| record["environment"]["kernel"] != "notes.txt")
    {
        assert_eq!(record["verdict"]["status"], "met", "{}", said(&output));
        assert_eq!(record["environment"]["clock"], "virtual");
        assert_eq!(record["claim"]["status"], "holds");
    }
    // The records, on stdout, have the reason each.
    let table = String::from_utf8_lossy(&output.stderr);
    let heading = table.lines().find(|line| line.starts_with("claim ")).expect("a table");
    assert!(heading.contains("6.1.") && heading.contains("notes.txt"), "{table}");
    // Why there is nothing of the text file: once, for both claims.
    assert_eq!(table.matches("notes.txt is a text file").count(), 1, "{table}");
}

#[test]
fn a_scenario_can_name_its_kernels_as_an_axis_of_its_matrix() {
    let directory = tempdir().unwrap();
    let axis = format!("[matrix]\nkernel = [\"host\", \"{}\"]\n[[expect]]", kernel());
    let path = scenario(directory.path(), &[("[[expect]]", &axis)]);
    let output = run(linger(directory.path(), &["run", &path, "--json", "--out", "kept"]));
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let records = records(&output);
    let kernels: Vec<_> = records.iter().map(|record| &record["cell"]["kernel"]).collect();
    let release = records[1]["environment"]["kernel"].as_str().unwrap();
    let mut files = fs::read_dir(directory.path().join("kept/small")).unwrap().flatten();
    let console = files.find(|file| {
        file.file_name()
            .to_string_lossy()
            .ends_with(&format!("Z.{release}.console"))
    });
    let console = fs::read_to_string(console.expect("the console's file").path()).unwrap();
    assert!(console.contains(&format!("Linux version {release}")), "{console}");
    assert_eq!(kernels, [&json!("host"), &json!(kernel())]);
    assert_eq!(records[0]["environment"]["kernel"], uname());
    assert_ne!(records[1]["environment"]["kernel"], uname());
    let output = run(linger(directory.path(), &["run", &path, "--kernel", "host"]));
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
}

#[test]
fn too_little_memory_is_told_with_how_much_it_takes() {
    let directory = tempdir().unwrap();
    let arguments = ["run", "refused", "--kernel", kernel(), "--guest-memory", "16", "--json"];
    let output = run(linger(directory.path(), &arguments));
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    let reason = records(&output)[0]["verdict"]["reasons"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(reason.contains("16 MiB") && reason.contains("give it"), "{reason}");
}
