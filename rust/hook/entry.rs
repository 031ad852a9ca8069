// SPDX-License-Identifier: GPL-2.0

//! The functions that take over from the stock ones (Linux 7.3, kernel/bpf/core.c).
//!
//! Ownership is decided by address: what is not in one of our packs goes to the stock function
//! untouched. What we cannot serve, the stock function serves. All of them run in contexts that may
//! sleep, as the stock ones do.
//!
//! Every function holds an entry of [`GATE`] across everything it calls. That keeps this module's
//! text in place while the stock function sleeps, and it keeps a call of the stock function from
//! becoming a tail call: the hook would then see the JIT as the caller and redirect it again.

use crate::ksym::{
    FillHole,
    KernelFns,
    PackAlloc,
    PackFinalize,
    PackFree,
    TextCopy,
    TextPoke, //
};
use crate::patchsite::{
    Branch,
    Site, //
};
use crate::poke::{
    Source,
    INSN_SIZE, //
};
use crate::service::{
    Freed,
    Service,
    GATE, //
};
use crate::sys;
use kernel::bindings;
use kernel::prelude::*;

/// How many functions are hooked.
pub(super) const COUNT: usize = 5;

/// A function to hook.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) function: usize,
    pub(super) replacement: usize,
}

/// The stock functions and what takes over.
///
/// In the order in which they are attached: those that deal with images of ours before the one that
/// makes them.
pub(super) fn targets(kernel: &KernelFns) -> [Target; COUNT] {
    [
        Target {
            name: "bpf_prog_pack_free",
            function: kernel.pack_free as usize,
            replacement: pack_free as PackFree as usize,
        },
        Target {
            name: "bpf_jit_binary_pack_finalize",
            function: kernel.pack_finalize as usize,
            replacement: pack_finalize as PackFinalize as usize,
        },
        Target {
            name: "bpf_arch_text_copy",
            function: kernel.text_copy as usize,
            replacement: text_copy as TextCopy as usize,
        },
        Target {
            name: "bpf_arch_text_poke",
            function: kernel.text_poke as usize,
            replacement: text_poke as TextPoke as usize,
        },
        Target {
            name: "bpf_prog_pack_alloc",
            function: kernel.pack_alloc as usize,
            replacement: pack_alloc as PackAlloc as usize,
        },
    ]
}

/// The stock functions.
fn stock() -> &'static KernelFns {
    // SAFETY: The functions here run because hooks were attached, with symbols that had been
    // resolved.
    unsafe { KernelFns::resolved().unwrap_unchecked() }
}

/// Takes over `bpf_prog_pack_alloc()`.
///
/// # Safety
///
/// As for the stock function.
unsafe extern "C" fn pack_alloc(size: u32, fill: FillHole, was_classic: bool) -> *mut c_void {
    let entered = GATE.enter();
    if let Some(service) = entered.target() {
        let wants_zeroes = fill.is_some_and(|f| f as usize == service.kernel().fill_with_zero);
        if wants_zeroes {
            // A dispatcher's image is never freed: it would hold the module until the next boot.
            service.counters.refused.dispatcher.inc();
        } else if service.kernel().pred_flush_enabled() {
            service.counters.refused.pred_flush.inc();
        } else if let Ok(address) = service.alloc(size as usize) {
            return address.as_ptr().cast();
        }
    }
    // SAFETY: The arguments are the caller's.
    unsafe { (stock().pack_alloc)(size, fill, was_classic) }
}

/// Takes over `bpf_prog_pack_free()`.
///
/// # Safety
///
/// As for the stock function: nobody may enter the image at `ptr` any more.
unsafe extern "C" fn pack_free(ptr: *mut c_void, size: u32) {
    let entered = GATE.enter();
    // The books say how long the image is; the header in it says what was charged.
    let ours = entered.target().map(|service| service.free(ptr as usize));
    if ours.is_none() || ours == Some(Freed::Foreign) {
        // SAFETY: The arguments are the caller's.
        unsafe { (stock().pack_free)(ptr, size) };
    }
}

/// Takes over `bpf_jit_binary_pack_finalize()`.
///
/// Like the stock function it frees `rw`, and `ro` if it fails.
///
/// # Safety
///
/// As for the stock function: `rw` is a buffer from `kvmalloc()` that begins with its size.
unsafe extern "C" fn pack_finalize(ro: *mut c_void, rw: *mut c_void) -> c_int {
    let entered = GATE.enter();
    let Some(service) = owner(entered.target(), ro) else {
        // SAFETY: The arguments are the caller's.
        return unsafe { (stock().pack_finalize)(ro, rw) };
    };
    // SAFETY: The JIT passes a `bpf_binary_header` of its own making, which begins with the size of
    // the whole buffer (checked in prototypes.c).
    let image = unsafe {
        let size = rw.cast::<u32>().read();
        core::slice::from_raw_parts(rw.cast::<u32>(), size as usize / INSN_SIZE)
    };
    let source = Source {
        start: rw.cast::<u8>(),
        len: size_of_val(image),
    };
    let result = service.finalize(ro as usize, source, used_bytes(image));
    // SAFETY: The buffer came from `kvmalloc()` and is ours to free.
    unsafe { bindings::kvfree(rw) };
    match result {
        Ok(()) => 0,
        Err(error) => {
            // An image that is final already, or about to be, is somebody's.
            if error != EBUSY {
                service.free(ro as usize);
            }
            error.to_errno()
        }
    }
}

/// Bytes of `image` up to the traps that fill its end.
///
/// The JIT reserves for the longest code it might emit and fills the rest with BRK. The last word
/// of what it emits is never BRK: it is half of a kernel address in the PLT or the type of an
/// exception-table entry (arch/arm64/net/bpf_jit_comp.c, build_plt()).
fn used_bytes(image: &[u32]) -> usize {
    // SAFETY: Returns a constant.
    let trap = unsafe { sys::bpf_pack_helper_break_insn() };
    let used = image.iter().rposition(|&word| word != trap);
    used.map_or(0, |last| last.saturating_add(1))
        .saturating_mul(INSN_SIZE)
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
    let Some(service) = owner(entered.target(), dst) else {
        // SAFETY: The arguments are the caller's.
        return unsafe { (stock().text_copy)(dst, src, len) };
    };
    let source = Source {
        start: src.cast::<u8>().cast_const(),
        len,
    };
    match service.write(dst as usize, source) {
        Ok(()) => dst,
        Err(error) => error.to_ptr(),
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
    old_kind: c_uint,
    new_kind: c_uint,
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
        return unsafe { (stock().text_poke)(ip, old_kind, new_kind, old, new) };
    };
    service.counters.far_attached.inc();
    // SAFETY: The caller keeps the program alive.
    match unsafe { site.change(stock(), from, to) } {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// The service, if the address is in one of its packs.
fn owner(service: Option<&Service>, address: *mut c_void) -> Option<&Service> {
    service.filter(|service| service.owns(address as usize))
}
