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

use crate::a64::INSN_SIZE;
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

/// The writable window onto one page of a region, on this CPU, with interrupts off.
///
/// # Invariants
///
/// `patch_lock` is held with interrupts off, and the slot maps the page of the physical address
/// that the window was opened for. Both end with the window.
struct FixmapWindow<'a> {
    kernel: &'a KernelFns,
    flags: usize,
    start: *mut u8,
    /// Bytes written through it.
    written: usize,
}

/// How many windows were opened.
pub(crate) static WINDOWS: Counter = Counter::new();
/// The most bytes that were written through one: how much is copied at most with interrupts off.
pub(crate) static LARGEST_POKE: Counter = Counter::new();

impl<'a> FixmapWindow<'a> {
    /// Opens the window onto the page that holds `pa`; `start` is the address of that byte.
    ///
    /// # Safety
    ///
    /// The page must be ours to write to: part of a region.
    unsafe fn open(kernel: &'a KernelFns, pa: u64) -> Self {
        // CAST: Below the size of a page.
        let in_page = (pa & (PAGE_SIZE as u64 - 1)) as usize;
        let prot = bindings::pgprot_t {
            pgprot: sys::prot_fixmap(),
        };
        // SAFETY: `patch_lock` is the kernel's raw spinlock by the invariants of `KernelFns`. With
        // it held the slot is ours, and so is the page by the caller's promise.
        let flags = unsafe {
            let flags = sys::bpf_pack_helper_lock_irqsave(kernel.patch_lock.as_ptr());
            // CAST: An index that the kernel has in an enum, too.
            (kernel.set_fixmap)(sys::fixmap_slot() as c_uint, pa - in_page as u64, prot);
            flags
        };
        // INVARIANT: The lock is held and the slot was just mapped.
        Self {
            kernel,
            flags,
            start: (sys::fixmap_address() as *mut u8).wrapping_add(in_page),
            written: 0,
        }
    }
}

impl Drop for FixmapWindow<'_> {
    fn drop(&mut self) {
        WINDOWS.inc();
        LARGEST_POKE.raise_to(self.written as u64);
        let clear = bindings::pgprot_t { pgprot: 0 };
        // SAFETY: By the type invariants the lock is held and the slot is ours; a protection of 0
        // is FIXMAP_PAGE_CLEAR.
        unsafe {
            // CAST: As in `open`.
            (self.kernel.set_fixmap)(sys::fixmap_slot() as c_uint, 0, clear);
            sys::bpf_pack_helper_unlock_irqrestore(self.kernel.patch_lock.as_ptr(), self.flags);
        }
    }
}

/// The right to write to `len` bytes of a region.
///
/// # Invariants
///
/// The bytes are inside the region; offset and length are multiples of 4. While this lives nobody
/// else writes there, and nobody executes there unless the architecture allows the change to be
/// concurrent.
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
    /// `EINVAL` if offset or length is not a multiple of 4 or they are not inside.
    ///
    /// # Safety
    ///
    /// What the type's invariants say about others must hold.
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
        // INVARIANT: Just checked, and the caller promises the rest.
        Ok(Self {
            kernel,
            region,
            offset,
            len,
        })
    }

    /// Writes all of it through the window, page by page: `write` gets the window's address, the
    /// position in the whole and the length of each part.
    fn through_window(&mut self, mut write: impl FnMut(*mut u8, usize, usize) -> Result) -> Result {
        let mut done = 0usize;
        while done < self.len {
            let at = self.offset.saturating_add(done);
            let in_page = self.region.address().wrapping_add(at) % PAGE_SIZE;
            let part = (PAGE_SIZE - in_page).min(self.len - done);
            faults::at(Point::Window, EFAULT)?;
            let pa = self.region.physical(at).ok_or(EFAULT)?;
            // SAFETY: A page of the region.
            let mut window = unsafe { FixmapWindow::open(self.kernel, pa) };
            window.written = window.written.saturating_add(part);
            write(window.start, done, part)?;
            done = done.saturating_add(part);
        }
        Ok(())
    }

    /// Copies `source`, of which there must be as much as there is room, and makes it visible to
    /// instruction fetch.
    ///
    /// Other CPUs may still have fetched what was there before: see [`synchronise_cpus`]. May be
    /// called with preemption disabled.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the lengths differ; `EFAULT` if `source` cannot be read, with the destination
    /// partly written.
    pub(crate) fn copy(&mut self, source: Source<'_>) -> Result {
        if source.len != self.len {
            return Err(EINVAL);
        }
        self.through_window(|window, done, part| {
            let from = source.start.wrapping_add(done);
            // SAFETY: The window maps `part` bytes by its invariants; reading may fault, and that
            // gives an error, which the stock kernel ignores here.
            let error =
                unsafe { bindings::copy_from_kernel_nofault(window.cast(), from.cast(), part) };
            faults::at(Point::CopyRead, EFAULT)?;
            if error == 0 {
                Ok(())
            } else {
                Err(EFAULT)
            }
        })?;
        // Only now, and on the executable address: the fetch goes through that one.
        self.region.make_fetchable(self.offset, self.len);
        Ok(())
    }

    /// Fills all of it with traps and makes them visible to instruction fetch.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the memory behind it is not found: it may hold anything then.
    pub(crate) fn fill_with_traps(&mut self) -> Result {
        let trap = sys::break_insn();
        faults::at(Point::Traps, EFAULT)?;
        self.through_window(|window, _, part| {
            // SAFETY: The window maps `part` bytes by its invariants, a multiple of 4 and 4-byte
            // aligned because offset and length are.
            unsafe { core::slice::from_raw_parts_mut(window.cast::<u32>(), part / INSN_SIZE) }
                .fill(trap);
            Ok(())
        })?;
        self.region.make_fetchable(self.offset, self.len);
        Ok(())
    }
}

/// What to copy: bytes that need not be readable.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    start: *const u8,
    len: usize,
    _lent: PhantomData<&'a [u8]>,
}

impl<'a> Source<'a> {
    /// `len` bytes from `start`.
    ///
    /// # Safety
    ///
    /// Whatever can be read there must be the caller's to read: it ends up where others can read it.
    pub(crate) unsafe fn new(start: *const u8, len: usize) -> Self {
        Self {
            start,
            len,
            _lent: PhantomData,
        }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first `len` bytes, or all where there are fewer.
    pub(crate) fn first(self, len: usize) -> Self {
        Self {
            len: self.len.min(len),
            ..self
        }
    }
}

impl<'a> From<&'a [u32]> for Source<'a> {
    fn from(words: &'a [u32]) -> Self {
        Self {
            start: words.as_ptr().cast(),
            len: size_of_val(words),
            _lent: PhantomData,
        }
    }
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
