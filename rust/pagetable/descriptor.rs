// SPDX-License-Identifier: GPL-2.0

//! The shape of tables and the bits of their entries, as the architecture defines them.

/// The level whose entries are pages.
pub(crate) const LAST_LEVEL: i8 = 3;
/// The binary logarithm of the size of a descriptor in bytes.
pub(crate) const DESCRIPTOR_SHIFT: u32 = 3;

/// The descriptor is valid.
pub(crate) const VALID: u64 = 1 << 0;
/// The entry is a table above the last level, or a page at the last level.
pub(crate) const TABLE_OR_PAGE: u64 = 1 << 1;
/// AP\[2\]: the entry is read-only, or clean if DBM is set.
pub(crate) const READ_ONLY: u64 = 1 << 7;
/// DBM: hardware may make the entry writable. Linux calls it `PTE_WRITE`.
pub(crate) const DIRTY_BIT_MODIFIER: u64 = 1 << 51;
/// The entry is one of a group that a single TLB entry can hold.
pub(crate) const CONTIGUOUS: u64 = 1 << 52;
/// PXN: the kernel cannot execute.
pub(crate) const NO_KERNEL_EXECUTE: u64 = 1 << 53;
/// PXNTable: the kernel cannot execute anything below.
pub(crate) const TABLE_NO_KERNEL_EXECUTE: u64 = 1 << 59;
/// APTable\[1\]: nothing below is writable.
pub(crate) const TABLE_READ_ONLY: u64 = 1 << 62;

/// Returns a word with the lowest `bits` bits set; with 64 or more, all are set.
pub(crate) const fn low_mask(bits: u32) -> u64 {
    match u64::MAX.checked_shr(64u32.saturating_sub(bits)) {
        Some(mask) => mask,
        None => 0,
    }
}

/// Returns a word with the bits from `low` to `high` set, both included.
pub(crate) const fn bit_range(high: u32, low: u32) -> u64 {
    low_mask(high.saturating_add(1)) & !low_mask(low)
}

/// Returns the address of entry `index` of the table at `table`, which is aligned to its size.
pub(crate) const fn entry_address(table: u64, index: u64) -> u64 {
    table | (index << DESCRIPTOR_SHIFT)
}

/// The size of a page, which determines the shape of every table.
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

    /// Returns the binary logarithm of the size of a page in bytes.
    pub const fn page_shift(self) -> u32 {
        match self {
            Self::Kib4 => 12,
            Self::Kib16 => 14,
            Self::Kib64 => 16,
        }
    }

    /// Returns the number of address bits that a full table resolves.
    pub(crate) const fn index_bits(self) -> u32 {
        self.page_shift() - DESCRIPTOR_SHIFT
    }

    /// Returns the binary logarithm of the bytes that an entry at `level` covers.
    pub(crate) const fn shift(self, level: i8) -> u32 {
        self.page_shift() + self.index_bits() * LAST_LEVEL.abs_diff(level) as u32
    }

    /// Returns the binary logarithm of the entries of a contiguous group at `level`; 0 if that
    /// level has no groups.
    pub(crate) const fn group_order(self, level: i8) -> u32 {
        match (self, level) {
            (Self::Kib4, 1..=3) => 4,
            (Self::Kib16, 3) => 7,
            (Self::Kib16, 2) | (Self::Kib64, 2..=3) => 5,
            _ => 0,
        }
    }
}

/// The position of the output address in a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AddressFormat {
    /// Address bits 47 and below are in place.
    Bits48,
    /// The 64 KiB granule with 52 bits: address bits 51 to 48 are in descriptor bits 15 to 12.
    Lpa,
    /// `TCR_EL1.DS`: address bits 49 and below are in place, bits 51 and 50 are in descriptor bits
    /// 9 and 8.
    Lpa2,
}

impl AddressFormat {
    /// Returns the descriptor bits that have address bits in place, for an entry of `1 << shift`
    /// bytes.
    pub(crate) const fn in_place(self, shift: u32) -> u64 {
        match self {
            Self::Bits48 | Self::Lpa => bit_range(47, shift),
            Self::Lpa2 => bit_range(49, shift),
        }
    }

    /// Returns the output address in the descriptor of an entry of `1 << shift` bytes.
    pub(crate) const fn address(self, descriptor: u64, shift: u32) -> u64 {
        let upper = match self {
            Self::Bits48 => 0,
            Self::Lpa => ((descriptor >> 12) & 0xf) << 48,
            Self::Lpa2 => ((descriptor >> 8) & 3) << 50,
        };
        descriptor & self.in_place(shift) | upper
    }
}

/// The meaning of a descriptor at its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The entry maps nothing.
    Invalid,
    /// The entry points to the table at this physical address.
    Table(u64),
    /// The entry maps the memory at this physical address.
    Leaf(u64),
}
