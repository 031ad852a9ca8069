// SPDX-License-Identifier: GPL-2.0

//! What a kernel with CONFIG_BPF_PROG_PACK_OPS exports for pack allocators (native/ in the
//! project's repository). It replaces the table of symbols in `ksym.rs`.

use crate::faults::{
    self,
    Point, //
};
use crate::node::Node;
use crate::sys;
use core::ops::Range;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::prelude::*;
use kernel::str::CStr;
use kernel::sync::SetOnce;

/// Whether [`KernelFns::map_region`] fills with traps and makes the alias invalid by itself.
pub(crate) const MAPS_SEALED: bool = true;

/// Does nothing. The kernel waits for the JIT's calls when the registration ends, and the module's
/// files and the modules that call it are gone before. So this kernel need not have RCU tasks.
pub(crate) fn wait_for_tasks() {}

/// The kernel's side of the module.
pub(crate) struct KernelFns {
    /// The start of the kernel's text.
    pub(crate) text_start: usize,
    /// The end of the kernel's text.
    pub(crate) text_end: usize,
}

/// What [`KernelFns::resolve`] has found.
static RESOLVED: SetOnce<KernelFns> = SetOnce::new();

impl KernelFns {
    /// Asks the kernel where its text is.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the self-tests want it so.
    pub(crate) fn resolve(_also: Option<&CStr>) -> Result<&'static Self> {
        faults::at(Point::Symbol, ENOENT)?;
        let (mut text_start, mut text_end) = (0usize, 0usize);
        // SAFETY: It writes two integers.
        unsafe { sys::arm64_kernel_text(&mut text_start, &mut text_end) };
        RESOLVED.populate(Self {
            text_start,
            text_end,
        });
        RESOLVED.as_ref().ok_or(EINVAL)
    }

    /// The kernel's side, once [`KernelFns::resolve`] has succeeded.
    #[cfg(CONFIG_ARM64_BPF_PACK_TEST)]
    pub(crate) fn resolved() -> Option<&'static Self> {
        RESOLVED.as_ref()
    }

    /// Maps `len` bytes, read-only and executable, full of traps and without a writable alias, at a
    /// multiple of 2 MiB in `span`. May sleep. With larger leaves than a page if `large`. On `node` if
    /// that has such memory, or on another. /proc/vmallocinfo names `caller`.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or no room; `EAGAIN` if the memory is not as it has to be.
    ///
    /// # Safety
    ///
    /// The span must be of addresses for vmalloc areas.
    pub(crate) unsafe fn map_region(
        &self,
        len: usize,
        span: Range<usize>,
        gfp: bindings::gfp_t,
        large: bool,
        node: Node,
        caller: *const c_void,
    ) -> Result<NonNull<u8>> {
        // SAFETY: The caller promises that the addresses are for such areas, and has a context that
        // may sleep.
        let base = from_err_ptr(unsafe {
            sys::arm64_exec_block_alloc(
                len,
                span.start,
                span.end,
                gfp,
                large,
                node.number(),
                caller,
            )
        })?;
        NonNull::new(base.cast()).ok_or(ENOMEM)
    }

    /// Does nothing: [`KernelFns::free_region`] unmaps.
    ///
    /// # Safety
    ///
    /// None: the other binding has some.
    pub(crate) unsafe fn unmap_region(&self, _start: usize, _end: usize) {}

    /// Unmaps a region, makes its aliases valid and frees it. May sleep.
    ///
    /// # Safety
    ///
    /// It must be one of [`KernelFns::map_region`]. Nobody may use it any more.
    pub(crate) unsafe fn free_region(&self, base: *const c_void) {
        // SAFETY: By the caller's promise the area is ours.
        unsafe { sys::arm64_exec_block_free(base) }
    }

    /// Whether the kernel's policy lets the linear map be changed.
    pub(crate) fn can_set_direct_map(&self) -> bool {
        // SAFETY: It has no preconditions.
        !unsafe { sys::arm64_exec_block_has_alias() }
    }

    /// Makes the aliases of `pages` pages from the executable address `address` on invalid, or valid
    /// again. May sleep.
    ///
    /// # Safety
    ///
    /// They must be pages of a region, whose aliases nobody uses.
    pub(crate) unsafe fn set_alias(
        &self,
        address: usize,
        _page: *mut bindings::page,
        pages: c_uint,
        valid: bool,
    ) -> c_int {
        // SAFETY: By the caller's promise nobody uses the aliases.
        unsafe { sys::arm64_exec_block_set_alias(address as *const c_void, pages, valid) }
    }

    /// Returns the bytes that the kernel has charged for JIT images. It compares them with
    /// `net.core.bpf_jit_limit`.
    pub(crate) fn jit_charged(&self) -> i64 {
        // SAFETY: It has no preconditions.
        // CAST: The kernel's counter is signed.
        unsafe { bindings::bpf_jit_charged_modmem() as i64 }
    }
}
