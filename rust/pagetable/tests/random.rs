// SPDX-License-Identifier: GPL-2.0

//! Random tables and registers.

use super::*;

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
