//! The submission and completion queues, and the memory that the kernel reads and writes meanwhile. The only file of
//! the load that calls unsafe functions.
//!
//! A step is one request. Steps of one connection that follow each other are submitted as a linked chain: the kernel
//! goes from one to the next without coming back, and cancels the rest where one fails (io_uring_enter(2),
//! IOSQE_IO_LINK). Sockets are direct descriptors: entries of the ring's own file table, by slot.
#![allow(unsafe_code)]

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, Probe, opcode, squeue};
use nix::libc;
use socket2::SockAddr;

/// One request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Socket,
    Connect,
    Send,
    Recv,
    SetLinger,
    Shutdown,
    ShutdownBoth,
    /// Sends what [`Ring::say`] was given.
    Say,
    /// Receives what [`Ring::heard`] gives.
    Hear,
    /// Receives towards the peer's FIN.
    Drain,
    Close,
    /// Closes a connection that has failed already.
    Discard,
    /// Cancels whatever the connection waits for.
    Cancel,
}

const STEPS: [Step; 13] = [
    Step::Socket,
    Step::Connect,
    Step::Send,
    Step::Recv,
    Step::SetLinger,
    Step::Shutdown,
    Step::ShutdownBoth,
    Step::Say,
    Step::Hear,
    Step::Drain,
    Step::Close,
    Step::Discard,
    Step::Cancel,
];

impl Step {
    /// Nothing is to be noted when it succeeds. Where such a step fails, its completion is the last of its chain: the
    /// kernel leaves out those of the steps that it cancels then (io_fail_links in io_uring/io_uring.c).
    fn is_silent(self) -> bool {
        matches!(self, Self::Socket | Self::SetLinger)
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) slot: usize,
    pub(super) step: Step,
    /// No further completion of its chain comes.
    pub(super) last: bool,
    /// As the system call's result: negative is an errno.
    pub(super) result: i32,
}

/// Whose steps a chain is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) slot: usize,
    pub(super) destination: usize,
    /// Bytes that the chain's transfers are to move.
    pub(super) to_send: u32,
    pub(super) to_receive: u32,
}

/// What the requests need of the plan.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) destinations: Vec<SockAddr>,
    pub(super) linger: libc::linger,
    /// The request.
    pub(super) sent: Vec<u8>,
    /// What is received, of which only the number matters.
    pub(super) received: Vec<u8>,
    /// What is said and heard over each slot's connection, [`TALK`] bytes each, where that matters; else none.
    pub(super) talks: Vec<u8>,
}

/// Bytes that are said or heard at once.
pub(super) const PIECE: usize = 4096;
/// Bytes for what is said over one connection, and after them for what is heard.
pub(super) const TALK: usize = 2 * PIECE;

pub(super) struct Ring {
    ring: ManuallyDrop<IoUring>,
    /// Written by the kernel while requests are under way; not looked at but through `talks`.
    memory: ManuallyDrop<Box<Messages>>,
    received: *mut u8,
    talks: *mut u8,
    /// Requests submitted or queued whose chains have not ended.
    chains: usize,
    done: Vec<Done>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring")
            .field("chains", &self.chains)
            .finish_non_exhaustive()
    }
}

const LAST: u64 = 1 << 8;
const SLOT: u32 = 16;
/// Submission entries at the most; more are submitted in several goes.
const ENTRIES: u32 = 4096;

/// Whether this kernel has what the engine needs; says what is missing.
pub(super) fn probe() -> Result<(), String> {
    let ring = set_up(8).map_err(|error| format!("io_uring_setup: {error}"))?;
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| format!("probing io_uring: {error}"))?;
    let needed = [
        ("SOCKET", opcode::Socket::CODE),
        ("CONNECT", opcode::Connect::CODE),
        ("SEND", opcode::Send::CODE),
        ("RECV", opcode::Recv::CODE),
        ("SHUTDOWN", opcode::Shutdown::CODE),
        ("CLOSE", opcode::Close::CODE),
        ("ASYNC_CANCEL", opcode::AsyncCancel2::CODE),
        ("URING_CMD", opcode::SetSockOpt::CODE),
    ];
    if let Some((name, _)) = needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        return Err(format!("io_uring has no {name} on this kernel"));
    }
    if !ring.params().is_feature_skip_cqe_on_success() || !ring.params().is_feature_ext_arg() {
        return Err("io_uring cannot leave out completions, or has no timeout, on this kernel".into());
    }
    // The opcode is older than what it does for sockets (SOCKET_URING_OP_SETSOCKOPT, Linux 6.7): only trying tells.
    sets_socket_options(ring).map_err(|error| format!("io_uring sets no socket option on this kernel: {error}"))?;
    Ok(())
}

/// Sets one option of one socket.
fn sets_socket_options(mut ring: IoUring) -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let entry = opcode::SetSockOpt::new(
        Fd(socket.as_raw_fd()),
        libc::SOL_SOCKET as u32,
        libc::SO_LINGER as u32,
        (&raw const linger).cast(),
        size_of::<libc::linger>() as u32,
    );
    // SAFETY: option and socket outlive the request, which is waited for.
    unsafe { ring.submission().push(&entry.build()) }.map_err(io::Error::other)?;
    ring.submit_and_wait(1)?;
    match ring.completion().next().map(|done| done.result()) {
        Some(errno @ ..0) => Err(io::Error::from_raw_os_error(-errno)),
        _ => Ok(()),
    }
}

fn set_up(entries: u32) -> io::Result<IoUring> {
    IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_cqsize(entries.saturating_mul(4))
        .setup_clamp()
        .build(entries)
}

impl Ring {
    /// A ring of the calling thread with room for `slots` sockets.
    ///
    /// # Errors
    /// A kernel without the features asked for, or too small a limit of open files.
    pub(super) fn new(slots: u32, messages: Messages) -> io::Result<Self> {
        let ring = set_up(slots.saturating_mul(8).clamp(8, ENTRIES).next_power_of_two())?;
        ring.submitter().register_files_sparse(slots)?;
        let mut memory = Box::new(messages);
        let received = memory.received.as_mut_ptr();
        let talks = memory.talks.as_mut_ptr();
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            memory: ManuallyDrop::new(memory),
            received,
            talks,
            chains: 0,
            done: Vec::with_capacity(ENTRIES as usize),
        })
    }

    /// Queues the steps of one connection as a chain.
    ///
    /// # Errors
    /// The kernel takes no more requests.
    pub(super) fn chain(&mut self, socket: &Place, steps: &[Step]) -> io::Result<()> {
        let room = {
            let queue = self.ring.submission();
            queue.capacity() - queue.len()
        };
        if room < steps.len() {
            // A chain must go to the kernel in one piece.
            self.ring.submit()?;
        }
        self.chains += 1;
        for (index, step) in steps.iter().enumerate() {
            let is_last = index + 1 == steps.len();
            let mut flags = squeue::Flags::empty();
            if !is_last {
                flags |= squeue::Flags::IO_LINK;
            }
            if step.is_silent() {
                flags |= squeue::Flags::SKIP_SUCCESS;
            }
            let last = if is_last || step.is_silent() { LAST } else { 0 };
            let data = (socket.slot as u64) << SLOT | last | *step as u64;
            let entry = self.entry(socket, *step).flags(flags).user_data(data);
            // SAFETY: what the entry points to lies in `memory`, which is neither moved nor freed before all chains
            // have ended (see `drop`). There is room for it: see above.
            unsafe { self.ring.submission().push(&entry) }.map_err(io::Error::other)?;
        }
        Ok(())
    }

    fn entry(&self, place: &Place, step: Step) -> squeue::Entry {
        let socket = Fixed(place.slot as u32);
        let address = &self.memory.destinations[place.destination];
        match step {
            Step::Socket => {
                let slot = DestinationSlot::try_from_slot_target(place.slot as u32).ok();
                opcode::Socket::new(i32::from(address.family()), libc::SOCK_STREAM, libc::IPPROTO_TCP)
                    .file_index(slot)
                    .build()
            }
            Step::Connect => opcode::Connect::new(socket, address.as_ptr().cast(), address.len()).build(),
            Step::Send => opcode::Send::new(socket, self.rest_of_request(place.to_send), place.to_send)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                .build(),
            Step::Recv => opcode::Recv::new(socket, self.received, place.to_receive)
                .flags(libc::MSG_WAITALL)
                .build(),
            Step::SetLinger => opcode::SetSockOpt::new(
                socket,
                libc::SOL_SOCKET as u32,
                libc::SO_LINGER as u32,
                (&raw const self.memory.linger).cast(),
                size_of::<libc::linger>() as u32,
            )
            .build(),
            Step::Shutdown => opcode::Shutdown::new(socket, libc::SHUT_WR).build(),
            Step::ShutdownBoth => opcode::Shutdown::new(socket, libc::SHUT_RDWR).build(),
            Step::Say => opcode::Send::new(socket, self.talk(place.slot).0, place.to_send)
                .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
                .build(),
            Step::Hear => opcode::Recv::new(socket, self.talk(place.slot).1, place.to_receive).build(),
            Step::Drain => opcode::Recv::new(socket, self.received, self.memory.received.len() as u32).build(),
            Step::Close | Step::Discard => opcode::Close::new(socket).build(),
            Step::Cancel => opcode::AsyncCancel2::new(CancelBuilder::fd(socket).all()).build(),
        }
    }

    /// Where a slot's words lie: said, and heard.
    fn talk(&self, slot: usize) -> (*mut u8, *mut u8) {
        let at = slot * TALK;
        assert!(
            at + TALK <= self.memory.talks.len(),
            "only slots that talk are asked for"
        );
        // SAFETY: both are inside the allocation, which lives as long as this does; no reference is made.
        unsafe { (self.talks.add(at), self.talks.add(at + PIECE)) }
    }

    /// Keeps what the slot's next [`Step::Say`] is to send, as far as there is room, and returns how many bytes that are.
    /// No step of the slot's may be under way.
    pub(super) fn say(&mut self, slot: usize, words: &[u8]) -> u32 {
        let count = words.len().min(PIECE);
        // SAFETY: `count` bytes fit there and are not the caller's own. The kernel reads them only in steps that are queued
        // after this.
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), self.talk(slot).0, count) };
        count as u32
    }

    /// What the slot's last [`Step::Hear`], which is done, has received.
    pub(super) fn heard(&self, slot: usize, count: usize) -> &[u8] {
        // SAFETY: so many bytes are there, written at the latest when the allocation was made. The kernel writes them only
        // in steps that are queued after this, which takes the ring for itself.
        unsafe { std::slice::from_raw_parts(self.talk(slot).1, count.min(PIECE)) }
    }

    /// The last `left` bytes of the request.
    fn rest_of_request(&self, left: u32) -> *const u8 {
        let sent = &self.memory.sent;
        sent[sent.len().saturating_sub(left as usize)..].as_ptr()
    }

    /// Submits what is queued and runs what is ready; sleeps until something is done or `nanos` have passed. With 0 it
    /// does not sleep. Returns how many completions there are.
    ///
    /// # Errors
    /// io_uring_enter() failed, for another reason than time, a signal or a full completion queue.
    pub(super) fn wait(&mut self, nanos: u64) -> io::Result<usize> {
        let result = if nanos == 0 {
            self.ring.submit()
        } else {
            let time = Timespec::new()
                .sec(nanos / 1_000_000_000)
                .nsec((nanos % 1_000_000_000) as u32);
            self.ring
                .submitter()
                .submit_with_args(1, &SubmitArgs::new().timespec(&time))
        };
        match result.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) | Err((Some(libc::ETIME | libc::EINTR | libc::EBUSY), _)) => {}
            Err((_, error)) => return Err(error),
        }
        self.done.clear();
        let mut ended = 0;
        for entry in self.ring.completion() {
            let data = entry.user_data();
            let step = STEPS[(data & 0xff) as usize];
            // A silent step that is cancelled is told of like the others: more of its chain follows.
            let last = data & LAST > 0 && !(step.is_silent() && entry.result() == -libc::ECANCELED);
            ended += usize::from(last);
            self.done.push(Done {
                slot: (data >> SLOT) as usize,
                step,
                last,
                result: entry.result(),
            });
        }
        self.chains -= ended;
        Ok(self.done.len())
    }

    /// A fetched completion.
    pub(super) fn done(&self, index: usize) -> Done {
        self.done[index]
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: neither is used again. With chains under way the kernel may still write: then the memory is given up.
        unsafe {
            ManuallyDrop::drop(&mut self.ring);
            if self.chains == 0 {
                ManuallyDrop::drop(&mut self.memory);
            }
        }
    }
}
