// SPDX-License-Identifier: GPL-2.0

//! The functions that take over from the stock ones (Linux 7.3, kernel/bpf/core.c).
//!
//! Ownership is decided by address: what is not in one of our packs goes to the stock function
//! untouched. What we cannot serve, the stock function serves. All of them run in contexts that may
//! sleep, as the stock ones do.
//!
//! Every function holds an entry of [`GATE`] across everything it calls, the stock function
//! included: that keeps this module's text in place while one sleeps.

use super::target::{
    Target,
    COUNT, //
};
use super::{
    pass_on,
    proof, //
};
use crate::a64::{
    used_bytes,
    INSN_SIZE, //
};
use crate::ksym::{
    Function,
    KernelFns, //
};
use crate::patchsite::{
    Branch,
    Site, //
};
use crate::poke::Source;
use crate::service::{
    Customer,
    Outcome,
    GATE, //
};
use crate::sys;
use kernel::bindings;
use kernel::prelude::*;

/// Returns the stock functions and their replacements, in the order in which they are attached.
///
/// The function that makes images comes last, because the others must be ready for our images.
/// `enter_stock.S` relies on the order.
pub(super) fn targets(kernel: &KernelFns) -> [Target; COUNT] {
    [
        Target {
            name: "bpf_prog_pack_free",
            function: kernel.pack_free,
            replacement: pack_free as Function<sys::bpf_pack_prog_pack_free> as usize,
        },
        Target {
            name: "bpf_jit_binary_pack_finalize",
            function: kernel.pack_finalize,
            replacement: pack_finalize as Function<sys::bpf_pack_binary_pack_finalize> as usize,
        },
        Target {
            name: "bpf_arch_text_copy",
            function: kernel.text_copy,
            replacement: text_copy as Function<sys::bpf_pack_text_copy> as usize,
        },
        Target {
            name: "bpf_arch_text_poke",
            function: kernel.text_poke,
            replacement: text_poke as Function<sys::bpf_pack_text_poke> as usize,
        },
        Target {
            name: "bpf_prog_pack_alloc",
            function: kernel.pack_alloc,
            replacement: pack_alloc as Function<sys::bpf_pack_prog_pack_alloc> as usize,
        },
    ]
}

/// Takes over `bpf_prog_pack_alloc()`.
///
/// # Safety
///
/// As for the stock function.
unsafe extern "C" fn pack_alloc(
    size: u32,
    fill: sys::bpf_jit_fill_hole_t,
    was_classic: bool,
) -> *mut c_void {
    let entered = GATE.enter();
    if let Some(service) = entered.target() {
        let wants_zeroes = fill.is_some_and(|f| f as usize == service.kernel().fill_with_zero);
        if wants_zeroes {
            // A dispatcher's image is never freed: it would hold the module until the next boot.
            service.counters.refused.dispatcher.inc();
        } else if service.kernel().pred_flush_enabled() {
            service.counters.refused.predictor_flush.inc();
        } else {
            let customer = if was_classic {
                Customer::Classic
            } else {
                Customer::Any
            };
            if let Ok(address) = service.alloc(size as usize, customer) {
                return address.as_ptr().cast();
            }
        }
    }
    // SAFETY: The arguments are the caller's.
    let address = unsafe { pass_on::alloc(size, fill, was_classic) };
    proof::allocated(address as usize);
    address
}

/// Takes over `bpf_prog_pack_free()`.
///
/// # Safety
///
/// As for the stock function: nobody may enter the image at `ptr` any more.
unsafe extern "C" fn pack_free(ptr: *mut c_void, size: u32) {
    let entered = GATE.enter();
    // The books say how long the image is; the header in it says what was charged.
    let foreign = entered
        .target()
        .is_none_or(|service| service.free(ptr as usize) == Outcome::Foreign);
    if foreign {
        proof::freeing(ptr as usize);
        // SAFETY: The arguments are the caller's.
        unsafe { pass_on::free(ptr, size) };
    }
}

/// Takes over `bpf_jit_binary_pack_finalize()`.
///
/// Like the stock function it frees `rw`, and `ro` if it fails.
///
/// # Safety
///
/// As for the stock function: `rw` is a buffer from `kvmalloc()` that begins with its size.
unsafe extern "C" fn pack_finalize(
    ro: *mut sys::bpf_binary_header,
    rw: *mut sys::bpf_binary_header,
) -> c_int {
    let entered = GATE.enter();
    let outcome = entered.target().map_or(Outcome::Foreign, |service| {
        // SAFETY: The JIT passes a header of its own making, which begins with the size of the
        // whole buffer (checked in prototypes.c).
        let image = unsafe {
            let size = rw.cast::<u32>().read();
            core::slice::from_raw_parts(rw.cast::<u32>(), size as usize / INSN_SIZE)
        };
        service.finalize(
            ro as usize,
            Source::from(image),
            used_bytes(image, sys::break_insn()),
        )
    });
    let result = match outcome {
        Outcome::Foreign => {
            proof::finalizing(ro as usize);
            // SAFETY: The arguments are the caller's.
            return unsafe { pass_on::finalize(ro, rw) };
        }
        Outcome::Done => 0,
        Outcome::Failed(error) => {
            // An image that is final already, or about to be, is somebody's.
            if let Some(service) = entered.target().filter(|_| error != EBUSY) {
                service.free(ro as usize);
            }
            error.to_errno()
        }
    };
    // SAFETY: The buffer came from `kvmalloc()` and is ours to free.
    unsafe { bindings::kvfree(rw.cast()) };
    result
}

/// Takes over `bpf_arch_text_copy()`.
///
/// The compiler may have inlined it into its callers in bpf_jit_comp.c. The stock copy then writes
/// to our pack, through the same fixmap slot and lock, which is right too: nothing depends on this.
///
/// # Safety
///
/// As for the stock function.
unsafe extern "C" fn text_copy(dst: *mut c_void, src: *mut c_void, len: usize) -> *mut c_void {
    let entered = GATE.enter();
    let outcome = entered.target().map_or(Outcome::Foreign, |service| {
        // SAFETY: The caller lets the stock function read these bytes.
        let source = unsafe { Source::new(src.cast(), len) };
        service.write(dst as usize, source)
    });
    match outcome {
        Outcome::Done => dst,
        // SAFETY: The arguments are the caller's.
        Outcome::Foreign => unsafe { pass_on::text_copy(dst, src, len) },
        Outcome::Failed(error) => error.to_ptr(),
    }
}

/// Takes over `bpf_arch_text_poke()`: attaches a trampoline to a program, or detaches it.
///
/// Only a change that needs the program's PLT is done here, see `patchsite.rs`, and that also for
/// programs of the stock allocator: what is attached to them from now on is likely out of their
/// reach. Others change one instruction, which the stock function does through the same window.
///
/// # Safety
///
/// As for the stock function: the program at `ip` may not be freed meanwhile.
unsafe extern "C" fn text_poke(
    ip: *mut c_void,
    old_kind: bindings::bpf_text_poke_type,
    new_kind: bindings::bpf_text_poke_type,
    old: *mut c_void,
    new: *mut c_void,
) -> c_int {
    let entered = GATE.enter();
    let from = Branch {
        kind: old_kind,
        target: old as usize,
    };
    let to = Branch {
        kind: new_kind,
        target: new as usize,
    };
    let far = entered.target().and_then(|service| {
        let site = Site::find(service.kernel(), ip as usize)?;
        (site.is_long(from) || site.is_long(to)).then_some((service, site))
    });
    let Some((service, site)) = far else {
        // SAFETY: The arguments are the caller's.
        return unsafe { pass_on::text_poke(ip, old_kind, new_kind, old, new) };
    };
    service.counters.far_attachments.inc();
    // SAFETY: The caller keeps the program alive.
    match unsafe { site.change(service.kernel(), from, to) } {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
