// SPDX-License-Identifier: GPL-2.0

//! Operations from bytes, for a fuzzer: it knows nothing but bytes, and keeps those that reach
//! something new.

use super::op::Limits;
use super::op::Op;
use crate::geometry::Rank;
use crate::geometry::RankSet;
use crate::geometry::SlotRange;

/// The slots of a pool and the most chunks of its packs, by the first byte. One word of a bitmap
/// and its neighbours, several words, many small packs.
const SHAPES: [(u32, u32); 8] = [
    (1, 8),
    (4, 1),
    (3, 64),
    (3, 65),
    (2, 129),
    (2, 1_000),
    (7, 300),
    (48, 3),
];

/// The number of operations from one input. Few bytes that are repeated fill a pool as well as many
/// bytes do, and a fuzzer finds them sooner.
const OPERATIONS: u32 = 250;

/// Reads operations from bytes, over and over until there are enough. All bytes are valid, and a
/// change of one of them seldom changes the operations after the next.
#[derive(Clone, Debug)]
pub struct Bytes<'a> {
    all: &'a [u8],
    rest: &'a [u8],
    limits: Limits,
    /// Whether there are operations by slots and by short holes. Without, the inputs that were kept
    /// before there were such operations mean what they meant.
    all_kinds: bool,
    /// The operations that are left.
    left: u32,
}

impl<'a> Bytes<'a> {
    /// Takes the limits and the kinds of operations from the first byte. The others are the operations.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first()?;
        let (slots, chunks) = *SHAPES.get(usize::from(*first).checked_rem(SHAPES.len())?)?;
        let limits = Limits {
            slots,
            chunks,
            any_chunks: true,
            any_rank: true,
            align: 6,
            image: 0,
        };
        Some(Self {
            all: rest,
            rest,
            limits,
            all_kinds: *first >= 128,
            left: OPERATIONS,
        })
    }

    /// Returns the limits that the operations keep to.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes the next byte.
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Takes a number of 16 bits.
    fn number(&mut self) -> Option<u32> {
        Some(u32::from(u16::from_le_bytes([self.byte()?, self.byte()?])))
    }

    /// Takes a number that is at most `most`.
    fn up_to(&mut self, most: u32) -> Option<u32> {
        self.number()?.checked_rem(most.saturating_add(1))
    }

    /// Takes a size in bytes: a number of chunks up to one more than a pack can have, and some
    /// bytes.
    fn size(&mut self) -> Option<u32> {
        let chunks = self.up_to(self.limits.chunks.saturating_add(1))?;
        let bytes = u32::from(self.byte()?);
        Some(chunks.saturating_mul(64).saturating_add(bytes % 64))
    }

    /// Takes ranks to choose from: all of them for half of the bytes.
    fn ranks(&mut self) -> Option<RankSet> {
        let byte = self.byte()?;
        if byte & 1 == 0 {
            return Some(RankSet::ALL);
        }
        let chosen =
            |rank: &Rank| byte.wrapping_shr(u32::from(rank.get()).saturating_add(1)) & 1 != 0;
        let ranks = Rank::all().filter(chosen);
        Some(ranks.fold(RankSet::NONE, RankSet::with))
    }

    /// Takes slots to choose from.
    fn slots(&mut self) -> Option<SlotRange> {
        let byte = self.byte()?;
        Some(SlotRange {
            start: u32::from(byte % 8),
            end: u32::from(byte / 8),
        })
    }
}

impl Iterator for Bytes<'_> {
    type Item = Op;

    fn next(&mut self) -> Option<Op> {
        self.left = self.left.checked_sub(1)?;
        self.operation().or_else(|| {
            self.rest = self.all;
            self.operation()
        })
    }
}

impl Bytes<'_> {
    /// Takes an operation, or returns [`None`] if there are not enough bytes for one.
    fn operation(&mut self) -> Option<Op> {
        let kind = self.byte()?;
        Some(match kind % 32 {
            0 => Op::Add {
                chunks: self.up_to(self.limits.chunks)?,
                rank: self.byte()?,
                slots: SlotRange::ALL,
            },
            1 => {
                // The inputs that were kept have a byte there.
                self.byte()?;
                Op::TakeEmpty
            }
            2 => Op::BeginImage {
                nth: self.number()?,
                keep: self.number()?,
            },
            3 => Op::Rewrite {
                nth: self.number()?,
            },
            4 => Op::AbortWrite {
                nth: self.number()?,
            },
            5 => Op::FinalizeDoomed {
                nth: self.number()?,
            },
            6 => Op::AbortDoomed {
                nth: self.number()?,
            },
            7 => Op::Abandon {
                nth: self.number()?,
            },
            8 | 9 => Op::Doom {
                nth: self.number()?,
            },
            10 => Op::BeginBatch,
            11 | 12 => Op::Release {
                // Mostly fewer than a batch has.
                at_most: match self.byte()? {
                    byte @ 0..=191 => u32::from(byte % 8),
                    _ => u32::MAX,
                },
            },
            13 => Op::Age,
            14 => Op::Stale,
            16 if self.all_kinds => Op::ReserveWithin {
                size: self.size()?,
                among: self.ranks()?,
                slots: self.slots()?,
                from: if kind >= 192 {
                    Some(self.number()?)
                } else {
                    None
                },
            },
            15 | 16 => Op::Meddle {
                slot: self.up_to(self.limits.slots)?,
                start: self.up_to(self.limits.chunks)?,
                count: u32::from(self.byte()? % 8),
            },
            17..=19 => Op::BeginWrite {
                nth: self.number()?,
            },
            20..=22 => Op::Finalize {
                nth: self.number()?,
            },
            23..=25 => Op::BeginRetire {
                nth: self.number()?,
            },
            26..=28 => Op::Retired {
                nth: self.number()?,
            },
            29 => Op::Reserve {
                size: self.size()?,
                align: self.byte()? % 7,
                among: self.ranks()?,
            },
            30 => Op::ReserveFrom {
                size: self.size()?,
                from: self.number()?,
            },
            _ if self.all_kinds && kind >= 128 => Op::ReserveFitting {
                size: u32::from(self.byte()? % 16).saturating_mul(32),
                among: self.ranks()?,
            },
            _ => Op::Reserve {
                size: u32::from(self.byte()? % 16).saturating_mul(32),
                align: 0,
                among: RankSet::ALL,
            },
        })
    }
}
