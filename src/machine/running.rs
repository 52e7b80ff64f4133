//! A running emulator: what comes out of it, read on threads of their own, and its end, whatever ours is.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// What comes out of a running machine.
#[derive(Debug)]
pub(super) enum Output {
    /// A line of the result port.
    Line(String),
    /// A piece of the console.
    Console(String),
}

/// A running emulator: killed and reaped when this is dropped.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    /// Disconnected when both ports are closed.
    pub(super) output: Receiver<Output>,
}

impl Running {
    pub(super) fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let (sender, output) = mpsc::channel();
        if let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) {
            let console = sender.clone();
            thread::spawn(move || read_lines(stdout, &sender));
            thread::spawn(move || read_console(stderr, &console));
        }
        Ok(Self { child, output })
    }

    /// How it ended, or None if it had not by then.
    pub(super) fn wait_until(&mut self, deadline: Instant) -> io::Result<Option<ExitStatus>> {
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What is left on the console, on one line.
    pub(super) fn complaint(&self) -> String {
        let pieces = self.output.iter().map(|output| match output {
            Output::Console(text) | Output::Line(text) => text,
        });
        pieces.collect::<String>().trim().replace('\n', "; ")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines end with a line feed; what is left at the end of file was cut off and is no line.
fn read_lines(port: impl Read, sender: &Sender<Output>) {
    let mut port = BufReader::new(port);
    let mut line = Vec::new();
    while port.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) && line.ends_with(b"\n") {
        let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
        if sender.send(Output::Line(text)).is_err() {
            return;
        }
        line.clear();
    }
}

fn read_console(mut port: impl Read, sender: &Sender<Output>) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = port.read(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..read]).replace('\r', "");
        if sender.send(Output::Console(text)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_cut_off_is_no_line() {
        let (sender, output) = mpsc::channel();
        read_lines(b"one\r\ntwo\nthr".as_slice(), &sender);
        drop(sender);
        let lines: Vec<_> = output.iter().map(|output| format!("{output:?}")).collect();
        assert_eq!(lines, [r#"Line("one")"#, r#"Line("two")"#]);
    }
}
