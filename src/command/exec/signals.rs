//! Signals that come for linger are for the program: they are passed on, and whether one came is kept.
//!
//! What the terminal sends (Ctrl-C, Ctrl-\, a lost line) goes to the whole group that it controls, which the program is in:
//! it has it already. The kernel tells these apart from kill(2) by si_code.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::raw::WithRawSiginfo;

/// `si_code` of what the kernel sends by itself.
const SI_KERNEL: i32 = 0x80;

#[derive(Debug)]
pub(super) struct Signals {
    came: Receiver<i32>,
    /// Whether somebody wants an end.
    stop: Arc<AtomicBool>,
}

impl Signals {
    /// Takes the signals over, on a thread of its own.
    pub(super) fn install() -> Result<Self> {
        let wanted = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
        let mut signals = SignalsInfo::<WithRawSiginfo>::new(wanted).context("taking over signals")?;
        let (pass, came) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for signal in signals.forever() {
                    if ![SIGUSR1, SIGUSR2].contains(&signal.si_signo) {
                        stopped.store(true, Ordering::Relaxed);
                    }
                    if signal.si_code != SI_KERNEL && pass.send(signal.si_signo).is_err() {
                        return;
                    }
                }
            })
            .context("starting the thread that takes signals")?;
        Ok(Self { came, stop })
    }

    /// Those to be passed on, since this was last asked.
    pub(super) fn pending(&self) -> Vec<i32> {
        self.came.try_iter().collect()
    }

    pub(super) fn flag(&self) -> &AtomicBool {
        &self.stop
    }

    pub(super) fn raised(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
