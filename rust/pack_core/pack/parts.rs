// SPDX-License-Identifier: GPL-2.0

//! How a pack's storage is divided, and what its words say about chunks.
//!
//! The words hold, one after the other: the *used* bitmap, three planes A, B and C for the states
//! of ranges, and the index of free runs (`runs.rs`). That is 5 bits for each chunk: 20 KiB for a
//! pack of 2 MiB. The state of a range stands in the planes at its first chunk and nowhere else. So
//! the planes also say where ranges start, and freeing a range needs no memory.

use crate::bitmap;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::probe;
use crate::runs;
use crate::state::RangeState;

/// The parts of a pack's storage, for reading.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// One bit for each chunk, set if the chunk is not free.
    pub(crate) used: &'a [u64],
    /// The planes of the states: see [`RangeState::code`].
    pub(crate) a: &'a [u64],
    pub(crate) b: &'a [u64],
    pub(crate) c: &'a [u64],
    /// The nodes of the index of free runs.
    pub(crate) tree: &'a [u64],
}

/// The parts of a pack's storage, for changing.
pub(super) struct PartsMut<'a> {
    pub(super) used: &'a mut [u64],
    pub(super) a: &'a mut [u64],
    pub(super) b: &'a mut [u64],
    pub(super) c: &'a mut [u64],
    pub(super) tree: &'a mut [u64],
}

impl Parts<'_> {
    /// Returns the state of the range that starts at `chunk`, or [`None`] if no range does.
    #[inline]
    pub(crate) fn state(&self, chunk: u32) -> Option<RangeState> {
        RangeState::from_code((
            bitmap::get(self.a, chunk),
            bitmap::get(self.b, chunk),
            bitmap::get(self.c, chunk),
        ))
    }

    /// Returns the word at `index` of a bitmap of the chunks at which ranges start.
    #[inline]
    pub(crate) fn starts(&self, index: usize) -> u64 {
        probe::visit();
        bitmap::word(self.a, index) | bitmap::word(self.b, index) | bitmap::word(self.c, index)
    }

    /// Returns the end of the range that starts at `start`. O(range/64).
    pub(super) fn end_of(&self, start: u32, chunks: u32) -> u32 {
        // A range ends before the next free chunk or the next start of a range.
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

    /// Returns the last chunk up to and including `chunk` at which a range starts. O(distance/64).
    pub(super) fn start_before(&self, chunk: u32) -> Option<u32> {
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
    /// Writes the state of the range that starts at `chunk`; with [`None`] no range starts there.
    #[inline]
    pub(super) fn set_state(&mut self, chunk: u32, state: Option<RangeState>) {
        let (a, b, c) = state.map_or((false, false, false), RangeState::code);
        bitmap::assign(self.a, chunk, a);
        bitmap::assign(self.b, chunk, b);
        bitmap::assign(self.c, chunk, c);
    }

    /// Marks the chunks from `start` up to but not including `end` as used or free, in the bitmap
    /// and in the index, which counts those of `fresh` as free. O(chunks/64 + log of the pack).
    pub(super) fn set_used(&mut self, start: u32, end: u32, used: bool, fresh: Fresh) {
        if start < end {
            bitmap::fill(self.used, start, end, used);
            self.refresh(start, end, fresh);
        }
    }

    /// Brings the index up to date for the chunks from `start` up to but not including `end`.
    pub(super) fn refresh(&mut self, start: u32, end: u32, fresh: Fresh) {
        let (first, last) = (start, end.saturating_sub(1));
        let words = (bitmap::word_of(first), bitmap::word_of(last));
        runs::refresh(self.used, self.tree, fresh, words.0, words.1);
    }
}

/// Returns the number of words that a pack of `chunks` chunks needs.
pub(super) const fn words_needed(chunks: ChunkCount) -> usize {
    let words = bitmap::words_for(chunks.get());
    words
        .saturating_mul(4)
        .saturating_add(runs::leaves_for(words))
}

/// Cuts the storage of a pack of `chunks` chunks into its parts, with `cut`.
macro_rules! split {
    ($storage:expr, $chunks:expr, $cut:ident, $parts:ident) => {{
        let words = bitmap::words_for($chunks.get());
        let (used, rest) = $cut($storage, words);
        let (a, rest) = $cut(rest, words);
        let (b, rest) = $cut(rest, words);
        let (c, rest) = $cut(rest, words);
        let (tree, _) = $cut(rest, runs::leaves_for(words));
        $parts {
            used,
            a,
            b,
            c,
            tree,
        }
    }};
}

/// Cuts the storage of a pack of `chunks` chunks into its parts.
#[inline]
pub(super) fn split(storage: &[u64], chunks: ChunkCount) -> Parts<'_> {
    split!(storage, chunks, cut, Parts)
}

/// As [`split()`], for changing.
#[inline]
pub(super) fn split_mut(storage: &mut [u64], chunks: ChunkCount) -> PartsMut<'_> {
    split!(storage, chunks, cut_mut, PartsMut)
}

/// Cuts `words` in two at `at`. If there are fewer words, the second part is empty.
#[inline]
fn cut(words: &[u64], at: usize) -> (&[u64], &[u64]) {
    words.split_at_checked(at).unwrap_or((words, &[]))
}

/// As [`cut`], for changing.
#[inline]
fn cut_mut(words: &mut [u64], at: usize) -> (&mut [u64], &mut [u64]) {
    let at = at.min(words.len());
    words.split_at_mut_checked(at).unwrap_or_default()
}
