// SPDX-License-Identifier: GPL-2.0

//! Goes on to the stock functions, behind what is attached to them.
//!
//! A call of the stock function from here would come back through the redirection. Telling such a
//! call by its return address does not work: a kretprobe stands before ftrace's patch site and has
//! replaced it. So `behind.S` enters the function behind the patch site, where ftrace itself goes
//! on to: nothing is called twice, and no tracer sees the call twice.

use super::entry::{
    Target,
    COUNT, //
};
use crate::a64::INSN_SIZE;
use crate::ksym::KernelFns;
use crate::sys;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The address behind the branch at the patch site of each hooked function, in the order of [`Target`]s, which
/// `behind.S` knows.
#[no_mangle]
#[link_section = ".data..ro_after_init"]
static BPF_PACK_BEHIND: [Atomic<usize>; COUNT] = [const { Atomic::new(0) }; COUNT];

/// Finds where the stock functions go on behind their patch sites; to be done before any is hooked.
///
/// # Errors
///
/// `EINVAL` if ftrace does not know one of them; the log names it.
pub(super) fn prepare(kernel: &KernelFns, targets: &[Target; COUNT]) -> Result {
    for (target, behind) in targets.iter().zip(&BPF_PACK_BEHIND) {
        // SAFETY: Looks a number up.
        let site = unsafe { (kernel.ftrace_location)(target.function) };
        if site == 0 {
            pr_err!(
                "ftrace cannot hook {}: this kernel is not supported\n",
                target.name
            );
            return Err(EINVAL);
        }
        behind.store(site.saturating_add(INSN_SIZE), Relaxed);
    }
    Ok(())
}

/// The stock functions, each with the contract that it has in the kernel.
///
/// They may only be called once [`prepare`] has succeeded: all functions of `entry.rs` are entered
/// through a hook, which comes after it.
pub(super) use sys::{
    bpf_pack_pass_on_alloc as alloc,
    bpf_pack_pass_on_finalize as finalize,
    bpf_pack_pass_on_free as free,
    bpf_pack_pass_on_text_copy as text_copy,
    bpf_pack_pass_on_text_poke as text_poke, //
};
