// SPDX-License-Identifier: GPL-2.0

//! A pool and its shadow, side by side.

use core::ops::DerefMut;

use crate::audit;
use crate::audit::Flaw;
use crate::counting::length;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::PackId;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::model::op::Op;
use crate::model::shadow::Cell;
use crate::model::shadow::Shadow;
use crate::model::shadow::ShadowPack;
use crate::pool::batch::Batch;
use crate::pool::Pool;
use crate::pool::Slot;
use crate::state::RangeState;

mod steps;

/// How a pool and its shadow differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The pool and the shadow gave different answers; the name of the operation.
    Differs(&'static str),
    /// The pool breaks an invariant.
    Flawed(Flaw),
}

fn ensure(same: bool, what: &'static str) -> Result<(), Failure> {
    if same {
        Ok(())
    } else {
        Err(Failure::Differs(what))
    }
}

/// A pool and its shadow. `supply` makes the storage of a new pack, of as many words as it is told.
pub struct Trial<S, L, P, C, F> {
    pool: Pool<S, L>,
    shadow: Shadow<P, C>,
    supply: F,
    /// The batch under way.
    batch: Option<Batch>,
    /// The name of a pack that was removed.
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
    /// Makes a trial, or [`None`] if `pool` or `shadow` has a pack or they have different numbers
    /// of slots.
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
    /// [`Failure::Differs`] if their answers differ.
    pub fn step(&mut self, op: Op) -> Result<(), Failure> {
        match op {
            Op::Add {
                chunks,
                rank,
                slots,
            } => self.add(ChunkCount::new(chunks), rank, slots),
            Op::TakeEmpty => self.take_empty(),
            // CAST: `usize` has at least 32 bits.
            Op::Reserve { size, align, among } => {
                self.reserve(size as usize, align, among, None, None)
            }
            // CAST: `usize` has at least 32 bits.
            Op::ReserveFitting { size, among } => self.reserve_fitting(size as usize, among, None),
            // CAST: `usize` has at least 32 bits.
            Op::ReserveFrom { size, from } => {
                self.reserve(size as usize, 0, RankSet::ALL, None, Some(from))
            }
            // CAST: `usize` has at least 32 bits.
            Op::ReserveWithin {
                size,
                among,
                slots,
                from: None,
            } => self.reserve_fitting(size as usize, among, Some(slots)),
            // CAST: `usize` has at least 32 bits.
            Op::ReserveWithin {
                size,
                among,
                slots,
                from,
            } => self.reserve(size as usize, 0, among, Some(slots), from),
            Op::BeginImage { nth, keep } => match self.shadow.nth(RangeState::Reserved, nth) {
                Some((slot, range)) => {
                    let keep = keep
                        .checked_rem(range.count().get().saturating_add(2))
                        .unwrap_or(0);
                    self.begin_image(slot, range.start(), ChunkCount::new(keep))
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

    /// Checks the pool's invariants and compares all of it with the shadow.
    ///
    /// # Errors
    ///
    /// The first [`Failure`] that it finds.
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
            self.pool.is_batch_under_way() == self.batch.is_some(),
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
                stats.tallies() == self.shadow.tallies(slot),
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

    /// Compares the bounds of the holes of each rank, of each rank and the better ones, and of all
    /// ranks with the holes themselves.
    fn verify_holes(&self) -> Result<(), Failure> {
        // The longest hole, and the longest that a bound may say, of these ranks.
        let mut better = (RankSet::NONE, ChunkCount::new(0), ChunkCount::new(0));
        let within = |bound, hole, most| hole <= bound && bound <= most;
        for rank in Rank::all() {
            let packs = self.shadow.packs().filter(|(_, pack)| pack.rank == rank);
            let holes = packs.map(|(slot, pack)| {
                let hole = self.shadow.largest_hole(slot);
                let fresh = Fresh::limit(pack.chunks);
                let before = self.shadow.free_before_origin(slot);
                let more = fresh.saturating_add(before.get());
                (hole, ChunkCount::new(hole.get().saturating_add(more)))
            });
            let (hole, most) = holes.fold((ChunkCount::new(0), ChunkCount::new(0)), |a, b| {
                (a.0.max(b.0), a.1.max(b.1))
            });
            better = (better.0.with(rank), better.1.max(hole), better.2.max(most));
            let bound = self.pool.hole_bound(better.0);
            ensure(
                self.pool.may_hold(bound, better.0)
                    && !self
                        .pool
                        .may_hold(ChunkCount::new(bound.get().saturating_add(1)), better.0),
                "may_hold",
            )?;
            ensure(
                within(self.pool.hole_bound(RankSet::NONE.with(rank)), hole, most)
                    && within(self.pool.hole_bound(better.0), better.1, better.2),
                "hole_bound",
            )?;
        }
        ensure(
            within(self.pool.hole_bound(RankSet::ALL), better.1, better.2)
                && self.pool.hole_bound(RankSet::NONE).get() == 0,
            "hole_bound of all or of none",
        )
    }

    /// Compares the lookups at both ends of every range and of the pack.
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

    /// Compares the lookups at one chunk.
    fn verify_lookup(&self, id: PackId, chunk: ChunkIdx) -> Result<(), Failure> {
        let slot = id.slot();
        ensure(
            self.pool.find(id, chunk) == self.shadow.find(slot, chunk),
            "find",
        )?;
        ensure(
            self.pool.containing(id, chunk) == self.shadow.containing(slot, chunk),
            "containing",
        )?;
        let mut ours = self
            .pool
            .pack(id)
            .into_iter()
            .flat_map(|pack| pack.ranges_from(chunk));
        let mut theirs = self
            .shadow
            .ranges(slot)
            .filter(|(_, range)| range.start() >= chunk);
        ensure(
            ours.next() == theirs.next() && ours.next() == theirs.next(),
            "ranges_from",
        )
    }

    /// Retires and releases all ranges, and reserves all of the largest pack that takes images.
    ///
    /// # Errors
    ///
    /// A [`Failure`] if the answers differ or the pack is not whole.
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
        // The batch under way comes first, then those of the ranges that are retired now.
        while self.batch.is_some() || self.shadow.count(RangeState::Retired) != 0 {
            self.release(u32::MAX)?;
            self.begin_batch()?;
        }
        self.verify()?;
        ensure(
            self.pool.stats().tallies.total().ranges == 0,
            "something is left",
        )?;
        let open = self.shadow.packs().filter(|(_, pack)| !pack.is_taken());
        let Some(largest) = open.map(|(_, pack)| pack.chunks).max() else {
            return Ok(());
        };
        self.reserve(largest.bytes(), 0, RankSet::ALL, None, None)?;
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
}
