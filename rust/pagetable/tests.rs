// SPDX-License-Identifier: GPL-2.0

//! Host tests with hand-built tables.

use super::*;
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

/// Physical memory that holds tables; what was never written reads as zero.
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

#[test]
fn geometry_follows_the_registers() {
    // Granule and options, bits, start level, entries of the first table.
    for (options, va_bits, level, entries) in [
        (TG1_4K, 48, 0, 512),
        (TG1_4K, 47, 0, 256),
        (TG1_4K, 40, 0, 2),
        (TG1_4K, 39, 1, 512),
        (TG1_4K, 31, 1, 2),
        (TG1_4K, 30, 2, 512),
        (TG1_4K, 21, 3, 512),
        (TG1_4K | TCR_DS, 52, -1, 16),
        (TG1_4K | TCR_DS, 49, -1, 2),
        (TG1_4K | TCR_DS, 48, 0, 512),
        (TG1_16K, 48, 0, 2),
        (TG1_16K, 47, 1, 2048),
        (TG1_16K, 36, 2, 2048),
        (TG1_16K | TCR_DS, 52, 0, 32),
        (TG1_64K, 52, 1, 1024),
        (TG1_64K, 48, 1, 64),
        (TG1_64K, 42, 2, 8192),
    ] {
        let regime = regime(0, tcr(va_bits, options));
        assert_eq!(regime.start_level(), level, "{options:#x} {va_bits}");
        assert_eq!(
            1 << regime.table_order(level),
            entries,
            "{options:#x} {va_bits}"
        );
        assert_eq!(u64::from(regime.va_bits()), va_bits);
        assert_eq!(regime.first_va(), !((1 << va_bits) - 1));
    }
}

#[test]
fn impossible_registers_are_refused() {
    for bad in [
        tcr(48, 0),                 // Reserved granule.
        tcr(48, TG1_4K | TCR_EPD1), // Walks disabled.
        tcr(49, TG1_4K),            // Too wide without LPA2.
        tcr(52, TG1_16K),           //
        tcr(53, TG1_64K),           // Too wide at all.
        tcr(53, TG1_4K | TCR_DS),   //
        tcr(64, TG1_4K | TCR_DS),   // T1SZ = 0.
        tcr(12, TG1_4K),            // Not even two pages.
        tcr(16, TG1_64K),           //
    ] {
        assert_eq!(Regime::from_registers(0x1000, bad), None, "{bad:#x}");
    }
}

#[test]
fn root_has_no_asid_and_no_cnp() {
    let root = |ttbr, tcr| regime(ttbr, tcr).root();
    assert_eq!(root(0xabcd_0000_4123_4001, tcr(48, TG1_4K)), 0x4123_4000);
    // A first table smaller than a page is aligned to its size only.
    assert_eq!(root(0x0001_0000_4123_5e01, tcr(48, TG1_64K)), 0x4123_5e00);
    // 52-bit addresses: TTBR bits 5 to 2 are address bits 51 to 48.
    let wide = 0xabcd_8000_4123_5e00 | (0b1010 << 2) | 1;
    assert_eq!(root(wide, tcr(48, TG1_64K | IPS_52)), 0xa_8000_4123_5e00);
    assert_eq!(root(wide, tcr(48, TG1_64K)), 0x8000_4123_5e00);
    assert_eq!(
        root(wide & !0xe00, tcr(52, TG1_4K | TCR_DS | IPS_52)),
        0xa_8000_4123_5000
    );
    assert_eq!(
        root(wide & !0xe00, tcr(52, TG1_4K | TCR_DS)),
        0x8000_4123_5000
    );
    // Without LPA2, IPS alone does not widen what 4 KiB tables can hold.
    assert_eq!(root(wide, tcr(48, TG1_4K | IPS_52)), 0x8000_4123_5000);
}

#[test]
fn block_of_2_mib_as_debian_makes_it() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    // Observed on Debian 7.3.4: PAGE_KERNEL_ROX in one block.
    memory.set(0x3000, (VA >> 21) & 511, 0x00c0_0000_44c0_0f81);
    let leaf = memory.leaf(&regime, VA);
    assert_eq!(leaf.kind().to_string(), "2 MiB block");
    assert_eq!(leaf.access().to_string(), "r-x");
    assert_eq!((leaf.va, leaf.pa), (0xffff_8000_1220_0000, 0x44c0_0000));
    assert_eq!((leaf.size, leaf.span, leaf.level), (2 << 20, 2 << 20, 2));
    assert_eq!(leaf.translate(VA + 0x123), 0x44d4_5123);
    assert!(leaf.covers(0xffff_8000_1220_0000, 2 << 20));
    assert!(!leaf.covers(0xffff_8000_1220_0000, (2 << 20) + 1));
    assert!(!leaf.covers(0xffff_8000_1220_0000 - 1, 2));
    assert!(!leaf.covers(VA, u64::MAX));
    // The address bits below the block are not an address.
    memory.set(0x3000, (VA >> 21) & 511, 0x44c1_0000 | BLOCK);
    assert_eq!(memory.leaf(&regime, VA).pa, 0x44c0_0000);
}

#[test]
fn page_of_4_kib() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    memory.set(
        0x4000,
        (VA >> 12) & 511,
        0x5_6000 | PAGE | NO_KERNEL_EXECUTE,
    );
    let leaf = memory.leaf(&regime, VA + 0xfff);
    assert_eq!(leaf.kind().to_string(), "4 KiB page");
    assert_eq!(leaf.access().to_string(), "rw-");
    assert_eq!((leaf.va, leaf.pa, leaf.level), (VA, 0x5_6000, 3));
}

#[test]
fn holes_say_where_they_are() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    let hole = |memory: &Memory, va| match memory.walk(&regime, va) {
        Walk::Hole(hole) => (hole.va, hole.size, hole.level),
        walk => panic!("{walk:?}"),
    };
    assert_eq!(hole(&memory, VA | 7), (VA, 4096, 3));
    assert_eq!(
        hole(&memory, VA ^ (1 << 21)),
        ((VA ^ (1 << 21)) & !0x1f_ffff, 2 << 20, 2)
    );
    assert_eq!(hole(&memory, u64::MAX), (!0u64 << 39, 1 << 39, 0));
    // Bit 1 clear at the last level is not a page; bit 0 clear is nothing at all.
    for invalid in [PAGE & !2, PAGE & !1] {
        memory.set(0x4000, (VA >> 12) & 511, 0x5_6000 | invalid);
        assert_eq!(hole(&memory, VA), (VA, 4096, 3));
    }
    // There are no 512 GiB blocks without LPA2.
    memory.set(0x1000, (VA >> 39) & 511, BLOCK);
    assert_eq!(hole(&memory, VA).2, 0);
}

#[test]
fn blocks_exist_where_the_architecture_has_them() {
    // Options, bits, level, name of a block there; none: a hole.
    for (options, va_bits, level, name) in [
        (TG1_4K, 48, 0, None),
        (TG1_4K, 48, 1, Some("1 GiB block")),
        (TG1_4K, 48, 2, Some("2 MiB block")),
        (TG1_4K | TCR_DS, 52, -1, None),
        (TG1_4K | TCR_DS, 52, 0, Some("512 GiB block")),
        (TG1_16K, 48, 0, None),
        (TG1_16K, 48, 1, None),
        (TG1_16K, 48, 2, Some("32 MiB block")),
        (TG1_16K | TCR_DS, 52, 0, None),
        (TG1_16K | TCR_DS, 52, 1, Some("64 GiB block")),
        (TG1_64K, 52, 1, None),
        (TG1_64K | IPS_52, 52, 1, Some("4 TiB block")),
        (TG1_64K, 52, 2, Some("512 MiB block")),
    ] {
        let regime = regime(0x10_0000, tcr(va_bits, options));
        let mut memory = Memory::default();
        let table = |level: i8| 0x10_0000 * (1 + u64::from(level.abs_diff(regime.start_level())));
        for above in regime.start_level()..level {
            memory.set(table(above), 0, table(above + 1) | TABLE);
        }
        memory.set(table(level), 0, BLOCK & !0x300);
        let leaf = memory.walk(&regime, regime.first_va()).leaf();
        assert_eq!(leaf.map(|leaf| leaf.kind().to_string()).as_deref(), name);
    }
}

#[test]
fn contiguous_pages_of_16_kib_as_debian_makes_them() {
    let regime = regime(0x4000, tcr(47, TG1_16K));
    let va = regime.first_va() + (5 << 21);
    let mut memory = Memory::default();
    memory.set(0x4000, 0, 0x8000 | TABLE);
    memory.set(0x8000, 0, 0xc000 | TABLE);
    for i in 0..128 {
        // Observed on Debian's arm64-16k 7.3.4.
        memory.set(0xc000, 5 * 128 + i, 0x00d0_0000_4a00_0f83 + (i << 14));
    }
    let leaf = memory.leaf(&regime, va + (77 << 14) + 5);
    assert_eq!(leaf.kind().to_string(), "2 MiB contiguous");
    assert_eq!(leaf.access().to_string(), "r-x");
    assert_eq!((leaf.size, leaf.span, leaf.level), (16 << 10, 2 << 20, 3));
    assert_eq!(
        (leaf.va, leaf.pa),
        (va + (77 << 14), 0x4a00_0000 + (77 << 14))
    );
    assert_eq!((leaf.span_va(), leaf.span_pa()), (va, 0x4a00_0000));
    assert_eq!(
        leaf.translate(va + (77 << 14) + 5),
        0x4a00_0005 + (77 << 14)
    );
    assert!(leaf.covers(va, 2 << 20));

    let (leaves, scan) = memory.leaves(&regime);
    assert!(scan.is_complete());
    assert_eq!(leaves.len(), 1);
    assert_eq!((leaves[0].va, leaves[0].span), (va, 2 << 20));

    // Without the hint it is 128 pages in one run.
    for i in 0..128 {
        memory.set(0xc000, 5 * 128 + i, 0x00c0_0000_4a00_0f83 + (i << 14));
    }
    let runs = memory.runs(&regime);
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].leaves, runs[0].bytes), (128, 2 << 20));
    assert_eq!(runs[0].first.kind().to_string(), "16 KiB page");
}

#[test]
fn groups_have_the_sizes_of_the_architecture() {
    // Options, bits, level, entries of a group, its name.
    for (options, va_bits, level, entries, name) in [
        (TG1_4K, 39, 1, 16, "16 GiB contiguous"),
        (TG1_4K, 30, 2, 16, "32 MiB contiguous"),
        (TG1_4K, 21, 3, 16, "64 KiB contiguous"),
        (TG1_16K, 36, 2, 32, "1 GiB contiguous"),
        (TG1_16K, 25, 3, 128, "2 MiB contiguous"),
        (TG1_64K, 42, 2, 32, "16 GiB contiguous"),
        (TG1_64K, 29, 3, 32, "2 MiB contiguous"),
        // No groups at this level: the hint means nothing.
        (TG1_4K | TCR_DS, 48, 0, 16, "512 GiB block"),
        (TG1_64K | IPS_52, 48, 1, 32, "4 TiB block"),
        // A first table smaller than a group.
        (TG1_16K, 29, 2, 32, "32 MiB block"),
    ] {
        let regime = regime(0x10_0000, tcr(va_bits, options));
        assert_eq!(regime.start_level(), level);
        let form = if level == 3 { PAGE } else { BLOCK } & !0x300;
        let shift = regime.granule().shift(level);
        let mut memory = Memory::default();
        for i in 0..entries {
            memory.set(
                0x10_0000,
                i,
                ((i << shift) & bit_range(47, 0)) | form | CONTIGUOUS,
            );
        }
        let leaf = memory.leaf(&regime, regime.first_va());
        assert_eq!(leaf.kind().to_string(), name);
    }
}

#[test]
fn broken_groups_get_no_credit() {
    let (regime, mut whole) = tables_4k(VA, [0; 3]);
    let first = (VA >> 12) & 511 & !15;
    let entry = |i: u64| (0x8_0000 + (i << 12)) | PAGE | ROX | CONTIGUOUS;
    let build = |memory: &mut Memory| {
        for i in 0..16 {
            memory.set(0x4000, first + i, entry(i));
        }
    };
    build(&mut whole);
    assert_eq!(
        whole.leaf(&regime, VA).kind().to_string(),
        "64 KiB contiguous"
    );
    assert_eq!(whole.leaves(&regime).0.len(), 1);

    for (what, index, descriptor) in [
        ("an invalid entry", 9, 0),
        ("an entry made invalid", 9, entry(9) & !VALID),
        ("an entry without the hint", 9, entry(9) & !CONTIGUOUS),
        ("a gap in the addresses", 9, entry(10)),
        ("the last entry elsewhere", 15, entry(16)),
        ("the first entry elsewhere", 0, entry(1)),
        ("a writable entry", 9, entry(9) & !READ_ONLY),
        ("another memory type", 9, entry(9) | (1 << 2)),
    ] {
        let (_, mut memory) = tables_4k(VA, [0; 3]);
        build(&mut memory);
        memory.set(0x4000, first + index, descriptor);
        for i in (0..16).filter(|&i| i != index) {
            let leaf = memory.leaf(&regime, (VA & !0xffff) + (i << 12));
            assert_eq!(leaf.kind().to_string(), "4 KiB page", "{what}");
            assert!(!leaf.covers(VA & !0xffff, 0x1_0000), "{what}");
        }
        let (leaves, _) = memory.leaves(&regime);
        assert!(leaves.len() >= 15, "{what}");
        assert!(leaves.iter().all(|leaf| leaf.span == 4096), "{what}");
    }

    // Broken groups cost a scan one more look each, not one for each of their entries.
    let (_, mut memory) = tables_4k(VA, [0; 3]);
    for i in 0..512 {
        memory.set(0x4000, i, PAGE | CONTIGUOUS | ((i & !15) << 12));
    }
    let mut reads = 0;
    let read = |pa| {
        reads += 1;
        memory.read(pa)
    };
    let scan = regime.for_each_leaf(100, read, |_| ControlFlow::Continue(()));
    assert!(scan.is_complete());
    assert!(reads <= 4 * 512 + 512 / 16 * 16, "{reads} reads");

    // In order, but not aligned to the group.
    let (_, mut memory) = tables_4k(VA, [0; 3]);
    for i in 0..16 {
        memory.set(0x4000, first + i, entry(i + 1));
    }
    assert_eq!(memory.leaf(&regime, VA).kind().to_string(), "4 KiB page");

    // An entry of the group that cannot be read.
    whole.unreadable.insert(0x4000 + 8 * (first + 3));
    assert_eq!(whole.leaf(&regime, VA).kind().to_string(), "4 KiB page");
}

#[test]
fn lpa2_from_level_minus_one() {
    // Root at 0x9_0000_0000_1000: TTBR bits 5 to 2 are address bits 51 to 48.
    let regime = regime(0x1000 | (0b1001 << 2), tcr(52, TG1_4K | TCR_DS | IPS_52));
    assert_eq!(
        (regime.start_level(), regime.root()),
        (-1, 0x9_0000_0000_1000)
    );
    let va = 0xfff1_2345_6789_a000u64;
    let mut memory = Memory::default();
    // Address bits 51 and 50 in bits 9 and 8; bits 49 and 48 in place.
    memory.set(
        0x9_0000_0000_1000,
        (va >> 48) & 15,
        0x2000 | (1 << 49) | (1 << 8) | TABLE,
    );
    memory.set(
        0x6_0000_0000_2000,
        (va >> 39) & 511,
        0x3000 | (2 << 8) | TABLE,
    );
    memory.set(0x8_0000_0000_3000, (va >> 30) & 511, 0x4000 | TABLE);
    memory.set(0x4000, (va >> 21) & 511, 0x5000 | TABLE);
    memory.set(
        0x5000,
        (va >> 12) & 511,
        0xabcd_e000 | (1 << 48) | (3 << 8) | 0x403,
    );
    let leaf = memory.leaf(&regime, va | 0xabc);
    assert_eq!((leaf.va, leaf.pa, leaf.level), (va, 0xd_0000_abcd_e000, 3));
    let (leaves, scan) = memory.leaves(&regime);
    assert_eq!((leaves, scan.tables), (std::vec![leaf], 5));
}

#[test]
fn lpa2_groups_keep_the_split_address_together() {
    let regime = regime(0x1000, tcr(21, TG1_4K | TCR_DS));
    let mut memory = Memory::default();
    for i in 0..16 {
        memory.set(0x1000, i, (i << 12) | (2 << 8) | 0x403 | CONTIGUOUS);
    }
    let leaf = memory.leaf(&regime, regime.first_va());
    assert_eq!(
        (leaf.kind().to_string().as_str(), leaf.pa),
        ("64 KiB contiguous", 8 << 48)
    );
    // One entry with other upper address bits.
    memory.set(0x1000, 3, (3 << 12) | (1 << 8) | 0x403 | CONTIGUOUS);
    assert_eq!(memory.leaf(&regime, regime.first_va()).span, 4096);
}

#[test]
fn pages_of_64_kib_with_52_bit_addresses() {
    let va = 0xfff8_1234_5678_0000u64;
    let build = |upper: u64| {
        let mut memory = Memory::default();
        memory.set(
            0x1_0000,
            (va >> 42) & 1023,
            0x2_0000 | (upper << 12) | TABLE,
        );
        memory.set(
            (upper << 48) | 0x2_0000,
            (va >> 29) & 8191,
            0x3_0000 | TABLE,
        );
        memory.set(
            0x3_0000,
            (va >> 16) & 8191,
            0xabcd_0000 | (upper << 12) | PAGE,
        );
        memory
    };
    let wide = regime(0x1_0000, tcr(52, TG1_64K | IPS_52));
    let leaf = build(0xb).leaf(&wide, va | 0xffff);
    assert_eq!((leaf.pa, leaf.level), (0xb_0000_abcd_0000, 3));
    assert_eq!(leaf.kind().to_string(), "64 KiB page");
    // With 48-bit addresses these bits are no address.
    let narrow = regime(0x1_0000, tcr(52, TG1_64K));
    assert_eq!(build(0).leaf(&narrow, va).pa, 0xabcd_0000);
    assert!(build(0xb).walk(&narrow, va).leaf().is_none());
}

#[test]
fn a_48_bit_half_uses_the_end_of_a_52_bit_root() {
    // Linux points TTBR1 into a 1024-entry root where the CPU has no 52-bit addresses.
    let offset = (1024 - 64) * 8;
    let regime = regime(0x1_0000 + offset, tcr(48, TG1_64K));
    let mut memory = Memory::default();
    memory.set(0x1_0000, 1023, 0x2_0000 | TABLE);
    memory.set(0x2_0000, 8191, 0x4000_0000 | BLOCK);
    let leaf = memory.leaf(&regime, u64::MAX);
    assert_eq!(leaf.kind().to_string(), "512 MiB block");
    assert_eq!((leaf.va, leaf.pa), (u64::MAX << 29, 0x4000_0000));
}

#[test]
fn permissions_of_a_leaf() {
    for (bits, access) in [
        (0, "rwx"),
        (NO_KERNEL_EXECUTE, "rw-"),
        (READ_ONLY, "r-x"),
        (READ_ONLY | NO_KERNEL_EXECUTE, "r--"),
        // Clean now, but hardware may make it writable.
        (READ_ONLY | DIRTY_BIT_MODIFIER, "rwx"),
        (READ_ONLY | DIRTY_BIT_MODIFIER | NO_KERNEL_EXECUTE, "rw-"),
        // UXN and AP[1] are about user space.
        ((1 << 54) | (1 << 6), "rwx"),
    ] {
        let (regime, mut memory) = tables_4k(VA, [0; 3]);
        memory.set(0x4000, (VA >> 12) & 511, PAGE | bits);
        assert_eq!(
            memory.leaf(&regime, VA).access().to_string(),
            access,
            "{bits:#x}"
        );
    }
}

#[test]
fn tables_restrict_what_is_below() {
    for level in 0..3 {
        for (bits, access) in [
            (TABLE_READ_ONLY, "r-x"),
            (TABLE_NO_KERNEL_EXECUTE, "rw-"),
            (TABLE_READ_ONLY | TABLE_NO_KERNEL_EXECUTE, "r--"),
            // UXNTable and APTable[0] are about user space.
            ((1 << 60) | (1 << 61), "rwx"),
        ] {
            let mut limits = [0; 3];
            limits[level] = bits;
            let (regime, mut memory) = tables_4k(VA, limits);
            memory.set(0x4000, (VA >> 12) & 511, PAGE);
            assert_eq!(memory.leaf(&regime, VA).access().to_string(), access);
            assert_eq!(memory.leaves(&regime).0, [memory.leaf(&regime, VA)]);

            // Where hardware ignores them, so does the walk.
            let ignored = [
                regime.with_permission_indirection(),
                self::regime(0x1000, tcr(48, TG1_4K | TCR_HPD1)),
            ];
            for regime in ignored {
                assert_eq!(memory.leaf(&regime, VA).access().to_string(), "rwx");
            }
        }
    }
}

#[test]
fn restrictions_end_with_their_table() {
    let (regime, mut memory) = tables_4k(VA, [0, 0, TABLE_READ_ONLY]);
    memory.set(0x3000, ((VA >> 21) & 511) + 1, 0x5000 | TABLE);
    memory.set(0x4000, 511, 0x6000 | PAGE);
    memory.set(0x5000, 0, 0x7000 | PAGE);
    let (leaves, _) = memory.leaves(&regime);
    let access: Vec<_> = leaves
        .iter()
        .map(|leaf| leaf.access().to_string())
        .collect();
    assert_eq!(access, ["r-x", "rwx"]);
    // Neighbours, but of other access: two runs.
    assert_eq!(memory.runs(&regime).len(), 2);
}

#[test]
fn only_the_kernel_half_is_walked() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    memory.set(0x4000, (VA >> 12) & 511, PAGE);
    for va in [0, VA & low_mask(48), VA & low_mask(56), !(1 << 48), 1 << 55] {
        assert_eq!(memory.walk(&regime, va), Walk::Outside, "{va:#x}");
    }
    // With TBI the top byte is a tag.
    let tagged = self::regime(0x1000, tcr(48, TG1_4K | TCR_TBI1));
    assert_eq!(
        memory.leaf(&tagged, VA & low_mask(56) | (0x5a << 56)).va,
        VA
    );
    assert_eq!(memory.walk(&tagged, VA & low_mask(48)), Walk::Outside);
}

#[test]
fn unreadable_tables_are_reported() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    memory.set(0x4000, (VA >> 12) & 511, PAGE);
    memory.set(0x2000, 511, BLOCK);
    memory.unreadable.insert(0x3000 + 8 * ((VA >> 21) & 511));
    let walk = memory.walk(&regime, VA);
    assert_eq!(
        walk,
        Walk::Unreadable {
            table: 0x3000,
            level: 2
        }
    );
    let (leaves, scan) = memory.leaves(&regime);
    assert_eq!(
        (leaves.len(), scan.unreadable, scan.end),
        (1, 1, End::Complete)
    );
    assert!(!scan.is_complete());
}

#[test]
fn scans_stop_when_told() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    for i in 0..10 {
        memory.set(0x4000, i, ((2 * i) << 12) | PAGE);
    }
    let mut seen = 0;
    let scan = regime.for_each_leaf(
        100,
        |pa| memory.read(pa),
        |_| {
            seen += 1;
            if seen == 4 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert_eq!((seen, scan.end), (4, End::Stopped));
    let mut seen = 0;
    let scan = regime.for_each_run(
        100,
        |pa| memory.read(pa),
        |_| {
            seen += 1;
            ControlFlow::Break(())
        },
    );
    assert_eq!((seen, scan.end), (1, End::Stopped));
}

#[test]
fn tables_that_contain_themselves_end() {
    let regime = regime(0x1000, tcr(48, TG1_4K));
    let mut memory = Memory::default();
    for i in 0..512 {
        // Different bits that mean nothing, so that no entry repeats the one before.
        memory.set(0x1000, i, 0x1000 | TABLE | (i << 2));
    }
    let scan = regime.for_each_leaf(5000, |pa| memory.read(pa), |_| ControlFlow::Continue(()));
    assert_eq!((scan.end, scan.tables), (End::OutOfTables, 5000));
    assert!(!scan.is_complete());
}

#[test]
fn repeated_tables_are_entered_once() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    for i in 0..512 {
        memory.set(0x3000, i, 0x4000 | TABLE);
    }
    memory.set(0x3000, 7, 0x4000 | TABLE | TABLE_READ_ONLY);
    memory.set(0x4000, 5, PAGE);
    let (leaves, scan) = memory.leaves(&regime);
    // Entries 0, 7 (other restrictions) and 8.
    assert_eq!((leaves.len(), scan.repeated, scan.tables), (3, 509, 6));
    assert!(scan.is_complete());
}

#[test]
fn runs_need_contiguous_memory() {
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    for (i, frame) in [(0, 5), (1, 6), (2, 7), (3, 9), (5, 10), (6, 11)] {
        memory.set(0x4000, i, (frame << 12) | PAGE);
    }
    let runs: Vec<_> = memory
        .runs(&regime)
        .iter()
        .map(|run| (run.leaves, run.bytes))
        .collect();
    assert_eq!(runs, [(3, 3 << 12), (1, 1 << 12), (2, 2 << 12)]);

    // A group goes on where a page ends: still two kinds of mapping.
    let (regime, mut memory) = tables_4k(VA, [0; 3]);
    memory.set(0x4000, 15, 0xf000 | PAGE);
    for i in 0..16 {
        memory.set(0x4000, 16 + i, ((0x10 + i) << 12) | PAGE | CONTIGUOUS);
    }
    let kinds: Vec<_> = memory
        .runs(&regime)
        .iter()
        .map(|run| run.first.kind().to_string())
        .collect();
    assert_eq!(kinds, ["4 KiB page", "64 KiB contiguous"]);
}

/// A generator of pseudo-random numbers (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// All regimes of the tests above, in short.
fn regimes(root: u64) -> Vec<Regime> {
    let mut regimes = Vec::new();
    for granule in [TG1_4K, TG1_16K, TG1_64K] {
        for options in [0, TCR_DS, IPS_52, TCR_DS | IPS_52] {
            for va_bits in [21, 30, 39, 42, 47, 48, 52] {
                regimes.extend(Regime::from_registers(
                    root,
                    tcr(va_bits, granule | options),
                ));
            }
        }
    }
    assert!(regimes.len() > 60);
    regimes
}

#[test]
fn scan_and_walk_agree_on_random_tables() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut grouped = 0;
    for regime in regimes(0x10_0000) {
        // A few tables that point to each other; holes, pages, and runs of contiguous entries.
        let mut memory = Memory::default();
        let granule = regime.granule();
        for table in 1..6u64 {
            for _ in 0..12 {
                let r = random.next();
                let index = (r >> 20) & low_mask(granule.index_bits());
                let next = (table + 1) * 0x10_0000;
                match r & 3 {
                    0 => memory.set(table * 0x10_0000, index, next | TABLE | r & (3 << 61)),
                    1 => memory.set(table * 0x10_0000, index, (r & bit_range(39, 30)) | BLOCK),
                    2 => memory.set(table * 0x10_0000, index, (r & bit_range(39, 16)) | PAGE),
                    _ => {
                        let level = regime.start_level() + table as i8 - 1;
                        let order = granule.group_order(level.min(3));
                        let shift = granule.shift(level.min(3));
                        let form = if level >= 3 { 0x403 } else { 0x401 };
                        for i in 0..1 << order {
                            let entry = ((i << shift) & bit_range(47, 16)) | form | CONTIGUOUS;
                            memory.set(table * 0x10_0000, (index & !low_mask(order)) + i, entry);
                        }
                    }
                }
            }
        }

        let (leaves, scan) = memory.leaves(&regime);
        assert_eq!(scan.end, End::Complete);
        let mut end = Some(regime.first_va());
        for leaf in &leaves {
            assert!(
                end.is_some_and(|end| leaf.va >= end),
                "{leaf:?} is out of order"
            );
            assert_eq!(leaf.va % leaf.span, 0);
            end = leaf.va.checked_add(leaf.span);
            grouped += u64::from(leaf.span > leaf.size);
            for va in [
                leaf.va,
                leaf.va | (leaf.span - 1),
                leaf.va | (random.next() % leaf.span),
            ] {
                let found = memory.leaf(&regime, va);
                assert_eq!(found.span_va(), leaf.va);
                assert_eq!((found.span, found.access()), (leaf.span, leaf.access()));
                assert_eq!(found.translate(va) - leaf.pa, va - leaf.va);
            }
        }
        // And the other way round: nothing is mapped that was not visited.
        for _ in 0..1000 {
            let va = regime.first_va() | random.next();
            let visited = leaves.iter().any(|leaf| leaf.covers(va, 1));
            assert_eq!(
                memory.walk(&regime, va).leaf().is_some(),
                visited,
                "{va:#x}"
            );
        }
    }
    assert!(grouped > 20, "too few groups to mean anything: {grouped}");
}

#[test]
fn garbage_never_panics() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    for _ in 0..20_000 {
        let Some(regime) = Regime::from_registers(random.next(), random.next()) else {
            continue;
        };
        let va = random.next() | (!0 << (random.next() % 64));
        let salt = random.next();
        // A descriptor depends on its address only, and is often all ones.
        let read = |pa: u64| {
            let mut word = Random(pa ^ salt | 1);
            let word = word.next();
            (word & 15 != 0).then_some(if word & 16 == 0 { u64::MAX } else { word })
        };
        if let Walk::Leaf(leaf) = regime.walk(va, read) {
            let _ = (leaf.kind().to_string(), leaf.access(), leaf.translate(va));
            let _ = (leaf.covers(va, salt), leaf.span_va(), leaf.span_pa());
        }
    }
    for regime in regimes(random.next()) {
        let salt = random.next();
        let read = |pa: u64| Some(Random(pa ^ salt | 1).next());
        let scan = regime.for_each_run(50, read, |_| ControlFlow::Continue(()));
        assert!(scan.tables <= 50);
    }
}
