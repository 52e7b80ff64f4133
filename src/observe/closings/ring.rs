//! A packet socket with a ring of frames that the kernel shares with us (packet(7), TPACKET_V2, Linux 2.6.27).
//!
//! The only file of this room that calls the kernel unsafely: setsockopt() and bind() with structures that nix and socket2
//! have no names for, and reading the ring. The ring does not count as the socket's receive buffer, so that without
//! privilege over the whole machine (`net.core.rmem_max`) it can be as large as with it. CAP_NET_RAW over the network
//! namespace is enough.
#![allow(unsafe_code)]

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::filter::KEPT;

/// A frame holds its header (80 bytes with the sender's address), the packet's first bytes, and room to align.
const FRAME: usize = 256;
/// So many segments can wait to be read: 16 MiB.
const FRAMES: usize = 1 << 16;
const BLOCK: usize = 1 << 16;
const LENGTH: usize = FRAME * FRAMES;

/// A captured packet's beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Nanoseconds of CLOCK_REALTIME, when the kernel handed it to the taps.
    pub(super) at: u64,
    /// The packet's length before it was cut.
    pub(super) whole: u32,
    bytes: [u8; KEPT as usize],
    kept: usize,
}

impl Frame {
    pub(super) fn packet(&self) -> &[u8] {
        &self.bytes[..self.kept]
    }
}

#[derive(Debug)]
pub(super) struct Ring {
    socket: OwnedFd,
    memory: NonNull<libc::c_void>,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone, and nothing of it is bound to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Opens the socket in the calling thread's network namespace. What `program` lets pass is captured from here on.
    pub(super) fn open(program: &[socket2::SockFilter]) -> io::Result<Self> {
        // Protocol 0 captures nothing until bind(): filter and ring are there first.
        // SAFETY: socket() takes no pointers.
        let raw = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: socket() has just given us this descriptor, and nobody else has it.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        socket2::SockRef::from(&socket).attach_filter(program)?;
        set(
            socket.as_fd(),
            libc::PACKET_VERSION,
            &(libc::tpacket_versions::TPACKET_V2 as libc::c_int),
        )?;
        let request = libc::tpacket_req {
            tp_block_size: BLOCK as u32,
            tp_block_nr: (LENGTH / BLOCK) as u32,
            tp_frame_size: FRAME as u32,
            tp_frame_nr: FRAMES as u32,
        };
        set(socket.as_fd(), libc::PACKET_RX_RING, &request)?;
        let length = const { NonZeroUsize::new(LENGTH).unwrap() };
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing that Rust knows of.
        let memory = unsafe { mmap(None, length, protection, MapFlags::MAP_SHARED, &socket, 0) }?;
        let ring = Self {
            socket,
            memory,
            next: 0,
        };
        ring.bind()?;
        Ok(ring)
    }

    /// Every protocol, since a tap sees outgoing packets only so; on every link.
    fn bind(&self) -> io::Result<()> {
        let address = libc::sockaddr_ll {
            sll_family: libc::AF_PACKET as u16,
            sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
            sll_ifindex: 0,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 0,
            sll_addr: [0; 8],
        };
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the address outlives the call, the length is its size, and bind() only reads it.
        check(unsafe { libc::bind(self.socket.as_raw_fd(), (&raw const address).cast(), length) }).map(|_| ())
    }

    /// The next frame, if there is one; it is then the kernel's again.
    pub(super) fn next(&mut self) -> Option<Frame> {
        // SAFETY: `next` is less than FRAMES, and the mapping is FRAME × FRAMES long. The kernel lays frames of FRAME bytes
        // end to end, since they divide a block without remainder.
        let frame = unsafe { self.memory.cast::<u8>().add(self.next * FRAME) };
        // SAFETY: the frame begins with its status, aligned to 16 bytes, which kernel and we change in turns: only
        // atomically, and only by this value, which alone holds the mapping.
        let status = unsafe { AtomicU32::from_ptr(frame.as_ptr().cast()) };
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the frame is ours until its status says otherwise, and begins with this structure, of plain numbers.
        let header = unsafe { frame.cast::<libc::tpacket2_hdr>().read() };
        let (from, kept) = (usize::from(header.tp_net), header.tp_snaplen.min(KEPT) as usize);
        let mut bytes = [0; KEPT as usize];
        let kept = if from + kept <= FRAME { kept } else { 0 };
        // SAFETY: `from + kept` is inside the frame, `kept` is at most `bytes` long, and they do not overlap.
        unsafe {
            frame
                .add(from)
                .copy_to_nonoverlapping(NonNull::from(&mut bytes).cast(), kept)
        };
        status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % FRAMES;
        Some(Frame {
            at: u64::from(header.tp_sec) * 1_000_000_000 + u64::from(header.tp_nsec),
            whole: header.tp_len,
            bytes,
            kept,
        })
    }

    /// Packets that passed the filter and found the ring full, since the last time that this was asked.
    pub(super) fn dropped(&self) -> io::Result<u64> {
        let mut statistics = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut length = size_of_val(&statistics) as libc::socklen_t;
        // SAFETY: the kernel writes at most `length` bytes, the structure's size, and both outlive the call.
        check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut length,
            )
        })?;
        Ok(statistics.tp_drops.into())
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: mapped in `open` with this length, and nothing that was read from it refers to it.
        let _ = unsafe { munmap(self.memory, LENGTH) };
    }
}

fn set<T>(socket: BorrowedFd<'_>, option: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` outlives the call, the length is its size, and setsockopt() only reads it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            (&raw const *value).cast(),
            length,
        )
    };
    check(result).map(|_| ())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
