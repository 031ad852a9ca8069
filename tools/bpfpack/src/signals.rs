// SPDX-License-Identifier: GPL-2.0

//! The signals that end us, for what has to be put in order before.

use anyhow::{Context as _, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// The signals by which a user, a terminal or a service manager ends a program.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Returns the signals that end us: not those that whoever started us, such as `nohup`, has
/// told the kernel to ignore.
pub fn ending() -> Vec<i32> {
    // Without procfs all of them are caught, which loses nothing but what `nohup` wants.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored(&status);
    let ending = ENDING.into_iter();
    ending
        .filter(|signal| ignored & (1 << (signal - 1)) == 0)
        .collect()
}

/// The set of ignored signals in the text of `/proc/PID/status`.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(0)
}

/// Catches the signals that end us: the flag is set when one comes.
///
/// # Errors
///
/// Those of the kernel.
pub fn flag() -> Result<Arc<AtomicBool>> {
    register(ending())
}

/// As [`flag`], for a program that has nothing to put in order but its terminal: that is gone when
/// SIGHUP comes, which ends the program at once. Its reader of keys would not come back from a
/// terminal that is gone (`crossterm::event::poll()` reads its end again and again).
///
/// # Errors
///
/// Those of the kernel.
pub fn flag_on_terminal() -> Result<Arc<AtomicBool>> {
    let signals = ending().into_iter();
    register(signals.filter(|&signal| signal != SIGHUP))
}

fn register(signals: impl IntoIterator<Item = i32>) -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in signals {
        signal_hook::flag::register(signal, flag.clone()).context("signal handlers")?;
    }
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_stays_ignored() {
        let status = "Name:\tx\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n";
        let ignored = ignored(status);
        let is_ignored = |signal: i32| ignored & (1 << (signal - 1)) != 0;
        assert_eq!(
            ENDING.map(is_ignored),
            [true, false, false, false],
            "SIGHUP, and SIGPIPE, which Rust ignores"
        );
        assert_eq!(super::ignored("nonsense"), 0);
    }
}
