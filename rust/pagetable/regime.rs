// SPDX-License-Identifier: GPL-2.0

//! How the kernel's half of the address space is translated, and the walk to one address.

use crate::descriptor::{
    bit_range,
    entry_address,
    low_mask,
    AddressFormat,
    Entry,
    Granule,
    CONTIGUOUS,
    DESCRIPTOR_SHIFT,
    LAST_LEVEL,
    TABLE_NO_KERNEL_EXECUTE,
    TABLE_OR_PAGE,
    TABLE_READ_ONLY,
    VALID, //
};
use crate::leaf::{
    Hole,
    Leaf,
    Walk, //
};

/// `TCR_EL1`: walks through TTBR1 are disabled.
pub(crate) const TCR_EPD1: u64 = 1 << 23;
/// `TCR_EL1`: the top byte of a kernel address is ignored.
pub(crate) const TCR_TBI1: u64 = 1 << 38;
/// `TCR_EL1`: the restrictions of table descriptors are ignored.
pub(crate) const TCR_HPD1: u64 = 1 << 42;
/// `TCR_EL1`: LPA2 descriptors, with the granules of 4 and 16 KiB.
pub(crate) const TCR_DS: u64 = 1 << 59;
/// `TCR_EL1.IPS`: physical addresses of 52 bits.
pub(crate) const IPS_52_BITS: u64 = 6;

/// The translation of the kernel's half of the address space.
///
/// # Invariants
///
/// - `page_shift < va_bits <= 52`, and `va_bits <= 48` for the granules of 4 and 16 KiB without
///   LPA2.
/// - `start_level` is the lowest level whose entries are smaller than `1 << va_bits` bytes. With
///   the first invariant every entry is smaller than `1 << 52` bytes, so no shift here overflows.
/// - `root` is aligned to the size of the first table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regime {
    pub(crate) granule: Granule,
    va_bits: u32,
    pub(crate) start_level: i8,
    pub(crate) root: u64,
    format: AddressFormat,
    /// Whether table descriptors restrict the entries below them.
    hierarchy: bool,
    /// Whether the top byte of an address is ignored.
    top_byte_ignored: bool,
}

impl Regime {
    /// Decodes `TTBR1_EL1` and `TCR_EL1`.
    ///
    /// Returns [`None`] for values that the architecture reserves, and when walks through TTBR1
    /// are disabled.
    pub fn from_registers(ttbr1: u64, tcr: u64) -> Option<Self> {
        let granule = Granule::from_tg1((tcr >> 30) & 3)?;
        // CAST: The field has six bits.
        let va_bits = 64 - ((tcr >> 16) & 0x3f) as u32;
        let lpa2 = tcr & TCR_DS != 0;
        let wide = (tcr >> 32) & 7 == IPS_52_BITS;
        let (format, largest) = match granule {
            Granule::Kib64 if wide => (AddressFormat::Lpa, 52),
            Granule::Kib64 => (AddressFormat::Bits48, 52),
            Granule::Kib4 | Granule::Kib16 if lpa2 => (AddressFormat::Lpa2, 52),
            Granule::Kib4 | Granule::Kib16 => (AddressFormat::Bits48, 48),
        };
        if tcr & TCR_EPD1 != 0 || va_bits <= granule.page_shift() || va_bits > largest {
            return None;
        }

        let start_level = (-1..LAST_LEVEL)
            .find(|&level| granule.shift(level) < va_bits)
            .unwrap_or(LAST_LEVEL);
        // With 52-bit addresses TTBR bits 5 to 2 hold address bits 51 to 48.
        let base = match format {
            AddressFormat::Lpa | AddressFormat::Lpa2 if wide => {
                (ttbr1 & bit_range(47, 6)) | (((ttbr1 >> 2) & 0xf) << 48)
            }
            _ => ttbr1 & bit_range(47, 1),
        };
        // INVARIANT: `va_bits` was checked and `start_level` is the first that fits. The bits of
        // `base` below the size of the table, such as CnP, are cleared below.
        let mut regime = Self {
            granule,
            va_bits,
            start_level,
            root: base,
            format,
            hierarchy: tcr & TCR_HPD1 == 0,
            top_byte_ignored: tcr & TCR_TBI1 != 0,
        };
        regime.root &= !low_mask(regime.table_order(start_level) + DESCRIPTOR_SHIFT);
        Some(regime)
    }

    /// Returns the regime for a CPU that takes permissions from `PIR_EL1` (FEAT_S1PIE in use).
    /// There table descriptors restrict nothing.
    ///
    /// PXN and DBM are then two bits of an index. Linux fills `PIR_EL1` so that they keep their
    /// meaning.
    pub fn with_permission_indirection(self) -> Self {
        Self {
            hierarchy: false,
            ..self
        }
    }

    /// Returns the size of a page.
    pub fn granule(&self) -> Granule {
        self.granule
    }

    /// Returns the number of address bits that are translated, 13 to 52.
    pub fn va_bits(&self) -> u32 {
        self.va_bits
    }

    /// Returns the level of the first table, -1 to 3.
    pub fn start_level(&self) -> i8 {
        self.start_level
    }

    /// Returns the physical address of the first table.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Returns the lowest address of the kernel's half.
    pub fn first_va(&self) -> u64 {
        !low_mask(self.va_bits)
    }

    /// Returns `va` with all upper bits set, or [`None`] if TTBR1 does not translate it.
    fn canonical(&self, va: u64) -> Option<u64> {
        let va = if self.top_byte_ignored {
            va | (0xff << 56)
        } else {
            va
        };
        (va >= self.first_va()).then_some(va)
    }

    /// Returns the binary logarithm of the entries of a table at `level`.
    ///
    /// The first table resolves only the address bits that are left above those of the lower
    /// levels.
    pub(crate) fn table_order(&self, level: i8) -> u32 {
        self.granule
            .index_bits()
            .min(self.va_bits.saturating_sub(self.granule.shift(level)))
    }

    /// Returns the index of `va` in its table at `level`.
    fn index(&self, va: u64, level: i8) -> u64 {
        (va >> self.granule.shift(level)) & low_mask(self.table_order(level))
    }

    /// Whether an entry at `level`, above the last, can map memory.
    fn has_blocks(&self, level: i8) -> bool {
        match (self.granule, self.format) {
            (Granule::Kib4, AddressFormat::Lpa2) => level >= 0,
            (Granule::Kib4, _) | (_, AddressFormat::Lpa | AddressFormat::Lpa2) => level >= 1,
            (_, AddressFormat::Bits48) => level >= 2,
        }
    }

    /// Returns the meaning of `descriptor` at `level`. At the last level it is never a table.
    pub(crate) fn decode(&self, descriptor: u64, level: i8) -> Entry {
        let shift = self.granule.shift(level);
        if descriptor & VALID == 0 {
            Entry::Invalid
        } else if level >= LAST_LEVEL {
            if descriptor & TABLE_OR_PAGE != 0 {
                Entry::Leaf(self.format.address(descriptor, shift))
            } else {
                Entry::Invalid
            }
        } else if descriptor & TABLE_OR_PAGE != 0 {
            Entry::Table(self.format.address(descriptor, self.granule.page_shift()))
        } else if self.has_blocks(level) {
            Entry::Leaf(self.format.address(descriptor, shift))
        } else {
            Entry::Invalid
        }
    }

    /// Returns the limits below the table descriptor `descriptor`, if those above it are `limits`.
    pub(crate) fn limits_below(&self, limits: u64, descriptor: u64) -> u64 {
        if self.hierarchy {
            limits | (descriptor & (TABLE_READ_ONLY | TABLE_NO_KERNEL_EXECUTE))
        } else {
            limits
        }
    }

    /// Whether the leaf `descriptor` at `position` belongs to a group that one TLB entry can hold.
    ///
    /// The contiguous bit is only a hint. All entries of the aligned group must be the same except
    /// for their addresses, and these must be contiguous and aligned to the group.
    pub(crate) fn in_contiguous_group(
        &self,
        position: Position,
        descriptor: u64,
        read: &mut impl FnMut(u64) -> Option<u64>,
    ) -> bool {
        let order = self.granule.group_order(position.level);
        if descriptor & CONTIGUOUS == 0 || order == 0 || order > self.table_order(position.level) {
            return false;
        }
        let shift = self.granule.shift(position.level);
        // Address bits that are not in place are the same in a whole group.
        let attributes = !self.format.in_place(shift);
        let first = position.index & !low_mask(order);
        let base = self.format.address(descriptor, shift) & !low_mask(shift + order);
        (0..=low_mask(order)).all(|i| {
            read(entry_address(position.table, first | i)).is_some_and(|entry| {
                entry & attributes == descriptor & attributes
                    && self.format.address(entry, shift) == base | (i << shift)
            })
        })
    }

    /// Makes the leaf for the valid `descriptor` at `position`, with or without its group.
    pub(crate) fn leaf(
        &self,
        position: Position,
        pa: u64,
        descriptor: u64,
        limits: u64,
        grouped: bool,
    ) -> Leaf {
        let shift = self.granule.shift(position.level);
        let order = if grouped {
            self.granule.group_order(position.level)
        } else {
            0
        };
        Leaf {
            va: position.va,
            pa,
            size: 1 << shift,
            span: 1 << (shift + order),
            level: position.level,
            descriptor,
            limits,
        }
    }

    /// Finds the leaf that maps `va`.
    ///
    /// `read` returns the descriptor at a physical address, which is a multiple of 8, or [`None`]
    /// if it cannot be read. The walk calls it at most 5 times, and up to 128 times more for a leaf
    /// with the contiguous bit.
    pub fn walk(&self, va: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Walk {
        let Some(va) = self.canonical(va) else {
            return Walk::Outside;
        };
        let mut table = self.root;
        let mut level = self.start_level;
        let mut limits = 0;
        // The loop ends, because `decode` finds no table at the last level.
        loop {
            let mask = low_mask(self.granule.shift(level));
            let position = Position {
                table,
                index: self.index(va, level),
                level,
                va: va & !mask,
            };
            let Some(descriptor) = read(entry_address(table, position.index)) else {
                return Walk::Unreadable { table, level };
            };
            match self.decode(descriptor, level) {
                Entry::Invalid => {
                    return Walk::Hole(Hole {
                        va: position.va,
                        size: mask.saturating_add(1),
                        level,
                        descriptor,
                    });
                }
                Entry::Leaf(pa) => {
                    let grouped = self.in_contiguous_group(position, descriptor, &mut read);
                    return Walk::Leaf(self.leaf(position, pa, descriptor, limits, grouped));
                }
                Entry::Table(next) => {
                    table = next;
                    limits = self.limits_below(limits, descriptor);
                    level = level.saturating_add(1);
                }
            }
        }
    }
}

/// The position of an entry in the tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    /// The physical address of the table.
    pub(crate) table: u64,
    /// The index of the entry in the table.
    pub(crate) index: u64,
    /// The level of the table.
    pub(crate) level: i8,
    /// The first virtual address that the entry translates.
    pub(crate) va: u64,
}
