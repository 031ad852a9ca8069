// SPDX-License-Identifier: GPL-2.0

//! Finding the pack to which an address belongs.

#![deny(unsafe_code)]

use crate::faults::{
    self,
    Point, //
};
use kernel::prelude::*;

/// The addresses of one region, and the slot of its pack.
#[derive(Clone, Copy, Default)]
struct Owner {
    start: usize,
    len: usize,
    slot: u32,
}

impl Owner {
    /// Returns the slot and the offset of an address that is in the region.
    #[inline]
    fn find(&self, address: usize) -> Option<(u32, usize)> {
        let offset = address.wrapping_sub(self.start);
        (offset < self.len).then_some((self.slot, offset))
    }
}

/// The address ranges of all regions.
///
/// # Invariants
///
/// The ranges are sorted by `start` and do not overlap. `recent` is one of them, or empty.
pub(crate) struct Owners {
    ranges: KVec<Owner>,
    /// The one that was found last.
    recent: Owner,
}

impl Owners {
    /// Makes an empty map with room for `capacity` regions: adding a region allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        faults::at(Point::Owners, ENOMEM)?;
        Ok(Self {
            ranges: KVec::with_capacity(capacity, GFP_KERNEL)?,
            recent: Owner::default(),
        })
    }

    /// Returns the index of the first range that begins after `address`.
    fn position_after(&self, address: usize) -> usize {
        self.ranges.partition_point(|owner| owner.start <= address)
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
        self.ranges
            .insert_within_capacity(position, Owner { start, len, slot })
            .map_err(|_| ENOSPC)
    }

    /// Removes the region that begins at `start`, if there is one. O(packs).
    pub(crate) fn remove(&mut self, start: usize) {
        if let Some(position) = self.position_after(start).checked_sub(1) {
            if self
                .ranges
                .get(position)
                .is_some_and(|owner| owner.start == start)
            {
                let _ = self.ranges.remove(position);
                self.recent = Owner::default();
            }
        }
    }

    /// Returns the slot whose region contains `address`, and the offset in the region, in bytes.
    /// O(log packs), or O(1) for the region that was found last.
    #[inline]
    pub(crate) fn find(&mut self, address: usize) -> Option<(u32, usize)> {
        match self.recent.find(address) {
            None => self.search(address),
            found => found,
        }
    }

    #[inline(never)]
    fn search(&mut self, address: usize) -> Option<(u32, usize)> {
        let position = self.position_after(address).checked_sub(1)?;
        let owner = *self.ranges.get(position)?;
        let found = owner.find(address)?;
        // INVARIANT: It is one of the ranges.
        self.recent = owner;
        Some(found)
    }
}
