// SPDX-License-Identifier: GPL-2.0

//! What the model needs to read from the virtual CPU that is executing.

/// A guest register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reg {
    /// A general register, 0 to 30; 31 reads as zero.
    X(u8),
    /// The program counter; right at the start of a translation block only.
    Pc,
    /// The process state, with its I bit.
    Pstate,
    /// TTBR0_EL1.
    Ttbr0,
    /// TTBR1_EL1.
    Ttbr1,
    /// TCR_EL1.
    Tcr,
    /// SCTLR_EL1.
    Sctlr,
}

/// The executing virtual CPU, as far as the model looks at it.
pub trait Cpu {
    /// Reads a register.
    fn reg(&mut self, reg: Reg) -> u64;
    /// Reads a descriptor at a physical address; `None` where there is no memory.
    fn descriptor(&mut self, pa: u64) -> Option<u64>;
    /// Translates a virtual address as QEMU does; `None` if it is not mapped.
    fn translate(&mut self, va: u64) -> Option<u64>;
}
