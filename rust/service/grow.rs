// SPDX-License-Identifier: GPL-2.0

//! Reserving: finds room, makes room, or makes a pack; and makes one ahead of need.

#![deny(unsafe_code)]

use super::books::{
    Placing,
    Words, //
};
use super::homes::{
    rank_of,
    Customer, //
};
use super::{
    Refusal,
    Service,
    MAX_IMAGE, //
};
use crate::plan::{
    attempts,
    LeafLimit,
    Place, //
};
use crate::region::{
    OpenRegion,
    Region, //
};
use crate::trace;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::Arc;
use pack_core::{
    ChunkCount,
    Pack,
    PACK_SIZE, //
};

impl Service {
    /// Reserves `size` bytes: 64-byte aligned, filled with traps. May sleep.
    ///
    /// # Errors
    ///
    /// See [`Refusal`].
    pub(crate) fn alloc(&self, size: usize, customer: Customer) -> Result<NonNull<u8>, Refusal> {
        let result = self
            .may_serve(size)
            .and_then(|()| self.reserve(size, customer));
        match result {
            Ok(address) => {
                self.counters.served.inc();
                trace::reserve(address.as_ptr() as usize, size);
            }
            Err(refusal) => self.counters.refused.count(refusal),
        }
        result
    }

    fn may_serve(&self, size: usize) -> Result<(), Refusal> {
        self.refusal_of_mode().map_or(Ok(()), Err)?;
        if size == 0 || size > MAX_IMAGE {
            return Err(Refusal::Size);
        }
        Ok(())
    }

    /// Finds room, makes room, or makes a pack.
    fn reserve(&self, size: usize, customer: Customer) -> Result<NonNull<u8>, Refusal> {
        if let Some(address) = self.place(size, customer)? {
            return Ok(address);
        }
        if self.reclaim() {
            if let Some(address) = self.place(size, customer)? {
                return Ok(address);
            }
        }
        let grow = self.grow.lock();
        // Another task may have made a pack while this one waited, or have failed to.
        if let Some(address) = self.place(size, customer)? {
            return Ok(address);
        }
        let placed = self.grow_for(size, customer);
        drop(grow);
        match placed? {
            Placing::At(address) => Ok(address),
            Placing::NeedsPack | Placing::Hopeless => Err(Refusal::NoMemory),
        }
    }

    /// Takes room in the packs there are; [`None`] if a pack should be made for it.
    ///
    /// Where packs run low, one more is made in the background.
    fn place(&self, size: usize, customer: Customer) -> Result<Option<NonNull<u8>>, Refusal> {
        let mut books = self.books();
        let placing = books.place(size, customer, &self.config)?;
        let low = books.is_low(customer, &self.config) && !books.cannot_grow(1, &self.config);
        drop(books);
        match placing {
            Placing::At(address) => {
                if low {
                    self.grow_later(customer);
                }
                Ok(Some(address))
            }
            Placing::NeedsPack => Ok(None),
            Placing::Hopeless => Err(Refusal::NoMemory),
        }
    }

    /// Makes a pack for an image of `size` bytes and reserves there; where none can be made, takes
    /// room wherever there is some. The caller holds `grow`.
    fn grow_for(&self, size: usize, customer: Customer) -> Result<Placing, Refusal> {
        let made = self.make_pack(size, customer);
        let mut books = self.books();
        // In one go: another task could take the room, or tidying up the empty pack.
        let (added, returned) = match made {
            Ok((pack, region)) => {
                let returned = books.add(pack, &region);
                let added = returned
                    .is_none()
                    .then_some((region.address(), region.len()));
                (added, Some((returned, region)))
            }
            Err(_) => {
                books.note_no_memory(size);
                (None, None)
            }
        };
        let placing = books.place_anywhere(size, customer, &self.config);
        drop(books);
        drop(returned);
        if let Some((address, len)) = added {
            self.counters.regions_made.inc();
            trace::map(address, len);
        }
        placing
    }

    /// Makes a region for an image of `size` bytes and books for it, with no lock but `grow` held.
    fn make_pack(&self, size: usize, customer: Customer) -> Result<(Pack<Words>, Arc<Region>)> {
        if self.config.knobs.no_memory {
            return Err(ENOMEM);
        }
        let books = self.books();
        let near = books.may_go_near(customer, &self.config);
        let shared = !books.has_shared_pack();
        drop(books);
        let region = Arc::new(self.make_region(size, near)?, GFP_KERNEL)?;
        // A large image has its region to itself: a small one in the rest of it would keep all of
        // it when the large one goes.
        let usable = if size > PACK_SIZE { size } else { region.len() };
        let chunks = ChunkCount::holding(usable).map_err(|_| EINVAL)?;
        let words = Words::zeroed(Pack::<Words>::words_needed(chunks), GFP_KERNEL)?;
        let rank = rank_of(region.is_huge(), region.place(), shared);
        let pack = Pack::new(words, chunks, rank).map_err(|_| EINVAL)?;
        Ok((pack, region))
    }

    /// Maps memory for an image of `size` bytes in the best way that can be had.
    fn make_region(&self, size: usize, near: bool) -> Result<Region> {
        let huge_may_be_had = OpenRegion::huge_may_be_had();
        let mut no_room_near = false;
        for attempt in attempts(self.config.knobs.leaf, size, near) {
            let huge = attempt.limit == LeafLimit::Huge;
            if huge && !huge_may_be_had {
                continue;
            }
            let Ok(region) = OpenRegion::new(self.kernel, &self.origins, attempt) else {
                no_room_near |= attempt.place == Place::Near;
                continue;
            };
            if huge && !region.is_huge() {
                continue;
            }
            // There was memory, so it must have been the room.
            if no_room_near && attempt.place == Place::Far {
                self.books().note_near_full();
            }
            return region.seal();
        }
        Err(ENOMEM)
    }

    /// Makes a pack if those where `customer` goes are nearly full. May sleep.
    pub(super) fn grow_ahead(&self, customer: Customer) {
        let grow = self.grow.lock();
        let books = self.books();
        let wanted = self.refusal_of_mode().is_none()
            && books.is_low(customer, &self.config)
            && !books.cannot_grow(1, &self.config);
        drop(books);
        if wanted {
            match self.make_pack(1, customer) {
                Ok((pack, region)) => {
                    let returned = self.books().add(pack, &region);
                    if returned.is_none() {
                        self.counters.regions_made.inc();
                        trace::map(region.address(), region.len());
                    }
                }
                Err(_) => self.books().note_no_memory(1),
            }
        }
        drop(grow);
    }
}
