// SPDX-License-Identifier: GPL-2.0

//! The counters that `status` shows, under the names that it gives them.

#![deny(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A number that only grows. All methods may be called in any context.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    /// Makes a counter of 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    pub(crate) fn inc(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    /// Raises the counter to `n` if it is lower. Callers hold a lock: of two concurrent calls, one
    /// could get lost.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn raise_to(&self, n: u64) {
        if self.get() < n {
            self.0.store(n, Relaxed);
        }
    }

    /// Returns the number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Numbers since `insmod` that change while no lock is held.
#[derive(Default)]
pub(crate) struct Counters {
    /// Writes to an image other than finalize, such as trampolines and headers of failed JITs.
    pub(crate) images_written: Counter,
    /// Changes of a patch site that needed the program's PLT.
    pub(crate) far_attachments: Counter,
    /// Bytes that became free at finalize because the image was shorter than its reservation.
    pub(crate) trimmed_bytes: Counter,
    /// Waits for all CPUs that were served by the synchronisation of another task.
    pub(crate) shared_synchronisations: Counter,
    /// Loads of several images that shared one synchronisation.
    pub(crate) loads: Counter,
    /// Freed images whose memory can be used again.
    pub(crate) images_released: Counter,
    pub(crate) regions_made: Counter,
    pub(crate) regions_freed: Counter,
    /// Calls with a wrong address or size. The log has the first of them.
    pub(crate) bad_calls: Counter,
    /// Copies whose source could not be read.
    pub(crate) copy_errors: Counter,
    /// Requests for an image that were refused.
    pub(crate) refused: Refusals,
}

/// Requests for an image that were refused, by reason.
#[derive(Default)]
pub(crate) struct Refusals {
    /// `drain` was written to the control file.
    pub(crate) draining: Counter,
    /// The module was being removed.
    pub(crate) leaving: Counter,
    /// There was no memory, or no room for another pack.
    pub(crate) no_memory: Counter,
    /// The number of packs was at its limit, and none had room.
    pub(crate) full: Counter,
    /// The size was 0 or too large.
    pub(crate) size: Counter,
    /// The request came from `bpf_dispatcher_change_prog()`, which wants memory filled with zeroes.
    /// arm64 never runs that memory, and the kernel never frees it.
    pub(crate) dispatcher: Counter,
    /// The kernel flushes branch predictors for classic BPF, and only the stock allocator can do
    /// that.
    pub(crate) predictor_flush: Counter,
}
