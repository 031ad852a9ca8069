// SPDX-License-Identifier: GPL-2.0

//! Freeing: images become traps at once and free memory after a synchronisation of all CPUs, and
//! packs that stay empty are given back.

#![deny(unsafe_code)]

use super::answers::Outcome;
use super::books::claim::Claim;
use super::books::images::Freeing;
use super::Service;
use crate::plan::MAX_PACKS;
use crate::poke;
use crate::trace;
use kernel::prelude::*;
use kernel::time::{
    msecs_to_jiffies,
    Delta, //
};
use pack_core::{
    Batch,
    PACKS_PER_BATCH, //
};

/// Milliseconds between two rounds of tidying up.
const TIDY_INTERVAL: u32 = 1000;

/// Milliseconds after which another round of ageing may be counted.
const ROUND: i64 = 900;

/// Ranges that become free under one hold of the lock, which every load needs.
const SLICE: u32 = 128;

impl Service {
    /// Frees the image that starts at `address`, finalized or not. May sleep; allocates nothing.
    ///
    /// Its bytes are traps when this returns. An image that is being written becomes traps when that
    /// has ended. An address in a pack that is not the start of an image, or whose image is being
    /// freed already, is reported and changes nothing: `EINVAL`.
    pub(crate) fn free(&self, address: usize) -> Outcome {
        let freeing = self.books().begin_retire(address);
        match freeing {
            None => Outcome::Foreign,
            Some(Ok(Freeing::Now(claim))) => {
                self.retire(claim);
                Outcome::Done
            }
            Some(Ok(Freeing::Later)) => {
                self.report_bad_call("free of an image that is being written", address, EBUSY);
                Outcome::Done
            }
            Some(Err(error)) => {
                self.report_bad_call("free", address, error);
                Outcome::Failed(error)
            }
        }
    }

    /// Fills an image that was taken from its owner with traps, and hands it on for reuse.
    pub(super) fn retire(&self, mut claim: Claim) {
        let address = claim.address();
        let filled = claim
            .writable(self.kernel)
            .and_then(|mut memory| memory.fill_with_traps());
        if let Err(error) = filled {
            // The memory still holds the image: it stays out of use, and this module with it.
            pr_crit!(
                "no traps over {} freed bytes ({:?}): they stay out of use\n",
                claim.image_bytes(),
                error
            );
            return;
        }
        // Before anybody else can have the memory, so that the events are in order.
        trace::retire(address, claim.image_bytes());
        let retired = self.books().retired(&claim);
        self.counters.images_freed.inc();
        self.tidy_later();
        match retired {
            Ok(true) => self.unused.notify_all(),
            Ok(false) => {}
            Err(error) => self.report_bad_call("retire", address, error),
        }
    }

    /// Synchronises all CPUs. Whatever was retired before becomes free by the same event: some of it
    /// at once, the rest in the background, so that a load does not pay for many frees of others.
    pub(super) fn synchronise(&self) {
        let batch = self.books().pool.begin_batch();
        self.synchronise_for(batch);
        if self.release_slice() {
            self.tidy_work.hurry();
        }
    }

    /// Makes free what waits for a synchronisation, as much as one batch takes; true if something
    /// became free.
    pub(super) fn reclaim(&self) -> bool {
        let leftover = self.release_all();
        let batch = self.books().pool.begin_batch();
        let begun = batch.is_some();
        if begun {
            self.synchronise_for(batch);
        }
        self.release_all() || leftover || begun
    }

    /// Makes everything free that was synchronised; true if there was something.
    fn release_all(&self) -> bool {
        let any = self.books().synchronised.is_some();
        while self.release_slice() {}
        any
    }

    /// Synchronises all CPUs and notes that `batch` may be released.
    fn synchronise_for(&self, batch: Option<Batch>) {
        poke::synchronise_cpus();
        self.counters.synchronisations.inc();
        match batch {
            Some(batch) => {
                let tally = batch.tally();
                self.books().synchronised = Some((batch, tally));
            }
            None => trace::synchronise(0, 0),
        }
    }

    /// Makes some of what was synchronised free; true if there is more.
    fn release_slice(&self) -> bool {
        let mut books = self.books();
        let Some((batch, whole)) = books.synchronised.take() else {
            return false;
        };
        let released = books.pool.release(batch, SLICE);
        books.synchronised = released.rest.map(|rest| (rest, whole));
        let more = books.synchronised.is_some();
        drop(books);
        self.counters.images_released.add(released.tally.ranges);
        if !more {
            // CAST: `usize` has 64 bits on arm64.
            trace::synchronise(whole.ranges as usize, whole.bytes() as usize);
        }
        more
    }

    /// Has [`Service::tidy_up`] run in a while.
    pub(super) fn tidy_later(&self) {
        self.tidy_work.queue(msecs_to_jiffies(TIDY_INTERVAL));
    }

    /// Makes what was retired free and gives packs back that have been empty for a while.
    pub(super) fn tidy_up(&self) {
        self.reclaim_all();
        // A little less than the interval: timers are not exact.
        self.books().age(Delta::from_millis(ROUND));
        let rounds = self.config.retain_seconds.saturating_mul(1000) / TIDY_INTERVAL;
        self.free_empty_packs(rounds, self.serving());
        let untidy = self.books().is_untidy(&self.config, self.serving());
        if untidy {
            self.tidy_later();
        }
    }

    /// Makes free what is retired in any pack. What is freed meanwhile may be left.
    fn reclaim_all(&self) {
        let batches = MAX_PACKS / PACKS_PER_BATCH;
        for _ in 0..=batches {
            if !self.reclaim() {
                return;
            }
        }
    }

    /// Frees packs that have been empty for `rounds` rounds, one by one and unlocked; not the last
    /// one with room if `keep_room`.
    fn free_empty_packs(&self, rounds: u32, keep_room: bool) {
        loop {
            let taken = self.books().take_empty(rounds, &self.config, keep_room);
            let Some((_pack, region)) = taken else {
                return;
            };
            self.counters.regions_freed.inc();
            trace::free_region(region.address(), region.len());
        }
    }

    /// Before removal, when nobody can call any more: synchronises all CPUs over what was freed last
    /// and gives every pack back.
    ///
    /// An image that is alive would hold the module; only `rmmod -f` gets here with some. Their
    /// packs then stay where they are for ever: better lost than unmapped under a program.
    pub(crate) fn shut_down(&self) {
        self.reclaim_all();
        self.free_empty_packs(0, false);
        for region in self.books().take_all() {
            pr_crit!(
                "removed by force: {} bytes of packs are lost\n",
                region.len()
            );
            core::mem::forget(region);
        }
    }
}
