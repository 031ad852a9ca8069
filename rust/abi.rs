// SPDX-License-Identifier: GPL-2.0

//! The C functions for other JITs in the kernel: `include/bpf_pack.h`, exported in `exports.c`.
//!
//! A module that uses them holds a reference to this one: nobody calls them after `rmmod`.

use crate::poke::Source;
use crate::service::{
    Customer,
    Outcome,
    GATE, //
};
use kernel::prelude::*;

/// See the header.
///
/// # Safety
///
/// Must be called in a context that may sleep.
#[no_mangle]
pub(crate) unsafe extern "C" fn bpf_pack_alloc(size: u32, flags: u32) -> *mut c_void {
    let entered = GATE.enter();
    let address = match entered.target() {
        Some(service) if flags == 0 => service.alloc(size as usize, Customer::Any).ok(),
        _ => None,
    };
    address.map_or(core::ptr::null_mut(), |address| address.as_ptr().cast())
}

/// See the header.
///
/// # Safety
///
/// Must be called in a context that may sleep, by the owner of the image at `rox`.
#[no_mangle]
pub(crate) unsafe extern "C" fn bpf_pack_finalize(
    rox: *mut c_void,
    rw: *const c_void,
    size: u32,
) -> c_int {
    let entered = GATE.enter();
    let Some(service) = entered.target() else {
        return EINVAL.to_errno();
    };
    // SAFETY: The header says that the caller lets this function read `size` bytes at `rw`.
    let source = unsafe { Source::new(rw.cast(), size as usize) };
    match service.finalize(rox as usize, source, source.len()) {
        Outcome::Done => 0,
        Outcome::Failed(error) => error.to_errno(),
        Outcome::Foreign => {
            service.report_bad_call("finalize", rox as usize, EINVAL);
            EINVAL.to_errno()
        }
    }
}

/// See the header.
///
/// # Safety
///
/// Must be called in a context that may sleep, by the owner of the image at `rox`, and nobody may
/// enter that image any more.
#[no_mangle]
pub(crate) unsafe extern "C" fn bpf_pack_free(rox: *mut c_void, _size: u32) {
    let entered = GATE.enter();
    if rox.is_null() {
        return;
    }
    if let Some(service) = entered.target() {
        if service.free(rox as usize) == Outcome::Foreign {
            service.report_bad_call("free", rox as usize, EINVAL);
        }
    }
}
