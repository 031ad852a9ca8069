// SPDX-License-Identifier: GPL-2.0

//! Counts of ranges and chunks by state, and figures that are derived from them.

use crate::geometry::ChunkCount;
use crate::geometry::Rank;
use crate::geometry::CHUNK_SIZE;
use crate::state::RangeState;

/// A number of ranges and of their chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ranges.
    pub ranges: u64,
    /// Chunks of these ranges.
    pub chunks: u64,
}

impl Tally {
    /// Returns the sum of two tallies.
    #[inline]
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            ranges: self.ranges.saturating_add(other.ranges),
            chunks: self.chunks.saturating_add(other.chunks),
        }
    }

    /// Returns the difference of two tallies.
    #[inline]
    #[must_use]
    pub(crate) const fn minus(self, other: Self) -> Self {
        Self {
            ranges: self.ranges.saturating_sub(other.ranges),
            chunks: self.chunks.saturating_sub(other.chunks),
        }
    }

    /// Returns the tally of one range of `count` chunks.
    #[inline]
    pub(crate) const fn one(count: ChunkCount) -> Self {
        Self {
            ranges: 1,
            // CAST: Widens; `From` is not const.
            chunks: count.get() as u64,
        }
    }

    /// Returns the size of the chunks in bytes.
    #[inline]
    pub const fn bytes(self) -> u64 {
        chunk_bytes(self.chunks)
    }
}

#[inline]
const fn chunk_bytes(chunks: u64) -> u64 {
    // CAST: The size is 64.
    chunks.saturating_mul(CHUNK_SIZE as u64)
}

/// One tally for each state of a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Ranges in the state [`RangeState::Reserved`].
    pub reserved: Tally,
    /// Ranges in the state [`RangeState::Writing`].
    pub writing: Tally,
    /// Ranges in the state [`RangeState::Live`].
    pub live: Tally,
    /// Ranges in the state [`RangeState::Doomed`].
    pub doomed: Tally,
    /// Ranges in the state [`RangeState::Retiring`].
    pub retiring: Tally,
    /// Ranges in the state [`RangeState::Retired`].
    pub retired: Tally,
    /// Ranges in the state [`RangeState::Syncing`].
    pub syncing: Tally,
}

impl Tallies {
    /// Returns the tally of a state.
    #[inline]
    pub const fn of(&self, state: RangeState) -> Tally {
        match state {
            RangeState::Reserved => self.reserved,
            RangeState::Writing => self.writing,
            RangeState::Live => self.live,
            RangeState::Doomed => self.doomed,
            RangeState::Retiring => self.retiring,
            RangeState::Retired => self.retired,
            RangeState::Syncing => self.syncing,
        }
    }

    /// As [`Self::of`], for changing.
    #[inline]
    pub(crate) fn of_mut(&mut self, state: RangeState) -> &mut Tally {
        match state {
            RangeState::Reserved => &mut self.reserved,
            RangeState::Writing => &mut self.writing,
            RangeState::Live => &mut self.live,
            RangeState::Doomed => &mut self.doomed,
            RangeState::Retiring => &mut self.retiring,
            RangeState::Retired => &mut self.retired,
            RangeState::Syncing => &mut self.syncing,
        }
    }

    /// Adds `tally` to that of a state.
    #[inline]
    pub(crate) fn add(&mut self, state: RangeState, tally: Tally) {
        let entry = self.of_mut(state);
        *entry = entry.plus(tally);
    }

    /// Returns the sum of two sets of tallies, state by state.
    fn plus(mut self, other: &Self) -> Self {
        for state in RangeState::ALL {
            self.add(state, other.of(state));
        }
        self
    }

    /// Returns the sum over all states.
    pub(crate) fn total(&self) -> Tally {
        RangeState::ALL
            .into_iter()
            .fold(Tally::default(), |sum, state| sum.plus(self.of(state)))
    }

    /// Tells whether there is no range.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.total().chunks == 0
    }

    /// Returns the tally of the images that are not finished: reserved, writing and doomed ranges.
    pub fn unfinished(&self) -> Tally {
        self.reserved.plus(self.writing).plus(self.doomed)
    }

    /// Returns the tally of what is no image any more and not free yet: retiring, retired and
    /// syncing ranges.
    pub fn dying(&self) -> Tally {
        self.retiring.plus(self.retired).plus(self.syncing)
    }
}

/// The tallies of one pack, in a word for each state: the ranges in the upper half, their chunks in
/// the lower one. No pack has more than [`MAX_CHUNKS`](crate::MAX_CHUNKS) of either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PackTallies([u64; 8]);

impl PackTallies {
    /// Returns the word of a tally.
    #[inline]
    const fn word_of(tally: Tally) -> u64 {
        tally.ranges.wrapping_shl(u32::BITS) | tally.chunks
    }

    /// Returns the word of a state.
    #[inline]
    fn word(&mut self, state: RangeState) -> &mut u64 {
        let [_, w1, w2, w3, w4, w5, w6, w7] = &mut self.0;
        // As the codes are numbered, so that the compiler makes an index of them.
        match state.code() {
            1 => w1,
            2 => w2,
            3 => w3,
            4 => w4,
            5 => w5,
            6 => w6,
            _ => w7,
        }
    }

    /// Returns the tally of a state.
    #[inline]
    pub(crate) fn of(&self, state: RangeState) -> Tally {
        let word = *{ *self }.word(state);
        Tally {
            ranges: word.wrapping_shr(u32::BITS),
            chunks: word & u64::from(u32::MAX),
        }
    }

    /// Adds `tally` to that of a state.
    #[inline]
    pub(crate) fn add(&mut self, state: RangeState, tally: Tally) {
        let word = self.word(state);
        *word = word.wrapping_add(Self::word_of(tally));
    }

    /// Subtracts `tally` from that of a state.
    #[inline]
    pub(crate) fn remove(&mut self, state: RangeState, tally: Tally) {
        let word = self.word(state);
        *word = word.wrapping_sub(Self::word_of(tally));
    }

    /// Counts a range of `count` chunks in the state `to`, and no longer in `from`.
    #[inline]
    pub(crate) fn step(&mut self, from: RangeState, to: RangeState, count: ChunkCount) {
        self.remove(from, Tally::one(count));
        self.add(to, Tally::one(count));
    }

    /// Tells whether there is no range.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> Tallies {
        let mut tallies = Tallies::default();
        for state in RangeState::ALL {
            tallies.add(state, self.of(state));
        }
        tallies
    }
}

/// A pool's figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Packs in the pool.
    pub packs: u64,
    /// Packs without a range.
    pub empty_packs: u64,
    /// Chunks of all packs.
    pub chunks: u64,
    /// The length of the longest free run, in chunks.
    pub largest_hole: u64,
    /// The ranges of all packs, by state.
    pub tallies: Tallies,
}

impl PoolStats {
    /// Adds the figures of one pack.
    pub(crate) fn count(&mut self, pack: &PackStats) {
        self.packs = self.packs.saturating_add(1);
        let empty = u64::from(pack.tallies.is_empty());
        self.empty_packs = self.empty_packs.saturating_add(empty);
        self.chunks = self.chunks.saturating_add(pack.chunks);
        self.largest_hole = self.largest_hole.max(pack.largest_hole);
        self.tallies = self.tallies.plus(&pack.tallies);
    }
}

/// A pack's figures at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackStats {
    /// The pack's rank.
    pub rank: Rank,
    /// Chunks in the pack.
    pub chunks: u64,
    /// The length of the longest free run, in chunks.
    pub largest_hole: u64,
    /// The pack's ranges, by state.
    pub tallies: Tallies,
    /// Calls of [`Pool::age`](crate::Pool::age) since the pack became empty, limited to 255; 0
    /// while it is not empty.
    pub empty_for: u8,
}

/// Defines what is derived in the same way for a pack and for a pool.
macro_rules! derived_figures {
    ($($type:ty),+) => {$(
        impl $type {
            /// Returns the size in bytes, whether used or free.
            #[inline]
            pub const fn bytes(&self) -> u64 {
                chunk_bytes(self.chunks)
            }

            /// Returns the number of free chunks.
            #[inline]
            pub(crate) fn free_chunks(&self) -> u64 {
                self.chunks.saturating_sub(self.tallies.total().chunks)
            }

            /// Returns the size of the free chunks in bytes.
            #[inline]
            pub fn free_bytes(&self) -> u64 {
                chunk_bytes(self.free_chunks())
            }

            /// Returns the length of the longest free run in bytes.
            #[inline]
            pub const fn largest_hole_bytes(&self) -> u64 {
                chunk_bytes(self.largest_hole)
            }
        }
    )+};
}

derived_figures!(PoolStats, PackStats);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_figures() {
        let mut stats = PoolStats {
            packs: 1,
            empty_packs: 0,
            chunks: 100,
            largest_hole: 30,
            ..Default::default()
        };
        stats.tallies.add(
            RangeState::Live,
            Tally {
                ranges: 2,
                chunks: 20,
            },
        );
        stats.tallies.add(
            RangeState::Syncing,
            Tally {
                ranges: 1,
                chunks: 40,
            },
        );
        assert_eq!(stats.free_chunks(), 40);
        assert_eq!(stats.free_bytes(), 2_560);
        assert_eq!(stats.bytes(), 6_400);
        assert_eq!(stats.largest_hole_bytes(), 1_920);
        assert_eq!(
            stats.tallies.dying(),
            Tally {
                ranges: 1,
                chunks: 40
            }
        );
        stats.tallies.writing = Tally {
            ranges: 1,
            chunks: 10,
        };
        stats.tallies.reserved = Tally {
            ranges: 2,
            chunks: 5,
        };
        stats.tallies.doomed = Tally {
            ranges: 1,
            chunks: 3,
        };
        assert_eq!(
            stats.tallies.unfinished(),
            Tally {
                ranges: 4,
                chunks: 18
            }
        );
        assert_eq!(stats.free_chunks(), 22);
    }

    #[test]
    fn every_state_is_of_one_group() {
        for (state, want) in [
            (RangeState::Reserved, [1, 0]),
            (RangeState::Writing, [1, 0]),
            (RangeState::Live, [0, 0]),
            (RangeState::Doomed, [1, 0]),
            (RangeState::Retiring, [0, 1]),
            (RangeState::Retired, [0, 1]),
            (RangeState::Syncing, [0, 1]),
        ] {
            let mut tallies = Tallies::default();
            tallies.add(state, Tally::one(ChunkCount::new(7)));
            let groups = [tallies.unfinished(), tallies.dying()];
            assert_eq!(groups.map(|tally| tally.ranges), want, "{state:?}");
            assert_eq!(
                groups.map(|tally| tally.chunks),
                want.map(|n| 7 * n),
                "{state:?}"
            );
            assert_eq!(tallies.total(), tallies.of(state));
            assert_eq!(tallies.total().bytes(), 7 * 64);
        }
    }

    #[test]
    fn a_pool_is_the_sum_of_its_packs() {
        let pack = |chunks, largest_hole, live| PackStats {
            rank: Rank::BEST,
            chunks,
            largest_hole,
            tallies: Tallies {
                live: Tally {
                    ranges: u64::from(live != 0),
                    chunks: live,
                },
                ..Default::default()
            },
            empty_for: 0,
        };
        let mut stats = PoolStats::default();
        for pack in [pack(64, 10, 5), pack(100, 100, 0), pack(64, 7, 50)] {
            stats.count(&pack);
        }
        let live = Tally {
            ranges: 2,
            chunks: 55,
        };
        assert_eq!(
            stats,
            PoolStats {
                packs: 3,
                empty_packs: 1,
                chunks: 228,
                largest_hole: 100,
                tallies: Tallies {
                    live,
                    ..Default::default()
                },
            }
        );
    }
}
