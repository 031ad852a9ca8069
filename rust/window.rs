// SPDX-License-Identifier: GPL-2.0

//! Writes to one page of sealed memory through the kernel's window for text.
//!
//! This corresponds to `aarch64_insn_copy()` and `aarch64_insn_set()`
//! (arch/arm64/kernel/patching.c). In that file `patch_lock` protects the fixmap slot
//! FIX_TEXT_POKE0, through which ftrace, kprobes and jump labels write. So we take the same lock:
//! with a lock of our own, two writers could use the slot at once and corrupt kernel text. We hold
//! it for one base page at a time, with interrupts off; the stock kernel has interrupts off for a
//! whole image.

use crate::a64::INSN_SIZE;
use crate::ksym::KernelFns;
use crate::sys;
use core::cell::UnsafeCell;
use kernel::bindings;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sizes::SZ_256K;

/// The number of bytes from which on `IC IALLUIS` replaces maintenance by address. It is several
/// times the size of an instruction cache: maintenance by address would leave little in the cache
/// either.
const MUCH: usize = SZ_256K;

/// Returns how many bytes from `address` on one window reaches: those of its page.
#[inline(always)]
pub(crate) fn reach(address: usize) -> usize {
    PAGE_SIZE - address % PAGE_SIZE
}

/// Bytes of a region within the reach of one window, to write to.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    /// The physical address.
    pub(crate) pa: u64,
    /// The executable address.
    #[expect(dead_code)] // For the native binding.
    pub(crate) address: usize,
    /// Their number, a multiple of 4.
    pub(crate) len: usize,
}

/// The writable fixmap window to one page of a region, with interrupts off.
///
/// # Invariants
///
/// `patch_lock` is held with interrupts off. The slot maps the page for which the window was
/// opened, and `start` is an address in it.
struct FixmapWindow<'a> {
    kernel: &'a KernelFns,
    flags: usize,
    start: *mut u8,
    /// Bytes that were written through it.
    written: usize,
}

/// A number that only the task with an open window changes, so that it needs no atomic operation.
pub(crate) struct Noted(UnsafeCell<u64>);

// SAFETY: One task at a time has an open window. Others only read the number, by one access.
unsafe impl Sync for Noted {}

/// The number of windows that were opened.
pub(crate) static WINDOWS: Noted = Noted(UnsafeCell::new(0));
/// The most bytes that were written through one window, that is with interrupts off.
pub(crate) static LARGEST_POKE: Noted = Noted(UnsafeCell::new(0));

impl Noted {
    /// Returns the number. Any context.
    pub(crate) fn get(&self) -> u64 {
        // SAFETY: The pointer is valid. As READ_ONCE(): another CPU may write there.
        unsafe { self.0.get().read_volatile() }
    }

    /// Changes the number. By the invariants of the window the caller holds `patch_lock`.
    fn set(&self, _window: &mut FixmapWindow<'_>, n: u64) {
        // SAFETY: The pointer is valid, and nobody else writes there. As WRITE_ONCE().
        unsafe { self.0.get().write_volatile(n) };
    }
}

impl<'a> FixmapWindow<'a> {
    /// Opens the window to the page that contains `pa`. `start` is the address at which the window
    /// maps `pa`.
    ///
    /// # Safety
    ///
    /// The page must be a part of a region that the caller may write to.
    unsafe fn open(kernel: &'a KernelFns, pa: u64) -> Self {
        let (lock, map) = (kernel.patch_lock.as_ptr(), Some(kernel.set_fixmap));
        // SAFETY: By the invariants of `KernelFns` these are the kernel's raw spinlock `patch_lock`,
        // which is what the slot needs, and `__set_fixmap()`. The caller may write to the page.
        let window = unsafe { sys::bpf_pack_helper_open_window(lock, map, pa, kernel.window_prot) };
        // INVARIANT: The lock was taken and the slot mapped above; `start` is in the slot's page.
        Self {
            kernel,
            flags: window.irq_flags,
            start: window.start.cast(),
            written: 0,
        }
    }
}

impl Drop for FixmapWindow<'_> {
    fn drop(&mut self) {
        WINDOWS.set(self, WINDOWS.get().wrapping_add(1));
        let written = self.written as u64;
        if LARGEST_POKE.get() < written {
            LARGEST_POKE.set(self, written);
        }
        // SAFETY: By the type invariants the lock is held, which is what the slot needs, and the
        // flags are those that taking it returned.
        unsafe {
            sys::bpf_pack_helper_close_window(
                self.kernel.patch_lock.as_ptr(),
                Some(self.kernel.set_fixmap),
                self.flags,
            );
        }
    }
}

/// Copies the bytes from `from` on to `part`. Does not maintain caches.
///
/// # Errors
///
/// `EFAULT` if `from` cannot be read. A part may be written then.
///
/// # Safety
///
/// The caller must have the right to write to `part` (see [`Writable`](crate::poke::Writable)). With
/// `readable`, as many bytes as `part` has must be readable from `from` on.
#[inline(always)]
pub(crate) unsafe fn copy(
    kernel: &KernelFns,
    part: Part,
    from: *const u8,
    readable: bool,
) -> Result {
    // SAFETY: The caller may write to the page.
    let mut window = unsafe { FixmapWindow::open(kernel, part.pa) };
    window.written = window.written.saturating_add(part.len);
    let error = if readable {
        // SAFETY: The window maps `part` from its start on, which nobody else uses, and these bytes
        // of the source are readable.
        unsafe { window.start.copy_from_nonoverlapping(from, part.len) };
        0
    } else {
        // SAFETY: The window maps `part` from its start on. The source may be unreadable: the
        // function then returns an error. (The stock kernel ignores that error.)
        unsafe { bindings::copy_from_kernel_nofault(window.start.cast(), from.cast(), part.len) }
    };
    if error == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}

/// Writes `trap` to all of `part`. Does not maintain caches.
///
/// # Errors
///
/// None here.
///
/// # Safety
///
/// As for [`copy`].
#[inline(always)]
pub(crate) unsafe fn fill(kernel: &KernelFns, part: Part, trap: u32) -> Result {
    // SAFETY: The caller may write to the page.
    let mut window = unsafe { FixmapWindow::open(kernel, part.pa) };
    window.written = window.written.saturating_add(part.len);
    // SAFETY: The window maps `part` from its start on, and nobody else uses it. Both are multiples
    // of 4, because those of `Writable` are.
    let words = unsafe {
        core::slice::from_raw_parts_mut(window.start.cast::<u32>(), part.len / INSN_SIZE)
    };
    // SAFETY: All bit patterns are valid for both types.
    let (head, lines, tail) = unsafe { words.align_to_mut::<[u64; 8]>() };
    head.fill(trap);
    lines.fill([u64::from(trap) << 32 | u64::from(trap); 8]);
    tail.fill(trap);
    Ok(())
}

/// Makes the bytes of a region from `start` to `end` visible to instruction fetch: cleans the data
/// cache and invalidates the instruction cache to the point of unification.
///
/// # Safety
///
/// They must be mapped.
#[inline(always)]
pub(crate) unsafe fn make_fetchable(kernel: &KernelFns, start: usize, end: usize) {
    // SAFETY: The range is mapped. The maintenance ends with DSB and ISB.
    unsafe {
        if end.wrapping_sub(start) < MUCH {
            sys::bpf_pack_helper_make_fetchable(start, end);
        } else {
            let clean = Some(kernel.dcache_clean_pou);
            sys::bpf_pack_helper_make_much_fetchable(clean, start, end);
        }
    }
}

/// Makes every online CPU, this one included, take a context synchronisation event.
///
/// `kick_all_cpus_sync()` would not do: it leaves out the calling CPU, which need not be the one
/// that wrote, and an idle CPU runs its empty function without an exception
/// (`flush_smp_call_function_queue()`).
///
/// # Safety
///
/// Interrupts must be on.
pub(crate) unsafe fn synchronise_cpus() {
    // SAFETY: The caller promises that interrupts are on.
    unsafe { sys::bpf_pack_helper_synchronise_cpus() };
}
