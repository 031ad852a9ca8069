// SPDX-License-Identifier: GPL-2.0

//! How a pack's storage is divided, and what its words say about chunks.
//!
//! The words hold a group of four for each 64 chunks, and then the index of free runs (`runs.rs`).
//! The words of a group belong to the *used* bitmap and to three planes A, B and C for the states
//! of ranges. That is 5 bits for each chunk: 20 KiB for a pack of 2 MiB. The state of a range
//! stands in the planes at its first chunk and nowhere else. So the planes also say where ranges
//! start, and freeing a range needs no memory. Whoever looks up an image needs all four bits of its
//! first chunk, and of the chunks up to its end: so they are neighbours.

use crate::bitmap;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::probe;
use crate::runs;
use crate::state::RangeState;

/// Words in a group. A group begins with the word of the used bitmap.
pub(crate) const GROUP: usize = 4;

/// The words of 64 chunks.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// One bit for each chunk, set if the chunk is not free.
    pub(crate) used: u64,
    /// The planes of the states: see [`RangeState::code`].
    pub(crate) a: u64,
    pub(crate) b: u64,
    pub(crate) c: u64,
}

impl Group {
    /// Reads the group at `index`, if there are that many.
    #[inline]
    pub(crate) fn read(groups: &[u64], index: usize) -> Option<Self> {
        probe::visit();
        let words = groups.get(index.wrapping_mul(GROUP)..)?;
        let [used, a, b, c] = *words.first_chunk::<GROUP>()?;
        Some(Self { used, a, b, c })
    }

    /// Writes the group at `index`.
    #[inline]
    pub(super) fn write(self, groups: &mut [u64], index: usize) {
        let words = groups.get_mut(index.wrapping_mul(GROUP)..);
        if let Some(words) = words.and_then(|words| words.first_chunk_mut::<GROUP>()) {
            *words = [self.used, self.a, self.b, self.c];
        }
    }

    /// Returns the bits of the chunks at which ranges start.
    #[inline]
    pub(crate) fn starts(self) -> u64 {
        self.a | self.b | self.c
    }

    /// Returns the end of the range that starts at `chunk`, if that is in this group.
    #[inline]
    fn end_behind(self, chunk: u32) -> Option<u32> {
        // A range ends before the next free chunk or the next start of a range.
        let after = bitmap::from_bit(chunk).wrapping_shl(1);
        let ends = (!self.used | self.starts()) & after;
        let first = chunk & !bitmap::WORD_BITS.wrapping_sub(1);
        (ends != 0).then(|| first | ends.trailing_zeros())
    }

    /// Returns the state of the range that starts at `chunk`, or [`None`] if no range does.
    #[inline]
    pub(crate) fn state(self, chunk: u32) -> Option<RangeState> {
        // CAST: Keeps the lowest bit.
        let bit = |plane: u64| plane.wrapping_shr(chunk) as u8 & 1;
        RangeState::from_code(bit(self.a) | (bit(self.b) << 1) | (bit(self.c) << 2))
    }
}

/// The parts of a pack's storage, for reading.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) groups: &'a [u64],
    /// The nodes of the index of free runs.
    pub(crate) tree: &'a [u64],
}

/// The parts of a pack's storage, for changing.
pub(super) struct PartsMut<'a> {
    pub(super) groups: &'a mut [u64],
    pub(super) tree: &'a mut [u64],
}

impl Parts<'_> {
    /// Returns the number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups.len() / GROUP
    }

    /// Returns the state of the range that starts at `chunk`, or [`None`] if no range does.
    #[inline]
    pub(crate) fn state(&self, chunk: u32) -> Option<RangeState> {
        Group::read(self.groups, bitmap::word_of(chunk))?.state(chunk)
    }

    /// Tells whether a chunk is used.
    #[inline]
    pub(crate) fn is_used(&self, chunk: u32) -> bool {
        let group = Group::read(self.groups, bitmap::word_of(chunk));
        group.is_some_and(|group| bitmap::get(&[group.used], chunk % bitmap::WORD_BITS))
    }

    /// Returns the last chunk up to and including `chunk` at which a range starts. O(distance/64).
    #[inline]
    pub(super) fn start_before(&self, chunk: u32) -> Option<u32> {
        let mut mask = bitmap::up_to_bit(chunk);
        let mut index = bitmap::word_of(chunk);
        loop {
            let starts = Group::read(self.groups, index)?.starts() & mask;
            if starts != 0 {
                return Some(bitmap::first_bit_of(index).saturating_add(starts.ilog2()));
            }
            mask = u64::MAX;
            index = index.checked_sub(1)?;
        }
    }

    /// Returns the number of free chunks right before `chunk`. O(number/64).
    pub(super) fn free_before(&self, chunk: u32) -> u32 {
        let Some(last) = chunk.checked_sub(1) else {
            return 0;
        };
        let mut mask = bitmap::up_to_bit(last);
        let mut index = bitmap::word_of(last);
        while let Some(group) = Group::read(self.groups, index) {
            let used = group.used & mask;
            if used != 0 {
                let last_used = bitmap::first_bit_of(index).saturating_add(used.ilog2());
                return last.saturating_sub(last_used);
            }
            mask = u64::MAX;
            match index.checked_sub(1) {
                Some(before) => index = before,
                None => break,
            }
        }
        chunk
    }

    /// Returns the first chunk from `chunk` on at which a range starts. O(distance/64).
    pub(super) fn start_from(&self, chunk: u32) -> Option<u32> {
        let mut mask = bitmap::from_bit(chunk);
        for index in bitmap::word_of(chunk)..self.len() {
            let starts = Group::read(self.groups, index)?.starts() & mask;
            if starts != 0 {
                return Some(bitmap::first_bit_of(index).saturating_add(starts.trailing_zeros()));
            }
            mask = u64::MAX;
        }
        None
    }
}

impl PartsMut<'_> {
    /// Marks the chunks from `start` up to but not including `end` as used or free, in the bitmap
    /// only. O(chunks/64).
    #[inline]
    pub(super) fn fill_used(&mut self, start: u32, end: u32, used: bool) {
        bitmap::fill::<GROUP>(self.groups, start, end, used);
    }

    /// As [`Self::fill_used`], and brings the index up to date, which counts the chunks of `fresh`
    /// as used. O(chunks/64 + log of the pack).
    pub(super) fn set_used(&mut self, start: u32, end: u32, used: bool, fresh: Fresh) {
        if start < end {
            self.fill_used(start, end, used);
            self.refresh(start, end, fresh);
        }
    }

    /// Brings the index up to date for the chunks from `start` up to but not including `end`.
    pub(super) fn refresh(&mut self, start: u32, end: u32, fresh: Fresh) {
        let (first, last) = (start, end.saturating_sub(1));
        let words = (bitmap::word_of(first), bitmap::word_of(last));
        runs::refresh(self.groups, self.tree, fresh, words.0, words.1);
    }
}

/// Returns the group of `chunk` in the storage of a pack that has this chunk.
#[inline]
fn group_mut(storage: &mut [u64], chunk: u32) -> Option<&mut [u64; GROUP]> {
    let at = bitmap::word_of(chunk).wrapping_mul(GROUP);
    storage.get_mut(at..)?.first_chunk_mut()
}

/// Writes the state of the range that starts at `chunk` in the storage of its pack.
#[inline]
pub(super) fn set_state(storage: &mut [u64], chunk: u32, state: RangeState) {
    if let Some([_, a, b, c]) = group_mut(storage, chunk) {
        let bit = 1u64.wrapping_shl(chunk);
        let code = state.code();
        for (plane, place) in [(a, 1), (b, 2), (c, 4)] {
            *plane = if code & place != 0 {
                *plane | bit
            } else {
                *plane & !bit
            };
        }
    }
}

/// Marks `count` free chunks from `start` on as used in the storage of their pack, which has them, in
/// the bitmap only, and as a reserved range. O(count/64).
#[inline(always)]
pub(super) fn reserve(storage: &mut [u64], start: u32, count: u32) {
    let bit = start % bitmap::WORD_BITS;
    match group_mut(storage, start) {
        // Most images are in one word. The planes are 0 where chunks are free.
        Some([used, a, _, _]) if bit.wrapping_add(count) <= bitmap::WORD_BITS => {
            let last = bit.wrapping_add(count).wrapping_sub(1);
            *used |= bitmap::from_bit(bit) & bitmap::up_to_bit(last);
            *a |= 1u64.wrapping_shl(bit);
        }
        _ => reserve_words(storage, start, count),
    }
}

/// As [`reserve()`], in several words.
#[inline(never)]
fn reserve_words(storage: &mut [u64], start: u32, count: u32) {
    bitmap::fill::<GROUP>(storage, start, start.saturating_add(count), true);
    set_state(storage, start, RangeState::Reserved);
}

/// Returns the range that starts at `start`, as its state and its end, from the storage of a pack of
/// `chunks` chunks. O(range/64).
#[inline]
pub(super) fn find(storage: &[u64], start: u32, chunks: ChunkCount) -> Option<(RangeState, u32)> {
    if start >= chunks.get() {
        return None;
    }
    let index = bitmap::word_of(start);
    let group = Group::read(storage, index)?;
    let state = group.state(start)?;
    let end = match group.end_behind(start) {
        Some(end) => end,
        None => end_from(storage, start, chunks),
    };
    Some((state, end.min(chunks.get())))
}

/// A range, and what changes its state.
pub(super) struct Found<'a> {
    pub(super) state: RangeState,
    /// The chunk after the last.
    pub(super) end: u32,
    /// The group of the first chunk.
    group: &'a mut [u64; GROUP],
    /// The bit of the first chunk.
    bit: u64,
}

impl Found<'_> {
    /// Changes the state, which is `from`, to `to`.
    #[inline(always)]
    pub(super) fn change(self, from: RangeState, to: RangeState) {
        let [_, a, b, c] = self.group;
        let differ = from.code() ^ to.code();
        for (plane, place) in [(a, 1), (b, 2), (c, 4)] {
            if differ & to.code() & place != 0 {
                *plane |= self.bit;
            } else if differ & place != 0 {
                *plane &= !self.bit;
            }
        }
    }
}

/// As [`find()`], for a change of the state.
#[inline(always)]
pub(super) fn find_mut(storage: &mut [u64], start: u32, chunks: ChunkCount) -> Option<Found<'_>> {
    if start >= chunks.get() {
        return None;
    }
    let group = Group::read(storage, bitmap::word_of(start))?;
    let state = group.state(start)?;
    let end = match group.end_behind(start) {
        Some(end) => end,
        None => end_from(storage, start, chunks),
    };
    Some(Found {
        state,
        end: end.min(chunks.get()),
        group: group_mut(storage, start)?,
        bit: 1u64.wrapping_shl(start),
    })
}

/// Returns the end of the range that starts at `start` and has all chunks of its word behind that.
#[inline(never)]
fn end_from(storage: &[u64], start: u32, chunks: ChunkCount) -> u32 {
    let groups = groups(storage, chunks);
    let mut index = bitmap::word_of(start).saturating_add(1);
    while let Some(group) = Group::read(groups, index) {
        let ends = !group.used | group.starts();
        if ends != 0 {
            return bitmap::first_bit_of(index).saturating_add(ends.trailing_zeros());
        }
        index = index.saturating_add(1);
    }
    chunks.get()
}

/// Returns the number of words of the groups of a pack of `chunks` chunks.
#[inline]
const fn words_of_groups(chunks: ChunkCount) -> usize {
    bitmap::words_for(chunks.get()).saturating_mul(GROUP)
}

/// Returns the number of words that a pack of `chunks` chunks needs.
pub(super) const fn words_needed(chunks: ChunkCount) -> usize {
    let leaves = runs::leaves_for(bitmap::words_for(chunks.get()));
    words_of_groups(chunks).saturating_add(leaves)
}

/// Returns the groups of a pack of `chunks` chunks.
#[inline]
pub(super) fn groups(storage: &[u64], chunks: ChunkCount) -> &[u64] {
    storage.get(..words_of_groups(chunks)).unwrap_or(storage)
}

/// Cuts the storage of a pack of `chunks` chunks into its parts.
#[inline]
pub(super) fn split(storage: &[u64], chunks: ChunkCount) -> Parts<'_> {
    let at = words_of_groups(chunks);
    // If there are fewer words, the second part is empty.
    let (groups, rest) = storage.split_at_checked(at).unwrap_or((storage, &[]));
    let leaves = runs::leaves_for(bitmap::words_for(chunks.get()));
    Parts {
        groups,
        tree: rest.get(..leaves).unwrap_or(rest),
    }
}

/// As [`split()`], for changing.
#[inline]
pub(super) fn split_mut(storage: &mut [u64], chunks: ChunkCount) -> PartsMut<'_> {
    let at = words_of_groups(chunks).min(storage.len());
    let (groups, rest) = storage.split_at_mut_checked(at).unwrap_or_default();
    let leaves = runs::leaves_for(bitmap::words_for(chunks.get())).min(rest.len());
    let (tree, _) = rest.split_at_mut_checked(leaves).unwrap_or_default();
    PartsMut { groups, tree }
}
