//! What connect() gave a program that nobody may change.
//!
//! Failures of connect(2) leave no counter in the kernel: EADDRNOTAVAIL is told to the caller and to nobody else. Two ways
//! to hear of it, behind one type:
//!
//! - [`Way::Notify`], seccomp user notification (Linux 5.6, for pidfd_getfd()): the call stops in the kernel, and linger
//!   makes it in the program's place on a copy of its socket. See `notify`.
//! - [`Way::Trace`], ptrace(2) with a seccomp filter: the program makes the call itself between two stops. See `trace`.
//!   A program that is traced can be traced by nobody else (strace, gdb inside), and it must be the child of another process
//!   than linger (as below the first process of its tree): it is the second choice.
//!
//! Both trap connect(2) of x86_64 programs alone; 32-bit programs and io_uring's connect are not seen. What is no TCP
//! socket, or no address of IPv4 or IPv6, passes untouched and is counted as such.
//!
//! # How to use it
//!
//! ```no_run
//! # use std::os::unix::process::CommandExt;
//! # fn main() -> std::io::Result<()> {
//! use linger::foreign::connects::{Choice, prepare};
//! // On a thread in the program's network namespace: what takes longer is followed by sock_diag there.
//! let (hook, supervisor) = prepare(Choice::Automatic)?;
//! let mut command = std::process::Command::new("curl");
//! // Last of all that is done between fork() and exec(), in the very process that becomes the program.
//! # #[allow(unsafe_code)]
//! unsafe { command.pre_exec(move || hook.install()) };
//! let mut child = command.spawn()?;
//! drop(command); // and the hook with it: a supervisor whose hooks are gone knows that nobody will come
//! let way = supervisor.way(); // None: the program runs unobserved, and the summary's notes say why
//! child.wait()?;
//! let connects = supervisor.finish(); // when the whole tree is over
//! # Ok(()) }
//! ```
//!
//! The program may be in a PID namespace, and below another process: the kernel tells the supervisor its number (SCM_CREDENTIALS).
//! The filter stays with the program and all its children for good. A supervisor that ends before they do would leave
//! them a connect() that fails with ENOSYS: call [`Supervisor::finish`] when the tree is over. If linger is killed, its
//! tree is (see `tree`).
//!
//! # What the program sees
//!
//! The same results as without. `Notify`: a connect() of a blocking socket that is not decided within one tick is left to the
//! program itself, so that signals do what they do; one with a send time-out of its own is left to it from the first.
//! From Linux 5.19 a signal that comes while linger makes the call (a tick at most) waits for its end; before, it interrupts
//! the call as it interrupts connect(). One difference remains: a signal that comes in the microseconds before linger takes
//! the call up ends it before it has begun. The kernel begins it anew where the handler allows that (SA_RESTART); elsewhere
//! the program gets EINTR, and there is no connection under way that it could wait for. A program that is rained on by
//! signals without SA_RESTART should be traced.
//!
//! A copy of a socket never outlives the stop: closing a socket is the program's own. Installing the filter takes
//! CAP_SYS_ADMIN in the program's user namespace; without, the process renounces new privileges (PR_SET_NO_NEW_PRIVS: setuid
//! programs that it starts stay unprivileged), and a note says so.
//!
//! # What it costs
//!
//! A program that does nothing but 20,000 blocking connections over loopback, one after the other, each reset: `cargo bench
//! --bench connects`. On Linux 6.18 with two CPUs that others kept busy (load 15), of 15 rounds in turns: 24.5 µs a
//! connection unobserved, 1.68 times as long with `Notify`, 2.66 times with `Trace` (medians of the ratios within a round;
//! built with `--config profile.dev.package.linger.opt-level=2` instead of for release). No other call is stopped, so that a
//! program that also says something on its connections loses less.
//!
//! # What stays unknown
//!
//! An attempt that answered EINPROGRESS is looked at at once (TCP_INFO), then by sock_diag. When it fails, the errno is the
//! program's to fetch (SO_ERROR clears it), so that it is counted as `failed_later` without one; a program that fetches it by a
//! second connect() tells it. One that is gone from the kernel between two looks (10 ms, then a quarter of its age)
//! is `unknown`: it failed, was closed by the program, or came and went. With `Notify` that holds also for blocking sockets
//! whose connection took longer than a tick; `Trace` sees those calls end.
#![deny(unsafe_code)]

mod diag;
mod filter;
mod follow;
mod hook;
mod notify;
mod process;
mod tally;
mod trace;
mod watched;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use nix::libc;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

pub use self::hook::Hook;
use self::hook::{MARK, Order, Received, Told, give, receive};
use self::notify::{Listener, THREADS};
use self::process::Processes;
use self::watched::{Observer, Watched};
use crate::record::schema::Connects;

/// Which way to observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Notification, or tracing where that is refused.
    Automatic,
    Notify,
    Trace,
    /// Not at all.
    Off,
}

/// The way that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Notify,
    Trace,
}

impl Way {
    /// As in the record: `notify` or `trace`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Notify => "notify",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Makes ready to observe one program. To be called on a thread in the program's network namespace.
///
/// # Errors
/// The machine has no room for a socket pair or for threads.
pub fn prepare(choice: Choice) -> io::Result<(Hook, Supervisor)> {
    let watched = Arc::new(Watched::default());
    let refusal = match choice {
        Choice::Off => Some("what connect() gave was not observed: it was not asked for"),
        _ if !filter::SUPPORTED => Some("what connect() gave was not observed: that is for x86_64 only"),
        _ => None,
    };
    let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
    if let Some(refusal) = refusal {
        watched.note(refusal.to_owned());
        let supervisor = Supervisor {
            watched,
            stop,
            way: None,
            thread: None,
        };
        return Ok((Hook::new(None), supervisor));
    }
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    setsockopt(&ours, sockopt::PassCred, &true)?;
    let (tell_way, way) = channel();
    let work = Work {
        socket: ours,
        choice,
        watched: Arc::clone(&watched),
        stop: Arc::clone(&stop),
        way: tell_way,
    };
    let thread = thread::Builder::new()
        .name("connects".into())
        .spawn(move || work.run())?;
    let supervisor = Supervisor {
        watched,
        stop,
        way: Some(way),
        thread: Some(thread),
    };
    Ok((Hook::new(Some(theirs)), supervisor))
}

/// Observes one program and all that come of it.
#[derive(Debug)]
pub struct Supervisor {
    watched: Arc<Watched>,
    stop: Arc<EventFd>,
    /// None where nothing is observed from the first.
    way: Option<Receiver<Option<Way>>>,
    thread: Option<JoinHandle<Option<Way>>>,
}

impl Supervisor {
    /// Waits until the program is about to begin, and tells the way that was found; None where it runs unobserved.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        self.way.as_ref()?.recv().ok()?
    }

    /// What was observed so far, for a live view.
    #[must_use]
    pub fn so_far(&self) -> Connects {
        self.watched.summary(None)
    }

    /// Ends the observation. With [`Way::Trace`] it waits for the end of the program and of all its children.
    #[must_use]
    pub fn finish(mut self) -> Connects {
        self.tell_to_stop();
        let way = self
            .thread
            .take()
            .and_then(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        self.watched.summary(way.map(Way::name))
    }

    fn tell_to_stop(&self) {
        // The counter of an eventfd takes 2^64 - 2 of these before it refuses one.
        let _ = self.stop.write(1);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.tell_to_stop();
    }
}

/// What was agreed with the program's process.
enum Agreed {
    Notify(Listener),
    Trace,
}

/// The supervising thread's own.
struct Work {
    socket: OwnedFd,
    choice: Choice,
    watched: Arc<Watched>,
    stop: Arc<EventFd>,
    way: Sender<Option<Way>>,
}

impl Work {
    fn run(self) -> Option<Way> {
        let watched = Arc::clone(&self.watched);
        watched.thread(|| {
            let agreed = self.agree();
            give(&self.socket, Order::Go);
            let way = agreed.as_ref().map(|agreed| match agreed {
                Agreed::Notify(_) => Way::Notify,
                Agreed::Trace => Way::Trace,
            });
            // Nobody need ask.
            let _ = self.way.send(way);
            if let Some(agreed) = agreed {
                self.observe(&agreed);
            }
            way
        })
    }

    /// Speaks with the process until a way is found; None where there is none.
    fn agree(&self) -> Option<Agreed> {
        let Some(hello) = receive(&self.socket) else {
            self.watched
                .note("what connect() gave was not observed: the program did not start".to_owned());
            return None;
        };
        let notify = match self.choice {
            Choice::Automatic | Choice::Notify => self.agree_to_notify(&hello),
            Choice::Trace | Choice::Off => None,
        };
        let trace = || match self.choice {
            Choice::Automatic | Choice::Trace => self.agree_to_trace(hello.process),
            Choice::Notify | Choice::Off => None,
        };
        notify.or_else(trace)
    }

    fn agree_to_notify(&self, hello: &Received) -> Option<Agreed> {
        let refused = |why: String| {
            self.watched.note(format!(
                "connect() could not be observed by seccomp notification: {why}"
            ));
            None
        };
        if let Err(error) = may_look(hello) {
            return refused(error.to_string());
        }
        give(&self.socket, Order::Notify);
        match receive(&self.socket) {
            Some(Received {
                told: Told::Installed { no_new_privileges },
                descriptor: Some(listener),
                ..
            }) => {
                self.note_privileges(no_new_privileges);
                Some(Agreed::Notify(Listener::new(listener)))
            }
            Some(Received {
                told: Told::Refused(errno),
                ..
            }) => refused(match errno {
                libc::EBUSY => "the process is under another program's seccomp notification already".to_owned(),
                errno => format!("seccomp: {}", io::Error::from_raw_os_error(errno)),
            }),
            _ => refused("the program ended before it began".to_owned()),
        }
    }

    fn agree_to_trace(&self, process: i32) -> Option<Agreed> {
        let refused = |why: String| {
            self.watched
                .note(format!("connect() could not be observed by ptrace: {why}"));
            None
        };
        // The kernel would let the tracer's wait be that of its process, and nobody else would learn how the program ended.
        if process::parent_of(process).is_ok_and(|parent| parent == std::process::id().cast_signed()) {
            return refused("it is a child of linger's own, whose end would be lost to who waits for it".to_owned());
        }
        if let Err(error) = trace::seize(process) {
            return refused(error.to_string());
        }
        give(&self.socket, Order::Trace);
        match receive(&self.socket).map(|received| received.told) {
            Some(Told::Installed { no_new_privileges }) => {
                self.note_privileges(no_new_privileges);
                Some(Agreed::Trace)
            }
            Some(Told::Refused(errno)) => {
                trace::release(process);
                refused(format!("seccomp: {}", io::Error::from_raw_os_error(errno)))
            }
            _ => refused("the program ended before it began".to_owned()),
        }
    }

    fn note_privileges(&self, no_new_privileges: bool) {
        if no_new_privileges {
            let note = "the program runs without the right to gain privileges (PR_SET_NO_NEW_PRIVS): setuid programs \
                        that it starts have none";
            self.watched.note(note.to_owned());
        }
    }

    fn observe(&self, agreed: &Agreed) {
        let (follow, attempts) = channel();
        thread::scope(|scope| {
            let follower = thread::Builder::new().name("connects-follow".into());
            let work = move || self.watched.thread(|| follow::follow(&attempts, &self.watched));
            if let Err(error) = follower.spawn_scoped(scope, work) {
                self.watched.note(format!(
                    "attempts that take longer cannot be followed: no thread: {error}"
                ));
            }
            let observer = move || Observer {
                watched: &self.watched,
                follow: follow.clone(),
                processes: Processes::default(),
            };
            match agreed {
                Agreed::Trace => trace::attend(&mut observer()),
                Agreed::Notify(listener) => {
                    for _ in 1..THREADS {
                        let (mut observer, stop) = (observer(), &self.stop);
                        let work = move || observer.watched.thread(|| listener.attend(&mut observer, stop));
                        // Those that there are do the work.
                        let _ = thread::Builder::new().name("connects".into()).spawn_scoped(scope, work);
                    }
                    listener.attend(&mut observer(), &self.stop);
                }
            }
            // With the last observer the follower's channel closes.
            drop(observer);
        });
    }
}

/// Whether this process may do to the other what notification takes: copy its descriptors, and read its memory.
fn may_look(hello: &Received) -> io::Result<()> {
    let Told::Hello { descriptor, mark } = hello.told else {
        return Err(io::Error::other("the process told something else first"));
    };
    let copied = Processes::default().descriptor(hello.process, descriptor);
    copied.map_err(|error| io::Error::other(format!("its descriptors cannot be copied (pidfd_getfd: {error})")))?;
    let mut bytes = [0; size_of::<u64>()];
    let remote = RemoteIoVec {
        base: mark as usize,
        len: bytes.len(),
    };
    let read = process_vm_readv(
        Pid::from_raw(hello.process),
        &mut [io::IoSliceMut::new(&mut bytes)],
        &[remote],
    );
    match read {
        Ok(_) if u64::from_ne_bytes(bytes) == MARK => Ok(()),
        Ok(_) => Err(io::Error::other("its memory reads otherwise than it wrote it")),
        Err(errno) => Err(io::Error::other(format!(
            "its memory cannot be read (process_vm_readv: {errno})"
        ))),
    }
}
