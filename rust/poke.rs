// SPDX-License-Identifier: GPL-2.0

//! Writing to sealed memory, and the cache maintenance after it. Nothing else writes there.
//!
//! This corresponds to `aarch64_insn_copy()` and `aarch64_insn_set()`
//! (arch/arm64/kernel/patching.c). In that file `patch_lock` protects the fixmap slot
//! FIX_TEXT_POKE0, through which ftrace, kprobes and jump labels write. So we take the same lock:
//! with a lock of our own, two writers could use the slot at once and corrupt kernel text. We hold
//! it for one base page at a time, with interrupts off; the stock kernel has interrupts off for a
//! whole image.
//!
//! Writing does not synchronise CPUs: [`synchronise_cpus`] does, so that many writes can share one
//! synchronisation.

use crate::a64::{
    INSN_SIZE,
    TRAP, //
};
use crate::counters::Counter;
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use crate::region::Region;
use crate::sys;
use core::marker::PhantomData;
use kernel::bindings;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

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

/// The number of windows that were opened.
pub(crate) static WINDOWS: Counter = Counter::new();
/// The most bytes that were written through one window, that is with interrupts off.
pub(crate) static LARGEST_POKE: Counter = Counter::new();

impl<'a> FixmapWindow<'a> {
    /// Opens the window to the page that contains `pa`. `start` is the address at which the window
    /// maps `pa`.
    ///
    /// # Safety
    ///
    /// The page must be a part of a region that the caller may write to.
    unsafe fn open(kernel: &'a KernelFns, pa: u64) -> Self {
        let (lock, map) = (kernel.patch_lock.as_ptr(), Some(kernel.set_fixmap));
        let mut flags = 0;
        // SAFETY: By the invariants of `KernelFns` these are the kernel's raw spinlock `patch_lock`,
        // which is what the slot needs, and `__set_fixmap()`. The caller may write to the page.
        let start = unsafe { sys::bpf_pack_helper_open_window(lock, map, pa, &mut flags) };
        // INVARIANT: The lock was taken and the slot mapped above; `start` is in the slot's page.
        Self {
            kernel,
            flags,
            start: start.cast(),
            written: 0,
        }
    }
}

impl Drop for FixmapWindow<'_> {
    fn drop(&mut self) {
        WINDOWS.inc();
        LARGEST_POKE.raise_to(self.written as u64);
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

/// The right to write to `len` bytes of a region.
///
/// # Invariants
///
/// The bytes are in the region; offset and length are multiples of 4. While this exists, nobody
/// else writes there, and nobody executes there unless the architecture allows the change under
/// execution.
pub(crate) struct Writable<'a> {
    kernel: &'a KernelFns,
    region: &'a Region,
    offset: usize,
    len: usize,
}

impl<'a> Writable<'a> {
    /// Takes the right to write to `len` bytes at `offset` of `region`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if offset or length is not a multiple of 4, or the bytes are not all in the region.
    ///
    /// # Safety
    ///
    /// The type's invariant about other writers and about execution must hold while the returned
    /// value exists.
    pub(crate) unsafe fn new(
        kernel: &'a KernelFns,
        region: &'a Region,
        offset: usize,
        len: usize,
    ) -> Result<Self> {
        let aligned = |value: usize| value % INSN_SIZE == 0;
        if !aligned(offset) || !aligned(len) || !region.contains(offset, len) {
            return Err(EINVAL);
        }
        // INVARIANT: Range and alignment were checked, and the caller promises the rest.
        Ok(Self {
            kernel,
            region,
            offset,
            len,
        })
    }

    /// Writes to all bytes through the window, page by page. `write` gets the address in the
    /// window, the number of bytes before this part, and the length of this part.
    #[inline(always)]
    fn through_window(&mut self, mut write: impl FnMut(*mut u8, usize, usize) -> Result) -> Result {
        let mut done = 0usize;
        while done < self.len {
            let at = self.offset.saturating_add(done);
            let in_page = self.region.address().wrapping_add(at) % PAGE_SIZE;
            let part = (PAGE_SIZE - in_page).min(self.len - done);
            faults::at(Point::Window, EFAULT)?;
            let pa = self.region.physical(at).ok_or(EFAULT)?;
            // SAFETY: The page is a part of the region, and by the type invariants this may write
            // to it.
            let mut window = unsafe { FixmapWindow::open(self.kernel, pa) };
            window.written = window.written.saturating_add(part);
            write(window.start, done, part)?;
            done = done.saturating_add(part);
        }
        Ok(())
    }

    /// Copies `source`, which must have the same length, and makes it visible to instruction fetch.
    ///
    /// Other CPUs may have fetched the old bytes: see [`synchronise_cpus`]. May be called with
    /// preemption disabled.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the lengths differ; `EFAULT` if `source` cannot be read. A part may be written
    /// then.
    #[inline(always)]
    pub(crate) fn copy(&mut self, source: Source<'_>) -> Result {
        if source.len != self.len {
            return Err(EINVAL);
        }
        let copied = self.through_window(|window, done, part| {
            let from = source.start.wrapping_add(done);
            let error = if source.readable {
                // SAFETY: The window maps `part` bytes from `window` on, which nobody else uses,
                // and these bytes of the source are readable.
                unsafe { window.copy_from_nonoverlapping(from, part) };
                0
            } else {
                // SAFETY: The window maps `part` bytes from `window` on. The source may be
                // unreadable: the function then returns an error. (The stock kernel ignores that
                // error.)
                unsafe { bindings::copy_from_kernel_nofault(window.cast(), from.cast(), part) }
            };
            faults::at(Point::CopyRead, EFAULT)?;
            if error == 0 {
                Ok(())
            } else {
                Err(EFAULT)
            }
        });
        // After the copy, and on the executable addresses, because CPUs fetch from these. After a
        // part of it, too: that stays where the image was live.
        self.region.make_fetchable(self.offset, self.len);
        copied
    }

    /// Fills all bytes with traps and makes these visible to instruction fetch.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory behind the addresses is not found. It may hold anything then.
    #[inline(always)]
    pub(crate) fn fill_with_traps(&mut self) -> Result {
        faults::at(Point::Traps, EFAULT)?;
        self.through_window(|window, _, part| {
            // SAFETY: The window maps `part` bytes from `window` on, and nobody else uses them.
            // Both are multiples of 4, because offset and length are.
            let words =
                unsafe { core::slice::from_raw_parts_mut(window.cast::<u32>(), part / INSN_SIZE) };
            // SAFETY: All bit patterns are valid for both types.
            let (head, lines, tail) = unsafe { words.align_to_mut::<[u64; 8]>() };
            head.fill(TRAP);
            lines.fill([u64::from(TRAP) << 32 | u64::from(TRAP); 8]);
            tail.fill(TRAP);
            Ok(())
        })?;
        self.region.make_fetchable(self.offset, self.len);
        Ok(())
    }
}

/// The source of a copy.
///
/// # Invariants
///
/// If `readable`, `len` bytes from `start` on are.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    start: *const u8,
    len: usize,
    readable: bool,
    _lent: PhantomData<&'a [u8]>,
}

impl<'a> Source<'a> {
    /// Makes a source of `len` bytes from `start` on, which need not be readable.
    ///
    /// # Safety
    ///
    /// The caller must be allowed to read the readable ones of these bytes, and to show them to
    /// everybody who can read packs.
    pub(crate) unsafe fn new(start: *const u8, len: usize) -> Self {
        Self {
            start,
            len,
            readable: false,
            _lent: PhantomData,
        }
    }

    /// The length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns the first `len` bytes, or all if there are fewer.
    pub(crate) fn first(self, len: usize) -> Self {
        Self {
            len: self.len.min(len),
            ..self
        }
    }
}

impl<'a> From<&'a [u32]> for Source<'a> {
    fn from(words: &'a [u32]) -> Self {
        // INVARIANT: A slice is readable.
        Self {
            start: words.as_ptr().cast(),
            len: size_of_val(words),
            readable: true,
            _lent: PhantomData,
        }
    }
}

/// Makes every online CPU, this one included, take a context synchronisation event.
///
/// Afterwards no CPU executes an instruction that it fetched before. Exception entry and `ISB` are
/// such events (Arm ARM, "Context synchronization event"), and this runs an `ISB` on each CPU.
/// `kick_all_cpus_sync()` would not do: it leaves out the calling CPU, which need not be the one
/// that wrote, and an idle CPU runs its empty function without an exception
/// (`flush_smp_call_function_queue()`). Waits for all CPUs; interrupts must be on.
pub(crate) fn synchronise_cpus() {
    // SAFETY: It needs interrupts to be on: no caller holds a spinlock or has disabled them.
    unsafe { sys::bpf_pack_helper_synchronise_cpus() };
}
