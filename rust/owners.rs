// SPDX-License-Identifier: GPL-2.0

//! Finding the pack to which an address belongs.

#![deny(unsafe_code)]

use crate::faults::{
    self,
    Point, //
};
use kernel::prelude::*;

/// The addresses of one region, and the slot of its pack.
#[derive(Clone, Copy)]
struct Owner {
    start: usize,
    len: usize,
    slot: u32,
}

/// The address ranges of all regions.
///
/// # Invariants
///
/// The ranges are sorted by `start` and do not overlap.
pub(crate) struct Owners(KVec<Owner>);

impl Owners {
    /// Makes an empty map with room for `capacity` regions: adding a region allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        faults::at(Point::Owners, ENOMEM)?;
        Ok(Self(KVec::with_capacity(capacity, GFP_KERNEL)?))
    }

    /// Returns the index of the first range that begins after `address`.
    fn position_after(&self, address: usize) -> usize {
        self.0.partition_point(|owner| owner.start <= address)
    }

    /// Adds `[start, start + len)` as the region of `slot`. O(packs).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no room.
    pub(crate) fn insert(&mut self, start: usize, len: usize, slot: u32) -> Result {
        let position = self.position_after(start);
        // INVARIANT: All ranges before `position` start at or before `start`. Regions are separate
        // vmalloc areas, which do not overlap.
        self.0
            .insert_within_capacity(position, Owner { start, len, slot })
            .map_err(|_| ENOSPC)
    }

    /// Removes the region that begins at `start`, if there is one. O(packs).
    pub(crate) fn remove(&mut self, start: usize) {
        if let Some(position) = self.position_after(start).checked_sub(1) {
            if self
                .0
                .get(position)
                .is_some_and(|owner| owner.start == start)
            {
                let _ = self.0.remove(position);
            }
        }
    }

    /// Returns the slot whose region contains `address`, and the offset in the region, in bytes.
    /// O(log packs).
    pub(crate) fn find(&self, address: usize) -> Option<(u32, usize)> {
        let owner = self.0.get(self.position_after(address).checked_sub(1)?)?;
        let offset = address.checked_sub(owner.start)?;
        (offset < owner.len).then_some((owner.slot, offset))
    }
}
