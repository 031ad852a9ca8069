// SPDX-License-Identifier: GPL-2.0

//! What the module counts while it runs.

#![deny(unsafe_code)]

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// A count that only grows. Any context.
pub(crate) struct Counter(Atomic<u64>);

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

impl Counter {
    /// A count of 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Adds one.
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        self.0.add(n, Relaxed);
    }

    /// Raises it to `n`, where it is lower. Not counted exactly if two do so at once: callers hold a
    /// lock.
    pub(crate) fn raise_to(&self, n: u64) {
        if self.get() < n {
            self.0.store(n, Relaxed);
        }
    }

    /// The count so far.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Everything that is counted since the module was loaded.
#[derive(Default)]
pub(crate) struct Counters {
    /// Images served from our packs.
    pub(crate) images_served: Counter,
    /// Images finalized.
    pub(crate) images_finalized: Counter,
    /// Images freed.
    pub(crate) images_freed: Counter,
    /// Writes into an image other than finalize: trampolines, headers of failed JITs.
    pub(crate) images_written: Counter,
    /// Attachments that needed a program's PLT.
    pub(crate) far_attachments: Counter,
    /// Bytes given back at finalize because the image was shorter than its reservation.
    pub(crate) trimmed_bytes: Counter,
    /// Times that all CPUs were synchronised.
    pub(crate) synchronisations: Counter,
    /// Ranges that became free through one of these.
    pub(crate) images_released: Counter,
    /// Regions mapped.
    pub(crate) regions_made: Counter,
    /// Regions freed.
    pub(crate) regions_freed: Counter,
    /// Calls with an address or a size that is not right; each is in the log too.
    pub(crate) bad_calls: Counter,
    /// Copies that failed because the source could not be read.
    pub(crate) copy_errors: Counter,
    /// Requests that we did not serve, by reason.
    pub(crate) refused: Refusals,
}

/// Why requests went to the stock allocator.
#[derive(Default)]
pub(crate) struct Refusals {
    /// The control said "drain".
    pub(crate) draining: Counter,
    /// The module was being removed.
    pub(crate) leaving: Counter,
    /// No memory, no room for another pack, or too many packs.
    pub(crate) no_memory: Counter,
    /// Too large, or of size 0.
    pub(crate) size: Counter,
    /// The caller wanted zeroes: memory of `bpf_dispatcher_change_prog()`, which arm64 never runs
    /// and the kernel never frees.
    pub(crate) dispatcher: Counter,
    /// The kernel flushes branch predictors for classic BPF, which only the stock allocator does.
    pub(crate) predictor_flush: Counter,
}
