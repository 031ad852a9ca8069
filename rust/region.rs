// SPDX-License-Identifier: GPL-2.0

//! One piece of executable memory: allocate, fill with traps, seal, free.
//!
//! A region is read-only and executable from the first moment: `__vmalloc_node_range()` maps it
//! with `PAGE_KERNEL_ROX` while it holds zeroes (`UDF #0`, which trap). `set_memory_*()` refuses
//! areas with huge mappings and `vmap()` strips the execute permission, so neither can make one.
//! Debian's kernels zero what they allocate anyway (`init_on_alloc`); others are asked to.
//! It is filled with BRK through the linear map; sealing then makes that alias invalid. From then
//! on nothing maps the memory writable but the window of `poke.rs`.

use crate::a64::BRANCH_RANGE;
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use crate::plan::{
    Attempt,
    LeafLimit,
    Place,
    REGION_ALIGN, //
};
use crate::sys;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sizes::{
    SZ_256K,
    SZ_2M, //
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use pagetable::{
    Kind,
    Leaf,
    Regime, //
};

/// From how many bytes on maintenance by address gives way to `IC IALLUIS`: several times what the
/// instruction cache of a CPU holds, so that by address nothing would be left in it either.
const MUCH: usize = SZ_256K;

/// A range of virtual addresses, end excluded.
#[derive(Clone, Copy)]
struct AddressSpan {
    start: usize,
    end: usize,
}

/// Where the regions of each place begin: at random, so that the first program is not at the same
/// address in every boot, as the stock kernel's is.
///
/// The regions of a place stand side by side from there, wherever something is free: every other
/// order would use up a window of 256 MiB sooner, and page tables that the kernel never frees.
pub(crate) struct Origins {
    near: Atomic<usize>,
    far: Atomic<usize>,
}

impl Origins {
    /// Draws them. Any context.
    pub(crate) fn random(kernel: &KernelFns) -> Self {
        let origin = |span: AddressSpan| random_start(span, REGION_ALIGN);
        Self {
            near: Atomic::new(near_span(kernel, REGION_ALIGN).map_or(0, origin)),
            far: Atomic::new(origin(far_span())),
        }
    }

    fn of(&self, place: Place) -> &Atomic<usize> {
        match place {
            Place::Near => &self.near,
            Place::Far => &self.far,
        }
    }
}

/// A region whose linear alias is still writable. Dropped, it is freed.
#[must_use = "seal it, or the memory stays writable"]
pub(crate) struct OpenRegion(Region);

/// A sealed region.
///
/// # Invariants
///
/// - `[base, base + len)` is one vmalloc area that was made by [`OpenRegion::new`] and is freed by
///   nobody else; it is mapped read-only and executable all along. `base` is a multiple of
///   [`REGION_ALIGN`], `len` of the page size.
/// - If `contiguous` is some, the whole region is physically contiguous from there.
pub(crate) struct Region {
    kernel: &'static KernelFns,
    base: NonNull<u8>,
    len: usize,
    place: Place,
    contiguous: Option<u64>,
    alias_invalid: bool,
}

// SAFETY: A region is an address range that any task may read, and its methods need no thread.
unsafe impl Send for Region {}
// SAFETY: As above: `&Region` only gives out addresses and integers.
unsafe impl Sync for Region {}

/// The page tables of the running kernel, or [`None`] on a CPU whose registers we do not know.
fn regime() -> Option<Regime> {
    // SAFETY: Reads two registers that every kernel context may read.
    let (ttbr1, tcr) = unsafe { (sys::bpf_pack_helper_ttbr1(), sys::bpf_pack_helper_tcr()) };
    Regime::from_registers(ttbr1, tcr)
}

/// Reads a page-table entry through the linear map.
///
/// # Safety
///
/// `pa` must be the address of an entry of a live page table: ordinary memory in the linear map.
unsafe fn read_descriptor(pa: u64) -> Option<u64> {
    // SAFETY: By the caller's promise. The hardware may set flags in the entry meanwhile, hence the
    // volatile read.
    Some(unsafe {
        sys::bpf_pack_helper_phys_to_virt(pa)
            .cast::<u64>()
            .read_volatile()
    })
}

/// Addresses within ±128 MiB of all kernel text, if `len` bytes fit there.
fn near_span(kernel: &KernelFns, len: usize) -> Option<AddressSpan> {
    let (lowest, highest) = (sys::modules_start(), sys::vmalloc_end());
    let start = kernel.text_end.checked_sub(BRANCH_RANGE)?.max(lowest);
    let end = kernel.text_start.checked_add(BRANCH_RANGE)?.min(highest);
    let start = start.checked_next_multiple_of(REGION_ALIGN)?;
    (end.checked_sub(start)? >= len).then_some(AddressSpan { start, end })
}

/// All of vmalloc space.
fn far_span() -> AddressSpan {
    AddressSpan {
        start: sys::vmalloc_start(),
        end: sys::vmalloc_end(),
    }
}

/// A random multiple of [`REGION_ALIGN`] in `span` from where `len` bytes still fit.
fn random_start(span: AddressSpan, len: usize) -> usize {
    let room = span.end.saturating_sub(span.start).saturating_sub(len) / REGION_ALIGN;
    // SAFETY: Callable from any context.
    let random = unsafe { bindings::get_random_u32() };
    let steps = (random as usize)
        .checked_rem(room.saturating_add(1))
        .unwrap_or(0);
    span.start
        .saturating_add(steps.saturating_mul(REGION_ALIGN))
}

impl OpenRegion {
    /// Allocates and maps what `attempt` says.
    ///
    /// May sleep; call it with no lock held. What the page tables then say is up to the kernel:
    /// ask [`Region::leaf`].
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory, or no room at this place.
    pub(crate) fn new(
        kernel: &'static KernelFns,
        origins: &Origins,
        attempt: Attempt,
    ) -> Result<Self> {
        let Attempt { len, place, limit } = attempt;
        faults::at(Point::RegionMemory, ENOMEM)?;
        let span = match place {
            Place::Near => near_span(kernel, len).ok_or(ENOMEM)?,
            Place::Far => far_span(),
        };
        let origin = origins.of(place);
        let from_origin = AddressSpan {
            start: origin.load(Relaxed),
            end: span.end,
        };
        let base = vmalloc(kernel, len, from_origin, limit).or_else(|| {
            let base = vmalloc(kernel, len, span, limit)?;
            // From the origin on all is taken: begin below it from now on.
            origin.store(span.start, Relaxed);
            Some(base)
        });
        let base = base.ok_or(ENOMEM)?;
        // INVARIANT: It was just allocated with this length, and is not contiguous as far as known.
        let mut region = Region {
            kernel,
            base,
            len,
            place,
            contiguous: None,
            alias_invalid: false,
        };
        faults::at(Point::RegionLeaf, EFAULT)?;
        let leaf = region.leaf_at(0).ok_or(EFAULT)?;
        if leaf.covers(region.address() as u64, len as u64) {
            // INVARIANT: One leaf covers all of it.
            region.contiguous = Some(leaf.translate(region.address() as u64));
        }
        Ok(Self(region))
    }

    /// Whether there is memory for a leaf of 2 MiB just now. May sleep.
    ///
    /// Without, the kernel would make an area of base pages, and freeing that again changes the
    /// linear map page by page: better not to ask for it.
    pub(crate) fn huge_may_be_had() -> bool {
        // SAFETY: May sleep here; a block that had to be made is given back at once.
        unsafe {
            let order = sys::bpf_pack_helper_order(SZ_2M);
            if sys::bpf_pack_helper_has_free_block(order) {
                return true;
            }
            let page = bindings::alloc_pages_noprof(gfp_flags(), order);
            if !page.is_null() {
                bindings::__free_pages(page, order);
            }
            !page.is_null()
        }
    }

    /// Whether one TLB entry maps at least 2 MiB of it at a time.
    ///
    /// The kernel falls back to base pages by itself, so this has to be asked.
    pub(crate) fn is_huge(&self) -> bool {
        self.0.is_huge()
    }

    /// Writes BRK over the whole region, through the linear map.
    fn fill_with_traps(&self) -> Result {
        faults::at(Point::RegionTraps, EFAULT)?;
        let trap = sys::break_insn();
        self.0.for_each_piece(|pa, len| {
            // SAFETY: The memory is ours by the invariants of `Region`, and its linear alias is
            // writable until the region is sealed.
            let words = unsafe {
                core::slice::from_raw_parts_mut(
                    sys::bpf_pack_helper_phys_to_virt(pa).cast::<u32>(),
                    len / size_of::<u32>(),
                )
            };
            words.fill(trap);
            Ok(())
        })
    }

    /// Fills the region with BRK, makes that visible to instruction fetch and the linear alias
    /// invalid. May sleep.
    ///
    /// No CPU has fetched from here yet, so there is nobody to synchronise.
    ///
    /// # Errors
    ///
    /// What `set_direct_map_valid_noflush()` returns; the region is freed then.
    pub(crate) fn seal(self) -> Result<Region> {
        self.fill_with_traps()?;
        let mut region = self.0;
        region.make_fetchable(0, region.len);
        // SAFETY: Has no preconditions.
        region.alias_invalid = unsafe { (region.kernel.can_set_direct_map)() };
        if region.alias_invalid {
            region.for_each_piece(|pa, len| region.invalidate_alias(pa, len))?;
        }
        Ok(region)
    }
}

/// How to ask for memory: rather the stock allocator than the OOM killer.
fn gfp_flags() -> bindings::gfp_t {
    bindings::GFP_KERNEL | bindings::__GFP_NOWARN | 1 << bindings::___GFP_NORETRY_BIT
}

/// Allocates and maps; `None` if there is no memory or no room in `span`.
fn vmalloc(
    kernel: &KernelFns,
    len: usize,
    span: AddressSpan,
    limit: LeafLimit,
) -> Option<NonNull<u8>> {
    let gfp = gfp_flags() | bindings::__GFP_ZERO;
    // The kernel would round a length from PMD_SIZE on up to a multiple of it, and nobody would
    // fill and seal the rest. With 4 KiB pages every length is one.
    let block = sys::pmd_size();
    let whole = len < block || len % block == 0;
    // SAFETY: Returns a constant.
    let flags = unsafe { sys::bpf_pack_helper_vm_flags(limit != LeafLimit::Page && whole) };
    let prot = bindings::pgprot_t {
        pgprot: sys::prot_rox(),
    };
    // SAFETY: A fresh read-only area of vmalloc space, in a context that may sleep.
    let address = unsafe {
        (kernel.vmalloc_node_range)(
            len,
            REGION_ALIGN,
            span.start,
            span.end,
            gfp,
            prot,
            flags,
            bindings::NUMA_NO_NODE,
            vmalloc as *const c_void,
        )
    };
    NonNull::new(address.cast())
}

impl Region {
    /// The first address.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where it was asked to be.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Whether the linear alias was made invalid; otherwise the kernel's policy
    /// (`rodata=` other than full) leaves it writable.
    pub(crate) fn alias_invalid(&self) -> bool {
        self.alias_invalid
    }

    /// Whether `[offset, offset + len)` is inside.
    pub(crate) fn contains(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// The leaf that maps `offset`, read from the live page tables.
    fn leaf_at(&self, offset: usize) -> Option<Leaf> {
        let address = self.address().checked_add(offset)?;
        // CAST: `usize` has 64 bits on arm64.
        let walk = regime()?.walk(address as u64, |pa| {
            // SAFETY: The walk to a region, which is mapped throughout, only asks for entries of
            // the live page tables.
            unsafe { read_descriptor(pa) }
        });
        walk.leaf()
    }

    /// The kind of leaf that maps the region, read from the live page tables: of the first byte.
    pub(crate) fn leaf(&self) -> Option<Kind> {
        Some(self.leaf_at(0)?.kind())
    }

    /// Whether one TLB entry maps at least 2 MiB of it at a time.
    pub(crate) fn is_huge(&self) -> bool {
        self.leaf_at(0)
            .is_some_and(|leaf| leaf.span >= SZ_2M as u64)
    }

    /// The physical address of `offset`, or `None` outside.
    pub(crate) fn physical(&self, offset: usize) -> Option<u64> {
        if !self.contains(offset, 1) {
            return None;
        }
        if let Some(start) = self.contiguous {
            return start.checked_add(offset as u64);
        }
        let address = self.address().checked_add(offset)?;
        // SAFETY: By the invariants the address is in a live vmalloc area.
        let pa = unsafe {
            let page = bindings::vmalloc_to_page(address as *const c_void);
            if page.is_null() {
                return None;
            }
            sys::bpf_pack_helper_page_to_phys(page)
        };
        pa.checked_add((address & (PAGE_SIZE - 1)) as u64)
    }

    /// Cleans the data cache and invalidates the instruction cache to the point of unification, on
    /// the executable addresses of `len` bytes at `offset`.
    ///
    /// Nothing happens if they are not inside.
    pub(crate) fn make_fetchable(&self, offset: usize, len: usize) {
        if !self.contains(offset, len) {
            return;
        }
        let start = self.address().saturating_add(offset);
        let end = start.saturating_add(len);
        // SAFETY: Maintenance of a range that is mapped, as part of the region. It ends with DSB and
        // ISB.
        unsafe {
            if len < MUCH {
                sys::bpf_pack_helper_make_fetchable(start, end);
            } else {
                let clean = Some(self.kernel.dcache_clean_pou);
                sys::bpf_pack_helper_make_much_fetchable(clean, start, end);
            }
        }
    }

    /// Calls `f` with the physical address and the length of each piece that one leaf maps, in
    /// order.
    fn for_each_piece(&self, mut f: impl FnMut(u64, usize) -> Result) -> Result {
        let mut offset = 0;
        while offset < self.len {
            let leaf = self.leaf_at(offset).ok_or(EFAULT)?;
            // CAST: `usize` has 64 bits on arm64.
            let va = self.address().saturating_add(offset) as u64;
            let end = leaf.span_va().saturating_add(leaf.span);
            let len = (end.saturating_sub(va) as usize).min(self.len - offset);
            if len == 0 {
                return Err(EFAULT);
            }
            f(leaf.translate(va), len)?;
            offset = offset.saturating_add(len);
        }
        Ok(())
    }

    /// Makes the linear alias of one piece invalid.
    ///
    /// First one page of every 2 MiB: where the linear map has blocks, that splits them now. `vfree()`
    /// restores the alias page by page, and would need memory for it later, which it might not get.
    fn invalidate_alias(&self, pa: u64, len: usize) -> Result {
        for offset in (0..len).step_by(SZ_2M) {
            self.set_alias_invalid(pa.saturating_add(offset as u64), PAGE_SIZE)?;
        }
        self.set_alias_invalid(pa, len)
    }

    /// Makes the linear alias of `len` bytes at `pa` invalid; the kernel flushes it from the TLB.
    fn set_alias_invalid(&self, pa: u64, len: usize) -> Result {
        faults::at(Point::RegionAlias, ENOMEM)?;
        // CAST: At most 64 MiB in pages.
        let pages = (len / PAGE_SIZE) as c_uint;
        // SAFETY: The pages belong to this region by its invariants, and nobody uses their linear
        // alias: only this module knows them, and it writes through `poke.rs` from here on.
        // `vfree()` restores the alias because of VM_FLUSH_RESET_PERMS.
        unsafe {
            let alias = sys::bpf_pack_helper_phys_to_virt(pa);
            let page = sys::bpf_pack_helper_virt_to_page(alias);
            to_result((self.kernel.set_direct_map_valid)(page, pages, false))
        }
    }
}

impl Drop for Region {
    /// Unmaps and frees. May sleep.
    fn drop(&mut self) {
        // SAFETY: By the invariants nobody else frees the area; who drops the last reference to a
        // region has made sure that nobody executes in it.
        unsafe { sys::bpf_pack_helper_vfree(self.base.as_ptr().cast()) };
    }
}
