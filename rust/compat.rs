// SPDX-License-Identifier: GPL-2.0

//! Where the `kernel` crate differs between the kernels that the module supports.
//!
//! No other file of the module depends on the kernel's version. Kbuild sets the `cfg` of a kernel.

#![deny(unsafe_code)]

use core::borrow::Borrow;
use kernel::alloc::AllocError;
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
        Error::from_errno(-(kernel::bindings::EOPNOTSUPP as i32))
    }
}

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
