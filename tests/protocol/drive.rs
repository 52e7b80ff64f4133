//! Drives sessions over streams cut into chunks, without sockets, and checks what must hold whatever the bytes are. The
//! property tests and the fuzz targets (fuzz/) share it.

use linger::protocol::{Asked, ClientSession, End, Event, MAX_MESSAGE, ServerSession};

/// What a server's session made of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Where in the stream each message ended that was answered, and what it was.
    pub asked: Vec<(usize, Asked)>,
    pub out: Vec<u8>,
    pub end: Option<End>,
}

/// Feeds the stream in chunks of the sizes given, over and over; an empty list means one chunk.
pub fn serve(session: &mut ServerSession, stream: &[u8], chunks: &[usize]) -> Served {
    let mut served = Served::default();
    let (mut start, mut end) = (0, 0);
    for size in sizes(chunks, stream.len()) {
        end += size;
        loop {
            let step = session.receive(&stream[start..end], &mut served.out);
            assert!(
                step.consumed <= end - start,
                "{} bytes consumed of {}",
                step.consumed,
                end - start
            );
            start += step.consumed;
            served.asked.extend(step.asked.map(|asked| (start, asked)));
            if step.end.is_some() {
                served.end = step.end;
                return served;
            }
            if step.consumed == 0 {
                assert_eq!(step.asked, None, "a request out of nothing");
                break;
            }
        }
        assert!(end - start < MAX_MESSAGE, "{} bytes make no message", end - start);
    }
    served
}

/// What a client's session made of a stream: each event with its place, and what it sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Followed {
    pub events: Vec<(usize, Event)>,
    pub out: Vec<u8>,
    /// How much of the stream was dealt with.
    pub consumed: usize,
}

/// As [`serve`]. With `asks` the client sends a request whenever it is ready.
pub fn follow(session: &mut ClientSession, stream: &[u8], chunks: &[usize], asks: bool) -> Followed {
    let mut followed = Followed::default();
    let (mut start, mut end) = (0, 0);
    for size in sizes(chunks, stream.len()) {
        end += size;
        loop {
            if asks && session.is_ready() {
                session.request(false, &mut followed.out);
            }
            let step = session.receive(&stream[start..end], &mut followed.out);
            assert!(
                step.consumed <= end - start,
                "{} bytes consumed of {}",
                step.consumed,
                end - start
            );
            start += step.consumed;
            followed.consumed = start;
            followed.events.extend(step.event.map(|event| (start, event)));
            if step.consumed == 0 && step.event.is_none() {
                break;
            }
        }
        assert!(end - start < MAX_MESSAGE, "{} bytes make no message", end - start);
    }
    followed
}

fn sizes(chunks: &[usize], total: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    let mut left = total;
    let mut next = chunks.iter().map(|&size| size.max(1)).cycle();
    while left > 0 {
        let size = next.next().unwrap_or(total).min(left);
        sizes.push(size);
        left -= size;
    }
    sizes
}
