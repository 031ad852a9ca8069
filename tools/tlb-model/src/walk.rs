// SPDX-License-Identifier: GPL-2.0

//! The stage 1 EL1&0 translation regime and its page-table walk.
//!
//! Granules of 4, 16 and 64 KiB, every start level, blocks, contiguous groups, 52-bit virtual and
//! physical addresses (LVA, LPA, LPA2). Not modelled: stage 2, EL2 and its host extensions, 128-bit
//! descriptors, permission checks.
//!
//! Independent of the module's own walk (`rust/pagetable`) on purpose: a mistake there must not
//! show in the figures here. `tests/two_walks.rs` holds the two against each other.

/// The address bit that selects TTBR1 (1) or TTBR0 (0).
pub const HALF_BIT: u32 = 55;

/// Sign-extends `value` from bit `bit` (0 to 63).
pub fn sign_extend(value: u64, bit: u32) -> u64 {
    let up = 63 - bit;
    (((value << up) as i64) >> up) as u64
}

/// The registers that decide how a CPU translates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regime {
    /// TTBR0_EL1.
    pub ttbr0: u64,
    /// TTBR1_EL1.
    pub ttbr1: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// SCTLR_EL1.
    pub sctlr: u64,
}

impl Regime {
    /// Whether the MMU is on.
    pub fn mmu_on(&self) -> bool {
        self.sctlr & 1 != 0
    }

    /// Whether TCR.DS is set: 52-bit output addresses with 4 and 16 KiB granules.
    pub fn ds(&self) -> bool {
        (self.tcr >> 59) & 1 != 0
    }

    /// The current ASID, from the TTBR that TCR.A1 selects.
    pub fn asid(&self) -> u16 {
        let ttbr = if (self.tcr >> 22) & 1 != 0 {
            self.ttbr1
        } else {
            self.ttbr0
        };
        self.mask_asid((ttbr >> 48) as u16)
    }

    /// Drops the ASID bits that TCR.AS does not enable.
    pub fn mask_asid(&self, asid: u16) -> u16 {
        if (self.tcr >> 36) & 1 != 0 {
            asid
        } else {
            asid & 0xff
        }
    }

    /// log2 of the granule that translates `va`.
    pub fn page_shift(&self, va: u64) -> u32 {
        let upper = (va >> HALF_BIT) & 1 != 0;
        match (upper, (self.tcr >> if upper { 30 } else { 14 }) & 3) {
            (false, 1) | (true, 3) => 16,
            (false, 2) | (true, 1) => 14,
            _ => 12,
        }
    }

    /// Whether output addresses have 52 bits with this granule.
    fn pa52(&self, page_shift: u32) -> bool {
        (self.tcr >> 32) & 7 >= 6 && (page_shift == 16 || self.ds())
    }

    /// Whether the descriptors of this granule carry DS address bits.
    fn ds_layout(&self, page_shift: u32) -> bool {
        self.ds() && page_shift != 16
    }

    /// The table address in a descriptor, or the output address with `shift` low bits dropped.
    fn address(&self, desc: u64, shift: u32, page_shift: u32) -> u64 {
        let low = |top: u32| desc & ((1u64 << top) - 1) & !((1u64 << shift) - 1);
        if self.ds_layout(page_shift) {
            low(50) | (((desc >> 8) & 3) << 50)
        } else if page_shift == 16 {
            low(48) | (((desc >> 12) & 0xf) << 48)
        } else {
            low(48)
        }
    }

    /// Whether a block descriptor is allowed at `level`.
    fn block_allowed(&self, level: i32, page_shift: u32) -> bool {
        match page_shift {
            12 => matches!(level, 1 | 2) || (level == 0 && self.ds()),
            14 => level == 2 || (level == 1 && self.ds()),
            _ => level == 2 || (level == 1 && self.pa52(page_shift)),
        }
    }
}

/// log2 of the entries of a contiguous group; 0 where there is none.
fn group_shift(level: i32, page_shift: u32) -> u32 {
    match (page_shift, level) {
        (12, 1..=3) => 4,
        (14, 3) => 7,
        (14, 2) => 5,
        (16, 2 | 3) => 5,
        _ => 0,
    }
}

/// A mapping that a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Physical address that the walked virtual address maps to.
    pub pa: u64,
    /// log2 of the bytes of the block or page, without its contiguous group.
    pub shift: u32,
    /// log2 of the bytes of the contiguous group, or `shift` where there is none.
    pub group: u32,
    /// Whether the mapping is valid for every ASID.
    pub global: bool,
    /// The attributes: the descriptor without its output address. Neighbours are compared by them.
    pub attributes: u64,
    /// Physical address of the descriptor.
    pub at: u64,
}

/// The reason for which a walk found no mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Walks of this half of the address space are disabled.
    Disabled,
    /// The address is outside the translated range, or the range is not supported.
    Size,
    /// The descriptor is invalid or reserved at its level.
    Invalid,
    /// The access flag is clear and hardware does not set it.
    Access,
    /// A table lies where there is no memory.
    Memory,
}

/// The outcome of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Descriptors that were read.
    pub reads: u32,
    /// The mapping, or the reason for which there is none.
    pub result: Result<Leaf, Fault>,
}

/// Walks the tables for `va`; `read` returns the descriptor at a physical address.
pub fn walk(regime: &Regime, va: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Walk {
    let mut reads = 0;
    let result = descend(regime, va, |pa| {
        reads += 1;
        read(pa)
    });
    Walk { reads, result }
}

/// The start of a walk.
struct Start {
    /// Physical address of the first table.
    table: u64,
    /// Level of the first table, -1 to 3.
    level: i32,
    /// Bits of the virtual address that are translated.
    va_bits: u32,
}

/// Finds the first table for `va`.
fn start(regime: &Regime, va: u64, page_shift: u32) -> Result<Start, Fault> {
    let upper = (va >> HALF_BIT) & 1 != 0;
    let (size, disabled, ttbr) = if upper {
        (regime.tcr >> 16, (regime.tcr >> 23) & 1, regime.ttbr1)
    } else {
        (regime.tcr, (regime.tcr >> 7) & 1, regime.ttbr0)
    };
    if disabled != 0 {
        return Err(Fault::Disabled);
    }
    let va_bits = 64 - (size & 0x3f) as u32;
    let index_bits = page_shift - 3;
    if va_bits <= page_shift || va_bits > 52 {
        return Err(Fault::Size);
    }
    // All bits between the translated range and bit 55 equal bit 55; the top byte is ignored.
    let between = ((1u64 << HALF_BIT) - 1) & !((1u64 << va_bits) - 1);
    if va & between != if upper { between } else { 0 } {
        return Err(Fault::Size);
    }
    let levels = (va_bits - page_shift).div_ceil(index_bits);
    let first_bits = va_bits - page_shift - (levels - 1) * index_bits;
    let mut base = ttbr & 0xffff_ffff_fffe;
    let mut align = 8u64 << first_bits;
    if regime.pa52(page_shift) {
        align = align.max(64);
        base |= ((ttbr >> 2) & 0xf) << 48;
    }
    Ok(Start {
        table: base & !(align - 1),
        level: 4 - levels as i32,
        va_bits,
    })
}

/// The walk itself.
fn descend(
    regime: &Regime,
    va: u64,
    mut read: impl FnMut(u64) -> Option<u64>,
) -> Result<Leaf, Fault> {
    let page_shift = regime.page_shift(va);
    let index_bits = page_shift - 3;
    let Start {
        mut table,
        mut level,
        va_bits,
    } = start(regime, va, page_shift)?;
    let input = va & ((1u64 << va_bits) - 1);
    loop {
        let shift = page_shift + (3 - level) as u32 * index_bits;
        // The first table may be smaller: `input` has no bits above it. Later ones are full.
        let index = (input >> shift) & ((1u64 << index_bits) - 1);
        let at = table | (index << 3);
        let desc = read(at).ok_or(Fault::Memory)?;
        if desc & 1 == 0 {
            return Err(Fault::Invalid);
        }
        let table_or_page = desc & 2 != 0;
        if level < 3 && table_or_page {
            table = regime.address(desc, page_shift, page_shift);
            level += 1;
            continue;
        }
        if level == 3 && !table_or_page || level < 3 && !regime.block_allowed(level, page_shift) {
            return Err(Fault::Invalid);
        }
        let access_by_hardware = (regime.tcr >> 39) & 1 != 0;
        if (desc >> 10) & 1 == 0 && !access_by_hardware {
            return Err(Fault::Access);
        }
        let contiguous = (desc >> 52) & 1 != 0;
        let address = regime.address(desc, shift, page_shift);
        return Ok(Leaf {
            pa: address | va & ((1u64 << shift) - 1),
            shift,
            group: if contiguous {
                shift + group_shift(level, page_shift)
            } else {
                shift
            },
            global: (desc >> 11) & 1 == 0,
            attributes: attributes(regime, desc, page_shift),
            at,
        });
    }
}

/// A page descriptor without its output address.
fn attributes(regime: &Regime, desc: u64, page_shift: u32) -> u64 {
    let top = if regime.ds_layout(page_shift) { 50 } else { 48 };
    let mut address = ((1u64 << top) - 1) & !((1u64 << page_shift) - 1);
    if regime.ds_layout(page_shift) {
        address |= 3 << 8;
    } else if page_shift == 16 {
        address |= 0xf << 12;
    }
    desc & !address
}

/// Whether the aligned group of four 4 KiB pages around `leaf` can share one TLB entry: physically
/// contiguous, with equal attributes. The group's descriptors share a cache line with the leaf's.
pub fn coalesces(
    regime: &Regime,
    va: u64,
    leaf: &Leaf,
    mut read: impl FnMut(u64) -> Option<u64>,
) -> bool {
    if leaf.shift != 12 || leaf.group != 12 || regime.page_shift(va) != 12 {
        return false;
    }
    let index = (va >> 12) & 3;
    let page = leaf.pa & !0xfff;
    let Some(first) = page.checked_sub(index << 12) else {
        return false;
    };
    (0..4).all(|i| {
        let Some(desc) = read((leaf.at & !0x1f) | (i << 3)) else {
            return false;
        };
        // Bit 0 and 1 are attributes here, so an invalid neighbour differs.
        attributes(regime, desc, 12) == leaf.attributes
            && regime.address(desc, 12, 12) == first + (i << 12)
    })
}

#[cfg(test)]
mod tests;
