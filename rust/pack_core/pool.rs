// SPDX-License-Identifier: GPL-2.0

//! The set of packs: which pack serves a reservation, and how retired ranges become free again.

use core::ops::DerefMut;

use crate::counting::numbered;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::PackId;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::pack::Pack;
use crate::pack::Taken;
use crate::pack::WriteEnd;
use crate::state::RangeState;
use crate::stats::PackStats;
use crate::stats::PoolStats;
use crate::stats::Tally;
use crate::tournament::Tournament;
use crate::Error;

/// The most packs in a pool.
pub const MAX_SLOTS: usize = 1 << 16;

/// The most packs in a batch: what [`Pool::begin_batch`] does under the caller's lock is bounded.
///
/// 32 normal packs are 64 MiB of images, and 16,384 words to look at.
pub const PACKS_PER_BATCH: usize = 32;

/// A place for one pack, lent by the caller.
pub struct Slot<S> {
    /// The pack, if there is one.
    pack: Option<Pack<S>>,
    /// Which of the slot's packs this one is, or the next one will be.
    generation: u32,
    /// The next slot on the list of packs with retired ranges.
    next_retired: Option<u32>,
    /// The next slot on the list of packs with syncing ranges.
    next_syncing: Option<u32>,
}

impl<S> Slot<S> {
    /// Makes a place without a pack.
    pub const fn vacant() -> Self {
        Self {
            pack: None,
            generation: 0,
            next_retired: None,
            next_syncing: None,
        }
    }
}

/// What [`Pool::reserve`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a range that is not retired stays reserved for ever"]
pub struct Reserved {
    /// The pack.
    pub pack: PackId,
    /// The place in the pack.
    pub range: ChunkRange,
}

/// A pack that could not be added, with the reason.
pub struct AddError<S> {
    /// The reason.
    pub error: Error,
    /// The pack, to use elsewhere or to drop where that is allowed.
    pub pack: Pack<S>,
}

impl<S> core::fmt::Debug for AddError<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AddError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// All ranges of up to [`PACKS_PER_BATCH`] packs that were retired when it was made: they become
/// free after one synchronisation of all CPUs.
///
/// A batch that is dropped leaves its ranges out of use for ever, and no other batch can be made:
/// wasteful, not unsafe.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "synchronise all CPUs, then release the batch"]
pub struct Batch {
    /// Which of the pool's batches it is.
    serial: u64,
    /// What it covers still.
    tally: Tally,
}

impl Batch {
    /// Returns what the batch covers still: all that it began with, less what was released.
    #[inline]
    pub fn tally(&self) -> Tally {
        self.tally
    }
}

/// What [`Pool::release`] made free.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "what is left of the batch has to be released, too"]
pub struct Released {
    /// How much that was.
    pub tally: Tally,
    /// The batch, while something of it is left.
    pub rest: Option<Batch>,
}

/// A set of packs. `S` is what a pack's words are lent in, `L` the list of slots.
///
/// # Invariants
///
/// - There are at most [`MAX_SLOTS`] slots.
/// - `holes` has each pack's largest hole at its slot in the tree of its rank, and 0 everywhere
///   else.
/// - `packs` is the number of slots with a pack.
/// - A pack is on the list of `first_retired` if and only if it has retired ranges, and on that of
///   `first_syncing` if and only if it has syncing ranges; on each at most once. `last_retired` is
///   the end of the first list.
/// - There are syncing ranges if and only if a batch is under way.
pub struct Pool<S, L> {
    /// The places for packs.
    slots: L,
    /// The index across packs.
    holes: Tournament<S>,
    /// How many packs there are.
    packs: usize,
    /// The first slot on the list of packs with retired ranges: it has waited longest.
    first_retired: Option<u32>,
    /// The last slot on that list.
    last_retired: Option<u32>,
    /// The first slot on the list of packs with syncing ranges.
    first_syncing: Option<u32>,
    /// The batch under way.
    under_way: Option<u64>,
    /// The next batch.
    next_serial: u64,
}

/// What a pool keeps about its packs.
pub(crate) struct Internals<'a, S> {
    /// The slots.
    slots: &'a [Slot<S>],
    /// The index across packs.
    pub(crate) holes: &'a Tournament<S>,
    /// The first slot on the list of packs with retired ranges.
    first_retired: Option<u32>,
    /// The last slot on that list.
    pub(crate) last_retired: Option<u32>,
    /// The first slot on the list of packs with syncing ranges.
    first_syncing: Option<u32>,
}

impl<S> Internals<'_, S> {
    /// Visits the slots on the list of packs with retired ranges; for ever if the list is a ring.
    pub(crate) fn retired(&self) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.first_retired, |slot| {
            self.slots.get(*slot as usize)?.next_retired
        })
    }

    /// Visits the slots on the list of packs with syncing ranges; for ever if the list is a ring.
    pub(crate) fn syncing(&self) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.first_syncing, |slot| {
            self.slots.get(*slot as usize)?.next_syncing
        })
    }
}

impl<S, L> Pool<S, L>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    /// Returns how many words of index a pool with `slots` slots needs: 6,144 (48 KiB) for 1,024
    /// slots.
    pub const fn index_words(slots: usize) -> usize {
        Tournament::<S>::words_needed(slots)
    }

    /// Makes an empty pool for as many packs as there are `slots`. O(slots).
    ///
    /// The content of both lent storages does not matter; packs in the slots are dropped.
    ///
    /// # Errors
    ///
    /// [`Error::BadStorage`] if `index` has fewer words than [`Pool::index_words`], or there is no
    /// slot or more than [`MAX_SLOTS`].
    pub fn new(mut slots: L, index: S) -> Result<Self, Error> {
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return Err(Error::BadStorage);
        }
        let holes = Tournament::new(index, slots.len()).ok_or(Error::BadStorage)?;
        for slot in slots.iter_mut() {
            *slot = Slot::vacant();
        }
        // INVARIANT: there is no pack, and all holes are zero.
        Ok(Self {
            slots,
            holes,
            packs: 0,
            first_retired: None,
            last_retired: None,
            first_syncing: None,
            under_way: None,
            next_serial: 0,
        })
    }

    /// Returns the number of slots.
    #[inline]
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Returns the number of packs. O(1).
    #[inline]
    pub fn len(&self) -> usize {
        self.packs
    }

    /// Tells whether there is no pack. O(1).
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.packs == 0
    }

    /// Returns the longest free run in packs of the ranks `among`, 0 if there is none. O(ranks).
    pub fn largest_hole(&self, among: RankSet) -> ChunkCount {
        let largest = among.iter().map(|rank| self.holes.largest(rank)).max();
        ChunkCount::new(largest.unwrap_or(0))
    }

    /// Puts a pack into the first vacant slot. O(slots).
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is none; the pack comes back.
    // There is nothing to box the pack in: it has to come back by value.
    #[allow(clippy::result_large_err)]
    pub fn add(&mut self, pack: Pack<S>) -> Result<PackId, AddError<S>> {
        let vacant = numbered(self.slots.iter_mut()).find(|(_, slot)| slot.pack.is_none());
        let Some((index, slot)) = vacant else {
            return Err(AddError {
                error: Error::Full,
                pack,
            });
        };
        // INVARIANT: the index knows the pack's hole, and the pack is counted. It has no range: only
        // a pool makes any, and gives a pack out only without.
        self.holes
            .update(index, pack.rank(), pack.largest_hole().get());
        self.packs = self.packs.saturating_add(1);
        slot.pack = Some(pack);
        Ok(PackId::new(index, slot.generation))
    }

    /// Takes an empty pack out of the pool, if more than `keep` of those that `filter` accepts are
    /// empty. O(slots).
    ///
    /// Of several, the one of the worst rank in the highest slot goes. Its name is no longer valid.
    /// Drop the pack, and what it stands for, with no lock held.
    pub fn take_empty(
        &mut self,
        keep: usize,
        mut filter: impl FnMut(PackId, &PackStats) -> bool,
    ) -> Option<(PackId, Pack<S>)> {
        let mut accepted = 0usize;
        let mut worst: Option<(Rank, u32)> = None;
        for (id, pack) in self.occupied() {
            if pack.is_empty() && filter(id, &pack.stats()) {
                accepted = accepted.saturating_add(1);
                worst = worst.max(Some((pack.rank(), id.slot())));
            }
        }
        let (_, index) = worst.filter(|_| accepted > keep)?;
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(index as usize)?;
        let pack = slot.pack.take()?;
        let id = PackId::new(index, slot.generation);
        // INVARIANT: the index forgets the pack, it is no longer counted, and it is on no list
        // because it has no range.
        slot.generation = slot.generation.wrapping_add(1);
        self.holes.update(index, pack.rank(), 0);
        self.packs = self.packs.saturating_sub(1);
        Some((id, pack))
    }

    /// Notes that one more round of the caller's clock has passed: see [`PackStats::empty_for`].
    /// O(slots).
    pub fn age(&mut self) {
        for pack in self.slots.iter_mut().filter_map(|slot| slot.pack.as_mut()) {
            pack.age();
        }
    }

    /// Takes chunks for `size` bytes, in the first pack of the best rank that has room, of the ranks
    /// `among`: Free → Reserved.
    ///
    /// The range starts at a multiple of `align` chunks, which is 1 except where placement is being
    /// studied. O(ranks + log slots + size/64 + log of the pack) for an alignment of 1; else that
    /// for each hole that is long enough and not aligned.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for a size of 0, [`Error::TooLarge`] for more than any pack can hold,
    /// [`Error::BadAlign`] if `align` is not a power of two, and [`Error::NeedPack`] if no pack of
    /// these ranks has room: then make one with no lock held, and, with the lock, ask once more
    /// before you add it, because in between another caller may have added one.
    pub fn reserve(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
    ) -> Result<Reserved, Error> {
        let count = ChunkCount::holding(size)?;
        if !align.get().is_power_of_two() {
            return Err(Error::BadAlign);
        }
        for rank in among.iter() {
            let mut from = 0;
            while let Some(slot) = self.holes.first_at_least(rank, from, count.get()) {
                if let Some(id) = self.id_of_slot(slot) {
                    if let Ok(range) = self.change(id, |pack| pack.reserve(count, align)) {
                        return Ok(Reserved { pack: id, range });
                    }
                }
                // The hole is long enough, but not where the alignment wants it.
                from = slot.saturating_add(1);
            }
        }
        Err(Error::NeedPack(count))
    }

    /// Gives back what follows the first `keep` chunks of a reserved range. O(range/64 + log
    /// packs).
    ///
    /// The tail must be traps still: it is free at once.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for `keep` 0, [`Error::TooLarge`] for more than there is, [`Error::Stale`],
    /// [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    pub fn trim(
        &mut self,
        id: PackId,
        range: ChunkRange,
        keep: ChunkCount,
    ) -> Result<ChunkRange, Error> {
        self.change(id, |pack| pack.trim(range, keep))
    }

    /// Makes the caller the one that writes to a range: Reserved or Live → Writing. Returns which it
    /// was. O(range/64).
    ///
    /// Until [`Pool::finalize`] or [`Pool::abort_write`] nobody else can begin to write there, and
    /// nobody can hand the chunks out again: so the copy itself needs no lock.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`]; [`Error::WrongState`] for a range that is being
    /// written or was freed already: of two callers that write to the same range, one gets this;
    /// [`Error::WrongRange`].
    pub fn begin_write(&mut self, id: PackId, range: ChunkRange) -> Result<RangeState, Error> {
        self.change(id, |pack| pack.begin_write(range))
    }

    /// Notes that a range holds an image that every CPU can see: Writing → Live, or Doomed →
    /// Retiring if it was freed meanwhile. O(range/64).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    pub fn finalize(&mut self, id: PackId, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.change(id, |pack| pack.finalize(range))
    }

    /// Notes that a copy failed and that the range holds traps again: Writing → Reserved, or Doomed →
    /// Retiring if it was freed meanwhile. O(range/64).
    ///
    /// Only for a range that [`Pool::begin_write`] found reserved. One that was live is finalized
    /// instead, whatever was copied: programs may run there, and the tail of a reserved range can
    /// be trimmed, which makes it free at once.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    pub fn abort_write(&mut self, id: PackId, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.change(id, |pack| pack.abort_write(range))
    }

    /// Takes the range that starts at `chunk` from its owner, to fill it with traps: Live or Reserved →
    /// Retiring, or Writing → Doomed. O(range/64).
    ///
    /// The caller fills a range that is retiring with traps. One that is being written is left to the writer:
    /// else the rest of the copy would go to whoever gets the memory next.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`]; [`Error::WrongState`] for a range that was freed
    /// already: of two callers that free the same range, one gets this.
    pub fn begin_retire(&mut self, id: PackId, chunk: ChunkIdx) -> Result<Taken, Error> {
        self.change(id, |pack| pack.begin_retire(chunk))
    }

    /// Notes that the traps in a range are visible to every CPU's fetch: Retiring → Retired.
    /// O(range/64).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    pub fn retired(&mut self, id: PackId, range: ChunkRange) -> Result<(), Error> {
        self.change(id, |pack| pack.retired(range))
    }

    /// Gathers the retired ranges of up to [`PACKS_PER_BATCH`] packs into a batch: Retired →
    /// Syncing.
    ///
    /// The caller then has every CPU synchronise, with no lock held, and releases the batch.
    /// [`None`] if nothing is retired, or if a batch is under way: its release leads to the next
    /// one. Packs take turns: those that have waited longest come first, and the others wait for the
    /// next batch. O(packs of the batch · their words between the first and the last retired range).
    pub fn begin_batch(&mut self) -> Option<Batch> {
        if self.under_way.is_some() || self.first_retired.is_none() {
            return None;
        }
        let mut tally = Tally::default();
        for _ in 0..PACKS_PER_BATCH {
            let Some(slot) = self.pop_retired() else {
                break;
            };
            tally = tally.plus(self.on_slot(slot, Pack::begin_sync));
            self.push_syncing(slot);
        }
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        self.under_way = Some(serial);
        Some(Batch { serial, tally })
    }

    /// Makes up to `at_most` ranges of a batch free, but at least one, after every CPU was
    /// synchronised: Syncing → Free.
    ///
    /// Drop the lock before you release what is left: so nobody waits longer than one slice takes.
    /// Until nothing is left the batch is under way. A batch of another pool has no effect and no
    /// rest.
    ///
    /// O(packs of the slice · their words between the first and the last range of it, and those of
    /// the last one).
    pub fn release(&mut self, batch: Batch, at_most: u32) -> Released {
        let mut tally = Tally::default();
        if self.under_way != Some(batch.serial) {
            return Released { tally, rest: None };
        }
        let mut left = at_most.max(1);
        while left > 0 {
            let Some(slot) = self.pop_syncing() else {
                break;
            };
            let released = self.on_slot(slot, |pack| pack.release(left));
            tally = tally.plus(released);
            left = left.saturating_sub(u32::try_from(released.ranges).unwrap_or(u32::MAX));
            // INVARIANT: a pack with something left goes back to the list; that is the end of the
            // slice.
            if left == 0 && self.is_syncing(slot) {
                self.push_syncing(slot);
            }
        }
        // INVARIANT: the batch is under way as long as something of it is left.
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
        pack.is_some_and(|pack| pack.tallies().syncing.ranges != 0)
    }

    /// Returns the range that starts at `chunk`, with its state. O(range/64).
    pub fn find(&self, id: PackId, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        self.pack(id)?.find(chunk)
    }

    /// Returns the range that `chunk` is part of, with its state. O(range/64).
    pub fn containing(&self, id: PackId, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        self.pack(id)?.containing(chunk)
    }

    /// Returns the name of the pack that is in a slot now.
    #[inline]
    pub fn id_of_slot(&self, slot: u32) -> Option<PackId> {
        // CAST: `usize` has at least 32 bits.
        let entry = self.slots.get(slot as usize)?;
        entry
            .pack
            .is_some()
            .then_some(PackId::new(slot, entry.generation))
    }

    /// Returns a pack, to look at.
    #[inline]
    pub fn pack(&self, id: PackId) -> Option<&Pack<S>> {
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get(id.slot() as usize)?;
        slot.pack
            .as_ref()
            .filter(|_| slot.generation == id.generation())
    }

    /// Visits all packs with their names, lowest slot first. O(slots).
    pub fn occupied(&self) -> impl Iterator<Item = (PackId, &Pack<S>)> + '_ {
        numbered(self.slots.iter()).filter_map(|(index, slot)| {
            let pack = slot.pack.as_ref()?;
            Some((PackId::new(index, slot.generation), pack))
        })
    }

    /// Visits the figures of all packs, lowest slot first. O(slots).
    pub fn packs(&self) -> impl Iterator<Item = (PackId, PackStats)> + '_ {
        self.occupied().map(|(id, pack)| (id, pack.stats()))
    }

    /// Tells whether a batch was begun and is not released, or not all of it.
    #[inline]
    pub fn batch_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Returns the pool's figures. O(slots).
    pub fn stats(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        for (_, pack) in self.occupied() {
            stats.count(&pack.stats());
        }
        stats
    }

    /// Shows what the pool keeps about its packs, to [`check_invariants`](crate::check_invariants).
    pub(crate) fn internals(&self) -> Internals<'_, S> {
        Internals {
            slots: &self.slots,
            holes: &self.holes,
            first_retired: self.first_retired,
            last_retired: self.last_retired,
            first_syncing: self.first_syncing,
        }
    }

    /// Changes a pack, and then everything that the pool knows about it: the only way to change a
    /// pack in here.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], and what `f` returns.
    fn change<R>(
        &mut self,
        id: PackId,
        f: impl FnOnce(&mut Pack<S>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(id.slot() as usize).ok_or(Error::Stale)?;
        let current = slot.generation == id.generation();
        let pack = slot.pack.as_mut().filter(|_| current).ok_or(Error::Stale)?;
        let was_retired = pack.tallies().retired.ranges;
        let result = f(pack);
        let is_retired = pack.tallies().retired.ranges;
        let (rank, hole) = (pack.rank(), pack.largest_hole());
        // INVARIANT: the index and the list of retired packs follow what happened.
        self.holes.update(id.slot(), rank, hole.get());
        if was_retired == 0 && is_retired != 0 {
            self.push_retired(id.slot());
        }
        result
    }

    /// Changes the pack in a slot, which cannot fail.
    fn on_slot(&mut self, slot: u32, f: impl FnOnce(&mut Pack<S>) -> Tally) -> Tally {
        let id = self.id_of_slot(slot).ok_or(Error::Stale);
        id.and_then(|id| self.change(id, |pack| Ok(f(pack))))
            .unwrap_or_default()
    }

    /// Puts a slot behind all others on the list of packs with retired ranges.
    fn push_retired(&mut self, index: u32) {
        let before = self.last_retired.replace(index);
        // CAST: `usize` has at least 32 bits.
        match before.and_then(|before| self.slots.get_mut(before as usize)) {
            Some(before) => before.next_retired = Some(index),
            None => self.first_retired = Some(index),
        }
    }

    /// Takes the first slot from the list of packs with retired ranges; the caller moves those
    /// ranges on.
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

    /// Puts a slot on the list of packs with syncing ranges.
    fn push_syncing(&mut self, index: u32) {
        // CAST: `usize` has at least 32 bits.
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.next_syncing = self.first_syncing.replace(index);
        }
    }

    /// Takes the first slot from the list of packs with syncing ranges; the caller moves those
    /// ranges on.
    fn pop_syncing(&mut self) -> Option<u32> {
        let first = self.first_syncing?;
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(first as usize);
        self.first_syncing = slot.and_then(|slot| slot.next_syncing.take());
        Some(first)
    }
}

#[cfg(test)]
pub(crate) mod tests;
