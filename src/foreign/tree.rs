//! The first process of a program's tree, and what is asked of it.
//!
//! Between fork() and exec() the child divides in two: the program, and its parent, which stays and does nothing but pass
//! signals on, reap, and report. It is process 1 of a PID namespace where one can be had (pid_namespaces(7)): when it
//! ends the kernel kills all that is left, and the parent-death signal ends it with the thread that started it, however
//! linger ends. Without one it is a subreaper (PR_SET_CHILD_SUBREAPER, Linux 3.4) that kills what is left by itself, also
//! when that signal comes. A process that left the tree by starting anew as somebody else's child cannot exist in either.
#![allow(unsafe_code)] // Signals, waiting and descriptors between fork() and exec(): system calls alone, no allocation.

use std::io;
use std::os::fd::RawFd;

use nix::libc;

use super::connects::Hook;
use super::surroundings::{Surroundings, check};

/// Whose signals from the terminal a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Linger's: Ctrl-C and Ctrl-Z reach it, and it may read the terminal.
    Ours,
    /// Its own: no key ends it.
    Own,
}

/// How long the tree lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lives {
    /// What the program leaves behind when it ends is ended at once.
    AsTheProgram,
    /// Until nobody is left: the program may put itself into the background.
    AsItsLast,
}

/// One report of the first process: what, and two numbers.
pub(super) const MESSAGE: usize = 16;

/// What the first process tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// What could not be arranged: bits.
    Trouble(i32),
    /// The program itself ended, with this status of wait(2).
    Ended(i32),
    /// Nobody is left. So many were ended by force beside the program; the whole tree has used so much CPU time.
    Over { forced: u32, cpu_micros: u64 },
}

impl Told {
    fn bytes(self) -> [u8; MESSAGE] {
        let (kind, first, second) = match self {
            Self::Trouble(bits) => (1_u32, bits, 0),
            Self::Ended(status) => (2, status, 0),
            Self::Over { forced, cpu_micros } => (3, forced.cast_signed(), cpu_micros),
        };
        let mut bytes = [0; MESSAGE];
        bytes[..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[4..8].copy_from_slice(&first.to_ne_bytes());
        bytes[8..].copy_from_slice(&second.to_ne_bytes());
        bytes
    }

    /// None where it is no report.
    pub(super) fn read(bytes: [u8; MESSAGE]) -> Option<Self> {
        let number = |at: usize| i32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut last = [0; 8];
        last.copy_from_slice(&bytes[8..]);
        match number(0) {
            1 => Some(Self::Trouble(number(4))),
            2 => Some(Self::Ended(number(4))),
            3 => Some(Self::Over {
                forced: number(4).cast_unsigned(),
                cpu_micros: u64::from_ne_bytes(last),
            }),
            _ => None,
        }
    }
}

/// What is asked of the first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Pass this signal on to the program.
    Pass(i32),
    /// SIGTERM to the whole tree.
    Terminate,
    /// SIGKILL to the whole tree.
    Kill,
}

impl Order {
    fn signal(self) -> i32 {
        match self {
            Self::Pass(signal) => signal,
            Self::Terminate => libc::SIGRTMIN(),
            Self::Kill => libc::SIGRTMIN() + 1,
        }
    }

    /// Gives the order to the first process, which must not have been reaped.
    pub(super) fn give(self, first: i32) {
        // SAFETY: a plain system call. It fails only where the process has ended.
        unsafe { libc::kill(first, self.signal()) };
    }
}

/// How the child divides. Copied into it by fork().
#[derive(Debug)]
pub(super) struct Tree {
    /// Whether the child is process 1 of a PID namespace.
    pub(super) contained: bool,
    /// Both ends of the pipe of reports.
    pub(super) report: RawFd,
    pub(super) reader: RawFd,
    pub(super) lives: Lives,
    pub(super) group: Group,
    pub(super) surroundings: Surroundings,
    /// By which the program lets its connect() calls be observed.
    pub(super) hook: Option<Hook>,
}

impl Tree {
    /// After fork(): returns in the program's process and never in the first.
    ///
    /// # Errors
    /// The machine has no room for one more process.
    pub(super) fn divide(&self) -> io::Result<()> {
        // SAFETY: system calls on structures that live; none of them allocates or takes a lock.
        unsafe {
            block_all_signals();
            // Whoever started linger may ignore it, and then there would be no status to wait for.
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            let parting = if self.contained {
                libc::SIGKILL
            } else {
                Order::Kill.signal()
            };
            check(libc::prctl(libc::PR_SET_PDEATHSIG, parting))?;
            libc::close(self.reader);
            if nobody_reads(self.report) {
                libc::_exit(1); // linger ended before the call
            }
            if !self.contained {
                check(libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1))?;
            }
            self.tell(Told::Trouble(self.surroundings.arrange()));
            match check(libc::fork())? {
                0 => self.become_the_program(),
                program => First { tree: self, program }.attend(),
            }
        }
    }

    unsafe fn become_the_program(&self) -> io::Result<()> {
        // SAFETY: plain system calls.
        unsafe {
            if self.group == Group::Own {
                libc::setpgid(0, 0);
            }
            self.tell(Told::Trouble(self.surroundings.enter()?));
            let mut none = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            check(libc::sigprocmask(
                libc::SIG_SETMASK,
                &raw const none,
                std::ptr::null_mut(),
            ))?;
        }
        match &self.hook {
            Some(hook) => hook.install(),
            None => Ok(()),
        }
    }

    /// So short a write to a pipe is never divided.
    fn tell(&self, what: Told) {
        let bytes = what.bytes();
        // SAFETY: a plain system call on an array that lives.
        unsafe { libc::write(self.report, bytes.as_ptr().cast(), MESSAGE) };
    }
}

/// The first process at work.
struct First<'a> {
    tree: &'a Tree,
    program: i32,
}

impl First<'_> {
    unsafe fn attend(&self) -> ! {
        // SAFETY: plain system calls.
        unsafe {
            // The terminal's signals are for the program, which stays in the group that it was started in.
            libc::setpgid(0, 0);
            close_all_but(self.tree.report);
            let (mut ended, mut killing, mut forced) = (false, false, 0);
            loop {
                let mut status = 0;
                match libc::waitpid(-1, &raw mut status, libc::WNOHANG) {
                    0 => {
                        if killing {
                            self.signal_all(libc::SIGKILL);
                        }
                        match wait_for_a_signal() {
                            libc::SIGCHLD => {}
                            signal if signal == Order::Kill.signal() => {
                                killing = true;
                                self.signal_all(libc::SIGKILL);
                            }
                            signal if signal == Order::Terminate.signal() => self.signal_all(libc::SIGTERM),
                            signal if signal > 0 && !ended => _ = libc::kill(self.program, signal),
                            _ => {}
                        }
                    }
                    process if process == self.program => {
                        ended = true;
                        self.tree.tell(Told::Ended(status));
                        if self.tree.lives == Lives::AsTheProgram {
                            killing = true;
                            self.signal_all(libc::SIGKILL);
                        }
                    }
                    1.. => {
                        forced +=
                            u32::from(killing && libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGKILL)
                    }
                    _ => {
                        self.tree.tell(Told::Over {
                            forced,
                            cpu_micros: cpu_micros(),
                        });
                        libc::_exit(0);
                    }
                }
            }
        }
    }

    /// In a PID namespace, to everybody in it but this process; else to this process's children, which all that is left of
    /// the tree becomes, one generation after the other.
    unsafe fn signal_all(&self, signal: i32) {
        // SAFETY: a plain system call.
        unsafe {
            if self.tree.contained {
                libc::kill(-1, signal);
            } else {
                each_child(|child| _ = libc::kill(child, signal));
            }
        }
    }
}

unsafe fn block_all_signals() {
    // SAFETY: system calls on a set that lives.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

/// A signal that is blocked is never ignored, not even by process 1.
unsafe fn wait_for_a_signal() -> i32 {
    // SAFETY: system calls on a set that lives.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigwaitinfo(&raw const all, std::ptr::null_mut())
    }
}

unsafe fn nobody_reads(pipe: RawFd) -> bool {
    let mut poll = libc::pollfd {
        fd: pipe,
        events: 0,
        revents: 0,
    };
    // SAFETY: a system call on one structure that lives.
    unsafe { libc::poll(&raw mut poll, 1, 0) > 0 && poll.revents & libc::POLLERR != 0 }
}

/// The program's streams, and what linger has open, must not be held by a process that only waits.
unsafe fn close_all_but(kept: RawFd) {
    // SAFETY: plain system calls; nothing of this process is used hereafter but `kept`.
    unsafe {
        let close_range =
            |first: libc::c_uint, last: libc::c_uint| libc::syscall(libc::SYS_close_range, first, last, 0) == 0;
        let kept = kept.cast_unsigned();
        if close_range(kept + 1, libc::c_uint::MAX) {
            close_range(0, kept - 1);
            return;
        }
        // Before Linux 5.9.
        let mut limit: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        for descriptor in 0..i32::try_from(limit.rlim_cur).unwrap_or(i32::MAX) {
            if descriptor.cast_unsigned() != kept {
                libc::close(descriptor);
            }
        }
    }
}

/// By /proc (CONFIG_PROC_CHILDREN), read in pieces.
unsafe fn each_child(mut visit: impl FnMut(i32)) {
    // SAFETY: plain system calls on a constant string and an array that lives.
    unsafe {
        let file = libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if file < 0 {
            return;
        }
        let (mut buffer, mut number) = ([0_u8; 512], 0_i32);
        while let Ok(read @ 1..) = usize::try_from(libc::read(file, buffer.as_mut_ptr().cast(), buffer.len())) {
            for byte in &buffer[..read] {
                if byte.is_ascii_digit() {
                    number = number.wrapping_mul(10).wrapping_add(i32::from(byte - b'0'));
                } else if number > 0 {
                    visit(std::mem::take(&mut number));
                }
            }
        }
        libc::close(file);
    }
}

/// Of all processes that were reaped.
unsafe fn cpu_micros() -> u64 {
    // SAFETY: a system call on a structure that lives.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        let micros = |time: libc::timeval| {
            (time.tv_sec as u64)
                .wrapping_mul(1_000_000)
                .wrapping_add(time.tv_usec as u64)
        };
        micros(usage.ru_utime).wrapping_add(micros(usage.ru_stime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_were_written() {
        let over = Told::Over {
            forced: 3,
            cpu_micros: u64::MAX,
        };
        for told in [Told::Trouble(6), Told::Ended(0x0300), Told::Ended(-1), over] {
            assert_eq!(Told::read(told.bytes()), Some(told));
        }
        assert_eq!(Told::read([9; MESSAGE]), None);
    }
}
