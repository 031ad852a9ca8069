// SPDX-License-Identifier: GPL-2.0

//! Runs the command, and ends it when we are told to end.

use crate::signals;
use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGCHLD, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::stderr;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus};

/// The signals that end us are caught from [`Interrupts::catch`] on, so that the module's mode can
/// be put back.
pub struct Interrupts {
    signals: Signals,
    seen: Option<i32>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Done(ExitStatus),
    /// We were told to end while it ran, and have told it.
    Interrupted(ExitStatus),
}

impl Interrupts {
    /// Catches the signals.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn catch() -> Result<Self> {
        let caught = signals::ending().into_iter().chain([SIGCHLD]);
        let signals = Signals::new(caught);
        Ok(Self {
            signals: signals.context("signal handlers")?,
            seen: None,
        })
    }

    /// Returns the signal that told us to end, if there was one.
    pub fn pending(&mut self) -> Option<i32> {
        let told = self.signals.pending().find(|signal| *signal != SIGCHLD);
        self.seen = self.seen.or(told);
        self.seen
    }

    /// Runs `command` to its end. Its standard output goes to our standard error, as ours is for
    /// the report. When we are told to end, it is told, too; when we are told again, it is killed.
    ///
    /// # Errors
    ///
    /// If it cannot be executed.
    pub fn run(&mut self, command: &[String]) -> Result<End> {
        let (program, arguments) = command.split_first().context("no command")?;
        let output = stderr().as_fd().try_clone_to_owned()?;
        let child = Command::new(program).args(arguments).stdout(output).spawn();
        let mut child = child.with_context(|| program.clone())?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(match self.seen {
                    None => End::Done(status),
                    Some(_) => End::Interrupted(status),
                });
            }
            // SIGCHLD wakes us when it has ended.
            for signal in self.signals.wait().filter(|signal| *signal != SIGCHLD) {
                match self.seen.replace(signal) {
                    None => terminate(&child),
                    Some(_) => child.kill()?,
                }
            }
        }
    }
}

/// Tells `child` to end.
fn terminate(child: &Child) {
    let Ok(id) = i32::try_from(child.id()) else {
        return;
    };
    // SAFETY: It takes numbers only. The number is still the child's, as nobody has waited for it.
    // If the child has ended, there is nothing to tell.
    unsafe { libc::kill(id, SIGTERM) };
}
