// SPDX-License-Identifier: GPL-2.0

//! The index of holes in a pack. It finds the first hole of at least `n` chunks.
//!
//! It is a segment tree over the words of the *used* bitmap. A node has three lengths for the
//! chunks under it: of the free run at their start, of the one at their end, and of the longest
//! one. The lengths of a node follow from those of its two children. The tree is implicit: node 1
//! is the root, and the children of node `i` are `2i` and `2i + 1`. The leaves are the words of the
//! bitmap. They are not stored in the tree, because a few instructions compute their lengths.
//!
//! Reasons for this index: the policy is first fit in the order of addresses, for what fits in no
//! short hole (`recent.rs`). Low chunks fill and high ones drain, so that holes merge and packs
//! become empty. The stock allocator implements it by scanning
//! the whole pack for every image. A list or a tree of holes would need a node for each hole, and
//! so memory when a range is freed; but freeing must not fail. This index has a fixed size: a word
//! for each word of the bitmap, 4 KiB for a pack of 2 MiB. With `W` words, a first fit looks at
//! O(log W) nodes, however many images there are, and setting or clearing `k` words costs
//! O(k + log W).

use crate::bitmap;
use crate::bitmap::WORD_BITS;
use crate::fresh::Fresh;
use crate::pack::parts::GROUP;
use crate::probe;

/// Bits of a length in a node.
const LENGTH_BITS: u32 = 21;
/// The bits of one length.
const LENGTH_MASK: u64 = (1 << LENGTH_BITS) - 1;

const _: () = assert!(LENGTH_MASK == crate::geometry::MAX_CHUNKS.get() as u64);

/// The free runs among the chunks under a node, in chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The length of the free run at the start.
    pub(crate) prefix: u32,
    /// The length of the free run at the end.
    pub(crate) suffix: u32,
    /// The length of the longest free run.
    pub(crate) longest: u32,
}

impl Summary {
    /// Summarises one word of the used bitmap.
    #[inline]
    fn of_word(used: u64) -> Self {
        if used == u64::MAX {
            // Images have filled it: the usual word in a busy pack.
            return Self::default();
        }
        Self {
            prefix: used.trailing_zeros(),
            suffix: used.leading_zeros(),
            longest: bitmap::longest_run(!used),
        }
    }

    /// Summarises two neighbours, each of `half` chunks.
    #[inline]
    fn join(left: Self, right: Self, half: u32) -> Self {
        let across = left.suffix.saturating_add(right.prefix);
        Self {
            prefix: if left.prefix == half {
                half.saturating_add(right.prefix)
            } else {
                left.prefix
            },
            suffix: if right.suffix == half {
                half.saturating_add(left.suffix)
            } else {
                right.suffix
            },
            longest: left.longest.max(right.longest).max(across),
        }
    }

    /// Packs the three lengths into one word.
    #[inline]
    fn encode(self) -> u64 {
        u64::from(self.prefix)
            | (u64::from(self.suffix) << LENGTH_BITS)
            | (u64::from(self.longest) << (2 * LENGTH_BITS))
    }

    /// Unpacks the three lengths.
    #[inline]
    fn decode(word: u64) -> Self {
        // CAST: The value is masked to 21 bits.
        let length = |shift: u32| (word.wrapping_shr(shift) & LENGTH_MASK) as u32;
        Self {
            prefix: length(0),
            suffix: length(LENGTH_BITS),
            longest: length(2 * LENGTH_BITS),
        }
    }
}

/// Returns the number of leaves over `words` words, which is also the length of the tree in words.
#[inline]
pub(crate) const fn leaves_for(words: usize) -> usize {
    match words.checked_next_power_of_two() {
        Some(leaves) => leaves,
        None => usize::MAX,
    }
}

/// The used bitmap with its index, for searching.
///
/// # Invariants
///
/// `tree.len()` is a power of two and at least the number of groups; missing groups count as used.
/// Each node summarises the chunks under it, if [`refresh`] was called for all words that changed
/// in other places than `fresh`, and for those of `fresh` when that began.
#[derive(Clone, Copy)]
pub(crate) struct Runs<'a> {
    /// Groups of words (`pack/parts.rs`). The first of each is that of the used bitmap.
    groups: &'a [u64],
    /// The stored nodes. The first word is unused.
    tree: &'a [u64],
    /// Chunks that count as used.
    fresh: Fresh,
}

impl<'a> Runs<'a> {
    #[inline]
    pub(crate) fn new(groups: &'a [u64], tree: &'a [u64], fresh: Fresh) -> Self {
        // INVARIANT: The pack gives the tree `leaves_for` words, and refreshes it after each
        // change in other places.
        Self {
            groups,
            tree,
            fresh,
        }
    }

    /// Returns the number of leaves.
    #[inline]
    fn leaves(&self) -> usize {
        self.tree.len()
    }

    /// Returns the word of the used bitmap at `index`.
    #[inline]
    fn used_word(&self, index: usize) -> u64 {
        let used = self.groups.get(index.wrapping_mul(GROUP)).copied();
        used.unwrap_or(u64::MAX) | self.fresh.in_word(index)
    }

    /// Returns the summary of a node.
    #[inline]
    pub(crate) fn node(&self, node: usize) -> Summary {
        probe::visit();
        match node.checked_sub(self.leaves()) {
            Some(word) => Summary::of_word(self.used_word(word)),
            None => Summary::decode(bitmap::word(self.tree, node)),
        }
    }

    /// Returns the length of the longest free run. O(1).
    #[inline]
    pub(crate) fn longest(&self) -> u32 {
        self.node(1).longest
    }

    /// Returns the lowest chunk at which `count` free chunks start. O(log words).
    #[inline]
    pub(crate) fn first_fit(&self, count: u32) -> Option<u32> {
        self.first_fit_in(1, 0, bitmap::first_bit_of(self.leaves()), count)
    }

    /// Returns the lowest chunk not before `from` at which `count` free chunks start. O(log words).
    pub(crate) fn first_fit_from(&self, from: u32, count: u32) -> Option<u32> {
        let leaf = bitmap::word_of(from);
        if leaf >= self.leaves() {
            return None;
        }
        // The leaf of `from`, as if all chunks before `from` were used.
        probe::visit();
        let used = self.used_word(leaf) | !bitmap::from_bit(from);
        let first = bitmap::first_bit_of(leaf);
        if let Some(bit) = bitmap::first_run(!used, count) {
            return Some(first.saturating_add(bit));
        }
        // Upwards: the last `open` chunks under `node` are free, and `end` is the end of these
        // chunks.
        let mut node = self.leaves().saturating_add(leaf);
        let mut open = used.leading_zeros();
        let mut end = first.saturating_add(WORD_BITS);
        let mut span = WORD_BITS;
        while node > 1 {
            if node % 2 == 0 {
                let right = node.saturating_add(1);
                let summary = self.node(right);
                if open.saturating_add(summary.prefix) >= count {
                    return end.checked_sub(open);
                }
                if summary.longest >= count {
                    return self.first_fit_in(right, end, span, count);
                }
                open = if summary.prefix == span {
                    open.saturating_add(span)
                } else {
                    summary.suffix
                };
                end = end.saturating_add(span);
            }
            node /= 2;
            span = span.saturating_mul(2);
        }
        None
    }

    /// Returns the lowest fit under `node`, which has `span` chunks from `first` on.
    fn first_fit_in(
        &self,
        mut node: usize,
        mut first: u32,
        mut span: u32,
        count: u32,
    ) -> Option<u32> {
        if self.node(node).longest < count {
            return None;
        }
        while node < self.leaves() {
            span /= 2;
            let left = node.wrapping_mul(2);
            let right = left.wrapping_add(1);
            let middle = first.saturating_add(span);
            let left_summary = self.node(left);
            if left_summary.longest >= count {
                node = left;
            } else if left_summary.suffix.saturating_add(self.node(right).prefix) >= count {
                // This fit starts in the left half, and so is lower than any in the right half.
                return middle.checked_sub(left_summary.suffix);
            } else {
                node = right;
                first = middle;
            }
        }
        let free = !self.used_word(node.saturating_sub(self.leaves()));
        bitmap::first_run(free, count).map(|bit| first.saturating_add(bit))
    }
}

/// Updates the index after changes of the words from `first_word` to `last_word`, inclusive.
///
/// The chunks of `fresh` count as used. O(words + log of all words). It stops where no node changes,
/// because the nodes above do not change either.
pub(crate) fn refresh(
    groups: &[u64],
    tree: &mut [u64],
    fresh: Fresh,
    first_word: usize,
    last_word: usize,
) {
    let leaves = tree.len();
    let mut first = leaves.saturating_add(first_word) / 2;
    let mut last = leaves.saturating_add(last_word) / 2;
    let mut half = WORD_BITS;
    let mut changed = true;
    while changed && first >= 1 {
        changed = false;
        for node in first..=last {
            let left = node.wrapping_mul(2);
            let runs = Runs::new(groups, tree, fresh);
            let joined = Summary::join(runs.node(left), runs.node(left.wrapping_add(1)), half);
            if let Some(word) = tree.get_mut(node) {
                let was = core::mem::replace(word, joined.encode());
                changed |= was != *word;
            }
        }
        first /= 2;
        last /= 2;
        half = half.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Random;

    /// A bitmap with its index.
    struct Fixture {
        groups: Vec<u64>,
        tree: Vec<u64>,
    }

    impl Fixture {
        /// All of `bits` bits free.
        fn new(bits: u32) -> Self {
            let words = bitmap::words_for(bits);
            let mut groups = vec![0; GROUP * words];
            let end = bitmap::first_bit_of(words);
            bitmap::fill::<GROUP>(&mut groups, bits, end, true);
            let mut tree = vec![0; leaves_for(words)];
            refresh(&groups, &mut tree, Fresh::default(), 0, words - 1);
            Self { groups, tree }
        }

        fn fill(&mut self, start: u32, end: u32, value: bool) {
            bitmap::fill::<GROUP>(&mut self.groups, start, end, value);
            refresh(
                &self.groups,
                &mut self.tree,
                Fresh::default(),
                bitmap::word_of(start),
                bitmap::word_of(end - 1),
            );
        }

        fn runs(&self) -> Runs<'_> {
            Runs::new(&self.groups, &self.tree, Fresh::default())
        }

        /// First fit, one bit at a time.
        fn slow_fit(&self, bits: u32, from: u32, count: u32) -> Option<u32> {
            let mut run = 0;
            for bit in from..bits {
                let used = self.groups[GROUP * bitmap::word_of(bit)];
                run = if bitmap::get(&[used], bit % WORD_BITS) {
                    0
                } else {
                    run + 1
                };
                if run == count {
                    return Some(bit + 1 - count);
                }
            }
            None
        }
    }

    #[test]
    fn summaries_survive_their_encoding() {
        let max = crate::geometry::MAX_CHUNKS.get();
        for (prefix, suffix, longest) in [
            (0, 0, 0),
            (1, 2, 3),
            (max, max, max),
            (max, 0, max),
            (0, max, 0),
        ] {
            let summary = Summary {
                prefix,
                suffix,
                longest,
            };
            assert_eq!(Summary::decode(summary.encode()), summary);
        }
    }

    #[test]
    fn no_more_of_the_index_is_computed_than_changes() {
        let mut fixture = Fixture::new(8 * WORD_BITS);
        // No node has the number 0.
        fixture.tree[0] = 0x5eed;
        fixture.fill(0, 1, true);
        assert_eq!(fixture.tree[0], 0x5eed);
        // What is above a node that does not change is left alone, also if it is wrong.
        fixture.tree[1] = 0;
        fixture.tree[2] = 0;
        fixture.fill(0, 1, true);
        assert_eq!(fixture.tree[1..3], [0, 0]);
    }

    #[test]
    fn leaves_are_a_power_of_two() {
        for (words, leaves) in [(0, 1), (1, 1), (2, 2), (3, 4), (512, 512), (513, 1024)] {
            assert_eq!(leaves_for(words), leaves);
        }
    }

    #[test]
    fn an_empty_map_is_one_run() {
        for bits in [
            1, 2, 63, 64, 65, 127, 128, 129, 200, 4_096, 4_097, 32_768, 32_769, 40_000,
        ] {
            let map = Fixture::new(bits);
            assert_eq!(map.runs().longest(), bits, "{bits}");
            assert_eq!(map.runs().first_fit(bits), Some(0));
            assert_eq!(map.runs().first_fit(bits + 1), None);
            if bits > 1 {
                assert_eq!(map.runs().first_fit_from(1, bits - 1), Some(1));
            }
            assert_eq!(map.runs().first_fit_from(1, bits), None);
            assert_eq!(map.runs().first_fit_from(u32::MAX, 1), None);
        }
    }

    #[test]
    fn the_largest_map_is_one_run() {
        let max = crate::geometry::MAX_CHUNKS.get();
        let mut map = Fixture::new(max);
        assert_eq!(map.runs().longest(), max);
        map.fill(0, 1, true);
        assert_eq!(map.runs().first_fit(max - 1), Some(1));
        assert_eq!(map.runs().first_fit(max), None);
    }

    #[test]
    fn searches_agree_with_a_scan() {
        for (seed, bits) in [8, 64, 65, 300, 512, 1_000, 4_100].into_iter().enumerate() {
            let mut random = Random::new(seed as u64);
            let mut map = Fixture::new(bits);
            for _ in 0..3_000 {
                let start = random.below(bits);
                let end = start + 1 + random.below((bits - start).min(200));
                map.fill(start, end, random.below(2) == 0);
                let from = random.below(bits);
                let most = if random.below(2) == 0 { 8 } else { bits };
                let count = 1 + random.below(most);
                assert_eq!(
                    map.runs().first_fit(count),
                    map.slow_fit(bits, 0, count),
                    "seed {seed}"
                );
                assert_eq!(
                    map.runs().first_fit_from(from, count),
                    map.slow_fit(bits, from, count),
                    "seed {seed}"
                );
            }
        }
    }
}
