// SPDX-License-Identifier: GPL-2.0

//! The operations of a trial, each applied to the pool and to the shadow.

use core::ops::DerefMut;

use super::ensure;
use super::Failure;
use super::Trial;
use crate::bitmap::words_for;
use crate::error::Error;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::PackId;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::SlotRange;
use crate::geometry::MAX_CHUNKS;
use crate::model::shadow::Cell;
use crate::model::shadow::ShadowPack;
use crate::pack::retiring::WORDS_PER_SLICE;
use crate::pack::Pack;
use crate::pool::batch::Batch;
use crate::pool::batch::OpenBatch;
use crate::pool::batch::PACKS_PER_BATCH;
use crate::pool::ranges::Reserved;
use crate::pool::Slot;
use crate::state::RangeState;
use crate::state::Taken;
use crate::state::WriteEnd;
use crate::stats::Tally;

/// Returns the origin of a pack of `chunks` chunks that the number of a rank asks for: 0 for the
/// lowest [`Rank::COUNT`] numbers.
fn origin_of(chunks: ChunkCount, rank: u8) -> u32 {
    let part = u32::from(rank.wrapping_div(Rank::COUNT));
    chunks.get().saturating_mul(part) / 43
}

/// Tells whether the number of a rank asks for a pack for one image: the highest ones do.
fn is_for_one_image(rank: u8) -> bool {
    rank >= 40 * Rank::COUNT
}

impl<S, L, P, C, F> Trial<S, L, P, C, F>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
    P: DerefMut<Target = [Option<ShadowPack>]>,
    C: DerefMut<Target = [Cell]>,
    F: FnMut(usize) -> Option<S>,
{
    /// Adds a pack to both.
    pub(super) fn add(
        &mut self,
        chunks: ChunkCount,
        rank: u8,
        slots: SlotRange,
    ) -> Result<(), Failure> {
        let origin = origin_of(chunks, rank);
        let one_image = is_for_one_image(rank);
        let rank = Rank::new(rank % Rank::COUNT).unwrap_or(Rank::BEST);
        let Some(storage) = (self.supply)(Pack::<S>::words_needed(chunks)) else {
            return Ok(());
        };
        let pack = match Pack::new(storage, chunks, rank) {
            Ok(pack) if one_image => pack.with_origin(origin).for_one_image(),
            Ok(pack) => pack.with_origin(origin),
            Err(_) => {
                return ensure(
                    chunks.get() == 0 || chunks > MAX_CHUNKS,
                    "a pack's geometry is refused",
                )
            }
        };
        let result = if slots == SlotRange::ALL {
            self.pool.add(pack)
        } else {
            self.pool.add_within(pack, slots)
        };
        let result = result.map_err(|failed| failed.error);
        let shadow = ShadowPack::new(chunks, rank, origin);
        let shadow = if one_image {
            shadow.for_one_image()
        } else {
            shadow
        };
        let slot = self.shadow.add(shadow, slots);
        let same = result.map(PackId::slot) == slot.ok_or(Error::Full);
        let renamed = result.ok().is_some() && result.ok() == self.stale;
        ensure(same && !renamed, "add")
    }

    /// Removes an empty pack from both.
    pub(super) fn take_empty(&mut self) -> Result<(), Failure> {
        let taken = self.pool.take_empty(|_, _| true);
        let id = taken.map(|(id, _)| id);
        self.stale = id.or(self.stale);
        ensure(
            id.map(PackId::slot) == self.shadow.take_empty(),
            "take_empty",
        )
    }

    /// Reserves `size` bytes in both.
    pub(super) fn reserve(
        &mut self,
        size: usize,
        align: u8,
        among: RankSet,
        slots: Option<SlotRange>,
        from: Option<u32>,
    ) -> Result<(), Failure> {
        let align = ChunkCount::new(1u32.wrapping_shl(u32::from(align)));
        let wanted = ChunkCount::holding(size)
            .map_err(Error::from)
            .and_then(|count| {
                self.shadow
                    .first_fit(count, align, among, slots.unwrap_or(SlotRange::ALL), from)
                    .ok_or(Error::NeedPack(count))
            });
        let found = match (slots, from) {
            (Some(slots), _) => self.pool.reserve_within(size, align, among, slots, from),
            (None, None) => self.pool.reserve(size, align, among),
            (None, Some(from)) => self.pool.reserve_from(size, align, among, from),
        };
        let found = found.map(|Reserved { pack, range }| (pack.slot(), range));
        if let Ok((slot, range)) = wanted {
            self.shadow.reserve(slot, range);
        }
        ensure(found == wanted, "reserve")
    }

    /// Reserves `size` bytes in both, in a short hole that the pool chooses or where
    /// [`Self::reserve`] would.
    pub(super) fn reserve_fitting(
        &mut self,
        size: usize,
        among: RankSet,
        slots: Option<SlotRange>,
    ) -> Result<(), Failure> {
        let within = slots.unwrap_or(SlotRange::ALL);
        let count = ChunkCount::holding(size);
        let first = count.ok().and_then(|count| {
            self.shadow
                .first_fit(count, ChunkCount::ONE, among, within, None)
        });
        let align = ChunkCount::ONE;
        let found = match slots {
            Some(slots) => self.pool.reserve_within(size, align, among, slots, None),
            None => self.pool.reserve_fitting(size, align, among),
        };
        let found = found.map(|Reserved { pack, range }| (pack.slot(), range));
        let wanted = match (count, first) {
            (Err(error), _) => Err(Error::from(error)),
            (Ok(count), None) => Err(Error::NeedPack(count)),
            (Ok(_), Some(first)) => Ok(first),
        };
        let Ok((slot, range)) = found else {
            return ensure(found == wanted, "reserve_fitting is refused");
        };
        let fits = first.is_some_and(|(best, _)| self.shadow.is_fitting(slot, range, best));
        let fits = fits && within.contains(slot);
        self.shadow.reserve(slot, range);
        let as_long = count.is_ok_and(|count| range.count() == count);
        ensure(found == wanted || fits && as_long, "reserve_fitting")
    }

    /// Returns the name of a slot's pack, or a name that no pack has.
    fn id(&self, slot: u32) -> PackId {
        self.pool
            .id_of_slot(slot)
            .unwrap_or(PackId::new(slot, u32::MAX))
    }

    /// Returns the error that the pool has to return for a step from the state `from` on `range`,
    /// if any.
    fn allowed(&self, slot: u32, range: ChunkRange, from: RangeState) -> Result<(), Error> {
        self.shadow.pack(slot).ok_or(Error::Stale)?;
        match self.shadow.find(slot, range.start()) {
            None => Err(Error::NotAllocated),
            Some((state, _)) if state != from => Err(Error::WrongState(state)),
            Some((_, found)) if found != range => Err(Error::WrongRange),
            Some(_) => Ok(()),
        }
    }

    /// Begins to write to the first `keep` chunks of a range in both.
    pub(super) fn begin_image(
        &mut self,
        slot: u32,
        chunk: ChunkIdx,
        keep: ChunkCount,
    ) -> Result<(), Failure> {
        let wanted = match (self.shadow.pack(slot), self.shadow.find(slot, chunk)) {
            (None, _) => Err(Error::Stale),
            (_, None) => Err(Error::NotAllocated),
            (_, Some((_, range))) if keep > range.count() => Err(Error::TooLarge),
            _ if keep.get() == 0 => Err(Error::Empty),
            (_, Some((RangeState::Reserved, range))) => Ok(range),
            (_, Some((state, _))) => Err(Error::WrongState(state)),
        };
        let wanted = wanted.and_then(|range| {
            let kept = ChunkRange::new(chunk, keep).ok_or(Error::Empty)?;
            self.shadow.free(slot, range);
            self.shadow.take(slot, kept, RangeState::Writing);
            let freed = range.count().get().saturating_sub(keep.get());
            Ok((kept, ChunkCount::new(freed)))
        });
        let found = self.pool.begin_image(self.id(slot), chunk, keep);
        ensure(found == wanted, "begin_image")
    }

    /// Begins to write to a range in both.
    pub(super) fn begin_write(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let from = match self.shadow.find(slot, range.start()) {
            Some((RangeState::Live, _)) => RangeState::Live,
            _ => RangeState::Reserved,
        };
        let wanted = self.allowed(slot, range, from).map(|()| from);
        let found = self.pool.begin_write(self.id(slot), range);
        if wanted.is_ok() {
            self.shadow.take(slot, range, RangeState::Writing);
        }
        ensure(found == wanted, "begin_write")
    }

    /// Ends a copy in the shadow: the range is `kept` if nobody freed it. Returns what the pool has
    /// to return.
    fn end_write(
        &mut self,
        slot: u32,
        range: ChunkRange,
        kept: RangeState,
    ) -> Result<WriteEnd, Error> {
        let (from, to, end) = match self.shadow.find(slot, range.start()) {
            Some((RangeState::Doomed, _)) => {
                (RangeState::Doomed, RangeState::Retiring, WriteEnd::Doomed)
            }
            _ => (RangeState::Writing, kept, WriteEnd::Kept),
        };
        self.allowed(slot, range, from)?;
        self.shadow.take(slot, range, to);
        Ok(end)
    }

    /// Finalizes a range in both.
    pub(super) fn finalize(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let found = self.pool.finalize(self.id(slot), range);
        let wanted = self.end_write(slot, range, RangeState::Live);
        ensure(found == wanted, "finalize")
    }

    /// Aborts writing to a range in both.
    pub(super) fn abort_write(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let found = self.pool.abort_write(self.id(slot), range);
        let wanted = self.end_write(slot, range, RangeState::Reserved);
        ensure(found == wanted, "abort_write")
    }

    /// Begins to retire a range in both.
    pub(super) fn begin_retire(&mut self, slot: u32, chunk: ChunkIdx) -> Result<(), Failure> {
        let wanted = match (self.shadow.pack(slot), self.shadow.find(slot, chunk)) {
            (None, _) => Err(Error::Stale),
            (_, None) => Err(Error::NotAllocated),
            (_, Some((RangeState::Reserved | RangeState::Live, range))) => {
                Ok(Taken::Retiring(range))
            }
            (_, Some((RangeState::Writing, range))) => Ok(Taken::Doomed(range)),
            (_, Some((state, _))) => Err(Error::WrongState(state)),
        };
        let found = self.pool.begin_retire(self.id(slot), chunk);
        match wanted {
            Ok(Taken::Retiring(range)) => self.shadow.take(slot, range, RangeState::Retiring),
            Ok(Taken::Doomed(range)) => self.shadow.take(slot, range, RangeState::Doomed),
            Err(_) => {}
        }
        ensure(found == wanted, "begin_retire")
    }

    /// Retires a range in both.
    pub(super) fn retired(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let wanted = self.allowed(slot, range, RangeState::Retiring);
        let found = self.pool.retired(self.id(slot), range);
        if wanted.is_ok() {
            self.shadow.retire(slot, range);
        }
        ensure(found == wanted, "retired")
    }

    /// Begins a batch in both.
    pub(super) fn begin_batch(&mut self) -> Result<(), Failure> {
        let mut begun = self.pool.begin_batch();
        if self.batch.is_some() {
            return ensure(begun.is_none(), "a second batch");
        }
        if let Some(open) = &mut begun {
            while open.has_room() {
                self.pool.extend_batch(open);
            }
        }
        let begun = begun.map(OpenBatch::close);
        let tally = self.shadow.begin_batch(PACKS_PER_BATCH);
        let found = begun.as_ref().map(Batch::tally);
        self.batch = begun;
        ensure(found == (tally.ranges != 0).then_some(tally), "begin_batch")
    }

    /// Releases a slice of the batch under way in both.
    ///
    /// The pool may choose the packs, but in each of them it must begin with the lowest ranges.
    pub(super) fn release(&mut self, at_most: u32) -> Result<(), Failure> {
        let Some(batch) = self.batch.take() else {
            return Ok(());
        };
        let before = batch.tally();
        let released = self.pool.release(batch, at_most);
        let mut freed = Tally::default();
        let mut in_part = 0u32;
        for slot in 0..u32::try_from(self.shadow.capacity()).unwrap_or(0) {
            let syncing = |pack: &Pack<S>| pack.tallies().syncing.ranges;
            let id = self.pool.id_of_slot(slot);
            let left = id.and_then(|id| self.pool.pack(id)).map_or(0, syncing);
            let had = self.shadow.tallies(slot).syncing.ranges;
            in_part = in_part.saturating_add(u32::from(left != 0 && left != had));
            for _ in left..had {
                freed = freed.plus(self.shadow.release(slot));
            }
        }
        let most = before.ranges.min(u64::from(at_most.max(1)));
        // In many words a slice ends sooner.
        let words = self
            .shadow
            .packs()
            .map(|(_, pack)| words_for(pack.chunks.get()));
        let few = words.fold(0, usize::saturating_add) <= WORDS_PER_SLICE;
        let least = if few { most } else { 1 };
        ensure(
            (least..=most).contains(&freed.ranges) && released.tally == freed,
            "how much is released",
        )?;
        ensure(in_part <= 1, "packs are released in part")?;
        let rest = before.minus(freed);
        ensure(
            released.rest.as_ref().map(Batch::tally) == (rest.ranges != 0).then_some(rest),
            "the rest of a batch",
        )?;
        self.batch = released.rest;
        Ok(())
    }

    /// Makes every call that names a range, with an arbitrary one.
    pub(super) fn meddle(&mut self, slot: u32, start: u32, count: u32) -> Result<(), Failure> {
        let chunk = ChunkIdx::new(start);
        if let Some(id) = self.pool.id_of_slot(slot) {
            self.verify_lookup(id, chunk)?;
        }
        if let Some(range) = ChunkRange::new(chunk, ChunkCount::new(count)) {
            self.retired(slot, range)?;
            self.begin_image(slot, chunk, ChunkCount::new(count.saturating_sub(1)))?;
            self.finalize(slot, range)?;
            self.abort_write(slot, range)?;
            // The pool has to refuse the second call.
            self.begin_write(slot, range)?;
            self.begin_write(slot, range)?;
        }
        self.begin_retire(slot, chunk)
    }

    /// Makes every call that names a pack, with the name of one that was removed.
    pub(super) fn use_stale(&mut self) -> Result<(), Failure> {
        let Some(id) = self.stale else {
            return Ok(());
        };
        let chunk = ChunkIdx::new(0);
        ensure(
            self.pool.pack(id).is_none(),
            "a stale name still names a pack",
        )?;
        ensure(
            self.pool.find(id, chunk).is_none(),
            "find with a stale name",
        )?;
        ensure(
            self.pool.containing(id, chunk).is_none(),
            "containing with a stale name",
        )?;
        ensure(
            self.pool.begin_retire(id, chunk) == Err(Error::Stale),
            "begin_retire with a stale name",
        )?;
        let Some(range) = ChunkRange::new(chunk, ChunkCount::ONE) else {
            return Ok(());
        };
        ensure(
            self.pool.begin_image(id, chunk, ChunkCount::ONE) == Err(Error::Stale),
            "begin_image with a stale name",
        )?;
        ensure(
            self.pool.begin_write(id, range) == Err(Error::Stale),
            "begin_write with a stale name",
        )?;
        ensure(
            self.pool.finalize(id, range) == Err(Error::Stale),
            "finalize with a stale name",
        )?;
        ensure(
            self.pool.abort_write(id, range) == Err(Error::Stale),
            "abort_write with a stale name",
        )?;
        ensure(
            self.pool.retired(id, range) == Err(Error::Stale),
            "retired with a stale name",
        )
    }
}
