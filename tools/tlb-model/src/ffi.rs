// SPDX-License-Identifier: GPL-2.0

//! The part of QEMU's TCG plugin API, version 7, that the plugin uses, and the three glib functions
//! that its buffers need. The symbols are those of the QEMU process that loads the plugin.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The API version that these declarations are for. Other versions have other prototypes.
pub(crate) const API_VERSION: c_int = 7;

/// Identifies the plugin to QEMU.
pub(crate) type Id = u64;
/// The data of a callback, which QEMU passes to it.
pub(crate) type Data = *mut c_void;
/// A translation block, valid in the translation callback.
pub(crate) type Tb = *mut c_void;
/// An instruction of a translation block, valid in the translation callback.
pub(crate) type Insn = *mut c_void;
/// A register of a CPU.
pub(crate) type Register = *mut c_void;

/// A callback without arguments besides its data.
pub(crate) type PlainCb = unsafe extern "C" fn(Data);
/// A callback of one CPU.
pub(crate) type VcpuCb = unsafe extern "C" fn(c_uint, Data);
/// The callback for a new translation block.
pub(crate) type TransCb = unsafe extern "C" fn(Tb, Data);
/// The callback for a discontinuity: CPU, kind, address before and after.
pub(crate) type DisconCb = unsafe extern "C" fn(c_uint, c_int, u64, u64, Data);
/// The callback for a data access: CPU, description, virtual address.
pub(crate) type MemCb = unsafe extern "C" fn(c_uint, u32, u64, Data);

/// `enum qemu_plugin_cb_flags`: what a callback may do with registers.
pub(crate) const CB_NO_REGS: c_int = 0;
/// The callback reads registers.
pub(crate) const CB_R_REGS: c_int = 1;
/// `enum qemu_plugin_cond`: not equal.
pub(crate) const COND_NE: c_int = 3;
/// `enum qemu_plugin_discon_type`: interrupts and exceptions.
pub(crate) const DISCON_TAKEN: c_int = 1 | 2;
/// `enum qemu_plugin_op`: add to a 64-bit number.
pub(crate) const INLINE_ADD_U64: c_int = 0;
/// `enum qemu_plugin_mem_rw`: reads and writes.
pub(crate) const MEM_RW: c_int = 3;

/// `struct qemu_info_t`.
#[repr(C)]
pub(crate) struct Info {
    /// Name of the target, NUL-terminated.
    pub(crate) target_name: *const c_char,
    /// The oldest API version that QEMU accepts.
    pub(crate) version_min: c_int,
    /// The API version that QEMU implements.
    pub(crate) version_cur: c_int,
    /// Whether a whole system is emulated.
    pub(crate) system_emulation: bool,
    /// CPUs at the start; system emulation only.
    pub(crate) smp_vcpus: c_int,
    /// CPUs at most; system emulation only.
    pub(crate) max_vcpus: c_int,
}

/// `qemu_plugin_u64`: a 64-bit number per CPU.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct U64 {
    /// The scoreboard that holds it.
    pub(crate) score: *mut c_void,
    /// Its offset in the scoreboard's row of a CPU.
    pub(crate) offset: usize,
}

/// `qemu_plugin_reg_descriptor`.
#[repr(C)]
pub(crate) struct RegisterDescriptor {
    /// Opaque.
    pub(crate) handle: Register,
    /// Name, NUL-terminated, lives as long as QEMU.
    pub(crate) name: *const c_char,
    /// Name of the group.
    pub(crate) feature: *const c_char,
    /// Whether the register is read-only.
    pub(crate) is_readonly: bool,
}

/// glib's `GArray`, the public part.
#[repr(C)]
pub(crate) struct GArray {
    /// The elements.
    pub(crate) data: *mut c_char,
    /// Number of elements.
    pub(crate) len: c_uint,
}

/// glib's `GByteArray`, the public part.
#[repr(C)]
pub(crate) struct GByteArray {
    /// The bytes.
    pub(crate) data: *mut u8,
    /// Number of bytes.
    pub(crate) len: c_uint,
}

extern "C" {
    pub(crate) fn qemu_plugin_reset(id: Id, cb: PlainCb, data: Data);
    pub(crate) fn qemu_plugin_register_vcpu_init_cb(id: Id, cb: VcpuCb, data: Data);
    pub(crate) fn qemu_plugin_register_vcpu_resume_cb(id: Id, cb: VcpuCb, data: Data);
    pub(crate) fn qemu_plugin_register_vcpu_discon_cb(
        id: Id,
        kind: c_int,
        cb: DisconCb,
        data: Data,
    );
    pub(crate) fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, cb: TransCb, data: Data);
    pub(crate) fn qemu_plugin_register_atexit_cb(id: Id, cb: PlainCb, data: Data);

    pub(crate) fn qemu_plugin_register_vcpu_tb_exec_cond_cb(
        tb: Tb,
        cb: VcpuCb,
        flags: c_int,
        cond: c_int,
        entry: U64,
        imm: u64,
        data: Data,
    );
    pub(crate) fn qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
        tb: Tb,
        op: c_int,
        entry: U64,
        imm: u64,
    );
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: Insn,
        cb: VcpuCb,
        flags: c_int,
        data: Data,
    );
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_cond_cb(
        insn: Insn,
        cb: VcpuCb,
        flags: c_int,
        cond: c_int,
        entry: U64,
        imm: u64,
        data: Data,
    );
    pub(crate) fn qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
        insn: Insn,
        op: c_int,
        entry: U64,
        imm: u64,
    );
    pub(crate) fn qemu_plugin_register_vcpu_mem_cb(
        insn: Insn,
        cb: MemCb,
        flags: c_int,
        rw: c_int,
        data: Data,
    );

    pub(crate) fn qemu_plugin_tb_n_insns(tb: Tb) -> usize;
    pub(crate) fn qemu_plugin_tb_get_insn(tb: Tb, index: usize) -> Insn;
    pub(crate) fn qemu_plugin_insn_data(insn: Insn, dest: *mut c_void, len: usize) -> usize;
    pub(crate) fn qemu_plugin_insn_vaddr(insn: Insn) -> u64;

    pub(crate) fn qemu_plugin_get_registers() -> *mut GArray;
    pub(crate) fn qemu_plugin_read_register(handle: Register, buffer: *mut GByteArray) -> bool;
    pub(crate) fn qemu_plugin_read_memory_hwaddr(
        pa: u64,
        buffer: *mut GByteArray,
        len: usize,
    ) -> c_int;
    pub(crate) fn qemu_plugin_translate_vaddr(va: u64, pa: *mut u64) -> bool;

    pub(crate) fn qemu_plugin_scoreboard_new(size: usize) -> *mut c_void;
    pub(crate) fn qemu_plugin_u64_get(entry: U64, vcpu: c_uint) -> u64;
    pub(crate) fn qemu_plugin_u64_set(entry: U64, vcpu: c_uint, value: u64);
    pub(crate) fn qemu_plugin_outs(text: *const c_char);

    pub(crate) fn g_byte_array_new() -> *mut GByteArray;
    pub(crate) fn g_byte_array_set_size(array: *mut GByteArray, len: c_uint) -> *mut GByteArray;
    pub(crate) fn g_array_free(array: *mut GArray, free_elements: c_int) -> *mut c_char;
}
