// SPDX-License-Identifier: GPL-2.0

//! Decodes the instructions that the model reacts to or counts, and the operands of TLBI.

use crate::tlb::Kill;
use crate::walk::{sign_extend, Regime, HALF_BIT};

/// The register number that reads as zero.
pub const XZR: u8 = 31;

/// The scope of a TLBI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The executing CPU only.
    Local,
    /// Every CPU of the inner shareable domain.
    Inner,
    /// Every CPU of the outer shareable domain.
    Outer,
}

impl Scope {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 3] = [Self::Local, Self::Inner, Self::Outer];
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Inner => "inner",
            Self::Outer => "outer",
        }
    }
}

/// The kind of a TLBI: the entries that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every entry.
    All,
    /// The non-global entries of one ASID.
    Asid,
    /// One address, one ASID, and global entries.
    Va,
    /// One address, any ASID.
    VaAny,
    /// A range of addresses, one ASID, and global entries.
    Range,
    /// A range of addresses, any ASID.
    RangeAny,
    /// An EL2, EL3 or 128-bit form, or an unallocated one: the model flushes everything.
    Other,
}

impl Kind {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Asid,
        Self::Va,
        Self::VaAny,
        Self::Range,
        Self::RangeAny,
        Self::Other,
    ];
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Asid => "asid",
            Self::Va => "va",
            Self::VaAny => "va_any",
            Self::Range => "range",
            Self::RangeAny => "range_any",
            Self::Other => "other",
        }
    }
}

/// One TLBI instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlbi {
    /// Its scope.
    pub scope: Scope,
    /// Its kind.
    pub kind: Kind,
    /// Whether it may leave intermediate levels alone. The model caches leaves only.
    pub last_level: bool,
    /// The register that holds the operand.
    pub rt: u8,
}

impl Tlbi {
    /// Index of the counter for this kind and scope.
    pub fn slot(self) -> usize {
        self.kind as usize * Scope::ALL.len() + self.scope as usize
    }

    /// Whether this is the extra TLBI of the kernel's repeat-TLBI workaround: by address, operand
    /// 0.
    pub fn is_repeat(self, operand: u64) -> bool {
        self.kind == Kind::Va && operand == 0
    }

    /// The entries that the TLBI removes, given its operand and the executing CPU's regime.
    ///
    /// Returns `None` for a range whose granule field is reserved: such a TLBI need not do
    /// anything.
    pub fn kill(self, operand: u64, regime: &Regime) -> Option<Kill> {
        let asid = regime.mask_asid((operand >> 48) as u16);
        Some(match self.kind {
            Kind::All | Kind::Other => Kill::All,
            Kind::Asid => Kill::Asid(asid),
            Kind::Va | Kind::VaAny => {
                let va = sign_extend(operand << 12, HALF_BIT);
                let mask = (1u64 << regime.page_shift(va)) - 1;
                Kill::Range {
                    first: va & !mask,
                    last: va | mask,
                    asid: (self.kind == Kind::Va).then_some(asid),
                }
            }
            Kind::Range | Kind::RangeAny => {
                let page_shift = match (operand >> 46) & 3 {
                    1 => 12,
                    2 => 14,
                    3 => 16,
                    _ => return None,
                };
                // The base is in units of 64 KiB when DS is set, whatever the granule.
                let unit = if regime.ds() { 16 } else { page_shift };
                let base = operand & 0x1f_ffff_ffff;
                let first = sign_extend(base << unit, 36 + unit);
                let num = ((operand >> 39) & 0x1f) + 1;
                let scale = (operand >> 44) & 3;
                let bytes = (num << (5 * scale + 1)) << page_shift;
                Kill::Range {
                    first,
                    last: first.saturating_add(bytes - 1),
                    asid: (self.kind == Kind::Range).then_some(asid),
                }
            }
        })
    }
}

/// A request of the guest to the plugin, by a HINT that executes as a NOP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Start a region; x0 is its id.
    Start,
    /// Stop the innermost region and print it.
    Stop,
    /// Set a class range: slot x0, first byte x1, last byte + 1 x2.
    Range,
    /// Empty the modelled TLBs of all CPUs.
    Flush,
    /// Begin to count, if the options ask to wait for that.
    Begin,
}

/// An instruction that the model reacts to or counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// TLB maintenance.
    Tlbi(Tlbi),
    /// IC IVAU: one line of the instruction cache.
    IcIvau,
    /// IC IALLU or IALLUIS: all of the instruction cache.
    IcAll,
    /// DC CVAU: clean one line to the point of unification.
    DcCvau,
    /// A write to TTBR0_EL1, TTBR1_EL1, TCR_EL1 or SCTLR_EL1.
    Regime,
    /// A write to ICC_SGI1R_EL1, with the register that holds the value.
    Sgi(u8),
    /// ISB.
    Isb,
    /// DSB.
    Dsb,
    /// DSB with the nXS qualifier.
    DsbNxs,
    /// SVC.
    Svc,
    /// MSR DAIFSet that sets PSTATE.I.
    IrqMask,
    /// MSR DAIFClr that clears PSTATE.I.
    IrqUnmask,
    /// MSR DAIF, with the register that holds the value.
    Daif(u8),
    /// A return from an exception.
    Eret,
    /// A marker of this plugin.
    Marker(Marker),
}

/// Number of the HINT that starts a region; the other markers follow it.
pub const HINT_START: u32 = 0x70;

/// The I bit in the immediate of MSR DAIFSet and DAIFClr.
const DAIF_IMM_I: u32 = 2 << 8;
/// The I bit in the value of DAIF and in PSTATE.
pub const PSTATE_I: u64 = 1 << 7;

/// Decodes one instruction word; `None` for all other instructions.
pub fn decode(w: u32) -> Option<Op> {
    // Nearly every instruction leaves here.
    if !matches!(w >> 24, 0xd4..=0xd6) {
        return None;
    }
    // ERET, ERETAA, ERETAB.
    if matches!(w, 0xd69f_03e0 | 0xd69f_0bff | 0xd69f_0fff) {
        return Some(Op::Eret);
    }
    if w & 0xffe0_001f == 0xd400_0001 {
        return Some(Op::Svc);
    }
    let rt = (w & 0x1f) as u8;
    match w & 0xffff_ffe0 {
        0xd518_2000 | 0xd518_2020 | 0xd518_2040 | 0xd518_1000 => return Some(Op::Regime),
        0xd518_cba0 => return Some(Op::Sgi(rt)),
        0xd51b_4220 => return Some(Op::Daif(rt)),
        _ => {}
    }
    match w & 0xffff_f0ff {
        0xd503_30df => return Some(Op::Isb),
        0xd503_309f => return Some(Op::Dsb),
        // The immediate has the bits D, A, I, F.
        0xd503_40df if w & DAIF_IMM_I != 0 => return Some(Op::IrqMask),
        0xd503_40ff if w & DAIF_IMM_I != 0 => return Some(Op::IrqUnmask),
        _ => {}
    }
    if w & 0xffff_f3ff == 0xd503_323f {
        return Some(Op::DsbNxs);
    }
    if w & 0xffff_f01f == 0xd503_201f {
        return hint((w >> 5) & 0x7f);
    }
    match w & 0xfff8_0000 {
        0xd508_0000 => sys(w),
        // SYSP: the 128-bit TLBIP forms.
        0xd548_0000 if matches!((w >> 12) & 0xf, 8 | 9) => Some(Op::Tlbi(Tlbi {
            scope: scope((w >> 8) & 0xf).0,
            kind: Kind::Other,
            last_level: false,
            rt,
        })),
        _ => None,
    }
}

/// Decodes the immediate of a HINT.
fn hint(imm: u32) -> Option<Op> {
    let marker = match imm.checked_sub(HINT_START)? {
        0 => Marker::Start,
        1 => Marker::Stop,
        2 => Marker::Range,
        3 => Marker::Flush,
        4 => Marker::Begin,
        _ => return None,
    };
    Some(Op::Marker(marker))
}

/// Decodes a SYS instruction.
fn sys(w: u32) -> Option<Op> {
    let (op1, crn, crm, op2) = ((w >> 16) & 7, (w >> 12) & 0xf, (w >> 8) & 0xf, (w >> 5) & 7);
    match (op1, crn, crm, op2) {
        (3, 7, 5, 1) => Some(Op::IcIvau),
        (0, 7, 1 | 5, 0) => Some(Op::IcAll),
        (3, 7, 11, 1) => Some(Op::DcCvau),
        (_, 8 | 9, _, _) => Some(Op::Tlbi(tlbi(w))),
        _ => None,
    }
}

/// Scope of a TLBI and whether it is a range form, from its CRm field.
fn scope(crm: u32) -> (Scope, bool) {
    match crm {
        7 => (Scope::Local, false),
        6 => (Scope::Local, true),
        3 => (Scope::Inner, false),
        2 => (Scope::Inner, true),
        1 => (Scope::Outer, false),
        5 => (Scope::Outer, true),
        // Stage 2 forms and unallocated ones: as far as possible.
        _ => (Scope::Outer, false),
    }
}

/// Decodes a SYS instruction that is known to be a TLBI.
fn tlbi(w: u32) -> Tlbi {
    let (op1, crm, op2) = ((w >> 16) & 7, (w >> 8) & 0xf, (w >> 5) & 7);
    let (scope, range) = scope(crm);
    let known = op1 == 0 && matches!(crm, 1 | 2 | 3 | 5 | 6 | 7);
    let kind = match (known, range, op2) {
        (true, false, 0) => Kind::All,
        (true, false, 2) => Kind::Asid,
        (true, false, 1 | 5) => Kind::Va,
        (true, false, 3 | 7) => Kind::VaAny,
        (true, true, 1 | 5) => Kind::Range,
        (true, true, 3 | 7) => Kind::RangeAny,
        _ => Kind::Other,
    };
    Tlbi {
        scope,
        kind,
        last_level: op2 & 4 != 0,
        rt: (w & 0x1f) as u8,
    }
}

/// A software-generated interrupt, from the value written to ICC_SGI1R_EL1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sgi {
    /// Interrupt number, 0 to 15. Linux: 0 reschedule, 1 function call, 5 IRQ work.
    pub intid: u8,
    /// CPUs that are interrupted.
    pub targets: u32,
}

impl Sgi {
    /// Decodes `value`, on a machine with `vcpus` CPUs.
    pub fn new(value: u64, vcpus: u32) -> Self {
        let all_but_self = (value >> 40) & 1 != 0;
        Self {
            intid: ((value >> 24) & 0xf) as u8,
            targets: if all_but_self {
                vcpus.saturating_sub(1)
            } else {
                (value & 0xffff).count_ones()
            },
        }
    }
}

#[cfg(test)]
mod tests;
