// SPDX-License-Identifier: GPL-2.0

//! Operations on a pool, and a generator of them.

use super::random::Random;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::SlotRange;

/// One operation of a [`Trial`](super::Trial).
///
/// `nth` is the number of a range among the ranges in the state that the operation needs, modulo
/// their number. So every sequence of operations is valid, also after some of them were left out:
/// that lets a test shorten a sequence that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds a pack of `chunks` chunks and of rank `rank` % [`Rank::COUNT`](crate::Rank::COUNT). The
    /// higher `rank` is, the higher is the pack's origin. The highest ones are packs for one image.
    /// It goes to one of `slots` if one is vacant.
    Add {
        /// Chunks in the pack.
        chunks: u32,
        /// Its rank.
        rank: u8,
        /// The slots to choose from.
        slots: SlotRange,
    },
    /// Removes an empty pack.
    TakeEmpty,
    /// Reserves `size` bytes at a multiple of 2^`align` chunks.
    Reserve {
        /// The size in bytes.
        size: u32,
        /// The logarithm of the alignment.
        align: u8,
        /// The ranks to choose from.
        among: RankSet,
    },
    /// Reserves `size` bytes in a short hole, or at the first place.
    ReserveFitting {
        /// The size in bytes.
        size: u32,
        /// The ranks to choose from.
        among: RankSet,
    },
    /// Reserves `size` bytes in any pack, from a chunk on if they fit there.
    ReserveFrom {
        /// The size in bytes.
        size: u32,
        /// The number of a chunk, modulo the number of chunks.
        from: u32,
    },
    /// Reserves `size` bytes in a pack in one of `slots`: in a short hole, at the first place, or from
    /// a chunk on if they fit there.
    ReserveWithin {
        /// The size in bytes.
        size: u32,
        /// The ranks to choose from.
        among: RankSet,
        /// The slots to choose from.
        slots: SlotRange,
        /// The number of a chunk, modulo the number of chunks.
        from: Option<u32>,
    },
    /// Keeps `keep` % (length + 2) chunks of a reserved range, sometimes none, sometimes too many,
    /// and begins to write to it.
    BeginImage {
        /// The number of a reserved range.
        nth: u32,
        /// The number of chunks to keep.
        keep: u32,
    },
    /// Begins to write to a reserved range.
    BeginWrite {
        /// The number of a reserved range.
        nth: u32,
    },
    /// Begins to write to a live range.
    Rewrite {
        /// The number of a live range.
        nth: u32,
    },
    /// Makes a range that is being written live.
    Finalize {
        /// The number of a range that is being written.
        nth: u32,
    },
    /// Makes a range that is being written reserved again.
    AbortWrite {
        /// The number of a range that is being written.
        nth: u32,
    },
    /// Finalizes a range that was freed while it was being written: it is retiring then.
    FinalizeDoomed {
        /// The number of a doomed range.
        nth: u32,
    },
    /// Aborts writing to a range that was freed meanwhile: it is retiring then.
    AbortDoomed {
        /// The number of a doomed range.
        nth: u32,
    },
    /// Begins to retire a live range.
    BeginRetire {
        /// The number of a live range.
        nth: u32,
    },
    /// Begins to retire a reserved range.
    Abandon {
        /// The number of a reserved range.
        nth: u32,
    },
    /// Begins to retire a range that is being written.
    Doom {
        /// The number of a range that is being written.
        nth: u32,
    },
    /// Makes a retiring range retired.
    Retired {
        /// The number of a retiring range.
        nth: u32,
    },
    /// Begins a batch.
    BeginBatch,
    /// Releases a slice of the batch under way.
    Release {
        /// The most ranges to release.
        at_most: u32,
    },
    /// Counts a round for empty packs.
    Age,
    /// Makes all calls with a range that probably does not exist or is in another state.
    Meddle {
        /// The slot.
        slot: u32,
        /// The first chunk.
        start: u32,
        /// The length.
        count: u32,
    },
    /// Makes all calls with the name of a pack that was removed.
    Stale,
}

/// The limits of a generator.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Slots in the pool.
    pub slots: u32,
    /// The most chunks in a pack. The trial's shadow needs as many cells for each slot.
    pub chunks: u32,
    /// Whether packs have random numbers of chunks. Otherwise all have the most.
    pub any_chunks: bool,
    /// Whether packs have random ranks and reservations choose from random ranks. Otherwise all
    /// packs have the best rank.
    pub any_rank: bool,
    /// The largest alignment is 2^`align` chunks.
    pub align: u8,
    /// The most chunks of nearly all images, or 0 for images of all sizes.
    pub image: u32,
}

/// Makes operations from a seed.
///
/// It has phases in which the pool tends to fill, and others in which it tends to drain, so that
/// both full and nearly empty pools occur.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    limits: Limits,
    /// Of 16 decisions between filling and draining, the number for filling in this phase.
    filling: u32,
    /// The operations that are left in this phase.
    left: u32,
}

impl Generator {
    /// Makes a generator.
    pub fn new(seed: u64, limits: Limits) -> Self {
        Self {
            random: Random::new(seed),
            limits,
            filling: 12,
            left: 50,
        }
    }

    /// Returns the next operation.
    // This is no `Iterator`: it has no end, and callers need no `Option`.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Op {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.left = self.random.below(400).saturating_add(1);
            self.filling = self.random.below(17);
        }
        // CAST: All bounds are below 256.
        let small = |random: &mut Random, bound: u32| random.below(bound) as u8;
        let nth = self.number();
        match self.random.below(84) {
            0 => Op::BeginBatch,
            1 | 2 => Op::Release {
                at_most: match self.random.below(3) {
                    0 => u32::MAX,
                    _ => self.random.below(8),
                },
            },
            3 => Op::Age,
            4 | 5 | 11..=16 => Op::BeginImage {
                nth,
                keep: self.number(),
            },
            6 | 56 => self.meddle(),
            7 => Op::Stale,
            8 => Op::Abandon { nth },
            9 => Op::TakeEmpty,
            10 => Op::Add {
                chunks: self.pack_chunks(),
                rank: if self.limits.any_rank {
                    small(&mut self.random, 256)
                } else {
                    0
                },
                slots: self.slots(),
            },
            17..=23 => Op::BeginWrite { nth },
            24..=36 => Op::Finalize { nth },
            37 => Op::Rewrite { nth },
            38 => Op::AbortWrite { nth },
            39..=51 => Op::Retired { nth },
            52 | 53 => Op::Doom { nth },
            54 => Op::FinalizeDoomed { nth },
            55 => Op::AbortDoomed { nth },
            57 | 58 if self.random.below(16) < self.filling => Op::ReserveFrom {
                size: self.size(),
                from: nth,
            },
            _ if self.random.below(16) >= self.filling => Op::BeginRetire { nth },
            59..=66 if self.limits.any_rank => Op::ReserveWithin {
                size: self.size(),
                among: self.ranks(),
                slots: self.slots(),
                from: (self.random.below(2) == 0).then_some(nth),
            },
            _ if self.random.below(2) == 0 => Op::ReserveFitting {
                size: self.size(),
                among: self.ranks(),
            },
            _ => Op::Reserve {
                size: self.size(),
                align: match self.random.below(4) {
                    0 => small(
                        &mut self.random,
                        u32::from(self.limits.align).saturating_add(1),
                    ),
                    _ => 0,
                },
                among: self.ranks(),
            },
        }
    }

    /// Returns ranks to choose from: mostly all.
    fn ranks(&mut self) -> RankSet {
        if !self.limits.any_rank || self.random.below(4) != 0 {
            return RankSet::ALL;
        }
        let mut ranks = RankSet::NONE;
        for rank in Rank::all() {
            if self.random.below(2) == 0 {
                ranks = ranks.with(rank);
            }
        }
        ranks
    }

    /// Returns slots to choose from: one of two halves, or, if there are no ranks either, all of them.
    fn slots(&mut self) -> SlotRange {
        let half = self.limits.slots / 2;
        match self.random.below(8) {
            _ if !self.limits.any_rank => SlotRange::ALL,
            0..=2 => SlotRange {
                start: 0,
                end: half,
            },
            3..=5 => SlotRange {
                start: half,
                end: self.limits.slots,
            },
            6 => SlotRange {
                start: self.random.below(self.limits.slots),
                end: self.random.below(self.limits.slots),
            },
            _ => SlotRange::ALL,
        }
    }

    /// Returns a random number.
    fn number(&mut self) -> u32 {
        self.random.below(u32::MAX)
    }

    /// Returns a size in bytes: mostly small, sometimes arbitrary, seldom at a limit.
    fn size(&mut self) -> u32 {
        let pack = self.limits.chunks.saturating_mul(64);
        let image = self.limits.image.saturating_mul(64);
        if image != 0 && self.random.below(32) != 0 {
            return self.random.below(image).saturating_add(1);
        }
        match self.random.below(64) {
            0 => [
                0,
                1,
                64,
                65,
                pack.saturating_sub(64),
                pack,
                pack.saturating_add(1),
                u32::MAX,
            ]
            .get(self.random.below(8) as usize)
            .copied()
            .unwrap_or(0),
            1..=3 => self.random.below(pack),
            4..=15 => self.random.below(pack / 8),
            _ => self.random.below(pack.min(4_096)),
        }
    }

    /// Returns a number of chunks for a pack.
    fn pack_chunks(&mut self) -> u32 {
        if self.limits.any_chunks {
            self.random.below(self.limits.chunks).saturating_add(1)
        } else {
            self.limits.chunks
        }
    }

    /// Returns an operation that the pool refuses in most cases.
    fn meddle(&mut self) -> Op {
        Op::Meddle {
            slot: self.random.below(self.limits.slots.saturating_add(1)),
            // Low chunks are more often the first of a range.
            start: match self.random.below(2) {
                0 => self.random.below(4),
                _ => self.random.below(self.limits.chunks.saturating_add(2)),
            },
            count: self.random.below(8),
        }
    }
}
