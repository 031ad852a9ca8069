// SPDX-License-Identifier: GPL-2.0

//! Writing to sealed memory, and the cache maintenance after it. Nothing else writes there.
//!
//! `window.rs` writes to one part of that.
//!
//! Writing does not synchronise CPUs: [`synchronise_cpus`] does, so that many writes can share one
//! synchronisation.

use crate::a64::{
    INSN_SIZE,
    TRAP, //
};
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use crate::region::Region;
use crate::window::{
    self,
    Part, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

pub(crate) use crate::window::{
    LARGEST_POKE,
    WINDOWS, //
};

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

    /// Writes to all bytes, through one window after the other. `write` gets a part and the number of
    /// bytes before it.
    #[inline(always)]
    fn part_by_part(&mut self, mut write: impl FnMut(Part, usize) -> Result) -> Result {
        let mut done = 0usize;
        while done < self.len {
            let at = self.offset.saturating_add(done);
            let address = self.region.address().wrapping_add(at);
            let len = window::reach(address).min(self.len - done);
            faults::at(Point::Window, EFAULT)?;
            let pa = self.region.physical(at).ok_or(EFAULT)?;
            write(Part { pa, address, len }, done)?;
            done = done.saturating_add(len);
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
        let kernel = self.kernel;
        let copied = self.part_by_part(|part, done| {
            let from = source.start.wrapping_add(done);
            // SAFETY: By the type invariants this may write there. By those of `source` it can be
            // read if it says so.
            let copied = unsafe { window::copy(kernel, part, from, source.readable) };
            faults::at(Point::CopyRead, EFAULT)?;
            copied
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
        let kernel = self.kernel;
        self.part_by_part(|part, _| {
            // SAFETY: By the type invariants this may write there.
            unsafe { window::fill(kernel, part, TRAP) }
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
/// Waits for all CPUs; interrupts must be on.
pub(crate) fn synchronise_cpus() {
    // SAFETY: It needs interrupts to be on: no caller holds a spinlock or has disabled them.
    unsafe { window::synchronise_cpus() };
}
