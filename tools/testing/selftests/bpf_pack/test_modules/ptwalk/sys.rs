// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C functions in `helpers.c`, and of exported kernel functions that
//! `kernel::bindings` lacks.

use kernel::prelude::*;

extern "C" {
    /// The register TTBR1_EL1.
    pub(crate) fn ptwalk_helper_ttbr1() -> u64;
    /// The register TCR_EL1.
    pub(crate) fn ptwalk_helper_tcr() -> u64;
    /// Whether permissions come from PIR_EL1.
    pub(crate) fn ptwalk_helper_permission_indirection() -> bool;
    /// `pfn_is_map_memory()`: memory that the linear map has.
    pub(crate) fn ptwalk_helper_is_memory(pa: u64) -> bool;
    /// `phys_to_virt()`: the linear-map address.
    pub(crate) fn ptwalk_helper_phys_to_virt(pa: u64) -> *const c_void;
    /// `get_page_unless_zero()`.
    pub(crate) fn ptwalk_helper_get_page(pa: u64) -> bool;
    /// `put_page()`.
    pub(crate) fn ptwalk_helper_put_page(pa: u64);
    /// `vmap()` of one page with PAGE_KERNEL.
    pub(crate) fn ptwalk_helper_map_writable(pa: u64) -> *mut c_void;
    /// `VMALLOC_START`.
    pub(crate) fn ptwalk_helper_vmalloc_start() -> usize;
    /// `VMALLOC_END`.
    pub(crate) fn ptwalk_helper_vmalloc_end() -> usize;
    /// `PAGE_OFFSET`: the start of the linear map.
    pub(crate) fn ptwalk_helper_linear_start() -> usize;
    /// `PAGE_END`: the end of the linear map.
    pub(crate) fn ptwalk_helper_linear_end() -> usize;
    /// Protection bits of `PAGE_KERNEL_EXEC`.
    pub(crate) fn ptwalk_helper_prot_write_execute() -> u64;

    /// The kernel's function: frees what it mapped; NULL is ignored.
    pub(crate) fn vfree(addr: *const c_void);
    /// The kernel's function: removes a mapping of `vmap()`.
    pub(crate) fn vunmap(addr: *const c_void);
}
