// SPDX-License-Identifier: GPL-2.0

//! The model and the module decode page tables independently of each other, on purpose: a mistake
//! of the module must not show in the model's figures. This test compares the two with random
//! registers, addresses and descriptors.

use pagetable::Walk;
use tlb_model::walk::walk;
use tlb_model::walk::Regime;

/// A generator of numbers (splitmix64): the same from the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The descriptor at a physical address: mostly a table or a block, sometimes invalid.
///
/// Contiguous entries come in whole groups only; the module may treat other groups differently.
fn descriptor(seed: u64, pa: u64, zeroes: u64) -> u64 {
    let random = mix(seed ^ (pa >> 3));
    let kind = match (random >> 60) & 7 {
        0 => 0,
        1 | 2 => 1,
        _ => 3,
    };
    // The access flag is set; no contiguous entries.
    (random & !3 & !(1 << 52) & !zeroes) | kind | (1 << 10)
}

/// Registers that the architecture allows: granule, size, 52-bit addresses or not.
fn registers(numbers: &mut Numbers) -> (u64, u64) {
    let (tg1, page_shift) = [(2u64, 12u32), (1, 14), (3, 16)][numbers.below(3) as usize];
    let ds = numbers.below(2);
    let ips = 5 + numbers.below(2);
    let largest = if page_shift == 16 || ds == 1 { 52 } else { 48 };
    let va_bits = 25 + numbers.below(largest - 25 + 1);
    // HA: hardware sets the access flag.
    let tcr = ((64 - va_bits) << 16) | (tg1 << 30) | (ips << 32) | (1 << 39) | (ds << 59);
    (numbers.next(), tcr)
}

/// An address that TTBR1 translates.
fn address(numbers: &mut Numbers, regime: &pagetable::Regime) -> u64 {
    regime.first_va() | numbers.next()
}

#[derive(Default)]
struct Seen {
    leaves: [u32; 5],
    holes: u32,
}

#[test]
fn both_find_the_same() {
    let mut numbers = Numbers(1);
    let mut seen = Seen::default();
    for seed in 0..4000 {
        let (ttbr1, tcr) = registers(&mut numbers);
        let ours = pagetable::Regime::from_registers(ttbr1, tcr).expect("allowed registers");
        let model = Regime {
            ttbr1,
            tcr,
            sctlr: 1,
            ..Regime::default()
        };
        // Of the 64 KiB granule: an address above 48 bits is a fault where only 48 are configured.
        let narrow = (tcr >> 30) & 3 == 3 && (tcr >> 32) & 7 == 5;
        let zeroes = if narrow { 0xf << 12 } else { 0 };
        for _ in 0..50 {
            let va = address(&mut numbers, &ours);
            let read = |pa| Some(descriptor(seed, pa, zeroes));
            let found = walk(&model, va, read);
            let context = format!("seed {seed}, TCR {tcr:#x}, TTBR {ttbr1:#x}, VA {va:#x}");
            match (ours.walk(va, read), found.result) {
                (Walk::Leaf(leaf), Ok(model)) => {
                    assert_eq!(leaf.translate(va), model.pa, "{context}");
                    assert_eq!(leaf.size, 1 << model.shift, "{context}");
                    assert_eq!(leaf.span, 1 << model.group, "{context}");
                    seen.leaves[(leaf.level + 1) as usize] += 1;
                }
                (Walk::Hole(_), Err(_)) => seen.holes += 1,
                (ours, model) => panic!("{context}: {ours:?}, the model: {model:?}"),
            }
        }
    }
    // Level -1 has tables only.
    assert!(
        seen.leaves[1..].iter().all(|&n| n > 100),
        "{:?}",
        seen.leaves
    );
    assert!(seen.holes > 1000);
}

/// One table whose entries are one contiguous mapping: both take the whole group for one entry.
#[test]
fn both_see_contiguous_groups() {
    for (tg1, page_shift, group) in [(2u64, 12u32, 4u32), (1, 14, 7), (3, 16, 5)] {
        let va_bits = u64::from(page_shift + page_shift - 3);
        let tcr = ((64 - va_bits) << 16) | (tg1 << 30) | (5 << 32) | (1 << 39);
        let table = 1 << 30;
        let read = |pa: u64| {
            let index = (pa - table) >> 3;
            Some((1 << 35) | (index << page_shift) | (1 << 52) | (1 << 10) | 3)
        };
        let ours = pagetable::Regime::from_registers(table, tcr).expect("allowed registers");
        let model = Regime {
            ttbr1: table,
            tcr,
            sctlr: 1,
            ..Regime::default()
        };
        for index in [0u64, 1, 77, 300] {
            let va = ours.first_va() | (index << page_shift) | 0x123;
            let leaf = ours.walk(va, read).leaf().expect("a leaf");
            let model = walk(&model, va, read).result.expect("a leaf");
            assert_eq!(leaf.translate(va), model.pa);
            assert_eq!(
                (leaf.span, 1 << model.group),
                (1 << (page_shift + group), leaf.span)
            );
        }
    }
}
