// SPDX-License-Identifier: GPL-2.0

//! Short holes that images have left lately.
//!
//! First fit cuts the first hole that is long enough, also when one of exactly the right length
//! comes later: so small holes pile up at low addresses. A search for the shortest hole that is
//! long enough would need an index by length, which every change of a hole has to maintain. This is
//! a list for each length instead, of the lowest of the holes that became free. Nobody takes an entry
//! off when its hole is gone: who wants to use one looks whether the hole is still there.

use core::ops::DerefMut;

use crate::bitmap;
use crate::geometry::Rank;

/// No list has holes of as many chunks.
pub(crate) const TOO_LONG: u32 = u64::BITS;
/// Ranks of which the numbers differ by as much share lists.
const TABLES: usize = 3;
/// Entries of a list.
const ENTRIES: usize = 32;
/// Words of the lists of all lengths.
const TABLE: usize = ENTRIES * TOO_LONG as usize;
/// Bits of the number of a chunk in an entry.
const CHUNK_BITS: u32 = 32;

/// No hole: it comes behind all holes.
const NONE: u64 = u64::MAX;

/// A run of free chunks that were free when it was noted, with used ones or the pack's ends around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hole {
    pub(crate) slot: u32,
    pub(crate) start: u32,
    pub(crate) count: u32,
}

impl Hole {
    /// Returns what is left when the first `count` chunks are used.
    #[inline]
    pub(crate) fn after(self, count: u32) -> Self {
        Self {
            slot: self.slot,
            start: self.start.wrapping_add(count),
            count: self.count.saturating_sub(count),
        }
    }
}

/// The lists, of fixed size: if one is full, the highest hole is forgotten.
///
/// # Invariants
///
/// - `words` has [`words_needed`] words.
/// - If a list has an entry, the bit of its length in `lengths` is set.
pub(crate) struct Recent<S> {
    words: S,
    /// For each table, the lengths of which there may be holes.
    lengths: [u64; TABLES],
}

/// Returns the number of words for the lists.
pub(crate) const fn words_needed() -> usize {
    TABLES * TABLE
}

/// Returns the table for a rank.
#[inline]
fn table_of(rank: Rank) -> usize {
    usize::from(rank.get()) % TABLES
}

impl<S: DerefMut<Target = [u64]>> Recent<S> {
    /// Makes empty lists, or returns [`None`] if there are too few words. O(words).
    pub(crate) fn new(mut words: S) -> Option<Self> {
        if words.len() < words_needed() {
            return None;
        }
        words.fill(NONE);
        // INVARIANT: The size was checked, and there are no entries.
        Some(Self {
            words,
            lengths: [0; TABLES],
        })
    }

    /// Returns the list of the holes of a length.
    #[inline]
    fn list(&mut self, table: usize, count: u32) -> Option<&mut [u64; ENTRIES]> {
        // CAST: `usize` has at least 32 bits.
        let at = TABLE
            .wrapping_mul(table)
            .wrapping_add(ENTRIES.wrapping_mul(count as usize));
        self.words.get_mut(at..)?.first_chunk_mut()
    }

    /// Notes a hole in a pack of a rank. One that is too long, or of no chunk, is not noted.
    pub(crate) fn note(&mut self, rank: Rank, hole: Hole) {
        let table = table_of(rank);
        if hole.count == 0 || hole.count >= TOO_LONG {
            return;
        }
        let entry = (u64::from(hole.slot) << CHUNK_BITS) | u64::from(hole.start);
        let list = self.list(table, hole.count);
        if let Some(last) = list.and_then(|list| list.iter_mut().max()) {
            *last = entry.min(*last);
        }
        // INVARIANT: The list has an entry.
        if let Some(lengths) = self.lengths.get_mut(table) {
            *lengths |= 1u64.wrapping_shl(hole.count);
        }
    }

    /// Takes the lowest of the shortest holes of at least `count` chunks, in a pack of a rank, or of
    /// one that shares lists with it. It may be gone.
    pub(crate) fn take(&mut self, rank: Rank, count: u32) -> Option<Hole> {
        let table = table_of(rank);
        if count >= TOO_LONG {
            return None;
        }
        loop {
            let lengths = *self.lengths.get(table)? & bitmap::from_bit(count);
            if lengths == 0 {
                return None;
            }
            let length = lengths.trailing_zeros();
            let first = self.list(table, length)?.iter_mut().min()?;
            let entry = core::mem::replace(first, NONE);
            if entry != NONE {
                return Some(Hole {
                    // CAST: Keeps one half each.
                    slot: (entry >> CHUNK_BITS) as u32,
                    start: entry as u32,
                    count: length,
                });
            }
            // INVARIANT: The list is empty. Each round clears a bit, so that this ends.
            if let Some(lengths) = self.lengths.get_mut(table) {
                *lengths &= !1u64.wrapping_shl(length);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lists() -> Recent<Vec<u64>> {
        Recent::new(vec![u64::MAX; words_needed()]).unwrap()
    }

    fn hole(slot: u32, start: u32, count: u32) -> Hole {
        Hole { slot, start, count }
    }

    fn rank(number: u8) -> Rank {
        Rank::new(number).unwrap()
    }

    #[test]
    fn memory_is_48_kib() {
        assert_eq!(words_needed() * 8, 48 << 10);
        assert!(Recent::new(vec![0; words_needed() - 1]).is_none());
    }

    #[test]
    fn the_shortest_that_is_long_enough_comes_first() {
        let mut lists = lists();
        for count in [9, 5, 63, 5, 7, 1] {
            lists.note(rank(0), hole(count, 10 * count, count));
        }
        let wants = [(2, 5), (5, 5), (6, 7), (1, 1), (1, 9), (10, 63)];
        for (wanted, found) in wants {
            assert_eq!(
                lists.take(rank(0), wanted),
                Some(hole(found, 10 * found, found))
            );
        }
        assert_eq!(lists.take(rank(0), 1), None);
    }

    #[test]
    fn the_lowest_comes_first_and_the_highest_is_forgotten() {
        let holes = ENTRIES as u32 + 3;
        // Upwards, downwards, and in some order: the factors have no divisor in common with it.
        for factor in [1, holes - 1, 11] {
            let mut lists = lists();
            for number in (0..holes).map(|number| number * factor % holes) {
                lists.note(rank(0), hole(number / 4, number % 4, 4));
            }
            for number in 0..ENTRIES as u32 {
                let want = hole(number / 4, number % 4, 4);
                assert_eq!(lists.take(rank(0), 4), Some(want), "{factor}");
            }
            assert_eq!(lists.take(rank(0), 4), None);
        }
    }

    #[test]
    fn ranks_have_lists_of_their_own() {
        let mut lists = lists();
        let last = hole(crate::MAX_SLOTS as u32 - 1, crate::MAX_CHUNKS.get(), 8);
        lists.note(rank(1), last);
        assert_eq!(lists.take(rank(0), 1), None);
        assert_eq!(lists.take(rank(2), 1), None);
        assert_eq!(lists.take(rank(1), 9), None);
        assert_eq!(lists.take(rank(4), 8), Some(last));
    }

    #[test]
    fn holes_that_are_too_long_or_empty_are_not_noted() {
        let mut lists = lists();
        lists.note(rank(0), hole(0, 0, TOO_LONG));
        lists.note(rank(0), hole(0, 0, u32::MAX));
        lists.note(rank(0), hole(0, 0, 9).after(9));
        assert_eq!(lists.take(rank(0), 0), None);
        assert_eq!(lists.take(rank(0), 1), None);
        assert_eq!(lists.take(rank(0), TOO_LONG), None);
        assert_eq!(lists.take(rank(0), u32::MAX), None);
    }
}
