// SPDX-License-Identifier: GPL-2.0

//! Writes to one page of sealed memory with the functions that a kernel with
//! CONFIG_BPF_PROG_PACK_OPS has for it (asm/text-patching.h). They maintain the caches by
//! themselves and leave it to us to synchronise CPUs.

use crate::ksym::KernelFns;
use crate::sys;
use kernel::prelude::*;

/// Bytes of one page of a region, to write to.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// The physical address.
    pub(crate) pa: u64,
    /// The executable address.
    pub(crate) address: usize,
    /// Their number, a multiple of 4.
    pub(crate) len: usize,
}

/// What a function returns that returns null if it fails.
fn written(address: *mut c_void) -> Result {
    if address.is_null() {
        Err(EFAULT)
    } else {
        Ok(())
    }
}

/// Copies the bytes from `from` on to `part`, and maintains the caches.
///
/// # Errors
///
/// `EFAULT` if `from` cannot be read. A part may be written then.
///
/// # Safety
///
/// The caller must have the right to write to `part` (see [`Writable`](crate::poke::Writable)).
pub(crate) unsafe fn copy(
    _kernel: &KernelFns,
    part: Part,
    from: *const u8,
    _readable: bool,
) -> Result {
    let (to, from) = (part.address as *mut c_void, from.cast_mut().cast());
    // SAFETY: The caller may write there. The function only reads `from`, which need not be
    // readable.
    written(unsafe { sys::aarch64_insn_copy_nosync(to, from, part.len) })
}

/// Writes `trap` to all of `part`, and maintains the caches.
///
/// # Errors
///
/// `EFAULT` if the kernel finds no memory there.
///
/// # Safety
///
/// As for [`copy`].
pub(crate) unsafe fn fill(_kernel: &KernelFns, part: Part, trap: u32) -> Result {
    // SAFETY: The caller may write there.
    written(unsafe { sys::aarch64_insn_set_nosync(part.address as *mut c_void, trap, part.len) })
}

/// Does nothing: what wrote has maintained the caches.
///
/// # Safety
///
/// None: the other binding has some.
pub(crate) unsafe fn make_fetchable(_kernel: &KernelFns, _start: usize, _end: usize) {}

/// Makes every online CPU, this one included, take a context synchronisation event.
///
/// # Safety
///
/// Interrupts must be on.
pub(crate) unsafe fn synchronise_cpus() {
    // SAFETY: The caller promises that interrupts are on.
    unsafe { sys::aarch64_insn_sync() }
}
