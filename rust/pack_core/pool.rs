// SPDX-License-Identifier: GPL-2.0

//! The set of packs.

use core::ops::DerefMut;

use crate::counting::numbered;
use crate::error::Error;
use crate::geometry::ChunkCount;
use crate::geometry::PackId;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::SlotRange;
use crate::pack::Pack;
use crate::recent;
use crate::recent::Recent;
use crate::stats::PackStats;
use crate::stats::PoolStats;
use crate::tournament::Tournament;

pub(crate) mod batch;
pub(crate) mod ranges;
#[cfg(test)]
pub(crate) mod tests;

/// The most packs in a pool.
pub const MAX_SLOTS: usize = 1 << 16;

/// Room for one pack. The caller lends a list of them to the pool.
pub struct Slot<S> {
    pack: Option<Pack<S>>,
    /// The generation of the slot's pack, or of the next one if it has none.
    generation: u32,
    /// The next slot on the list of packs with retired ranges.
    next_retired: Option<u32>,
    /// The next slot on the list of packs with syncing ranges.
    next_syncing: Option<u32>,
}

impl<S> Slot<S> {
    /// Makes a slot without a pack.
    pub const fn vacant() -> Self {
        Self {
            pack: None,
            generation: 0,
            next_retired: None,
            next_syncing: None,
        }
    }
}

/// A pack that could not be added, and why.
pub struct AddError<S> {
    /// Why.
    pub error: Error,
    /// The pack. The caller drops it where that is allowed.
    pub pack: Pack<S>,
}

impl<S> core::fmt::Debug for AddError<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AddError")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// The pack in which the last image was placed at the first place that there was in some slots.
///
/// # Invariants
///
/// The pack in `slot`, one of these slots, has a rank of `among`. Of the packs of these ranks and in
/// these slots that a reservation tries before it, none has a bound of `least` chunks or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lead {
    pub(crate) slot: u32,
    pub(crate) among: RankSet,
    pub(crate) least: u32,
}

/// A set of packs. `S` is the storage of a pack, `L` the list of slots.
///
/// # Invariants
///
/// - There are at most [`MAX_SLOTS`] slots.
/// - `holes` has the bound of each pack's holes at its slot in the tree of its rank, and 0
///   everywhere else.
/// - `packs` is the number of slots with a pack. None of these is at `end` or behind it, and `end` is 0
///   or behind one of them.
/// - A pack is on the list of `first_retired` if and only if it has retired ranges, and on that of
///   `first_syncing` if and only if it has syncing ranges; on each at most once. `last_retired` is
///   the end of the first list.
/// - There are syncing ranges if and only if a batch is under way.
pub struct Pool<S, L> {
    slots: L,
    /// The index across packs.
    holes: Tournament<S>,
    /// Where most images go, without a look at the index, and where searches in it begin.
    lead: Option<Lead>,
    /// The same for images that only go to these slots.
    lead_within: Option<(SlotRange, Lead)>,
    /// Short holes, for images that fit in them.
    recent: Recent<S>,
    packs: usize,
    /// The slot behind the last one that has a pack.
    end: usize,
    /// The first slot on the list of packs with retired ranges: the one that has waited longest.
    first_retired: Option<u32>,
    /// The last slot on that list.
    last_retired: Option<u32>,
    /// The first slot on the list of packs with syncing ranges.
    first_syncing: Option<u32>,
    /// The serial number of the batch under way.
    under_way: Option<u64>,
    /// The serial number of the next batch.
    next_serial: u64,
}

/// The records of a pool about its packs, for those who check them.
pub(crate) struct Internals<'a, S> {
    pub(crate) slots: &'a [Slot<S>],
    pub(crate) holes: &'a Tournament<S>,
    pub(crate) leads: [Option<(SlotRange, Lead)>; 2],
    pub(crate) end: usize,
    pub(crate) last_retired: Option<u32>,
    pub(crate) is_batch_under_way: bool,
    first_retired: Option<u32>,
    first_syncing: Option<u32>,
}

impl<S> Internals<'_, S> {
    /// Visits the slots on the list of packs with retired ranges. Does not end if the list is a
    /// ring.
    pub(crate) fn retired(&self) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.first_retired, |slot| {
            self.slots.get(*slot as usize)?.next_retired
        })
    }

    /// Visits the slots on the list of packs with syncing ranges. Does not end if the list is a
    /// ring.
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

    /// Returns how many words a pool needs to remember short holes: 6,144 (48 KiB).
    pub const fn recent_words() -> usize {
        recent::words_needed()
    }

    /// Makes an empty pool for as many packs as there are `slots`. O(slots).
    ///
    /// It overwrites `index` and `recent` and drops packs that the slots have.
    ///
    /// # Errors
    ///
    /// [`Error::BadStorage`] if `index` has fewer words than [`Pool::index_words`] or `recent` than
    /// [`Pool::recent_words`], or there is no slot or more than [`MAX_SLOTS`].
    pub fn new(mut slots: L, index: S, recent: S) -> Result<Self, Error> {
        if slots.is_empty() || slots.len() > MAX_SLOTS {
            return Err(Error::BadStorage);
        }
        let holes = Tournament::new(index, slots.len()).ok_or(Error::BadStorage)?;
        let recent = Recent::new(recent).ok_or(Error::BadStorage)?;
        for slot in slots.iter_mut() {
            *slot = Slot::vacant();
        }
        // INVARIANT: There is no pack, and all holes are zero.
        Ok(Self {
            slots,
            holes,
            lead: None,
            lead_within: None,
            recent,
            packs: 0,
            end: 0,
            first_retired: None,
            last_retired: None,
            first_syncing: None,
            under_way: None,
            next_serial: 0,
        })
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

    /// Returns a number of chunks above which nothing fits in the packs of the ranks `among`; 0 if
    /// there is none. It is the largest [`Pack::hole_bound`] of theirs. O(ranks).
    pub fn hole_bound(&self, among: RankSet) -> ChunkCount {
        let largest = among.iter().map(|rank| self.holes.largest(rank)).max();
        ChunkCount::new(largest.unwrap_or(0))
    }

    /// Tells whether `count` chunks may fit in a pack of the ranks `among`: whether
    /// [`Pool::hole_bound`] is at least that. O(ranks).
    #[inline]
    pub fn may_hold(&self, count: ChunkCount, among: RankSet) -> bool {
        among
            .iter()
            .any(|rank| self.holes.largest(rank) >= count.get())
    }

    /// Adds a pack, in the first vacant slot. O(slots up to that).
    ///
    /// # Errors
    ///
    /// [`Error::Full`] if there is none. The error has the pack.
    // The crate has no allocator to box the pack with: the error has it by value.
    #[allow(clippy::result_large_err)]
    pub fn add(&mut self, pack: Pack<S>) -> Result<PackId, AddError<S>> {
        self.add_within(pack, SlotRange::ALL)
    }

    /// Adds a pack, in the first vacant slot of `slots`. If there is none, in the first vacant slot.
    /// O(slots up to that).
    ///
    /// # Errors
    ///
    /// Those of [`Pool::add`].
    #[allow(clippy::result_large_err)]
    pub fn add_within(&mut self, pack: Pack<S>, slots: SlotRange) -> Result<PackId, AddError<S>> {
        let index = self
            .first_vacant(slots)
            .or_else(|| self.first_vacant(SlotRange::ALL));
        // CAST: `usize` has at least 32 bits.
        let slot = index.and_then(|index| self.slots.get_mut(index as usize));
        let (Some(index), Some(slot)) = (index, slot) else {
            return Err(AddError {
                error: Error::Full,
                pack,
            });
        };
        // INVARIANT: The index has the bound of the pack's holes, and the pack is counted. It is on no
        // list because it has no range: only a pool makes ranges, and only empty packs leave a
        // pool.
        self.holes
            .update(index, pack.rank(), pack.hole_bound().get());
        (self.lead, self.lead_within) = (None, None);
        self.packs = self.packs.saturating_add(1);
        self.end = self.end.max((index as usize).saturating_add(1));
        slot.pack = Some(pack);
        Ok(PackId::new(index, slot.generation))
    }

    /// Returns the first slot of `slots` without a pack.
    fn first_vacant(&self, slots: SlotRange) -> Option<u32> {
        // CAST: `usize` has at least 32 bits.
        let entries = self.slots.get(slots.start as usize..)?;
        let mut numbered = (slots.start..slots.end).zip(entries);
        let (vacant, _) = numbered.find(|(_, slot)| slot.pack.is_none())?;
        Some(vacant)
    }

    /// Returns the slots up to the last one that has a pack.
    #[inline]
    fn used_slots(&self) -> &[Slot<S>] {
        self.slots.get(..self.end).unwrap_or(&self.slots)
    }

    /// Removes one empty pack that `filter` accepts. O(slots up to the last pack).
    ///
    /// It removes the one of the worst rank, in the highest slot. The pack's name becomes stale.
    /// The caller drops the pack, and the memory that belongs to it, with no lock held.
    pub fn take_empty(
        &mut self,
        mut filter: impl FnMut(PackId, &PackStats) -> bool,
    ) -> Option<(PackId, Pack<S>)> {
        let mut worst: Option<(Rank, u32)> = None;
        for (id, pack) in self.occupied() {
            if pack.is_empty() && filter(id, &pack.stats()) {
                worst = worst.max(Some((pack.rank(), id.slot())));
            }
        }
        let (_, index) = worst?;
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(index as usize)?;
        let pack = slot.pack.take()?;
        let id = PackId::new(index, slot.generation);
        // INVARIANT: The index has no hole for the slot, and the pack is not counted any more. It
        // is on no list because it has no range.
        slot.generation = slot.generation.wrapping_add(1);
        self.holes.update(index, pack.rank(), 0);
        (self.lead, self.lead_within) = (None, None);
        self.packs = self.packs.saturating_sub(1);
        let last = self
            .used_slots()
            .iter()
            .rposition(|slot| slot.pack.is_some());
        self.end = last.map_or(0, |last| last.saturating_add(1));
        Some((id, pack))
    }

    /// Counts one more round of the caller's clock for all empty packs ([`PackStats::empty_for`]).
    /// O(slots up to the last pack).
    pub fn age(&mut self) {
        let slots = self.slots.get_mut(..self.end).unwrap_or_default();
        for pack in slots.iter_mut().filter_map(|slot| slot.pack.as_mut()) {
            pack.age();
        }
    }

    /// Returns the name of the pack in a slot.
    #[inline]
    pub fn id_of_slot(&self, slot: u32) -> Option<PackId> {
        // CAST: `usize` has at least 32 bits.
        let entry = self.slots.get(slot as usize)?;
        entry
            .pack
            .is_some()
            .then_some(PackId::new(slot, entry.generation))
    }

    /// Returns the pack of that name.
    #[inline]
    pub fn pack(&self, id: PackId) -> Option<&Pack<S>> {
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get(id.slot() as usize)?;
        slot.pack
            .as_ref()
            .filter(|_| slot.generation == id.generation())
    }

    /// Visits all packs with their names, lowest slot first. O(slots up to the last pack).
    pub fn occupied(&self) -> impl Iterator<Item = (PackId, &Pack<S>)> + '_ {
        numbered(self.used_slots()).filter_map(|(index, slot)| {
            let pack = slot.pack.as_ref()?;
            Some((PackId::new(index, slot.generation), pack))
        })
    }

    /// Sums up the figures of all packs. O(slots up to the last pack).
    pub fn stats(&self) -> PoolStats {
        let mut stats = PoolStats::default();
        for (_, pack) in self.occupied() {
            stats.count(&pack.stats());
        }
        stats
    }

    /// Sets the lead, for tests to damage.
    #[cfg(test)]
    pub(crate) fn lead_mut(&mut self) -> &mut Option<Lead> {
        &mut self.lead
    }

    /// Sets the lead within slots, for tests to damage.
    #[cfg(test)]
    pub(crate) fn lead_within_mut(&mut self) -> &mut Option<(SlotRange, Lead)> {
        &mut self.lead_within
    }

    /// Returns the pool's records about its packs.
    pub(crate) fn internals(&self) -> Internals<'_, S> {
        Internals {
            slots: &self.slots,
            holes: &self.holes,
            leads: [
                self.lead.map(|lead| (SlotRange::ALL, lead)),
                self.lead_within,
            ],
            end: self.end,
            last_retired: self.last_retired,
            is_batch_under_way: self.under_way.is_some(),
            first_retired: self.first_retired,
            first_syncing: self.first_syncing,
        }
    }
}
