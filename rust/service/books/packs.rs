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
use crate::node::Node;
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
    Rank,
    RankSet,
    SlotRange,
    PACK_CHUNKS, //
};

/// The number of packs with room for the next images, by who may use them.
struct Roomy {
    /// Whether another pack may be near the kernel.
    near_open: bool,
    /// Near packs.
    near: usize,
    all: usize,
    /// Those for classic programs, if there ever was one.
    classic: Option<usize>,
}

impl Roomy {
    /// Whether nobody's packs run low without an empty pack of this rank.
    fn can_lose(&self, rank: Rank) -> bool {
        let left = |packs: usize, homes: RankSet| packs > usize::from(homes.contains(rank));
        let near = Customer::Any.preferred(true);
        // Where a near pack was, there is room for another.
        let any = if self.near_open || near.contains(rank) {
            left(self.near, near)
        } else {
            left(self.all, Customer::Any.preferred(false))
        };
        let classic = self.classic;
        any && classic.is_none_or(|packs| left(packs, Customer::Classic.homes()))
    }
}

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
        let slots = region.node().and_then(Node::slots);
        let id = match self.pool.add_within(pack, slots.unwrap_or(SlotRange::ALL)) {
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
                self.near_ready = false;
            }
        }
        None
    }

    /// Counts the packs that have room for the next images, for those who decide which empty one can
    /// go. O(slots up to the last pack).
    fn roomy(&self, config: &Config) -> Roomy {
        let count = |homes: RankSet| {
            let packs = self
                .pool
                .occupied()
                .filter(|(_, pack)| homes.contains(pack.rank()) && pack.hole_bound() >= LOW_WATER);
            packs.count()
        };
        Roomy {
            near_open: self.near_open(config),
            near: count(Customer::Any.preferred(true)),
            all: count(Customer::Any.preferred(false)),
            classic: self.classic.then(|| count(Customer::Classic.homes())),
        }
    }

    /// Whether packs have to be freed later, or retired images to be made free. O(slots up to the last pack).
    pub(in crate::service) fn is_untidy(&self, config: &Config, keep_room: bool) -> bool {
        let roomy = self.roomy(config);
        self.pool.occupied().any(|(_, pack)| {
            pack.tallies().dying().ranges > 0
                || pack.is_empty()
                    && (!keep_room || pack.hole_bound() < LOW_WATER || roomy.can_lose(pack.rank()))
        })
    }

    /// Counts one more round for all packs that are empty, but not twice within `round`.
    pub(in crate::service) fn age(&mut self, round: Delta) {
        if !is_recent(self.aged, round) {
            self.aged = Some(Instant::now());
            self.pool.age();
        }
    }

    /// Takes out one pack, with its region, that has been empty for `rounds` rounds. If `keep_room`,
    /// nobody's packs run low without it: otherwise the background would make another. The caller
    /// drops them with no lock held. O(slots up to the last pack).
    pub(in crate::service) fn take_empty(
        &mut self,
        rounds: u32,
        config: &Config,
        keep_room: bool,
    ) -> Option<(Pack<Words>, Arc<Region>)> {
        let roomy = self.roomy(config);
        let whole_pack = u64::from(PACK_CHUNKS.get());
        // A region that was made for one large image is not kept.
        let large = self.pool.take_empty(|_, stats| stats.chunks > whole_pack);
        let (id, pack) = large.or_else(|| {
            self.pool.take_empty(|_, stats| {
                u32::from(stats.empty_for) >= rounds
                    && stats.chunks <= whole_pack
                    && (!keep_room || roomy.can_lose(stats.rank))
            })
        })?;
        // INVARIANT: The pool has lost it, and the other two lose it here.
        let region = self.regions.get_mut(id.slot() as usize)?.take()?;
        self.owners.remove(region.address());
        if region.place() == Place::Near {
            self.near_bytes = self.near_bytes.saturating_sub(region.len());
        }
        Some((pack, region))
    }

    /// Takes out all regions: for a module that is removed by force.
    pub(in crate::service) fn take_all(&mut self) -> impl Iterator<Item = Arc<Region>> + '_ {
        self.regions.iter_mut().filter_map(Option::take)
    }
}
