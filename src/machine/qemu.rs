//! The emulator: where it is, whether KVM serves here, and its command line.
//!
//! Kernel and initramfs are passed as memory files, the result port is its stdout, the console (and its own complaints)
//! its stderr: a boot leaves nothing on a disk, even when this process is killed.
#![allow(unsafe_code)] // pre_exec: there is no safe way to set the parent-death signal in the child.

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::running::Running;

const PROGRAM: &str = "qemu-system-x86_64";
/// Debian, Fedora and RHEL put it there; the last is not on PATH.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/libexec"];
/// A processor that needs longer for the probe's 17 million instructions (0.05 s emulated, QEMU's own start 0.1 s) is of no
/// use, and each command that boots in real time pays for finding out.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// How the guest's instructions are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// By the processor, through /dev/kvm.
    Kvm,
    /// By translation (QEMU's TCG): works everywhere.
    Emulated,
}

/// What the guest's clocks follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The host's time.
    Real,
    /// One nanosecond an instruction, and idle time is skipped; with one CPU two runs are the same, byte by byte.
    Virtual,
}

/// The emulator cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    #[error(
        "QEMU ({PROGRAM}) is not on PATH; install it: apt-get install qemu-system-x86 (Debian, Ubuntu), dnf install qemu-system-x86 (Fedora)"
    )]
    Missing,
    #[error("KVM cannot be used here: {0}; leave the acceleration to be chosen, or take emulation")]
    Kvm(String),
    #[error("virtual time cannot be had with KVM: it counts emulated instructions")]
    VirtualTimeNeedsEmulation,
}

/// An emulator that is there.
#[derive(Clone, Debug)]
pub struct Qemu {
    program: PathBuf,
}

/// The machine to run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    pub(super) acceleration: Acceleration,
    pub(super) clock: Clock,
    pub(super) memory_mib: u32,
    pub(super) cpus: u32,
}

/// The kernel's command line: console on the first serial port, and a panic ends the machine at once. The kernel sizes
/// tcp_max_tw_buckets (and more) by its table of connections and that by memory: thash_entries makes these as on a
/// machine of 16 GiB, 65,536, where 1 GiB would give 4,096, fewer than a default range has ports.
const KERNEL_COMMAND_LINE: &str = "console=ttyS0 panic=-1 oops=panic nokaslr no_timer_check thash_entries=131072";

impl Qemu {
    /// Finds the emulator on PATH or where distributions put it.
    ///
    /// # Errors
    /// It is not installed; says how to.
    pub fn find() -> Result<Self, QemuError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let places = env::split_paths(&path).chain(PLACES.map(PathBuf::from));
        let program = places
            .map(|place| place.join(PROGRAM))
            .find(|program| program.is_file());
        program.map(|program| Self { program }).ok_or(QemuError::Missing)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// The first line of `--version`; None where it does not run.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let output = Command::new(&self.program).arg("--version").output().ok()?;
        String::from_utf8(output.stdout).ok()?.lines().next().map(str::to_owned)
    }

    /// The acceleration for a machine: what is asked for, or KVM where that passes its probe and the clock allows it.
    /// KVM is probed once a process.
    ///
    /// # Errors
    /// What is asked for cannot be had.
    pub fn accelerate(&self, asked: Option<Acceleration>, clock: Clock) -> Result<Acceleration, QemuError> {
        match (asked, clock) {
            (Some(Acceleration::Kvm), Clock::Virtual) => Err(QemuError::VirtualTimeNeedsEmulation),
            (Some(Acceleration::Kvm), Clock::Real) => self.kvm().map(|()| Acceleration::Kvm).map_err(QemuError::Kvm),
            (None, Clock::Real) if self.kvm().is_ok() => Ok(Acceleration::Kvm),
            _ => Ok(Acceleration::Emulated),
        }
    }

    /// Whether KVM executes instructions here, and as fast as a processor does; asked once a process.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    pub fn kvm(&self) -> Result<(), String> {
        static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
        PROBED
            .get_or_init(|| self.probe(Acceleration::Kvm, PROBE_LIMIT))
            .clone()
    }

    /// Runs the probe's firmware. /dev/kvm can open and yet execute in software, a thousand times slower, or not at
    /// all: only instructions that have run, in time, tell.
    ///
    /// # Errors
    /// Why it cannot be used, in words.
    fn probe(&self, acceleration: Acceleration, limit: Duration) -> Result<(), String> {
        if acceleration == Acceleration::Kvm {
            File::options()
                .read(true)
                .write(true)
                .open("/dev/kvm")
                .map_err(|error| format!("/dev/kvm: {error}"))?;
        }
        let firmware = memory_file(&probe_firmware()).map_err(|error| error.to_string())?;
        let mut command = self.command(&[firmware.as_fd()]);
        command.args(["-M", "pc", "-accel", accelerator(acceleration), "-m", "16"]);
        command.args([
            "-bios",
            &inherited(&firmware),
            "-device",
            "isa-debug-exit,iobase=0xf4,iosize=4",
        ]);
        let mut running = Running::start(command).map_err(|error| error.to_string())?;
        match running
            .wait_until(Instant::now() + limit)
            .map_err(|error| error.to_string())?
        {
            Some(status) if status.code() == Some(PROBE_EXIT) => Ok(()),
            Some(status) => Err(format!("the probe ended with {status}: {}", running.complaint())),
            None => Err(format!(
                "/dev/kvm opens, but 17 million instructions were not executed within {} s",
                limit.as_secs()
            )),
        }
    }

    pub(super) fn boot(&self, machine: &Machine, kernel: &[u8], initramfs: &[u8]) -> io::Result<Running> {
        let (kernel, initramfs) = (memory_file(kernel)?, memory_file(initramfs)?);
        let mut command = self.command(&[kernel.as_fd(), initramfs.as_fd()]);
        command.args(machine.arguments()).args(["-append", KERNEL_COMMAND_LINE]);
        command.args(["-kernel", &inherited(&kernel), "-initrd", &inherited(&initramfs)]);
        Running::start(command)
    }

    /// A child in a process group of its own (Ctrl-C is for us to handle), which is killed when this thread ends,
    /// however it ends, and which inherits these descriptors.
    fn command(&self, inherits: &[BorrowedFd<'_>]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let descriptors: Vec<i32> = inherits.iter().map(AsRawFd::as_raw_fd).collect();
        let parent = nix::unistd::getpid();
        // SAFETY: between fork and exec only prctl, getppid and fcntl are called, which are async-signal-safe; the
        // descriptors are the parent's, open until the child has been started, and the closure allocates nothing.
        unsafe {
            command.pre_exec(move || {
                prctl::set_pdeathsig(Signal::SIGKILL)?;
                if getppid() != parent {
                    return Err(io::Error::from(io::ErrorKind::NotConnected)); // the parent died before the call
                }
                for descriptor in &descriptors {
                    fcntl(BorrowedFd::borrow_raw(*descriptor), FcntlArg::F_SETFD(FdFlag::empty()))?;
                }
                Ok(())
            });
        }
        command
    }
}

impl Machine {
    fn arguments(&self) -> Vec<String> {
        let mut words = vec!["-M", "pc", "-accel", accelerator(self.acceleration)];
        if self.clock == Clock::Virtual {
            // The date and the random numbers that a guest starts from are fixed too.
            words.extend([
                "-icount",
                "shift=0,sleep=off",
                "-rtc",
                "base=2020-01-01,clock=vm",
                "-seed",
                "0",
            ]);
        }
        // The kernel's console is the first port, what the guest has to say the second.
        words.extend([
            "-chardev",
            "file,id=console,path=/dev/stderr",
            "-serial",
            "chardev:console",
        ]);
        words.extend([
            "-chardev",
            "file,id=result,path=/dev/stdout",
            "-serial",
            "chardev:result",
        ]);
        let sizes = [
            "-m".to_owned(),
            self.memory_mib.to_string(),
            "-smp".to_owned(),
            self.cpus.to_string(),
        ];
        words.into_iter().map(str::to_owned).chain(sizes).collect()
    }
}

fn accelerator(acceleration: Acceleration) -> &'static str {
    match acceleration {
        Acceleration::Kvm => "kvm",
        Acceleration::Emulated => "tcg",
    }
}

/// `isa-debug-exit` ends QEMU with twice the value written, plus one.
const PROBE_EXIT: i32 = (0x2a << 1) | 1;

/// A BIOS of 64 KiB whose reset vector jumps to 256 × 65,536 loops, 2,000 port writes (each leaves the guest) and exit.
fn probe_firmware() -> Vec<u8> {
    #[rustfmt::skip]
    let program: [u8; 22] = [
        0xba, 0x00, 0x01, //    mov dx, 256
        0x31, 0xc9,       // a: xor cx, cx
        0xe2, 0xfe,       // b: loop b
        0x4a,             //    dec dx
        0x75, 0xf9,       //    jnz a
        0xb9, 0xd0, 0x07, //    mov cx, 2000
        0xe6, 0x80,       // c: out 0x80, al
        0xe2, 0xfc,       //    loop c
        0xb0, 0x2a,       //    mov al, 0x2a
        0xe6, 0xf4,       //    out 0xf4, al
        0xf4,             //    hlt
    ];
    let mut firmware = vec![0xff; 0x1_0000];
    firmware[0xff00..0xff00 + program.len()].copy_from_slice(&program);
    firmware[0xfff0..0xfff3].copy_from_slice(&[0xe9, 0x0d, 0xff]); // jmp 0xff00, from 0xfff3
    firmware
}

fn memory_file(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create(c"linger", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(bytes)?;
    Ok(file.into())
}

/// The path by which a child opens a descriptor that it inherits.
fn inherited(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(acceleration: Acceleration, clock: Clock) -> String {
        Machine {
            acceleration,
            clock,
            memory_mib: 512,
            cpus: 1,
        }
        .arguments()
        .join(" ")
    }

    #[test]
    fn virtual_time_fixes_clock_date_and_random_numbers() {
        let line = words(Acceleration::Emulated, Clock::Virtual);
        assert!(
            line.contains("-accel tcg -icount shift=0,sleep=off -rtc base=2020-01-01,clock=vm -seed 0"),
            "{line}"
        );
        assert!(!words(Acceleration::Emulated, Clock::Real).contains("-icount"));
        assert!(words(Acceleration::Kvm, Clock::Real).contains("-accel kvm"));
        assert!(line.ends_with("-m 512 -smp 1"), "{line}");
    }

    #[test]
    fn emulation_passes_the_probe_that_kvm_must_pass() {
        let qemu = Qemu::find().expect("these tests boot machines");
        // Other tests may keep every processor busy.
        assert_eq!(qemu.probe(Acceleration::Emulated, Duration::from_secs(30)), Ok(()));
        // Whether KVM serves depends on the machine; that the answer comes does not.
        let _ = qemu.kvm();
    }

    #[test]
    fn kvm_is_refused_for_virtual_time_and_never_chosen_for_it() {
        let qemu = Qemu {
            program: PathBuf::from("/nonexistent"),
        };
        let refused = qemu.accelerate(Some(Acceleration::Kvm), Clock::Virtual);
        assert!(matches!(refused, Err(QemuError::VirtualTimeNeedsEmulation)));
        assert_eq!(qemu.accelerate(None, Clock::Virtual).unwrap(), Acceleration::Emulated);
    }
}
