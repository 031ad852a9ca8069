// SPDX-License-Identifier: GPL-2.0

//! What there is: the pool, the regions behind its packs and the addresses of these, three maps
//! that agree, and the reference to the module that they need.
//!
//! All of it is read and changed under one lock, and nothing here takes long.

use super::homes::{
    self,
    Customer, //
};
use super::{
    Config,
    Refusal, //
};
use crate::a64::INSN_SIZE;
use crate::ksym::KernelFns;
use crate::lifetime::ModuleRef;
use crate::owners::Owners;
use crate::plan::{
    Place,
    MAX_PACKS, //
};
use crate::poke::Writable;
use crate::region::Region;
use core::ptr::NonNull;
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
    ChunkCount,
    ChunkIdx,
    ChunkRange,
    Error as Refused,
    Flaw,
    Pack,
    PackId,
    Pool,
    RangeState,
    RankSet,
    Slot,
    Taken,
    Tally,
    WriteEnd,
    MAX_SLOTS,
    PACK_CHUNKS,
    PACK_SIZE, //
};

const _: () = assert!(MAX_PACKS <= MAX_SLOTS);

/// For how long nobody tries to make a pack after one could not be made: the attempt is dear and the
/// stock allocator may have room.
const NO_MEMORY_PAUSE: Delta = Delta::from_millis(100);

/// For how long nobody tries to place a pack near the kernel after there was no room: only modules
/// that leave make some.
const NEAR_FULL_PAUSE: Delta = Delta::from_secs(60);

/// A pack with no hole of this size is nearly full: 256 KiB.
pub(super) const LOW_WATER: ChunkCount = ChunkCount::new(4096);

pub(super) type Words = KVVec<u64>;
type Slots = KVVec<Slot<Words>>;

/// The books.
///
/// # Invariants
///
/// - A slot of `pool` holds a pack if and only if the same slot of `regions` holds its region, and
///   `owners` knows that region by this slot. `near_bytes` is the sum of the near ones.
/// - `images` counts the ranges that were reserved and are not retired yet; while there are any,
///   `lease` holds the module.
pub(super) struct Books {
    pub(super) pool: Pool<Words, Slots>,
    regions: KVVec<Option<Arc<Region>>>,
    pub(super) owners: Owners,
    near_bytes: usize,
    images: u64,
    lease: Option<ModuleRef>,
    /// What became free by the last synchronisation and is not yet noted as such, with what it was
    /// at first.
    pub(super) synchronised: Option<(Batch, Tally)>,
    /// Time of the last failed attempt to make a pack.
    no_memory: Option<Instant<Monotonic>>,
    /// Time of the last attempt to place a pack near the kernel that found no room.
    near_full: Option<Instant<Monotonic>>,
    /// Time of the last round of ageing.
    aged: Option<Instant<Monotonic>>,
}

/// An image, or part of one: where it is in the books and in memory.
struct Found {
    id: PackId,
    range: ChunkRange,
    state: RangeState,
    /// Bytes from the start of the region to the address that was looked up.
    offset: usize,
}

/// What came of looking for room.
pub(super) enum Placing {
    /// Here it is.
    At(NonNull<u8>),
    /// There is none, but another pack could be made.
    NeedsPack,
    /// There is none, and it is no use to try for another pack now.
    Hopeless,
}

/// Part of an image that is this task's: to write to, or to fill with traps.
///
/// # Invariants
///
/// `[offset, offset + len)` lies in the range. The range is [`RangeState::Writing`],
/// [`RangeState::Doomed`] or [`RangeState::Retiring`] in the books, and it was this task that made it
/// so: nobody else can end that state.
pub(super) struct Claim {
    id: PackId,
    range: ChunkRange,
    region: Arc<Region>,
    /// What the image was before, if it is being written.
    was: RangeState,
    offset: usize,
    len: usize,
}

impl Claim {
    /// The right to write to it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it does not consist of whole instructions.
    pub(super) fn writable<'a>(&'a mut self, kernel: &'a KernelFns) -> Result<Writable<'a>> {
        // SAFETY: By the type invariants the range is this task's alone until that is given up with
        // this value: nobody else writes there, and the memory is not handed out. Code that runs
        // there is only changed by those who write into live images, whose duty it is to make
        // changes that may be concurrent.
        unsafe { Writable::new(kernel, &self.region, self.offset, self.len) }
    }

    /// Whether programs may have been running there.
    pub(super) fn was_live(&self) -> bool {
        self.was == RangeState::Live
    }

    /// Bytes of the whole image.
    pub(super) fn image_bytes(&self) -> usize {
        self.range.count().bytes()
    }

    /// The address of the first byte that is claimed.
    pub(super) fn address(&self) -> usize {
        self.region.address().saturating_add(self.offset)
    }
}

/// What came of a call to free an image.
pub(super) enum Freeing {
    /// The caller fills it with traps.
    Now(Claim),
    /// Who writes there does, when the copy has ended.
    Later,
}

impl Books {
    pub(super) fn new() -> Result<Self> {
        let mut slots = Slots::with_capacity(MAX_PACKS, GFP_KERNEL)?;
        let mut regions = KVVec::with_capacity(MAX_PACKS, GFP_KERNEL)?;
        for _ in 0..MAX_PACKS {
            slots.push(Slot::vacant(), GFP_KERNEL)?;
            regions.push(None, GFP_KERNEL)?;
        }
        let index = Words::zeroed(Pool::<Words, Slots>::index_words(MAX_PACKS), GFP_KERNEL)?;
        Ok(Self {
            pool: Pool::new(slots, index).map_err(|_| EINVAL)?,
            regions,
            owners: Owners::new(MAX_PACKS)?,
            near_bytes: 0,
            images: 0,
            lease: None,
            synchronised: None,
            no_memory: None,
            near_full: None,
            aged: None,
        })
    }

    /// The region behind a pack.
    pub(super) fn region(&self, id: PackId) -> Option<&Arc<Region>> {
        self.regions.get(id.slot() as usize)?.as_ref()
    }

    /// Bytes of all regions. O(slots).
    pub(super) fn mapped_bytes(&self) -> usize {
        let regions = self.regions.iter().flatten();
        regions.fold(0, |sum: usize, region| sum.saturating_add(region.len()))
    }

    // --- room -----------------------------------------------------------------

    /// Whether `len` bytes more could be near the kernel.
    fn may_be_near(&self, len: usize, config: &Config) -> bool {
        let bytes = self.near_bytes.saturating_add(len);
        bytes.div_ceil(PACK_SIZE) <= config.near_packs
            && !is_recent(self.near_full, NEAR_FULL_PAUSE)
    }

    /// Whether one more pack could be near the kernel.
    fn near_open(&self, config: &Config) -> bool {
        self.may_be_near(PACK_SIZE, config)
    }

    /// Whether a region that is made for `size` bytes of `customer` may be near. O(slots) for classic
    /// programs.
    pub(super) fn may_go_near(&self, size: usize, customer: Customer, config: &Config) -> bool {
        self.may_be_near(size, config)
            && match customer {
                Customer::Any => true,
                Customer::Classic => !self.has_shared_pack(),
            }
    }

    /// Whether there is a near pack that classic programs share with others. O(slots).
    pub(super) fn has_shared_pack(&self) -> bool {
        let mut packs = self.pool.occupied();
        packs.any(|(_, pack)| homes::is_shared(pack.rank()))
    }

    /// Whether the packs where this customer goes are nearly full.
    pub(super) fn is_low(&self, customer: Customer, config: &Config) -> bool {
        let homes = customer.preferred(self.near_open(config));
        self.pool.largest_hole(homes) < LOW_WATER
    }

    /// Whether it is of no use to make a pack for an image of `size` bytes.
    ///
    /// That there is no memory for a large image says nothing about packs, and the reverse.
    pub(super) fn cannot_grow(&self, size: usize, config: &Config) -> bool {
        self.pool.len() >= config.knobs.max_packs
            || size <= PACK_SIZE && is_recent(self.no_memory, NO_MEMORY_PAUSE)
    }

    /// Remembers that no pack could be made for an image of `size` bytes.
    pub(super) fn note_no_memory(&mut self, size: usize) {
        if size <= PACK_SIZE {
            self.no_memory = Some(Instant::now());
        }
    }

    /// Remembers that there is no room near the kernel.
    pub(super) fn note_near_full(&mut self) {
        self.near_full = Some(Instant::now());
    }

    /// Reserves room for an image, or says what else can be done.
    ///
    /// Where no pack can be made, memory that is retired is left to the background: every load would
    /// have to interrupt all CPUs for it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Leaving`], [`Refusal::Size`].
    pub(super) fn place(
        &mut self,
        size: usize,
        customer: Customer,
        config: &Config,
    ) -> Result<Placing, Refusal> {
        let preferred = customer.preferred(self.near_open(config));
        if let Some(address) = self.reserve(size, config, preferred)? {
            return Ok(Placing::At(address));
        }
        if !self.cannot_grow(size, config) {
            return Ok(Placing::NeedsPack);
        }
        self.place_anywhere(size, customer, config)
    }

    /// Reserves room wherever the customer may be, when no pack can be made.
    ///
    /// # Errors
    ///
    /// [`Refusal::Leaving`], [`Refusal::Size`].
    pub(super) fn place_anywhere(
        &mut self,
        size: usize,
        customer: Customer,
        config: &Config,
    ) -> Result<Placing, Refusal> {
        let found = self.reserve(size, config, customer.homes())?;
        Ok(found.map_or(Placing::Hopeless, Placing::At))
    }

    /// Reserves in the packs of some ranks; [`None`] if none has room.
    fn reserve(
        &mut self,
        size: usize,
        config: &Config,
        among: RankSet,
    ) -> Result<Option<NonNull<u8>>, Refusal> {
        if self.lease.is_none() {
            self.lease = Some(ModuleRef::take().ok_or(Refusal::Leaving)?);
        }
        let reserved = self.pool.reserve(size, config.knobs.align, among);
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(refused) => {
                if self.images == 0 {
                    self.lease = None;
                }
                return match refused {
                    Refused::NeedPack(_) => Ok(None),
                    _ => Err(Refusal::Size),
                };
            }
        };
        // INVARIANT: One more range, and the module is held.
        self.images = self.images.saturating_add(1);
        let start = reserved.range.start().byte_offset();
        let address = self
            .region(reserved.pack)
            .and_then(|region| region.address().checked_add(start));
        Ok(address.and_then(|address| NonNull::new(address as *mut u8)))
    }

    // --- packs ----------------------------------------------------------------

    /// Adds one region with its pack. If there is no place for it, the pack comes back, to be dropped
    /// with no lock held.
    pub(super) fn add(&mut self, pack: Pack<Words>, region: &Arc<Region>) -> Option<Pack<Words>> {
        let id = match self.pool.add(pack) {
            Ok(id) => id,
            Err(refused) => return Some(refused.pack),
        };
        // INVARIANT: All three know it from here on: there is a place for every slot of the pool in
        // the other two.
        let known = self
            .owners
            .insert(region.address(), region.len(), id.slot());
        if let (Ok(()), Some(place)) = (known, self.regions.get_mut(id.slot() as usize)) {
            *place = Some(region.clone());
            if region.place() == Place::Near {
                self.near_bytes = self.near_bytes.saturating_add(region.len());
            }
        }
        None
    }

    /// How many empty packs are to stay: one, where `keep_room` and no other pack has room for what
    /// is not classic. O(slots).
    fn packs_to_keep(&self, config: &Config, keep_room: bool) -> usize {
        let homes = Customer::Any.preferred(self.near_open(config));
        let mut packs = self.pool.occupied();
        let room = packs.any(|(_, pack)| {
            homes.contains(pack.rank()) && !pack.is_empty() && pack.largest_hole() >= LOW_WATER
        });
        usize::from(keep_room && !room)
    }

    /// Whether something waits to be given back or to become free. O(slots).
    pub(super) fn is_untidy(&self, config: &Config, keep_room: bool) -> bool {
        let stats = self.pool.stats();
        let keep = self.packs_to_keep(config, keep_room);
        stats.tallies.dying().ranges > 0 || stats.empty_packs > keep as u64
    }

    /// Notes that time has passed, for packs that are empty; once in `round` at most.
    pub(super) fn age(&mut self, round: Delta) {
        if !is_recent(self.aged, round) {
            self.aged = Some(Instant::now());
            self.pool.age();
        }
    }

    /// Takes out one region that has been empty for `rounds` and is not to stay; the caller drops it
    /// unlocked. O(slots).
    pub(super) fn take_empty(
        &mut self,
        rounds: u32,
        config: &Config,
        keep_room: bool,
    ) -> Option<(Pack<Words>, Arc<Region>)> {
        let keep = self.packs_to_keep(config, keep_room);
        let whole_pack = u64::from(PACK_CHUNKS.get());
        // What was made for one large image is not kept for others.
        let large = self
            .pool
            .take_empty(0, |_, stats| stats.chunks > whole_pack);
        let (id, pack) = large.or_else(|| {
            self.pool.take_empty(keep, |_, stats| {
                u32::from(stats.empty_for) >= rounds && stats.chunks <= whole_pack
            })
        })?;
        // INVARIANT: All three forget it.
        let region = self.regions.get_mut(id.slot() as usize)?.take()?;
        self.owners.remove(region.address());
        if region.place() == Place::Near {
            self.near_bytes = self.near_bytes.saturating_sub(region.len());
            self.near_full = None;
        }
        Some((pack, region))
    }

    /// Takes every region that is left out of the books, for a module that is removed by force.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Arc<Region>> + '_ {
        self.regions.iter_mut().filter_map(Option::take)
    }

    // --- images ---------------------------------------------------------------

    /// Looks up the image that `address` lies in, at its start or inside. [`None`] if the address is
    /// in no region, an error if it is in none of its images.
    fn find(&self, address: usize) -> Option<Result<Found>> {
        let (slot, offset) = self.owners.find(address)?;
        let in_pack = || {
            let id = self.pool.id_of_slot(slot)?;
            let chunk = ChunkIdx::from_byte_offset(offset & !(pack_core::CHUNK_SIZE - 1))?;
            let (state, range) = self.pool.containing(id, chunk)?;
            Some(Found {
                id,
                range,
                state,
                offset,
            })
        };
        Some(in_pack().ok_or(EINVAL))
    }

    /// Claims `len` bytes from `found.offset` on.
    fn claim(&self, found: &Found, len: usize) -> Result<Claim> {
        // INVARIANT: The callers have just changed the state.
        Ok(Claim {
            id: found.id,
            range: found.range,
            region: self.region(found.id).ok_or(EINVAL)?.clone(),
            was: found.state,
            offset: found.offset,
            len,
        })
    }

    /// Finds the reserved image at `address`, gives back what follows its first `used` bytes and
    /// claims the rest, of which `len` bytes will be written. Also says how many bytes went back.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the image was finalized before or somebody is doing that; `EINVAL` if no image
    /// starts there or a length is wrong.
    pub(super) fn claim_reserved(
        &mut self,
        address: usize,
        len: usize,
        used: usize,
    ) -> Option<Result<(Claim, usize)>> {
        let found = self.find(address)?;
        Some(found.and_then(|found| self.claim_found(found, len, used)))
    }

    fn claim_found(&mut self, mut found: Found, len: usize, used: usize) -> Result<(Claim, usize)> {
        let keep = ChunkCount::holding(used).map_err(|_| EINVAL)?;
        if used > len || len % INSN_SIZE != 0 || !found.is_start() || !found.holds(used) {
            return Err(EINVAL);
        }
        match found.state {
            RangeState::Reserved => {}
            RangeState::Writing | RangeState::Doomed | RangeState::Live => return Err(EBUSY),
            RangeState::Retiring | RangeState::Retired | RangeState::Syncing => return Err(EINVAL),
        }
        let was = found.range.count().bytes();
        if keep < found.range.count() {
            let range = self.pool.trim(found.id, found.range, keep);
            found.range = range.map_err(|_| EINVAL)?;
        }
        let kept = found.range.count().bytes();
        self.begin_write(&found)?;
        Ok((self.claim(&found, len.min(kept))?, was.saturating_sub(kept)))
    }

    /// Finds the image that `len` bytes from `address` are inside and claims them.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody is writing to that image; else `EINVAL`.
    pub(super) fn claim_in_place(&mut self, address: usize, len: usize) -> Option<Result<Claim>> {
        let found = self.find(address)?;
        Some(found.and_then(|found| {
            let aligned = found.offset % INSN_SIZE == 0 && len % INSN_SIZE == 0;
            if !aligned || !found.holds(len) {
                return Err(EINVAL);
            }
            match found.state {
                RangeState::Reserved | RangeState::Live => {}
                RangeState::Writing | RangeState::Doomed => return Err(EBUSY),
                RangeState::Retiring | RangeState::Retired | RangeState::Syncing => {
                    return Err(EINVAL)
                }
            }
            self.begin_write(&found)?;
            self.claim(&found, len)
        }))
    }

    /// Makes the caller the only one that may write to an image.
    fn begin_write(&mut self, found: &Found) -> Result {
        let was = self.pool.begin_write(found.id, found.range);
        was.map(|_| ()).map_err(|_| EINVAL)
    }

    /// Ends a claim to write: the image is live. If it was freed meanwhile, the claim to fill it with
    /// traps comes back.
    pub(super) fn finalize(&mut self, claim: Claim) -> Option<Claim> {
        let end = self.pool.finalize(claim.id, claim.range);
        claim.after(end)
    }

    /// Ends a claim to write after a copy that failed: the image is as it was before. If it was freed
    /// meanwhile, the claim to fill it with traps comes back.
    pub(super) fn abort_write(&mut self, claim: Claim) -> Option<Claim> {
        let end = self.pool.abort_write(claim.id, claim.range);
        claim.after(end)
    }

    /// Takes the image that starts at `address` from its owner.
    ///
    /// [`None`] if the address is in none of our packs.
    ///
    /// # Errors
    ///
    /// `EINVAL` if no image starts there, or it is being freed already.
    pub(super) fn begin_retire(&mut self, address: usize) -> Option<Result<Freeing>> {
        let found = self.find(address)?;
        Some(found.and_then(|found| {
            if !found.is_start() {
                return Err(EINVAL);
            }
            match self.pool.begin_retire(found.id, found.range.start()) {
                Ok(Taken::Retiring(range)) => {
                    self.claim(&found, range.count().bytes()).map(Freeing::Now)
                }
                Ok(Taken::Doomed(_)) => Ok(Freeing::Later),
                Err(_) => Err(EINVAL),
            }
        }))
    }

    /// Notes that an image holds traps. With the last image the module is let go; true if it was.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the books do not agree: the memory then stays out of use, which is safe.
    pub(super) fn retired(&mut self, claim: &Claim) -> Result<bool> {
        let retired = self.pool.retired(claim.id, claim.range);
        retired.map_err(|_| EINVAL)?;
        // INVARIANT: One range less; the module is held no longer than there are any. The call that
        // leads here is counted by the gate, so that the module does not go yet.
        self.images = self.images.saturating_sub(1);
        let last = self.images == 0;
        if last {
            self.lease = None;
        }
        Ok(last)
    }

    /// Counts everything again. O(chunks · log of a pack).
    ///
    /// # Errors
    ///
    /// What is wrong, and where.
    pub(super) fn check(&self) -> Result<(), Flaw> {
        check_invariants(&self.pool)?;
        let of_books = |what| Flaw {
            what,
            slot: None,
            chunk: None,
        };
        let regions = || self.regions.iter().flatten();
        let known = regions().all(|region| {
            let first = self.owners.find(region.address());
            let last = self.owners.find(
                region
                    .address()
                    .saturating_add(region.len().saturating_sub(1)),
            );
            first.map(|found| found.0).is_some_and(|slot| {
                last.is_some_and(|found| found.0 == slot) && self.pool.id_of_slot(slot).is_some()
            })
        });
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

    /// Whether an image is there that was not freed.
    pub(super) fn in_use(&self) -> bool {
        self.images != 0
    }
}

impl Claim {
    /// What is left of a claim to write that has ended.
    fn after(self, end: Result<WriteEnd, Refused>) -> Option<Self> {
        match end {
            // INVARIANT: The range is retiring now, and all of it is to be filled.
            Ok(WriteEnd::Doomed) => Some(Self {
                offset: self.range.start().byte_offset(),
                len: self.range.count().bytes(),
                ..self
            }),
            // Nobody else can have ended the claim.
            Ok(WriteEnd::Kept) | Err(_) => None,
        }
    }
}

impl Found {
    /// Whether the address that was looked up is the image's first.
    fn is_start(&self) -> bool {
        self.offset == self.range.start().byte_offset()
    }

    /// Whether `len` bytes from the address that was looked up are inside the image.
    fn holds(&self, len: usize) -> bool {
        let start = self.range.start().byte_offset();
        let end = start.saturating_add(self.range.count().bytes());
        self.offset.checked_add(len).is_some_and(|last| last <= end)
    }
}

/// Whether `when` is less than `span` ago.
fn is_recent(when: Option<Instant<Monotonic>>, span: Delta) -> bool {
    when.is_some_and(|when| when.elapsed() < span)
}
