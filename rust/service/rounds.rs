// SPDX-License-Identifier: GPL-2.0

//! Synchronisations of all CPUs, which several tasks share.
//!
//! A task needs one that begins after what it wrote is visible; whose it is does not matter. So
//! rounds are numbered as they begin. A task waits for the first that begins from now on, and runs
//! that one itself if nobody did while it waited. It never joins one that is under way: that may
//! have interrupted some CPUs before the write (Documentation/correctness.md).

#![deny(unsafe_code)]

use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Full,
    Relaxed, //
};
use kernel::sync::Mutex;

/// The rounds of one service.
#[pin_data]
pub(super) struct Rounds {
    /// The number of the last round that began.
    begun: Atomic<u64>,
    /// The number of the last round that ended. Held during a round.
    #[pin]
    ended: Mutex<u64>,
}

impl Rounds {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            begun: Atomic::new(0),
            ended <- new_mutex!(0),
        })
    }

    /// Returns the number of rounds that have begun.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    /// Returns when a round has ended that began after this call did. Runs `round` for that, unless
    /// another task does. Returns whether it was this one. Sleeps.
    ///
    /// `round` is called with the lock of the rounds held, and takes that of the books.
    #[inline(always)]
    pub(super) fn pass(&self, round: impl FnOnce()) -> bool {
        // A full barrier: if this misses the beginning of a round, that round comes after all that
        // this task wrote.
        let wanted = self.begun.fetch_add(0, Full).wrapping_add(1);
        let mut ended = self.ended.lock();
        if *ended >= wanted {
            return false;
        }
        self.run(&mut ended, round);
        true
    }

    /// Runs a round, whatever others do. Sleeps.
    pub(super) fn run_one(&self, round: impl FnOnce()) {
        let mut ended = self.ended.lock();
        self.run(&mut ended, round);
    }

    #[inline(always)]
    fn run(&self, ended: &mut u64, round: impl FnOnce()) {
        // The other half of the barrier in `pass`: the number is visible before the interrupts.
        let before = self.begun.fetch_add(1, Full);
        round();
        // Rounds run one after the other: the last that began is this one.
        *ended = before.wrapping_add(1);
    }
}
