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
use crate::geometry::SlotRange;

/// No list has holes of as many chunks.
pub(crate) const TOO_LONG: u32 = u64::BITS;
/// Each rank has lists of its own.
const TABLES: usize = Rank::COUNT as usize;
/// Entries of a list.
const ENTRIES: usize = 16;
/// Words of the lists of all lengths.
const TABLE: usize = ENTRIES * TOO_LONG as usize;
/// Bits of the number of a chunk in an entry.
const CHUNK_BITS: u32 = 32;

/// No hole: it comes behind all holes, and is in no slot.
const NONE: u64 = u64::MAX;

/// The entries for the holes of one length.
type List = [u64; ENTRIES];

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
/// - A list is sorted, and has no hole twice.
/// - If a list has an entry, the bit of its length in `lengths` is set.
pub(crate) struct Recent<S> {
    words: S,
    /// For each rank, the lengths of which there may be holes.
    lengths: [u64; TABLES],
}

/// Returns the number of words for the lists.
pub(crate) const fn words_needed() -> usize {
    TABLES * TABLE
}

/// Returns the slot of an entry.
#[inline]
fn slot_of(entry: u64) -> u32 {
    // CAST: The upper half.
    (entry >> CHUNK_BITS) as u32
}

/// Puts an entry into a list, if it is not there.
fn insert(list: &mut List, mut entry: u64) {
    let at = list.partition_point(|other| *other < entry);
    let rest = list.get_mut(at..).unwrap_or_default();
    if rest.first() == Some(&entry) {
        return;
    }
    // INVARIANT: What is not lower moves up by one.
    for place in rest {
        core::mem::swap(place, &mut entry);
        if entry == NONE {
            break;
        }
    }
}

/// Takes the lowest entry with a slot of `within` out of a list.
fn remove(list: &mut List, within: SlotRange) -> Option<u64> {
    let mut rest = list.iter_mut();
    let mut last = rest.find(|entry| slot_of(**entry) >= within.start)?;
    let found = *last;
    if !within.contains(slot_of(found)) {
        return None;
    }
    // INVARIANT: What is higher moves down by one.
    for next in rest {
        *last = *next;
        last = next;
        if *last == NONE {
            break;
        }
    }
    *last = NONE;
    Some(found)
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

    /// Returns the list of the holes of a length in the packs of a rank, and the lengths of that
    /// rank.
    #[inline]
    fn list(&mut self, rank: Rank, count: u32) -> Option<(&mut List, &mut u64)> {
        let table = usize::from(rank.get());
        // CAST: `usize` has at least 32 bits.
        let at = TABLE
            .wrapping_mul(table)
            .wrapping_add(ENTRIES.wrapping_mul(count as usize));
        let list = self.words.get_mut(at..)?.first_chunk_mut()?;
        Some((list, self.lengths.get_mut(table)?))
    }

    /// Notes a hole in a pack of a rank. One that is too long, or of no chunk, is not noted.
    pub(crate) fn note(&mut self, rank: Rank, hole: Hole) {
        if hole.count == 0 || hole.count >= TOO_LONG {
            return;
        }
        if let Some((list, lengths)) = self.list(rank, hole.count) {
            insert(
                list,
                (u64::from(hole.slot) << CHUNK_BITS) | u64::from(hole.start),
            );
            // INVARIANT: The list has an entry.
            *lengths |= 1u64.wrapping_shl(hole.count);
        }
    }

    /// Takes the lowest of the shortest holes of at least `count` chunks, in a pack of a rank and in
    /// one of the slots `within`. It may be gone.
    pub(crate) fn take(&mut self, rank: Rank, count: u32, within: SlotRange) -> Option<Hole> {
        if count >= TOO_LONG {
            return None;
        }
        let of_rank = self.lengths.get(usize::from(rank.get()))?;
        let mut left = of_rank & bitmap::from_bit(count);
        while left != 0 {
            let length = left.trailing_zeros();
            let (list, lengths) = self.list(rank, length)?;
            if let Some(entry) = remove(list, within) {
                return Some(Hole {
                    slot: slot_of(entry),
                    // CAST: The lower half.
                    start: entry as u32,
                    count: length,
                });
            }
            // Clears the lowest set bit.
            left &= left.wrapping_sub(1);
            if list.first() == Some(&NONE) {
                // INVARIANT: The list is empty.
                *lengths &= !1u64.wrapping_shl(length);
            }
        }
        None
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

    /// Takes a hole in any slot.
    fn take(lists: &mut Recent<Vec<u64>>, number: u8, count: u32) -> Option<Hole> {
        lists.take(rank(number), count, SlotRange::ALL)
    }

    #[test]
    fn memory_is_48_kib() {
        assert_eq!(words_needed() * 8, 48 << 10);
        assert!(Recent::new(vec![0; words_needed() - 1]).is_none());
    }

    #[test]
    fn the_shortest_that_is_long_enough_comes_first() {
        let mut lists = lists();
        for count in [9, 5, 63, 7, 1] {
            lists.note(rank(0), hole(count, 10 * count, count));
        }
        let wants = [(2, 5), (5, 7), (1, 1), (1, 9), (10, 63)];
        for (wanted, found) in wants {
            assert_eq!(
                take(&mut lists, 0, wanted),
                Some(hole(found, 10 * found, found))
            );
        }
        assert_eq!(take(&mut lists, 0, 1), None);
    }

    #[test]
    fn an_empty_list_is_not_looked_at_again() {
        let mut lists = lists();
        lists.note(rank(0), hole(1, 2, 4));
        lists.note(rank(0), hole(1, 9, 7));
        assert!(take(&mut lists, 0, 4).is_some());
        assert_eq!(take(&mut lists, 0, 4).map(|hole| hole.count), Some(7));
        assert_eq!(take(&mut lists, 0, 1), None);
        assert_eq!(lists.lengths, [0; Rank::COUNT as usize]);
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
                assert_eq!(take(&mut lists, 0, 4), Some(want), "{factor}");
            }
            assert_eq!(take(&mut lists, 0, 4), None);
        }
    }

    #[test]
    fn a_hole_is_in_a_list_once() {
        let mut lists = lists();
        let full = ENTRIES as u32;
        for number in (0..full).rev().chain(0..full).chain([0; ENTRIES]) {
            lists.note(rank(0), hole(number, 7, 4));
        }
        for number in 0..full {
            assert_eq!(take(&mut lists, 0, 4), Some(hole(number, 7, 4)));
        }
        assert_eq!(take(&mut lists, 0, 4), None);
    }

    #[test]
    fn only_holes_within_slots_are_taken() {
        let mut lists = lists();
        let all = [(1, 9, 4), (2, 3, 4), (2, 8, 4), (5, 0, 4), (3, 6, 7)];
        for (slot, start, count) in all {
            lists.note(rank(0), hole(slot, start, count));
        }
        let mut take = |start, end| {
            let found = lists.take(rank(0), 2, SlotRange { start, end });
            found.map(|hole| (hole.slot, hole.start, hole.count))
        };
        assert_eq!(take(6, u32::MAX), None);
        assert_eq!(take(2, 2), None);
        for want in [Some((2, 3, 4)), Some((2, 8, 4)), Some((3, 6, 7)), None] {
            assert_eq!(take(2, 5), want);
        }
        for want in [Some((1, 9, 4)), Some((5, 0, 4)), None] {
            assert_eq!(take(0, u32::MAX), want);
        }
    }

    #[test]
    fn ranks_have_lists_of_their_own() {
        let last = hole(crate::MAX_SLOTS as u32 - 1, crate::MAX_CHUNKS.get(), 8);
        for (number, other) in (0..6).flat_map(|number| (0..6).map(move |other| (number, other))) {
            let mut lists = lists();
            lists.note(rank(number), last);
            assert_eq!(take(&mut lists, number, 9), None);
            let found = take(&mut lists, other, 8);
            assert_eq!(found.is_some(), number == other);
            assert_eq!(found.or(take(&mut lists, number, 8)), Some(last));
        }
    }

    #[test]
    fn holes_that_are_too_long_or_empty_are_not_noted() {
        let mut lists = lists();
        lists.note(rank(0), hole(0, 0, TOO_LONG));
        lists.note(rank(0), hole(0, 0, u32::MAX));
        lists.note(rank(0), hole(0, 0, 9).after(9));
        assert_eq!(take(&mut lists, 0, 0), None);
        assert_eq!(take(&mut lists, 0, 1), None);
        assert_eq!(take(&mut lists, 0, TOO_LONG), None);
        assert_eq!(take(&mut lists, 0, u32::MAX), None);
    }
}
