// SPDX-License-Identifier: GPL-2.0

//! The index across packs. It finds the first pack of a rank that has a hole of at least `n`
//! chunks.
//!
//! For each rank there is a complete binary tree over the slots. A leaf is the largest hole of the
//! slot's pack, or 0 in the trees of other ranks. An inner node is the larger of its children. With
//! `P` slots, finding the leftmost pack that fits and changing a hole cost O(log P), however full
//! the packs are. The nodes of the six ranks are neighbours, two in a word: 48 bytes for each slot.

use core::ops::DerefMut;

use crate::geometry::Rank;
use crate::probe;

/// Nodes in a word.
const PER_WORD: usize = 2;
/// The words for one node of every rank.
const STRIDE: usize = Rank::COUNT as usize / PER_WORD;

const _: () = assert!(STRIDE * PER_WORD == Rank::COUNT as usize);

/// The trees of all ranks.
///
/// # Invariants
///
/// - `leaves` is a power of two, and `words` has at least `2 * leaves * STRIDE` words.
/// - An inner node is the larger of its two children.
pub(crate) struct Tournament<S> {
    /// Node 1 is the root, the children of node `i` are `2i` and `2i + 1`, node 0 is unused.
    words: S,
    /// The leaves of each tree.
    leaves: usize,
}

impl<S: DerefMut<Target = [u64]>> Tournament<S> {
    /// Returns how many words the trees over `slots` slots need.
    pub(crate) const fn words_needed(slots: usize) -> usize {
        leaves_for(slots).saturating_mul(2).saturating_mul(STRIDE)
    }

    /// Makes trees of zeroes, or returns [`None`] if there are too few words. O(words).
    pub(crate) fn new(mut words: S, slots: usize) -> Option<Self> {
        if words.len() < Self::words_needed(slots) {
            return None;
        }
        words.fill(0);
        // INVARIANT: The size was checked, and zero is the larger of two zeroes.
        Some(Self {
            words,
            leaves: leaves_for(slots),
        })
    }

    /// Returns the index of the word that has a node, and the shift of the node in that word.
    #[inline]
    fn position(node: usize, rank: Rank) -> (usize, u32) {
        let rank = usize::from(rank.get());
        // For a node that does not exist, a word that does not exist, or any.
        let word = node.wrapping_mul(STRIDE).wrapping_add(rank / PER_WORD);
        (word, if rank % PER_WORD == 0 { 0 } else { 32 })
    }

    /// Returns a node's value.
    #[inline]
    pub(crate) fn node(&self, node: usize, rank: Rank) -> u32 {
        probe::visit();
        let (word, shift) = Self::position(node, rank);
        // CAST: Keeps one half of the word.
        self.words
            .get(word)
            .map_or(0, |word| word.wrapping_shr(shift) as u32)
    }

    /// Writes a node's value. Tells whether that changed it.
    #[inline]
    fn set_node(&mut self, node: usize, rank: Rank, value: u32) -> bool {
        probe::visit();
        let (at, shift) = Self::position(node, rank);
        self.words.get_mut(at).is_some_and(|word| {
            let mask = u64::from(u32::MAX).wrapping_shl(shift);
            let is = *word & !mask | u64::from(value).wrapping_shl(shift);
            core::mem::replace(word, is) != is
        })
    }

    /// Returns the leaf of a slot.
    #[inline]
    pub(crate) fn leaf(&self, slot: u32) -> usize {
        // CAST: `usize` has at least 32 bits.
        self.leaves.wrapping_add(slot as usize)
    }

    /// Returns the number of leaves. Nodes with lower numbers are inner nodes.
    #[inline]
    pub(crate) fn leaves(&self) -> usize {
        self.leaves
    }

    /// Returns the largest value of a rank. O(1).
    #[inline]
    pub(crate) fn largest(&self, rank: Rank) -> u32 {
        self.node(1, rank)
    }

    /// Sets a slot's largest hole in the tree of a rank. O(log slots), or less if few nodes change.
    pub(crate) fn update(&mut self, slot: u32, rank: Rank, mut value: u32) {
        let mut node = self.leaf(slot);
        if node >= self.leaves.saturating_mul(2) {
            return;
        }
        // INVARIANT: The nodes above the leaf are computed again, from below, up to the first one
        // that does not change.
        while self.set_node(node, rank, value) && node > 1 {
            value = value.max(self.node(node ^ 1, rank));
            node /= 2;
        }
    }

    /// Returns the first slot from `from` on whose value is at least `wanted`. `wanted` must not be
    /// 0. O(log slots).
    pub(crate) fn first_at_least(&self, rank: Rank, from: u32, wanted: u32) -> Option<u32> {
        let mut node = self.leaf(from);
        if node >= self.leaves.saturating_mul(2) || self.largest(rank) < wanted {
            return None;
        }
        // Upwards, to a subtree to the right of all slots that were looked at, which has such a
        // slot.
        while self.node(node, rank) < wanted {
            // All slots under the parent of a right child were looked at: go up until the node is a
            // left child.
            while node % 2 == 1 {
                if node == 1 {
                    return None;
                }
                node /= 2;
            }
            node = node.wrapping_add(1);
        }
        // Downwards, to the left if possible.
        while node < self.leaves {
            node = node.wrapping_mul(2);
            if self.node(node, rank) < wanted {
                node = node.wrapping_add(1);
            }
        }
        node.checked_sub(self.leaves)
            .and_then(|slot| u32::try_from(slot).ok())
    }
}

/// Returns the number of leaves over `slots` slots.
#[inline]
const fn leaves_for(slots: usize) -> usize {
    match slots.checked_next_power_of_two() {
        Some(leaves) => leaves,
        None => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Random;

    /// The trees over `slots` slots.
    fn tournament(slots: usize) -> Tournament<Vec<u64>> {
        let words = vec![u64::MAX; Tournament::<Vec<u64>>::words_needed(slots)];
        Tournament::new(words, slots).unwrap()
    }

    #[test]
    fn too_few_words_are_refused() {
        for slots in [0, 1, 2, 3, 1024] {
            let needed = Tournament::<Vec<u64>>::words_needed(slots);
            assert!(Tournament::new(vec![0; needed], slots).is_some());
            assert!(Tournament::new(vec![0; needed - 1], slots).is_none());
        }
    }

    #[test]
    fn memory_for_1024_packs_is_48_kib() {
        assert_eq!(Tournament::<Vec<u64>>::words_needed(1024) * 8, 48 << 10);
    }

    #[test]
    fn no_more_nodes_are_computed_than_change() {
        let mut trees = tournament(8);
        let rank = Rank::new(0).unwrap();
        trees.update(7, rank, 20);
        assert_eq!((trees.largest(rank), trees.node(0, rank)), (20, 0));
        // The leaf and two nodes above it are written and their neighbours read; the root does not
        // change.
        for (value, visits) in [(9, 7), (9, 1), (8, 7)] {
            let ((), cost) = probe::count(|| trees.update(0, rank, value));
            assert_eq!(cost, visits, "{value}");
        }
    }

    #[test]
    fn searches_agree_with_a_scan() {
        for slots in [1u32, 2, 3, 5, 8, 13, 64, 100] {
            let mut random = Random::new(u64::from(slots));
            let mut fast = tournament(slots as usize);
            let mut slow = vec![[0; Rank::COUNT as usize]; slots as usize];
            for step in 0..3_000 {
                let (slot, value) = (random.below(slots), random.below(20));
                let rank = Rank::new(random.below(Rank::COUNT.into()) as u8).unwrap();
                fast.update(slot, rank, value);
                slow[slot as usize][usize::from(rank.get())] = value;
                for rank in Rank::all() {
                    let (from, wanted) = (random.below(slots + 1), 1 + random.below(20));
                    let want = (from..slots)
                        .find(|s| slow[*s as usize][usize::from(rank.get())] >= wanted);
                    assert_eq!(
                        fast.first_at_least(rank, from, wanted),
                        want,
                        "{slots} slots, step {step}"
                    );
                    let largest = slow
                        .iter()
                        .map(|s| s[usize::from(rank.get())])
                        .max()
                        .unwrap();
                    assert_eq!(fast.largest(rank), largest);
                }
            }
        }
    }

    #[test]
    fn slots_outside_are_ignored() {
        let mut trees = tournament(4);
        trees.update(4, Rank::BEST, 7);
        trees.update(u32::MAX, Rank::BEST, 7);
        assert_eq!(trees.largest(Rank::BEST), 0);
        assert_eq!(trees.first_at_least(Rank::BEST, u32::MAX, 1), None);
    }
}
