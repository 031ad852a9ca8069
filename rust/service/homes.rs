// SPDX-License-Identifier: GPL-2.0

//! Which packs are for whom.
//!
//! The room near the kernel's text is small, and everybody may load classic programs (filters of
//! sockets and of seccomp): they get one pack of it at most. That is the first one there, which they
//! share with all others, so that a small machine needs one pack.

#![deny(unsafe_code)]

use crate::plan::Place;
use pack_core::{
    Rank,
    RankSet, //
};

/// Who asks for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Customer {
    /// A classic program.
    Classic,
    /// Everybody else.
    Any,
}

/// Packs with 2 MiB leaves, best first.
const NEAR_SHARED: u8 = 0;
const NEAR: u8 = 1;
const FAR: u8 = 2;
/// Packs with smaller ones.
const SMALL_NEAR_SHARED: u8 = 3;
const SMALL_NEAR: u8 = 4;
const SMALL_FAR: u8 = 5;

const _: () = assert!(SMALL_FAR + 1 == Rank::COUNT);

/// A rank that there is.
const fn rank(number: u8) -> Rank {
    match Rank::new(number) {
        Some(rank) => rank,
        None => Rank::BEST,
    }
}

const SHARED: RankSet = RankSet::NONE
    .with(rank(NEAR_SHARED))
    .with(rank(SMALL_NEAR_SHARED));

const ALL_NEAR: RankSet = SHARED.with(rank(NEAR)).with(rank(SMALL_NEAR));

const FOR_CLASSIC: RankSet = SHARED.with(rank(FAR)).with(rank(SMALL_FAR));

impl Customer {
    /// Where this customer may be.
    pub(super) fn homes(self) -> RankSet {
        match self {
            Self::Classic => FOR_CLASSIC,
            Self::Any => RankSet::ALL,
        }
    }

    /// Where this customer goes without asking for another pack; `near_open` says whether one more
    /// could be near.
    pub(super) fn preferred(self, near_open: bool) -> RankSet {
        match self {
            Self::Any if near_open => ALL_NEAR,
            _ => self.homes(),
        }
    }
}

/// The rank of a pack; `shared` says whether classic programs may be in it, if it is near.
pub(super) fn rank_of(huge: bool, place: Place, shared: bool) -> Rank {
    rank(match (huge, place, shared) {
        (true, Place::Near, false) => NEAR,
        (true, Place::Near, true) => NEAR_SHARED,
        (true, Place::Far, _) => FAR,
        (false, Place::Near, false) => SMALL_NEAR,
        (false, Place::Near, true) => SMALL_NEAR_SHARED,
        (false, Place::Far, _) => SMALL_FAR,
    })
}

/// Whether classic programs share a pack of this rank near the kernel with others.
pub(super) fn is_shared(rank: Rank) -> bool {
    SHARED.contains(rank)
}
