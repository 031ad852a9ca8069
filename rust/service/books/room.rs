// SPDX-License-Identifier: GPL-2.0

//! Finding room for an image, and whether another pack could give some.

#![deny(unsafe_code)]

use super::{
    is_recent,
    Books, //
};
use crate::config::Config;
use crate::lifetime::ModuleRef;
use crate::node::Node;
use crate::service::answers::Refusal;
use crate::service::homes::{
    self,
    Customer,
    LEVELS, //
};
use crate::sys;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::time::{
    Delta,
    Instant, //
};
use pack_core::{
    ChunkCount,
    Error as Refused,
    RankSet,
    Reserved,
    SlotRange,
    MAX_CHUNKS,
    PACK_SIZE, //
};

/// After a failure to make a pack nobody tries again for this long: an attempt is expensive, and
/// the stock allocator may have room.
const NO_MEMORY_PAUSE: Delta = Delta::from_millis(100);

/// After a failure to place a pack near the kernel nobody tries that for this long: only modules
/// that are removed make room there.
const NEAR_FULL_PAUSE: Delta = Delta::from_secs(60);

/// A pack is nearly full if its largest hole is smaller than this: 256 KiB.
pub(super) const LOW_WATER: ChunkCount = ChunkCount::new(4096);

/// What [`Books::place`] found.
pub(in crate::service) enum Placing {
    /// Room for the image, which is reserved, at this address. `low` says that another pack should
    /// be made before the next images need it.
    At { address: NonNull<u8>, low: bool },
    /// No room. The caller may make another pack.
    NeedsPack,
    /// No room, and no pack can be made now, for this reason.
    Hopeless(Refusal),
}

impl Books {
    /// Whether another `len` bytes may be placed near the kernel.
    fn may_be_near(&self, len: usize, config: &Config) -> bool {
        let bytes = self.near_bytes.saturating_add(len);
        bytes.div_ceil(PACK_SIZE) <= config.near_packs
            && !is_recent(self.near_full, NEAR_FULL_PAUSE)
    }

    /// Whether another pack may be placed near the kernel.
    pub(in crate::service) fn near_open(&self, config: &Config) -> bool {
        self.may_be_near(PACK_SIZE, config)
    }

    /// Whether a region for an image of `size` bytes of `customer` may be placed near the kernel.
    /// O(slots up to the last pack) for classic programs.
    pub(in crate::service) fn may_go_near(
        &self,
        size: usize,
        customer: Customer,
        config: &Config,
    ) -> bool {
        self.may_be_near(size, config)
            && match customer {
                Customer::Any => true,
                Customer::Classic => !self.has_shared_pack(),
            }
    }

    /// Whether a near pack exists that classic programs share with others. O(slots up to the last pack).
    pub(in crate::service) fn has_shared_pack(&self) -> bool {
        let mut packs = self.pool.occupied();
        packs.any(|(_, pack)| homes::is_shared(pack.rank()))
    }

    /// Whether the packs that `customer` prefers are nearly full.
    pub(in crate::service) fn is_low(&self, customer: Customer, config: &Config) -> bool {
        let homes = customer.preferred(self.near_open(config));
        !self.pool.may_hold(LOW_WATER, homes)
    }

    /// Whether there are as many packs as there may be.
    fn is_full(&self, config: &Config) -> bool {
        self.pool.len() >= config.knobs.max_packs
    }

    /// Whether making a pack for an image of `size` bytes would fail.
    ///
    /// Only failures for images of up to a pack count: a region for a large image needs more
    /// memory.
    pub(in crate::service) fn cannot_grow(&self, size: usize, config: &Config) -> bool {
        self.is_full(config) || size <= PACK_SIZE && is_recent(self.no_memory, NO_MEMORY_PAUSE)
    }

    /// Notes that making a pack for an image of `size` bytes has failed.
    pub(in crate::service) fn note_no_memory(&mut self, size: usize) {
        if size <= PACK_SIZE {
            self.no_memory = Some(Instant::now());
        }
    }

    /// Notes that placing a pack near the kernel has failed.
    pub(in crate::service) fn note_near_full(&mut self) {
        self.near_full = Some(Instant::now());
        self.near_ready = false;
    }

    /// Notes that a region near the kernel was freed: its addresses are there for another.
    pub(in crate::service) fn note_near_room(&mut self) {
        self.near_full = None;
    }

    /// Reserves room for an image of `size` bytes behind the image that came last, if that is where
    /// [`Self::place`] would.
    ///
    /// Nothing runs low by that: the bounds of the holes do not change.
    #[inline(always)]
    pub(in crate::service) fn place_next(
        &mut self,
        size: usize,
        customer: Customer,
        config: &Config,
    ) -> Option<NonNull<u8>> {
        self.take_lease().ok()?;
        self.note(customer);
        let preferred = customer.preferred(self.near_ready || self.near_open(config));
        match self.pool.reserve_next(size, preferred) {
            Some(reserved) => self.reserved(reserved),
            None => {
                self.drop_lease();
                None
            }
        }
    }

    /// Notes who asks for memory.
    #[inline]
    fn note(&mut self, customer: Customer) {
        if customer == Customer::Classic {
            self.classic = true;
        }
    }

    /// Holds the module, if there are no images that do.
    ///
    /// # Errors
    ///
    /// [`Refusal::Leaving`].
    #[inline]
    fn take_lease(&mut self) -> Result<(), Refusal> {
        if self.lease.is_none() {
            self.lease = Some(ModuleRef::take().ok_or(Refusal::Leaving)?);
        }
        Ok(())
    }

    /// Gives the module up again, if there are no images that hold it.
    #[inline]
    fn drop_lease(&mut self) {
        if self.images == 0 {
            self.lease = None;
        }
    }

    /// Notes that a range was reserved, while `lease` holds the module. Returns its address.
    #[inline(always)]
    fn reserved(&mut self, reserved: Reserved) -> Option<NonNull<u8>> {
        // INVARIANT: There is one more range, and `lease` holds the module.
        self.images = self.images.saturating_add(1);
        self.counts.served = self.counts.served.wrapping_add(1);
        let start = reserved.range.start().byte_offset();
        let region = self.region(reserved.pack)?;
        NonNull::new(region.address().checked_add(start)? as *mut u8)
    }

    /// Reserves room for an image of `size` bytes, or says what the caller can do.
    ///
    /// If no pack can be made, the caller does not reclaim retired memory itself: otherwise every
    /// load would interrupt all CPUs. The background reclaims it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Leaving`], [`Refusal::Size`].
    pub(in crate::service) fn place(
        &mut self,
        size: usize,
        customer: Customer,
        config: &Config,
    ) -> Result<Placing, Refusal> {
        self.note(customer);
        let near_open = self.near_open(config);
        self.near_ready = near_open && self.near_full.is_none();
        let preferred = customer.preferred(near_open);
        if let Some(address) = self.reserve(size, config, preferred)? {
            let low = !self.pool.may_hold(LOW_WATER, preferred) && !self.cannot_grow(1, config);
            return Ok(Placing::At { address, low });
        }
        if !self.cannot_grow(size, config) {
            return Ok(Placing::NeedsPack);
        }
        self.place_anywhere(size, customer, config)
    }

    /// Reserves room in any pack that `customer` may use: for when no pack can be made.
    ///
    /// # Errors
    ///
    /// [`Refusal::Leaving`], [`Refusal::Size`].
    pub(in crate::service) fn place_anywhere(
        &mut self,
        size: usize,
        customer: Customer,
        config: &Config,
    ) -> Result<Placing, Refusal> {
        if let Some(address) = self.reserve(size, config, customer.homes())? {
            return Ok(Placing::At {
                address,
                low: false,
            });
        }
        Ok(Placing::Hopeless(if self.is_full(config) {
            Refusal::Full
        } else {
            Refusal::NoMemory
        }))
    }

    /// Reserves room in a pack of one of the ranks `among`, or returns [`None`] if none has room.
    fn reserve(
        &mut self,
        size: usize,
        config: &Config,
        among: RankSet,
    ) -> Result<Option<NonNull<u8>>, Refusal> {
        self.take_lease()?;
        let align = config.knobs.align;
        let from = config
            .randomize
            .then(|| sys::random_below(MAX_CHUNKS.get()));
        let reserved = match (Node::here().slots(), from) {
            (Some(slots), _) => self.reserve_by_node(size, align, among, slots, from),
            (None, Some(from)) => self.pool.reserve_from(size, align, among, from),
            (None, None) => self.pool.reserve_fitting(size, align, among),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(refused) => {
                self.drop_lease();
                return match refused {
                    Refused::NeedPack(_) => Ok(None),
                    _ => Err(Refusal::Size),
                };
            }
        };
        Ok(self.reserved(reserved))
    }

    /// Reserves room on a machine with memory nodes. Of the packs of a level, those in `slots` come
    /// before others.
    fn reserve_by_node(
        &mut self,
        size: usize,
        align: ChunkCount,
        among: RankSet,
        slots: SlotRange,
        from: Option<u32>,
    ) -> Result<Reserved, Refused> {
        for level in LEVELS.map(|level| level.and(among)) {
            for slots in [slots, SlotRange::ALL] {
                match self.pool.reserve_within(size, align, level, slots, from) {
                    Err(Refused::NeedPack(_)) => {}
                    found => return found,
                }
            }
        }
        Err(Refused::NeedPack(ChunkCount::holding(size)?))
    }
}
