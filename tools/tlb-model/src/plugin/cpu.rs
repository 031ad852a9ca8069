// SPDX-License-Identifier: GPL-2.0

//! Access to the registers and the memory of a CPU.

use crate::ffi::{self, GByteArray, Register};
use crate::guest::{Cpu, Reg};
use std::ffi::CStr;
use std::process;
use std::ptr;

/// Registers that are read, besides x0 to x30.
const NAMED: [(&str, Reg); 6] = [
    ("pc", Reg::Pc),
    ("cpsr", Reg::Pstate),
    ("TTBR0_EL1", Reg::Ttbr0),
    ("TTBR1_EL1", Reg::Ttbr1),
    ("TCR_EL1", Reg::Tcr),
    ("SCTLR_EL1", Reg::Sctlr),
];

/// Access to a CPU's registers and memory.
///
/// # Invariants
///
/// The handles were made for the CPU that this belongs to. `buffer` is a live byte array that only
/// this uses. Methods are called in callbacks of that CPU only.
pub(super) struct QemuCpu {
    /// x0 to x30.
    general: [Register; 31],
    /// The registers of `NAMED`, in its order.
    named: [Register; NAMED.len()],
    /// The buffer into which QEMU reads.
    buffer: *mut GByteArray,
}

// SAFETY: By the type invariants it is used by one thread at a time, that of its CPU.
unsafe impl Send for QemuCpu {}

/// Ends QEMU: the plugin cannot go on and must not give wrong figures.
pub(super) fn fail(why: &str) -> ! {
    eprintln!("tlb_model: {why}");
    process::abort()
}

impl QemuCpu {
    /// Finds the registers of the CPU in whose initialisation callback this is called.
    pub(super) fn new() -> Self {
        let mut general = [ptr::null_mut(); 31];
        let mut named = [ptr::null_mut(); NAMED.len()];
        // SAFETY: Called in a CPU's initialisation callback; the array holds `len` descriptors,
        // whose names live as long as QEMU.
        unsafe {
            let array = ffi::qemu_plugin_get_registers();
            let first = (*array).data.cast::<ffi::RegisterDescriptor>();
            for i in 0..(*array).len as usize {
                let descriptor = &*first.add(i);
                let Ok(name) = CStr::from_ptr(descriptor.name).to_str() else {
                    continue;
                };
                let number = name.strip_prefix('x').and_then(|n| n.parse::<usize>().ok());
                if let Some(at) = number.and_then(|n| general.get_mut(n)) {
                    *at = descriptor.handle;
                }
                if let Some(i) = NAMED.iter().position(|(known, _)| *known == name) {
                    named[i] = descriptor.handle;
                }
            }
            ffi::g_array_free(array, 1);
        }
        if let Some(i) = general.iter().position(|handle| handle.is_null()) {
            fail(&format!("QEMU shows no register x{i}"));
        }
        if let Some(i) = named.iter().position(|handle| handle.is_null()) {
            fail(&format!("QEMU shows no register {}", NAMED[i].0));
        }
        // INVARIANT: The handles are this CPU's, and the buffer is new.
        Self {
            general,
            named,
            // SAFETY: No preconditions.
            buffer: unsafe { ffi::g_byte_array_new() },
        }
    }

    /// Empties the buffer: reads append to it.
    fn clear(&mut self) -> *mut GByteArray {
        // SAFETY: By the type invariants the buffer is live and only used here.
        unsafe { ffi::g_byte_array_set_size(self.buffer, 0) };
        self.buffer
    }

    /// The little-endian number in the buffer; 0 if it is empty.
    fn number(&self) -> u64 {
        // SAFETY: By the type invariants the buffer is live and only used here; it has `len` bytes.
        unsafe {
            let buffer = &*self.buffer;
            let mut bytes = [0; 8];
            let len = bytes.len().min(buffer.len as usize);
            if len != 0 {
                ptr::copy_nonoverlapping(buffer.data, bytes.as_mut_ptr(), len);
            }
            u64::from_le_bytes(bytes)
        }
    }
}

impl Cpu for QemuCpu {
    fn reg(&mut self, reg: Reg) -> u64 {
        let handle = match reg {
            Reg::X(n) => match self.general.get(usize::from(n)) {
                Some(&handle) => handle,
                None => return 0,
            },
            named => match NAMED.iter().position(|&(_, known)| known == named) {
                Some(i) => self.named[i],
                None => return 0,
            },
        };
        let buffer = self.clear();
        // SAFETY: By the type invariants the handle is this CPU's and this is a callback of it.
        if !unsafe { ffi::qemu_plugin_read_register(handle, buffer) } {
            fail(&format!("QEMU does not let {reg:?} be read"));
        }
        self.number()
    }

    fn descriptor(&mut self, pa: u64) -> Option<u64> {
        let buffer = self.clear();
        // SAFETY: By the type invariants the buffer is live and this is a callback of a CPU.
        let status = unsafe { ffi::qemu_plugin_read_memory_hwaddr(pa, buffer, 8) };
        (status == 0).then(|| self.number())
    }

    fn translate(&mut self, va: u64) -> Option<u64> {
        let mut pa = 0;
        // SAFETY: By the type invariants this is a callback of a CPU.
        unsafe { ffi::qemu_plugin_translate_vaddr(va, &mut pa) }.then_some(pa)
    }
}
