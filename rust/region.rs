// SPDX-License-Identifier: GPL-2.0

//! One region: a piece of executable memory that is allocated, filled with traps, sealed and freed.
//!
//! `__vmalloc_node_range()` maps a region read-only and executable (`PAGE_KERNEL_ROX`) from the
//! start, filled with zeroes, which are the trapping instruction `UDF #0`. No other way leads
//! there: `set_memory_*()` refuses areas with huge mappings, and `vmap()` removes the execute
//! permission. `__GFP_ZERO` costs nothing on Debian's kernels, which zero all allocations
//! (`init_on_alloc`). We fill a region with BRK through its alias in the linear map, and seal it by
//! making that alias invalid. From then on only `window.rs` maps the memory writable.
//!
//! `VM_FLUSH_RESET_PERMS` would have `vfree()` restore the alias page by page, and so split the
//! blocks of the linear map. We do what it is for ourselves, and in the same order (`Region::drop`).

use crate::a64::{
    BRANCH_RANGE,
    TRAP, //
};
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::{
    self,
    KernelFns, //
};
use crate::node::Node;
use crate::plan::{
    Attempt,
    LeafLimit,
    Place,
    REGION_ALIGN, //
};
use crate::sys;
use crate::window;
use alias::Alias;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sizes::SZ_2M;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use pagetable::{
    Kind,
    Leaf,
    Regime, //
};

mod alias;

pub(crate) use alias::count_invalid;

/// The addresses that are tried for the first region of a place. More than a fifth of those near the
/// kernel are in its image.
const DRAWS: u32 = 8;

/// A range of virtual addresses. `end` is not in it.
#[derive(Clone, Copy)]
struct AddressSpan {
    start: usize,
    end: usize,
}

/// The address of each place at which the search for room begins, or 0 before its first region. It
/// is random: the stock kernel's first program is at the same address in every boot, and ours must not
/// be.
///
/// From there on each region takes the first free room, so that regions are neighbours. Any other
/// order would fill the 256 MiB near the kernel sooner, and would use more page tables, which the
/// kernel never frees.
pub(crate) struct Origins {
    near: Atomic<usize>,
    far: Atomic<usize>,
}

impl Origins {
    /// Makes origins that the first regions draw.
    pub(crate) const fn new() -> Self {
        Self {
            near: Atomic::new(0),
            far: Atomic::new(0),
        }
    }

    /// Returns where the search for room at a place begins, or 0 before its first region.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn start(&self, place: Place) -> usize {
        self.of(place).load(Relaxed)
    }

    fn of(&self, place: Place) -> &Atomic<usize> {
        match place {
            Place::Near => &self.near,
            Place::Far => &self.far,
        }
    }
}

/// A region whose linear alias is still writable. Dropping it frees it.
#[must_use = "seal it, or the memory stays writable"]
pub(crate) struct OpenRegion(Region);

/// A sealed region.
///
/// # Invariants
///
/// - `[base, base + len)` is one vmalloc area, which [`OpenRegion::new`] has made and only `drop`
///   frees. It is mapped read-only and executable as long as it exists. `base` is a multiple of
///   [`REGION_ALIGN`], and `len` of the page size.
/// - If `contiguous` is some address, the region is physically contiguous and begins there.
pub(crate) struct Region {
    kernel: &'static KernelFns,
    base: NonNull<u8>,
    len: usize,
    place: Place,
    contiguous: Option<u64>,
    alias: Alias,
}

// SAFETY: Any task may read and free the area, on any CPU.
unsafe impl Send for Region {}
// SAFETY: The methods of `&Region` only read the fields and page tables, and maintain caches.
unsafe impl Sync for Region {}

/// Returns how the running kernel translates its addresses, or [`None`] if the crate `pagetable`
/// does not know such registers.
fn regime() -> Option<Regime> {
    // SAFETY: The helpers read registers that the kernel may read in every context.
    let (ttbr1, tcr) = unsafe { (sys::bpf_pack_helper_ttbr1(), sys::bpf_pack_helper_tcr()) };
    Regime::from_registers(ttbr1, tcr)
}

/// Reads a page-table entry through the linear map.
///
/// # Safety
///
/// `pa` must be the physical address of an entry of a live page table, which is in the linear map.
unsafe fn read_descriptor(pa: u64) -> Option<u64> {
    // SAFETY: The caller promises an aligned word of memory in the linear map. The read is volatile
    // because hardware may set flags in the entry meanwhile.
    Some(unsafe {
        sys::bpf_pack_helper_phys_to_virt(pa)
            .cast::<u64>()
            .read_volatile()
    })
}

/// Returns the addresses within ±128 MiB of all kernel text, if `len` bytes fit there.
fn near_span(kernel: &KernelFns, len: usize) -> Option<AddressSpan> {
    let (lowest, highest) = (sys::modules_start(), sys::vmalloc_end());
    let start = kernel.text_end.checked_sub(BRANCH_RANGE)?.max(lowest);
    let end = kernel.text_start.checked_add(BRANCH_RANGE)?.min(highest);
    let start = start.checked_next_multiple_of(REGION_ALIGN)?;
    (end.checked_sub(start)? >= len).then_some(AddressSpan { start, end })
}

/// Returns all of vmalloc space.
fn far_span() -> AddressSpan {
    AddressSpan {
        start: sys::vmalloc_start(),
        end: sys::vmalloc_end(),
    }
}

/// Returns a random multiple of [`REGION_ALIGN`] in `span` at which `len` bytes fit.
fn random_start(span: AddressSpan, len: usize) -> usize {
    let room = span.end.saturating_sub(span.start).saturating_sub(len) / REGION_ALIGN;
    let places = u32::try_from(room.saturating_add(1)).unwrap_or(u32::MAX);
    // CAST: `usize` has 64 bits on arm64.
    let steps = sys::random_below(places) as usize;
    span.start
        .saturating_add(steps.saturating_mul(REGION_ALIGN))
}

/// Allocates `len` bytes in a part of `span`, from `origin` on if there is room. Without an origin it
/// draws one, and notes it if it has allocated.
///
/// From an origin in the kernel's image on, the region would be at the image's end. That address would be
/// the best guess, so another one is drawn, up to [`DRAWS`] in all.
///
/// # Errors
///
/// Those of `allocate`. `ENOMEM` may mean that a span has no room.
fn place_in(
    span: AddressSpan,
    len: usize,
    origin: &Atomic<usize>,
    allocate: impl Fn(AddressSpan) -> Result<NonNull<u8>>,
) -> Result<NonNull<u8>> {
    let is_settled = |result: &Result<_>| !matches!(result, Err(error) if *error == ENOMEM);
    let mut start = origin.load(Relaxed);
    if start == 0 {
        start = random_start(span, len);
        // Without memory no draw succeeds.
        let draws = if OpenRegion::has_huge_memory() {
            DRAWS
        } else {
            0
        };
        for _ in 0..draws {
            let end = start.saturating_add(len);
            let result = allocate(AddressSpan { start, end });
            if is_settled(&result) {
                origin.store(start, Relaxed);
                return result;
            }
            start = random_start(span, len);
        }
    }
    let result = allocate(AddressSpan { start, ..span });
    if is_settled(&result) {
        origin.store(start, Relaxed);
        return result;
    }
    let base = allocate(span)?;
    // There is no room from the origin on. Later searches begin at the start of the place.
    origin.store(span.start, Relaxed);
    Ok(base)
}

impl OpenRegion {
    /// Allocates and maps a region as `attempt` says, in memory of `node` if that has enough. May
    /// sleep; call it with no lock held.
    ///
    /// The kernel may choose a smaller leaf: [`Region::leaf`] reads it from the page tables.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory, or no room at this place; `EAGAIN` if memory was there, but
    /// not as the kernel wants it; `EFAULT` if the page tables cannot be read.
    pub(crate) fn new(
        kernel: &'static KernelFns,
        origins: &Origins,
        attempt: Attempt,
        node: Node,
    ) -> Result<Self> {
        let Attempt { len, place, limit } = attempt;
        faults::at(Point::RegionMemory, ENOMEM)?;
        let span = match place {
            Place::Near => near_span(kernel, len).ok_or(ENOMEM)?,
            Place::Far => far_span(),
        };
        let mut alias = Alias::new(kernel);
        if ksym::MAPS_SEALED && kernel.can_set_direct_map() {
            alias.announce();
        }
        let allocate = |span| allocate(kernel, len, span, limit, node);
        let base = place_in(span, len, origins.of(place), allocate);
        let base = base.inspect_err(|_| alias.forget())?;
        // INVARIANT: The area was just allocated with this length and alignment.
        let mut region = Region {
            kernel,
            base,
            len,
            place,
            contiguous: None,
            alias,
        };
        faults::at(Point::RegionLeaf, EFAULT)?;
        region.find_alias()?;
        // INVARIANT: The alias is that of the whole region.
        region.contiguous = region.alias.contiguous();
        Ok(Self(region))
    }

    /// Whether the kernel has memory for a leaf of 2 MiB now. May sleep.
    ///
    /// If it has none, it would map an area with base pages. We would free that area again, which
    /// changes the linear map page by page. So we ask first.
    pub(crate) fn has_huge_memory() -> bool {
        // SAFETY: Allocating needs a context that may sleep, as callers have.
        unsafe {
            let order = sys::bpf_pack_helper_order(SZ_2M);
            sys::bpf_pack_helper_has_free_block(order)
                || sys::bpf_pack_helper_can_allocate(gfp_flags(), order)
        }
    }

    /// Whether one TLB entry maps at least 2 MiB of it at a time.
    ///
    /// The kernel may have fallen back to base pages.
    pub(crate) fn is_huge(&self) -> bool {
        self.0.is_huge()
    }

    /// The region.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn region(&self) -> &Region {
        &self.0
    }

    /// Fills the region with BRK, makes that visible to instruction fetch, and makes the linear
    /// alias invalid. May sleep.
    ///
    /// No CPU has fetched from the region yet, so no CPU needs a synchronisation. The memory may have
    /// been vmalloc memory of others: `vfree()` leaves writable entries in the TLBs for later (mm/vmalloc.c,
    /// `free_vmap_area_noflush()`), so these are invalidated here, as `set_memory_rox()` does for the
    /// stock kernel's packs (arch/arm64/mm/pageattr.c, `change_memory_common()`).
    ///
    /// # Errors
    ///
    /// Those of `set_direct_map_valid_noflush()`. The region is freed then.
    pub(crate) fn seal(self) -> Result<Region> {
        faults::at(Point::RegionTraps, EFAULT)?;
        let mut region = self.0;
        if ksym::MAPS_SEALED {
            faults::at(Point::RegionAlias, ENOMEM)?;
            if region.kernel.can_set_direct_map() {
                region.alias.note_invalid();
            }
            return Ok(region);
        }
        // SAFETY: It needs a context that may sleep, as callers have.
        unsafe { sys::bpf_pack_helper_unmap_aliases() };
        region.alias.fill(TRAP);
        region.make_fetchable(0, region.len);
        if region.kernel.can_set_direct_map() {
            region.alias.invalidate()?;
        }
        Ok(region)
    }
}

/// The flags of all allocations of pages for regions. They fail rather than invoke the OOM killer: the
/// stock allocator then serves. Tables for the linear map, where one of its leaves is split, are the
/// kernel's own allocations without such flags (arch/arm64/mm/mmu.c, `pgd_pgtable_alloc_init_mm_gfp()`),
/// as for the stock kernel's packs.
fn gfp_flags() -> bindings::gfp_t {
    bindings::GFP_KERNEL | bindings::__GFP_NOWARN | 1 << bindings::___GFP_NORETRY_BIT
}

/// Allocates and maps `len` bytes in `span`.
///
/// # Errors
///
/// Those of [`KernelFns::map_region`].
///
/// /proc/vmallocinfo shows a region under the name of this function. People who watch the memory of
/// packs look for `bpf_prog_pack`, under which it shows the stock kernel's.
#[export_name = "bpf_prog_pack_region"]
fn allocate(
    kernel: &KernelFns,
    len: usize,
    span: AddressSpan,
    limit: LeafLimit,
    node: Node,
) -> Result<NonNull<u8>> {
    let gfp = gfp_flags();
    let large = limit != LeafLimit::Page;
    let span = span.start..span.end;
    // SAFETY: It needs a context that may sleep, as callers have. It makes a new area, read-only
    // and executable, in a span of vmalloc space or of the modules' space.
    unsafe { kernel.map_region(len, span, gfp, large, node, allocate as *const c_void) }
}

impl Region {
    /// The address of the first byte.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The memory node of its first byte.
    pub(crate) fn node(&self) -> Option<Node> {
        // SAFETY: The memory is the region's.
        let number = unsafe { sys::bpf_pack_helper_node_of(self.physical(0)?) };
        Some(Node::new(number))
    }

    /// Whether the linear alias is invalid. It is writable if the kernel's policy leaves it so
    /// (`rodata=` other than full).
    pub(crate) fn alias_invalid(&self) -> bool {
        self.alias.is_invalid()
    }

    /// Makes the linear alias valid, and so writable, for a while. Allocates nothing.
    ///
    /// Only for a system that is about to sleep: no other task runs until [`Region::hide_alias`].
    ///
    /// # Errors
    ///
    /// Those of `set_direct_map_valid_noflush()`. The alias may be valid in part then.
    pub(crate) fn expose_alias(&self) -> Result {
        self.alias.expose()
    }

    /// Makes the linear alias as it was before [`Region::expose_alias`]. Allocates nothing.
    ///
    /// # Errors
    ///
    /// Those of `set_direct_map_valid_noflush()`. The alias may be valid in part then.
    pub(crate) fn hide_alias(&self) -> Result {
        self.alias.hide()
    }

    /// Whether `[offset, offset + len)` is in the region.
    pub(crate) fn contains(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// Reads the leaf that maps `offset` from the live page tables.
    fn leaf_at(&self, offset: usize) -> Option<Leaf> {
        let address = self.address().checked_add(offset)?;
        // CAST: `usize` has 64 bits on arm64.
        let walk = regime()?.walk(address as u64, |pa| {
            // SAFETY: The walk asks for entries of the tables on the way to `address`. The kernel
            // frees none of these while the region is mapped.
            unsafe { read_descriptor(pa) }
        });
        walk.leaf()
    }

    /// Reads the kind of the leaf that maps the first byte from the live page tables.
    pub(crate) fn leaf(&self) -> Option<Kind> {
        Some(self.leaf_at(0)?.kind())
    }

    /// Whether one TLB entry maps at least 2 MiB of it at a time.
    pub(crate) fn is_huge(&self) -> bool {
        self.leaf_at(0)
            .is_some_and(|leaf| leaf.span >= SZ_2M as u64)
    }

    /// The physical address of the byte at `offset`, or [`None`] if it is not in the region.
    pub(crate) fn physical(&self, offset: usize) -> Option<u64> {
        if offset >= self.len {
            return None;
        }
        if let Some(start) = self.contiguous {
            return Some(start.wrapping_add(offset as u64));
        }
        let address = self.address().checked_add(offset)?;
        // SAFETY: By the invariants the address is in a live vmalloc area. The page, if there is
        // one, belongs to it.
        let pa = unsafe {
            let page = bindings::vmalloc_to_page(address as *const c_void);
            if page.is_null() {
                return None;
            }
            sys::bpf_pack_helper_page_to_phys(page)
        };
        pa.checked_add((address & (PAGE_SIZE - 1)) as u64)
    }

    /// Cleans the data cache and invalidates the instruction cache to the point of unification, for
    /// the executable addresses of `len` bytes at `offset`.
    ///
    /// Does nothing if they are not all in the region.
    pub(crate) fn make_fetchable(&self, offset: usize, len: usize) {
        if !self.contains(offset, len) {
            return;
        }
        let start = self.address().wrapping_add(offset);
        // SAFETY: The range is in the region, so that it is mapped.
        unsafe { window::make_fetchable(self.kernel, start, start.wrapping_add(len)) };
    }

    /// Whether the linear alias of the physical page at `pa` is valid in the live page tables.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn is_alias_valid(pa: u64) -> Option<bool> {
        // SAFETY: It only computes an address.
        let alias = unsafe { sys::bpf_pack_helper_phys_to_virt(pa) };
        // CAST: `usize` has 64 bits on arm64.
        let walk = regime()?.walk(alias as u64, |pa| {
            // SAFETY: The kernel frees no table of the linear map.
            unsafe { read_descriptor(pa) }
        });
        Some(walk.leaf().is_some())
    }

    /// Reads the memory of the region from the page tables.
    fn find_alias(&mut self) -> Result {
        let mut offset = 0;
        while offset < self.len {
            let leaf = self.leaf_at(offset).ok_or(EFAULT)?;
            let address = self.address().saturating_add(offset);
            // CAST: `usize` has 64 bits on arm64.
            let va = address as u64;
            let end = leaf.span_va().saturating_add(leaf.span);
            let len = (end.saturating_sub(va) as usize).min(self.len - offset);
            if len == 0 {
                return Err(EFAULT);
            }
            // SAFETY: By the invariants the leaf maps memory of this region, which only this
            // module knows.
            unsafe { self.alias.push(address, leaf.translate(va), len)? };
            offset = offset.saturating_add(len);
        }
        Ok(())
    }
}

impl Drop for Region {
    /// Unmaps and frees the region. May sleep; allocates nothing.
    ///
    /// First no TLB holds the executable mapping any more. Then the alias becomes valid, and so
    /// writable. Only then the pages go back, whose next owner uses them through the alias.
    fn drop(&mut self) {
        let end = self.address().saturating_add(self.len);
        // SAFETY: The range is one vmalloc area of ours. Nobody executes there: it has had no
        // image, or the books gave it up after all CPUs were synchronised for its last image.
        unsafe { self.kernel.unmap_region(self.address(), end) };
        if !ksym::MAPS_SEALED {
            if let Err(error) = self.alias.validate() {
                // Their next owner would fault on pages without alias: they are never freed.
                pr_crit!("linear map: {:?}: {} bytes are lost\n", error, self.len);
                return;
            }
        }
        // SAFETY: By the invariants nobody else frees the area.
        unsafe { self.kernel.free_region(self.base.as_ptr().cast()) };
        // Where the kernel seals, freeing has made it valid, in the same order.
        self.alias.forget();
    }
}
