// SPDX-License-Identifier: GPL-2.0

//! The chunks of a pack that are set aside for the next images.
//!
//! Images come one after the other, and each is placed behind the one before. If the index of free
//! runs followed each of them, every image would cost a search and a way up the tree. So a part of
//! a hole is set aside: the index counts all of it as used, once, and images take their chunks
//! from it without a look at the index. An image that is too long for what is left goes on in the
//! hole behind it, and so does the run, which then begins in that image. When it does not serve any
//! more, the index learns what of it is free.

use core::ops::Range;

use crate::bitmap;
use crate::bitmap::WORD_BITS;
use crate::geometry::ChunkCount;

/// The part of a pack that may be set aside: 32 KiB of a pack of 2 MiB.
const PART: u32 = 64;
/// Up to half of the pack, so many may be in a smaller one: tests have packs of few chunks.
const AT_LEAST: u32 = 4;

/// A run of chunks that the index counts as used: first those that images have taken, then free
/// ones.
///
/// # Invariants
///
/// - `start <= end <= stop`. Chunks from `start` up to `end` are used, those from `end` up to
///   `stop` are free.
/// - If `least` is not [`u32::MAX`], no free run of `least` chunks or more comes before `start`, in
///   the order from the pack's origin on. It is that if the run is empty.
/// - If `start` is `end`, and neither 0 nor the pack's origin, the chunk before is used: a hole there
///   would go on in the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    start: u32,
    end: u32,
    stop: u32,
    /// The smallest number of chunks of which it is known that they fit nowhere before the run.
    least: u32,
}

impl Default for Fresh {
    /// Makes an empty run.
    fn default() -> Self {
        Self {
            start: 0,
            end: 0,
            stop: 0,
            least: u32::MAX,
        }
    }
}

impl Fresh {
    /// Returns the most chunks that may be set aside in a pack of `chunks` chunks.
    #[inline]
    pub(crate) fn limit(chunks: ChunkCount) -> u32 {
        let part = chunks.get() / PART;
        part.max(AT_LEAST.min(chunks.get() / 2))
    }

    /// Returns the first chunk of the run behind an image: it has the image's last ones, so that
    /// it takes them back when the image is trimmed, but leaves room for the next image, also
    /// behind one that is longer than a run.
    #[inline]
    fn start_behind(image: &Range<u32>, chunks: ChunkCount) -> u32 {
        let half = Self::limit(chunks) / 2;
        image.end.saturating_sub(half).max(image.start)
    }

    /// Returns the last chunk at which the run behind an image may stop, if that is in the pack.
    #[inline]
    pub(crate) fn most(image: &Range<u32>, chunks: ChunkCount) -> u32 {
        Self::start_behind(image, chunks).saturating_add(Self::limit(chunks))
    }

    /// Makes the run behind an image, in a pack of `chunks` chunks, whose free chunks go up to `stop`;
    /// an empty one if there are none. An image of `least` chunks does not fit before this one.
    #[inline]
    pub(crate) fn behind(image: &Range<u32>, stop: u32, least: u32, chunks: ChunkCount) -> Self {
        if stop <= image.end {
            return Self::default();
        }
        Self {
            start: Self::start_behind(image, chunks),
            end: image.end,
            stop,
            least,
        }
    }

    /// Makes the run with the chunks `used` and the free ones behind these up to `stop`.
    #[cfg(test)]
    pub(crate) fn new(used: Range<u32>, stop: u32, least: u32) -> Self {
        Self {
            start: used.start,
            end: used.end,
            stop,
            least,
        }
    }

    /// Returns the first chunk.
    #[inline]
    pub(crate) fn start(self) -> u32 {
        self.start
    }

    /// Returns the chunk after the last used one: the next image starts there.
    #[inline]
    pub(crate) fn end(self) -> u32 {
        self.end
    }

    /// Returns the chunk after the last.
    #[inline]
    pub(crate) fn stop(self) -> u32 {
        self.stop
    }

    /// Returns the smallest number of chunks that are known to fit nowhere before the run.
    #[inline]
    pub(crate) fn least(self) -> u32 {
        self.least
    }

    /// Returns the number of chunks.
    #[inline]
    pub(crate) fn len(self) -> u32 {
        self.stop.saturating_sub(self.start)
    }

    /// Returns the number of free chunks.
    #[inline]
    pub(crate) fn room(self) -> u32 {
        self.stop.saturating_sub(self.end)
    }

    /// Tells whether there are no chunks.
    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Tells whether a chunk belongs to the run.
    #[inline]
    pub(crate) fn contains(self, chunk: u32) -> bool {
        self.start <= chunk && chunk < self.stop
    }

    /// Returns the bits of the run in the word at `index` of a bitmap.
    #[inline]
    pub(crate) fn in_word(self, index: usize) -> u64 {
        let first = bitmap::first_bit_of(index);
        let clip = |chunk: u32| chunk.saturating_sub(first).min(WORD_BITS);
        let below = |chunk| match clip(chunk) {
            WORD_BITS => u64::MAX,
            bits => !bitmap::from_bit(bits),
        };
        below(self.stop) & !below(self.start)
    }

    /// Tells whether one of the chunks from `start` up to `end` belongs to the run.
    #[inline]
    pub(crate) fn overlaps(self, start: u32, end: u32) -> bool {
        start < self.stop && self.start < end
    }

    /// Takes the next `count` chunks and returns the first of them, if nothing fits before and there
    /// is room. The caller marks them as used.
    #[inline]
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let start = self.end;
        let end = start.checked_add(count)?;
        if count < self.least || end > self.stop {
            return None;
        }
        // INVARIANT: This does not pass `stop`.
        self.end = end;
        Some(start)
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

    /// Notes that all chunks of the run from `end` on are free again.
    #[inline]
    pub(crate) fn shrink(&mut self, end: u32) {
        self.end = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_in_a_word_are_those_of_its_chunks() {
        let edges = [0, 1, 63, 64, 65, 127, 128, 190, 191, 192, 193];
        for start in edges {
            for stop in edges.into_iter().filter(|stop| *stop >= start) {
                let fresh = Fresh::new(start..start, stop, 0);
                for word in 0..4 {
                    let want = (0..64).filter(|bit| fresh.contains(64 * word + bit));
                    let want = want.fold(0, |bits, bit| bits | (1u64 << bit));
                    assert_eq!(
                        fresh.in_word(word as usize),
                        want,
                        "{start}..{stop}: {word}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_small_pack_sets_aside_half_of_itself() {
        for (chunks, most) in [
            (1, 0),
            (2, 1),
            (7, 3),
            (8, 4),
            (319, 4),
            (320, 5),
            (6400, 100),
        ] {
            assert_eq!(Fresh::limit(ChunkCount::new(chunks)), most, "{chunks}");
        }
    }

    #[test]
    fn chunks_are_taken_while_there_is_room() {
        let mut fresh = Fresh::new(10..14, 20, 4);
        assert_eq!(fresh.take(3), None);
        assert_eq!(fresh.take(7), None);
        assert_eq!(fresh.take(4), Some(14));
        fresh.note(2);
        assert_eq!(fresh.take(2), Some(18));
        assert_eq!((fresh.room(), fresh.take(2)), (0, None));
        fresh.shrink(10);
        fresh.forget();
        assert_eq!((fresh.room(), fresh.take(2)), (10, None));
        assert_eq!(Fresh::default().take(1), None);
    }
}
