// SPDX-License-Identifier: GPL-2.0

//! Operations, and a generator of sequences of them.

use super::random::Random;
use crate::geometry::Rank;
use crate::geometry::RankSet;

/// One operation of a [`Trial`](super::Trial).
///
/// A range is named by its number among those in the state that the operation asks for, counted
/// around. So every sequence of operations means something, also after some were left out: failing
/// sequences can be made shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Adds a pack of `chunks` chunks and of rank `rank` % [`Rank::COUNT`](crate::Rank::COUNT).
    Add {
        /// Chunks in the pack.
        chunks: u32,
        /// How good a home it is.
        rank: u8,
    },
    /// Takes out a pack, if more than `keep` are empty.
    TakeEmpty {
        /// How many empty packs stay.
        keep: u8,
    },
    /// Reserves `size` bytes at a multiple of 2^`align` chunks.
    Reserve {
        /// The size in bytes.
        size: u32,
        /// The logarithm of the alignment.
        align: u8,
        /// Which ranks will do.
        among: RankSet,
    },
    /// Keeps `keep` % (length + 2) chunks of a reserved range: sometimes none, sometimes too many.
    Trim {
        /// Which reserved range.
        nth: u32,
        /// How many chunks stay.
        keep: u32,
    },
    /// Begins to write to a reserved range.
    BeginWrite {
        /// Which reserved range.
        nth: u32,
    },
    /// Begins to write to a live range.
    Rewrite {
        /// Which live range.
        nth: u32,
    },
    /// Makes a range that is being written live.
    Finalize {
        /// Which range that is being written.
        nth: u32,
    },
    /// Makes a range that is being written reserved again.
    AbortWrite {
        /// Which range that is being written.
        nth: u32,
    },
    /// Makes a range that was freed while it was being written a retiring one.
    FinalizeDoomed {
        /// Which doomed range.
        nth: u32,
    },
    /// Gives up writing to a range that was freed meanwhile.
    AbortDoomed {
        /// Which doomed range.
        nth: u32,
    },
    /// Begins to retire a live range.
    BeginRetire {
        /// Which live range.
        nth: u32,
    },
    /// Begins to retire a reserved range.
    Abandon {
        /// Which reserved range.
        nth: u32,
    },
    /// Begins to retire a range that is being written.
    Doom {
        /// Which range that is being written.
        nth: u32,
    },
    /// Ends to retire a retiring range.
    Retired {
        /// Which retiring range.
        nth: u32,
    },
    /// Seals a batch.
    BeginBatch,
    /// Releases a slice of the batch under way.
    Release {
        /// How many ranges at most.
        at_most: u32,
    },
    /// Lets a round of the clock pass.
    Age,
    /// Calls everything with a range that is most likely none, or in another state.
    Meddle {
        /// The slot.
        slot: u32,
        /// The first chunk.
        start: u32,
        /// The length.
        count: u32,
    },
    /// Calls everything with the name of a pack that was taken out.
    Stale,
}

/// What a generator may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Slots in the pool.
    pub slots: u32,
    /// The most chunks in a pack; no more than the trial's shadow has cells for.
    pub chunks: u32,
    /// Packs have any number of chunks, not just the most.
    pub any_chunks: bool,
    /// Packs have any rank, not just the best, and not all ranks will do for all reservations.
    pub any_rank: bool,
    /// The largest alignment is 2^`align` chunks.
    pub align: u8,
}

/// Makes operations from a seed.
///
/// It goes through phases in which the pool rather fills or rather drains, so that both a crowded
/// and a nearly empty pool are met.
#[derive(Clone, Debug)]
pub struct Generator {
    /// The numbers.
    random: Random,
    /// What may be asked for.
    limits: Limits,
    /// Of 16 decisions between filling and draining, how many are for filling in this phase.
    filling: u32,
    /// Operations left in this phase.
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
    // Not an `Iterator`: it has no end, and callers want an operation, not an `Option`.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Op {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.left = self.random.below(400).saturating_add(1);
            self.filling = self.random.below(17);
        }
        // CAST: all are below 256.
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
            4 | 5 => Op::Trim {
                nth,
                keep: self.number(),
            },
            6 | 56 => self.meddle(),
            7 => Op::Stale,
            8 => Op::Abandon { nth },
            9 => Op::TakeEmpty {
                keep: small(&mut self.random, 3),
            },
            10 => Op::Add {
                chunks: self.pack_chunks(),
                rank: if self.limits.any_rank {
                    small(&mut self.random, Rank::COUNT.into())
                } else {
                    0
                },
            },
            11..=23 => Op::BeginWrite { nth },
            24..=36 => Op::Finalize { nth },
            37 => Op::Rewrite { nth },
            38 => Op::AbortWrite { nth },
            39..=51 => Op::Retired { nth },
            52 | 53 => Op::Doom { nth },
            54 => Op::FinalizeDoomed { nth },
            55 => Op::AbortDoomed { nth },
            _ if self.random.below(16) >= self.filling => Op::BeginRetire { nth },
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

    /// Returns the ranks that will do: mostly all.
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

    /// Returns any number.
    fn number(&mut self) -> u32 {
        self.random.below(u32::MAX)
    }

    /// Returns a size in bytes: mostly small, sometimes any, seldom at an edge.
    fn size(&mut self) -> u32 {
        let pack = self.limits.chunks.saturating_mul(64);
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

    /// Returns an operation that should mostly be refused.
    fn meddle(&mut self) -> Op {
        Op::Meddle {
            slot: self.random.below(self.limits.slots.saturating_add(1)),
            // Low chunks are the first of ranges more often.
            start: match self.random.below(2) {
                0 => self.random.below(4),
                _ => self.random.below(self.limits.chunks.saturating_add(2)),
            },
            count: self.random.below(8),
        }
    }
}
