// SPDX-License-Identifier: GPL-2.0

//! The C functions of `helpers.c` and `hook/enter_stock.S`, and the types of the kernel's
//! functions.
//!
//! bindgen makes the declarations from `helpers.h`, which says what each function is for. Besides
//! trace events (`trace.rs`), no other file declares `extern` functions. Helpers that return a
//! constant are safe to call: their wrappers are here.

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

/// The kernel's state of a verification. Rust only passes pointers to it on.
#[repr(C)]
pub(crate) struct bpf_verifier_env {
    _opaque: [u8; 0],
}

include!(env!("BPF_PACK_HELPERS"));

/// Returns a random number below `limit`; 0 if that is 0. Any context.
pub(crate) fn random_below(limit: u32) -> u32 {
    // SAFETY: It has no preconditions, and any context may call it.
    let random = u64::from(unsafe { get_random_u32() });
    // CAST: The product is below `limit` << 32.
    (random.saturating_mul(u64::from(limit)) >> 32) as u32
}

/// Returns the number of the memory node of the CPU that the task is on. Any context.
pub(crate) fn this_node() -> ffi::c_int {
    // SAFETY: It has no preconditions.
    unsafe { bpf_pack_helper_this_node() }
}

/// Returns a number that differs after an interrupt on this CPU or after the task was switched out.
/// Process context.
#[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
pub(crate) fn disturbances() -> u64 {
    // SAFETY: It has no preconditions.
    unsafe { bpf_pack_unit_disturbances() }
}

/// Defines safe wrappers of helpers that return a constant of the kernel.
macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident -> $t:ty = $helper:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) fn $name() -> $t {
            // SAFETY: The helper returns a constant and has no preconditions.
            unsafe { $helper() }
        }
    )*};
}

constants! {
    /// `MODULES_VADDR`.
    modules_start -> usize = bpf_pack_helper_modules_start;
    /// All numbers of memory nodes are below this; 1 if there is one node.
    node_numbers -> u32 = bpf_pack_helper_node_numbers;
    /// `PMD_SIZE`.
    pmd_size -> usize = bpf_pack_helper_pmd_size;
    /// The protection bits of `PAGE_KERNEL_ROX`.
    prot_rox -> u64 = bpf_pack_helper_prot_rox;
    /// The protection bits of `FIXMAP_PAGE_NORMAL`.
    prot_window -> u64 = bpf_pack_helper_prot_window;
    /// `VMALLOC_END`.
    vmalloc_end -> usize = bpf_pack_helper_vmalloc_end;
    /// `VMALLOC_START`.
    vmalloc_start -> usize = bpf_pack_helper_vmalloc_start;
}
