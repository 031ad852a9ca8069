// SPDX-License-Identifier: GPL-2.0

//! The only writer to sealed memory, and the maintenance that makes what was written executable.
//!
//! An analogue of `aarch64_insn_copy()` and `aarch64_insn_set()` (arch/arm64/kernel/patching.c).
//! The fixmap slot FIX_TEXT_POKE0 belongs to `patch_lock` of that file: ftrace, kprobes and jump
//! labels write through the same slot, and a lock of our own would corrupt kernel text. So this
//! takes that very lock, for one base page at a time: interrupts are off for one page of copying,
//! where the stock kernel has them off for a whole image.
//!
//! Context synchronisation is separate from writing ([`synchronise_cpus`]), so that many writes
//! can share one.

use crate::counters::Counter;
use crate::ksym::{
    KernelFns,
    PgProt, //
};
use crate::region::Region;
use crate::sys;
use kernel::bindings;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

/// Bytes of an A64 instruction.
pub(crate) const INSN_SIZE: usize = 4;

/// The writable window onto one page of a region, on this CPU, with interrupts off.
///
/// # Invariants
///
/// `patch_lock` is held with interrupts off, and the slot maps the page of the physical address
/// that the window was opened for. Both end with the window.
struct Window<'a> {
    kernel: &'a KernelFns,
    flags: usize,
    start: *mut u8,
    /// Bytes written through it.
    written: usize,
}

/// How many windows were opened.
pub(crate) static WINDOWS: Counter = Counter::new();
/// The most bytes that were written through one: how much is copied at most with interrupts off.
pub(crate) static MOST_WRITTEN: Counter = Counter::new();

impl<'a> Window<'a> {
    /// Opens the window onto the page that holds `pa`; `start` is the address of that byte.
    fn open(kernel: &'a KernelFns, pa: u64) -> Self {
        // CAST: Below the size of a page.
        let in_page = (pa & (PAGE_SIZE as u64 - 1)) as usize;
        // SAFETY: `patch_lock` is the kernel's raw spinlock by the invariants of `KernelFns`. With
        // it held the slot is ours.
        unsafe {
            let flags = sys::bpf_pack_helper_lock_irqsave(kernel.patch_lock.as_ptr());
            let slot = sys::bpf_pack_helper_fixmap_slot();
            let prot = PgProt(sys::bpf_pack_helper_prot_fixmap());
            (kernel.set_fixmap)(slot, pa - in_page as u64, prot);
            // INVARIANT: The lock is held and the slot was just mapped.
            Self {
                kernel,
                flags,
                start: (sys::bpf_pack_helper_fixmap_address() as *mut u8).wrapping_add(in_page),
                written: 0,
            }
        }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        WINDOWS.inc();
        MOST_WRITTEN.raise_to(self.written as u64);
        // SAFETY: By the type invariants the lock is held and the slot is ours; a protection of 0
        // is FIXMAP_PAGE_CLEAR.
        unsafe {
            (self.kernel.set_fixmap)(sys::bpf_pack_helper_fixmap_slot(), 0, PgProt(0));
            sys::bpf_pack_helper_unlock_irqrestore(self.kernel.patch_lock.as_ptr(), self.flags);
        }
    }
}

/// Writes `len` bytes at `offset` of `region` through the window, page by page: `write` gets the
/// window's address, the position in the whole and the length of each part.
fn through_window(
    kernel: &KernelFns,
    region: &Region,
    offset: usize,
    len: usize,
    mut write: impl FnMut(*mut u8, usize, usize) -> Result,
) -> Result {
    let aligned = |value: usize| value % INSN_SIZE == 0;
    if !aligned(offset) || !aligned(len) || !region.contains(offset, len) {
        return Err(EINVAL);
    }
    let mut done = 0usize;
    while done < len {
        let at = offset.saturating_add(done);
        let in_page = region.address().wrapping_add(at) % PAGE_SIZE;
        let part = (PAGE_SIZE - in_page).min(len - done);
        let mut window = Window::open(kernel, region.physical(at).ok_or(EFAULT)?);
        window.written = window.written.saturating_add(part);
        write(window.start, done, part)?;
        done = done.saturating_add(part);
    }
    Ok(())
}

/// Copies `source` to `offset` of `region` and makes it visible to instruction fetch.
///
/// Other CPUs may still have fetched what was there before: see [`synchronise_cpus`]. The caller
/// owns the destination: nobody else writes there meanwhile, and nobody executes there unless the
/// architecture allows the change to be concurrent. May be called with preemption disabled.
///
/// # Errors
///
/// `EINVAL` if the destination is not 4-byte aligned, the length is not a multiple of 4, or it
/// does not fit; `EFAULT` if `source` cannot be read, with the destination partly written.
pub(crate) fn copy(kernel: &KernelFns, region: &Region, offset: usize, source: Source) -> Result {
    through_window(kernel, region, offset, source.len, |window, done, part| {
        let from = source.start.wrapping_add(done);
        // SAFETY: The window maps `part` bytes by its invariants; reading may fault, and that gives
        // an error, which the stock kernel ignores here.
        let error = unsafe { bindings::copy_from_kernel_nofault(window.cast(), from.cast(), part) };
        if error == 0 {
            Ok(())
        } else {
            Err(EFAULT)
        }
    })?;
    // Only now, and on the executable address: the fetch goes through that one.
    region.make_fetchable(offset, source.len);
    Ok(())
}

/// Fills `len` bytes at `offset` of `region` with BRK and makes them visible to instruction fetch.
///
/// Cannot fail on a range of the region that is 4-byte aligned; otherwise nothing happens.
pub(crate) fn fill_with_traps(kernel: &KernelFns, region: &Region, offset: usize, len: usize) {
    // SAFETY: Returns a constant.
    let trap = unsafe { sys::bpf_pack_helper_break_insn() };
    let filled = through_window(kernel, region, offset, len, |window, _, part| {
        // SAFETY: The window maps `part` bytes by its invariants, a multiple of 4 and 4-byte
        // aligned because offset and length are.
        unsafe { core::slice::from_raw_parts_mut(window.cast::<u32>(), part / INSN_SIZE) }
            .fill(trap);
        Ok(())
    });
    if filled.is_ok() {
        region.make_fetchable(offset, len);
    }
}

/// What to copy: `len` bytes from `start`, which need not be readable.
#[derive(Clone, Copy)]
pub(crate) struct Source {
    /// The first byte.
    pub(crate) start: *const u8,
    /// Bytes.
    pub(crate) len: usize,
}

/// Makes every online CPU, this one included, take a context synchronisation event.
///
/// After it no CPU executes an instruction that it fetched before: exception entry and `ISB` are
/// such events (Arm ARM, "Context synchronization event"). `kick_all_cpus_sync()` would leave this
/// CPU out, which need not be the one that wrote. Waits for all CPUs; interrupts must be on.
pub(crate) fn synchronise_cpus() {
    // SAFETY: Interrupts are on: no caller holds a spinlock.
    unsafe { sys::bpf_pack_helper_synchronise_cpus() };
}
