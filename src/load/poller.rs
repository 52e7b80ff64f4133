//! Waiting for sockets and for a moment in time: epoll(7) with a timerfd.
//!
//! The timerfd gives nanoseconds where epoll_wait() has milliseconds, on every kernel since 2.6.25; an hrtimer behind it
//! knows no timer slack. It is armed only for moments nearer than [`LONGEST_SLEEP`].
//!
//! Edge-triggered: a socket whose event nobody wants now (a held connection that the peer has reset) stays quiet, and
//! each step tries until EAGAIN anyway.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::EngineError;

/// The stop flag is looked at this often at least, in milliseconds.
const LONGEST_SLEEP: u8 = 20;
/// Events fetched by one call at the most.
const EVENTS: usize = 1024;
/// The timer's token; sockets have smaller ones.
const TIMER: u64 = u64::MAX;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    Input,
    Output,
}

impl Interest {
    fn event(self, token: u64) -> EpollEvent {
        let flags = match self {
            Self::Input => EpollFlags::EPOLLIN,
            Self::Output => EpollFlags::EPOLLOUT,
        };
        EpollEvent::new(flags | EpollFlags::EPOLLET, token)
    }
}

#[derive(Debug)]
pub(super) struct Poller {
    epoll: Epoll,
    timer: TimerFd,
    /// The moment for which the timer is armed.
    armed: Option<u64>,
    events: Vec<EpollEvent>,
}

impl Poller {
    pub(super) fn new() -> Result<Self, EngineError> {
        let failed = |call| move |errno| EngineError::EventLoop { call, errno };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed("epoll_create1"))?;
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).map_err(failed("timerfd_create"))?;
        epoll
            .add(timer.as_fd(), Interest::Input.event(TIMER))
            .map_err(failed("epoll_ctl"))?;
        Ok(Self {
            epoll,
            timer,
            armed: None,
            events: vec![EpollEvent::empty(); EVENTS],
        })
    }

    /// Tells `token` when the socket is ready. Closing the socket ends it.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, interest: Interest, token: u64) -> Result<(), Errno> {
        self.epoll.add(socket, interest.event(token))
    }

    /// Changes what an added socket waits for. An event is due at once where the socket is ready already.
    pub(super) fn modify(&self, socket: BorrowedFd<'_>, interest: Interest, token: u64) -> Result<(), Errno> {
        self.epoll.modify(socket, &mut interest.event(token))
    }

    /// Fetches what is ready; sleeps until something is, or until `until`, or for [`LONGEST_SLEEP`]. Times are the
    /// caller's nanoseconds; with `until` not after `now` it does not sleep. Returns how many events there are.
    pub(super) fn wait(&mut self, now: u64, until: Option<u64>) -> Result<usize, EngineError> {
        let left = until.map_or(u64::MAX, |until| until.saturating_sub(now));
        let sleep = if left == 0 { 0 } else { LONGEST_SLEEP };
        if (1..u64::from(LONGEST_SLEEP) * 1_000_000).contains(&left) && self.armed != until {
            let expiration = Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(left)));
            self.timer
                .set(expiration, TimerSetTimeFlags::empty())
                .map_err(|errno| EngineError::EventLoop {
                    call: "timerfd_settime",
                    errno,
                })?;
            self.armed = until;
        }
        match self.epoll.wait(&mut self.events, sleep) {
            Ok(count) => Ok(count),
            Err(Errno::EINTR) => Ok(0),
            Err(errno) => Err(EngineError::EventLoop {
                call: "epoll_wait",
                errno,
            }),
        }
    }

    /// The token of a fetched event; None for the timer, which the caller's own look at the clock answers.
    pub(super) fn token(&self, event: usize) -> Option<u64> {
        Some(self.events[event].data()).filter(|token| *token != TIMER)
    }
}
