// SPDX-License-Identifier: GPL-2.0

//! Access to the memory that cases look at.

use crate::a64::{
    INSN_SIZE,
    TRAP, //
};
use crate::ksym::KernelFns;
use crate::poke::{
    Source,
    Writable, //
};
use crate::region::Region;
use crate::sys;
use kernel::bindings;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

/// The word at `address`; [`None`] if it cannot be read.
pub(super) fn word(address: usize) -> Option<u32> {
    let mut word = 0u32;
    // SAFETY: `word` has room for the bytes, and the function returns an error for an address that
    // cannot be read.
    let error = unsafe {
        bindings::copy_from_kernel_nofault(
            (&raw mut word).cast(),
            address as *const c_void,
            INSN_SIZE,
        )
    };
    (error == 0).then_some(word)
}

/// Whether `[start, end)` is filled with traps.
pub(super) fn is_traps(start: usize, end: usize) -> bool {
    let trap = Some(TRAP);
    (start..end)
        .step_by(INSN_SIZE)
        .all(|address| word(address) == trap)
}

/// Whether the words from `start` on are these.
pub(super) fn holds(start: usize, words: &[u32]) -> bool {
    let addresses = (start..).step_by(INSN_SIZE);
    addresses
        .zip(words)
        .all(|(address, expected)| word(address) == Some(*expected))
}

/// The right to write to a part of a region that the case has made.
pub(super) fn writable<'a>(
    kernel: &'a KernelFns,
    region: &'a mut Region,
    offset: usize,
    len: usize,
) -> Result<Writable<'a>> {
    // SAFETY: The case made the region and lends it: nobody else writes there, and nobody knows it
    // who could execute it.
    unsafe { Writable::new(kernel, region, offset, len) }
}

/// An address of vmalloc space, and the memory that it mapped.
pub(super) struct Freed {
    pub(super) address: usize,
    pub(super) pa: u64,
}

/// Writes to `len` bytes of vmalloc memory and frees them. The kernel leaves the TLB as it is.
pub(super) fn freed_memory(len: usize) -> Result<KVec<Freed>> {
    let mut memory = VVec::with_capacity(len, GFP_KERNEL)?;
    let mut freed = KVec::with_capacity(len / PAGE_SIZE, GFP_KERNEL)?;
    memory.extend_with(len, 1u8, GFP_KERNEL)?;
    for page in memory.chunks(PAGE_SIZE) {
        // SAFETY: The address is in a live vmalloc area.
        let pa = unsafe {
            sys::bpf_pack_helper_page_to_phys(bindings::vmalloc_to_page(page.as_ptr().cast()))
        };
        let address = page.as_ptr() as usize;
        freed.push(Freed { address, pa }, GFP_KERNEL)?;
    }
    Ok(freed)
}

/// A source of `len` bytes that cannot be read.
pub(super) fn unreadable(len: usize) -> Source<'static> {
    // SAFETY: Nothing can be read there.
    unsafe { Source::new(INSN_SIZE as *const u8, len) }
}
