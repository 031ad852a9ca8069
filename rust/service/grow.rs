// SPDX-License-Identifier: GPL-2.0

//! Reserving memory for images, and growing: making packs, on demand and ahead of need.

#![deny(unsafe_code)]

use super::answers::Refusal;
use super::books::room::Placing;
use super::books::{
    Books,
    Words, //
};
use super::homes::{
    rank_of,
    Customer, //
};
use super::Service;
use crate::compat::zeroed;
use crate::faults::{
    self,
    Point, //
};
use crate::node::Node;
use crate::plan::{
    attempts,
    LeafLimit,
    Place,
    MAX_IMAGE, //
};
use crate::region::{
    OpenRegion,
    Region, //
};
use crate::sys;
use crate::trace;
use core::ptr::NonNull;
use kernel::prelude::*;
use kernel::sync::atomic::Relaxed;
use kernel::sync::Arc;
use pack_core::{
    ChunkCount,
    Pack,
    MAX_CHUNKS,
    PACK_CHUNKS,
    PACK_SIZE, //
};

const _: () = assert!(MAX_IMAGE <= MAX_CHUNKS.bytes());

/// The chunks of a pack at which its first image may be. Behind them there is room for an image of
/// seven eighths of a pack.
const ORIGINS: u32 = PACK_CHUNKS.get() / 8;

/// The result of making a pack.
enum Made {
    /// The pack and its region, not in the books yet.
    Pack(Pack<Words>, Arc<Region>),
    /// There is no room near the kernel, and the books note that. There may be room far from it.
    NearFull,
    /// There is no memory.
    Nothing,
}

impl Service {
    /// Reserves `size` bytes, aligned to 64 bytes and filled with traps. May sleep.
    ///
    /// # Errors
    ///
    /// Any [`Refusal`]; it is counted.
    #[inline(always)]
    pub(crate) fn alloc(&self, size: usize, customer: Customer) -> Result<NonNull<u8>, Refusal> {
        if self.serving() {
            let next = self.books().place_next(size, customer, &self.config);
            if let Some(address) = next {
                trace::reserve(address.as_ptr() as usize, size);
                return Ok(address);
            }
        }
        self.alloc_anew(size, customer)
    }

    /// As [`Self::alloc`], for an image that has no place behind the one that came last.
    #[inline(never)]
    fn alloc_anew(&self, size: usize, customer: Customer) -> Result<NonNull<u8>, Refusal> {
        let result = self
            .may_serve(size)
            .and_then(|()| self.reserve(size, customer));
        match result {
            Ok(address) => trace::reserve(address.as_ptr() as usize, size),
            Err(refusal) => self.count_refusal(refusal),
        }
        result
    }

    /// Counts a refusal. Requests during `insmod` do not count.
    fn count_refusal(&self, refusal: Refusal) {
        let refused = &self.counters.refused;
        match refusal {
            Refusal::Starting => {}
            Refusal::Draining => refused.draining.inc(),
            Refusal::Leaving => refused.leaving.inc(),
            Refusal::NoMemory => refused.no_memory.inc(),
            Refusal::Full => refused.full.inc(),
            Refusal::Size => refused.size.inc(),
        }
    }

    fn may_serve(&self, size: usize) -> Result<(), Refusal> {
        self.refusal_of_mode().map_or(Ok(()), Err)?;
        if size == 0 || size > MAX_IMAGE {
            return Err(Refusal::Size);
        }
        Ok(())
    }

    /// Reserves memory: in the packs there are, after reclaiming retired memory, or in a new pack.
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
        // While this task waited for the lock, another may have made a pack, or failed to make one.
        if let Some(address) = self.place(size, customer)? {
            return Ok(address);
        }
        let placed = self.grow_for(size, customer);
        drop(grow);
        match placed? {
            Placing::At { address, .. } => Ok(address),
            Placing::NeedsPack => Err(Refusal::NoMemory),
            Placing::Hopeless(why) => Err(why),
        }
    }

    /// Reserves memory in the packs there are, or returns [`None`] if the caller has to make room.
    ///
    /// If the packs run low, it queues the work that makes another.
    fn place(&self, size: usize, customer: Customer) -> Result<Option<NonNull<u8>>, Refusal> {
        let placing = self.books().place(size, customer, &self.config)?;
        match placing {
            Placing::At { address, low } => {
                if low {
                    self.grow_later(customer);
                }
                Ok(Some(address))
            }
            Placing::NeedsPack => Ok(None),
            Placing::Hopeless(why) => Err(why),
        }
    }

    /// Makes a pack for an image of `size` bytes and reserves memory there. If no pack can be made,
    /// it reserves in any pack that has room. The caller holds `grow`.
    fn grow_for(&self, size: usize, customer: Customer) -> Result<Placing, Refusal> {
        let node = Node::here();
        let made = match self.make_pack(size, customer, node) {
            Made::NearFull => {
                // The books prefer far packs now, and one of these may have room.
                let placing = self.books().place(size, customer, &self.config)?;
                if !matches!(placing, Placing::NeedsPack) {
                    return Ok(placing);
                }
                self.make_pack(size, customer, node)
            }
            made => made,
        };
        let mut books = self.books();
        // Both under one lock: in between another task could take the room, or the background free
        // the empty pack.
        let unused = self.add_made(&mut books, made, size);
        let placing = books.place_anywhere(size, customer, &self.config);
        drop(books);
        drop(unused);
        placing
    }

    /// Makes a pack for each kind of customer whose packs run low. Runs in the background. May
    /// sleep.
    pub(crate) fn grow_where_low(&self) {
        for (wanted, customer) in [
            (&self.low.classic, Customer::Classic),
            (&self.low.any, Customer::Any),
        ] {
            if wanted.xchg(false, Relaxed) {
                self.grow_ahead(customer, Node::new(self.low.node.load(Relaxed)));
            }
        }
    }

    /// Makes a pack, on `node` if that has memory for it, if those that `customer` prefers are nearly
    /// full. May sleep.
    pub(super) fn grow_ahead(&self, customer: Customer, node: Node) {
        let grow = self.grow.lock();
        // A second time if there is no room near the kernel: then far packs count.
        for _ in 0..2 {
            let books = self.books();
            let wanted = self.refusal_of_mode().is_none()
                && books.is_low(customer, &self.config)
                && !books.cannot_grow(1, &self.config);
            drop(books);
            if !wanted {
                break;
            }
            let made = self.make_pack(1, customer, node);
            let near_full = matches!(made, Made::NearFull);
            let unused = self.add_made(&mut self.books(), made, 1);
            drop(unused);
            if !self.serving() {
                // Who drains meanwhile looked for empty packs before this one was in the books.
                self.tidy_later();
            }
            if !near_full {
                break;
            }
        }
        drop(grow);
    }

    /// Adds a pack that was made to the books, or notes a failure to make one. If the books are
    /// full, it returns the pack and its region, which the caller drops with no lock held.
    fn add_made(
        &self,
        books: &mut Books,
        made: Made,
        size: usize,
    ) -> Option<(Pack<Words>, Arc<Region>)> {
        match made {
            Made::Pack(pack, region) => match books.add(pack, &region) {
                Some(pack) => Some((pack, region)),
                None => {
                    self.counters.regions_made.inc();
                    trace::make_region(region.address(), region.len());
                    None
                }
            },
            Made::NearFull => None,
            Made::Nothing => {
                books.note_no_memory(size);
                None
            }
        }
    }

    /// Makes a region and a pack for an image of `size` bytes. The caller holds no lock but `grow`.
    fn make_pack(&self, size: usize, customer: Customer, node: Node) -> Made {
        let books = self.books();
        let near = books.may_go_near(size, customer, &self.config);
        // A large image has a region of its own.
        let shared = size <= PACK_SIZE && !books.has_shared_pack();
        drop(books);
        match self.make_region(size, near, node) {
            Ok(Some(region)) => self
                .pack_for(size, region, shared)
                .map_or(Made::Nothing, |(pack, region)| Made::Pack(pack, region)),
            Ok(None) => Made::NearFull,
            Err(_) => Made::Nothing,
        }
    }

    /// Makes the pack for a region.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn pack_for(
        &self,
        size: usize,
        region: Region,
        shared: bool,
    ) -> Result<(Pack<Words>, Arc<Region>)> {
        faults::at(Point::RegionShared, ENOMEM)?;
        let region = Arc::new(region, GFP_KERNEL)?;
        // The rest of a large image's region stays unused, also what the image does not need in the end:
        // a small image there would keep the whole region after the large one is freed.
        let usable = if size > PACK_SIZE { size } else { region.len() };
        let chunks = ChunkCount::holding(usable).map_err(|_| EINVAL)?;
        faults::at(Point::PackWords, ENOMEM)?;
        let words = zeroed(Pack::<Words>::words_needed(chunks))?;
        let rank = rank_of(region.is_huge(), region.place(), shared);
        let pack = Pack::new(words, chunks, rank).map_err(|_| EINVAL)?;
        let pack = if size > PACK_SIZE {
            pack.for_one_image()
        } else {
            pack.with_origin(self.origin())
        };
        Ok((pack, region))
    }

    /// Returns the chunk to which the first image of a new pack goes.
    fn origin(&self) -> u32 {
        let origin = self.config.knobs.origin;
        origin.unwrap_or_else(|| sys::random_below(ORIGINS))
    }

    /// Makes a region for an image of `size` bytes in the best way that is possible. It is on `node`
    /// if that has memory for it: leaves of 2 MiB on another node are better than smaller ones. Returns
    /// [`None`] if there is no room near the kernel any more, which it notes in the books.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; those of [`OpenRegion::seal`].
    fn make_region(&self, size: usize, near: bool, node: Node) -> Result<Option<Region>> {
        let has_huge_memory = OpenRegion::has_huge_memory();
        for attempt in attempts(self.config.knobs.leaf, size, near) {
            let huge = attempt.limit == LeafLimit::Huge;
            if huge && !has_huge_memory {
                continue;
            }
            let region = match OpenRegion::new(self.kernel, &self.origins, attempt, node) {
                Ok(region) => region,
                Err(error) => {
                    // If there is memory, only room can be missing. A large image needs more room
                    // than a pack: its failure does not count.
                    let no_room = error == ENOMEM
                        && attempt.place == Place::Near
                        && OpenRegion::has_huge_memory();
                    if no_room && size <= PACK_SIZE {
                        self.books().note_near_full();
                        return Ok(None);
                    }
                    continue;
                }
            };
            if huge && !region.is_huge() {
                continue;
            }
            return region.seal().map(Some);
        }
        Err(ENOMEM)
    }
}
