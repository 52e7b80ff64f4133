//! Counts the allocations of a test that is the only one of its process: others would be counted with it.
#![allow(dead_code)] // Each test uses its own part.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linger::load::server::{Listeners, Served, ServerControl, ServerWork};
use linger::load::{Choice, Clock, Control, Measured, Work, threads};
use nix::sched::{CloneFlags, unshare};

/// The system's allocator, and how often it was asked.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are the system allocator's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs the test on a thread in a network namespace of its own, with its loopback up.
pub fn in_fresh_namespace(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace: run as root or under unshare --user");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("needs `ip` (iproute2)").success());
        test();
    })
    .join()
    .unwrap();
}

/// What both ends came to, one thread each, and how often they allocated together.
pub struct Counted {
    pub allocations: u64,
    pub measured: Measured,
    /// The engine's name.
    pub engine: &'static str,
    pub served: Served,
}

pub fn counted(engine: Choice, work: &Work, server: &ServerWork) -> Counted {
    let listeners = Listeners::bind(&work.destinations, 4096).unwrap();
    let control = ServerControl::default();
    let means = threads::Means {
        threads: 1,
        engine,
        pin: None,
    };
    let before = ALLOCATIONS.load(Relaxed);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| listeners.serve(server, &control, None).unwrap());
        let ran = threads::run(work, &means, &Clock::start(), &Control::default());
        control.stop();
        let (measured, engine) = ran.unwrap();
        let served = serving.join().unwrap();
        Counted {
            allocations: ALLOCATIONS.load(Relaxed) - before,
            measured,
            engine,
            served,
        }
    })
}
