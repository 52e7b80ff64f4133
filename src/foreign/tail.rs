//! The last of what a program printed.
#![forbid(unsafe_code)]

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How much is kept, in bytes.
const KEPT: usize = 8 * 1024;

/// The end of a stream, read by a thread until the last writer is gone: whatever is printed, so much memory is used and
/// the writer never waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    /// Reads `from` to its end.
    pub(super) fn follow(mut from: impl Read + Send + 'static) -> std::io::Result<Self> {
        let tail = Self::default();
        let kept = tail.clone();
        thread::Builder::new().name("tail".into()).spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                kept.push(&buffer[..read]);
            }
        })?;
        Ok(tail)
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }

    /// The last lines, at most so many.
    pub(super) fn lines(&self, most: usize) -> Vec<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let first = lines.len().saturating_sub(most);
        lines[first..].iter().map(|line| line.trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept_and_empty_lines_are_none() {
        let tail = Tail::default();
        for number in 0..10_000 {
            tail.push(format!("line {number}\n\n").as_bytes());
        }
        assert_eq!(tail.lines(2), ["line 9998", "line 9999"]);
        assert!(tail.0.lock().unwrap().len() <= KEPT);
        assert!(Tail::default().lines(3).is_empty());
    }
}
