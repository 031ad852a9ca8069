// SPDX-License-Identifier: GPL-2.0

//! Counts the words and tree nodes that a search looks at, so that tests can bound complexity
//! without a clock.
//!
//! Nothing is left of it outside unit tests.

/// Notes that a search looked at one word or node.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn visit() {}

#[cfg(test)]
pub(crate) use counting::*;

/// The counter of the tests.
#[cfg(test)]
mod counting {
    use std::cell::Cell;

    std::thread_local! {
        /// Visits of this thread since the last [`reset`]; tests run in threads of their own.
        static VISITS: Cell<u64> = const { Cell::new(0) };
    }

    /// Notes that a search looked at one word or node.
    pub(crate) fn visit() {
        VISITS.with(|visits| visits.set(visits.get() + 1));
    }

    /// Runs `f` and returns what it returned with the visits that it made.
    pub(crate) fn count<R>(f: impl FnOnce() -> R) -> (R, u64) {
        VISITS.with(|visits| visits.set(0));
        let result = f();
        (result, VISITS.with(Cell::get))
    }
}
