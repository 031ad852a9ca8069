// SPDX-License-Identifier: GPL-2.0

//! The C functions of `helpers.c` and `hook/enter_stock.S`, and the types of the kernel's functions.
//!
//! Made by bindgen from `helpers.h`, which says what each is for. Nobody else declares `extern`
//! functions of ours; who needs one wraps it. What only returns a constant is safe to call, and
//! wrapped here.

#![allow(
    clippy::all,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    improper_ctypes,
    dead_code
)]

use kernel::bindings::*;
use kernel::ffi;
use kernel::prelude::*;

include!(env!("BPF_PACK_HELPERS"));

/// Helpers that return a constant of the kernel, safe to call.
macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident -> $t:ty = $helper:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name() -> $t {
            // SAFETY: Returns a constant.
            unsafe { $helper() }
        }
    )*};
}

constants! {
    /// The instruction `AARCH64_BREAK_FAULT`.
    break_insn -> u32 = bpf_pack_helper_break_insn;
    /// Virtual address of the window's fixmap slot.
    fixmap_address -> usize = bpf_pack_helper_fixmap_address;
    /// Index of the window's fixmap slot.
    fixmap_slot -> c_int = bpf_pack_helper_fixmap_slot;
    /// `MODULES_VADDR`.
    modules_start -> usize = bpf_pack_helper_modules_start;
    /// `PMD_SIZE`.
    pmd_size -> usize = bpf_pack_helper_pmd_size;
    /// Protection bits of a writable fixmap page.
    prot_fixmap -> u64 = bpf_pack_helper_prot_fixmap;
    /// Protection bits of `PAGE_KERNEL_ROX`.
    prot_rox -> u64 = bpf_pack_helper_prot_rox;
    /// `VMALLOC_END`.
    vmalloc_end -> usize = bpf_pack_helper_vmalloc_end;
    /// `VMALLOC_START`.
    vmalloc_start -> usize = bpf_pack_helper_vmalloc_start;
}
