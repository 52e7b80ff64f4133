//! Counts the allocations of sessions that are used again and again: there are none.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use linger::protocol::{ClientSession, Kind, ServerSession, Settings};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes on to the system's allocator as it came; the counter neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above, so from `System`, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// One connection: greeting and login, three requests, the quit.
fn connection(client: &mut ClientSession, server: &mut ServerSession, up: &mut Vec<u8>, down: &mut Vec<u8>) -> u32 {
    let mut requests = 0;
    down.clear();
    server.greet(down);
    loop {
        let mut read = 0;
        up.clear();
        loop {
            let step = client.receive(&down[read..], up);
            read += step.consumed;
            if step.consumed == 0 {
                break;
            }
        }
        if client.is_ready() && requests < 3 {
            requests += 1;
            client.request(requests == 3, up);
        } else if client.is_ready() {
            client.quit(up);
        }
        if up.is_empty() {
            return server.requests();
        }
        down.clear();
        let mut read = 0;
        loop {
            let step = server.receive(&up[read..], down);
            read += step.consumed;
            if step.end.is_some() {
                return server.requests();
            }
            if step.consumed == 0 {
                break;
            }
        }
    }
}

#[test]
fn a_session_used_again_allocates_nothing() {
    let settings = Arc::new(Settings {
        request_bytes: 100,
        response_bytes: 1000,
        password: Some("secret".into()),
        ..Settings::default()
    });
    for kind in Kind::ALL {
        let mut server = ServerSession::new(kind, Arc::clone(&settings), 0);
        let mut client = ClientSession::new(kind, Arc::clone(&settings));
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let mut after_the_first = 0;
        for number in 1..100 {
            server.reset(number);
            client.reset();
            assert_eq!(connection(&mut client, &mut server, &mut up, &mut down), 3, "{kind:?}");
            if number == 1 {
                after_the_first = ALLOCATIONS.get();
            }
        }
        assert_eq!(ALLOCATIONS.get(), after_the_first, "{kind:?}");
    }
}
