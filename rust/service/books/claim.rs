// SPDX-License-Identifier: GPL-2.0

//! The right of one task to change the bytes of an image.

use super::Books;
use crate::ksym::KernelFns;
use crate::poke::Writable;
use crate::region::Region;
use core::ptr::NonNull;
use kernel::prelude::*;
use pack_core::{
    ChunkRange,
    PackId, //
};

/// An image that only this task may change: copy to it, or fill it with traps.
///
/// Three words and no more: for larger values the compiler calls `memmove()`, and a claim changes
/// hands often.
///
/// # Invariants
///
/// - The books say that the range is [`Writing`], [`Doomed`] or [`Retiring`], because of this task:
///   no other task can end that state.
/// - `region` is the region of that pack. It stays while this exists: the books give no region back
///   whose pack has a range.
///
/// [`Writing`]: pack_core::RangeState::Writing
/// [`Doomed`]: pack_core::RangeState::Doomed
/// [`Retiring`]: pack_core::RangeState::Retiring
pub(in crate::service) struct Claim {
    pub(super) id: PackId,
    pub(super) range: ChunkRange,
    region: NonNull<Region>,
}

const _: () = assert!(size_of::<Result<Claim>>() == 3 * size_of::<usize>());

// SAFETY: Any task may hold the right, and `Region` is `Sync`.
unsafe impl Send for Claim {}

impl Books {
    /// Claims an image whose state the caller has changed to one of those that a claim needs.
    pub(super) fn claim(&self, id: PackId, range: ChunkRange) -> Result<Claim> {
        // INVARIANT: The range has one of the three states because of the caller.
        Ok(Claim {
            id,
            range,
            region: NonNull::from(&**self.region(id).ok_or(EINVAL)?),
        })
    }
}

impl Claim {
    fn region(&self) -> &Region {
        // SAFETY: By the type invariants the region exists as long as this does.
        unsafe { self.region.as_ref() }
    }

    /// Returns the right to write to `len` bytes at `offset` of the image.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are not all in the image, or not whole instructions.
    pub(in crate::service) fn writable<'a>(
        &'a mut self,
        kernel: &'a KernelFns,
        offset: usize,
        len: usize,
    ) -> Result<Writable<'a>> {
        let end = offset.checked_add(len).ok_or(EINVAL)?;
        if end > self.image_bytes() {
            return Err(EINVAL);
        }
        let start = self.range.start().byte_offset().saturating_add(offset);
        // SAFETY: By the type invariants no other task writes to the range, and nobody is given its
        // memory, until the books end this claim, which takes this value or follows the last use of
        // it. Programs run in the range only if it was live. Then the caller of
        // `bpf_arch_text_copy()` answers for a change that the architecture allows under execution,
        // or, when the image is freed, for nobody entering it any more.
        unsafe { Writable::new(kernel, self.region(), start, len) }
    }

    /// The size of the image, in bytes.
    pub(in crate::service) fn image_bytes(&self) -> usize {
        self.range.count().bytes()
    }

    /// The address of the image.
    pub(in crate::service) fn address(&self) -> usize {
        let start = self.range.start().byte_offset();
        self.region().address().saturating_add(start)
    }
}
