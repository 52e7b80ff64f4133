//! The other end: this program as the first process of a guest. Mounts what Linux programs expect, loads the modules,
//! runs the job, says how it went, and turns the machine off.
//!
//! Must run on kernels from 3.13 on, with whatever they lack: only the result port is indispensable.
#![forbid(unsafe_code)]

use std::any::Any;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process;

use nix::errno::Errno;
use nix::kmod::init_module;
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{SetArg, cfmakeraw, tcdrain, tcgetattr, tcsetattr};

use super::wire::{self, Count, End, Said};

/// Whether this process is the first of a guest: nothing else is PID 1 and finds a job.
#[must_use]
pub fn is_guest() -> bool {
    process::id() == 1 && at_root(wire::JOB).exists()
}

/// Conducts the job and turns the machine off. `conduct` gets the job and a way to send lines to the host; its error, or
/// its panic, is told to the host in words.
pub fn main(conduct: impl FnOnce(&[u8], &mut dyn FnMut(&str)) -> Result<(), String>) -> ! {
    mount_all();
    match Port::open() {
        Ok(mut port) => {
            load_modules();
            port.say(&Said::Begin);
            let result = job(conduct, &mut port);
            let Count { lines, bytes } = port.count;
            port.say(&Said::End(End {
                lines,
                bytes,
                failure: result.err(),
            }));
            port.drain();
        }
        Err(error) => eprintln!("linger: the result port /{} cannot be used: {error}", wire::RESULT_PORT),
    }
    // With -no-reboot this ends QEMU, on kernels without ACPI's power-off too.
    let refused = reboot(RebootMode::RB_AUTOBOOT);
    panic!("the machine cannot be turned off: {refused:?}");
}

fn job(conduct: impl FnOnce(&[u8], &mut dyn FnMut(&str)) -> Result<(), String>, port: &mut Port) -> Result<(), String> {
    let job = fs::read(at_root(wire::JOB)).map_err(|error| format!("the job cannot be read: {error}"))?;
    let conducted = panic::catch_unwind(AssertUnwindSafe(|| conduct(&job, &mut |line| port.line(line))));
    conducted.unwrap_or_else(|panic| Err(format!("the program panicked: {}", words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

/// A kernel may lack any of these: what a job needs and misses, it will say itself.
fn mount_all() {
    for (kind, place) in [
        ("devtmpfs", "/dev"),
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/tmp"),
    ] {
        if let Err(error) = mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>) {
            eprintln!("linger: {kind} cannot be mounted on {place}: {error}");
        }
    }
}

fn load_modules() {
    let mut files: Vec<_> = fs::read_dir(at_root(wire::MODULES))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    for file in files {
        if let Err(error) = load_module(&file) {
            eprintln!("linger: {} cannot be loaded: {error}", file.display());
        }
        // Its memory is of more use to the guest.
        let _ = fs::remove_file(file);
    }
}

fn load_module(file: &Path) -> io::Result<()> {
    const NO_PARAMETERS: &CStr = c"";
    match init_module(&fs::read(file)?, NO_PARAMETERS) {
        Err(Errno::EEXIST) => Ok(()), // built in after all
        result => Ok(result?),
    }
}

fn at_root(path: &str) -> PathBuf {
    Path::new("/").join(path)
}

/// The second serial port, and what went through it.
struct Port {
    file: File,
    count: Count,
}

impl Port {
    fn open() -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(at_root(wire::RESULT_PORT))?;
        // Raw: bytes pass as they are. A port that is no terminal passes them anyway.
        if let Ok(mut settings) = tcgetattr(&file) {
            cfmakeraw(&mut settings);
            tcsetattr(&file, SetArg::TCSANOW, &settings)?;
        }
        Ok(Self {
            file,
            count: Count::default(),
        })
    }

    fn line(&mut self, text: &str) {
        let said = Said::Line(text.to_owned());
        self.say(&said);
        // As the host will count it: without the mark, line breaks replaced by as many spaces.
        self.count.add(text);
    }

    /// What cannot be sent is missed by the host, which counts.
    fn say(&mut self, said: &Said) {
        if let Err(error) = self.file.write_all(format!("{}\n", said.encode()).as_bytes()) {
            eprintln!("linger: a line cannot be sent to the host: {error}");
        }
    }

    fn drain(&self) {
        let _ = tcdrain(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_no_guest() {
        assert!(!is_guest());
    }

    #[test]
    fn a_panics_words_are_kept() {
        let caught = panic::catch_unwind(|| panic!("{} is out", 42)).unwrap_err();
        assert_eq!(words(&*caught), "42 is out");
        assert_eq!(words(&7), "without words");
    }
}
