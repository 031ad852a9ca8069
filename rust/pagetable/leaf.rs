// SPDX-License-Identifier: GPL-2.0

//! The results of a walk: leaves and holes, and their names for people.

use crate::descriptor::{
    DIRTY_BIT_MODIFIER,
    LAST_LEVEL,
    NO_KERNEL_EXECUTE,
    READ_ONLY,
    TABLE_NO_KERNEL_EXECUTE,
    TABLE_READ_ONLY, //
};
use core::fmt;

/// The result of a walk to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// This leaf maps the address.
    Leaf(Leaf),
    /// Nothing maps the address.
    Hole(Hole),
    /// A table on the way could not be read.
    Unreadable {
        /// The physical address of the table.
        table: u64,
        /// Its level.
        level: i8,
    },
    /// The address is not in the kernel's half.
    Outside,
}

impl Walk {
    /// Returns the leaf, if there is one.
    pub fn leaf(self) -> Option<Leaf> {
        match self {
            Self::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }
}

/// An entry that maps nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The first virtual address of the entry.
    pub va: u64,
    /// The bytes that the entry covers.
    pub size: u64,
    /// Level of the entry, -1 to 3.
    pub level: i8,
    /// The raw entry. When Linux only makes an entry invalid, it keeps its other bits.
    pub descriptor: u64,
}

/// A block or a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The first virtual address, aligned to `size`.
    pub va: u64,
    /// The first physical address.
    pub pa: u64,
    /// The bytes that the entry maps.
    pub size: u64,
    /// The bytes that one TLB entry can map: those of the contiguous group if the entry belongs to
    /// a valid one, else `size`.
    pub span: u64,
    /// Level of the entry, -1 to 3.
    pub level: i8,
    /// The raw entry.
    pub descriptor: u64,
    /// The restrictions of all table descriptors above the entry, in their bit positions.
    pub(crate) limits: u64,
}

impl Leaf {
    /// Returns the first virtual address of the span.
    pub fn span_va(&self) -> u64 {
        self.va & !self.span.saturating_sub(1)
    }

    /// Returns the first physical address of the span.
    pub fn span_pa(&self) -> u64 {
        self.pa & !self.span.saturating_sub(1)
    }

    /// Returns the physical address of `va`, which must be in the entry.
    pub fn translate(&self, va: u64) -> u64 {
        self.pa | (va & self.size.saturating_sub(1))
    }

    /// Whether one TLB entry of this leaf can map all of the `len` bytes, at least 1, at `va`.
    pub fn covers(&self, va: u64, len: u64) -> bool {
        let within = |address: u64| address & !self.span.saturating_sub(1) == self.span_va();
        match va.checked_add(len.saturating_sub(1)) {
            Some(last) => within(va) && within(last),
            None => false,
        }
    }

    /// Whether the kernel can write, now or after hardware has set the dirty state.
    pub fn kernel_writable(&self) -> bool {
        let entry = self.descriptor & READ_ONLY == 0 || self.descriptor & DIRTY_BIT_MODIFIER != 0;
        entry && self.limits & TABLE_READ_ONLY == 0
    }

    /// Whether the kernel can execute.
    pub fn kernel_executable(&self) -> bool {
        self.descriptor & NO_KERNEL_EXECUTE == 0 && self.limits & TABLE_NO_KERNEL_EXECUTE == 0
    }

    /// Returns what the kernel may do with the mapping.
    pub fn access(&self) -> Access {
        Access {
            write: self.kernel_writable(),
            execute: self.kernel_executable(),
        }
    }

    /// Returns the size and form of the mapping.
    pub fn kind(&self) -> Kind {
        let form = if self.span > self.size {
            Form::Contiguous
        } else if self.level == LAST_LEVEL {
            Form::Page
        } else {
            Form::Block
        };
        Kind {
            bytes: self.span,
            form,
        }
    }
}

/// What the kernel may do with a mapping besides reading. Its text is `r--`, `rw-`, `r-x` or `rwx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether it may write.
    pub write: bool,
    /// Whether it may execute.
    pub execute: bool,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.write, self.execute) {
            (false, false) => "r--",
            (true, false) => "rw-",
            (false, true) => "r-x",
            (true, true) => "rwx",
        })
    }
}

/// The form of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One entry of the last level.
    Page,
    /// One entry of a level above.
    Block,
    /// A whole contiguous group of entries.
    Contiguous,
}

/// The size and form of a mapping. Its text is, for example, "4 KiB page", "2 MiB block" or "64 KiB
/// contiguous".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// The bytes that one TLB entry can map.
    pub bytes: u64,
    /// The form.
    pub form: Form,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shift, unit) = match self.bytes {
            0..=0xf_ffff => (10, "KiB"),
            0x10_0000..=0x3fff_ffff => (20, "MiB"),
            0x4000_0000..=0xff_ffff_ffff => (30, "GiB"),
            _ => (40, "TiB"),
        };
        let form = match self.form {
            Form::Page => "page",
            Form::Block => "block",
            Form::Contiguous => "contiguous",
        };
        write!(f, "{} {unit} {form}", self.bytes >> shift)
    }
}
