// SPDX-License-Identifier: GPL-2.0

//! Errors. The crate knows no errno: its caller converts.

use crate::geometry::BadSize;
use crate::geometry::ChunkCount;
use crate::state::RangeState;

/// Why the pool refused an operation. A refused operation has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No pack has room for this many chunks. The caller makes a pack with no lock held, adds it
    /// and asks again.
    NeedPack(ChunkCount),
    /// The caller asked for 0 bytes, or to keep 0 chunks of a range.
    Empty,
    /// The caller asked for more than any pack can hold, or to keep more chunks of a range than
    /// it has.
    TooLarge,
    /// The alignment is not a power of two.
    BadAlign,
    /// Every slot of the pool holds a pack.
    Full,
    /// The storage is too small for the number of chunks or slots, or that number is out of range.
    BadStorage,
    /// The pool does not have this pack, or no longer.
    Stale,
    /// No range starts at that chunk.
    NotAllocated,
    /// The step is not allowed from the state that the range is in.
    WrongState(RangeState),
    /// A range starts at that chunk, but it has another length.
    WrongRange,
}

impl From<BadSize> for Error {
    fn from(bad: BadSize) -> Self {
        match bad {
            BadSize::Empty => Self::Empty,
            BadSize::TooLarge => Self::TooLarge,
        }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NeedPack(chunks) => write!(f, "no pack has room for {} chunks", chunks.get()),
            Self::Empty => f.write_str("the size is 0"),
            Self::TooLarge => f.write_str("too large"),
            Self::BadAlign => f.write_str("the alignment is not a power of two"),
            Self::Full => f.write_str("every slot holds a pack"),
            Self::BadStorage => {
                f.write_str("the storage does not fit the number of chunks or slots")
            }
            Self::Stale => f.write_str("that pack is not in the pool"),
            Self::NotAllocated => f.write_str("no range starts there"),
            Self::WrongState(state) => write!(f, "the range is {}", state.name()),
            Self::WrongRange => f.write_str("the range has another length"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_own_text() {
        let errors = [
            Error::NeedPack(ChunkCount::new(16)),
            Error::Empty,
            Error::TooLarge,
            Error::BadAlign,
            Error::Full,
            Error::BadStorage,
            Error::Stale,
            Error::NotAllocated,
            Error::WrongState(RangeState::Live),
            Error::WrongState(RangeState::Retired),
            Error::WrongRange,
        ];
        let mut texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts[0], "no pack has room for 16 chunks");
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), errors.len());
    }
}
