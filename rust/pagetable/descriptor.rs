// SPDX-License-Identifier: GPL-2.0

//! The shape of tables and the bits of their entries, as the architecture defines them.

/// The level whose entries are pages.
pub(crate) const LAST_LEVEL: i8 = 3;
/// Bytes of a descriptor, as a power of two.
pub(crate) const DESCRIPTOR_SHIFT: u32 = 3;

/// The descriptor is valid.
pub(crate) const VALID: u64 = 1 << 0;
/// A table above the last level, a page at it.
pub(crate) const TABLE_OR_PAGE: u64 = 1 << 1;
/// AP\[2\]: read-only, or clean where DBM is set.
pub(crate) const READ_ONLY: u64 = 1 << 7;
/// DBM: hardware may make the entry writable. Linux calls it `PTE_WRITE`.
pub(crate) const DIRTY_BIT_MODIFIER: u64 = 1 << 51;
/// The entry is one of a group that a single TLB entry can hold.
pub(crate) const CONTIGUOUS: u64 = 1 << 52;
/// PXN: the kernel cannot execute.
pub(crate) const NO_KERNEL_EXECUTE: u64 = 1 << 53;
/// PXNTable: nothing below is executable by the kernel.
pub(crate) const TABLE_NO_KERNEL_EXECUTE: u64 = 1 << 59;
/// APTable\[1\]: nothing below is writable.
pub(crate) const TABLE_READ_ONLY: u64 = 1 << 62;

/// The lowest `bits` bits set; all of them from 64 on.
pub(crate) const fn low_mask(bits: u32) -> u64 {
    match u64::MAX.checked_shr(64u32.saturating_sub(bits)) {
        Some(mask) => mask,
        None => 0,
    }
}

/// The bits `high` down to `low` set, both included.
pub(crate) const fn bit_range(high: u32, low: u32) -> u64 {
    low_mask(high.saturating_add(1)) & !low_mask(low)
}

/// The address of entry `index` of the table at `table`, which is aligned to its size.
pub(crate) const fn entry_address(table: u64, index: u64) -> u64 {
    table | (index << DESCRIPTOR_SHIFT)
}

/// The size of a page, and with it the shape of every table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granule {
    /// 4 KiB pages.
    Kib4,
    /// 16 KiB pages.
    Kib16,
    /// 64 KiB pages.
    Kib64,
}

impl Granule {
    /// Decodes `TCR_EL1.TG1`, or [`None`] for the reserved value.
    pub(crate) const fn from_tg1(field: u64) -> Option<Self> {
        match field {
            1 => Some(Self::Kib16),
            2 => Some(Self::Kib4),
            3 => Some(Self::Kib64),
            _ => None,
        }
    }

    /// Bytes of a page, as a power of two.
    pub const fn page_shift(self) -> u32 {
        match self {
            Self::Kib4 => 12,
            Self::Kib16 => 14,
            Self::Kib64 => 16,
        }
    }

    /// Address bits that one full table resolves.
    pub(crate) const fn index_bits(self) -> u32 {
        self.page_shift() - DESCRIPTOR_SHIFT
    }

    /// Bytes that one entry at `level` covers, as a power of two.
    pub(crate) const fn shift(self, level: i8) -> u32 {
        self.page_shift() + self.index_bits() * LAST_LEVEL.abs_diff(level) as u32
    }

    /// Entries of a contiguous group at `level`, as a power of two; 0 where there are no groups.
    pub(crate) const fn group_order(self, level: i8) -> u32 {
        match (self, level) {
            (Self::Kib4, 1..=3) => 4,
            (Self::Kib16, 3) => 7,
            (Self::Kib16, 2) | (Self::Kib64, 2..=3) => 5,
            _ => 0,
        }
    }
}

/// Where a descriptor keeps its output address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressFormat {
    /// Bits 47 down, in place.
    Bits48,
    /// 64 KiB granule with 52 bits: address bits 51 to 48 in descriptor bits 15 to 12.
    Lpa,
    /// `TCR_EL1.DS`: bits 49 down at their own place, address bits 51 and 50 in bits 9 and 8.
    Lpa2,
}

impl AddressFormat {
    /// The descriptor bits that hold address bits at their own place, for an entry of
    /// `1 << shift` bytes.
    pub(crate) const fn in_place(self, shift: u32) -> u64 {
        match self {
            Self::Bits48 | Self::Lpa => bit_range(47, shift),
            Self::Lpa2 => bit_range(49, shift),
        }
    }

    /// The address in the descriptor of an entry of `1 << shift` bytes.
    pub(crate) const fn address(self, descriptor: u64, shift: u32) -> u64 {
        let upper = match self {
            Self::Bits48 => 0,
            Self::Lpa => ((descriptor >> 12) & 0xf) << 48,
            Self::Lpa2 => ((descriptor >> 8) & 3) << 50,
        };
        descriptor & self.in_place(shift) | upper
    }
}

/// What a descriptor is at its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Maps nothing.
    Invalid,
    /// Points to the table at this physical address.
    Table(u64),
    /// Maps the memory at this physical address.
    Leaf(u64),
}
