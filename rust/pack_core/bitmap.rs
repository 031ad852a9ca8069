// SPDX-License-Identifier: GPL-2.0

//! Bitmaps. Bit `n` is bit `n % 64` of word `n / 64`.
//!
//! Bits beyond the words read as 0, and writing to them does nothing. No function here can panic.

use crate::probe;

/// Bits in a word.
pub(crate) const WORD_BITS: u32 = u64::BITS;

/// Returns the index of the word that holds `bit`.
#[inline]
pub(crate) const fn word_of(bit: u32) -> usize {
    // CAST: `usize` has at least 32 bits.
    (bit / WORD_BITS) as usize
}

/// Returns the number of the first bit of the word at `index`, or [`u32::MAX`] if that is too
/// large.
#[inline]
pub(crate) const fn first_bit_of(index: usize) -> u32 {
    if index > word_of(u32::MAX) {
        return u32::MAX;
    }
    // CAST: Checked above.
    (index as u32).saturating_mul(WORD_BITS)
}

/// Returns how many words hold `bits` bits.
#[inline]
pub(crate) const fn words_for(bits: u32) -> usize {
    // CAST: `usize` has at least 32 bits.
    bits.div_ceil(WORD_BITS) as usize
}

/// Returns a word with the bits from `bit % 64` up set.
#[inline]
pub(crate) const fn from_bit(bit: u32) -> u64 {
    u64::MAX.wrapping_shl(bit % WORD_BITS)
}

/// Returns a word with the bits up to and including `bit % 64` set.
#[inline]
pub(crate) const fn up_to_bit(bit: u32) -> u64 {
    u64::MAX.wrapping_shr((WORD_BITS - 1).saturating_sub(bit % WORD_BITS))
}

/// A run of words outside of which no bit is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    /// The word after the last. Not more than `start` if the span is empty.
    end: u32,
}

impl Span {
    /// Tells whether the word at `index` is in the span.
    pub(crate) fn covers(self, index: usize) -> bool {
        self.words().contains(&index)
    }

    /// Returns the smallest span that covers both.
    #[inline]
    pub(crate) fn and(self, other: Self) -> Self {
        if self.start >= self.end {
            return other;
        }
        if other.start >= other.end {
            return self;
        }
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// Returns the number of words.
    #[inline]
    pub(crate) fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the part from the word at `index` on.
    #[inline]
    pub(crate) fn from(self, index: usize) -> Self {
        Self {
            start: u32::try_from(index).unwrap_or(u32::MAX).max(self.start),
            ..self
        }
    }

    /// Returns the span of the word that holds `bit`.
    #[inline]
    pub(crate) fn of_bit(bit: u32) -> Self {
        let start = bit / WORD_BITS;
        Self {
            start,
            end: start.saturating_add(1),
        }
    }

    /// Returns the indexes of the words.
    #[inline]
    pub(crate) fn words(self) -> core::ops::Range<usize> {
        // CAST: `usize` has at least 32 bits.
        self.start as usize..self.end as usize
    }
}

/// Returns the word at `index`; 0 if there is none.
#[inline]
pub(crate) fn word(words: &[u64], index: usize) -> u64 {
    words.get(index).copied().unwrap_or(0)
}

/// Returns a bit.
#[inline]
pub(crate) fn get(words: &[u64], bit: u32) -> bool {
    word(words, word_of(bit)) & (1u64.wrapping_shl(bit)) != 0
}

/// Writes a bit.
#[cfg(test)]
pub(crate) fn assign(words: &mut [u64], bit: u32, value: bool) {
    if let Some(word) = words.get_mut(word_of(bit)) {
        let mask = 1u64.wrapping_shl(bit);
        *word = if value { *word | mask } else { *word & !mask };
    }
}

/// Returns the bits from `first` to `last`, inclusive, that are in the word at `index`, which has
/// some of them.
#[inline]
const fn part_of(index: usize, first: u32, last: u32) -> u64 {
    let mut part = u64::MAX;
    if index == word_of(first) {
        part &= from_bit(first);
    }
    if index == word_of(last) {
        part &= up_to_bit(last);
    }
    part
}

/// Writes the bits from `start` up to but not including `end`. O(words).
///
/// The words of the bitmap are every `STRIDE`th of `words`.
#[inline]
pub(crate) fn fill<const STRIDE: usize>(words: &mut [u64], start: u32, end: u32, value: bool) {
    let Some(last) = end.checked_sub(1).filter(|last| *last >= start) else {
        return;
    };
    let (first_word, last_word) = (word_of(start), word_of(last));
    for index in first_word..last_word.saturating_add(1) {
        let Some(word) = words.get_mut(index.saturating_mul(STRIDE)) else {
            return;
        };
        probe::visit();
        let mask = part_of(index, start, last);
        *word = if value { *word | mask } else { *word & !mask };
    }
}

/// Tells whether the bits from `start` up to but not including `end` are there and 0. O(words).
///
/// The words of the bitmap are every `STRIDE`th of `words`.
#[inline]
pub(crate) fn is_clear<const STRIDE: usize>(words: &[u64], start: u32, end: u32) -> bool {
    let Some(last) = end.checked_sub(1).filter(|last| *last >= start) else {
        return true;
    };
    let (first_word, last_word) = (word_of(start), word_of(last));
    let is_clear = |index: usize| {
        probe::visit();
        let word = words.get(index.saturating_mul(STRIDE));
        word.is_some_and(|word| word & part_of(index, start, last) == 0)
    };
    // Most images are in one word.
    is_clear(first_word)
        && (first_word == last_word
            || (first_word.saturating_add(1)..last_word.saturating_add(1)).all(is_clear))
}

/// Returns the first set bit from `start` on, or `end` if it comes before that or there are no more
/// words. O(words).
///
/// The words of the bitmap are every `STRIDE`th of `words`.
pub(crate) fn clear_until<const STRIDE: usize>(words: &[u64], start: u32, end: u32) -> u32 {
    let mut mask = from_bit(start);
    let mut index = word_of(start);
    while first_bit_of(index) < end {
        probe::visit();
        let Some(word) = words.get(index.saturating_mul(STRIDE)) else {
            return first_bit_of(index);
        };
        if word & mask != 0 {
            let set = first_bit_of(index).saturating_add((word & mask).trailing_zeros());
            return set.min(end);
        }
        mask = u64::MAX;
        index = index.saturating_add(1);
    }
    end
}

/// Visits the numbers of the set bits of a word, lowest first.
#[cfg(any(test, feature = "model"))]
pub(crate) fn ones(mut word: u64) -> impl Iterator<Item = u32> {
    core::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros();
        // Clears the lowest set bit.
        word &= word.wrapping_sub(1);
        Some(bit)
    })
}

/// Returns the lowest `count` set bits of a word; all if there are fewer.
#[inline]
pub(crate) fn lowest(word: u64, count: u32) -> u64 {
    if word.count_ones() <= count {
        return word;
    }
    // Clears the lowest set bit, `count` times.
    let rest = (0..count).fold(word, |rest, _| rest & rest.wrapping_sub(1));
    word & !rest
}

/// Returns `starts` and all bits of `inner` that follow one of them without a gap. Also returns
/// whether the highest bit is one of these, so that the run may continue in the next word.
///
/// `open` says that a run continues from the word before. `starts` and `inner` have no bit in
/// common.
#[inline]
pub(crate) fn follow(starts: u64, inner: u64, open: bool) -> (u64, bool) {
    // The lowest bits of those runs of `inner` that follow a start or continue from the word
    // before.
    let next = (starts.wrapping_shl(1) | u64::from(open)) & inner;
    // Adding the lowest bit of a run clears the whole run; the carry stops in the gap above it.
    let all = starts | inner & !inner.wrapping_add(next);
    (all, get(&[all], WORD_BITS - 1))
}

/// Returns the length of the longest run of set bits in a word, in a constant number of steps.
pub(crate) fn longest_run(word: u64) -> u32 {
    if word == u64::MAX {
        return WORD_BITS;
    }
    // Bit i of the level k: a run of 2^k starts at bit i.
    let mut levels = [0u64; 6];
    let mut runs = word;
    for (level, shift) in levels.iter_mut().zip([1, 2, 4, 8, 16, 32]) {
        *level = runs;
        runs &= runs.wrapping_shr(shift);
    }
    // The length, from its highest binary digit down: `starts` are the bits at which a run of
    // `length` starts.
    let (mut length, mut starts) = (0u32, u64::MAX);
    for (level, step) in levels.iter().rev().zip([32u32, 16, 8, 4, 2, 1]) {
        let longer = starts & level.wrapping_shr(length);
        if longer != 0 {
            starts = longer;
            length = length.saturating_add(step);
        }
    }
    length
}

/// Returns the lowest bit of a word at which `length` set bits start, in O(log `length`) steps.
///
/// A length of 0 fits at 0, and a length of more than 64 nowhere.
pub(crate) fn first_run(word: u64, length: u32) -> Option<u32> {
    if length > WORD_BITS {
        return None;
    }
    // `starts` are the bits at which a run of `done` starts. Each step doubles `done`, or completes
    // it.
    let (mut starts, mut done) = (word, 1u32);
    while done < length {
        let step = done.min(length.saturating_sub(done));
        starts &= starts.wrapping_shr(step);
        done = done.saturating_add(step);
    }
    match (length, starts) {
        (0, _) => Some(0),
        (_, 0) => None,
        (_, starts) => Some(starts.trailing_zeros()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Random;

    /// The longest run, one bit at a time.
    fn slow_longest_run(word: u64) -> u32 {
        let (mut longest, mut run) = (0, 0);
        for bit in 0..64 {
            run = if (word >> bit) & 1 == 1 { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        longest
    }

    /// The first run, one bit at a time.
    fn slow_first_run(word: u64, length: u32) -> Option<u32> {
        (0..=64u32.checked_sub(length)?)
            .find(|s| (*s..*s + length).all(|bit| (word >> bit) & 1 == 1))
    }

    /// Words that are likely to break something, and random ones of several densities.
    fn words() -> Vec<u64> {
        let mut words = vec![
            0,
            1,
            1 << 63,
            u64::MAX,
            u64::MAX - 1,
            u64::MAX >> 1,
            0x5555_5555_5555_5555,
        ];
        for length in 1..64 {
            for start in 0..=64 - length {
                words.push((u64::MAX >> (64 - length)) << start);
            }
        }
        let mut random = Random::new(1);
        for _ in 0..2_000 {
            let (a, b, c) = (random.next(), random.next(), random.next());
            words.extend([a, a | b, a | b | c, a & b, !(a & b & c)]);
        }
        words
    }

    #[test]
    fn longest_runs_are_as_counted() {
        for word in words() {
            assert_eq!(longest_run(word), slow_longest_run(word), "{word:#x}");
        }
    }

    #[test]
    fn first_runs_are_as_searched() {
        for word in words() {
            for length in [0, 1, 2, 3, 5, 8, 31, 32, 33, 63, 64, 65, u32::MAX] {
                assert_eq!(
                    first_run(word, length),
                    slow_first_run(word, length),
                    "{word:#x}, {length}"
                );
            }
        }
    }

    #[test]
    fn fill_is_a_loop_over_bits() {
        let edges = [
            0,
            1,
            2,
            62,
            63,
            64,
            65,
            127,
            128,
            129,
            191,
            192,
            200,
            u32::MAX,
        ];
        for start in edges {
            for end in edges {
                let backgrounds = [0, u64::MAX, 0xa5a5_0ff0_1234_8001];
                for (value, background) in [false, true]
                    .into_iter()
                    .flat_map(|value| backgrounds.map(|background| (value, background)))
                {
                    let (mut fast, mut slow) = ([background; 3], [background; 3]);
                    fill::<1>(&mut fast, start, end, value);
                    for bit in (0..192).filter(|bit| (start..end).contains(bit)) {
                        assign(&mut slow, bit, value);
                    }
                    assert_eq!(fast, slow, "{start}..{end} = {value}");
                }
            }
        }
    }

    #[test]
    fn clear_bits_are_as_looked_at() {
        let mut random = Random::new(3);
        for word in words() {
            let words = [random.next() & random.next(), word, 0, u64::MAX];
            for _ in 0..20 {
                let (start, end) = (random.below(260), random.below(300));
                let wanted = (start..end).all(|bit| bit < 256 && !get(&words, bit));
                assert_eq!(is_clear::<1>(&words, start, end), wanted, "{start}..{end}");
            }
        }
    }

    #[test]
    fn the_first_set_bit_is_as_looked_for() {
        let mut random = Random::new(4);
        for word in words() {
            let words = [random.next() & random.next(), word, 0, u64::MAX];
            for _ in 0..20 {
                let (start, end) = (random.below(200), random.below(256));
                let wanted = (start..end).find(|bit| get(&words, *bit));
                assert_eq!(
                    clear_until::<1>(&words, start, end),
                    wanted.unwrap_or(end),
                    "{start}..{end}"
                );
            }
        }
        assert_eq!(clear_until::<1>(&[0, 0], 5, 300), 128);
    }

    #[test]
    fn bits_outside_are_zero_and_stay_so() {
        let mut words = [0u64; 2];
        for bit in [128, 129, u32::MAX] {
            assign(&mut words, bit, true);
            assert!(!get(&words, bit));
        }
        assert_eq!(words, [0; 2]);
    }

    #[test]
    fn every_bit_is_its_own() {
        for bit in 0..128 {
            let mut words = [0u64; 2];
            assign(&mut words, bit, true);
            assert!((0..130).all(|other| get(&words, other) == (other == bit)));
            assign(&mut words, bit, false);
            assert_eq!(words, [0; 2]);
        }
    }

    #[test]
    fn the_lowest_bits_are_as_counted() {
        for word in words() {
            for count in [0, 1, 2, 3, 31, 32, 63, 64, 65, u32::MAX] {
                let all: Vec<u32> = ones(word).collect();
                let some: Vec<u32> = ones(lowest(word, count)).collect();
                assert_eq!(
                    some,
                    all[..all.len().min(count as usize)],
                    "{word:#x}, {count}"
                );
            }
        }
    }

    /// As `follow`, one bit at a time.
    fn slow_follow(starts: u64, inner: u64, open: bool) -> (u64, bool) {
        let (mut all, mut open) = (0, open);
        for bit in 0..64 {
            open = (starts >> bit) & 1 == 1 || open && (inner >> bit) & 1 == 1;
            all |= u64::from(open) << bit;
        }
        (all, open)
    }

    #[test]
    fn what_follows_is_as_walked() {
        let words = words();
        let mut random = Random::new(2);
        for inner in &words {
            for _ in 0..8 {
                let starts = words[random.below(words.len() as u32) as usize] & !inner;
                for open in [false, true] {
                    assert_eq!(
                        follow(starts, *inner, open),
                        slow_follow(starts, *inner, open),
                        "{starts:#x}, {inner:#x}, {open}"
                    );
                }
            }
        }
        // All of a byte's starts and inner bits, at both ends of a word.
        for starts in 0..=u8::MAX {
            for inner in (0..=u8::MAX).filter(|inner| inner & starts == 0) {
                for (shift, open) in [(0, false), (0, true), (56, false), (56, true)] {
                    let (starts, inner) = (u64::from(starts) << shift, u64::from(inner) << shift);
                    assert_eq!(
                        follow(starts, inner, open),
                        slow_follow(starts, inner, open),
                        "{starts:#x}, {inner:#x}, {open}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_span_shrinks_from_below() {
        let span = Span::of_bit(3 * 64).and(Span::of_bit(5 * 64 + 63));
        assert_eq!(span.words(), 3..6);
        for (index, want) in [(0, 3..6), (3, 3..6), (4, 4..6), (5, 5..6)] {
            assert_eq!(span.from(index).words(), want);
        }
        for index in [6, 7, usize::MAX] {
            assert!(span.from(index).words().is_empty());
            assert_eq!(span.from(index).and(Span::of_bit(0)), Span::of_bit(0));
        }
    }

    #[test]
    fn masks() {
        for bit in 0..64 {
            assert_eq!(from_bit(bit).count_ones(), 64 - bit);
            assert_eq!(up_to_bit(bit).count_ones(), bit + 1);
            assert_eq!(from_bit(bit) & up_to_bit(bit), 1 << bit);
        }
        assert_eq!(ones(0b1010_0001).collect::<Vec<_>>(), [0, 5, 7]);
        assert_eq!(ones(u64::MAX).count(), 64);
    }
    #[test]
    fn numbers_of_bits_do_not_wrap() {
        let last = word_of(u32::MAX);
        assert_eq!(first_bit_of(last - 1), u32::MAX - 127);
        assert_eq!(first_bit_of(last), u32::MAX - 63);
        for index in [last + 1, last + 2, 2 * last + 2, usize::MAX] {
            assert_eq!(first_bit_of(index), u32::MAX);
        }
    }
}
