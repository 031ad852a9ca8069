// SPDX-License-Identifier: GPL-2.0

//! A pool and its shadow, side by side.

use core::ops::DerefMut;

use super::op::Op;
use super::shadow::Cell;
use super::shadow::Shadow;
use super::shadow::ShadowPack;
use crate::audit;
use crate::audit::Flaw;
use crate::counting::length;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::PackId;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::MAX_CHUNKS;
use crate::pack::Pack;
use crate::pack::Taken;
use crate::pack::WriteEnd;
use crate::pool::Batch;
use crate::pool::Pool;
use crate::pool::Reserved;
use crate::pool::Slot;
use crate::pool::PACKS_PER_BATCH;
use crate::state::RangeState;
use crate::stats::Tally;
use crate::Error;

/// Where pool and shadow differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An operation did something else than the shadow says.
    Differs(&'static str),
    /// The pool is inconsistent in itself.
    Flawed(Flaw),
}

/// Returns a failure unless `same`.
fn ensure(same: bool, what: &'static str) -> Result<(), Failure> {
    if same {
        Ok(())
    } else {
        Err(Failure::Differs(what))
    }
}

/// A pool and its shadow; `supply` lends the words for a new pack.
pub struct Trial<S, L, P, C, F> {
    /// What is tested.
    pool: Pool<S, L>,
    /// What is right.
    shadow: Shadow<P, C>,
    /// Lends this many words.
    supply: F,
    /// The batch under way.
    batch: Option<Batch>,
    /// A pack that was taken out.
    stale: Option<PackId>,
}

impl<S, L, P, C, F> Trial<S, L, P, C, F>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
    P: DerefMut<Target = [Option<ShadowPack>]>,
    C: DerefMut<Target = [Cell]>,
    F: FnMut(usize) -> Option<S>,
{
    /// Makes a trial of a pool and a shadow that have no packs and the same number of slots.
    pub fn new(pool: Pool<S, L>, shadow: Shadow<P, C>, supply: F) -> Option<Self> {
        let alike = pool.stats().packs == 0 && shadow.packs().next().is_none();
        (alike && pool.capacity() == shadow.capacity()).then_some(Self {
            pool,
            shadow,
            supply,
            batch: None,
            stale: None,
        })
    }

    /// Returns the pool.
    pub fn pool(&self) -> &Pool<S, L> {
        &self.pool
    }

    /// Returns the shadow.
    pub fn shadow(&self) -> &Shadow<P, C> {
        &self.shadow
    }

    /// Applies an operation to the pool and to the shadow.
    ///
    /// # Errors
    ///
    /// The pool does something else than the shadow.
    pub fn step(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Add { chunks, rank } => self.add(ChunkCount::new(chunks), rank),
            Op::TakeEmpty { keep } => self.take_empty(usize::from(keep)),
            // CAST: `usize` has at least 32 bits.
            Op::Reserve { size, align, among } => self.reserve(size as usize, align, among),
            Op::Trim { nth, keep } => match self.shadow.nth(RangeState::Reserved, nth) {
                Some((slot, range)) => {
                    let keep = keep
                        .checked_rem(range.count().get().saturating_add(2))
                        .unwrap_or(0);
                    self.trim(slot, range, ChunkCount::new(keep))
                }
                None => Ok(()),
            },
            Op::BeginWrite { nth } => match self.shadow.nth(RangeState::Reserved, nth) {
                Some((slot, range)) => self.begin_write(slot, range),
                None => Ok(()),
            },
            Op::Rewrite { nth } => match self.shadow.nth(RangeState::Live, nth) {
                Some((slot, range)) => self.begin_write(slot, range),
                None => Ok(()),
            },
            Op::Finalize { nth } => match self.shadow.nth(RangeState::Writing, nth) {
                Some((slot, range)) => self.finalize(slot, range),
                None => Ok(()),
            },
            Op::AbortWrite { nth } => match self.shadow.nth(RangeState::Writing, nth) {
                Some((slot, range)) => self.abort_write(slot, range),
                None => Ok(()),
            },
            Op::FinalizeDoomed { nth } => match self.shadow.nth(RangeState::Doomed, nth) {
                Some((slot, range)) => self.finalize(slot, range),
                None => Ok(()),
            },
            Op::AbortDoomed { nth } => match self.shadow.nth(RangeState::Doomed, nth) {
                Some((slot, range)) => self.abort_write(slot, range),
                None => Ok(()),
            },
            Op::BeginRetire { nth } => match self.shadow.nth(RangeState::Live, nth) {
                Some((slot, range)) => self.begin_retire(slot, range.start()),
                None => Ok(()),
            },
            Op::Abandon { nth } => match self.shadow.nth(RangeState::Reserved, nth) {
                Some((slot, range)) => self.begin_retire(slot, range.start()),
                None => Ok(()),
            },
            Op::Doom { nth } => match self.shadow.nth(RangeState::Writing, nth) {
                Some((slot, range)) => self.begin_retire(slot, range.start()),
                None => Ok(()),
            },
            Op::Retired { nth } => match self.shadow.nth(RangeState::Retiring, nth) {
                Some((slot, range)) => self.retired(slot, range),
                None => Ok(()),
            },
            Op::BeginBatch => self.begin_batch(),
            Op::Release { at_most } => self.release(at_most),
            Op::Age => {
                self.pool.age();
                Ok(())
            }
            Op::Meddle { slot, start, count } => self.meddle(slot, start, count),
            Op::Stale => self.use_stale(),
        }
    }

    /// Compares everything.
    ///
    /// # Errors
    ///
    /// The pool is inconsistent, or differs from the shadow.
    pub fn verify(&self) -> Result<(), Failure> {
        audit::check_invariants(&self.pool).map_err(Failure::Flawed)?;
        ensure(
            self.pool.stats().packs == length(self.shadow.packs()) as u64,
            "the number of packs",
        )?;
        ensure(
            self.pool.len() == length(self.shadow.packs())
                && self.pool.is_empty() == self.shadow.packs().next().is_none(),
            "len",
        )?;
        self.verify_holes()?;
        ensure(
            self.pool.batch_under_way() == self.batch.is_some(),
            "whether a batch is under way",
        )?;
        for (slot, pack) in self.shadow.packs() {
            let id = self
                .pool
                .id_of_slot(slot)
                .ok_or(Failure::Differs("a slot is vacant"))?;
            let stats = self
                .pool
                .pack(id)
                .ok_or(Failure::Differs("a pack is missing"))?;
            ensure(
                (stats.rank(), stats.chunks()) == (pack.rank, pack.chunks),
                "a pack's geometry",
            )?;
            ensure(
                *stats.tallies() == self.shadow.tallies(slot),
                "a pack's counters",
            )?;
            ensure(
                stats.largest_hole() == self.shadow.largest_hole(slot),
                "a pack's largest hole",
            )?;
            ensure(
                stats.ranges().eq(self.shadow.ranges(slot)),
                "a pack's ranges",
            )?;
            self.verify_lookups(id)?;
        }
        Ok(())
    }

    /// Compares the largest holes among the packs of each rank, of this and the better ones, and of
    /// all.
    fn verify_holes(&self) -> Result<(), Failure> {
        let mut better = (RankSet::NONE, ChunkCount::new(0));
        for rank in Rank::all() {
            let packs = self.shadow.packs().filter(|(_, pack)| pack.rank == rank);
            let holes = packs.map(|(slot, _)| self.shadow.largest_hole(slot));
            let hole = holes.max().unwrap_or_default();
            better = (better.0.with(rank), better.1.max(hole));
            ensure(
                self.pool.largest_hole(RankSet::NONE.with(rank)) == hole
                    && self.pool.largest_hole(better.0) == better.1,
                "largest_hole",
            )?;
        }
        ensure(
            self.pool.largest_hole(RankSet::ALL) == better.1
                && self.pool.largest_hole(RankSet::NONE).get() == 0,
            "largest_hole of all or of none",
        )
    }

    /// Compares what is found at the edges of every range and of the pack.
    fn verify_lookups(&self, id: PackId) -> Result<(), Failure> {
        let slot = id.slot();
        let ranges = self.shadow.ranges(slot).flat_map(|(_, range)| {
            let (start, end) = (range.start().get(), range.end().get());
            [
                start.saturating_sub(1),
                start,
                start.saturating_add(1),
                end.saturating_sub(1),
                end,
            ]
        });
        let last = self.shadow.pack(slot).map_or(0, |pack| pack.chunks.get());
        for chunk in ranges.chain([0, last.saturating_sub(1), last, u32::MAX]) {
            self.verify_lookup(id, ChunkIdx::new(chunk))?;
        }
        Ok(())
    }

    /// Compares what is found at a chunk.
    fn verify_lookup(&self, id: PackId, chunk: ChunkIdx) -> Result<(), Failure> {
        let slot = id.slot();
        ensure(
            self.pool.find(id, chunk) == self.shadow.find(slot, chunk),
            "find",
        )?;
        ensure(
            self.pool.containing(id, chunk) == self.shadow.containing(slot, chunk),
            "containing",
        )
    }

    /// Retires and releases everything, and reserves the largest pack as a whole.
    ///
    /// # Errors
    ///
    /// Something differs, or the reservation fails.
    pub fn finish(&mut self) -> Result<(), Failure> {
        while let Some((slot, range)) = self.shadow.nth(RangeState::Reserved, 0) {
            self.begin_write(slot, range)?;
        }
        while let Some((slot, range)) = self.shadow.nth(RangeState::Writing, 0) {
            self.finalize(slot, range)?;
        }
        while let Some((slot, range)) = self.shadow.nth(RangeState::Doomed, 0) {
            self.finalize(slot, range)?;
        }
        while let Some((slot, range)) = self.shadow.nth(RangeState::Live, 0) {
            self.begin_retire(slot, range.start())?;
        }
        while let Some((slot, range)) = self.shadow.nth(RangeState::Retiring, 0) {
            self.retired(slot, range)?;
        }
        // A batch that is under way, and then the rest.
        while self.batch.is_some() || self.shadow.count(RangeState::Retired) != 0 {
            self.release(u32::MAX)?;
            self.begin_batch()?;
        }
        self.verify()?;
        ensure(
            self.pool.stats().tallies.total().ranges == 0,
            "something is left",
        )?;
        let Some(largest) = self.shadow.packs().map(|(_, pack)| pack.chunks).max() else {
            return Ok(());
        };
        self.reserve(largest.bytes(), 0, RankSet::ALL)?;
        let reserved = self
            .shadow
            .nth(RangeState::Reserved, 0)
            .map(|(_, range)| range.count());
        ensure(
            reserved == Some(largest),
            "a pack from which everything was freed is not whole",
        )?;
        self.verify()
    }

    /// Adds a pack.
    fn add(&mut self, chunks: ChunkCount, rank: u8) -> Result<(), Failure> {
        let rank = Rank::new(rank % Rank::COUNT).unwrap_or(Rank::BEST);
        let Some(storage) = (self.supply)(Pack::<S>::words_needed(chunks)) else {
            return Ok(());
        };
        let pack = match Pack::new(storage, chunks, rank) {
            Ok(pack) => pack,
            Err(_) => {
                return ensure(
                    chunks.get() == 0 || chunks > MAX_CHUNKS,
                    "a pack's geometry is refused",
                )
            }
        };
        let result = self.pool.add(pack).map_err(|failed| failed.error);
        let slot = self.shadow.add(ShadowPack::new(chunks, rank));
        let same = result.map(PackId::slot) == slot.ok_or(Error::Full);
        let renamed = result.ok().is_some() && result.ok() == self.stale;
        ensure(same && !renamed, "add")
    }

    /// Takes an empty pack out.
    fn take_empty(&mut self, keep: usize) -> Result<(), Failure> {
        let taken = self.pool.take_empty(keep, |_, _| true);
        let id = taken.map(|(id, _)| id);
        self.stale = id.or(self.stale);
        ensure(
            id.map(PackId::slot) == self.shadow.take_empty(keep),
            "take_empty",
        )
    }

    /// Reserves.
    fn reserve(&mut self, size: usize, align: u8, among: RankSet) -> Result<(), Failure> {
        let align = ChunkCount::new(1u32.wrapping_shl(u32::from(align)));
        let wanted = ChunkCount::holding(size).and_then(|count| {
            self.shadow
                .first_fit(count, align, among)
                .ok_or(Error::NeedPack(count))
        });
        let found = self
            .pool
            .reserve(size, align, among)
            .map(|Reserved { pack, range }| (pack.slot(), range));
        if let Ok((slot, range)) = wanted {
            self.shadow.take(slot, range, RangeState::Reserved);
        }
        ensure(found == wanted, "reserve")
    }

    /// Returns the name of a slot's pack, or else a name that no pack has.
    fn id(&self, slot: u32) -> PackId {
        self.pool
            .id_of_slot(slot)
            .unwrap_or(PackId::new(slot, u32::MAX))
    }

    /// Says whether a step from the state `from` is right on `range`.
    fn allowed(&self, slot: u32, range: ChunkRange, from: RangeState) -> Result<(), Error> {
        self.shadow.pack(slot).ok_or(Error::Stale)?;
        match self.shadow.find(slot, range.start()) {
            None => Err(Error::NotAllocated),
            Some((state, _)) if state != from => Err(Error::WrongState(state)),
            Some((_, found)) if found != range => Err(Error::WrongRange),
            Some(_) => Ok(()),
        }
    }

    /// Trims.
    fn trim(&mut self, slot: u32, range: ChunkRange, keep: ChunkCount) -> Result<(), Failure> {
        let wanted = self
            .allowed(slot, range, RangeState::Reserved)
            .and_then(|()| {
                if keep.get() == 0 {
                    Err(Error::Empty)
                } else if keep > range.count() {
                    Err(Error::TooLarge)
                } else {
                    ChunkRange::new(range.start(), keep).ok_or(Error::Empty)
                }
            });
        let found = self.pool.trim(self.id(slot), range, keep);
        if let Ok(kept) = wanted {
            self.shadow.free(slot, range);
            self.shadow.take(slot, kept, RangeState::Reserved);
        }
        ensure(found == wanted, "trim")
    }

    /// Begins to write.
    fn begin_write(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
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

    /// Ends a copy in the shadow, so that the range is `kept` if nobody freed it; says what the pool
    /// has to say.
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

    /// Finalizes.
    fn finalize(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let found = self.pool.finalize(self.id(slot), range);
        let wanted = self.end_write(slot, range, RangeState::Live);
        ensure(found == wanted, "finalize")
    }

    /// Gives up writing.
    fn abort_write(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let found = self.pool.abort_write(self.id(slot), range);
        let wanted = self.end_write(slot, range, RangeState::Reserved);
        ensure(found == wanted, "abort_write")
    }

    /// Begins to retire.
    fn begin_retire(&mut self, slot: u32, chunk: ChunkIdx) -> Result<(), Failure> {
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

    /// Ends to retire.
    fn retired(&mut self, slot: u32, range: ChunkRange) -> Result<(), Failure> {
        let wanted = self.allowed(slot, range, RangeState::Retiring);
        let found = self.pool.retired(self.id(slot), range);
        if wanted.is_ok() {
            self.shadow.retire(slot, range);
        }
        ensure(found == wanted, "retired")
    }

    /// Seals.
    fn begin_batch(&mut self) -> Result<(), Failure> {
        let begun = self.pool.begin_batch();
        if self.batch.is_some() {
            return ensure(begun.is_none(), "a second batch");
        }
        let tally = self.shadow.begin_batch(PACKS_PER_BATCH);
        let found = begun.as_ref().map(Batch::tally);
        self.batch = begun;
        ensure(found == (tally.ranges != 0).then_some(tally), "begin_batch")
    }

    /// Releases a slice of the batch under way.
    ///
    /// Which packs it is of is up to the pool; in each the lowest ranges come first.
    fn release(&mut self, at_most: u32) -> Result<(), Failure> {
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
        let wanted = before.ranges.min(u64::from(at_most.max(1)));
        ensure(
            freed.ranges == wanted && released.tally == freed,
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

    /// Makes every call that names a range, with one that is made up.
    fn meddle(&mut self, slot: u32, start: u32, count: u32) -> Result<(), Failure> {
        let chunk = ChunkIdx::new(start);
        if let Some(id) = self.pool.id_of_slot(slot) {
            self.verify_lookup(id, chunk)?;
        }
        if let Some(range) = ChunkRange::new(chunk, ChunkCount::new(count)) {
            self.retired(slot, range)?;
            self.trim(slot, range, ChunkCount::new(count.saturating_sub(1)))?;
            self.finalize(slot, range)?;
            self.abort_write(slot, range)?;
            // Whoever comes second is refused.
            self.begin_write(slot, range)?;
            self.begin_write(slot, range)?;
        }
        self.begin_retire(slot, chunk)
    }

    /// Makes every call that names a pack, with one that was taken out.
    fn use_stale(&mut self) -> Result<(), Failure> {
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
            self.pool.trim(id, range, ChunkCount::ONE) == Err(Error::Stale),
            "trim with a stale name",
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
