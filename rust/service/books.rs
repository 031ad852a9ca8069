// SPDX-License-Identifier: GPL-2.0

//! The books: the pool of packs, their regions, and the address range of each region; and the
//! reference to the module while there are images.
//!
//! One lock protects all of it. Nothing here takes long, allocates or sleeps, but for
//! [`Books::new`].

#![deny(unsafe_code)]

#[allow(unsafe_code)] // Says why a claim may be written to.
pub(super) mod claim;
pub(super) mod images;
pub(super) mod packs;
pub(super) mod room;

use crate::compat::zeroed;
use crate::faults::{
    self,
    Point, //
};
use crate::lifetime::ModuleRef;
use crate::owners::Owners;
use crate::plan::{
    Place,
    MAX_PACKS, //
};
use crate::region::Region;
use crate::service::answers::PackReport;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::time::{
    Delta,
    Instant,
    Monotonic, //
};
use pack_core::{
    check_invariants,
    Batch,
    Flaw,
    PackId,
    Pool,
    Slot,
    Tally,
    MAX_SLOTS, //
};

const _: () = assert!(MAX_PACKS <= MAX_SLOTS);

/// The storage of a pack.
pub(super) type Words = KVVec<u64>;
type Slots = KVVec<Slot<Words>>;

/// Numbers of images since `insmod`, which cost nothing more under the lock.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Images that got memory.
    pub(crate) served: u64,
    pub(crate) finalized: u64,
    pub(crate) freed: u64,
}

/// See the head of this file.
///
/// # Invariants
///
/// - A slot of `pool` has a pack if and only if the same slot of `regions` has its region and
///   `owners` maps the addresses of that region to this slot.
/// - `near_bytes` is the size of all near regions.
/// - `images` is the number of ranges that were reserved and are not retired yet. `lease` holds the
///   module if and only if it is not 0.
pub(super) struct Books {
    pub(super) pool: Pool<Words, Slots>,
    regions: KVVec<Option<Arc<Region>>>,
    pub(super) owners: Owners,
    near_bytes: usize,
    images: u64,
    lease: Option<ModuleRef>,
    pub(super) counts: Counts,
    /// Set only while another pack may be placed near the kernel, however late it is.
    near_ready: bool,
    /// Whether a classic program has asked for memory.
    classic: bool,
    /// Whether somebody waits for the last image.
    pub(super) awaited: bool,
    /// Whether the work that tidies up is queued, and has not looked at the books since.
    pub(super) tidying: bool,
    /// The batch whose CPUs were synchronised and which is not released completely, with its size
    /// when it began.
    pub(super) synchronised: Option<(Batch, Tally)>,
    /// Time of the last failed attempt to make a pack.
    no_memory: Option<Instant<Monotonic>>,
    /// Time of the last attempt to place a pack near the kernel that found no room.
    near_full: Option<Instant<Monotonic>>,
    /// Time of the last round of ageing.
    aged: Option<Instant<Monotonic>>,
}

impl Books {
    /// Makes empty books with room for [`MAX_PACKS`] packs: adding a pack then allocates nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        faults::at(Point::Slots, ENOMEM)?;
        let mut slots = Slots::with_capacity(MAX_PACKS, GFP_KERNEL)?;
        faults::at(Point::Regions, ENOMEM)?;
        let mut regions = KVVec::with_capacity(MAX_PACKS, GFP_KERNEL)?;
        for _ in 0..MAX_PACKS {
            slots.push(Slot::vacant(), GFP_KERNEL)?;
            regions.push(None, GFP_KERNEL)?;
        }
        faults::at(Point::Index, ENOMEM)?;
        let index = zeroed(Pool::<Words, Slots>::index_words(MAX_PACKS))?;
        faults::at(Point::Holes, ENOMEM)?;
        let recent = zeroed(Pool::<Words, Slots>::recent_words())?;
        Ok(Self {
            pool: Pool::new(slots, index, recent).map_err(|_| EINVAL)?,
            regions,
            owners: Owners::new(MAX_PACKS)?,
            near_bytes: 0,
            images: 0,
            lease: None,
            counts: Counts::default(),
            near_ready: false,
            classic: false,
            awaited: false,
            tidying: false,
            synchronised: None,
            no_memory: None,
            near_full: None,
            aged: None,
        })
    }

    /// The region of a pack.
    pub(super) fn region(&self, id: PackId) -> Option<&Arc<Region>> {
        self.regions.get(id.slot() as usize)?.as_ref()
    }

    /// The figures of a pack, with its region. As costly as [`Pack::largest_hole`].
    ///
    /// [`Pack::largest_hole`]: pack_core::Pack::largest_hole
    pub(super) fn report(&self, id: PackId) -> Option<PackReport> {
        Some(PackReport {
            stats: self.pool.pack(id)?.stats(),
            region: self.region(id)?.clone(),
        })
    }

    /// The regions of all packs.
    pub(super) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.regions.iter().flatten().map(|region| &**region)
    }

    /// The size of all regions, in bytes. O(slots).
    pub(super) fn mapped_bytes(&self) -> usize {
        self.regions()
            .fold(0, |sum: usize, region| sum.saturating_add(region.len()))
    }

    /// Recounts everything and compares it with the books. O(chunks · log of a pack).
    ///
    /// # Errors
    ///
    /// The first flaw that it finds.
    pub(super) fn check(&mut self) -> Result<(), Flaw> {
        check_invariants(&self.pool)?;
        let of_books = |what| Flaw {
            what,
            slot: None,
            chunk: None,
        };
        let (all, owners) = (&self.regions, &mut self.owners);
        let known = all.iter().flatten().all(|region| {
            let first = owners.find(region.address());
            let last = owners.find(
                region
                    .address()
                    .saturating_add(region.len().saturating_sub(1)),
            );
            first.map(|found| found.0).is_some_and(|slot| {
                last.is_some_and(|found| found.0 == slot) && self.pool.id_of_slot(slot).is_some()
            })
        });
        let regions = || self.regions();
        if regions().count() != self.pool.len() || !known {
            return Err(of_books("packs, regions and addresses do not agree"));
        }
        let near = regions().filter(|region| region.place() == Place::Near);
        if near.fold(0, |sum: usize, region| sum.saturating_add(region.len())) != self.near_bytes {
            return Err(of_books("the bytes near the kernel are miscounted"));
        }
        let tallies = self.pool.stats().tallies;
        let in_use = tallies
            .live
            .plus(tallies.unfinished())
            .plus(tallies.retiring);
        if in_use.ranges != self.images || self.lease.is_some() != (self.images != 0) {
            return Err(of_books(
                "the images are miscounted, or do not hold the module",
            ));
        }
        Ok(())
    }

    /// Whether there are images that are not retired yet.
    pub(super) fn in_use(&self) -> bool {
        self.images != 0
    }
}

/// Whether `when` is less than `span` ago.
fn is_recent(when: Option<Instant<Monotonic>>, span: Delta) -> bool {
    when.is_some_and(|when| when.elapsed() < span)
}
