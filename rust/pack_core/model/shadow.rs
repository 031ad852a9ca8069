// SPDX-License-Identifier: GPL-2.0

//! The specification of a pool, with one cell for each chunk.

use core::ops::DerefMut;

use crate::counting::length;
use crate::counting::numbered;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::SlotRange;
use crate::state::RangeState;
use crate::stats::Tallies;
use crate::stats::Tally;

/// The shadow's record of one chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The state of the range that has the chunk, or [`None`] if it is free.
    state: Option<RangeState>,
    /// Whether the chunk is the first of its range.
    first: bool,
}

impl Cell {
    /// Returns the state of the range that has the chunk, or [`None`] if it is free.
    #[inline]
    pub fn state(self) -> Option<RangeState> {
        self.state
    }

    /// Tells whether the chunk is the first of its range.
    #[inline]
    pub fn is_first(self) -> bool {
        self.first
    }
}

/// The shadow's record of one pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShadowPack {
    /// The rank.
    pub rank: Rank,
    /// Chunks in the pack.
    pub chunks: ChunkCount,
    /// Where the search begins.
    origin: u32,
    /// Whether it is for one image.
    one_image: bool,
    /// Whether it has had its image.
    taken: bool,
    /// The time at which the first of its retired ranges was retired, if there is one.
    waits_since: u64,
}

impl ShadowPack {
    /// Makes an empty pack whose origin is `origin`, modulo the number of chunks.
    pub fn new(chunks: ChunkCount, rank: Rank, origin: u32) -> Self {
        Self {
            rank,
            chunks,
            origin: origin.checked_rem(chunks.get()).unwrap_or(0),
            one_image: false,
            taken: false,
            waits_since: 0,
        }
    }

    /// Tells whether it was for one image and has had it.
    pub fn is_taken(&self) -> bool {
        self.taken
    }

    /// Keeps the pack for the first image.
    pub fn for_one_image(mut self) -> Self {
        self.one_image = true;
        self
    }
}

/// All packs and chunks, in storage that the caller lends. For each slot, `P` has an entry and `C`
/// has as many cells as a pack can have chunks.
pub struct Shadow<P, C> {
    packs: P,
    cells: C,
    /// The cells for each slot: the most chunks that a pack can have.
    stride: usize,
    /// The number of ranges that were retired so far, which serves as a clock.
    clock: u64,
}

impl<P, C> Shadow<P, C>
where
    P: DerefMut<Target = [Option<ShadowPack>]>,
    C: DerefMut<Target = [Cell]>,
{
    /// Makes a shadow without packs, or returns [`None`] if there are not `stride` cells for each
    /// slot.
    pub fn new(mut packs: P, mut cells: C, stride: ChunkCount) -> Option<Self> {
        let stride = stride.as_usize();
        if stride == 0 || cells.len() < packs.len().checked_mul(stride)? {
            return None;
        }
        packs.fill(None);
        cells.fill(Cell::default());
        Some(Self {
            packs,
            cells,
            stride,
            clock: 0,
        })
    }

    /// Visits the packs, lowest slot first.
    pub fn packs(&self) -> impl Iterator<Item = (u32, ShadowPack)> + '_ {
        numbered(self.packs.iter()).filter_map(|(slot, pack)| Some((slot, (*pack)?)))
    }

    /// Returns the pack in a slot.
    pub fn pack(&self, slot: u32) -> Option<ShadowPack> {
        // CAST: `usize` has at least 32 bits.
        self.packs.get(slot as usize).copied().flatten()
    }

    /// Returns the number of slots.
    pub fn capacity(&self) -> usize {
        self.packs.len()
    }

    /// Returns the cells of a slot's pack; none if it has no pack.
    pub fn cells(&self, slot: u32) -> &[Cell] {
        let Some(pack) = self.pack(slot) else {
            return &[];
        };
        // CAST: `usize` has at least 32 bits.
        let first = self.stride.saturating_mul(slot as usize);
        self.cells
            .get(first..first.saturating_add(pack.chunks.as_usize()))
            .unwrap_or(&[])
    }

    /// Returns the cells of a range, for changing.
    fn cells_of(&mut self, slot: u32, range: ChunkRange) -> &mut [Cell] {
        // CAST: `usize` has at least 32 bits.
        let slot = self.stride.saturating_mul(slot as usize);
        let first = slot.saturating_add(range.start().get() as usize);
        self.cells
            .get_mut(first..first.saturating_add(range.count().as_usize()))
            .unwrap_or(&mut [])
    }

    /// Puts a pack into the first vacant slot of `slots`, or else into the first vacant slot, and
    /// returns that slot.
    pub fn add(&mut self, pack: ShadowPack, slots: SlotRange) -> Option<u32> {
        let vacant = numbered(self.packs.iter_mut()).filter(|(_, entry)| entry.is_none());
        let (slot, entry) = vacant.min_by_key(|(slot, _)| (!slots.contains(*slot), *slot))?;
        *entry = Some(pack);
        Some(slot)
    }

    /// Removes the empty pack of the worst rank in the highest slot.
    pub fn take_empty(&mut self) -> Option<u32> {
        let empty = |slot: &u32| self.is_empty(*slot);
        let candidates = self.packs().filter(|(slot, _)| empty(slot));
        let worst = candidates
            .max_by_key(|(slot, pack)| (pack.rank, *slot))
            .map(|(slot, _)| slot)?;
        // CAST: `usize` has at least 32 bits.
        *self.packs.get_mut(worst as usize)? = None;
        Some(worst)
    }

    /// Returns the range of the first fit for `count` chunks: in the best rank in `among`, then in
    /// the lowest slot of `slots`, then at the lowest multiple of `align`: not before `from` (or the pack's
    /// origin), or anywhere.
    pub fn first_fit(
        &self,
        count: ChunkCount,
        align: ChunkCount,
        among: RankSet,
        slots: SlotRange,
        from: Option<u32>,
    ) -> Option<(u32, ChunkRange)> {
        for rank in Rank::all().filter(|rank| among.contains(*rank)) {
            let packs = self.packs().filter(|(slot, _)| slots.contains(*slot));
            for (slot, pack) in packs.filter(|(_, pack)| pack.rank == rank && !pack.taken) {
                let from = match from {
                    Some(from) => from.checked_rem(pack.chunks.get()).unwrap_or(0),
                    None => pack.origin,
                };
                let start = self
                    .lowest_fit(slot, from, count, align)
                    .or_else(|| self.lowest_fit(slot, 0, count, align));
                if let Some(start) = start {
                    return Some((slot, ChunkRange::new(ChunkIdx::new(start), count)?));
                }
            }
        }
        None
    }

    /// Tells whether `range` is free and at the start of a hole of fewer than 64 chunks, in a pack that
    /// takes images and has the rank of that in the slot `best`.
    pub fn is_fitting(&self, slot: u32, range: ChunkRange, best: u32) -> bool {
        let rank = |slot| {
            self.pack(slot)
                .filter(|pack| !pack.taken)
                .map(|pack| pack.rank)
        };
        let is_free = |chunk: u32| {
            let cell = self.cells(slot).get(chunk as usize);
            cell.is_some_and(|cell| cell.state.is_none())
        };
        let (start, end) = (range.start().get(), range.end().get());
        let before = start.checked_sub(1);
        let short = (end..start.saturating_add(64)).any(|chunk| !is_free(chunk));
        rank(slot).is_some()
            && rank(slot) == rank(best)
            && (start..end).all(is_free)
            && !before.is_some_and(is_free)
            && short
    }

    /// Tells whether a slot's pack has no range.
    fn is_empty(&self, slot: u32) -> bool {
        self.cells(slot).iter().all(|cell| cell.state.is_none())
    }

    /// Returns the lowest multiple of `align` not before `from` at which `count` chunks are free.
    fn lowest_fit(
        &self,
        slot: u32,
        from: u32,
        count: ChunkCount,
        align: ChunkCount,
    ) -> Option<u32> {
        let mut free = 0u32;
        for (end, cell) in (1..u32::MAX).zip(self.cells(slot)) {
            free = if cell.state.is_some() {
                0
            } else {
                free.saturating_add(1)
            };
            let start = end.saturating_sub(count.get());
            let aligned = start.checked_rem(align.get()) == Some(0);
            if free >= count.get() && aligned && start >= from {
                return Some(start);
            }
        }
        None
    }

    /// Gives a range the state `state`.
    pub fn take(&mut self, slot: u32, range: ChunkRange, state: RangeState) {
        for (index, cell) in numbered(self.cells_of(slot, range)) {
            *cell = Cell {
                state: Some(state),
                first: index == 0,
            };
        }
    }

    /// Makes a range reserved.
    pub fn reserve(&mut self, slot: u32, range: ChunkRange) {
        // CAST: `usize` has at least 32 bits.
        if let Some(Some(pack)) = self.packs.get_mut(slot as usize) {
            pack.taken = pack.one_image;
        }
        self.take(slot, range, RangeState::Reserved);
    }

    /// Makes a range free.
    pub fn free(&mut self, slot: u32, range: ChunkRange) {
        self.cells_of(slot, range).fill(Cell::default());
    }

    /// Makes a range retired.
    pub fn retire(&mut self, slot: u32, range: ChunkRange) {
        self.clock = self.clock.saturating_add(1);
        let first = self.tallies(slot).retired.ranges == 0;
        // CAST: `usize` has at least 32 bits.
        if let Some(Some(pack)) = self.packs.get_mut(slot as usize).filter(|_| first) {
            pack.waits_since = self.clock;
        }
        self.take(slot, range, RangeState::Retired);
    }

    /// Makes the retired ranges of up to `packs` packs syncing: of those that have waited longest.
    pub fn begin_batch(&mut self, packs: usize) -> Tally {
        let mut begun = Tally::default();
        for _ in 0..packs {
            let waiting = self
                .packs()
                .filter(|(slot, _)| self.tallies(*slot).retired.ranges != 0);
            let Some((slot, _)) = waiting.min_by_key(|(_, pack)| pack.waits_since) else {
                break;
            };
            while let Some(range) = self.first_in(slot, RangeState::Retired) {
                self.take(slot, range, RangeState::Syncing);
                begun = begun.plus(Tally::one(range.count()));
            }
        }
        begun
    }

    /// Makes the lowest syncing range of a slot free.
    pub fn release(&mut self, slot: u32) -> Tally {
        let Some(range) = self.first_in(slot, RangeState::Syncing) else {
            return Tally::default();
        };
        self.free(slot, range);
        Tally::one(range.count())
    }

    /// Returns the lowest range of a slot in a state.
    fn first_in(&self, slot: u32, state: RangeState) -> Option<ChunkRange> {
        let mut ranges = self.ranges(slot).filter(|(is, _)| *is == state);
        ranges.next().map(|(_, range)| range)
    }

    /// Counts all ranges of all packs in a state.
    pub fn count(&self, state: RangeState) -> usize {
        length(self.in_state(state))
    }

    /// Returns the range that starts at a chunk.
    pub fn find(&self, slot: u32, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        // CAST: `usize` has at least 32 bits.
        let mut cells = self.cells(slot).get(chunk.get() as usize..)?.iter();
        let first = cells.next().filter(|cell| cell.first)?;
        let more = length(cells.take_while(|cell| cell.state.is_some() && !cell.first));
        let count = u32::try_from(more).ok()?.checked_add(1)?;
        Some((
            first.state?,
            ChunkRange::new(chunk, ChunkCount::new(count))?,
        ))
    }

    /// Returns the range to which a chunk belongs.
    pub fn containing(&self, slot: u32, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        // CAST: `usize` has at least 32 bits.
        self.cells(slot).get(chunk.get() as usize)?.state?;
        let start = (0..=chunk.get()).rev().map(ChunkIdx::new);
        start.filter_map(|start| self.find(slot, start)).next()
    }

    /// Visits all ranges of a slot.
    pub fn ranges(&self, slot: u32) -> impl Iterator<Item = (RangeState, ChunkRange)> + '_ {
        let firsts = numbered(self.cells(slot)).filter(|(_, cell)| cell.first);
        firsts.filter_map(move |(chunk, _)| self.find(slot, ChunkIdx::new(chunk)))
    }

    /// Returns the range with the number `index`, modulo their number, of all ranges in the state
    /// `state`.
    pub fn nth(&self, state: RangeState, index: u32) -> Option<(u32, ChunkRange)> {
        let count = self.count(state);
        // CAST: `usize` has at least 32 bits.
        self.in_state(state)
            .nth((index as usize).checked_rem(count)?)
    }

    /// Visits all ranges in a state.
    fn in_state(&self, state: RangeState) -> impl Iterator<Item = (u32, ChunkRange)> + '_ {
        self.packs().flat_map(move |(slot, _)| {
            let firsts = numbered(self.cells(slot));
            let firsts = firsts.filter(move |(_, cell)| cell.first && cell.state == Some(state));
            firsts.filter_map(move |(chunk, _)| {
                Some((slot, self.find(slot, ChunkIdx::new(chunk))?.1))
            })
        })
    }

    /// Counts the ranges and chunks of a slot's pack by state.
    pub fn tallies(&self, slot: u32) -> Tallies {
        let mut tallies = Tallies::default();
        for cell in self.cells(slot) {
            if let Some(state) = cell.state {
                tallies.add(
                    state,
                    Tally {
                        ranges: u64::from(cell.first),
                        chunks: 1,
                    },
                );
            }
        }
        tallies
    }

    /// Returns the length of the free run that ends before the origin of a slot's pack.
    pub fn free_before_origin(&self, slot: u32) -> ChunkCount {
        let origin = self.pack(slot).map_or(0, |pack| pack.origin);
        let free = numbered(self.cells(slot)).fold(0u32, |free, (chunk, cell)| {
            match (chunk < origin, cell.state) {
                (false, _) => free,
                (true, None) => free.saturating_add(1),
                (true, Some(_)) => 0,
            }
        });
        ChunkCount::new(free)
    }

    /// Returns the length of the longest free run of a slot that an image may use.
    pub fn largest_hole(&self, slot: u32) -> ChunkCount {
        if self.pack(slot).is_some_and(|pack| pack.taken) {
            return ChunkCount::new(0);
        }
        let (mut longest, mut run) = (0u32, 0u32);
        for cell in self.cells(slot) {
            run = if cell.state.is_some() {
                0
            } else {
                run.saturating_add(1)
            };
            longest = longest.max(run);
        }
        ChunkCount::new(longest)
    }
}
