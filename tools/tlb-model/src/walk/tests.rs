// SPDX-License-Identifier: GPL-2.0

//! Walks of tables that are built by hand, after the architecture's description.

use super::*;
use std::collections::HashMap;

/// Valid block or page bits besides the address: access flag.
const AF: u64 = 1 << 10;
/// Not global.
const NG: u64 = 1 << 11;
/// Contiguous.
const CONT: u64 = 1 << 52;
/// TCR.DS.
const DS: u64 = 1 << 59;
/// TCR.HA.
const HA: u64 = 1 << 39;
/// TCR.IPS for 52 bits.
const IPS52: u64 = 6 << 32;
/// Bits that tables may also carry and that must not reach an address.
const TABLE_NOISE: u64 = (1 << 63) | (1 << 60) | (1 << 59);
/// Attributes that must not reach an address: XN bits and software bits.
const LEAF_NOISE: u64 = (3 << 53) | (0xf << 55) | (0x3 << 6) | (1 << 2);

/// A granule with its TCR fields.
#[derive(Clone, Copy, Debug)]
struct Granule {
    /// log2 of its bytes.
    ps: u32,
    /// TG0.
    tg0: u64,
    /// TG1.
    tg1: u64,
}

/// 4 KiB.
const G4: Granule = Granule {
    ps: 12,
    tg0: 0,
    tg1: 2,
};
/// 16 KiB.
const G16: Granule = Granule {
    ps: 14,
    tg0: 2,
    tg1: 1,
};
/// 64 KiB.
const G64: Granule = Granule {
    ps: 16,
    tg0: 1,
    tg1: 3,
};

/// How a descriptor spells the address bits from 48 up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum High {
    /// Not at all.
    None,
    /// 49:48 in place, 51:50 in bits 9:8 (DS).
    Ds,
    /// 51:48 in bits 15:12 (64 KiB).
    Lpa,
}

impl High {
    /// The descriptor bits for an address.
    fn spell(self, pa: u64) -> u64 {
        match self {
            Self::None => {
                assert_eq!(pa >> 48, 0);
                pa
            }
            Self::Ds => pa & ((1 << 50) - 1) | ((pa >> 50) << 8),
            Self::Lpa => pa & ((1 << 48) - 1) | ((pa >> 48) << 12),
        }
    }
}

/// Physical memory with page tables, and the registers that point to them.
struct Tables {
    /// Descriptors by address.
    memory: HashMap<u64, u64>,
    /// The registers.
    regime: Regime,
}

/// A mapping to build.
#[derive(Clone, Copy, Debug)]
struct Map {
    /// The granule.
    granule: Granule,
    /// Bits of virtual address.
    va_bits: u32,
    /// Level of the first table.
    first: i32,
    /// Level of the leaf.
    leaf: i32,
    /// Address to map.
    va: u64,
    /// Address to map to, aligned to the leaf.
    pa: u64,
    /// TCR bits besides sizes and granules.
    tcr: u64,
    /// Spelling of high address bits.
    high: High,
    /// Attributes of the leaf.
    attributes: u64,
}

/// The table at each level; they lie above 4 GiB, and above 48 bits where that is possible.
fn table(high: High, level: i32) -> u64 {
    let base = if high == High::None { 0 } else { 0xd << 48 };
    base | (0x1_0000_0000 + (level + 1) as u64 * 0x10_0000)
}

/// Builds the tables for one mapping, with every index computed from the field positions that the
/// architecture lists, counted down from the granule.
fn build(map: Map) -> Tables {
    let Map { granule, va, .. } = map;
    let bits = granule.ps - 3;
    let upper = (va >> 55) & 1 != 0;
    let mut memory = HashMap::new();
    for level in map.first..=map.leaf {
        // Level 3 resolves the bits right above the page, each level before it the next ones.
        let mut low = granule.ps;
        for _ in level..3 {
            low += bits;
        }
        let width = if level == map.first {
            map.va_bits - low
        } else {
            bits
        };
        let index = (va >> low) % (1 << width);
        let at = table(map.high, level) + 8 * index;
        let desc = if level < map.leaf {
            map.high.spell(table(map.high, level + 1)) | 3 | TABLE_NOISE
        } else {
            let kind = if level == 3 { 3 } else { 1 };
            map.high.spell(map.pa) | map.attributes | kind
        };
        memory.insert(at, desc);
    }
    let size = u64::from(64 - map.va_bits);
    // The registers of the other half hold nonsense: the walk must not use them.
    let (t0sz, t1sz) = if upper { (63, size) } else { (size, 63) };
    let (tg0, tg1) = if upper {
        (3, granule.tg1)
    } else {
        (granule.tg0, 0)
    };
    let base = table(map.high, map.first);
    let ttbr = (0x77 << 48) | base & 0xffff_ffff_ffc0 | ((base >> 48) << 2) | 1;
    let (ttbr0, ttbr1) = if upper {
        (0xdead_0000, ttbr)
    } else {
        (ttbr, 0xdead_0000)
    };
    Tables {
        memory,
        regime: Regime {
            ttbr0,
            ttbr1,
            tcr: map.tcr | t0sz | (t1sz << 16) | (tg0 << 14) | (tg1 << 30),
            sctlr: 1,
        },
    }
}

impl Tables {
    /// Walks; panics on a read outside the tables.
    fn walk(&self, va: u64) -> Walk {
        walk(&self.regime, va, |pa| self.memory.get(&pa).copied())
    }
}

/// A map of `va` with `high` spelling, 52-bit addresses as the spelling needs.
fn map(granule: Granule, va_bits: u32, first: i32, leaf: i32, va: u64, high: High) -> Map {
    let shift = granule.ps + (3 - leaf) as u32 * (granule.ps - 3);
    let top = if high == High::None { 0 } else { 0xb << 48 };
    Map {
        granule,
        va_bits,
        first,
        leaf,
        va,
        pa: (top | 0x5a5a_5a5a_5a5a) >> shift << shift,
        tcr: match high {
            High::None => 5 << 32,
            High::Ds => DS | IPS52,
            High::Lpa => IPS52,
        },
        high,
        attributes: AF | LEAF_NOISE & !if high == High::Ds { 0x300 } else { 0 },
    }
}

/// Granule, VA bits, first level, high spelling, leaf levels that are legal.
const CASES: &[(Granule, u32, i32, High, &[i32])] = &[
    (G4, 52, -1, High::Ds, &[0, 1, 2, 3]),
    (G4, 49, -1, High::Ds, &[0, 1, 2, 3]),
    (G4, 48, 0, High::Ds, &[0, 1, 2, 3]),
    (G4, 48, 0, High::None, &[1, 2, 3]),
    (G4, 47, 0, High::None, &[1, 2, 3]),
    (G4, 40, 0, High::None, &[1, 2, 3]),
    (G4, 39, 1, High::None, &[1, 2, 3]),
    (G4, 31, 1, High::None, &[1, 2, 3]),
    (G4, 30, 2, High::None, &[2, 3]),
    (G4, 22, 2, High::None, &[2, 3]),
    (G4, 21, 3, High::None, &[3]),
    (G4, 16, 3, High::None, &[3]),
    (G16, 52, 0, High::Ds, &[1, 2, 3]),
    (G16, 48, 0, High::None, &[2, 3]),
    (G16, 47, 1, High::None, &[2, 3]),
    (G16, 47, 1, High::Ds, &[1, 2, 3]),
    (G16, 36, 2, High::None, &[2, 3]),
    (G16, 25, 3, High::None, &[3]),
    (G64, 52, 1, High::Lpa, &[1, 2, 3]),
    (G64, 48, 1, High::Lpa, &[1, 2, 3]),
    (G64, 48, 1, High::None, &[2, 3]),
    (G64, 42, 2, High::None, &[2, 3]),
    (G64, 29, 3, High::None, &[3]),
];

/// An address with ones all over, in either half, within `va_bits`.
fn address(va_bits: u32, upper: bool) -> u64 {
    let low = 0x000d_b6db_6db6_d6d5 & ((1u64 << va_bits) - 1);
    if upper {
        low | !((1u64 << va_bits) - 1)
    } else {
        low
    }
}

#[test]
fn every_granule_start_level_and_leaf_level() {
    let mut walks = 0;
    for &(granule, va_bits, first, high, leaves) in CASES {
        for &leaf in leaves {
            for upper in [false, true] {
                let va = address(va_bits, upper);
                let map = map(granule, va_bits, first, leaf, va, high);
                let shift = granule.ps + (3 - leaf) as u32 * (granule.ps - 3);
                let walk = build(map).walk(va);
                let found = walk.result.unwrap_or_else(|why| panic!("{map:?}: {why:?}"));
                assert_eq!(walk.reads as i32, leaf - first + 1, "{map:?}");
                assert_eq!(found.pa, map.pa | va & ((1 << shift) - 1), "{map:?}");
                assert_eq!((found.shift, found.group), (shift, shift), "{map:?}");
                assert!(found.global);
                walks += 1;
            }
        }
    }
    assert_eq!(walks, 114);
}

#[test]
fn illegal_blocks_fault() {
    for (granule, va_bits, first, high, leaf) in [
        (G4, 48, 0, High::None, 0),
        (G4, 52, -1, High::Ds, -1),
        (G16, 47, 1, High::None, 1),
        (G16, 52, 0, High::Ds, 0),
        (G64, 48, 1, High::None, 1),
    ] {
        let va = address(va_bits, true);
        let mut map = map(granule, va_bits, first, leaf, va, high);
        map.pa = 0;
        assert_eq!(build(map).walk(va).result, Err(Fault::Invalid), "{map:?}");
    }
}

#[test]
fn contiguous_groups() {
    for (granule, leaf, group) in [
        (G4, 3, 16),
        (G4, 2, 25),
        (G4, 1, 34),
        (G16, 3, 21),
        (G16, 2, 30),
        (G64, 3, 21),
        (G64, 2, 34),
    ] {
        let va = address(48, true);
        let first = if granule.ps == 16 { 1 } else { 0 };
        let mut map = map(granule, 48, first, leaf, va, High::None);
        map.attributes |= CONT;
        let found = build(map).walk(va).result.expect("mapped");
        assert_eq!(found.group, group, "{map:?}");
        assert!(found.shift < group);
    }
}

#[test]
fn attributes_of_leaves() {
    let va = address(48, false);
    let plain = map(G4, 48, 0, 3, va, High::None);
    let walk = |attributes, tcr| {
        build(Map {
            attributes,
            tcr: plain.tcr | tcr,
            ..plain
        })
        .walk(va)
        .result
    };
    assert!(walk(AF, 0).expect("mapped").global);
    assert!(!walk(AF | NG, 0).expect("mapped").global);
    assert_eq!(walk(0, 0), Err(Fault::Access));
    assert!(walk(0, HA).is_ok());
}

#[test]
fn invalid_descriptors_fault() {
    let va = address(48, true);
    let good = build(map(G4, 48, 0, 3, va, High::None));
    for level in 0..=3 {
        let at = table(High::None, level);
        let mut broken = Tables {
            memory: good.memory.clone(),
            regime: good.regime,
        };
        for (_, desc) in broken
            .memory
            .iter_mut()
            .filter(|(&pa, _)| pa >> 20 == at >> 20)
        {
            *desc &= !1;
        }
        let walk = broken.walk(va);
        assert_eq!(
            (walk.result, walk.reads as i32),
            (Err(Fault::Invalid), level + 1)
        );
    }
    // At level 3 the block encoding is reserved.
    let mut reserved = Tables {
        memory: good.memory.clone(),
        regime: good.regime,
    };
    for (_, desc) in reserved
        .memory
        .iter_mut()
        .filter(|(&pa, _)| pa >> 20 == table(High::None, 3) >> 20)
    {
        *desc &= !2;
    }
    assert_eq!(reserved.walk(va).result, Err(Fault::Invalid));
    // A neighbour that is not mapped is outside the tables built here.
    assert_eq!(good.walk(va ^ (1 << 12)).result, Err(Fault::Memory));
}

#[test]
fn addresses_outside_the_range_fault() {
    for upper in [false, true] {
        let va = address(48, upper);
        let tables = build(map(G4, 48, 0, 3, va, High::None));
        assert!(tables.walk(va).result.is_ok());
        assert_eq!(tables.walk(va ^ (1 << 48)).result, Err(Fault::Size));
        assert_eq!(tables.walk(va ^ (1 << 54)).result, Err(Fault::Size));
        // The top byte is a tag.
        assert!(tables.walk(va ^ (0x5a << 56)).result.is_ok());
    }
}

#[test]
fn disabled_and_impossible_ranges_fault() {
    let (low, high) = (address(48, false), address(48, true));
    let mut regime = build(map(G4, 48, 0, 3, low, High::None)).regime;
    regime.tcr |= 1 << 7;
    assert_eq!(
        walk(&regime, low, |_| None).result,
        Err(Fault::Disabled),
        "EPD0"
    );
    let mut regime = build(map(G4, 48, 0, 3, high, High::None)).regime;
    regime.tcr |= 1 << 23;
    assert_eq!(
        walk(&regime, high, |_| None).result,
        Err(Fault::Disabled),
        "EPD1"
    );
    for size in [0, 11, 52, 63] {
        regime.tcr = size;
        assert_eq!(
            walk(&regime, 0, |_| None).result,
            Err(Fault::Size),
            "{size}"
        );
    }
}

#[test]
fn small_tables_keep_their_low_address_bits() {
    // 16 KiB granule, 47-bit VA + 1: a first table of two entries, 16 bytes, at an odd place.
    let va = 0x0000_8000_0000_0000_u64;
    let mut tables = build(map(G16, 48, 0, 3, va, High::None));
    let old = table(High::None, 0) + 8;
    let desc = tables.memory.remove(&old).expect("second entry");
    tables.memory.insert(0x9_0000_0030 + 8, desc);
    tables.regime.ttbr0 = 0x9_0000_0030;
    assert!(tables.walk(va).result.is_ok());
}

#[test]
fn asids() {
    let regime = |tcr| Regime {
        ttbr0: 0x1234 << 48,
        ttbr1: 0x5678 << 48,
        tcr,
        sctlr: 0,
    };
    assert_eq!(regime(0).asid(), 0x34);
    assert_eq!(regime(1 << 36).asid(), 0x1234);
    assert_eq!(regime(1 << 22).asid(), 0x78);
    assert_eq!(regime((1 << 22) | (1 << 36)).asid(), 0x5678);
    assert!(!regime(0).mmu_on());
}

/// Four page descriptors in one line, mapped from a 16 KiB aligned VA; `edit` changes them.
fn coalesces_with(edit: impl FnOnce(&mut [u64; 4])) -> bool {
    let va = 0xffff_8000_0000_6000_u64;
    let mut descs = [0u64, 1, 2, 3].map(|i| (0x4000_0000 + i * 0x1000) | AF | NG | 3);
    edit(&mut descs);
    let at = 0x8_0000_0020;
    let leaf = Leaf {
        pa: 0x4000_2000,
        shift: 12,
        group: 12,
        global: false,
        attributes: AF | NG | 3,
        at: at + 16,
    };
    let regime = Regime {
        tcr: 2 << 30,
        ..Regime::default()
    };
    coalesces(&regime, va, &leaf, |pa| {
        descs.get((pa.checked_sub(at)? / 8) as usize).copied()
    })
}

#[test]
fn adjacent_pages_coalesce() {
    assert!(coalesces_with(|_| ()));
    assert!(!coalesces_with(|d| d[0] = 0), "an invalid neighbour");
    assert!(
        !coalesces_with(|d| d[3] += 0x1000),
        "a neighbour somewhere else"
    );
    assert!(!coalesces_with(|d| d[1] &= !NG), "a global neighbour");
    assert!(
        !coalesces_with(|d| d[1] |= 1 << 54),
        "a no-execute neighbour"
    );
    assert!(!coalesces_with(|d| d.swap(0, 3)), "the wrong order");
}

#[test]
fn sign_extension() {
    assert_eq!(sign_extend(0x80, 7), 0xffff_ffff_ffff_ff80);
    assert_eq!(sign_extend(0x7f, 7), 0x7f);
    assert_eq!(sign_extend(1 << 63, 63), 1 << 63);
}
