// SPDX-License-Identifier: GPL-2.0

//! Chunks that were handed out and that the index of free runs does not know of yet.
//!
//! Images come one after the other, and each is placed behind the one before. If the index were
//! refreshed each time, every image would cost a way up the tree. So the index is left alone while
//! images are placed without a gap, and refreshed once for all of them.

use crate::bitmap;
use crate::bitmap::WORD_BITS;
use crate::geometry::ChunkCount;

/// The part of a pack whose chunks may be fresh at a time: 32 KiB of a pack of 2 MiB.
const PART: u32 = 64;
/// Up to half of the pack, so many may be fresh in a smaller one: tests have packs of few chunks.
const AT_LEAST: u32 = 4;

/// A run of used chunks that the index counts as free.
///
/// # Invariants
///
/// If the run is not empty and `least` is not [`u32::MAX`], no free run of `least` chunks or more
/// comes before it, in the order from the pack's origin on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fresh {
    start: u32,
    end: u32,
    /// The smallest number of chunks of which it is known that they fit nowhere before the run.
    least: u32,
}

impl Fresh {
    /// Returns the most chunks that may be fresh in a pack of `chunks` chunks.
    #[inline]
    pub(crate) fn limit(chunks: ChunkCount) -> u32 {
        let part = chunks.get() / PART;
        part.max(AT_LEAST.min(chunks.get() / 2))
    }

    /// Makes the run of `count` chunks at `start`, the lowest place in the pack that they fit.
    #[inline]
    pub(crate) fn first(start: u32, count: u32) -> Self {
        // INVARIANT: A free run of `count` chunks before it would have been lower.
        Self {
            start,
            end: start.saturating_add(count),
            least: count,
        }
    }

    /// Returns the first chunk.
    #[inline]
    pub(crate) fn start(self) -> u32 {
        self.start
    }

    /// Returns the chunk after the last.
    #[inline]
    pub(crate) fn end(self) -> u32 {
        self.end
    }

    /// Returns the number of chunks.
    #[inline]
    pub(crate) fn count(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Tells whether there are none.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.count() == 0
    }

    /// Tells whether a chunk is one of them.
    #[inline]
    pub(crate) fn contains(self, chunk: u32) -> bool {
        self.start <= chunk && chunk < self.end
    }

    /// Returns their bits in the word at `index` of a bitmap.
    #[inline]
    pub(crate) fn in_word(self, index: usize) -> u64 {
        let first = bitmap::first_bit_of(index);
        let clip = |chunk: u32| chunk.saturating_sub(first).min(WORD_BITS);
        let below = |chunk| match clip(chunk) {
            WORD_BITS => u64::MAX,
            bits => !bitmap::from_bit(bits),
        };
        below(self.end) & !below(self.start)
    }

    /// Tells whether one of `count` chunks from `start` on is one of them.
    #[inline]
    pub(crate) fn overlaps(self, start: u32, count: u32) -> bool {
        start < self.end && self.start < start.saturating_add(count)
    }

    /// Tells whether it is known that `count` chunks fit nowhere before the run.
    #[inline]
    pub(crate) fn precedes(self, count: u32) -> bool {
        !self.is_empty() && count >= self.least
    }

    /// Notes that `count` chunks fit nowhere before the run.
    #[inline]
    pub(crate) fn note(&mut self, count: u32) {
        self.least = self.least.min(count);
    }

    /// Notes that chunks before the run became free.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.least = u32::MAX;
    }

    /// Moves the end of the run.
    #[inline]
    pub(crate) fn set_end(&mut self, end: u32) {
        self.end = end;
    }

    /// Returns the smallest number of chunks that are known to fit nowhere before the run.
    #[inline]
    pub(crate) fn least(self) -> u32 {
        self.least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_in_a_word_are_those_of_its_chunks() {
        let edges = [0, 1, 63, 64, 65, 127, 128, 190, 191, 192, 193];
        for start in edges {
            for end in edges.into_iter().filter(|end| *end >= start) {
                let fresh = Fresh::first(start, end - start);
                for word in 0..4 {
                    let want = (0..64).filter(|bit| fresh.contains(64 * word + bit));
                    let want = want.fold(0, |bits, bit| bits | (1u64 << bit));
                    assert_eq!(fresh.in_word(word as usize), want, "{start}..{end}: {word}");
                }
            }
        }
    }
}
