// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C functions in `helpers.c`.
//!
//! Nobody else declares `extern` functions of ours; who needs one wraps it.

use kernel::bindings;
use kernel::prelude::*;

// Pointers to structs that bindgen leaves empty are only passed on.
#[expect(improper_ctypes)]
extern "C" {
    /// Protection bits of `PAGE_KERNEL_ROX`.
    pub(crate) fn bpf_pack_helper_prot_rox() -> u64;
    /// Protection bits of a writable fixmap page.
    pub(crate) fn bpf_pack_helper_prot_fixmap() -> u64;
    /// Index of `FIX_TEXT_POKE0`.
    pub(crate) fn bpf_pack_helper_fixmap_slot() -> c_int;
    /// Virtual address of `FIX_TEXT_POKE0`.
    pub(crate) fn bpf_pack_helper_fixmap_address() -> usize;
    /// The instruction `AARCH64_BREAK_FAULT`.
    pub(crate) fn bpf_pack_helper_break_insn() -> u32;
    /// `MODULES_VADDR`.
    pub(crate) fn bpf_pack_helper_modules_start() -> usize;
    /// `VMALLOC_START`.
    pub(crate) fn bpf_pack_helper_vmalloc_start() -> usize;
    /// `VMALLOC_END`.
    pub(crate) fn bpf_pack_helper_vmalloc_end() -> usize;
    /// The flags of a region's vmalloc area, with `VM_ALLOW_HUGE_VMAP` if `huge`.
    pub(crate) fn bpf_pack_helper_vm_flags(huge: bool) -> usize;
    /// `PMD_SIZE`.
    pub(crate) fn bpf_pack_helper_pmd_size() -> usize;
    /// `get_order()`: of how many pages a block of `size` bytes is, as a power of two.
    pub(crate) fn bpf_pack_helper_order(size: usize) -> c_uint;
    /// `vfree()`. Not `kvfree()`, which takes an address among the modules for slab memory.
    pub(crate) fn bpf_pack_helper_vfree(address: *const c_void);
    /// `raw_spin_lock_irqsave()`; returns the flags for the unlock.
    pub(crate) fn bpf_pack_helper_lock_irqsave(lock: *mut bindings::raw_spinlock_t) -> usize;
    /// `raw_spin_unlock_irqrestore()`.
    pub(crate) fn bpf_pack_helper_unlock_irqrestore(
        lock: *mut bindings::raw_spinlock_t,
        flags: usize,
    );
    /// `flush_tlb_kernel_range()`.
    pub(crate) fn bpf_pack_helper_flush_tlb(start: usize, end: usize);
    /// `page_to_phys()`.
    pub(crate) fn bpf_pack_helper_page_to_phys(page: *mut bindings::page) -> u64;
    /// `virt_to_page()`, of a linear-map address.
    pub(crate) fn bpf_pack_helper_virt_to_page(address: *const c_void) -> *mut bindings::page;
    /// `phys_to_virt()`: the linear-map address.
    pub(crate) fn bpf_pack_helper_phys_to_virt(pa: u64) -> *mut c_void;
    /// The register TTBR1_EL1.
    pub(crate) fn bpf_pack_helper_ttbr1() -> u64;
    /// The register TCR_EL1.
    pub(crate) fn bpf_pack_helper_tcr() -> u64;
    /// `caches_clean_inval_pou()`. A function of ours, because the test of the order of things probes
    /// it, and the kernel lets nobody probe its own.
    pub(crate) fn bpf_pack_helper_make_fetchable(start: usize, end: usize);
    /// `ISB` on every online CPU, this one included; waits for all of them.
    pub(crate) fn bpf_pack_helper_synchronise_cpus();
    /// `within_module(addr, THIS_MODULE)`; not traced.
    pub(crate) fn bpf_pack_helper_within_module(addr: usize) -> bool;
    /// `ftrace_regs_set_instruction_pointer()`; not traced.
    pub(crate) fn bpf_pack_helper_set_ip(fregs: *mut bindings::ftrace_regs, ip: usize);
}
