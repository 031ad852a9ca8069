// SPDX-License-Identifier: GPL-2.0

//! Writes to sealed memory with the functions that a kernel with CONFIG_BPF_PROG_PACK_OPS has for
//! it (asm/text-patching.h). They go page by page, with interrupts off for one of them, maintain the
//! caches once at the end, and leave it to us to synchronise CPUs.

use crate::counters::Counter;
use crate::ksym::KernelFns;
use crate::sys;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The number of windows that the kernel opened: one for each page.
pub(crate) static WINDOWS: Counter = Counter::new();
/// The most bytes that were written through one window, that is with interrupts off.
pub(crate) static LARGEST_POKE: Largest = Largest(Atomic::new(0));

/// The largest of some numbers.
pub(crate) struct Largest(Atomic<u64>);

impl Largest {
    /// Raises it to `n` if it is lower. Unlike those of a `Counter`, callers hold no lock.
    fn raise_to(&self, n: u64) {
        let mut seen = self.get();
        while seen < n {
            match self.0.cmpxchg(seen, n, Relaxed) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// Returns the number.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Returns how many bytes from `address` on one call reaches: all that are wanted.
pub(crate) fn reach(_address: usize) -> usize {
    usize::MAX
}

/// Counts the windows for `part`, as the kernel opens them.
fn count(part: Part) {
    let (mut at, mut left) = (part.address, part.len);
    while left > 0 {
        let len = (PAGE_SIZE - at % PAGE_SIZE).min(left);
        WINDOWS.inc();
        LARGEST_POKE.raise_to(len as u64);
        at = at.wrapping_add(len);
        left = left.saturating_sub(len);
    }
}

/// Bytes of a region, to write to.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// The physical address of the first.
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
    count(part);
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
    count(part);
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
