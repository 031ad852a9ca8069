// SPDX-License-Identifier: GPL-2.0

//! Adding packs with their regions, and taking out those that have been empty for a while.

#![deny(unsafe_code)]

use super::room::LOW_WATER;
use super::{
    is_recent,
    Books,
    Words, //
};
use crate::config::Config;
use crate::faults::{
    self,
    Point, //
};
use crate::plan::Place;
use crate::region::Region;
use crate::service::homes::Customer;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::time::{
    Delta,
    Instant, //
};
use pack_core::{
    Pack,
    PACK_CHUNKS, //
};

impl Books {
    /// Adds one region with its pack. If every slot has a pack, it returns the pack, which the
    /// caller drops with no lock held.
    pub(in crate::service) fn add(
        &mut self,
        pack: Pack<Words>,
        region: &Arc<Region>,
    ) -> Option<Pack<Words>> {
        if faults::at(Point::PackSlot, ENOSPC).is_err() {
            return Some(pack);
        }
        let id = match self.pool.add(pack) {
            Ok(id) => id,
            Err(refused) => return Some(refused.pack),
        };
        // INVARIANT: All three have it from here on: `owners` and `regions` have room for every
        // slot of the pool.
        let known = self
            .owners
            .insert(region.address(), region.len(), id.slot());
        if let (Ok(()), Some(entry)) = (known, self.regions.get_mut(id.slot() as usize)) {
            *entry = Some(region.clone());
            if region.place() == Place::Near {
                self.near_bytes = self.near_bytes.saturating_add(region.len());
            }
        }
        None
    }

    /// The number of empty packs to keep: one if `keep_room` and no used pack that customers prefer
    /// has room, otherwise 0. O(slots).
    fn packs_to_keep(&self, config: &Config, keep_room: bool) -> usize {
        let homes = Customer::Any.preferred(self.near_open(config));
        let mut packs = self.pool.occupied();
        let room = packs.any(|(_, pack)| {
            homes.contains(pack.rank()) && !pack.is_empty() && pack.hole_bound() >= LOW_WATER
        });
        usize::from(keep_room && !room)
    }

    /// Whether packs have to be freed later, or retired images to be made free. O(slots).
    pub(in crate::service) fn is_untidy(&self, config: &Config, keep_room: bool) -> bool {
        let keep = self.packs_to_keep(config, keep_room);
        let mut empty = 0usize;
        self.pool.occupied().any(|(_, pack)| {
            empty = empty.saturating_add(usize::from(pack.is_empty()));
            pack.tallies().dying().ranges > 0 || empty > keep
        })
    }

    /// Counts one more round for all packs that are empty, but not twice within `round`.
    pub(in crate::service) fn age(&mut self, round: Delta) {
        if !is_recent(self.aged, round) {
            self.aged = Some(Instant::now());
            self.pool.age();
        }
    }

    /// Takes out one pack, with its region, that has been empty for `rounds` rounds and is not to
    /// be kept. The caller drops them with no lock held. O(slots).
    pub(in crate::service) fn take_empty(
        &mut self,
        rounds: u32,
        config: &Config,
        keep_room: bool,
    ) -> Option<(Pack<Words>, Arc<Region>)> {
        let keep = self.packs_to_keep(config, keep_room);
        let whole_pack = u64::from(PACK_CHUNKS.get());
        // A region that was made for one large image is not kept.
        let large = self
            .pool
            .take_empty(0, |_, stats| stats.chunks > whole_pack);
        let (id, pack) = large.or_else(|| {
            self.pool.take_empty(keep, |_, stats| {
                u32::from(stats.empty_for) >= rounds && stats.chunks <= whole_pack
            })
        })?;
        // INVARIANT: The pool has lost it, and the other two lose it here.
        let region = self.regions.get_mut(id.slot() as usize)?.take()?;
        self.owners.remove(region.address());
        if region.place() == Place::Near {
            self.near_bytes = self.near_bytes.saturating_sub(region.len());
            self.near_full = None;
        }
        Some((pack, region))
    }

    /// Takes out all regions: for a module that is removed by force.
    pub(in crate::service) fn take_all(&mut self) -> impl Iterator<Item = Arc<Region>> + '_ {
        self.regions.iter_mut().filter_map(Option::take)
    }
}
