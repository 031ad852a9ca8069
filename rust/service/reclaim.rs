// SPDX-License-Identifier: GPL-2.0

//! Freeing images, and packs that stay empty.
//!
//! A freed image is filled with traps at once. Its memory becomes free after a synchronisation of
//! all CPUs.

#![deny(unsafe_code)]

use super::answers::Outcome;
use super::books::claim::Claim;
use super::books::images::{
    Freeing,
    Retired, //
};
use super::Service;
use crate::plan::{
    Place,
    MAX_PACKS, //
};
use crate::poke;
use crate::trace;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::time::{
    msecs_to_jiffies,
    Delta, //
};
use pack_core::{
    Batch,
    PACKS_PER_BATCH, //
};

/// The time between two rounds of tidying up, in milliseconds.
const TIDY_INTERVAL: u32 = 1000;

/// The shortest time between two rounds that count for the age of empty packs, in milliseconds. It
/// is a little less than the interval, because timers are not exact.
const ROUND: i64 = 900;

/// The most ranges that become free under one hold of the lock: every load needs that lock.
const SLICE: u32 = 32;

/// The retired memory, in bytes, for which a load makes a batch. A load needs the synchronisation
/// anyway, but the batch costs as much as half a load, however little is in it.
const WORTH: usize = 32 << 10;

/// Says that the memory of a freed image still holds the image: it stays out of use, and this module
/// with it.
#[cold]
#[inline(never)]
fn not_filled(bytes: usize, error: Error) {
    pr_crit!(
        "no traps over {} freed bytes ({:?}): they stay out of use\n",
        bytes,
        error
    );
}

impl Service {
    /// Frees the image that starts at `address`, finalized or not. May sleep; allocates nothing.
    ///
    /// When it returns, the image consists of traps. If another task is writing to the image, that
    /// task fills it with traps later. If no image starts at `address`, or it was freed before, the
    /// call fails with `EINVAL` and changes nothing; the log then has a line about it.
    #[inline(never)]
    pub(crate) fn free(&self, address: usize) -> Outcome {
        let freeing = self.books().begin_retire(address);
        match freeing {
            None => Outcome::Foreign,
            Some(Ok(Freeing::Now(claim))) => {
                self.retire(claim);
                Outcome::Done
            }
            // A load that fails frees the images that it has made. One that another task is writing
            // was freed by mistake.
            Some(Ok(Freeing::Later)) if self.loads.has(address) => Outcome::Done,
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

    /// Fills an image with traps that was freed while this task wrote to it.
    #[cold]
    #[inline(never)]
    pub(super) fn retire_doomed(&self, claim: Claim) {
        self.retire(claim);
    }

    /// Fills a freed image with traps, and notes that in the books.
    #[inline(always)]
    fn retire(&self, mut claim: Claim) {
        let (address, bytes) = (claim.address(), claim.image_bytes());
        let filled = claim
            .writable(self.kernel, 0, bytes)
            .and_then(|mut memory| memory.fill_with_traps());
        if let Err(error) = filled {
            not_filled(bytes, error);
            return;
        }
        // The event comes before the memory can become free, so that events are in order.
        trace::retire(address, bytes);
        // Before a batch can take them.
        self.retired_bytes.add(bytes, Relaxed);
        let retired = self.books().retired(claim);
        match retired {
            Ok(Retired { wake, tidy }) => {
                if tidy {
                    self.queue_tidying();
                }
                if wake {
                    self.unused.notify_all();
                }
            }
            Err(error) => self.report_bad_call("retire", address, error),
        }
    }

    /// Returns when all CPUs were synchronised since the call. Sleeps.
    ///
    /// If it was this task that did it, and enough memory waits for it, images that were retired
    /// before become free: one slice at once, the rest in the background, so that a load does not
    /// pay for many frees.
    #[inline(always)]
    pub(super) fn synchronise(&self) {
        let mut worth = false;
        let own = self.rounds.pass(|| {
            worth = self.retired_bytes.load(Relaxed) >= WORTH;
            if worth {
                self.synchronise_with_batch();
            } else {
                self.synchronise_for(None);
            }
        });
        if !own {
            self.counters.shared_synchronisations.inc();
        } else if worth {
            self.release_some();
        }
    }

    /// As [`Self::synchronise_for`], with what is retired now.
    #[inline(never)]
    fn synchronise_with_batch(&self) {
        self.synchronise_for(self.begin_batch());
    }

    /// Releases a slice of the batch that was synchronised. The background releases the rest.
    #[inline(never)]
    fn release_some(&self) {
        if self.release_slice() {
            self.tidy_work.hurry();
        }
    }

    /// Makes a batch of the retired images, of a few packs under each hold of the lock.
    fn begin_batch(&self) -> Option<Batch> {
        let mut open = self.books().pool.begin_batch()?;
        while open.has_room() {
            self.books().pool.extend_batch(&mut open);
        }
        let batch = open.close();
        // CAST: The bytes of a batch are all below the size of memory.
        let bytes = batch.tally().bytes() as usize;
        self.retired_bytes.fetch_sub(bytes, Relaxed);
        Some(batch)
    }

    /// Frees the memory of one batch of retired images. Returns whether any memory became free.
    pub(super) fn reclaim(&self) -> bool {
        let leftover = self.release_all();
        let batch = self.begin_batch();
        let begun = batch.is_some();
        if begun {
            self.rounds.run_one(|| self.synchronise_for(batch));
        }
        self.release_all() || leftover || begun
    }

    /// Releases all of the batch that was synchronised. Returns whether there was one.
    fn release_all(&self) -> bool {
        let any = self.books().synchronised.is_some();
        while self.release_slice() {}
        any
    }

    /// Synchronises all CPUs and notes that `batch` may be released. Only for [`Rounds`].
    ///
    /// [`Rounds`]: super::rounds::Rounds
    #[inline(always)]
    fn synchronise_for(&self, batch: Option<Batch>) {
        poke::synchronise_cpus();
        match batch {
            Some(batch) => {
                let tally = batch.tally();
                self.books().synchronised = Some((batch, tally));
            }
            None => trace::synchronise(0, 0),
        }
    }

    /// Releases a slice of the batch that was synchronised. Returns whether a part of it is left.
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

    /// Queues [`Service::tidy_up`] to run after the interval.
    pub(super) fn tidy_later(&self) {
        self.books().tidying = true;
        self.queue_tidying();
    }

    /// The same, for a caller who has noted that in the books.
    fn queue_tidying(&self) {
        self.tidy_work.queue(msecs_to_jiffies(TIDY_INTERVAL));
    }

    /// Frees the memory of retired images, and packs that have been empty for long enough. Queues
    /// itself again if something is left to do. Runs in the background.
    pub(crate) fn tidy_up(&self) {
        // First: what is retired from now on queues the work again.
        self.books().tidying = false;
        // While many images are freed, every batch would find some that were freed during the one
        // before: these wait for the next round.
        self.reclaim_until(self.counts().freed);
        self.books().age(Delta::from_millis(ROUND));
        let rounds = self.config.retain_seconds.saturating_mul(1000) / TIDY_INTERVAL;
        self.free_empty_packs(rounds, self.serving());
        let untidy = self.books().is_untidy(&self.config, self.serving());
        if untidy {
            self.tidy_later();
        }
    }

    /// Frees the memory of retired images until that of `images` was freed since `insmod`, or none
    /// is retired.
    fn reclaim_until(&self, images: u64) {
        let batches = MAX_PACKS / PACKS_PER_BATCH;
        for _ in 0..=batches {
            if self.counters.images_released.get() >= images || !self.reclaim() {
                return;
            }
        }
    }

    /// Frees packs that have been empty for `rounds` rounds, one by one, with no lock held. If
    /// `keep_room`, it keeps one pack with room.
    fn free_empty_packs(&self, rounds: u32, keep_room: bool) {
        loop {
            let taken = self.books().take_empty(rounds, &self.config, keep_room);
            let Some((_pack, region)) = taken else {
                return;
            };
            self.counters.regions_freed.inc();
            trace::free_region(region.address(), region.len());
            let near = region.place() == Place::Near;
            // Until it is freed, nobody finds room where it is.
            drop(region);
            if near {
                self.books().note_near_room();
            }
        }
    }

    /// Frees all packs, when nobody can call the service any more.
    ///
    /// All images are freed then, because an image holds the module. After `rmmod -f` some may be
    /// left: their packs are never freed, because unmapping them would crash the programs.
    pub(crate) fn shut_down(&self) {
        self.reclaim_until(u64::MAX);
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
