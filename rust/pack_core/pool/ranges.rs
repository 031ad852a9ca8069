// SPDX-License-Identifier: GPL-2.0

//! The steps in the life of one range, by the name of its pack.

use core::ops::DerefMut;

use super::Lead;
use super::Pool;
use super::Slot;
use crate::error::Error;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::PackId;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::SlotRange;
use crate::geometry::CHUNK_SIZE;
use crate::pack::Pack;
use crate::recent::Recent;
use crate::state::RangeState;
use crate::state::Taken;
use crate::state::WriteEnd;

/// A range that [`Pool::reserve`] has reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a range that is not retired stays reserved for ever"]
pub struct Reserved {
    /// The pack.
    pub pack: PackId,
    /// The range in that pack.
    pub range: ChunkRange,
}

/// Where in its pack a range may be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the first place with room.
    First,
    /// In a short hole, or at the first place with room.
    Fitting,
    /// At the first place from a chunk on.
    From(u32),
}

/// The short holes that a search looks at, for each rank: noted ones may be gone.
const TRIES: u32 = 8;

impl<S, L> Pool<S, L>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    /// Reserves chunks for `size` bytes in the first pack that has room, of the best rank in
    /// `among` that has such a pack: Free → Reserved.
    ///
    /// The range starts at a multiple of `align` chunks. O(ranks + log slots + size/64 + 1/64 of the
    /// pack's words), or O(the pack's words) for its first images, for an alignment of 1; for
    /// others, that for each hole that is long enough but not aligned.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for a size of 0, [`Error::TooLarge`] for more than any pack can hold,
    /// [`Error::BadAlign`] if `align` is not a power of two, and [`Error::NeedPack`] if no pack of
    /// these ranks has room. The caller then makes a pack with no lock held, takes the lock and
    /// asks again before it adds the pack, because another task may have added one meanwhile.
    pub fn reserve(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
    ) -> Result<Reserved, Error> {
        self.reserve_in(size, align, among, None, Place::First)
    }

    /// Reserves chunks like [`Pool::reserve`], but if `align` is 1, in a hole of fewer than 64 chunks,
    /// the shortest that the pool knows of in the packs of that rank: so holes get used up, and the
    /// images of a busy pool need fewer packs. The cost is the same.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::reserve`].
    pub fn reserve_fitting(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
    ) -> Result<Reserved, Error> {
        self.reserve_in(size, align, among, None, Place::Fitting)
    }

    /// Reserves chunks like [`Pool::reserve`], but in its pack at the lowest place not before
    /// the chunk `from`, modulo the number of chunks, if they fit there: so a random `from` gives a random
    /// place. The cost is the same.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::reserve`].
    pub fn reserve_from(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
        from: u32,
    ) -> Result<Reserved, Error> {
        self.reserve_in(size, align, among, None, Place::From(from))
    }

    /// Reserves chunks like [`Pool::reserve_fitting`], or like [`Pool::reserve_from`] with a `from`,
    /// but only in packs that are in `slots`. The cost is the same, and that of reading the notes of
    /// holes in other slots, of which each length has some.
    ///
    /// # Errors
    ///
    /// Those of [`Pool::reserve`]. [`Error::NeedPack`] says nothing about packs in other slots.
    pub fn reserve_within(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
        slots: SlotRange,
        from: Option<u32>,
    ) -> Result<Reserved, Error> {
        let place = from.map_or(Place::Fitting, Place::From);
        self.reserve_in(size, align, among, Some(slots), place)
    }

    /// Reserves chunks like [`Pool::reserve`] with an alignment of 1, but only behind the image
    /// that came last, and only if that is where [`Pool::reserve`] would. O(size/64).
    #[inline(always)]
    pub fn reserve_next(&mut self, size: usize, among: RankSet) -> Option<Reserved> {
        // 0 is less than any lead has, and what is too large does not fit.
        let count = ChunkCount::new(u32::try_from(size.div_ceil(CHUNK_SIZE)).ok()?);
        self.reserve_at(self.lead?, count, among)
    }

    /// Reserves chunks behind the image that came last of those that went to a lead, if that is the
    /// first place for them.
    #[inline(always)]
    fn reserve_at(&mut self, lead: Lead, count: ChunkCount, among: RankSet) -> Option<Reserved> {
        if lead.among != among || count.get() < lead.least {
            return None;
        }
        // CAST: `usize` has at least 32 bits.
        let slot = self.slots.get_mut(lead.slot as usize)?;
        let range = slot.pack.as_mut()?.reserve_next(count)?;
        let pack = PackId::new(lead.slot, slot.generation);
        Some(Reserved { pack, range })
    }

    fn reserve_in(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
        slots: Option<SlotRange>,
        place: Place,
    ) -> Result<Reserved, Error> {
        let count = ChunkCount::holding(size)?;
        if !align.get().is_power_of_two() {
            return Err(Error::BadAlign);
        }
        let from = match place {
            Place::First | Place::Fitting => None,
            Place::From(from) => Some(from),
        };
        let first = align == ChunkCount::ONE && from.is_none();
        let lead = self.lead_of(slots).filter(|_| first);
        if let Some(reserved) = lead.and_then(|lead| self.reserve_at(lead, count, among)) {
            return Ok(reserved);
        }
        // By the invariants of the lead it fits in no pack before.
        let search_from = lead
            .filter(|lead| lead.among == among && lead.least <= count.get())
            .and_then(|lead| Some((self.rank_of_slot(lead.slot)?, lead.slot)));
        let within = slots.unwrap_or(SlotRange::ALL);
        for rank in among.iter() {
            if first && place == Place::Fitting {
                if let Some(reserved) = self.reserve_hole(count, rank, within) {
                    return Ok(reserved);
                }
            }
            let mut next = match search_from {
                Some((of, slot)) if of == rank => slot,
                _ => within.start,
            };
            while let Some(slot) = self.holes.first_at_least(rank, next, count.get()) {
                if slot >= within.end {
                    break;
                }
                if let Some(id) = self.id_of_slot(slot) {
                    if let Ok(range) = self.change(id, |pack| pack.reserve(count, align, from)) {
                        if first {
                            self.follow(slots, slot, among, count.get());
                        }
                        return Ok(Reserved { pack: id, range });
                    }
                }
                // The hole is shorter than its bound, or no aligned part of it is long enough.
                next = slot.saturating_add(1);
            }
        }
        Err(Error::NeedPack(count))
    }

    /// Returns the rank of the pack in a slot.
    #[inline]
    fn rank_of_slot(&self, slot: u32) -> Option<Rank> {
        // CAST: `usize` has at least 32 bits.
        let pack = self.slots.get(slot as usize)?.pack.as_ref()?;
        Some(pack.rank())
    }

    /// Returns the lead of images that go to these slots, or to any.
    #[inline]
    fn lead_of(&self, slots: Option<SlotRange>) -> Option<Lead> {
        match (slots, self.lead_within) {
            (None, _) => self.lead,
            (Some(slots), Some((known, lead))) if known == slots => Some(lead),
            (Some(_), _) => None,
        }
    }

    /// Reserves chunks in the shortest hole of a rank and within slots that is known and there.
    fn reserve_hole(
        &mut self,
        count: ChunkCount,
        rank: Rank,
        within: SlotRange,
    ) -> Option<Reserved> {
        if self.holes.largest(rank) < count.get() {
            return None;
        }
        for _ in 0..TRIES {
            let hole = self.recent.take(rank, count.get(), within)?;
            let Some(id) = self.id_of_slot(hole.slot) else {
                continue;
            };
            let found = self.change(id, |pack| pack.reserve_hole(rank, hole, count));
            if let Ok(range) = found {
                self.recent.note(rank, hole.after(count.get()));
                return Some(Reserved { pack: id, range });
            }
        }
        None
    }

    /// Notes that `count` chunks fitted in a pack and in none before it.
    fn follow(&mut self, slots: Option<SlotRange>, slot: u32, among: RankSet, count: u32) {
        let known = self.lead_of(slots);
        let known = known.filter(|is| is.slot == slot && is.among == among);
        // INVARIANT: The bound of each pack before it is less than `count`, now that those which
        // were asked in vain have refreshed theirs.
        let lead = Lead {
            slot,
            among,
            least: known.map_or(count, |is| is.least.min(count)),
        };
        match slots {
            None => self.lead = Some(lead),
            Some(slots) => self.lead_within = Some((slots, lead)),
        }
    }

    /// Makes the caller the only writer of the reserved range that starts at `chunk`, and frees its
    /// chunks after the first `keep`: Reserved → Writing. Returns the range that is left, and the
    /// number of chunks that became free. O(range/64 + log packs).
    ///
    /// The caller must not have written to these chunks since they were reserved: others can have
    /// them at once.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::Empty`] for `keep` 0,
    /// [`Error::TooLarge`] for more than the range has, [`Error::WrongState`], in this order.
    #[inline(always)]
    pub fn begin_image(
        &mut self,
        id: PackId,
        chunk: ChunkIdx,
        keep: ChunkCount,
    ) -> Result<(ChunkRange, ChunkCount), Error> {
        let pack = pack_of(&mut self.slots, id)?;
        let before = pack.hole_bound();
        let begun = pack.begin_image(chunk, keep)?;
        let (rank, hole) = (pack.rank(), pack.hole_bound());
        if hole != before {
            self.holes_changed(id.slot(), rank, before, hole);
        }
        Ok(begun)
    }

    /// Makes the caller the only writer of a range: Reserved or Live → Writing. Returns the state
    /// before. O(range/64).
    ///
    /// Until [`Pool::finalize`] or [`Pool::abort_write`] nobody else can begin to write there, and
    /// the pool does not hand the chunks out again. So the copy itself needs no lock.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongRange`], and [`Error::WrongState`]
    /// if somebody else is writing to the range or it was freed.
    pub fn begin_write(&mut self, id: PackId, range: ChunkRange) -> Result<RangeState, Error> {
        self.pack_mut(id)?.begin_write(range)
    }

    /// Ends a copy that every CPU can see: Writing → Live, or Doomed → Retiring if the range was
    /// freed meanwhile. O(range/64).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    #[inline(always)]
    pub fn finalize(&mut self, id: PackId, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.pack_mut(id)?.finalize(range)
    }

    /// Ends a copy that failed, after the caller has filled the range with traps again: Writing →
    /// Reserved, or Doomed → Retiring if the range was freed meanwhile. O(range/64).
    ///
    /// Only for a range that was reserved before [`Pool::begin_write`]. The caller finalizes one
    /// that was live, whatever it has copied: programs may run there, and if the range were
    /// reserved again, [`Pool::begin_image`] could free a part of it at once.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    pub fn abort_write(&mut self, id: PackId, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.pack_mut(id)?.abort_write(range)
    }

    /// Frees the range that starts at `chunk`: Live or Reserved → Retiring, or Writing → Doomed.
    /// O(range/64).
    ///
    /// The caller fills a retiring range with traps. A doomed range it leaves to the writer:
    /// otherwise the rest of the copy would overwrite the next image in that memory.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], and [`Error::WrongState`] if the range was freed
    /// before.
    pub fn begin_retire(&mut self, id: PackId, chunk: ChunkIdx) -> Result<Taken, Error> {
        self.pack_mut(id)?.begin_retire(chunk)
    }

    /// Notes that every CPU's instruction fetch sees the traps in a range: Retiring → Retired.
    /// O(range/64).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], [`Error::NotAllocated`], [`Error::WrongState`], [`Error::WrongRange`].
    #[inline(always)]
    pub fn retired(&mut self, id: PackId, range: ChunkRange) -> Result<(), Error> {
        let pack = self.pack_mut(id)?;
        pack.retired(range)?;
        // INVARIANT: The list has the pack since the first of its retired ranges.
        if pack.tally(RangeState::Retired).ranges == 1 {
            self.push_retired(id.slot());
        }
        Ok(())
    }

    /// Returns the range that `chunk` belongs to, with its state. O(range/64).
    pub fn containing(&self, id: PackId, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        self.pack(id)?.containing(chunk)
    }

    /// Returns the pack of that name, for changes that leave its holes as they are.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`].
    #[inline]
    fn pack_mut(&mut self, id: PackId) -> Result<&mut Pack<S>, Error> {
        pack_of(&mut self.slots, id)
    }

    /// Changes a pack, and then what the pool records about its holes.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`], and those of `f`.
    #[inline]
    pub(super) fn change<R>(
        &mut self,
        id: PackId,
        f: impl FnOnce(&mut Pack<S>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.change_noting(id, |pack, _| f(pack))
    }

    /// As [`Self::change`], with the list of short holes, in which `f` notes those that it makes.
    ///
    /// # Errors
    ///
    /// Those of [`Self::change`].
    #[inline]
    pub(super) fn change_noting<R>(
        &mut self,
        id: PackId,
        f: impl FnOnce(&mut Pack<S>, &mut Recent<S>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let pack = pack_of(&mut self.slots, id)?;
        let before = pack.hole_bound();
        let result = f(pack, &mut self.recent);
        let (rank, hole) = (pack.rank(), pack.hole_bound());
        if hole != before {
            self.holes_changed(id.slot(), rank, before, hole);
        }
        result
    }

    /// Notes that the bound of a pack's holes changed. Seldom: no image in the fresh run does that.
    #[inline(never)]
    fn holes_changed(&mut self, slot: u32, rank: Rank, before: ChunkCount, hole: ChunkCount) {
        // INVARIANT: The index has the new bound of the holes. If that is larger, the pack may have
        // room for what goes to the lead.
        self.holes.update(slot, rank, hole.get());
        if hole > before {
            let stays = |lead: &Lead| lead.slot == slot;
            self.lead = self.lead.filter(stays);
            self.lead_within = self.lead_within.filter(|(_, lead)| stays(lead));
        }
    }

    /// Puts a slot at the end of the list of packs with retired ranges.
    fn push_retired(&mut self, index: u32) {
        let before = self.last_retired.replace(index);
        // CAST: `usize` has at least 32 bits.
        match before.and_then(|before| self.slots.get_mut(before as usize)) {
            Some(before) => before.next_retired = Some(index),
            None => self.first_retired = Some(index),
        }
    }
}

/// Returns the pack of that name.
///
/// # Errors
///
/// [`Error::Stale`].
#[inline]
fn pack_of<S>(slots: &mut [Slot<S>], id: PackId) -> Result<&mut Pack<S>, Error> {
    // CAST: `usize` has at least 32 bits.
    let slot = slots.get_mut(id.slot() as usize).ok_or(Error::Stale)?;
    let current = slot.generation == id.generation();
    slot.pack.as_mut().filter(|_| current).ok_or(Error::Stale)
}
