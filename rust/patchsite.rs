// SPDX-License-Identifier: GPL-2.0

//! The place at a program's entry where a trampoline is attached.
//!
//! A program begins with a NOP that becomes a branch to its trampoline. A trampoline that is out of
//! branch range is reached through a PLT at the end of the program, whose 64-bit target is data in
//! the image. `bpf_arch_text_poke()` (arch/arm64/net/bpf_jit_comp.c) writes that target after
//! `set_memory_rw()`, which refuses areas with huge mappings and otherwise makes a page of programs
//! writable and executable, without a lock: of two who attach to programs on one page, one takes the
//! permission away under the other's write. So it is done here, with the function by which ftrace and
//! static calls write such literals; the order of the steps is the stock function's.

use crate::a64::{
    self,
    INSN_SIZE, //
};
use crate::faults::{
    self,
    Point, //
};
use crate::ksym::KernelFns;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// Instructions before the patch site: a landing pad where the kernel has them, then `mov x9, x30`
/// (arch/arm64/net/bpf_jit_comp.c, POKE_OFFSET).
const SITE_INDEX: usize = if cfg!(CONFIG_ARM64_BTI_KERNEL) { 2 } else { 1 };

/// One side of a change: what kind of branch, and where to.
#[derive(Clone, Copy)]
pub(crate) struct Branch {
    /// `enum bpf_text_poke_type`.
    pub(crate) kind: c_uint,
    /// The target; 0 for none, which is a NOP.
    pub(crate) target: usize,
}

/// The parts of a program that matter here, by address.
pub(crate) struct Site {
    /// The instruction that is changed.
    address: usize,
    /// The code of the PLT.
    plt: usize,
}

impl Site {
    /// Finds the patch site of the program that begins at `entry`, or [`None`] if no program does.
    pub(crate) fn find(kernel: &KernelFns, entry: usize) -> Option<Self> {
        let mut name = [0; bindings::KSYM_NAME_LEN as usize];
        let (mut size, mut offset) = (0usize, usize::MAX);
        // SAFETY: Three places to write to, the last of which has the length that the function
        // expects.
        let found =
            unsafe { (kernel.address_lookup)(entry, &mut size, &mut offset, name.as_mut_ptr()) };
        if found == 0 || offset != 0 {
            return None;
        }
        // The size counts the code of the PLT, two instructions, but not its target.
        Some(Self {
            address: entry.checked_add(SITE_INDEX * INSN_SIZE)?,
            plt: entry.checked_add(size)?.checked_sub(2 * INSN_SIZE)?,
        })
    }

    /// Whether `branch` needs the PLT.
    pub(crate) fn is_long(&self, branch: Branch) -> bool {
        branch.target != 0 && a64::is_long(self.address, branch.target)
    }

    /// What the PLT has to lead to for a change to `new`.
    ///
    /// Never nowhere: a CPU may still be on its way through the PLT after the change.
    fn plt_leads_to(&self, kernel: &KernelFns, new: Branch) -> usize {
        if self.is_long(new) {
            new.target
        } else {
            kernel.dummy_tramp
        }
    }

    /// The instruction for `branch`.
    fn instruction(&self, branch: Branch) -> u32 {
        let link = branch.kind == bindings::bpf_text_poke_type_BPF_MOD_CALL;
        match branch.target {
            0 => a64::NOP,
            _ if self.is_long(branch) => a64::branch(link, self.address, self.plt),
            target => a64::branch(link, self.address, target),
        }
    }

    /// Changes the site from `old` to `new`, one of which needs the PLT. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the instruction is not that of `old`; what `aarch64_insn_write_literal_u64()` and
    /// `aarch64_insn_patch_text_nosync()` return.
    ///
    /// # Safety
    ///
    /// The site must be in an image that lives throughout.
    pub(crate) unsafe fn change(&self, kernel: &KernelFns, old: Branch, new: Branch) -> Result {
        // The PLT first: whoever takes the branch to it must find a target.
        let target = self.plt.wrapping_add(2 * INSN_SIZE) as *mut c_void;
        let leads_to = self.plt_leads_to(kernel, new) as u64;
        faults::at(Point::FarTarget, EFAULT)?;
        // SAFETY: The target is an aligned word at the end of the program, which lives. Others may
        // load it meanwhile and see the old value or the new one.
        to_result(unsafe { (kernel.write_literal)(target, leads_to) })?;
        let (old, new) = (self.instruction(old), self.instruction(new));
        if old == new {
            return Ok(());
        }
        faults::at(Point::FarBranch, EFAULT)?;
        // SAFETY: `text_mutex` is the kernel's by the invariants of `KernelFns`; the site is
        // readable by the caller. The stock function patches through the same window.
        let error = unsafe {
            bindings::mutex_lock(kernel.text_mutex.as_ptr());
            let found = (self.address as *const u32).read_volatile();
            let error = if found == old {
                (kernel.patch_text)(self.address as *mut c_void, new)
            } else {
                EFAULT.to_errno()
            };
            bindings::mutex_unlock(kernel.text_mutex.as_ptr());
            error
        };
        to_result(error)
    }
}
