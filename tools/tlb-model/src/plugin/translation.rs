// SPDX-License-Identifier: GPL-2.0

//! What is attached to the instructions of a translation block.

use crate::counters::Inline;
use crate::decode::{decode, Op};
use crate::ffi::{self, Data, Tb};
use crate::plugin::callbacks::{on_data, on_insn, on_irqs, on_page, pack};
use crate::plugin::state::{Plugin, NEVER_PAGE, SECOND_PAGE};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

/// QEMU made a translation block: attaches the callbacks and counters to it.
pub(super) unsafe extern "C" fn on_translation(tb: Tb, _: Data) {
    let plugin = Plugin::get();
    // SAFETY: `tb` is valid in this callback, and so are its instructions.
    unsafe {
        let count = ffi::qemu_plugin_tb_n_insns(tb);
        let insns = || (0..count).map(|i| ffi::qemu_plugin_tb_get_insn(tb, i));
        let Some(va) = insns().next().map(|insn| ffi::qemu_plugin_insn_vaddr(insn)) else {
            return;
        };
        if !plugin.counting.load(Ordering::Relaxed) {
            insns().for_each(|insn| attach_marker(insn));
            return;
        }
        // A block crosses at most one page boundary.
        let crossing = insns()
            .position(|insn| ffi::qemu_plugin_insn_vaddr(insn) >> 12 != va >> 12)
            .unwrap_or(count);
        attach_page(plugin, tb, None, va, crossing);
        let tbs = plugin.inline[Inline::Tbs as usize];
        ffi::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, ffi::INLINE_ADD_U64, tbs, 1);
        for (i, insn) in insns().enumerate() {
            if i == crossing {
                attach_page(plugin, tb, Some(insn), va, count - crossing);
            }
            if plugin.options.data() {
                ffi::qemu_plugin_register_vcpu_mem_cb(
                    insn,
                    on_data,
                    ffi::CB_NO_REGS,
                    ffi::MEM_RW,
                    ptr::null_mut(),
                );
            }
            let end = if i < crossing { crossing } else { count };
            attach_op(plugin, insn, word_of(insn), end - i - 1);
        }
    }
}

/// The instruction's word.
///
/// # Safety
///
/// To be called in the translation callback of the block that `insn` belongs to.
unsafe fn word_of(insn: ffi::Insn) -> u32 {
    let mut word = [0; 4];
    // SAFETY: As promised by the caller; the buffer has as many bytes as are asked for.
    unsafe {
        ffi::qemu_plugin_insn_data(insn, word.as_mut_ptr().cast::<c_void>(), word.len());
    }
    u32::from_le_bytes(word)
}

/// Attaches the callback to an instruction that is a marker.
///
/// # Safety
///
/// To be called in the translation callback of the block that `insn` belongs to.
unsafe fn attach_marker(insn: ffi::Insn) {
    // SAFETY: As promised by the caller.
    unsafe {
        let word = word_of(insn);
        if matches!(decode(word), Some(Op::Marker(_))) {
            let data = pack(word, 0);
            ffi::qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, ffi::CB_R_REGS, data);
        }
    }
}

/// Attaches the lookup and the instruction counter to the part of a block that lies on one page:
/// the first (`insn` is `None`) or the second, which begins at `insn`. `va` is where the block
/// begins; the part has `count` instructions.
///
/// # Safety
///
/// To be called in the translation callback of `tb`; `insn` belongs to it.
unsafe fn attach_page(plugin: &Plugin, tb: Tb, insn: Option<ffi::Insn>, va: u64, count: usize) {
    let address = match insn {
        None => va,
        Some(_) => (va & !0xfff).wrapping_add(0x1000) | SECOND_PAGE,
    };
    let data: Data = ptr::without_provenance_mut(address as usize);
    let (add, counter) = (ffi::INLINE_ADD_U64, plugin.inline[Inline::Insns as usize]);
    let (regs, ne, page) = (ffi::CB_R_REGS, ffi::COND_NE, plugin.page);
    // The slow mode attaches the same code: with other code, translation blocks would end elsewhere
    // and the guest would be interrupted at other instructions.
    let compare = if plugin.options.slow {
        NEVER_PAGE
    } else {
        address >> 12
    };
    // The counter comes second, so that the callback sees it without this part.
    // SAFETY: As promised by the caller.
    unsafe {
        match insn {
            None => ffi::qemu_plugin_register_vcpu_tb_exec_cond_cb(
                tb, on_page, regs, ne, page, compare, data,
            ),
            Some(insn) => ffi::qemu_plugin_register_vcpu_insn_exec_cond_cb(
                insn, on_page, regs, ne, page, compare, data,
            ),
        }
        match insn {
            None => ffi::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
                tb,
                add,
                counter,
                count as u64,
            ),
            Some(insn) => ffi::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
                insn,
                add,
                counter,
                count as u64,
            ),
        }
    }
}

/// Attaches the callback or counter that an instruction needs.
///
/// # Safety
///
/// To be called in the translation callback of the block that `insn` belongs to.
unsafe fn attach_op(plugin: &Plugin, insn: ffi::Insn, word: u32, following: usize) {
    let counter = match decode(word) {
        None => return,
        Some(Op::IcIvau) => Inline::IcIvau,
        Some(Op::IcAll) => Inline::IcAll,
        Some(Op::DcCvau) => Inline::DcCvau,
        Some(Op::Isb) => Inline::Isb,
        Some(Op::Dsb) => Inline::Dsb,
        Some(Op::DsbNxs) => Inline::DsbNxs,
        Some(Op::Svc) => Inline::Svc,
        Some(Op::IrqMask | Op::IrqUnmask | Op::Daif(_) | Op::Eret) => {
            let (data, regs, watch) = (pack(word, following), ffi::CB_R_REGS, plugin.watch);
            // SAFETY: As promised by the caller.
            unsafe {
                ffi::qemu_plugin_register_vcpu_insn_exec_cond_cb(
                    insn,
                    on_irqs,
                    regs,
                    ffi::COND_NE,
                    watch,
                    0,
                    data,
                );
            }
            return;
        }
        Some(Op::Tlbi(_) | Op::Regime | Op::Sgi(_) | Op::Marker(_)) => {
            let data = pack(word, following);
            // SAFETY: As promised by the caller.
            unsafe {
                ffi::qemu_plugin_register_vcpu_insn_exec_cb(insn, on_insn, ffi::CB_R_REGS, data);
            }
            return;
        }
    };
    let (add, entry) = (ffi::INLINE_ADD_U64, plugin.inline[counter as usize]);
    // SAFETY: As promised by the caller.
    unsafe { ffi::qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, add, entry, 1) };
}
