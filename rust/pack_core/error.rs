// SPDX-License-Identifier: GPL-2.0

//! What can go wrong. No errno here: the caller converts at its own edge.

use crate::geometry::ChunkCount;
use crate::state::RangeState;

/// Why an operation was refused. A refused operation has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No pack has room. Not a failure: make a pack of at least this many chunks with no lock held,
    /// add it, ask again.
    NeedPack(ChunkCount),
    /// Nothing was asked for: a size of 0 bytes, or a trim to 0 chunks.
    Empty,
    /// More than any pack can hold, or a trim to more than the range has.
    TooLarge,
    /// The alignment is not a power of two.
    BadAlign,
    /// Every slot of the pool holds a pack.
    Full,
    /// The lent storage is too small for the geometry, or the geometry itself is out of range.
    BadStorage,
    /// The pack left the pool, or was never in it.
    Stale,
    /// No range starts at that chunk.
    NotAllocated,
    /// The range is in a state from which this step does not lead.
    WrongState(RangeState),
    /// A range starts there, but it has another length.
    WrongRange,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NeedPack(chunks) => write!(f, "no pack has room for {} chunks", chunks.get()),
            Self::Empty => f.write_str("nothing was asked for"),
            Self::TooLarge => f.write_str("too large"),
            Self::BadAlign => f.write_str("the alignment is not a power of two"),
            Self::Full => f.write_str("every slot holds a pack"),
            Self::BadStorage => f.write_str("the lent storage does not fit the geometry"),
            Self::Stale => f.write_str("that pack is not in the pool"),
            Self::NotAllocated => f.write_str("no range starts there"),
            Self::WrongState(state) => write!(f, "the range is {}", state.name()),
            Self::WrongRange => f.write_str("the range has another length"),
        }
    }
}
