//! Boots a kernel with a program and a job inside, passes its lines on as they come, and says how it ended.
#![forbid(unsafe_code)]

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::diagnosis::{Evidence, Failure, Stop, last_lines};
use super::elf::Elf;
use super::image::KernelImage;
use super::initramfs::Initramfs;
use super::modules::{ModuleError, WANTED};
use super::program::{self, ProgramError};
use super::qemu::{Acceleration, Clock, Machine, Qemu, QemuError};
use super::running::{Output, Running};
use super::wire::{self, Count, End, Said};

/// How often limits and the wish to stop are looked at.
const TICK: Duration = Duration::from_millis(50);
/// How long a guest may take to power off after its last word.
const POWER_OFF: Duration = Duration::from_secs(10);
/// A kernel that has said nothing at all by then never will: under emulation the first line comes within 3 s, with six times as
/// much to do as there are CPUs.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// The most silence while a kernel boots: in virtual time, on a busy machine, one was seen to take a minute to its program.
const BOOT_SILENCE: Duration = Duration::from_secs(180);
/// Between two words to the caller that it still boots.
const STILL_BOOTING: Duration = Duration::from_secs(10);
/// Lines of the console that an error shows.
const LAST_LINES: usize = 12;
/// The most of the console that is kept: its older half goes when it is full.
const CONSOLE_BYTES: usize = 1 << 20;

/// What to boot a kernel with.
#[derive(Clone, Debug)]
pub struct BootOptions {
    pub memory_mib: u32,
    pub cpus: u32,
    pub clock: Clock,
    /// None: KVM where it serves and the clock allows it, else emulation.
    pub acceleration: Option<Acceleration>,
    /// Real time for the whole run, boot included.
    pub time_limit: Duration,
    /// Real time in which neither port says anything.
    pub silence_limit: Duration,
    /// The program that runs as `/init`; it is to call [`super::guest::main`]. Static or not.
    pub init: PathBuf,
    /// Bytes handed to that program.
    pub job: Vec<u8>,
    /// Programs that it runs: they go into /usr/sbin, wherever they are here.
    pub tools: Vec<PathBuf>,
    /// Modules to load besides [`WANTED`].
    pub modules: Vec<&'static str>,
}

impl BootOptions {
    /// One CPU and 1 GiB, in real time, for at most an hour and 5 minutes of silence.
    #[must_use]
    pub fn new(init: PathBuf, job: Vec<u8>) -> Self {
        let (hour, five_minutes) = (Duration::from_secs(3600), Duration::from_secs(300));
        Self {
            memory_mib: 1024,
            cpus: 1,
            clock: Clock::Real,
            acceleration: None,
            time_limit: hour,
            silence_limit: five_minutes,
            init,
            job,
            tools: Vec::new(),
            modules: Vec::new(),
        }
    }
}

/// A guest that ended as it should.
#[derive(Clone, Debug)]
pub struct Finished {
    pub acceleration: Acceleration,
    /// The kernel's log, and the guest program's stdout and stderr.
    pub console: String,
    /// Real time until the guest's program ran.
    pub booted_after: Duration,
    /// Real time until the machine was off.
    pub took: Duration,
}

/// Why a guest gave no result.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error(transparent)]
    Qemu(#[from] QemuError),
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    #[error(
        "the guest's {memory_mib} MiB of memory do not hold its kernel and files: give it {needed_mib} MiB or more"
    )]
    Memory { memory_mib: u32, needed_mib: u32 },
    #[error("QEMU could not be started: {0}")]
    Start(#[from] io::Error),
    /// `last_lines` are the console's; `console` is all of it.
    #[error("{failure}{}{last_lines}", if last_lines.is_empty() { "" } else { "; the last lines of its console:\n" })]
    Guest {
        failure: Failure,
        last_lines: String,
        console: String,
    },
    #[error("interrupted")]
    Interrupted,
}

/// What the caller is told of a machine that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// Its program does not run yet, so long after the start: now and then.
    Booting(Duration),
    /// A line that its program sent.
    Line(&'a str),
}

/// Boots the kernel and tells of each line that its program sends, until it ends or `stop` is set.
///
/// # Errors
/// QEMU is missing, the program cannot be packed, the guest failed, or `stop` was set. No QEMU is left running.
pub fn run(
    image: &KernelImage,
    options: &BootOptions,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Finished, MachineError> {
    let qemu = Qemu::find()?;
    let machine = Machine {
        acceleration: qemu.accelerate(options.acceleration, options.clock)?,
        clock: options.clock,
        memory_mib: options.memory_mib,
        cpus: options.cpus,
    };
    let initramfs = pack(image, options)?;
    fits(image, &initramfs, options.memory_mib)?;
    let started = Instant::now();
    let mut running = qemu.boot(&machine, &image.bytes, &initramfs)?;
    let mut heard = Heard::default();
    let ended = heard.listen(&mut running, options, stop, started, tell)?;
    let evidence = Evidence {
        console: &heard.console,
        begun: heard.begun_after.is_some(),
        received: heard.received,
        end: heard.end.as_ref(),
        stop: ended,
        memory_mib: options.memory_mib,
    };
    if let Some(failure) = evidence.failure() {
        let last_lines = last_lines(&heard.console, LAST_LINES);
        return Err(MachineError::Guest {
            failure,
            last_lines,
            console: heard.console,
        });
    }
    Ok(Finished {
        acceleration: machine.acceleration,
        console: heard.console,
        booted_after: heard.begun_after.unwrap_or_default(),
        took: started.elapsed(),
    })
}

/// The guest's files: the program and its libraries, the job, the modules, and the devices it needs before devtmpfs.
fn pack(image: &KernelImage, options: &BootOptions) -> Result<Vec<u8>, MachineError> {
    let mut archive = Initramfs::default();
    for directory in ["dev", "proc", "sys", "tmp"] {
        archive.directory(directory);
    }
    archive.device("dev/console", (5, 1));
    archive.device("dev/null", (1, 3));
    archive.device(wire::RESULT_PORT, wire::RESULT_PORT_NUMBER);
    archive.file(wire::JOB, 0o444, &options.job);
    let wanted: Vec<&str> = WANTED.iter().chain(&options.modules).copied().collect();
    for (index, module) in image.modules.load_order(&wanted)?.iter().enumerate() {
        archive.file(
            &format!("{}/{index:02}-{}.ko", wire::MODULES, module.name),
            0o444,
            &module.bytes,
        );
    }
    program::pack(&options.init, &options.tools, &mut archive)?;
    Ok(archive.finish())
}

/// A kernel with too little memory may end without a word, so the least is demanded beforehand: the kernel, the archive
/// and the files unpacked from it at the same time, and 32 MiB to work with.
fn fits(image: &KernelImage, initramfs: &[u8], memory_mib: u32) -> Result<(), MachineError> {
    let kernel = Elf::parse(&image.bytes).map_or(image.bytes.len(), Elf::loaded_end);
    let needed_mib = u32::try_from((kernel + 2 * initramfs.len()).div_ceil(1 << 20))
        .unwrap_or(u32::MAX)
        .saturating_add(32);
    if memory_mib < needed_mib {
        Err(MachineError::Memory { memory_mib, needed_mib })
    } else {
        Ok(())
    }
}

/// What has come from a guest.
#[derive(Debug, Default)]
struct Heard {
    console: String,
    begun_after: Option<Duration>,
    received: Count,
    end: Option<End>,
}

impl Heard {
    /// Listens until the machine is off, or is given up.
    fn listen(
        &mut self,
        running: &mut Running,
        options: &BootOptions,
        stop: &AtomicBool,
        started: Instant,
        tell: &mut dyn FnMut(Told<'_>),
    ) -> Result<Stop, MachineError> {
        let (mut last, mut told) = (started, started);
        loop {
            match running.output.recv_timeout(TICK) {
                Ok(output) => {
                    last = Instant::now();
                    self.take(output, started, tell);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = running.wait_until(Instant::now() + POWER_OFF)?;
                    return Ok(Stop::Exited(status.and_then(|status| status.code())));
                }
            }
            if stop.load(Ordering::Relaxed) {
                return Err(MachineError::Interrupted);
            }
            let silence_limit = self.patience(options.silence_limit);
            if last.elapsed() >= silence_limit {
                return Ok(if self.is_mute() {
                    Stop::Mute(silence_limit)
                } else {
                    Stop::Silent(silence_limit)
                });
            }
            if self.begun_after.is_none() && told.elapsed() >= STILL_BOOTING {
                told = Instant::now();
                tell(Told::Booting(started.elapsed()));
            }
            if started.elapsed() >= options.time_limit {
                return Ok(Stop::Overdue(options.time_limit));
            }
        }
    }

    /// Nothing at all has come.
    fn is_mute(&self) -> bool {
        self.console.is_empty() && self.begun_after.is_none()
    }

    /// The longest silence from here on, where the caller allows `silence`.
    fn patience(&self, silence: Duration) -> Duration {
        if self.end.is_some() {
            POWER_OFF
        } else if self.is_mute() {
            silence.min(FIRST_WORD)
        } else if self.begun_after.is_none() {
            silence.min(BOOT_SILENCE)
        } else {
            silence
        }
    }

    fn take(&mut self, output: Output, started: Instant, tell: &mut dyn FnMut(Told<'_>)) {
        match output {
            Output::Console(text) => self.keep(&text),
            Output::Line(line) => match Said::decode(&line) {
                Some(Said::Begin) => self.begun_after = Some(started.elapsed()),
                Some(Said::Line(text)) => {
                    self.received.add(&text);
                    tell(Told::Line(&text));
                }
                Some(Said::End(end)) => self.end = Some(end),
                None => self.keep(&format!("{line}\n")),
            },
        }
    }

    fn keep(&mut self, text: &str) {
        if self.console.len() + text.len() > CONSOLE_BYTES {
            let half = self.console.len() / 2;
            let boundary = (half..).find(|at| self.console.is_char_boundary(*at)).unwrap_or(half);
            self.console.drain(..boundary);
        }
        self.console.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::initramfs::tests::read;
    use super::super::modules::ModuleSource;
    use super::*;

    fn options() -> BootOptions {
        BootOptions::new(std::env::current_exe().unwrap(), b"the job".to_vec())
    }

    #[test]
    fn the_guest_gets_its_job_and_the_devices_for_its_first_words() {
        let image = KernelImage {
            origin: String::new(),
            release: None,
            bytes: Vec::new(),
            modules: ModuleSource::default(),
        };
        let files = read(&pack(&image, &options()).unwrap());
        let find = |path: &str| {
            files
                .iter()
                .find(|file| file.path == path)
                .unwrap_or_else(|| panic!("{path} is missing"))
        };
        assert_eq!(find("linger-job").content, b"the job");
        assert_eq!(find("dev/ttyS1").device, (4, 65));
        assert_eq!(find("dev/console").device, (5, 1));
    }

    #[test]
    fn lines_reach_the_caller_and_noise_the_console() {
        let (mut heard, mut lines) = (Heard::default(), Vec::new());
        for line in ["linger-begin", "> one", "noise", "> two", "linger-end 2 6 ok"] {
            heard.take(Output::Line(line.into()), Instant::now(), &mut |told| {
                if let Told::Line(text) = told {
                    lines.push(text.to_owned());
                }
            });
        }
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(heard.received, Count { lines: 2, bytes: 6 });
        assert_eq!(
            heard.end,
            Some(End {
                lines: 2,
                bytes: 6,
                failure: None
            })
        );
        assert_eq!(heard.console, "noise\n");
    }

    #[test]
    fn the_first_word_the_boot_and_the_trial_each_have_their_own_patience() {
        let mut heard = Heard::default();
        let allowed = Duration::from_secs(300);
        assert!(heard.is_mute());
        assert_eq!(heard.patience(allowed), FIRST_WORD);
        assert_eq!(heard.patience(Duration::from_secs(5)), Duration::from_secs(5));
        heard.keep("Linux version 9.1\n");
        assert!(!heard.is_mute());
        assert_eq!(heard.patience(allowed), BOOT_SILENCE);
        heard.take(Output::Line("linger-begin".into()), Instant::now(), &mut |_| {});
        assert_eq!(heard.patience(allowed), allowed);
        heard.take(Output::Line("linger-end 0 0 ok".into()), Instant::now(), &mut |_| {});
        assert_eq!(heard.patience(allowed), POWER_OFF);
    }

    #[test]
    fn a_chattering_console_is_bounded_and_keeps_its_end() {
        let mut heard = Heard::default();
        for number in 0..200_000 {
            heard.keep(&format!("{number} é\n"));
        }
        assert!(heard.console.len() <= CONSOLE_BYTES);
        assert!(heard.console.ends_with("199999 é\n"));
    }
}
