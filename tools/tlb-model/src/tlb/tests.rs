// SPDX-License-Identifier: GPL-2.0

//! Replacement and kill rules.

use super::*;

/// A page of address space 1.
fn page(va: u64) -> Entry {
    Entry {
        va,
        pa: 0x4000_0000 + va,
        shift: 12,
        leaf: 12,
        coalesced: false,
        asid: 1,
        global: false,
    }
}

/// A leaf of `shift` bits.
fn leaf(va: u64, shift: u32) -> Entry {
    Entry {
        shift,
        leaf: shift,
        ..page(va)
    }
}

/// Calls `pages` pages in a circle, `rounds` times after `warm` rounds; counts the misses.
fn cycle(entries: usize, policy: Policy, pages: u64, warm: u64, rounds: u64) -> u64 {
    let mut tlb = FullyAssociative::new(entries, policy, 0);
    let mut misses = 0;
    for round in 0..warm + rounds {
        for va in (0..pages).map(|i| i << 12) {
            if tlb.lookup(va, 1).is_none() {
                tlb.insert(page(va));
                misses += u64::from(round >= warm);
            }
        }
    }
    misses
}

#[test]
fn lru_of_what_fits_misses_once() {
    assert_eq!(cycle(48, Policy::Lru, 48, 0, 1000), 48);
    assert_eq!(cycle(48, Policy::Lru, 40, 1, 1000), 0);
}

#[test]
fn lru_of_one_page_too_many_always_misses() {
    assert_eq!(cycle(48, Policy::Lru, 49, 0, 100), 4900);
    assert_eq!(cycle(48, Policy::Lru, 64, 1, 1000), 64_000);
}

#[test]
fn random_is_between_and_repeats() {
    // Between two uses of a page the other misses each spare it with probability 47/48, so the miss
    // ratio f solves 1 - f = (47/48)^(64 f): 0.458.
    let mut seen = std::collections::BTreeSet::new();
    for seed in 1..=5 {
        let misses = cycle(48, Policy::Random(seed), 64, 1, 1000);
        assert!((28_500..30_500).contains(&misses), "{seed}: {misses}");
        assert_eq!(misses, cycle(48, Policy::Random(seed), 64, 1, 1000));
        seen.insert(misses);
    }
    assert!(seen.len() > 1, "seeds matter");
    assert_eq!(
        cycle(48, Policy::Random(1), 48, 1, 100),
        0,
        "empty slots first"
    );
}

#[test]
fn random_with_a_calling_loop() {
    // A loop on a page of its own calls each of the 64 pages.
    let mut tlb = FullyAssociative::new(48, Policy::Random(1), 0);
    let mut misses = 0;
    for va in (0..64_000).flat_map(|i| [0x100_0000, (i % 64) << 12]) {
        if tlb.lookup(va, 1).is_none() {
            tlb.insert(page(va));
            misses += 1;
        }
    }
    assert!((30_000..33_000).contains(&misses), "{misses}");
}

/// A full scan with explicit ages: the obvious LRU.
struct Naive(Vec<Entry>, usize);

impl Naive {
    /// Looks up; the most recent entry is last.
    fn lookup(&mut self, va: u64, asid: u16) -> Option<Entry> {
        let at = self.0.iter().position(|e| e.hits(va, asid))?;
        let entry = self.0.remove(at);
        self.0.push(entry);
        Some(entry)
    }

    /// Adds as the most recent.
    fn insert(&mut self, entry: Entry) {
        if self.0.len() == self.1 {
            self.0.remove(0);
        }
        self.0.push(entry);
    }

    /// Removes.
    fn kill(&mut self, kill: &Kill) -> u64 {
        let before = self.0.len();
        self.0.retain(|e| !e.dies(kill));
        (before - self.0.len()) as u64
    }
}

#[test]
fn both_structures_agree_with_the_obvious_lru() {
    let mut rng = Rng(42);
    let mut fast = FullyAssociative::new(16, Policy::Lru, 0);
    // One set makes a set-associative TLB fully associative.
    let mut set = SetAssociative::new(1, 16, Policy::Lru, 0);
    let mut naive = Naive(Vec::new(), 16);
    let (mut hits, mut killed) = (0, 0);
    for _ in 0..200_000 {
        let va = ((rng.below(40) as u64) << 12) | rng.below(4096) as u64;
        let asid = rng.below(3) as u16;
        match rng.below(50) {
            0 => {
                let kill = match rng.below(6) {
                    0 => Kill::Asid(asid),
                    1 => Kill::Range {
                        first: va,
                        last: va + 0x2345,
                        asid: Some(asid),
                    },
                    2..=4 => Kill::Range {
                        first: va,
                        last: va,
                        asid: None,
                    },
                    _ => Kill::All,
                };
                let n = naive.kill(&kill);
                assert_eq!((fast.kill(&kill), set.kill(&kill)), (n, n));
                killed += n;
            }
            _ => {
                let found = naive.lookup(va, asid);
                assert_eq!(
                    (fast.lookup(va, asid), set.lookup(va, asid)),
                    (found, found)
                );
                hits += u64::from(found.is_some());
                if found.is_none() {
                    let shift = [12, 12, 14, 16][rng.below(4)];
                    let entry = Entry {
                        asid,
                        global: rng.below(8) == 0,
                        ..leaf(va >> shift << shift, shift)
                    };
                    // Never two entries for one address, as in an address space with clean tables.
                    let overlap = Kill::Range {
                        first: entry.va,
                        last: entry.va + (1 << shift) - 1,
                        asid: None,
                    };
                    let n = naive.kill(&overlap);
                    assert_eq!((fast.kill(&overlap), set.kill(&overlap)), (n, n));
                    naive.insert(entry);
                    fast.insert(entry);
                    set.insert(entry);
                }
            }
        }
    }
    assert!(
        hits > 20_000 && killed > 1_000,
        "{hits} hits, {killed} killed"
    );
}

#[test]
fn second_level_reach() {
    // 600 pages spread over 256 sets of 5; 2,000 do not fit and LRU never hits.
    for (pages, expected) in [(600u64, 0u64), (1280, 0), (1536, 1536), (2000, 2000)] {
        let mut tlb = SetAssociative::new(256, 5, Policy::Lru, 0);
        let mut misses = 0;
        for round in 0..3 {
            for va in (0..pages).map(|i| i << 12) {
                if tlb.lookup(va, 1).is_none() {
                    tlb.insert(page(va));
                    misses += u64::from(round == 2);
                }
            }
        }
        assert_eq!(misses, expected, "{pages}");
    }
}

#[test]
fn second_level_holds_all_sizes_at_once() {
    let mut tlb = SetAssociative::new(16, 2, Policy::Lru, 0);
    for (i, shift) in [12, 14, 16, 21, 25, 30].into_iter().enumerate() {
        let entry = leaf((i as u64 + 1) << 32, shift);
        tlb.insert(entry);
        let inside = entry.va + (1 << shift) - 1;
        assert_eq!(tlb.lookup(inside, 1), Some(entry));
        assert_eq!(tlb.lookup(inside + 1, 1), None);
    }
}

#[test]
fn address_spaces() {
    let mut tlb = FullyAssociative::new(4, Policy::Lru, 0);
    tlb.insert(page(0x1000));
    tlb.insert(Entry {
        global: true,
        ..page(0x2000)
    });
    assert!(tlb.lookup(0x1000, 1).is_some());
    assert!(tlb.lookup(0x1000, 2).is_none());
    assert!(tlb.lookup(0x2000, 2).is_some());
}

#[test]
fn kill_rules() {
    let mine = page(0x5000);
    let global = Entry {
        global: true,
        ..mine
    };
    let block = leaf(0x20_0000, 21);
    let at = |va, asid| Kill::Range {
        first: va,
        last: va + 0xfff,
        asid,
    };
    for (entry, kill, dies) in [
        (mine, Kill::All, true),
        (global, Kill::All, true),
        (mine, Kill::Asid(1), true),
        (mine, Kill::Asid(2), false),
        (global, Kill::Asid(1), false),
        (mine, at(0x5000, Some(1)), true),
        (mine, at(0x5000, Some(2)), false),
        (mine, at(0x5000, None), true),
        (mine, at(0x4000, None), false),
        (mine, at(0x6000, None), false),
        (global, at(0x5000, Some(2)), true),
        (block, at(0x20_0000, Some(1)), true),
        (block, at(0x3f_f000, Some(1)), true),
        (block, at(0x1f_f000, None), false),
        (block, at(0x40_0000, None), false),
    ] {
        assert_eq!(entry.dies(&kill), dies, "{entry:?} {kill:?}");
    }
    let over = Kill::Range {
        first: 0,
        last: u64::MAX,
        asid: None,
    };
    assert!(mine.dies(&over) && block.dies(&over));
}

#[test]
fn the_parts_of_a_split_leaf_die_together() {
    let block = leaf(0x20_0000, 21);
    let low = block.part(0x20_1234, 20);
    let high = block.part(0x3f_ffff, 20);
    assert_eq!((low.va, high.va, high.shift), (0x20_0000, 0x30_0000, 20));
    assert_eq!(high.translate(0x30_0042), block.translate(0x30_0042));
    let mut tlb = FullyAssociative::new(4, Policy::Lru, 0);
    tlb.insert(low);
    tlb.insert(high);
    let kill = Kill::Range {
        first: 0x20_5000,
        last: 0x20_5fff,
        asid: None,
    };
    assert_eq!(tlb.kill(&kill), 2);
    assert_eq!(block.part(0x20_1234, 25), block);
}

#[test]
fn short_and_long_ranges_remove_the_same() {
    let mut full = SetAssociative::new(4, 8, Policy::Lru, 0);
    for i in 0..8 {
        full.insert(page(i << 12));
        full.insert(leaf(0x100_0000 + (i << 21), 21));
    }
    for (first, last, expected) in [
        (0x2000, 0x2fff, 1),
        (0x1000, 0x4fff, 4),
        (0, 0x7fff, 8),
        (0x7fff, 0x120_0000, 3),
        (0, u64::MAX, 16),
        (0x1_0000, 0xff_ffff, 0),
    ] {
        let kill = Kill::Range {
            first,
            last,
            asid: Some(1),
        };
        assert_eq!(full.clone().kill(&kill), expected, "{first:#x}..={last:#x}");
    }
    assert_eq!(full.kill(&Kill::Asid(1)), 16);
}

#[test]
fn a_killed_entry_is_replaced_before_a_live_one() {
    for policy in [Policy::Lru, Policy::Random(1)] {
        let mut tlb = FullyAssociative::new(3, policy, 0);
        for va in [0x1000, 0x2000, 0x3000] {
            tlb.insert(page(va));
        }
        let kill = Kill::Range {
            first: 0x3000,
            last: 0x3fff,
            asid: None,
        };
        assert_eq!(tlb.kill(&kill), 1);
        tlb.insert(page(0x4000));
        for va in [0x1000, 0x2000, 0x4000] {
            assert!(tlb.lookup(va, 1).is_some());
        }
        assert!(tlb.lookup(0x3000, 1).is_none());
    }
}
