// SPDX-License-Identifier: GPL-2.0

//! Batches: retired ranges that become free by the same synchronisation of all CPUs.

use core::ops::DerefMut;

use super::Pool;
use super::Slot;
use crate::error::Error;
use crate::pack::Pack;
use crate::recent::Hole;
use crate::recent::Recent;
use crate::state::RangeState;
use crate::stats::Tally;

/// The most packs in a batch.
pub const PACKS_PER_BATCH: usize = 32;

/// No call here looks at another pack when it has looked at as many groups of words: a pack of 2 MiB
/// has that many. It bounds what is done under the caller's lock.
const WORDS_PER_CALL: u32 = 512;

/// Ranges of up to [`PACKS_PER_BATCH`] packs that were retired before the batch was closed. They
/// become free after a synchronisation of all CPUs.
///
/// If a batch is dropped, its ranges stay out of use for ever, and the pool makes no other batch:
/// that wastes memory but is safe.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "synchronise all CPUs, then release the batch"]
pub struct Batch {
    /// The number of this batch in its pool.
    pub(super) serial: u64,
    pub(super) tally: Tally,
}

/// A batch that the pool is still gathering. Nobody has begun to synchronise the CPUs for it.
///
/// If it is dropped, that is as with [`Batch`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "close the batch, synchronise all CPUs, then release it"]
pub struct OpenBatch {
    pub(super) batch: Batch,
    /// How many more packs it can take; 0 if no more was retired.
    pub(super) room: usize,
}

impl OpenBatch {
    /// Tells whether [`Pool::extend_batch`] may find more for it.
    #[inline]
    pub fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Ends the gathering. From now on the caller may synchronise the CPUs.
    #[inline]
    pub fn close(self) -> Batch {
        self.batch
    }
}

impl Batch {
    /// Returns how many ranges and chunks of the batch are not released yet.
    #[inline]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// What [`Pool::release`] did.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the rest of the batch has to be released, too"]
pub struct Released {
    /// The ranges and chunks that became free.
    pub tally: Tally,
    /// The rest of the batch, if there is any.
    pub rest: Option<Batch>,
}

impl<S, L> Pool<S, L>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    /// Makes a batch of the retired ranges of one or more packs: Retired → Syncing.
    ///
    /// The caller then calls [`Pool::extend_batch`] while the batch has room, closes it, synchronises
    /// all CPUs with no lock held, and releases the batch. Returns [`None`] if no range is retired, or if
    /// another batch is under way. The packs that have waited longest come first. O(words between
    /// the first and the last retired range of each of these packs: together less than two packs of
    /// 2 MiB have).
    pub fn begin_batch(&mut self) -> Option<OpenBatch> {
        if self.under_way.is_some() || self.first_retired.is_none() {
            return None;
        }
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        self.under_way = Some(serial);
        let mut batch = OpenBatch {
            batch: Batch {
                serial,
                tally: Tally::default(),
            },
            room: PACKS_PER_BATCH,
        };
        self.gather(&mut batch);
        Some(batch)
    }

    /// Adds the retired ranges of more packs to a batch: Retired → Syncing.
    ///
    /// The caller drops its lock between two calls, so that other tasks wait for one call at most. A
    /// batch takes up to [`PACKS_PER_BATCH`] packs; the others wait for the next one. One of
    /// another number than that under way takes no more. The cost is that of [`Pool::begin_batch`].
    pub fn extend_batch(&mut self, open: &mut OpenBatch) {
        if self.under_way == Some(open.batch.serial) {
            self.gather(open);
        } else {
            open.room = 0;
        }
    }

    /// Adds the retired ranges of some packs to the batch that is under way.
    fn gather(&mut self, open: &mut OpenBatch) {
        let mut words = 0u32;
        while open.room > 0 && words < WORDS_PER_CALL {
            let Some(slot) = self.pop_retired() else {
                break;
            };
            // INVARIANT: A pack in which more was retired since this batch began is on the list
            // already.
            if !self.is_syncing(slot) {
                self.push_syncing(slot);
            }
            let begun = self.on_slot(slot, |pack, _| {
                words = words.saturating_add(pack.spans().0.len());
                pack.begin_sync()
            });
            open.batch.tally = open.batch.tally.plus(begun);
            open.room = open.room.saturating_sub(1);
        }
        if self.first_retired.is_none() {
            open.room = 0;
        }
    }

    /// Frees up to `at_most` ranges of a batch, but at least one, after all CPUs were synchronised:
    /// Syncing → Free. Frees fewer if they are far from each other.
    ///
    /// The caller drops its lock between two calls, so that other tasks wait for one slice at most.
    /// The batch is under way until all of it is released. One of another number has no effect and
    /// no rest. Pools number theirs alike: the caller does not mix those of two pools.
    ///
    /// O(words from the first range of the slice to the end of its last in each of its packs; these
    /// are bounded as in [`Pool::begin_batch`]).
    pub fn release(&mut self, batch: Batch, at_most: u32) -> Released {
        let mut tally = Tally::default();
        if self.under_way != Some(batch.serial) {
            return Released { tally, rest: None };
        }
        let mut left = at_most.max(1);
        let mut words = 0u32;
        while left > 0 && words < WORDS_PER_CALL {
            let Some(slot) = self.pop_syncing() else {
                break;
            };
            let released = self.on_slot(slot, |pack, recent| {
                let rank = pack.rank();
                let before = pack.spans().1.len();
                let released = pack.release(left, |start, count| {
                    recent.note(rank, Hole { slot, start, count });
                });
                let after = pack.spans().1.len();
                words = words.saturating_add(before.saturating_sub(after));
                released
            });
            tally = tally.plus(released);
            left = left.saturating_sub(u32::try_from(released.ranges).unwrap_or(u32::MAX));
            // INVARIANT: A pack that still has syncing ranges goes back to the list. The slice ends
            // here, so that this happens to one pack at most.
            if self.is_syncing(slot) {
                self.push_syncing(slot);
                break;
            }
        }
        // INVARIANT: The batch is under way exactly while some pack has syncing ranges.
        let rest = self.first_syncing.map(|_| Batch {
            serial: batch.serial,
            tally: batch.tally.minus(tally),
        });
        self.under_way = rest.as_ref().map(|rest| rest.serial);
        Released { tally, rest }
    }

    /// Tells whether the pack in a slot has syncing ranges.
    fn is_syncing(&self, slot: u32) -> bool {
        let pack = self.id_of_slot(slot).and_then(|id| self.pack(id));
        pack.is_some_and(|pack| pack.tally(RangeState::Syncing).ranges != 0)
    }

    /// Applies `f` to the pack in a slot, if there is one.
    fn on_slot(
        &mut self,
        slot: u32,
        f: impl FnOnce(&mut Pack<S>, &mut Recent<S>) -> Tally,
    ) -> Tally {
        let id = self.id_of_slot(slot).ok_or(Error::Stale);
        id.and_then(|id| self.change_noting(id, |pack, recent| Ok(f(pack, recent))))
            .unwrap_or_default()
    }

    /// Takes the first slot from the list of packs with retired ranges. The caller changes the
    /// state of these ranges.
    fn pop_retired(&mut self) -> Option<u32> {
        let first = self.first_retired?;
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(first as usize);
        self.first_retired = slot.and_then(|slot| slot.next_retired.take());
        if self.first_retired.is_none() {
            self.last_retired = None;
        }
        Some(first)
    }

    /// Puts a slot at the head of the list of packs with syncing ranges.
    fn push_syncing(&mut self, index: u32) {
        // CAST: `usize` has at least 32 bits.
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.next_syncing = self.first_syncing.replace(index);
        }
    }

    /// Takes the first slot from the list of packs with syncing ranges. The caller changes the
    /// state of these ranges.
    fn pop_syncing(&mut self) -> Option<u32> {
        let first = self.first_syncing?;
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(first as usize);
        self.first_syncing = slot.and_then(|slot| slot.next_syncing.take());
        Some(first)
    }
}
