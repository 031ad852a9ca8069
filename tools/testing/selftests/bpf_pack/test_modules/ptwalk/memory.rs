// SPDX-License-Identifier: GPL-2.0

//! Reads the live translation registers and tables.

use crate::sys;
use core::ops::Range;
use kernel::bindings;
use kernel::prelude::*;
use pagetable::{
    Regime,
    Walk, //
};

/// How the running kernel translates its half.
///
/// # Errors
///
/// `ENOTSUPP` if the registers hold what the architecture reserves.
pub(crate) fn regime() -> Result<Regime> {
    // SAFETY: Reading a register of this CPU has no preconditions. All CPUs have the same values,
    // but for the ASID in TTBR1, which is not used.
    let (ttbr1, tcr) = unsafe { (sys::ptwalk_helper_ttbr1(), sys::ptwalk_helper_tcr()) };
    let regime = Regime::from_registers(ttbr1, tcr).ok_or(ENOTSUPP)?;
    // SAFETY: Has no preconditions after boot.
    if unsafe { sys::ptwalk_helper_permission_indirection() } {
        Ok(regime.with_permission_indirection())
    } else {
        Ok(regime)
    }
}

/// The addresses of the linear map.
pub(crate) fn linear_map() -> Range<u64> {
    // SAFETY: Both have no preconditions.
    let (start, end) = unsafe {
        (
            sys::ptwalk_helper_linear_start(),
            sys::ptwalk_helper_linear_end(),
        )
    };
    start as u64..end as u64
}

/// Reads the descriptor at the physical address `pa`, or [`None`] if no memory is mapped there.
///
/// The table may have been freed since its address was read; then the answer is what is there now.
pub(crate) fn descriptor(pa: u64) -> Option<u64> {
    // SAFETY: Has no preconditions.
    if !unsafe { sys::ptwalk_helper_is_memory(pa) } {
        return None;
    }
    let mut value = 0u64;
    // SAFETY: `value` is valid for writes of its size; the function reads from any kernel address
    // and reports a fault.
    let failed = unsafe {
        bindings::copy_from_kernel_nofault(
            (&raw mut value).cast(),
            sys::ptwalk_helper_phys_to_virt(pa),
            size_of::<u64>(),
        )
    };
    (failed == 0).then_some(value)
}

/// Finds what maps `va` now.
pub(crate) fn walk(va: u64) -> Result<Walk> {
    Ok(regime()?.walk(va, descriptor))
}
