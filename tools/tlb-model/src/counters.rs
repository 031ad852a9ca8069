// SPDX-License-Identifier: GPL-2.0

//! All counters. They only grow; a region is the difference of two snapshots.

use crate::decode::{Kind, Scope};

/// Something that can be summed over CPUs and subtracted between two times.
pub trait Tally: Clone {
    /// Adds `other`.
    fn add(&mut self, other: &Self);
    /// Subtracts `earlier`, a value of the same counters at an earlier time.
    fn sub(&mut self, earlier: &Self);
}

impl Tally for u64 {
    fn add(&mut self, other: &Self) {
        *self = self.wrapping_add(*other);
    }
    fn sub(&mut self, earlier: &Self) {
        *self = self.wrapping_sub(*earlier);
    }
}

impl<T: Tally, const N: usize> Tally for [T; N] {
    fn add(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(a, b)| a.add(b));
    }
    fn sub(&mut self, earlier: &Self) {
        self.iter_mut().zip(earlier).for_each(|(a, b)| a.sub(b));
    }
}

impl<T: Tally> Tally for Vec<T> {
    fn add(&mut self, other: &Self) {
        self.iter_mut().zip(other).for_each(|(a, b)| a.add(b));
    }
    fn sub(&mut self, earlier: &Self) {
        self.iter_mut().zip(earlier).for_each(|(a, b)| a.sub(b));
    }
}

/// Declares a struct whose fields are all counters.
macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Tally for $name {
            fn add(&mut self, other: &Self) { $(self.$field.add(&other.$field);)* }
            fn sub(&mut self, earlier: &Self) { $(self.$field.sub(&earlier.$field);)* }
        }
    };
}

/// Address classes of instruction fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The guest's class ranges in slots that are not of class aux.
    Bpf,
    /// Other addresses of the upper half.
    Kernel,
    /// Addresses of the lower half.
    User,
    /// The guest's class ranges in slots 8 to 15.
    Aux,
}

impl Class {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 4] = [Self::Bpf, Self::Kernel, Self::User, Self::Aux];
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Kernel => "kernel",
            Self::User => "user",
            Self::Aux => "aux",
        }
    }
}

/// Number of classes.
pub const CLASSES: usize = Class::ALL.len();

/// Counters that generated code adds to without calling the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inline {
    /// Instructions. Too high: where an exception cuts a translation block off, the rest counts.
    Insns,
    /// Translation blocks.
    Tbs,
    /// IC IVAU.
    IcIvau,
    /// IC IALLU and IALLUIS.
    IcAll,
    /// DC CVAU.
    DcCvau,
    /// ISB.
    Isb,
    /// DSB.
    Dsb,
    /// DSB nXS.
    DsbNxs,
    /// SVC.
    Svc,
}

impl Inline {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 9] = [
        Self::Insns,
        Self::Tbs,
        Self::IcIvau,
        Self::IcAll,
        Self::DcCvau,
        Self::Isb,
        Self::Dsb,
        Self::DsbNxs,
        Self::Svc,
    ];
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insns => "insns",
            Self::Tbs => "tbs",
            Self::IcIvau => "ic_ivau",
            Self::IcAll => "ic_all",
            Self::DcCvau => "dc_cvau",
            Self::Isb => "isb",
            Self::Dsb => "dsb",
            Self::DsbNxs => "dsb_nxs",
            Self::Svc => "svc",
        }
    }
}

/// Values of the inline counters.
pub type InlineCounts = [u64; Inline::ALL.len()];

/// Upper ends of the leaf histogram's columns, as shifts, with their names; larger leaves go to the
/// last column.
pub const LEAF_SIZES: [(u32, &str); 6] = [
    (12, "4K"),
    (14, "16K"),
    (16, "64K"),
    (21, "2M"),
    (25, "32M"),
    (64, "larger"),
];

/// The column of the leaf histogram for a leaf of `shift` bits.
pub fn leaf_column(shift: u32) -> usize {
    let last = LEAF_SIZES.len() - 1;
    LEAF_SIZES
        .iter()
        .position(|&(upper, _)| shift <= upper)
        .unwrap_or(last)
}

counters! {
    /// Counters of one CPU that do not depend on a model.
    CpuCounts {
        /// Instructions by class.
        insns: [u64; CLASSES],
        /// Lookups by class: page changes, and the fetch after each event that may change a
        /// translation.
        lookups: [u64; CLASSES],
        /// Page changes while the MMU was off; no lookup.
        mmu_off: u64,
        /// TLBI by kind and scope, as in `decode::Tlbi::slot`.
        tlbi: [u64; Kind::ALL.len() * Scope::ALL.len()],
        /// TLBI by address with operand 0 among them: the kernel's repeat-TLBI workaround.
        tlbi_repeat: u64,
        /// Changes of the current ASID.
        asid_switches: u64,
        /// Writes that send software-generated interrupts, by interrupt number.
        sgi: [u64; 16],
        /// CPUs that these writes interrupted, by interrupt number.
        sgi_targets: [u64; 16],
    }
}

counters! {
    /// Counters of one model for the fetches of one class.
    ClassCounts {
        /// Lookups that missed the first level.
        misses: u64,
        /// Misses that missed the second level too.
        walks: u64,
        /// Leaves that the walks found, by size.
        leaves: [u64; LEAF_SIZES.len()],
    }
}

counters! {
    /// Counters of one model.
    ModelCounts {
        /// By class of the fetch.
        class: [ClassCounts; CLASSES],
        /// Data page changes (with `data=on`).
        data_lookups: u64,
        /// Data page changes that missed the data TLB.
        data_misses: u64,
        /// Misses of the data TLB that missed the second level, too.
        data_walks: u64,
        /// Descriptors that walks read.
        descriptor_reads: u64,
        /// Walks that found no mapping.
        walk_faults: u64,
        /// Entries that maintenance removed, in all levels.
        killed: u64,
        /// Hits that were compared with QEMU's translation.
        stale_checked: u64,
        /// Those that gave another address.
        stale_hits: u64,
        /// Walks that were compared with QEMU's translation.
        walks_checked: u64,
        /// Those that gave another address.
        walks_wrong: u64,
    }
}

counters! {
    /// All counters at one time, summed over CPUs.
    Snapshot {
        /// The inline counters.
        inline: InlineCounts,
        /// The common counters.
        cpu: CpuCounts,
        /// The counters of each model.
        models: Vec<ModelCounts>,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_add_and_subtract() {
        let mut a = Snapshot::default();
        a.models.resize(2, ModelCounts::default());
        let mut b = a.clone();
        a.inline[0] = 5;
        a.cpu.sgi[1] = 7;
        a.models[1].class[2].leaves[3] = 9;
        b.add(&a);
        b.add(&a);
        assert_eq!(
            (b.inline[0], b.cpu.sgi[1], b.models[1].class[2].leaves[3]),
            (10, 14, 18)
        );
        b.sub(&a);
        assert_eq!(a, b);
    }

    #[test]
    fn leaves_fall_into_the_column_of_their_size() {
        let name = |shift| LEAF_SIZES[leaf_column(shift)].1;
        assert_eq!(name(12), "4K");
        assert_eq!(name(14), "16K");
        assert_eq!(name(16), "64K");
        assert_eq!(name(21), "2M");
        assert_eq!(name(25), "32M");
        assert_eq!(name(29), "larger");
        assert_eq!(name(34), "larger");
    }
}
