// SPDX-License-Identifier: GPL-2.0

//! One pack: which of its chunks are free, and in which state its ranges are.

use core::ops::DerefMut;

use crate::bitmap;
use crate::bitmap::Span;
use crate::error::Error;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::Rank;
use crate::geometry::MAX_CHUNKS;
use crate::runs::Runs;
use crate::state::RangeState;
use crate::stats::PackStats;
use crate::stats::PackTallies;
use crate::stats::Tallies;
use crate::stats::Tally;

pub(crate) mod parts;
pub(crate) mod retiring;
mod room;
#[cfg(test)]
mod tests;
mod writing;

use parts::Found;
use parts::Parts;
use parts::PartsMut;
use parts::GROUP;

/// Who may use the room of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Users {
    /// All images that fit.
    Many,
    /// The first image.
    One,
    /// Nobody: it has had its image.
    Nobody,
}

/// The records of one pack, in storage that the caller lends (`pack/parts.rs`).
///
/// # Invariants
///
/// - `chunks` is at least 1 and at most [`MAX_CHUNKS`], and `storage` has at least
///   [`Pack::words_needed`] words.
/// - A chunk is used if and only if it belongs to a range. Bits beyond the last chunk are used.
/// - The planes are 0 except at the first chunk of a range, where they are the code of its state.
/// - The index summarises the used bitmap, as if the chunks of `fresh` were used. These are at most
///   `Fresh::limit` many.
/// - `bound` is what `Pack::find_bound` returns.
/// - `tallies` counts the ranges and chunks of each state.
/// - `retired` covers the words in which retired ranges start, `syncing` those of syncing ones: so
///   the cost of a batch depends on what was freed, not on what the pack has.
pub struct Pack<S> {
    storage: S,
    chunks: ChunkCount,
    rank: Rank,
    /// Where the search for room begins: below `chunks`.
    origin: u32,
    users: Users,
    tallies: PackTallies,
    /// Chunks that the index counts as used.
    fresh: Fresh,
    /// The bound of the holes, in chunks.
    bound: u32,
    /// Where retired ranges start.
    retired: Span,
    /// Where syncing ranges start.
    syncing: Span,
    /// Calls of [`Pack::age`] since the pack became empty; 0 while it is not.
    empty_for: u8,
}

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Returns how many words of storage a pack of `chunks` chunks needs: 2,560 (20 KiB) for 2 MiB.
    pub const fn words_needed(chunks: ChunkCount) -> usize {
        parts::words_needed(chunks)
    }

    /// Makes the records of an empty pack. Overwrites the storage. O(words).
    ///
    /// # Errors
    ///
    /// [`Error::BadStorage`] if `storage` has fewer words than [`Pack::words_needed`], or `chunks`
    /// is 0 or more than [`MAX_CHUNKS`].
    pub fn new(storage: S, chunks: ChunkCount, rank: Rank) -> Result<Self, Error> {
        if chunks.get() == 0 || chunks > MAX_CHUNKS || storage.len() < Self::words_needed(chunks) {
            return Err(Error::BadStorage);
        }
        // INVARIANT: The size was checked. `clear` makes all chunks free, so that no range has any
        // state.
        let mut pack = Self {
            storage,
            chunks,
            rank,
            origin: 0,
            users: Users::Many,
            tallies: PackTallies::default(),
            fresh: Fresh::default(),
            bound: 0,
            retired: Span::default(),
            syncing: Span::default(),
            empty_for: 0,
        };
        pack.clear();
        Ok(pack)
    }

    /// Lets the search for room begin at the chunk `origin`, modulo the number of chunks, and go on
    /// at chunk 0 behind the last one: so the first images are there.
    #[must_use]
    pub fn with_origin(mut self, origin: u32) -> Self {
        // INVARIANT: A remainder is below the number of chunks.
        self.origin = self.within(origin);
        self
    }

    /// Keeps the pack for the first image: nothing else is ever placed there, neither in what that
    /// image does not need nor when it is gone.
    #[must_use]
    pub fn for_one_image(mut self) -> Self {
        self.users = Users::One;
        self
    }

    /// Returns `chunk` modulo the number of chunks.
    #[inline]
    fn within(&self, chunk: u32) -> u32 {
        chunk.checked_rem(self.chunks.get()).unwrap_or(0)
    }

    /// Makes all chunks free.
    fn clear(&mut self) {
        self.storage.fill(0);
        let chunks = self.chunks.get();
        let mut parts = self.parts_mut();
        let words = bitmap::words_for(chunks);
        parts.fill_used(chunks, bitmap::first_bit_of(words), true);
        parts.refresh(0, bitmap::first_bit_of(words), Fresh::default());
        self.note_bound();
    }

    /// Returns the number of chunks in the pack.
    #[inline]
    pub(crate) fn chunks(&self) -> ChunkCount {
        self.chunks
    }

    /// Returns the pack's rank.
    #[inline]
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// Returns the numbers of ranges and chunks in each state.
    #[inline]
    pub fn tallies(&self) -> Tallies {
        self.tallies.all()
    }

    /// Returns the numbers of ranges and chunks in a state.
    #[inline]
    pub(crate) fn tally(&self, state: RangeState) -> Tally {
        self.tallies.of(state)
    }

    /// Tells whether every chunk is free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    /// Returns a number of chunks above which nothing fits. O(1).
    ///
    /// It is the length of the longest free run, or up to 1/64 of the pack (in a small one, four
    /// chunks) more, and while the first images behind the origin are made, the length of the hole
    /// before the origin more. It is 0 if the pack was for one image and has had it.
    #[inline]
    pub fn hole_bound(&self) -> ChunkCount {
        ChunkCount::new(self.bound)
    }

    /// Returns the bound of the holes. O(1), or O(words) if the fresh run starts at the origin.
    pub(crate) fn find_bound(&self) -> u32 {
        if self.users == Users::Nobody {
            return 0;
        }
        let fresh = self.fresh;
        let longest = self.runs().longest();
        let bound = if fresh.is_empty() || fresh.start() != self.origin {
            longest.saturating_add(fresh.len())
        } else {
            // The hole before it goes on in it, and in the hole behind it, when it has no used chunk.
            let parts = self.parts();
            let before = parts.free_before(fresh.start());
            let end = bitmap::clear_until::<GROUP>(parts.groups, fresh.stop(), self.chunks.get());
            let with_fresh = end.saturating_sub(fresh.start()).saturating_add(before);
            longest.max(with_fresh)
        };
        bound.min(self.chunks.get())
    }

    /// Notes the bound of the holes, after a change of the index.
    fn note_bound(&mut self) {
        self.bound = self.find_bound();
    }

    /// Returns the length of the longest free run; 0 if nobody may use it. O(1), or O(run/64) just
    /// after images were placed: callers that can do with [`Self::hole_bound`] take that.
    pub fn largest_hole(&self) -> ChunkCount {
        if self.users == Users::Nobody {
            return ChunkCount::new(0);
        }
        ChunkCount::new(self.runs().longest().max(self.hole_of_fresh()))
    }

    /// Returns the length of the hole that has the free chunks of the fresh run, which the index
    /// does not know; 0 if it has none.
    fn hole_of_fresh(&self) -> u32 {
        let (fresh, parts) = (self.fresh, self.parts());
        if fresh.room() == 0 {
            return 0;
        }
        let before = if fresh.start() == fresh.end() {
            parts.free_before(fresh.start())
        } else {
            0
        };
        let end = bitmap::clear_until::<GROUP>(parts.groups, fresh.stop(), self.chunks.get());
        end.saturating_sub(fresh.end()).saturating_add(before)
    }

    /// Returns the pack's figures. As costly as [`Self::largest_hole`].
    pub fn stats(&self) -> PackStats {
        PackStats {
            rank: self.rank,
            chunks: u64::from(self.chunks.get()),
            largest_hole: u64::from(self.largest_hole().get()),
            tallies: self.tallies(),
            empty_for: self.empty_for,
        }
    }

    /// Returns the storage, for tests to damage.
    #[cfg(test)]
    pub(crate) fn storage_mut(&mut self) -> &mut [u64] {
        &mut self.storage
    }

    /// Returns the chunks that are set aside.
    pub(crate) fn fresh(&self) -> Fresh {
        self.fresh
    }

    /// Returns the bound of the holes, for tests to damage.
    #[cfg(test)]
    pub(crate) fn bound_mut(&mut self) -> &mut u32 {
        &mut self.bound
    }

    /// Returns the fresh chunks, for tests to damage.
    #[cfg(test)]
    pub(crate) fn fresh_mut(&mut self) -> &mut Fresh {
        &mut self.fresh
    }

    /// Sets free chunks aside, for tests to damage.
    #[cfg(test)]
    pub(crate) fn set_aside(&mut self, start: u32, stop: u32) {
        self.refresh();
        self.fresh = Fresh::new(start..start, stop, u32::MAX);
        let fresh = self.fresh;
        self.parts_mut().refresh(start, stop, fresh);
        self.note_bound();
    }

    /// Returns the chunk at which the search for room begins.
    pub(crate) fn origin(&self) -> u32 {
        self.origin
    }

    /// Returns where retired and where syncing ranges may start.
    pub(crate) fn spans(&self) -> (Span, Span) {
        (self.retired, self.syncing)
    }

    /// Returns the same, for tests to damage.
    #[cfg(test)]
    pub(crate) fn spans_mut(&mut self) -> (&mut Span, &mut Span) {
        (&mut self.retired, &mut self.syncing)
    }

    /// Returns the counters, for tests to damage.
    #[cfg(test)]
    pub(crate) fn tallies_mut(&mut self) -> &mut PackTallies {
        &mut self.tallies
    }

    #[inline]
    pub(crate) fn parts(&self) -> Parts<'_> {
        parts::split(&self.storage, self.chunks)
    }

    #[inline]
    fn parts_mut(&mut self) -> PartsMut<'_> {
        parts::split_mut(&mut self.storage, self.chunks)
    }

    /// Returns the index of free runs.
    #[inline]
    pub(crate) fn runs(&self) -> Runs<'_> {
        let parts = self.parts();
        Runs::new(parts.groups, parts.tree, self.fresh)
    }

    /// Returns the range that starts at `chunk`, with its state. O(range/64).
    #[inline]
    pub(crate) fn find(&self, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        let (state, end) = parts::find(&self.storage, chunk.get(), self.chunks)?;
        Some((state, ChunkRange::between(chunk.get(), end)?))
    }

    /// Returns the range that `chunk` belongs to, with its state. O(range/64).
    pub(crate) fn containing(&self, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        if chunk.get() >= self.chunks.get() || !self.parts().is_used(chunk.get()) {
            return None;
        }
        // A used chunk belongs to a range: the search ends at the start of that range at the
        // latest.
        let start = self.parts().start_before(chunk.get())?;
        self.find(ChunkIdx::new(start))
    }

    /// Visits the ranges that start at `from` or behind it, with their states, lowest first. O(words
    /// between `from` and the end of the last one that is asked for).
    pub fn ranges_from(
        &self,
        from: ChunkIdx,
    ) -> impl Iterator<Item = (RangeState, ChunkRange)> + '_ {
        let mut next = from.get();
        core::iter::from_fn(move || {
            let start = self.parts().start_from(next)?;
            let found = self.find(ChunkIdx::new(start))?;
            next = found.1.end().get();
            Some(found)
        })
    }

    /// Returns the range that starts at `chunk`, for a change of its state. O(range/64).
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`].
    #[inline(always)]
    fn find_mut(&mut self, chunk: ChunkIdx) -> Result<(Found<'_>, &mut PackTallies), Error> {
        let found = parts::find_mut(&mut self.storage, chunk.get(), self.chunks);
        Ok((found.ok_or(Error::NotAllocated)?, &mut self.tallies))
    }

    /// Counts one more round if the pack is empty.
    pub(crate) fn age(&mut self) {
        self.empty_for = if self.is_empty() {
            self.empty_for.saturating_add(1)
        } else {
            0
        };
    }
}
