// SPDX-License-Identifier: GPL-2.0

//! Which pack an address belongs to.

#![deny(unsafe_code)]

use crate::faults::{
    self,
    Point, //
};
use kernel::prelude::*;

/// One region, by address.
#[derive(Clone, Copy)]
struct Owner {
    start: usize,
    len: usize,
    slot: u32,
}

/// The address ranges of all regions, sorted, so that a search is O(log packs).
///
/// # Invariants
///
/// The ranges are sorted by `start` and do not overlap.
pub(crate) struct Owners(KVec<Owner>);

impl Owners {
    /// An empty map with room for `capacity` regions: adding one allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(capacity: usize) -> Result<Self> {
        faults::at(Point::Owners, ENOMEM)?;
        Ok(Self(KVec::with_capacity(capacity, GFP_KERNEL)?))
    }

    /// The position of the first range that begins after `address`.
    fn position_after(&self, address: usize) -> usize {
        self.0.partition_point(|owner| owner.start <= address)
    }

    /// Notes that `[start, start + len)` is the region of `slot`. O(packs).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is no room.
    pub(crate) fn insert(&mut self, start: usize, len: usize, slot: u32) -> Result {
        let position = self.position_after(start);
        // INVARIANT: Everything before `position` starts at or before `start`; regions are separate
        // vmalloc areas, which do not overlap.
        self.0
            .insert_within_capacity(position, Owner { start, len, slot })
            .map_err(|_| ENOSPC)
    }

    /// Forgets the region that begins at `start`. O(packs).
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

    /// The slot whose region holds `address`, and the offset in it. O(log packs).
    pub(crate) fn find(&self, address: usize) -> Option<(u32, usize)> {
        let owner = self.0.get(self.position_after(address).checked_sub(1)?)?;
        let offset = address.checked_sub(owner.start)?;
        (offset < owner.len).then_some((owner.slot, offset))
    }
}
