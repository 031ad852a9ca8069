// SPDX-License-Identifier: GPL-2.0

//! Scans of the whole half, and runs.

use super::*;

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
