//! The way of seccomp user notification: the call is made in the program's place, on a copy of its socket.
//!
//! seccomp_unotify(2), Linux 5.0. Threads take turns at the listener, so that one call does not hold up another. None takes
//! longer than a few milliseconds: a non-blocking socket's connect() answers at once; a blocking one's is made with a send
//! time-out (SO_SNDTIMEO, which connect() obeys) of [`PATIENCE`], put back before the program goes on. What is not
//! decided by then the program waits for itself: its own call is let through (SECCOMP_USER_NOTIF_FLAG_CONTINUE), finds the
//! socket connecting, and waits as it would have, signals included.
#![allow(unsafe_code)] // The listener's requests: ioctl(2) with structures that nix has no names for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use socket2::SockRef;

use super::hook::SYNC_WAKE_UP;
use super::tally::{Call, goes_on};
use super::watched::{About, Observer, nanos};

/// How long a blocking connect() is waited for in the program's place. The kernel rounds it up to a tick (1 to 10 ms).
const PATIENCE: Duration = Duration::from_millis(1);
/// For the record.
const TIMED: &str = "what connect() gave on blocking sockets with a send time-out (SO_SNDTIMEO) is unknown: only tracing \
                     could tell without changing it";
/// Threads that take turns.
pub(super) const THREADS: usize = 4;

/// What the program's call gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The call is let through.
    Continue,
    /// 0 or an errno.
    Is(i32),
}

/// Zeros behind the structures are for kernels whose own are longer.
#[repr(C)]
struct Padded<T> {
    known: T,
    more: [u64; 32],
}

fn padded<T>(known: T) -> Padded<T> {
    Padded { known, more: [0; 32] }
}

/// The listener, shared by the threads.
#[derive(Debug)]
pub(super) struct Listener {
    descriptor: OwnedFd,
    turn: Mutex<()>,
}

/// A caller that waits for its answer, and gets it when this is dropped, whatever happens before.
struct Waiting<'a> {
    listener: &'a Listener,
    id: u64,
    answer: Answer,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.listener.send(self.id, self.answer);
    }
}

impl Listener {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        // From Linux 6.6 the program's thread is woken where we run, as in a call of a function. Elsewhere it is slower.
        // SAFETY: this request takes its flags by value.
        unsafe {
            libc::ioctl(
                descriptor.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
                SYNC_WAKE_UP,
            )
        };
        Self {
            descriptor,
            turn: Mutex::new(()),
        }
    }

    /// One thread's work: answers until nobody is left who could call (Linux 5.9 tells), or the word to stop.
    pub(super) fn attend(&self, observer: &mut Observer<'_>, stop: &EventFd) {
        loop {
            let received = {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                if !self.wait(stop) {
                    return;
                }
                self.receive()
            };
            if let Some(call) = received {
                let begun = Instant::now();
                let mut waiting = Waiting {
                    listener: self,
                    id: call.id,
                    answer: Answer::Continue,
                };
                let took;
                (waiting.answer, took) = self.answer(&call, observer);
                drop(waiting);
                let stood = begun.elapsed().saturating_sub(took);
                observer.watched.stopped(1, nanos(stood));
            }
        }
    }

    /// False: no call will come any more.
    fn wait(&self, stop: &EventFd) -> bool {
        loop {
            let mut both = [
                PollFd::new(self.descriptor.as_fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut both, PollTimeout::NONE);
            let [listener, stop] = both.map(|ready| ready.revents().unwrap_or(PollFlags::empty()));
            if listener.contains(PollFlags::POLLIN) {
                return true;
            }
            if !listener.is_empty() || !stop.is_empty() {
                return false;
            }
        }
    }

    /// None where the caller was interrupted or killed meanwhile.
    fn receive(&self) -> Option<libc::seccomp_notif> {
        // SAFETY: all zeros are a value of this structure of numbers, and what the kernel asks for.
        let mut call: Padded<libc::seccomp_notif> = padded(unsafe { std::mem::zeroed() });
        // SAFETY: the kernel writes its structure, which begins as ours and is shorter than ours with what follows.
        let result = unsafe {
            libc::ioctl(
                self.descriptor.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV,
                &raw mut call,
            )
        };
        (result == 0).then_some(call.known)
    }

    /// Whether the caller still waits: what was read of it before was then its own.
    fn waits(&self, id: u64) -> bool {
        // SAFETY: the kernel reads the number, which outlives the call.
        let result = unsafe {
            libc::ioctl(
                self.descriptor.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
                &raw const id,
            )
        };
        result == 0
    }

    fn send(&self, id: u64, answer: Answer) {
        let (error, flags) = match answer {
            Answer::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
            Answer::Is(errno) => (-errno, 0),
        };
        let mut response = padded(libc::seccomp_notif_resp {
            id,
            val: 0,
            error,
            flags,
        });
        // SAFETY: the kernel reads its structure, which begins as ours and is shorter than ours with what follows. Where the
        // caller is gone it fails, and nobody misses the answer.
        let result = unsafe {
            libc::ioctl(
                self.descriptor.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_SEND,
                &raw mut response,
            )
        };
        // Linux 5.0 to 5.4 cannot let a call through, and would leave the program waiting: such a kernel has no
        // pidfd_getfd() either, which is tried before this way is taken.
        debug_assert!(result == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::ENOENT));
    }

    /// What to answer, and how long the call itself took.
    fn answer(&self, call: &libc::seccomp_notif, observer: &mut Observer<'_>) -> (Answer, Duration) {
        let [descriptor, at, length, ..] = call.data.args;
        let let_through = (Answer::Continue, Duration::ZERO);
        // The kernel takes an int of both.
        let (descriptor, length) = (descriptor as i32, u64::from(length as u32));
        let Some(about) = observer.about(call.pid.cast_signed(), descriptor, at, length) else {
            return let_through;
        };
        if !self.waits(call.id) {
            return let_through;
        }
        match about.call {
            Call::Repeated => {
                observer.watched.tally().repeated(about.look.cookie, None);
                let_through
            }
            Call::Fetch => {
                let begun = Instant::now();
                let answer = about.address.connect(about.socket.as_fd());
                observer.watched.tally().fetched(about.look.cookie, answer);
                (Answer::Is(answer), begun.elapsed())
            }
            Call::Attempt => self.attempt(&about, observer),
        }
    }

    fn attempt(&self, about: &About, observer: &Observer<'_>) -> (Answer, Duration) {
        let Some(patience) = Patience::with(about) else {
            observer.watched.tally().unseen();
            observer.watched.note(TIMED.to_owned());
            return (Answer::Continue, Duration::ZERO);
        };
        let (answer, took) = connect(about, patience);
        observer.attempted(about.look.cookie, about.to, answer, took, Some(&about.socket));
        let waits_itself = goes_on(answer) && patience == Patience::Ours;
        let answer = if waits_itself {
            Answer::Continue
        } else {
            Answer::Is(answer)
        };
        (answer, took)
    }
}

/// How long the call may take that is made in the program's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The socket does not block, or no longer than ours.
    Sockets,
    /// The program waits for the rest itself.
    Ours,
}

impl Patience {
    /// None where the program must make the call itself: when its own time-out ends it, a call that found the socket
    /// connecting gives EALREADY, and one that did not EINPROGRESS.
    fn with(about: &About) -> Option<Self> {
        if about.look.nonblocking {
            return Some(Self::Sockets);
        }
        match SockRef::from(&about.socket).write_timeout() {
            Ok(None) => Some(Self::Ours),
            Ok(Some(own)) if own <= PATIENCE => Some(Self::Sockets),
            _ => None,
        }
    }
}

/// Makes the call in the program's place.
fn connect(about: &About, patience: Patience) -> (i32, Duration) {
    let socket = SockRef::from(&about.socket);
    let limited = patience == Patience::Ours && socket.set_write_timeout(Some(PATIENCE)).is_ok();
    let begun = Instant::now();
    let answer = about.address.connect(about.socket.as_fd());
    let took = begun.elapsed();
    if limited {
        // What could be set can be put back.
        let _ = socket.set_write_timeout(None);
    }
    (answer, took)
}
