// SPDX-License-Identifier: GPL-2.0

//! The packs that each kind of program may use.
//!
//! Everybody may load classic programs (filters of sockets and of seccomp), and there is little
//! room near the kernel's text. So classic programs get one near pack at most: the first one. Other
//! programs use it, too, so that a small machine needs only one pack.

#![deny(unsafe_code)]

use crate::plan::Place;
use pack_core::{
    Rank,
    RankSet, //
};

/// The kind of program that asks for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Customer {
    /// A classic program.
    Classic,
    /// Any other program, or a trampoline.
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

/// The ranks in groups, best first. Only among the packs of a group it matters on which memory node
/// a pack is: its leaves and its place matter more.
pub(super) const LEVELS: [RankSet; 4] = [
    RankSet::NONE.with(rank(NEAR_SHARED)).with(rank(NEAR)),
    RankSet::NONE.with(rank(FAR)),
    RankSet::NONE
        .with(rank(SMALL_NEAR_SHARED))
        .with(rank(SMALL_NEAR)),
    RankSet::NONE.with(rank(SMALL_FAR)),
];

impl Customer {
    /// The ranks of the packs that this customer may use.
    pub(super) fn homes(self) -> RankSet {
        match self {
            Self::Classic => FOR_CLASSIC,
            Self::Any => RankSet::ALL,
        }
    }

    /// The ranks of the packs that this customer uses before another pack is made. `near_open` says
    /// whether that pack could be near.
    pub(super) fn preferred(self, near_open: bool) -> RankSet {
        match self {
            Self::Any if near_open => ALL_NEAR,
            _ => self.homes(),
        }
    }
}

/// Returns the rank of a pack. `shared` says whether classic programs may use it if it is near.
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

/// Whether a pack of this rank is near and classic programs may use it.
pub(super) fn is_shared(rank: Rank) -> bool {
    SHARED.contains(rank)
}
