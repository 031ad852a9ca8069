// SPDX-License-Identifier: GPL-2.0

//! One pack: which chunks are free, and in which state each range of the others is.

use core::ops::DerefMut;

use crate::bitmap;
use crate::bitmap::Span;
use crate::geometry::ChunkCount;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::Rank;
use crate::geometry::MAX_CHUNKS;
use crate::probe;
use crate::runs;
use crate::runs::Runs;
use crate::state::RangeState;
use crate::stats::PackStats;
use crate::stats::Tallies;
use crate::stats::Tally;
use crate::Error;

/// Who fills a range with traps that was taken from its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "whoever took a range that is retiring has to fill it with traps"]
pub enum Taken {
    /// The caller does, now, and then calls [`Pool::retired`](crate::Pool::retired).
    Retiring(ChunkRange),
    /// Whoever is writing there does, when the copy ends: see [`WriteEnd::Doomed`].
    Doomed(ChunkRange),
}

/// What became of a range while it was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "whoever wrote to a range that is doomed has to fill it with traps"]
pub enum WriteEnd {
    /// It is still its owner's.
    Kept,
    /// It was freed: it is [`Retiring`](RangeState::Retiring) now. The caller writes traps and then
    /// calls [`Pool::retired`](crate::Pool::retired).
    Doomed,
}

/// The book of one pack.
///
/// The lent words hold, one after the other: the *used* bitmap, three planes A, B and C, and the
/// index of free runs (`runs.rs`). 5 bits for each chunk: 20 KiB for a 2 MiB pack. A range's state
/// stands in the planes at its first chunk and nowhere else; so the planes also say where ranges
/// start, and freeing a range needs no memory.
///
/// # Invariants
///
/// - `chunks` is at least 1 and at most [`MAX_CHUNKS`], and `storage` has at least
///   [`Pack::words_needed`] words.
/// - A chunk is used if and only if it belongs to a range. Bits beyond the last chunk are used.
/// - The planes are 0 except at the first chunk of a range, where they are the code of its state.
/// - The index summarises the used bitmap.
/// - `tallies` counts the ranges and chunks of each state.
/// - `retired` covers the words in which retired ranges start, `syncing` those of syncing ones: so
///   a batch costs what was freed, not what the pack has.
pub struct Pack<S> {
    /// The lent words.
    storage: S,
    /// Chunks in the pack.
    chunks: ChunkCount,
    /// How good a home it is.
    rank: Rank,
    /// What is not free, by state.
    tallies: Tallies,
    /// Where retired ranges start.
    retired: Span,
    /// Where syncing ranges start.
    syncing: Span,
    /// For how many rounds of [`Pack::age`] in a row nothing was in use.
    empty_for: u8,
}

/// The parts of the lent words, to read.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// One bit for each chunk: not free.
    pub(crate) used: &'a [u64],
    /// The first plane of the states.
    pub(crate) a: &'a [u64],
    /// The second plane of the states.
    pub(crate) b: &'a [u64],
    /// The third plane of the states.
    pub(crate) c: &'a [u64],
    /// The nodes of the index.
    pub(crate) tree: &'a [u64],
}

/// The parts of the lent words, to change.
struct PartsMut<'a> {
    /// One bit for each chunk: not free.
    used: &'a mut [u64],
    /// The first plane of the states.
    a: &'a mut [u64],
    /// The second plane of the states.
    b: &'a mut [u64],
    /// The third plane of the states.
    c: &'a mut [u64],
    /// The nodes of the index.
    tree: &'a mut [u64],
}

impl Parts<'_> {
    /// Returns what the planes say about a chunk.
    #[inline]
    pub(crate) fn state(&self, chunk: u32) -> Option<RangeState> {
        RangeState::from_code((
            bitmap::get(self.a, chunk),
            bitmap::get(self.b, chunk),
            bitmap::get(self.c, chunk),
        ))
    }

    /// Returns a word of the bitmap of first chunks.
    #[inline]
    fn starts(&self, index: usize) -> u64 {
        probe::visit();
        bitmap::word(self.a, index) | bitmap::word(self.b, index) | bitmap::word(self.c, index)
    }

    /// Returns the end of the range that starts at `start`. O(range/64).
    fn end_of(&self, start: u32, chunks: u32) -> u32 {
        // A range ends where something is free or something else starts.
        let mut mask = bitmap::from_bit(start) & !1u64.wrapping_shl(start);
        let first_word = bitmap::word_of(start);
        let words = self.used.get(first_word..).unwrap_or_default();
        for (index, used) in (first_word..usize::MAX).zip(words) {
            let ends = (!used | self.starts(index)) & mask;
            if ends != 0 {
                let end = bitmap::first_bit_of(index).saturating_add(ends.trailing_zeros());
                return end.min(chunks);
            }
            mask = u64::MAX;
        }
        chunks
    }

    /// Returns the last place not after `chunk` where a range starts. O(distance/64).
    fn start_before(&self, chunk: u32) -> Option<u32> {
        let mut mask = bitmap::up_to_bit(chunk);
        for index in (0..=bitmap::word_of(chunk)).rev() {
            let starts = self.starts(index) & mask;
            if starts != 0 {
                return Some(bitmap::first_bit_of(index).saturating_add(starts.ilog2()));
            }
            mask = u64::MAX;
        }
        None
    }
}

impl PartsMut<'_> {
    /// Writes a state into the planes; none makes the chunk no longer the first of a range.
    #[inline]
    fn set_state(&mut self, chunk: u32, state: Option<RangeState>) {
        let (a, b, c) = state.map_or((false, false, false), RangeState::code);
        bitmap::assign(self.a, chunk, a);
        bitmap::assign(self.b, chunk, b);
        bitmap::assign(self.c, chunk, c);
    }

    /// Makes chunks free or used, in the bitmap and in the index. O(chunks/64 + log of the pack).
    fn set_used(&mut self, start: u32, end: u32, used: bool) {
        if start < end {
            bitmap::fill(self.used, start, end, used);
            let last = bitmap::word_of(end.saturating_sub(1));
            runs::refresh(self.used, self.tree, bitmap::word_of(start), last);
        }
    }
}

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Returns how many words a pack of `chunks` chunks needs: 2,560 (20 KiB) for a 2 MiB pack.
    pub const fn words_needed(chunks: ChunkCount) -> usize {
        let words = bitmap::words_for(chunks.get());
        words
            .saturating_mul(4)
            .saturating_add(runs::leaves_for(words))
    }

    /// Makes the book of an empty pack. The storage's content does not matter. O(words).
    ///
    /// # Errors
    ///
    /// [`Error::BadStorage`] if `storage` has fewer words than [`Pack::words_needed`], or `chunks`
    /// is 0 or more than [`MAX_CHUNKS`].
    pub fn new(storage: S, chunks: ChunkCount, rank: Rank) -> Result<Self, Error> {
        if chunks.get() == 0 || chunks > MAX_CHUNKS || storage.len() < Self::words_needed(chunks) {
            return Err(Error::BadStorage);
        }
        // INVARIANT: the size was checked; `clear` makes all chunks free, of which nothing is in
        // any state.
        let mut pack = Self {
            storage,
            chunks,
            rank,
            tallies: Tallies::default(),
            retired: Span::default(),
            syncing: Span::default(),
            empty_for: 0,
        };
        pack.clear();
        Ok(pack)
    }

    /// Makes everything free.
    fn clear(&mut self) {
        self.storage.fill(0);
        let chunks = self.chunks.get();
        let parts = self.parts_mut();
        let words = parts.used.len();
        bitmap::fill(parts.used, chunks, bitmap::first_bit_of(words), true);
        runs::refresh(parts.used, parts.tree, 0, words.saturating_sub(1));
    }

    /// Returns the number of chunks in the pack.
    #[inline]
    pub fn chunks(&self) -> ChunkCount {
        self.chunks
    }

    /// Returns how good a home the pack is.
    #[inline]
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// Returns the counters of what is not free.
    #[inline]
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// Tells whether every chunk is free.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    /// Returns the length of the longest free run. O(1).
    #[inline]
    pub fn largest_hole(&self) -> ChunkCount {
        ChunkCount::new(self.runs().longest())
    }

    /// Returns the pack's figures. O(1).
    pub fn stats(&self) -> PackStats {
        PackStats {
            rank: self.rank,
            chunks: u64::from(self.chunks.get()),
            largest_hole: u64::from(self.largest_hole().get()),
            tallies: self.tallies,
            empty_for: self.empty_for,
        }
    }

    /// Gives the lent storage back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Returns the lent words, for tests to damage.
    #[cfg(test)]
    pub(crate) fn storage_mut(&mut self) -> &mut [u64] {
        &mut self.storage
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
    pub(crate) fn tallies_mut(&mut self) -> &mut Tallies {
        &mut self.tallies
    }

    /// Cuts the lent words into their parts.
    #[inline]
    pub(crate) fn parts(&self) -> Parts<'_> {
        let words = bitmap::words_for(self.chunks.get());
        let (used, rest) = cut(&self.storage, words);
        let (a, rest) = cut(rest, words);
        let (b, rest) = cut(rest, words);
        let (c, rest) = cut(rest, words);
        let (tree, _) = cut(rest, runs::leaves_for(words));
        Parts {
            used,
            a,
            b,
            c,
            tree,
        }
    }

    /// Cuts the lent words into their parts, to change.
    #[inline]
    fn parts_mut(&mut self) -> PartsMut<'_> {
        let words = bitmap::words_for(self.chunks.get());
        let (used, rest) = cut_mut(&mut self.storage, words);
        let (a, rest) = cut_mut(rest, words);
        let (b, rest) = cut_mut(rest, words);
        let (c, rest) = cut_mut(rest, words);
        let (tree, _) = cut_mut(rest, runs::leaves_for(words));
        PartsMut {
            used,
            a,
            b,
            c,
            tree,
        }
    }

    /// Returns the index of free runs.
    #[inline]
    pub(crate) fn runs(&self) -> Runs<'_> {
        let parts = self.parts();
        Runs::new(parts.used, parts.tree)
    }

    /// Returns the range that starts at `chunk`, with its state. O(range/64).
    pub fn find(&self, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        let parts = self.parts();
        let state = parts.state(chunk.get())?;
        let end = parts.end_of(chunk.get(), self.chunks.get());
        Some((state, ChunkRange::between(chunk.get(), end)?))
    }

    /// Returns the range that `chunk` is part of, with its state. O(range/64).
    pub fn containing(&self, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        if chunk.get() >= self.chunks.get() || !bitmap::get(self.parts().used, chunk.get()) {
            return None;
        }
        // A used chunk belongs to a range, so that its start bounds the search.
        let start = self.parts().start_before(chunk.get())?;
        self.find(ChunkIdx::new(start))
    }

    /// Visits all ranges with their states, lowest first. O(words) for all of them.
    pub fn ranges(&self) -> impl Iterator<Item = (RangeState, ChunkRange)> + '_ {
        let parts = self.parts();
        let words = 0..bitmap::words_for(self.chunks.get());
        words
            .flat_map(move |index| {
                let first = bitmap::first_bit_of(index);
                bitmap::ones(parts.starts(index)).map(move |bit| first.saturating_add(bit))
            })
            .filter_map(|start| self.find(ChunkIdx::new(start)))
    }

    /// Returns the lowest free run of `count` chunks that starts at a multiple of `align`.
    ///
    /// O(log words) for an alignment of 1; else that for each hole on the way.
    fn first_fit(&self, count: ChunkCount, align: ChunkCount) -> Option<u32> {
        let (count, align, runs) = (count.get(), align.get(), self.runs());
        let mut start = runs.first_fit(count)?;
        loop {
            let aligned = start.checked_next_multiple_of(align)?;
            if aligned == start {
                return Some(start);
            }
            start = runs.first_fit_from(aligned, count)?;
        }
    }

    /// Takes the first fit: Free → Reserved.
    ///
    /// # Errors
    ///
    /// [`Error::NeedPack`] if nothing fits.
    pub(crate) fn reserve(
        &mut self,
        count: ChunkCount,
        align: ChunkCount,
    ) -> Result<ChunkRange, Error> {
        let range = self
            .first_fit(count, align)
            .and_then(|start| ChunkRange::new(ChunkIdx::new(start), count))
            .ok_or(Error::NeedPack(count))?;
        // INVARIANT: the chunks were free; they become one range, with its state at the first,
        // counted.
        let mut parts = self.parts_mut();
        parts.set_used(range.start().get(), range.end().get(), true);
        parts.set_state(range.start().get(), Some(RangeState::Reserved));
        self.tallies.add(RangeState::Reserved, Tally::one(count));
        self.empty_for = 0;
        Ok(range)
    }

    /// Gives back the tail of a reserved range.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] for `keep` 0, [`Error::TooLarge`] for more than there is, and those of
    /// [`Pack::verify`].
    pub(crate) fn trim(
        &mut self,
        range: ChunkRange,
        keep: ChunkCount,
    ) -> Result<ChunkRange, Error> {
        self.verify(range, RangeState::Reserved)?;
        if keep > range.count() {
            return Err(Error::TooLarge);
        }
        let kept = ChunkRange::new(range.start(), keep).ok_or(Error::Empty)?;
        // INVARIANT: the tail becomes free; the first chunk, with the state, is not part of it.
        self.parts_mut()
            .set_used(kept.end().get(), range.end().get(), false);
        self.tallies
            .remove(RangeState::Reserved, Tally::one(range.count()));
        self.tallies.add(RangeState::Reserved, Tally::one(keep));
        Ok(kept)
    }

    /// Checks that `range` is exactly a range of this pack, in the state `wanted`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    pub(crate) fn verify(&self, range: ChunkRange, wanted: RangeState) -> Result<(), Error> {
        match self.find(range.start()) {
            None => Err(Error::NotAllocated),
            Some((state, _)) if state != wanted => Err(Error::WrongState(state)),
            Some((_, found)) if found != range => Err(Error::WrongRange),
            Some(_) => Ok(()),
        }
    }

    /// Changes the state of `range`, which must be a range of this pack in the state `from`.
    fn change(&mut self, range: ChunkRange, from: RangeState, to: RangeState) {
        // INVARIANT: the state stays at the first chunk, and the range is counted under its new
        // state.
        self.parts_mut().set_state(range.start().get(), Some(to));
        self.tallies.remove(from, Tally::one(range.count()));
        self.tallies.add(to, Tally::one(range.count()));
    }

    /// Reserved or Live → Writing; returns which it was.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    pub(crate) fn begin_write(&mut self, range: ChunkRange) -> Result<RangeState, Error> {
        let (state, found) = self.find(range.start()).ok_or(Error::NotAllocated)?;
        match state {
            RangeState::Reserved | RangeState::Live if found == range => {
                self.change(range, state, RangeState::Writing);
                Ok(state)
            }
            RangeState::Reserved | RangeState::Live => Err(Error::WrongRange),
            RangeState::Writing
            | RangeState::Doomed
            | RangeState::Retiring
            | RangeState::Retired
            | RangeState::Syncing => Err(Error::WrongState(state)),
        }
    }

    /// Writing → Live, or Doomed → Retiring.
    ///
    /// # Errors
    ///
    /// Those of [`Pack::end_write`].
    pub(crate) fn finalize(&mut self, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.end_write(range, RangeState::Live)
    }

    /// Writing → Reserved, or Doomed → Retiring.
    ///
    /// # Errors
    ///
    /// Those of [`Pack::end_write`].
    pub(crate) fn abort_write(&mut self, range: ChunkRange) -> Result<WriteEnd, Error> {
        self.end_write(range, RangeState::Reserved)
    }

    /// Writing → `kept`, or Doomed → Retiring.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`], [`Error::WrongState`] or [`Error::WrongRange`], in this order.
    fn end_write(&mut self, range: ChunkRange, kept: RangeState) -> Result<WriteEnd, Error> {
        let (state, found) = self.find(range.start()).ok_or(Error::NotAllocated)?;
        let (to, end) = match state {
            RangeState::Writing => (kept, WriteEnd::Kept),
            RangeState::Doomed => (RangeState::Retiring, WriteEnd::Doomed),
            RangeState::Reserved
            | RangeState::Live
            | RangeState::Retiring
            | RangeState::Retired
            | RangeState::Syncing => return Err(Error::WrongState(state)),
        };
        if found != range {
            return Err(Error::WrongRange);
        }
        self.change(range, state, to);
        Ok(end)
    }

    /// Live or Reserved → Retiring, or Writing → Doomed.
    ///
    /// # Errors
    ///
    /// [`Error::NotAllocated`] if no range starts there, [`Error::WrongState`] if it is doomed, or
    /// retiring or further already.
    pub(crate) fn begin_retire(&mut self, chunk: ChunkIdx) -> Result<Taken, Error> {
        let (state, range) = self.find(chunk).ok_or(Error::NotAllocated)?;
        match state {
            RangeState::Reserved | RangeState::Live => {
                self.change(range, state, RangeState::Retiring);
                Ok(Taken::Retiring(range))
            }
            RangeState::Writing => {
                self.change(range, state, RangeState::Doomed);
                Ok(Taken::Doomed(range))
            }
            RangeState::Doomed
            | RangeState::Retiring
            | RangeState::Retired
            | RangeState::Syncing => Err(Error::WrongState(state)),
        }
    }

    /// Retiring → Retired.
    ///
    /// # Errors
    ///
    /// Those of [`Pack::verify`].
    pub(crate) fn retired(&mut self, range: ChunkRange) -> Result<(), Error> {
        self.verify(range, RangeState::Retiring)?;
        // INVARIANT: the span grows by the word in which the range starts.
        self.retired = self.retired.and(Span::of_bit(range.start().get()));
        self.change(range, RangeState::Retiring, RangeState::Retired);
        Ok(())
    }

    /// Retired → Syncing, all of them. O(words between the first and the last).
    pub(crate) fn begin_sync(&mut self) -> Tally {
        let span = core::mem::take(&mut self.retired);
        // INVARIANT: whatever starts in the one span is in the other now.
        self.syncing = self.syncing.and(span);
        let parts = self.parts_mut();
        let planes = span.of_mut(parts.a).iter_mut().zip(span.of_mut(parts.b));
        for ((a, b), c) in planes.zip(span.of(parts.c)) {
            probe::visit();
            let retired = *a & !*b & *c;
            *a &= !retired;
            *b |= retired;
        }
        let begun = self.tallies.retired;
        self.tallies.remove(RangeState::Retired, begun);
        self.tallies.add(RangeState::Syncing, begun);
        begun
    }

    /// Syncing → Free, the lowest `at_most` of them. O(words between the first and the last of these,
    /// and the last one's).
    ///
    /// However many ranges a word has, it is looked at once; and the index is brought up to date
    /// once.
    pub(crate) fn release(&mut self, at_most: u32) -> Tally {
        let span = self.syncing;
        let first = span.words().start;
        let last_chunk = self.chunks.get().saturating_sub(1);
        let parts = self.parts_mut();
        let mut released = Tally::default();
        let mut left = at_most;
        // The first word in which something may be left.
        let mut rest = first;
        let mut touched: Option<(usize, usize)> = None;
        // The word before ends in the middle of a range that becomes free.
        let mut open = false;
        for index in first..parts.used.len() {
            if !open && (left == 0 || !span.covers(index)) {
                break;
            }
            probe::visit();
            let [a, b, c, used] =
                [&*parts.a, parts.b, parts.c, parts.used].map(|words| bitmap::word(words, index));
            let syncing = !a & b & c;
            let starts = bitmap::lowest(syncing, left);
            // Used and no start: that of the last start before. What is beyond the pack is nobody's.
            let mut inner = used & !(a | b | c);
            if index == bitmap::word_of(last_chunk) {
                inner &= bitmap::up_to_bit(last_chunk);
            }
            let (freed, goes_on) = bitmap::follow(starts, inner, open);
            // INVARIANT: whole ranges become free, and nothing starts there any more: their A is 0.
            bitmap::clear(parts.b, index, starts);
            bitmap::clear(parts.c, index, starts);
            bitmap::clear(parts.used, index, freed);
            open = goes_on;
            left = left.saturating_sub(starts.count_ones());
            rest = if starts == syncing {
                index.saturating_add(1)
            } else {
                index
            };
            if freed != 0 {
                touched = Some((touched.map_or(index, |(first, _)| first), index));
            }
            released = released.plus(Tally {
                ranges: u64::from(starts.count_ones()),
                chunks: u64::from(freed.count_ones()),
            });
        }
        if let Some((first, last)) = touched {
            runs::refresh(parts.used, parts.tree, first, last);
        }
        // INVARIANT: what was not reached starts in the rest of the span.
        self.tallies.remove(RangeState::Syncing, released);
        self.syncing = if self.tallies.syncing.ranges == 0 {
            Span::default()
        } else {
            span.from(rest)
        };
        released
    }

    /// Notes that one more round has passed, for packs that are empty.
    pub(crate) fn age(&mut self) {
        self.empty_for = if self.is_empty() {
            self.empty_for.saturating_add(1)
        } else {
            0
        };
    }
}

/// Cuts a slice in two; what is missing is missing from the second part, then from the first.
#[inline]
fn cut(words: &[u64], at: usize) -> (&[u64], &[u64]) {
    words.split_at_checked(at).unwrap_or((words, &[]))
}

/// Cuts a slice in two, to change.
#[inline]
fn cut_mut(words: &mut [u64], at: usize) -> (&mut [u64], &mut [u64]) {
    let at = at.min(words.len());
    words.split_at_mut_checked(at).unwrap_or_default()
}

#[cfg(test)]
mod tests;
