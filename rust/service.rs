// SPDX-License-Identifier: GPL-2.0

//! The allocator as a service: reserve, finalize, write, retire.
//!
//! It joins the decisions of `pack_core` with the effects of `region.rs` and `poke.rs`.
//!
//! # Locks
//!
//! In this order: `grow`, then `state`. `state` is held only while the books are read or changed:
//! never across a page allocation, a mapping change, a write into a pack, an interrupt to other
//! CPUs or a wait. `grow` is held while a region is made, so that two tasks that find the packs full
//! do not both make one.

#![deny(unsafe_code)]

use crate::counters::{
    Counter,
    Counters, //
};
use crate::ksym::KernelFns;
use crate::lifetime::{
    hold_module,
    release_module,
    Delayed,
    Gate, //
};
use crate::owners::Owners;
use crate::poke::{
    self,
    Source,
    INSN_SIZE, //
};
use crate::region::{
    LeafLimit,
    OpenRegion,
    Place,
    Region,
    REGION_ALIGN, //
};
use crate::trace;
use core::ptr::NonNull;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::sync::{
    Arc,
    Mutex, //
};
use kernel::time::{
    msecs_to_jiffies,
    Delta,
    Instant,
    Monotonic, //
};
use pack_core::{
    Batch,
    ChunkCount,
    ChunkIdx,
    ChunkRange,
    Error as Refused,
    Pack,
    PackId,
    PackStats,
    Pool,
    PoolStats,
    RangeState,
    Rank,
    Slot,
    PACK_CHUNKS,
    PACK_SIZE, //
};

/// Packs at most: 1 GiB of programs, if each has 2 MiB.
pub(crate) const MAX_PACKS: usize = 512;

/// Bytes of an image at most. More than the verifier lets a program have.
pub(crate) const MAX_IMAGE: usize = 64 << 20;

/// Milliseconds between two rounds of tidying up.
const TIDY_INTERVAL: u32 = 1000;

/// For how long nobody tries to make a pack after one could not be made: the attempt is dear and the
/// stock allocator may have room.
const NO_MEMORY_PAUSE: Delta = Delta::from_millis(100);

/// Messages about bad calls at most; the counter goes on.
const MAX_MESSAGES: u64 = 32;

/// Through which the JIT's calls, the exported functions and the delayed work reach the service.
pub(crate) static GATE: Gate<Service> = Gate::new();

/// What the module parameters say.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    /// Packs near the kernel text at most; 0 = all packs anywhere.
    pub(crate) near_packs: usize,
    /// Rounds of tidying that an empty pack survives.
    pub(crate) retain_rounds: u32,
    /// The largest leaf to ask for.
    pub(crate) leaf: LeafLimit,
    /// Images start at a multiple of this, in chunks: 1, but for measuring.
    pub(crate) align: ChunkCount,
    /// For self-tests: no region is ever to be had.
    pub(crate) no_memory: bool,
}

/// Why an image was not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// New images are stopped by the control.
    Draining,
    /// The module is being removed.
    Leaving,
    /// No memory or no room.
    NoMemory,
    /// Size 0, or more than [`MAX_IMAGE`].
    Size,
}

type Words = KVVec<u64>;
type Slots = KVVec<Slot<Words>>;

/// The books.
///
/// # Invariants
///
/// A slot of `pool` holds a pack if and only if the same slot of `regions` holds its region, and
/// `owners` knows that region by this slot.
struct State {
    pool: Pool<Words, Slots>,
    regions: KVVec<Option<Arc<Region>>>,
    owners: Owners,
}

/// An image, or part of one: where it is in the books and in memory.
struct Found {
    id: PackId,
    range: ChunkRange,
    /// What it was when it was found, or when writing to it began.
    state: RangeState,
    region: Arc<Region>,
    /// Bytes from the start of the region to the address that was looked up.
    offset: usize,
}

/// The allocator.
#[pin_data]
pub(crate) struct Service {
    // Dropped first: the work uses what follows.
    #[pin]
    tidy: Delayed,
    /// When a pack could last not be made.
    #[pin]
    grow: Mutex<Option<Instant<Monotonic>>>,
    #[pin]
    state: Mutex<State>,
    kernel: &'static KernelFns,
    config: Config,
    draining: Atomic<bool>,
    pub(crate) counters: Counters,
}

/// What came of a call to free an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    /// It was an image of ours.
    Ours,
    /// It is in none of our packs.
    Foreign,
    /// It is in one of our packs, but no image of it that could be freed.
    Misused,
}

/// One pack, for those who show it.
pub(crate) struct PackReport {
    /// What the books say.
    pub(crate) stats: PackStats,
    /// The memory.
    pub(crate) region: Arc<Region>,
}

impl State {
    fn new() -> Result<Self> {
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
        })
    }

    fn region(&self, id: PackId) -> Option<&Arc<Region>> {
        self.regions.get(id.slot() as usize)?.as_ref()
    }

    /// Bytes of the regions that `wanted` accepts. O(slots).
    fn mapped_bytes(&self, wanted: impl Fn(&Region) -> bool) -> usize {
        let regions = self
            .regions
            .iter()
            .flatten()
            .filter(|region| wanted(region));
        regions.fold(0, |sum: usize, region| sum.saturating_add(region.len()))
    }

    /// How much of the room near the kernel text is taken, in packs. O(slots).
    fn near_packs(&self) -> usize {
        let near = self.mapped_bytes(|region| region.place() == Place::Near);
        near.div_ceil(PACK_SIZE)
    }

    /// Looks up the image that `address` lies in, at its start or inside.
    fn find(&self, address: usize) -> Option<Found> {
        let (slot, offset) = self.owners.find(address)?;
        let id = self.pool.id_of_slot(slot)?;
        let chunk = ChunkIdx::from_byte_offset(offset & !(pack_core::CHUNK_SIZE - 1))?;
        let (state, range) = self.pool.containing(id, chunk)?;
        Some(Found {
            id,
            range,
            state,
            region: self.region(id)?.clone(),
            offset,
        })
    }

    /// Looks up the image that `len` bytes from `address` are inside, if they may be written to.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody is writing there; else `EINVAL`.
    fn find_writable(&self, address: usize, len: usize) -> Result<Found> {
        let found = self.find(address).filter(|found| found.holds(len));
        match found.as_ref().map(|found| found.state) {
            Some(RangeState::Reserved | RangeState::Live) => found.ok_or(EINVAL),
            Some(RangeState::Writing) => Err(EBUSY),
            _ => Err(EINVAL),
        }
    }

    /// Makes the caller the only one that may write to an image or free it, until it is finalized.
    fn begin_write(&mut self, mut found: Found) -> Result<Found> {
        let was = self.pool.begin_write(found.id, found.range);
        found.state = was.map_err(|_| EINVAL)?;
        Ok(found)
    }

    /// Enters a new region. If there is no place for it, the books for it come back, to be dropped
    /// with no lock held.
    fn add(&mut self, pack: Pack<Words>, region: &Arc<Region>) -> Option<Pack<Words>> {
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
        }
        None
    }

    /// Reserves in the packs there are; [`None`] if none has room.
    fn reserve(&mut self, size: usize, align: ChunkCount) -> Result<Option<NonNull<u8>>, Refusal> {
        let reserved = match self.pool.reserve(size, align) {
            Ok(reserved) => reserved,
            Err(Refused::NeedPack(_)) => return Ok(None),
            Err(_) => return Err(Refusal::Size),
        };
        let start = reserved.range.start().byte_offset();
        let address = self
            .region(reserved.pack)
            .and_then(|region| region.address().checked_add(start));
        Ok(address.and_then(|address| NonNull::new(address as *mut u8)))
    }

    /// Takes out one region that has been empty for `rounds`; the caller drops it unlocked.
    fn take_idle(&mut self, rounds: u32) -> Option<(Pack<Words>, Arc<Region>)> {
        let (id, pack) = self.pool.take_empty(0, |_, stats| {
            // What was made for one large image is not kept for others.
            u32::from(stats.empty_for) >= rounds || stats.chunks > u64::from(PACK_CHUNKS.get())
        })?;
        // INVARIANT: All three forget it.
        let region = self.regions.get_mut(id.slot() as usize)?.take()?;
        self.owners.remove(region.address());
        Some((pack, region))
    }
}

impl Found {
    /// Whether the address that was looked up is the image's first.
    fn is_start(&self) -> bool {
        self.offset == self.start()
    }

    /// Offset of the image in its region.
    fn start(&self) -> usize {
        self.range.start().byte_offset()
    }

    /// Whether `len` bytes from the address that was looked up are inside the image.
    fn holds(&self, len: usize) -> bool {
        self.offset
            .checked_add(len)
            .is_some_and(|end| end <= self.start().saturating_add(self.range.count().bytes()))
    }
}

/// What the workqueue runs for the service.
extern "C" fn tidy(_work: *mut kernel::bindings::work_struct) {
    let entered = GATE.enter();
    if let Some(service) = entered.target() {
        service.tidy_up();
    }
}

/// How good a home a region is.
fn rank_of(region: &Region) -> Rank {
    let rank = match (region.is_huge(), region.place()) {
        (true, Place::Near) => 0,
        (true, Place::Far) => 1,
        (false, Place::Near) => 2,
        (false, Place::Far) => 3,
    };
    Rank::new(rank).unwrap_or(Rank::BEST)
}

impl Service {
    /// An empty service; the first image makes the first pack.
    pub(crate) fn new(kernel: &'static KernelFns, config: Config) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            tidy <- Delayed::new(tidy),
            grow <- new_mutex!(None),
            state <- new_mutex!(State::new()?),
            kernel,
            config,
            draining: Atomic::new(false),
            counters: Counters::default(),
        })
    }

    /// The kernel's symbols.
    pub(crate) fn kernel(&self) -> &'static KernelFns {
        self.kernel
    }

    /// Stops new images, or lets them come again.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Relaxed);
    }

    /// Whether new images are stopped.
    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// Whether `address` lies in one of our packs. May sleep.
    pub(crate) fn owns(&self, address: usize) -> bool {
        self.state.lock().owners.find(address).is_some()
    }

    /// Reserves `size` bytes: 64-byte aligned, filled with BRK. May sleep.
    ///
    /// # Errors
    ///
    /// See [`Refusal`]; each is counted.
    pub(crate) fn alloc(&self, size: usize) -> Result<NonNull<u8>, Refusal> {
        let result = self.try_alloc(size);
        let refused = &self.counters.refused;
        let counter: &Counter = match result {
            Ok(address) => {
                trace::reserve(address.as_ptr() as usize, size);
                &self.counters.served
            }
            Err(Refusal::Draining) => &refused.draining,
            Err(Refusal::Leaving) => &refused.leaving,
            Err(Refusal::NoMemory) => &refused.no_memory,
            Err(Refusal::Size) => &refused.size,
        };
        counter.inc();
        result
    }

    fn try_alloc(&self, size: usize) -> Result<NonNull<u8>, Refusal> {
        if self.draining() {
            return Err(Refusal::Draining);
        }
        if size == 0 || size > MAX_IMAGE {
            return Err(Refusal::Size);
        }
        if !hold_module() {
            return Err(Refusal::Leaving);
        }
        self.reserve(size).inspect_err(|_| release_module())
    }

    /// Finds room, makes room, or makes a pack.
    fn reserve(&self, size: usize) -> Result<NonNull<u8>, Refusal> {
        if let Some(address) = self.reserve_in_packs(size)? {
            return Ok(address);
        }
        if self.reclaim() {
            if let Some(address) = self.reserve_in_packs(size)? {
                return Ok(address);
            }
        }
        let mut failed = self.grow.lock();
        // Another task may have made a pack while this one waited, or have failed to.
        if let Some(address) = self.reserve_in_packs(size)? {
            return Ok(address);
        }
        if failed.is_some_and(|when| when.elapsed() < NO_MEMORY_PAUSE) {
            return Err(Refusal::NoMemory);
        }
        // Packs are added under `grow` only: there is still a place for this one when it is made.
        if self.stats().packs >= MAX_PACKS as u64 {
            return Err(Refusal::NoMemory);
        }
        let made = self.make_pack(size).and_then(|(pack, region)| {
            let mut state = self.state.lock();
            // In one go: another task could take the room, or tidying up the empty pack.
            let refused = state.add(pack, &region);
            let reserved = state.reserve(size, self.config.align);
            drop(state);
            if refused.is_none() {
                self.counters.regions_made.inc();
                trace::map(region.address(), region.len());
            }
            reserved.ok().flatten().ok_or(ENOMEM)
        });
        // That there is no memory for a large image says nothing about packs.
        if size <= PACK_SIZE {
            *failed = made.is_err().then(Instant::now);
        }
        made.map_err(|_| Refusal::NoMemory)
    }

    /// Takes room in the packs there are; [`None`] if there is none.
    fn reserve_in_packs(&self, size: usize) -> Result<Option<NonNull<u8>>, Refusal> {
        self.state.lock().reserve(size, self.config.align)
    }

    /// Makes a region for an image of `size` bytes and books for it, with no lock but `grow` held.
    fn make_pack(&self, size: usize) -> Result<(Pack<Words>, Arc<Region>)> {
        if self.config.no_memory {
            return Err(ENOMEM);
        }
        let region = Arc::new(self.make_region(size)?, GFP_KERNEL)?;
        // A large image has its region to itself: a small one in the rest of it would keep all of
        // it when the large one goes.
        let usable = if size > PACK_SIZE { size } else { region.len() };
        let chunks = ChunkCount::holding(usable).map_err(|_| EINVAL)?;
        let words = Words::zeroed(Pack::<Words>::words_needed(chunks), GFP_KERNEL)?;
        let pack = Pack::new(words, chunks, rank_of(&region)).map_err(|_| EINVAL)?;
        Ok((pack, region))
    }

    /// Maps memory for an image of `size` bytes in the best way that can be had: 2 MiB leaves
    /// before smaller ones, near the kernel text before far from it.
    fn make_region(&self, size: usize) -> Result<Region> {
        let len = size.checked_next_multiple_of(REGION_ALIGN).ok_or(EINVAL)?;
        let near = self.state.lock().near_packs() < self.config.near_packs;
        let places = if near {
            &[Place::Near, Place::Far][..]
        } else {
            &[Place::Far][..]
        };
        if self.config.leaf == LeafLimit::Huge && OpenRegion::huge_may_be_had() {
            for &place in places {
                let region = OpenRegion::new(self.kernel, len, place, LeafLimit::Huge);
                if let Some(region) = region.ok().filter(OpenRegion::is_huge) {
                    return region.seal();
                }
            }
        }
        let contiguous = self.config.leaf != LeafLimit::Page && size <= Region::CONTIGUOUS_LEN;
        let (len, limit) = if contiguous {
            (Region::CONTIGUOUS_LEN, LeafLimit::Contiguous)
        } else {
            (len, LeafLimit::Page)
        };
        for &place in places {
            if let Ok(region) = OpenRegion::new(self.kernel, len, place, limit) {
                return region.seal();
            }
        }
        Err(ENOMEM)
    }

    /// Copies `source` to the image that starts at `address` and makes it executable on every CPU.
    ///
    /// Of what was reserved, `used` bytes are kept; the rest goes back to the pack. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `address` is not the start of an image of ours, or a length is wrong; `EBUSY` if
    /// the image was finalized before or somebody is doing that; `EFAULT` if `source` cannot be
    /// read: the image is then BRK again, and can only be freed.
    pub(crate) fn finalize(&self, address: usize, source: Source, used: usize) -> Result {
        let found = self
            .claim(address, source.len, used)
            .inspect_err(|error| self.misused("finalize", address, *error))?;
        let source = Source {
            len: source.len.min(found.range.count().bytes()),
            ..source
        };
        self.write_claimed(&found, source)?;
        self.counters.finalized.inc();
        trace::finalize(address, found.range.count().bytes());
        Ok(())
    }

    /// Finds the reserved image at `address`, gives back what follows its first `used` bytes and
    /// claims the rest for the copy.
    fn claim(&self, address: usize, len: usize, used: usize) -> Result<Found> {
        let keep = ChunkCount::holding(used).map_err(|_| EINVAL)?;
        let mut state = self.state.lock();
        let mut found = state.find(address).ok_or(EINVAL)?;
        let fits = used <= len && len % INSN_SIZE == 0 && found.holds(used);
        if !fits || !found.is_start() {
            return Err(EINVAL);
        }
        match found.state {
            RangeState::Reserved => {}
            RangeState::Writing | RangeState::Live => return Err(EBUSY),
            RangeState::Retiring | RangeState::Retired | RangeState::Syncing => return Err(EINVAL),
        }
        let was = found.range.count().bytes();
        if keep < found.range.count() {
            let range = state.pool.trim(found.id, found.range, keep);
            found.range = range.map_err(|_| EINVAL)?;
        }
        let trimmed = was.saturating_sub(found.range.count().bytes());
        self.counters.trimmed.add(trimmed as u64);
        state.begin_write(found)
    }

    /// Copies to an image that was claimed, has every CPU see it and ends the claim.
    fn write_claimed(&self, found: &Found, source: Source) -> Result {
        self.copy(found, source)
            .inspect_err(|_| self.give_up(found, source.len))?;
        self.synchronise();
        let finalized = self.state.lock().pool.finalize(found.id, found.range);
        finalized.map_err(|_| EINVAL)
    }

    /// Ends the claim on an image after a copy of `len` bytes that failed.
    fn give_up(&self, found: &Found, len: usize) {
        // What is reserved can be trimmed, and so must be poison, and nothing that anybody ever ran.
        // Nobody else can have ended the claim.
        let _ = if found.state == RangeState::Live {
            self.state.lock().pool.finalize(found.id, found.range)
        } else {
            poke::fill_with_traps(self.kernel, &found.region, found.offset, len);
            self.state.lock().pool.abort_write(found.id, found.range)
        };
    }

    /// Writes into an image that is being made in place, such as a trampoline. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `[address, address + source.len)` is not inside one image of ours or not 4-byte
    /// aligned; `EBUSY` if somebody is writing to that image; `EFAULT` if `source` cannot be read.
    pub(crate) fn write(&self, address: usize, source: Source) -> Result {
        let found = self.claim_in_place(address, source.len);
        let found = found.inspect_err(|error| self.misused("write", address, *error))?;
        // There is no finalize for these: the first write is it.
        self.write_claimed(&found, source)?;
        self.counters.written.inc();
        Ok(())
    }

    /// Finds the image that `len` bytes from `address` are inside and claims it for the copy.
    fn claim_in_place(&self, address: usize, len: usize) -> Result<Found> {
        let mut state = self.state.lock();
        let found = state.find_writable(address, len)?;
        state.begin_write(found)
    }

    fn copy(&self, found: &Found, source: Source) -> Result {
        poke::copy(self.kernel, &found.region, found.offset, source).inspect_err(|error| {
            self.counters.copy_errors.inc();
            pr_err!("copy of {} bytes failed: {:?}\n", source.len, error);
        })
    }

    /// Frees the image that starts at `address`, finalized or not. May sleep; allocates nothing.
    ///
    /// Its bytes are BRK when this returns. An address in a pack that is not the start of an image,
    /// or whose image is being written or freed already, is reported and changes nothing.
    pub(crate) fn free(&self, address: usize) -> Freed {
        let found = {
            let mut state = self.state.lock();
            if state.owners.find(address).is_none() {
                return Freed::Foreign;
            }
            let found = state.find(address).filter(Found::is_start).ok_or(EINVAL);
            found.and_then(|found| {
                match state.pool.begin_retire(found.id, found.range.start()) {
                    Ok(_) => Ok(found),
                    // The copy under way would damage whatever comes there next.
                    Err(Refused::WrongState(RangeState::Writing)) => Err(EBUSY),
                    Err(_) => Err(EINVAL),
                }
            })
        };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.misused("free", address, error);
                return Freed::Misused;
            }
        };
        let len = found.range.count().bytes();
        poke::fill_with_traps(self.kernel, &found.region, found.start(), len);
        // Before anybody else can have the memory, so that the events are in order.
        trace::retire(address, len);
        if self
            .state
            .lock()
            .pool
            .retired(found.id, found.range)
            .is_err()
        {
            // The memory stays out of use, which is safe.
            self.misused("retire", address, EINVAL);
        }
        self.counters.freed.inc();
        self.tidy_later();
        release_module();
        Freed::Ours
    }

    /// Counts and reports a call that makes no sense. Not to be called with a lock held.
    ///
    /// The log does not show where packs are, which would also tell where the kernel is.
    pub(crate) fn misused(&self, what: &str, address: usize, error: Error) {
        self.counters.misuse.inc();
        if self.counters.misuse.get() > MAX_MESSAGES {
            return;
        }
        let found = self.state.lock().owners.find(address);
        match found {
            Some((slot, offset)) => {
                pr_err!("bad {what} at offset {offset:#x} of pack {slot} ({error:?})\n");
            }
            None => pr_err!("bad {what} of an address in none of the packs ({error:?})\n"),
        }
    }

    /// Synchronises all CPUs. Whatever was retired before becomes free by the same event.
    fn synchronise(&self) {
        let batch = self.state.lock().pool.seal_retired();
        self.synchronise_for(batch);
    }

    /// Synchronises all CPUs if something waits for it; true if something became free.
    fn reclaim(&self) -> bool {
        let batch = self.state.lock().pool.seal_retired();
        let any = batch.is_some();
        if any {
            self.synchronise_for(batch);
        }
        any
    }

    fn synchronise_for(&self, batch: Option<Batch>) {
        poke::synchronise_cpus();
        self.counters.synchronised.inc();
        let released = batch.map(|batch| self.state.lock().pool.release(batch));
        let released = released.unwrap_or_default();
        self.counters.released.add(released.ranges);
        // CAST: `usize` has 64 bits on arm64.
        trace::synchronise(released.ranges as usize, released.bytes() as usize);
    }

    /// Has [`Service::tidy_up`] run in a while.
    fn tidy_later(&self) {
        self.tidy.queue(msecs_to_jiffies(TIDY_INTERVAL));
    }

    /// Makes what was retired free and gives packs back that have been empty for a while.
    pub(crate) fn tidy_up(&self) {
        self.reclaim();
        self.state.lock().pool.age();
        self.give_back(self.config.retain_rounds);
        let stats = self.state.lock().pool.stats();
        if stats.empty_packs > 0 || stats.tallies.dying().ranges > 0 {
            self.tidy_later();
        }
    }

    /// Frees packs that have been empty for `rounds` rounds, one by one and unlocked.
    fn give_back(&self, rounds: u32) {
        loop {
            let taken = self.state.lock().take_idle(rounds);
            let Some((_pack, region)) = taken else {
                return;
            };
            self.counters.regions_freed.inc();
            trace::unmap(region.address(), region.len());
        }
    }

    /// Bytes that are mapped for packs and for large images.
    pub(crate) fn mapped_bytes(&self) -> u64 {
        self.state.lock().mapped_bytes(|_| true) as u64
    }

    /// The totals.
    pub(crate) fn stats(&self) -> PoolStats {
        self.state.lock().pool.stats()
    }

    /// The pack in `slot`, below [`MAX_PACKS`].
    pub(crate) fn pack(&self, slot: u32) -> Option<PackReport> {
        let state = self.state.lock();
        let id = state.pool.id_of_slot(slot)?;
        Some(PackReport {
            stats: state.pool.pack(id)?.stats(),
            region: state.region(id)?.clone(),
        })
    }

    /// Before removal, when nobody can call any more: synchronises all CPUs over what was freed last
    /// and gives every pack back.
    ///
    /// An image that is alive would hold the module; only `rmmod -f` gets here with some. Their
    /// packs then stay where they are for ever: better lost than unmapped under a program.
    pub(crate) fn wind_up(&self) {
        self.reclaim();
        self.give_back(0);
        let mut state = self.state.lock();
        for region in state.regions.iter_mut().filter_map(Option::take) {
            pr_crit!(
                "removed by force: {} bytes of packs are lost\n",
                region.len()
            );
            core::mem::forget(region);
        }
    }
}
