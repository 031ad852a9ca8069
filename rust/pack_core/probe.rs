// SPDX-License-Identifier: GPL-2.0

//! Counts the words and tree nodes that a search looks at. So tests can bound the complexity
//! without a clock. Outside of unit tests it does nothing.

/// Counts one word or node that a search looks at.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn visit() {}

#[cfg(test)]
pub(crate) use counting::*;

#[cfg(test)]
mod counting {
    use std::cell::Cell;

    std::thread_local! {
        /// The visits of this thread: each test runs in a thread of its own.
        static VISITS: Cell<u64> = const { Cell::new(0) };
    }

    /// Counts one word or node that a search looks at.
    pub(crate) fn visit() {
        VISITS.with(|visits| visits.set(visits.get() + 1));
    }

    /// Runs `f`. Returns its result and the number of its visits.
    pub(crate) fn count<R>(f: impl FnOnce() -> R) -> (R, u64) {
        VISITS.with(|visits| visits.set(0));
        let result = f();
        (result, VISITS.with(Cell::get))
    }
}
