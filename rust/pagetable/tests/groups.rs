// SPDX-License-Identifier: GPL-2.0

//! Contiguous groups, whole and broken.

use super::*;

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
