//! Real kernels, booted for real: Debian's, as scripts/kernels downloads them, with examples/guest_probe inside.
//!
//! Needs QEMU and, the first time, the network; says so and fails where either is missing.
#![forbid(unsafe_code)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use support::emulator::{emulator_of, is_running, wait_for};
use support::kernels::{KERNEL_5_10, KERNEL_6_1};

const MANIFEST: &str = env!("CARGO_MANIFEST_DIR");

/// The guest's program, built once.
static PROBE: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--example",
            "guest_probe",
            "--target-dir",
        ])
        .arg(target_directory())
        .current_dir(MANIFEST)
        .status()
        .expect("cargo runs");
    assert!(built.success(), "examples/guest_probe.rs could not be built");
    target_directory().join("debug/examples/guest_probe")
});

fn target_directory() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target/tmp lies in target")
}

fn probe(kernel: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(PROBE.as_path());
    command
        .arg(kernel)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn boot(kernel: &Path, arguments: &[&str]) -> Output {
    probe(kernel, arguments).output().expect("the probe runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the probe says of a boot that must fail.
fn failure(kernel: &Path, arguments: &[&str]) -> String {
    let output = boot(kernel, arguments);
    assert!(
        !output.status.success(),
        "{arguments:?} went well: {}",
        text(&output.stdout)
    );
    text(&output.stderr)
}

#[track_caller]
fn assert_says(message: &str, expected: &str) {
    assert!(message.contains(expected), "expected `{expected}` in:\n{message}");
}

#[test]
fn each_kernel_runs_the_program_and_joins_namespaces_with_its_own_modules() {
    for (kernel, version) in [(&*KERNEL_5_10, "release 5.10."), (&*KERNEL_6_1, "release 6.1.")] {
        let output = boot(kernel, &["look"]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_says(&said, version);
        assert_says(&said, "ports 32768 60999");
        assert_says(&said, "sockstat TCP: inuse 0");
        for module in ["veth", "inet_diag", "tcp_diag"] {
            assert_says(&said, module);
        }
        assert_says(&said, "a connection through a veth pair from ");
    }
}

#[test]
fn virtual_time_gives_the_same_bytes_twice_to_the_uptimes_hundredths() {
    let [first, second] = [(); 2].map(|()| boot(&KERNEL_6_1, &["look", "--virtual-time"]));
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_says(&text(&first.stdout), "uptime ");
    assert_eq!(text(&first.stdout), text(&second.stdout));
}

#[test]
fn the_ways_in_which_a_guest_fails_are_told_apart() {
    let failures = [
        ("error", "inside the guest: as asked"),
        ("panic", "inside the guest: the program panicked: as asked"),
        ("crash", "the guest's kernel panicked: "),
        (
            "vanish",
            "the guest's output is truncated: 1 lines came, and no end marker",
        ),
        ("hang", "the guest hung: nothing came from it for 10 s"),
        ("eat", "the guest ran out of memory with 1024 MiB"),
    ];
    for (job, expected) in failures {
        let message = failure(&KERNEL_6_1, &[job, "--silence", "10"]);
        assert_says(&message, expected);
        if job == "crash" {
            assert_says(&message, "the last lines of its console:\n  | ");
        }
    }
}

/// The least that QEMU takes for a kernel (Documentation/arch/x86/boot.rst), whose first instructions are cli and hlt.
fn halting_kernel(directory: &Path) -> PathBuf {
    let mut image = vec![0; 2 * 512 + 16 + 300];
    (image[0x1f1], image[0x1f4]) = (1, 1); // one setup sector, one paragraph of code
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x200..0x202].copy_from_slice(&[0xeb, 0x66]); // jmp 0x268
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x20c_u16.to_le_bytes());
    (image[0x211], image[0x236]) = (1, 1); // loaded high, 64-bit
    image[0x22c..0x230].copy_from_slice(&0x37ff_ffff_u32.to_le_bytes()); // the highest address of an initramfs
    image[0x268..0x26c].copy_from_slice(&[0xfa, 0xf4, 0xeb, 0xfd]);
    let path = directory.join("vmlinuz-halting");
    std::fs::write(&path, image).expect("a directory for tests");
    path
}

#[test]
fn a_kernel_that_halts_at_once_is_told_from_a_program_that_hangs() {
    let directory = tempfile::tempdir().expect("a directory for tests");
    let message = failure(&halting_kernel(directory.path()), &["look", "--silence", "5"]);
    assert_says(&message, "the kernel said nothing within 5 s of its start");
}

#[test]
fn a_machine_with_too_little_memory_is_told_so() {
    assert_says(
        &failure(&KERNEL_6_1, &["look", "--memory", "64", "--silence", "20"]),
        "MiB",
    );
}

#[test]
fn a_missing_qemu_is_told_with_what_installs_it() {
    // Where QEMU lies in its usual place, only an empty /usr/bin hides it: a mount namespace gives one.
    let hidden = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs none /usr/bin && exec \"$0\" \"$@\"")
        .arg(PROBE.as_path())
        .arg(KERNEL_6_1.as_path())
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .output()
        .expect("unshare runs");
    assert_says(&text(&hidden.stderr), "apt-get install qemu-system-x86");
}

#[test]
fn neither_a_signal_nor_a_kill_leaves_a_qemu_behind() {
    // SIGINT would be ignored where whoever runs the tests was started in the background.
    for signal in [nix::sys::signal::Signal::SIGTERM, nix::sys::signal::Signal::SIGKILL] {
        let mut host = probe(&KERNEL_6_1, &["hang"]).spawn().expect("the probe runs");
        let emulator = wait_for(|| emulator_of(&host), "a QEMU under the probe");
        let host_id = nix::unistd::Pid::from_raw(host.id().try_into().expect("a process id"));
        nix::sys::signal::kill(host_id, signal).expect("the probe runs still");
        host.wait().expect("the probe is a child");
        wait_for(|| (!is_running(emulator)).then_some(()), "the end of that QEMU");
    }
}
