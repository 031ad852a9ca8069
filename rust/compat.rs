// SPDX-License-Identifier: GPL-2.0

//! Where the `kernel` crate differs between the kernels that the module supports.
//!
//! No other file of the module depends on the kernel's version. Kbuild sets the `cfg` of a kernel.

#![deny(unsafe_code)]

use core::borrow::Borrow;
use kernel::alloc::AllocError;
use kernel::bindings;
use kernel::module_param::ModuleParamAccess;
use kernel::prelude::*;

/// A module parameter.
pub(crate) trait Parameter {
    /// Returns its value: `value()` returns a copy of it, or, until 7.2, a reference to it.
    fn get(&self) -> u32;
}

impl Parameter for ModuleParamAccess<u32> {
    #[inline(always)]
    fn get(&self) -> u32 {
        *Borrow::<u32>::borrow(&self.value())
    }
}

/// The error `EOPNOTSUPP`, which has no constant until 7.2.
#[inline(always)]
pub(crate) fn not_supported() -> Error {
    #[cfg(not(BPF_PACK_KERNEL_7_2))]
    {
        EOPNOTSUPP
    }
    #[cfg(BPF_PACK_KERNEL_7_2)]
    {
        // CAST: It is a small number.
        Error::from_errno(-(bindings::EOPNOTSUPP as i32))
    }
}

/// The `struct module` of this module; null if it is built into the kernel.
///
/// `module!` makes a static of it, or, after 7.2, an item of a trait.
#[cfg(not(BPF_PACK_KERNEL_7_2))]
pub(crate) const THIS_MODULE: *mut bindings::module =
    <crate::LocalModule as kernel::ModuleMetadata>::THIS_MODULE.as_ptr();
#[cfg(BPF_PACK_KERNEL_7_2)]
pub(crate) const THIS_MODULE: *mut bindings::module = crate::THIS_MODULE.as_ptr();

/// Allocates `n` words of zeroes. May sleep.
///
/// # Errors
///
/// If there is no memory.
#[inline(always)]
pub(crate) fn zeroed(n: usize) -> Result<KVVec<u64>, AllocError> {
    #[cfg(not(BPF_PACK_KERNEL_7_2))]
    {
        KVVec::zeroed(n, GFP_KERNEL)
    }
    #[cfg(BPF_PACK_KERNEL_7_2)]
    {
        KVVec::from_elem(0, n, GFP_KERNEL)
    }
}
