// SPDX-License-Identifier: GPL-2.0

//! Host tests with hand-built tables.

mod groups;
mod random;
mod registers;
mod scans;
mod walks;

use crate::descriptor::*;
use crate::regime::*;
use crate::*;
use core::ops::ControlFlow;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

/// A valid, accessed, inner-shareable, normal-memory page: `rwx` for the kernel.
const PAGE: u64 = 0x703;
/// The same as a block.
const BLOCK: u64 = 0x701;
/// A table descriptor without restrictions.
const TABLE: u64 = 0x3;
/// Read-only and executable.
const ROX: u64 = READ_ONLY;

const TG1_4K: u64 = 2 << 30;
const TG1_16K: u64 = 1 << 30;
const TG1_64K: u64 = 3 << 30;
/// `TCR_EL1.IPS` for 52-bit addresses.
const IPS_52: u64 = IPS_52_BITS << 32;

/// `TCR_EL1` for a half of `va_bits` bits.
fn tcr(va_bits: u64, other: u64) -> u64 {
    ((64 - va_bits) << 16) | other
}

#[track_caller]
fn regime(ttbr1: u64, tcr: u64) -> Regime {
    Regime::from_registers(ttbr1, tcr).expect("registers that can be")
}

/// Physical memory with tables. Words that were never written read as zero.
#[derive(Default)]
struct Memory {
    words: BTreeMap<u64, u64>,
    unreadable: BTreeSet<u64>,
}

impl Memory {
    fn set(&mut self, table: u64, index: u64, descriptor: u64) {
        self.words.insert(table + 8 * index, descriptor);
    }

    fn read(&self, pa: u64) -> Option<u64> {
        assert_eq!(pa % 8, 0, "a misaligned read");
        if self.unreadable.contains(&pa) {
            return None;
        }
        Some(self.words.get(&pa).copied().unwrap_or(0))
    }

    fn walk(&self, regime: &Regime, va: u64) -> Walk {
        regime.walk(va, |pa| self.read(pa))
    }

    #[track_caller]
    fn leaf(&self, regime: &Regime, va: u64) -> Leaf {
        let walk = self.walk(regime, va);
        walk.leaf()
            .unwrap_or_else(|| panic!("{va:#x} is not mapped: {walk:?}"))
    }

    fn leaves(&self, regime: &Regime) -> (Vec<Leaf>, Scan) {
        let mut leaves = Vec::new();
        let scan = regime.for_each_leaf(
            1 << 20,
            |pa| self.read(pa),
            |leaf| {
                leaves.push(*leaf);
                ControlFlow::Continue(())
            },
        );
        (leaves, scan)
    }

    fn runs(&self, regime: &Regime) -> Vec<Run> {
        let mut runs = Vec::new();
        let scan = regime.for_each_run(
            1 << 20,
            |pa| self.read(pa),
            |run| {
                runs.push(*run);
                ControlFlow::Continue(())
            },
        );
        assert!(scan.is_complete());
        runs
    }
}

/// 4 KiB granule, 48 bits: three tables that lead to `va`, the last one at 0x4000.
fn tables_4k(va: u64, limits: [u64; 3]) -> (Regime, Memory) {
    let mut memory = Memory::default();
    memory.set(0x1000, (va >> 39) & 511, 0x2000 | TABLE | limits[0]);
    memory.set(0x2000, (va >> 30) & 511, 0x3000 | TABLE | limits[1]);
    memory.set(0x3000, (va >> 21) & 511, 0x4000 | TABLE | limits[2]);
    (regime(0x1000, tcr(48, TG1_4K)), memory)
}

const VA: u64 = 0xffff_8000_1234_5000;
