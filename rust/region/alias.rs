// SPDX-License-Identifier: GPL-2.0

//! The alias of a region: the addresses of the same memory in the linear map.
//!
//! The kernel changes the linear map for whole leaves only. It splits a leaf that lies across an
//! end of the range, which may take memory for a table, and nothing ever merges leaves again. So we
//! change the alias in runs that are as long as the memory is contiguous: an aligned run of 2 MiB
//! splits no block. And we make it valid again in the same runs. Their ends are ends of leaves
//! since then, so that this needs no memory and cannot fail.

use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use crate::sys;
use kernel::error::to_result;
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The number of aliases that are invalid, or invalid in part, or about to become so.
static INVALID: Atomic<usize> = Atomic::new(0);

/// Returns the number of aliases that are invalid, or invalid in part, or about to become so.
pub(crate) fn count_invalid() -> usize {
    INVALID.load(Relaxed)
}

/// Physically contiguous memory.
#[derive(Clone, Copy)]
struct Run {
    pa: u64,
    /// Where the region has it.
    address: usize,
    /// A multiple of the page size.
    len: usize,
}

/// The alias of a region.
///
/// # Invariants
///
/// - `runs` is memory of the region. Nobody but the owner of this value uses the alias of that
///   memory.
/// - The first `invalid` runs are invalid, but for the time from [`Alias::expose`] to
///   [`Alias::hide`].
/// - `INVALID` counts this value if `counted`, as it is while a run is invalid.
pub(super) struct Alias {
    kernel: &'static KernelFns,
    runs: KVVec<Run>,
    invalid: usize,
    counted: bool,
}

impl Alias {
    /// Makes a valid alias of no memory.
    pub(super) fn new(kernel: &'static KernelFns) -> Self {
        Self {
            kernel,
            runs: KVVec::new(),
            invalid: 0,
            counted: false,
        }
    }

    /// Notes that the alias is about to become invalid. [`Alias::forget`] takes that back.
    pub(super) fn announce(&mut self) {
        if !self.counted {
            // INVARIANT: It is counted from now on.
            self.counted = true;
            INVALID.fetch_add(1, Relaxed);
        }
    }

    /// Adds the next `len` bytes of the region, from `address` on, which are at `pa`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// The memory must belong to the region. Nobody else may use its alias.
    pub(super) unsafe fn push(&mut self, address: usize, pa: u64, len: usize) -> Result {
        // INVARIANT: The caller promises that the memory is the region's.
        match self.runs.last_mut() {
            Some(run) if run.pa.checked_add(run.len as u64) == Some(pa) => {
                run.len = run.len.saturating_add(len);
            }
            _ => self.runs.push(Run { pa, address, len }, GFP_KERNEL)?,
        }
        Ok(())
    }

    /// Returns where the memory begins, if all of it is contiguous.
    pub(super) fn contiguous(&self) -> Option<u64> {
        match &*self.runs {
            [run] => Some(run.pa),
            _ => None,
        }
    }

    /// Whether the alias is invalid.
    pub(super) fn is_invalid(&self) -> bool {
        self.invalid > 0
    }

    /// Writes `word` to all of the memory.
    pub(super) fn fill(&mut self, word: u32) {
        for run in &self.runs {
            // SAFETY: By the type invariants the memory is the region's and nobody else uses this
            // alias, which is valid: `invalidate` comes after this.
            let words = unsafe {
                core::slice::from_raw_parts_mut(
                    sys::bpf_pack_helper_phys_to_virt(run.pa).cast::<u32>(),
                    run.len / size_of::<u32>(),
                )
            };
            words.fill(word);
        }
    }

    /// Makes the alias invalid. May sleep. The kernel flushes the TLB.
    ///
    /// # Errors
    ///
    /// Those of `set_direct_map_valid_noflush()`. The alias is invalid in part then.
    pub(super) fn invalidate(&mut self) -> Result {
        if self.runs.is_empty() {
            return Ok(());
        }
        self.announce();
        for run in &self.runs {
            // INVARIANT: This run is the next one. If it is the first that fails, nothing is
            // invalid.
            let done = faults::at(Point::RegionAlias, ENOMEM).and_then(|()| self.set(run, false));
            if let Err(error) = done {
                if self.invalid == 0 {
                    self.forget();
                }
                return Err(error);
            }
            self.invalid = self.invalid.saturating_add(1);
        }
        Ok(())
    }

    /// Notes that somebody else has made the alias invalid, which was announced.
    pub(super) fn note_invalid(&mut self) {
        // INVARIANT: All runs are invalid.
        self.invalid = self.runs.len();
    }

    /// Makes the alias valid again. Allocates nothing; may sleep.
    ///
    /// # Errors
    ///
    /// Those of `set_direct_map_valid_noflush()`, which has none for these runs. The alias is
    /// invalid in part then.
    pub(super) fn validate(&mut self) -> Result {
        if self.invalid == 0 {
            return Ok(());
        }
        self.expose()?;
        self.forget();
        Ok(())
    }

    /// Notes that all of the alias is valid.
    pub(super) fn forget(&mut self) {
        // INVARIANT: No run is invalid.
        self.invalid = 0;
        if self.counted {
            self.counted = false;
            INVALID.fetch_sub(1, Relaxed);
        }
    }

    /// Makes the alias valid for a while, until [`Alias::hide`].
    ///
    /// # Errors
    ///
    /// As for [`Alias::validate`].
    pub(super) fn expose(&self) -> Result {
        self.runs
            .iter()
            .take(self.invalid)
            .try_for_each(|run| self.set(run, true))
    }

    /// Ends what [`Alias::expose`] has begun.
    ///
    /// # Errors
    ///
    /// As for [`Alias::validate`]. It goes on to the last run.
    pub(super) fn hide(&self) -> Result {
        let mut result = Ok(());
        for run in self.runs.iter().take(self.invalid) {
            result = result.and(self.set(run, false));
        }
        result
    }

    fn set(&self, run: &Run, valid: bool) -> Result {
        // CAST: The pages of at most 64 MiB.
        let pages = (run.len / PAGE_SIZE) as c_uint;
        // SAFETY: By the type invariants the pages belong to the region and nobody else uses their
        // alias. This module writes to them through `poke.rs` while the alias is invalid. They are
        // not freed while it is: see `Region::drop`.
        unsafe {
            let alias = sys::bpf_pack_helper_phys_to_virt(run.pa);
            let page = sys::bpf_pack_helper_virt_to_page(alias);
            to_result(self.kernel.set_alias(run.address, page, pages, valid))
        }
    }
}
