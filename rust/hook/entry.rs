// SPDX-License-Identifier: GPL-2.0

//! The functions that replace the stock functions (Linux 7.3, kernel/bpf/core.c).
//!
//! The address decides who owns an image: if it is in none of our packs, the replacement passes the
//! call on to the stock function, unchanged. It also passes on requests that the service refuses.
//! All replacements run in contexts that may sleep, as the stock functions do.
//!
//! Every replacement enters [`GATE`] first and stays entered until it returns, also while it is in
//! the stock function. So the module's code is not freed while a task sleeps there.

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
    self,
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
/// The function that makes images comes last, because the others must be ready for our images. The
/// module can do without the one before it, which not every kernel has. `enter_stock.S` relies on the
/// order.
pub(super) fn targets(kernel: &KernelFns) -> [Option<Target>; COUNT] {
    let target = |name, function, replacement| {
        Some(Target {
            name,
            function,
            replacement,
            optional: None,
        })
    };
    [
        target(
            "bpf_prog_pack_free",
            kernel.pack_free,
            pack_free as Function<sys::bpf_pack_prog_pack_free> as usize,
        ),
        target(
            "bpf_jit_binary_pack_finalize",
            kernel.pack_finalize,
            pack_finalize as Function<sys::bpf_pack_binary_pack_finalize> as usize,
        ),
        target(
            "bpf_arch_text_copy",
            kernel.text_copy,
            text_copy as Function<sys::bpf_pack_text_copy> as usize,
        ),
        target(
            "bpf_arch_text_poke",
            kernel.text_poke,
            text_poke as Function<sys::bpf_pack_text_poke> as usize,
        ),
        kernel.fixup_call_args.map(|function| Target {
            name: "bpf_fixup_call_args",
            function,
            replacement: fixup_call_args as Function<sys::bpf_pack_fixup_call_args> as usize,
            optional: Some(ksym::WITHOUT_FIXUP_CALL_ARGS),
        }),
        target(
            "bpf_prog_pack_alloc",
            kernel.pack_alloc,
            pack_alloc as Function<sys::bpf_pack_prog_pack_alloc> as usize,
        ),
    ]
}

/// Replaces `bpf_prog_pack_alloc()`.
///
/// # Safety
///
/// That of the stock function.
unsafe extern "C" fn pack_alloc(
    size: u32,
    fill: sys::bpf_jit_fill_hole_t,
    was_classic: bool,
) -> *mut c_void {
    let entered = GATE.enter();
    if let Some(service) = entered.target() {
        let wants_zeroes = fill.is_some_and(|f| f as usize == service.kernel().fill_with_zero);
        if wants_zeroes {
            // The kernel never frees this image of the dispatcher: it would hold the module for
            // ever.
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
    // SAFETY: The arguments are those of the caller, who keeps the contract of the stock function.
    let address = unsafe { pass_on::alloc(size, fill, was_classic) };
    proof::allocated(address as usize);
    address
}

/// Replaces `bpf_prog_pack_free()`.
///
/// # Safety
///
/// That of the stock function: nobody may enter the image at `ptr` any more.
unsafe extern "C" fn pack_free(ptr: *mut c_void, size: u32) {
    let entered = GATE.enter();
    // This ignores `size`, the size that was charged: the books have the real length.
    let foreign = entered
        .target()
        .is_none_or(|service| service.free(ptr as usize) == Outcome::Foreign);
    if foreign {
        proof::freeing(ptr as usize);
        // SAFETY: The arguments are those of the caller, who keeps the contract of the stock
        // function.
        unsafe { pass_on::free(ptr, size) };
    }
}

/// Replaces `bpf_jit_binary_pack_finalize()`.
///
/// Like the stock function it frees `rw`, and also `ro` if it fails.
///
/// # Safety
///
/// That of the stock function: `rw` is a buffer from `kvmalloc()` that begins with its size.
unsafe extern "C" fn pack_finalize(
    ro: *mut sys::bpf_binary_header,
    rw: *mut sys::bpf_binary_header,
) -> c_int {
    let entered = GATE.enter();
    let outcome = entered.target().map_or(Outcome::Foreign, |service| {
        // SAFETY: The JIT has made the buffer. Its header begins with the size of the whole buffer
        // (checked in prototypes.c), and nobody else uses it now.
        let image = unsafe {
            let size = rw.cast::<u32>().read();
            core::slice::from_raw_parts(rw.cast::<u32>(), size as usize / INSN_SIZE)
        };
        service.finalize(ro as usize, Source::from(image), used_bytes(image))
    });
    let result = match outcome {
        Outcome::Foreign => {
            proof::finalizing(ro as usize);
            // SAFETY: The arguments are those of the caller, who keeps the contract of the stock
            // function.
            return unsafe { pass_on::finalize(ro, rw) };
        }
        Outcome::Done => 0,
        Outcome::Failed(error) => {
            // With EBUSY the image is live, or another task is finalizing it: its owner frees it.
            if let Some(service) = entered.target().filter(|_| error != EBUSY) {
                service.free(ro as usize);
            }
            error.to_errno()
        }
    };
    // SAFETY: The buffer is from `kvmalloc()`, and the caller leaves it to this function to free
    // it.
    unsafe { bindings::kvfree(rw.cast()) };
    result
}

/// Replaces `bpf_arch_text_copy()`.
///
/// The compiler may have inlined the stock function into its callers in bpf_jit_comp.c. Then the
/// stock code writes to our pack, through the same fixmap slot and with the same lock. That is
/// correct, too: nothing depends on this hook.
///
/// # Safety
///
/// That of the stock function.
unsafe extern "C" fn text_copy(dst: *mut c_void, src: *mut c_void, len: usize) -> *mut c_void {
    let entered = GATE.enter();
    let outcome = entered.target().map_or(Outcome::Foreign, |service| {
        // SAFETY: The caller passes these bytes to a function that copies them to a program.
        let source = unsafe { Source::new(src.cast(), len) };
        service.write(dst as usize, source)
    });
    match outcome {
        Outcome::Done => dst,
        // SAFETY: The arguments are those of the caller, who keeps the contract of the stock
        // function.
        Outcome::Foreign => unsafe { pass_on::text_copy(dst, src, len) },
        Outcome::Failed(error) => error.to_ptr(),
    }
}

/// Replaces `bpf_arch_text_poke()`, which attaches a trampoline to a program, or detaches it.
///
/// It makes only those changes that need the program's PLT (`patchsite.rs`), but also for programs
/// of the stock allocator: our trampolines are likely out of their branch range. All other changes
/// concern one instruction; the stock function makes them through the same fixmap window.
///
/// # Safety
///
/// That of the stock function: the program at `ip` must not be freed during the call.
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
        // SAFETY: The arguments are those of the caller, who keeps the contract of the stock
        // function.
        return unsafe { pass_on::text_poke(ip, old_kind, new_kind, old, new) };
    };
    service.counters.far_attachments.inc();
    // SAFETY: The caller keeps the program during the call.
    match unsafe { site.change(service.kernel(), from, to) } {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// Replaces `bpf_fixup_call_args()`, in which the kernel finalizes all images of a program of
/// several functions: they share one synchronisation at its end.
///
/// # Safety
///
/// That of the stock function: `env` is that of a program that this task verifies.
unsafe extern "C" fn fixup_call_args(env: *mut sys::bpf_verifier_env) -> c_int {
    let entered = GATE.enter();
    // SAFETY: The caller passes a valid `env`.
    let functions = unsafe { sys::bpf_pack_helper_functions(env) };
    let load = entered
        .target()
        .filter(|_| functions > 1)
        .and_then(|service| service.begin_load(functions as usize));
    // SAFETY: The argument is that of the caller, who keeps the contract of the stock function.
    let result = unsafe { pass_on::fixup_call_args(env) };
    // Only when this function has returned does anybody learn of the program.
    drop(load);
    result
}
