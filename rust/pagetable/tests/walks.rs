// SPDX-License-Identifier: GPL-2.0

//! Walks to one address: leaves, holes, permissions, address formats.

use super::*;

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
    // Any of the levels, and several at once.
    for levels in 1..8 {
        for (bits, access) in [
            (TABLE_READ_ONLY, "r-x"),
            (TABLE_NO_KERNEL_EXECUTE, "rw-"),
            (TABLE_READ_ONLY | TABLE_NO_KERNEL_EXECUTE, "r--"),
            // UXNTable and APTable[0] are about user space.
            ((1 << 60) | (1 << 61), "rwx"),
        ] {
            let limits = [0, 1, 2].map(|level| if (levels >> level) & 1 == 1 { bits } else { 0 });
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
