// SPDX-License-Identifier: GPL-2.0

//! Reproducible pseudo-random numbers.

/// A generator of pseudo-random numbers (SplitMix64): the same seed gives the same numbers
/// everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Makes a generator. Every seed is good.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    // This is no `Iterator`: it has no end, and callers need no `Option`.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`; 0 if `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        // CAST: The upper half of a product with a 32-bit number is below that number.
        ((self.next() >> 32).wrapping_mul(u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_published_ones() {
        let mut random = Random::new(1234567);
        assert_eq!(random.next(), 6457827717110365317);
        assert_eq!(random.next(), 3203168211198807973);
        assert_eq!(random.next(), 9817491932198370423);
    }

    #[test]
    fn below_reaches_all_and_no_more() {
        let mut random = Random::new(0);
        for bound in [1, 2, 3, 10] {
            let mut seen = vec![false; bound as usize];
            for _ in 0..1_000 {
                seen[random.below(bound) as usize] = true;
            }
            assert!(seen.iter().all(|seen| *seen), "{bound}");
        }
        assert_eq!(random.below(0), 0);
    }
}
