// SPDX-License-Identifier: GPL-2.0

//! The patch site at a program's entry, where trampolines are attached.
//!
//! A program begins with a NOP. To attach a trampoline, the kernel replaces the NOP with a branch
//! to the trampoline or, if that is out of branch range, to a PLT at the end of the program. The
//! 64-bit target of the PLT is data in the image.
//!
//! `bpf_arch_text_poke()` (arch/arm64/net/bpf_jit_comp.c) calls `set_memory_rw()` before it writes
//! that target. That function refuses areas with huge mappings. In other areas it makes a page of
//! programs writable and executable, without a lock: of two tasks that attach to programs on one
//! page, one can remove the permission while the other is writing. So we write the target
//! ourselves, with the function that ftrace and static calls use for such literals. The order of
//! the steps is that of the stock function.

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

/// The number of instructions before the patch site: a landing pad if the kernel uses them, and
/// `mov x9, x30`
/// (arch/arm64/net/bpf_jit_comp.c, POKE_OFFSET).
const SITE_INDEX: usize = if cfg!(CONFIG_ARM64_BTI_KERNEL) { 2 } else { 1 };

/// The branch at a patch site, before or after a change.
#[derive(Clone, Copy)]
pub(crate) struct Branch {
    /// An `enum bpf_text_poke_type`.
    pub(crate) kind: c_uint,
    /// The target of the branch; 0 for a NOP.
    pub(crate) target: usize,
}

/// The addresses of a program's patch site and PLT.
pub(crate) struct Site {
    /// The address of the instruction that is changed.
    address: usize,
    /// The address of the PLT's code.
    plt: usize,
}

impl Site {
    /// Finds the patch site of the program that begins at `entry`, or [`None`] if no program does.
    pub(crate) fn find(kernel: &KernelFns, entry: usize) -> Option<Self> {
        let mut name = [0; bindings::KSYM_NAME_LEN as usize];
        let (mut size, mut offset) = (0usize, usize::MAX);
        // SAFETY: The function accepts any address. It writes two integers, and a string to a
        // buffer of KSYM_NAME_LEN bytes, as it needs.
        let found =
            unsafe { (kernel.address_lookup)(entry, &mut size, &mut offset, name.as_mut_ptr()) };
        if found == 0 || offset != 0 {
            return None;
        }
        // The size includes the code of the PLT, which is two instructions, but not its target.
        Some(Self {
            address: entry.checked_add(SITE_INDEX * INSN_SIZE)?,
            plt: entry.checked_add(size)?.checked_sub(2 * INSN_SIZE)?,
        })
    }

    /// Whether the target of `branch` is out of range, so that it needs the PLT.
    pub(crate) fn is_long(&self, branch: Branch) -> bool {
        branch.target != 0 && a64::is_long(self.address, branch.target)
    }

    /// Returns the target that the PLT needs for a change to `new`.
    ///
    /// It is always valid: a CPU may still be executing the PLT after a change to a NOP or to a
    /// direct branch.
    fn plt_leads_to(&self, kernel: &KernelFns, new: Branch) -> usize {
        if self.is_long(new) {
            new.target
        } else {
            kernel.dummy_tramp
        }
    }

    /// Encodes `branch`.
    fn instruction(&self, branch: Branch) -> u32 {
        let link = branch.kind == bindings::bpf_text_poke_type_BPF_MOD_CALL;
        match branch.target {
            0 => a64::NOP,
            _ if self.is_long(branch) => a64::branch(link, self.address, self.plt),
            target => a64::branch(link, self.address, target),
        }
    }

    /// Changes the branch from `old` to `new`, at least one of which needs the PLT. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the instruction is not that of `old`; those of
    /// `aarch64_insn_write_literal_u64()` and `aarch64_insn_patch_text_nosync()`.
    ///
    /// # Safety
    ///
    /// The program must not be freed during the call.
    pub(crate) unsafe fn change(&self, kernel: &KernelFns, old: Branch, new: Branch) -> Result {
        // The target comes first: as soon as the branch is there, CPUs execute the PLT.
        let target = self.plt.wrapping_add(2 * INSN_SIZE) as *mut c_void;
        let leads_to = self.plt_leads_to(kernel, new) as u64;
        faults::at(Point::FarTarget, EFAULT)?;
        // SAFETY: It is an aligned word at the end of the program, which the caller keeps. CPUs
        // that load it meanwhile see the old value or the new one.
        to_result(unsafe { (kernel.write_literal)(target, leads_to) })?;
        let (old, new) = (self.instruction(old), self.instruction(new));
        if old == new {
            return Ok(());
        }
        faults::at(Point::FarBranch, EFAULT)?;
        // SAFETY: By the invariants of `KernelFns` this is the kernel's `text_mutex`, which
        // `aarch64_insn_patch_text_nosync()` needs. The instruction is in the program, which the
        // caller keeps.
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
