//! The way of ptrace(2): the program makes its call itself, and stands still before and after it.
//!
//! PTRACE_SEIZE (Linux 3.4) leaves signals and job control as they are. A seccomp filter answers "trace" to connect() alone,
//! so that no other call stops; from that stop the program runs to the call's end (PTRACE_SYSCALL), and from there freely.
//! Threads and children are seized by the kernel as they come (PTRACE_O_TRACECLONE and its like); exec() needs nothing.
//! All requests come from the one thread that seized, and only its tracees are waited for (__WNOTHREAD): linger's own
//! children are not touched.
#![allow(unsafe_code)] // ptrace(2) and waitpid(2): nix has no word for PTRACE_LISTEN, nor for real-time signals.

use std::collections::HashMap;
use std::io;
use std::time::Instant;

use nix::libc;

use super::tally::Call;
use super::watched::{About, Observer, nanos};
use std::net::SocketAddr;

const OPTIONS: libc::c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACECLONE;

/// Seizes a process and its threads-to-be. Only the calling thread may trace it.
pub(super) fn seize(process: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, process, OPTIONS as usize).map(|_| ())
}

/// Ends the tracing of a process that was seized and did not get a filter.
pub(super) fn release(process: i32) {
    // A process is detached while it stands still. One that has ended needs it no more.
    if request(libc::PTRACE_INTERRUPT, process, 0).is_ok() {
        let mut status = 0;
        // SAFETY: the status outlives the call.
        unsafe { libc::waitpid(process, &raw mut status, libc::__WALL) };
        let _ = request(libc::PTRACE_DETACH, process, 0);
    }
}

fn request(what: libc::c_uint, thread: i32, data: usize) -> io::Result<libc::c_long> {
    // SAFETY: of the requests made here none writes to memory of ours: the data are numbers.
    let result = unsafe { libc::ptrace(what, thread, 0_usize, data) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// What a thread that stands still in a call has in its registers.
struct Registers {
    arguments: [u64; 3],
    /// At the call's end: what it gives, errors below 0.
    result: i64,
}

#[cfg(target_arch = "x86_64")]
fn registers(thread: i32) -> io::Result<Registers> {
    // SAFETY: all zeros are a value of this structure of numbers.
    let mut all: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes this structure, which outlives the call.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGS, thread, 0_usize, &raw mut all) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Registers {
        arguments: [all.rdi, all.rsi, all.rdx],
        result: all.rax.cast_signed(),
    })
}

/// Nothing is traced there: see [`super::filter::SUPPORTED`].
#[cfg(not(target_arch = "x86_64"))]
fn registers(_thread: i32) -> io::Result<Registers> {
    Err(io::ErrorKind::Unsupported.into())
}

/// A call that is under way.
#[derive(Clone, Copy, Debug)]
struct Under {
    descriptor: i32,
    cookie: u64,
    to: SocketAddr,
    call: Call,
    begun: Instant,
}

/// Follows the tracees of the calling thread until there is none left.
pub(super) fn attend(observer: &mut Observer<'_>) {
    let mut calls = HashMap::new();
    loop {
        let mut status = 0;
        // SAFETY: the status outlives the call.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) } {
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            -1 => break,
            thread if libc::WIFSTOPPED(status) => {
                let stopped = Instant::now();
                let (how, signal) = stop(thread, status, &mut calls, observer);
                if let (libc::PTRACE_SYSCALL, Some(under)) = (how, calls.get_mut(&thread)) {
                    under.begun = Instant::now();
                }
                // One that was killed meanwhile is reaped by the next wait.
                let _ = request(how, thread, signal);
                observer.watched.stopped(1, nanos(stopped.elapsed()));
            }
            thread => abandoned(calls.remove(&thread), observer),
        }
    }
    for (_, under) in calls.drain() {
        abandoned(Some(under), observer);
    }
}

/// A thread that ended inside its call.
fn abandoned(under: Option<Under>, observer: &Observer<'_>) {
    if under.is_some_and(|under| under.call == Call::Attempt) {
        observer.watched.tally().unseen();
    }
}

/// How the thread goes on from a stop, and with which signal.
fn stop(
    thread: i32,
    status: i32,
    calls: &mut HashMap<i32, Under>,
    observer: &mut Observer<'_>,
) -> (libc::c_uint, usize) {
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_SECCOMP => match before(thread, observer) {
            Some(under) => {
                calls.insert(thread, under);
                (libc::PTRACE_SYSCALL, 0)
            }
            None => (libc::PTRACE_CONT, 0),
        },
        // A group-stop: the thread stays stopped until SIGCONT, as untraced. Else it is a new thread's first stop.
        libc::PTRACE_EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => (libc::PTRACE_LISTEN, 0),
            _ => (going(thread, calls), 0),
        },
        0 if signal == libc::SIGTRAP | 0x80 => after(thread, calls, observer),
        // The signal goes to the program.
        0 => (going(thread, calls), signal as usize),
        _ => (going(thread, calls), 0),
    }
}

/// A thread that stops before its call's end goes on to there.
fn going(thread: i32, calls: &HashMap<i32, Under>) -> libc::c_uint {
    if calls.contains_key(&thread) {
        libc::PTRACE_SYSCALL
    } else {
        libc::PTRACE_CONT
    }
}

fn before(thread: i32, observer: &mut Observer<'_>) -> Option<Under> {
    let [descriptor, at, length] = registers(thread).ok()?.arguments;
    // The kernel takes an int of the descriptor and of the length.
    let (descriptor, length) = (descriptor as i32, u64::from(length as u32));
    let About { look, to, call, .. } = observer.about(thread, descriptor, at, length)?;
    Some(Under {
        descriptor,
        cookie: look.cookie,
        to,
        call,
        begun: Instant::now(),
    })
}

fn after(thread: i32, calls: &mut HashMap<i32, Under>, observer: &mut Observer<'_>) -> (libc::c_uint, usize) {
    let end = Instant::now();
    let answer = registers(thread).map(|registers| registers.result.wrapping_neg());
    // Before Linux 4.8 the filter was asked first, and the call's beginning stops once more; its result is ENOSYS then.
    if answer.as_ref().is_ok_and(|answer| *answer == i64::from(libc::ENOSYS)) {
        return (libc::PTRACE_SYSCALL, 0);
    }
    if let Some(under) = calls.remove(&thread) {
        match answer.ok().and_then(|answer| i32::try_from(answer).ok()) {
            Some(answer) => answered(thread, under, answer, end, observer),
            None => abandoned(Some(under), observer),
        }
    }
    (libc::PTRACE_CONT, 0)
}

fn answered(thread: i32, under: Under, answer: i32, end: Instant, observer: &mut Observer<'_>) {
    match under.call {
        Call::Repeated => observer.watched.tally().repeated(under.cookie, Some(answer)),
        Call::Fetch => observer.watched.tally().fetched(under.cookie, answer),
        Call::Attempt => {
            let socket = super::tally::goes_on(answer).then(|| observer.processes.descriptor(thread, under.descriptor));
            let socket = socket.and_then(Result::ok);
            observer.attempted(under.cookie, under.to, answer, end - under.begun, socket.as_ref());
        }
    }
}
