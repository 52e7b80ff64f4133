//! Short-lived connections with as few system calls as can be and no books kept: what an engine is held against.

#![allow(dead_code, reason = "each bench uses its part")]

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, connect, recv, send, setsockopt, socket, sockopt,
};
use nix::time::{ClockId, clock_gettime};

use super::common::Exchange;

const RESET: nix::libc::linger = nix::libc::linger {
    l_onoff: 1,
    l_linger: 0,
};

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("the thread's clock");
    time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9
}

fn open(flags: SockFlag) -> OwnedFd {
    socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("socket()")
}

fn reset(fd: OwnedFd) {
    setsockopt(&fd, sockopt::Linger, &RESET).expect("setsockopt(SO_LINGER)");
}

/// One connection after the other, by non-blocking sockets whose connect() is called again to learn that the handshake is
/// over, and RST: what the question costs. Returns CPU seconds.
pub fn asking_twice(to: SocketAddr, connections: u64) -> f64 {
    let (address, before) = (SockaddrStorage::from(to), cpu_seconds());
    for _ in 0..connections {
        let fd = open(SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC);
        if connect(fd.as_raw_fd(), &address) == Err(Errno::EINPROGRESS) {
            connect(fd.as_raw_fd(), &address).expect("the handshake over loopback ends within connect()");
        }
        reset(fd);
    }
    cpu_seconds() - before
}

/// One connection after the other. Returns CPU seconds.
pub fn blocking(exchange: Exchange, to: SocketAddr, connections: u64) -> f64 {
    let (address, before) = (SockaddrStorage::from(to), cpu_seconds());
    let mut byte = [0u8];
    for _ in 0..connections {
        let fd = open(SockFlag::SOCK_CLOEXEC);
        connect(fd.as_raw_fd(), &address).expect("connect()");
        if exchange != Exchange::Reset {
            send(fd.as_raw_fd(), &byte, MsgFlags::MSG_NOSIGNAL).expect("send()");
            recv(fd.as_raw_fd(), &mut byte, MsgFlags::empty()).expect("recv()");
        }
        match exchange {
            Exchange::ServerCloses => assert_eq!(recv(fd.as_raw_fd(), &mut byte, MsgFlags::empty()), Ok(0)),
            _ => reset(fd),
        }
    }
    cpu_seconds() - before
}

/// `in_flight` connections around epoll: reap, close, connect all, send all. On loopback the handshake is over when
/// connect() returns, so that a send needs no wait. Each sends the request, if the exchange has one. Returns CPU seconds.
pub fn epoll(exchange: Exchange, to: SocketAddr, connections: u64, in_flight: usize, request: &[u8]) -> f64 {
    let (address, before) = (SockaddrStorage::from(to), cpu_seconds());
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll_create1()");
    let interest = match exchange {
        Exchange::Reset => EpollFlags::EPOLLOUT,
        _ => EpollFlags::EPOLLIN,
    };
    let mut slots: Vec<Option<OwnedFd>> = (0..in_flight).map(|_| None).collect();
    let mut free: Vec<usize> = (0..in_flight).collect();
    let mut begun = Vec::with_capacity(in_flight);
    let mut events = vec![EpollEvent::empty(); in_flight];
    let (mut left, mut done, mut bytes) = (connections, 0, [0u8; 4096]);
    while done < connections {
        while left > 0
            && let Some(index) = free.pop()
        {
            left -= 1;
            let fd = open(SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC);
            match connect(fd.as_raw_fd(), &address) {
                Ok(()) | Err(Errno::EINPROGRESS) => {}
                Err(errno) => panic!("connect(): {errno}"),
            }
            slots[index] = Some(fd);
            begun.push(index);
        }
        for index in begun.drain(..) {
            let fd = slots[index].as_ref().expect("begun");
            if exchange != Exchange::Reset {
                send(fd.as_raw_fd(), request, MsgFlags::MSG_NOSIGNAL).expect("send()");
            }
            let event = EpollEvent::new(interest | EpollFlags::EPOLLET, index as u64);
            epoll.add(fd, event).expect("epoll_ctl()");
        }
        let count = epoll.wait(&mut events, EpollTimeout::NONE).expect("epoll_wait()");
        for event in &events[..count] {
            let index = event.data() as usize;
            let Some(fd) = slots[index].take() else { continue };
            let over = match exchange {
                Exchange::Reset => true,
                Exchange::Echo => recv(fd.as_raw_fd(), &mut bytes, MsgFlags::empty()) == Ok(1),
                // The byte and the FIN mostly come together.
                Exchange::ServerCloses => loop {
                    match recv(fd.as_raw_fd(), &mut bytes, MsgFlags::empty()) {
                        Ok(0) => break true,
                        Ok(_) => {}
                        Err(_) => break false,
                    }
                },
            };
            if !over {
                slots[index] = Some(fd);
                continue;
            }
            if exchange != Exchange::ServerCloses {
                reset(fd);
            }
            free.push(index);
            done += 1;
        }
    }
    cpu_seconds() - before
}
