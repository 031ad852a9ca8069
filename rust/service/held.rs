// SPDX-License-Identifier: GPL-2.0

//! The books while their lock is held. The test build also measures how long that is.

#![deny(unsafe_code)]

use super::books::Books;
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
use crate::counters::Counter;
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
use crate::sys;
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::sync::lock::mutex::MutexBackend;
use kernel::sync::lock::Guard;
use kernel::sync::Mutex;
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
use kernel::time::{
    Instant,
    Monotonic, //
};

/// The longest time that the lock was held, in nanoseconds, without an interrupt and without another
/// task on the CPU: what these take has nothing to do with the books.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
pub(crate) static LONGEST_HOLD: Counter = Counter::new();

/// The beginning of a hold.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
struct Begin {
    time: Instant<Monotonic>,
    disturbances: u64,
}

#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
impl Begin {
    fn now() -> Self {
        Self {
            disturbances: sys::disturbances(),
            time: Instant::now(),
        }
    }

    /// Counts the hold that ends now.
    fn end(&self) {
        // CAST: The time is not negative: the clock does not run backwards.
        let held = self.time.elapsed().as_nanos() as u64;
        if sys::disturbances() == self.disturbances {
            LONGEST_HOLD.raise_to(held);
        }
    }
}

/// The locked books. Dropping this unlocks them.
pub(super) struct Held<'a> {
    books: Guard<'a, Books, MutexBackend>,
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    begin: Begin,
}

impl<'a> Held<'a> {
    /// Locks the books. May sleep.
    pub(super) fn lock(books: &'a Mutex<Books>) -> Self {
        Self {
            books: books.lock(),
            #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
            begin: Begin::now(),
        }
    }

    /// Locks the books if nobody else has them. Does not sleep.
    pub(super) fn try_lock(books: &'a Mutex<Books>) -> Option<Self> {
        Some(Self {
            books: books.try_lock()?,
            #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
            begin: Begin::now(),
        })
    }
}

impl Deref for Held<'_> {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Books {
        &mut self.books
    }
}

#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.begin.end();
    }
}
