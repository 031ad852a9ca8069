// SPDX-License-Identifier: GPL-2.0

//! The right of one task to change the bytes of an image.

use crate::ksym::KernelFns;
use crate::poke::Writable;
use crate::region::Region;
use kernel::prelude::*;
use kernel::sync::Arc;
use pack_core::{
    ChunkRange,
    PackId,
    RangeState, //
};

/// A part of an image that only this task may change: copy to it, or fill it with traps.
///
/// # Invariants
///
/// `[offset, offset + len)` lies in the range. The books say that the range is
/// [`RangeState::Writing`], [`RangeState::Doomed`] or [`RangeState::Retiring`], because of this
/// task: no other task can end that state.
pub(in crate::service) struct Claim {
    pub(super) id: PackId,
    pub(super) range: ChunkRange,
    pub(super) region: Arc<Region>,
    /// The state of the image before the claim.
    pub(super) was: RangeState,
    pub(super) offset: usize,
    pub(super) len: usize,
}

impl Claim {
    /// Returns the right to write to the claimed bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are not whole instructions.
    pub(in crate::service) fn writable<'a>(
        &'a mut self,
        kernel: &'a KernelFns,
    ) -> Result<Writable<'a>> {
        // SAFETY: By the type invariants no other task writes to the range, and nobody is given its
        // memory, until the books end this claim, which takes this value or follows the last use of
        // it. Programs run in the range only if it was live. Then the caller of
        // `bpf_arch_text_copy()` answers for a change that the architecture allows under execution,
        // or, when the image is freed, for nobody entering it any more.
        unsafe { Writable::new(kernel, &self.region, self.offset, self.len) }
    }

    /// Whether programs may have been running in the image.
    pub(in crate::service) fn was_live(&self) -> bool {
        self.was == RangeState::Live
    }

    /// The size of the whole image, in bytes.
    pub(in crate::service) fn image_bytes(&self) -> usize {
        self.range.count().bytes()
    }

    /// The address of the first claimed byte.
    pub(in crate::service) fn address(&self) -> usize {
        self.region.address().saturating_add(self.offset)
    }

    /// Extends the claim to the whole image, which was freed during a copy.
    pub(super) fn doomed(self) -> Self {
        // INVARIANT: The copy of this task has ended and made the range retiring.
        Self {
            offset: self.range.start().byte_offset(),
            len: self.range.count().bytes(),
            ..self
        }
    }
}
