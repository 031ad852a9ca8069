// SPDX-License-Identifier: GPL-2.0

//! Passes calls on to the stock functions, past whatever is attached to those.
//!
//! If we called a stock function, ftrace would redirect the call to us again. The return address
//! cannot tell such a call from others: a kretprobe stands before ftrace's patch site and has
//! replaced it. So `enter_stock.S` enters the function after its patch site, at the instruction
//! where ftrace itself continues. No function is called twice and no tracer sees a call twice.

use super::target::{
    Target,
    COUNT, //
};
use crate::a64::INSN_SIZE;
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use crate::sys;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// Where `enter_stock.S` enters each stock function: the instruction after its patch site. In the
/// order of [`targets()`](super::entry::targets), which `enter_stock.S` relies on.
#[no_mangle]
#[link_section = ".data..ro_after_init"]
static BPF_PACK_ENTRIES: [Atomic<usize>; COUNT] = [const { Atomic::new(0) }; COUNT];

/// Finds the instruction after the patch site of each stock function. Call it before any of them is
/// hooked. It takes out an optional one that ftrace does not know.
///
/// # Errors
///
/// `EINVAL` if ftrace does not know one of them; the log names it.
pub(super) fn prepare(kernel: &KernelFns, targets: &mut [Option<Target>; COUNT]) -> Result {
    for (slot, entry) in targets.iter_mut().zip(&BPF_PACK_ENTRIES) {
        let Some(target) = slot else {
            continue;
        };
        // SAFETY: `ftrace_location()` takes any address: it only searches ftrace's own table.
        let site = unsafe { (kernel.ftrace_location)(target.function) };
        if site == 0 || faults::at(Point::HookSite, EINVAL).is_err() {
            if target.can_miss("ftrace does not know it") {
                *slot = None;
                continue;
            }
            pr_err!(
                "ftrace cannot hook {}: this kernel is not supported\n",
                target.name
            );
            return Err(EINVAL);
        }
        entry.store(site.saturating_add(INSN_SIZE), Relaxed);
    }
    Ok(())
}

/// The stock functions, each with the contract that it has in the kernel.
///
/// They may only be called after [`prepare`] has succeeded. That holds for all callers: the
/// functions of `entry.rs` run only while hooks are attached, and [`prepare`] comes before
/// attaching.
pub(super) use sys::{
    bpf_pack_pass_on_alloc as alloc,
    bpf_pack_pass_on_finalize as finalize,
    bpf_pack_pass_on_fixup_call_args as fixup_call_args,
    bpf_pack_pass_on_free as free,
    bpf_pack_pass_on_text_copy as text_copy,
    bpf_pack_pass_on_text_poke as text_poke, //
};
