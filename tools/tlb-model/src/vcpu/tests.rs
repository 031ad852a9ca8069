// SPDX-License-Identifier: GPL-2.0

//! A CPU with a guest made of hand-written page tables.

use super::*;
use crate::decode::{Kind, Scope};
use std::collections::HashMap;

/// A guest with 4 KiB granules and a one-level table for each half: 21 bits of virtual address.
struct Guest {
    /// Physical memory.
    memory: HashMap<u64, u64>,
    /// TTBR0_EL1 and TTBR1_EL1.
    ttbr: [u64; 2],
    /// SCTLR_EL1.
    sctlr: u64,
    /// Value of every general register.
    x: u64,
    /// A number that `translate` adds to its result.
    lie: u64,
}

/// Table of the lower and of the upper half.
const TABLES: [u64; 2] = [0x10_0000, 0x20_0000];
/// First address of the upper half.
const HIGH: u64 = 0xffff_ffff_ffe0_0000;
/// Attributes of a user page: valid, page, access flag, not global.
const USER: u64 = 0xc03;
/// Attributes of a kernel page: the same, but global.
const KERNEL: u64 = 0x403;

impl Guest {
    /// Every page of both halves is mapped, scattered so that no two are neighbours.
    fn new() -> Self {
        let mut memory = HashMap::new();
        for i in 0..512 {
            memory.insert(TABLES[0] + 8 * i, (0x4000_0000 + (i << 13)) | USER);
            memory.insert(TABLES[1] + 8 * i, (0x8000_0000 + (i << 13)) | KERNEL);
        }
        Self {
            memory,
            ttbr: [TABLES[0], (1 << 48) | TABLES[1]],
            sctlr: 1,
            x: 0,
            lie: 0,
        }
    }

    /// The regime: 16-bit ASIDs in TTBR1, 43 bits not translated.
    fn regime(&self) -> Regime {
        Regime {
            ttbr0: self.ttbr[0],
            ttbr1: self.ttbr[1],
            tcr: (1 << 36) | (2 << 30) | (1 << 22) | (43 << 16) | 43,
            sctlr: self.sctlr,
        }
    }

    /// Maps lower page number `page` to physical page number `to`.
    fn remap(&mut self, page: u64, to: u64) {
        self.memory.insert(TABLES[0] + 8 * page, (to << 12) | USER);
    }
}

impl Cpu for Guest {
    fn reg(&mut self, reg: Reg) -> u64 {
        match reg {
            Reg::X(31) => 0,
            Reg::X(_) => self.x,
            Reg::Ttbr0 => self.ttbr[0],
            Reg::Ttbr1 => self.ttbr[1],
            Reg::Tcr => self.regime().tcr,
            Reg::Sctlr => self.sctlr,
            Reg::Pc | Reg::Pstate => 0,
        }
    }

    fn descriptor(&mut self, pa: u64) -> Option<u64> {
        self.memory.get(&pa).copied()
    }

    fn translate(&mut self, va: u64) -> Option<u64> {
        let regime = self.regime();
        let found = walk(&regime, va, |pa| self.memory.get(&pa).copied());
        found.result.ok().map(|leaf| leaf.pa + self.lie)
    }
}

/// A CPU with these options, and its guest.
fn cpu(options: &[&str]) -> (Vcpu, Guest) {
    let options = Options::parse(options.iter().copied()).expect("valid options");
    (Vcpu::new(&options, 0), Guest::new())
}

/// The counters of the first model.
fn model(vcpu: &Vcpu) -> ModelCounts {
    vcpu.model_counts().next().expect("one model").clone()
}

/// Misses and walks of a class in the first model.
fn misses(vcpu: &Vcpu, class: Class) -> (u64, u64) {
    let counts = &model(vcpu).class[class as usize];
    (counts.misses, counts.walks)
}

/// TLBI VAE1IS of an address.
const VAE1IS: Tlbi = Tlbi {
    scope: Scope::Inner,
    kind: Kind::Va,
    last_level: false,
    rt: 1,
};

#[test]
fn fetches_miss_once_and_then_hit() {
    let (mut vcpu, mut guest) = cpu(&["stale=on", "walkcheck=on"]);
    for _ in 0..3 {
        for page in 0..40 {
            vcpu.fetch(&mut guest, (page << 12) | 0x10, 0);
        }
        vcpu.fetch(&mut guest, HIGH + 0x3004, 0);
    }
    assert_eq!(misses(&vcpu, Class::User), (40, 40));
    assert_eq!(misses(&vcpu, Class::Kernel), (1, 1));
    let counts = model(&vcpu);
    assert_eq!(counts.class[Class::User as usize].leaves[0], 40);
    assert_eq!(counts.descriptor_reads, 41);
    assert_eq!((counts.walks_checked, counts.walks_wrong), (41, 0));
    assert_eq!((counts.stale_checked, counts.stale_hits), (82, 0));
    assert_eq!(vcpu.counts().lookups[Class::User as usize], 120);
}

#[test]
fn the_second_level_catches_what_the_first_evicts() {
    let (mut vcpu, mut guest) = cpu(&[]);
    for _ in 0..10 {
        for page in 0..64 {
            vcpu.fetch(&mut guest, page << 12, 0);
        }
    }
    assert_eq!(misses(&vcpu, Class::User), (640, 64));
}

#[test]
fn models_do_not_disturb_each_other() {
    let specs = ["model=n1/lru", "model=small/lru", "model=n1/random=3"];
    let (mut together, mut guest) = cpu(&specs);
    let mut alone: Vec<Vcpu> = specs.iter().map(|&spec| cpu(&[spec]).0).collect();
    for i in 0..20_000u64 {
        let va = (i * i % 97) << 12;
        together.fetch(&mut guest, va, 0);
        for vcpu in &mut alone {
            vcpu.fetch(&mut guest, va, 0);
        }
    }
    for (counts, alone) in together.model_counts().zip(&alone) {
        assert_eq!(*counts, model(alone));
    }
}

#[test]
fn nothing_is_looked_up_while_the_mmu_is_off() {
    let (mut vcpu, mut guest) = cpu(&[]);
    guest.sctlr = 0;
    vcpu.fetch(&mut guest, 0x1000, 0);
    assert_eq!(vcpu.counts().mmu_off, 1);
    assert_eq!(vcpu.counts().lookups, [0; 4]);
    guest.sctlr = 1;
    vcpu.fetch(&mut guest, 0x1000, 0);
    assert_eq!(vcpu.counts().mmu_off, 2, "the register is cached");
    vcpu.regime_changes();
    vcpu.fetch(&mut guest, 0x1000, 0);
    assert_eq!(misses(&vcpu, Class::User), (1, 1));
}

/// Two pages take turns at one address, with a TLBI after each change; returns the counters.
fn remap(options: &[&str]) -> ModelCounts {
    let (mut vcpu, mut guest) = cpu(&[options, &["stale=on"]].concat());
    for round in 0..100 {
        guest.remap(5, 0x50_0000 + round % 2);
        guest.x = (1 << 48) | 5;
        if let Some(kill) = vcpu.tlbi(&mut guest, VAE1IS) {
            if !options.contains(&"tlbi=off") {
                vcpu.kill(&kill, true);
            }
        }
        vcpu.fetch(&mut guest, 5 << 12, 0);
        vcpu.fetch(&mut guest, HIGH, 0);
    }
    assert_eq!(vcpu.counts().tlbi[VAE1IS.slot()], 100);
    model(&vcpu)
}

#[test]
fn a_remap_needs_the_tlbi() {
    let good = remap(&[]);
    assert_eq!(
        (good.stale_hits, good.class[Class::User as usize].walks),
        (0, 100)
    );
    // In the first and the second level of 99 rounds.
    assert_eq!(good.killed, 198);
    let off = remap(&["tlbi=off"]);
    assert_eq!(
        (off.stale_hits, off.class[Class::User as usize].walks),
        (50, 1)
    );
    // Entries tagged with ASID 0 survive a TLBI for ASID 1.
    let off = remap(&["asid=off"]);
    assert_eq!(
        (off.stale_hits, off.class[Class::User as usize].walks),
        (50, 1)
    );
}

/// Two address spaces with different pages at one address take turns; returns the stale hits and
/// the ASID switches.
fn switch(options: &[&str]) -> (u64, u64) {
    let (mut vcpu, mut guest) = cpu(&[options, &["stale=on"]].concat());
    for round in 0..100 {
        guest.ttbr[1] = ((1 + round % 2) << 48) | TABLES[1];
        guest.remap(5, 0x50_0000 + round % 2);
        vcpu.regime_changes();
        vcpu.fetch(&mut guest, 5 << 12, 0);
    }
    (model(&vcpu).stale_hits, vcpu.counts().asid_switches)
}

#[test]
fn address_spaces_need_the_asid() {
    assert_eq!(switch(&[]), (0, 99));
    assert_eq!(switch(&["asid=off"]), (50, 99));
}

#[test]
fn the_checks_see_a_difference() {
    let (mut vcpu, mut guest) = cpu(&["stale=on", "walkcheck=on"]);
    guest.lie = 0x1000;
    vcpu.fetch(&mut guest, 0x3000, 0);
    vcpu.fetch(&mut guest, 0x3000, 0);
    let counts = model(&vcpu);
    assert_eq!((counts.walks_wrong, counts.stale_hits), (1, 1));
    // A walk finds no mapping, but QEMU finds one.
    guest.memory.insert(TABLES[0] + 8 * 7, 0);
    vcpu.fetch(&mut guest, 0x7000, 0);
    let counts = model(&vcpu);
    assert_eq!(
        (counts.walk_faults, counts.walks_wrong),
        (1, 1),
        "both find nothing"
    );
}

#[test]
fn faulting_walks_fill_nothing() {
    let (mut vcpu, mut guest) = cpu(&[]);
    guest.memory.insert(TABLES[0] + 8 * 7, 0);
    vcpu.fetch(&mut guest, 0x7000, 0);
    guest.remap(7, 0x1234);
    vcpu.fetch(&mut guest, 0x7000, 0);
    vcpu.fetch(&mut guest, 0x7000, 0);
    assert_eq!(misses(&vcpu, Class::User), (2, 2));
    assert_eq!(model(&vcpu).walk_faults, 1);
}

#[test]
fn instructions_go_to_the_class_that_ran() {
    let (mut vcpu, mut guest) = cpu(&[]);
    assert!(vcpu.set_range(0, HIGH + 0x1010, HIGH + 0x2001));
    assert!(vcpu.set_range(8, 0x9000, 0xa000));
    assert!(!vcpu.set_range(64, 0, 1));
    vcpu.fetch(&mut guest, HIGH, 0);
    vcpu.fetch(&mut guest, HIGH + 0x1000, 10);
    vcpu.fetch(&mut guest, HIGH + 0x2fff, 30);
    vcpu.fetch(&mut guest, HIGH + 0x3000, 60);
    vcpu.fetch(&mut guest, 0x8fff, 100);
    vcpu.fetch(&mut guest, 0x9000, 150);
    vcpu.settle(210);
    vcpu.settle(205);
    assert_eq!(vcpu.counts().insns, [50, 50, 50, 60]);
    assert_eq!(vcpu.counts().lookups, [2, 2, 1, 1]);
    // An empty range clears the slot.
    assert!(vcpu.set_range(0, 5, 5));
    vcpu.fetch(&mut guest, HIGH + 0x1000, 210);
    vcpu.settle(211);
    assert_eq!(vcpu.counts().insns[Class::Kernel as usize], 51);
    // The last slot is of class BPF, as the first.
    assert!(vcpu.set_range(63, HIGH + 0x1000, HIGH + 0x2000));
    vcpu.fetch(&mut guest, HIGH + 0x3000, 220);
    vcpu.fetch(&mut guest, HIGH + 0x1000, 230);
    vcpu.settle(237);
    assert_eq!(vcpu.counts().insns[Class::Bpf as usize], 57);
}

#[test]
fn data_fills_the_second_level_only() {
    let (mut vcpu, mut guest) = cpu(&["model=n1/lru/data=on"]);
    vcpu.data(&mut guest, 0x4000);
    assert_eq!(model(&vcpu).data_lookups, 0, "the regime is not known yet");
    vcpu.fetch(&mut guest, 0x1000, 0);
    for va in [0x4000, 0x4ff8, 0x5000, 0x4010] {
        vcpu.data(&mut guest, va);
    }
    let counts = model(&vcpu);
    assert_eq!(
        (counts.data_lookups, counts.data_misses, counts.data_walks),
        (3, 2, 2)
    );
    // A fetch of the data's page misses the first level and hits the second.
    vcpu.fetch(&mut guest, 0x4000, 0);
    assert_eq!(misses(&vcpu, Class::User), (2, 1));
    vcpu.kill(&Kill::All, true);
    assert_eq!(model(&vcpu).killed, 2 + 2 + 3);
    vcpu.data(&mut guest, 0x4010);
    assert_eq!(model(&vcpu).data_walks, 3);
}

#[test]
fn a_leaf_larger_than_the_first_level_takes_several_entries() {
    // Two levels, a 2 MiB block at 4 MiB.
    let mut guest = Guest::new();
    guest
        .memory
        .insert(TABLES[0] + 8 * 2, 0x6000_0000 | USER & !2);
    let (mut vcpu, _) = cpu(&["model=a72", "model=n1", "walkcheck=on"]);
    struct Blocks(Guest);
    impl Cpu for Blocks {
        fn reg(&mut self, reg: Reg) -> u64 {
            match reg {
                Reg::Tcr => (1 << 36) | (2 << 30) | (34 << 16) | 34,
                reg => self.0.reg(reg),
            }
        }
        fn descriptor(&mut self, pa: u64) -> Option<u64> {
            self.0.descriptor(pa)
        }
        fn translate(&mut self, va: u64) -> Option<u64> {
            Some(0x6000_0000 + (va - 0x40_0000))
        }
    }
    let mut guest = Blocks(guest);
    for va in [0x40_0000, 0x4f_f000, 0x50_0000, 0x5f_f000] {
        vcpu.fetch(&mut guest, va, 0);
    }
    let counts: Vec<_> = vcpu.model_counts().cloned().collect();
    let class = |i: usize| &counts[i].class[Class::User as usize];
    assert_eq!((class(0).misses, class(0).walks), (2, 1), "a72");
    assert_eq!((class(1).misses, class(1).walks), (1, 1), "n1");
    assert_eq!(class(1).leaves[3], 1);
    assert_eq!((counts[0].walks_wrong, counts[1].walks_wrong), (0, 0));
}

/// Pages 8 to 11 contiguous in physical memory; returns misses and walks of four fetches.
fn four_pages(spec: &str) -> (u64, u64) {
    let (mut vcpu, mut guest) = cpu(&[spec, "stale=on"]);
    for i in 0..4 {
        guest.remap(8 + i, 0x7_7777 + i);
    }
    for i in [2, 0, 1, 3] {
        vcpu.fetch(&mut guest, (8 + i) << 12, 0);
    }
    // A TLBI of one page takes a shared entry away as a whole.
    guest.x = (1 << 48) | 9;
    let kill = vcpu.tlbi(&mut guest, VAE1IS).expect("removes");
    guest.remap(9, 0x1234);
    vcpu.kill(&kill, true);
    vcpu.fetch(&mut guest, 9 << 12, 0);
    assert_eq!(model(&vcpu).stale_hits, 0);
    assert_eq!(
        model(&vcpu).class[Class::User as usize].leaves[0],
        misses(&vcpu, Class::User).1
    );
    misses(&vcpu, Class::User)
}

#[test]
fn pages_coalesce_where_asked() {
    assert_eq!(four_pages("model=n1"), (5, 5));
    assert_eq!(four_pages("model=n1/coalesce=l2"), (5, 2));
    assert_eq!(four_pages("model=n1/coalesce=both"), (2, 2));
}

/// Sixteen contiguous pages of which three are fetched.
fn contiguous(spec: &str) -> (u64, u64) {
    let (mut vcpu, mut guest) = cpu(&[spec, "stale=on"]);
    for i in 0..16 {
        guest.memory.insert(
            TABLES[0] + 8 * (16 + i),
            (1 << 52) | (0x5000_0000 + (i << 12)) | USER,
        );
    }
    for i in [5, 0, 15, 5] {
        vcpu.fetch(&mut guest, (16 + i) << 12, 0);
    }
    assert_eq!(model(&vcpu).stale_hits, 0);
    misses(&vcpu, Class::User)
}

#[test]
fn the_contiguous_hint_is_used_unless_told_otherwise() {
    assert_eq!(contiguous("model=n1"), (1, 1));
    assert_eq!(contiguous("model=n1/contiguous=off"), (3, 3));
}

#[test]
fn interrupts_are_counted_by_number() {
    let (mut vcpu, _) = cpu(&[]);
    vcpu.sgi(Sgi {
        intid: 1,
        targets: 3,
    });
    assert_eq!((vcpu.counts().sgi[1], vcpu.counts().sgi_targets[1]), (1, 3));
}

#[test]
fn a_page_of_a_coalesced_entry_dies_alone_in_the_first_level() {
    let (mut vcpu, mut guest) = cpu(&["model=n1/coalesce=l2"]);
    for i in 0..4 {
        guest.remap(8 + i, 0x7_7777 + i);
    }
    for i in 0..4 {
        vcpu.fetch(&mut guest, (8 + i) << 12, 0);
    }
    guest.x = (1 << 48) | 9;
    let kill = vcpu.tlbi(&mut guest, VAE1IS).expect("removes");
    vcpu.kill(&kill, true);
    // One page in the first level, the shared entry in the second.
    assert_eq!(model(&vcpu).killed, 2);
}
