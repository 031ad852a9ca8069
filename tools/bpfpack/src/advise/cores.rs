// SPDX-License-Identifier: GPL-2.0

//! Instruction TLBs of arm64 cores, by the number that a CPU gives itself (`MIDR_EL1`).
//!
//! Part numbers and the list of cores that may change the size of a mapping in place are the
//! kernel's (`arch/arm64/include/asm/cputype.h`, `cpu_supports_bbml3()`). Each size of a TLB has
//! its source beside it; where no text could be read that states it, it is missing.

use serde::Serialize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The TLBs that instruction fetches of a core use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tlb {
    /// Entries of the first level, which has instructions only.
    pub l1: u32,
    /// Entries of the second level, which data shares, if that is known.
    pub l2: Option<u32>,
    /// Bytes of the largest mapping that one entry of the first level holds, if that is known.
    pub largest: Option<u64>,
    /// Where these figures are from.
    pub source: &'static str,
}

/// A kind of core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// Its name.
    pub name: &'static str,
    /// Its TLBs, if a source states them.
    pub tlb: Option<Tlb>,
    /// Whether the kernel may change the size of a mapping in place on it (BBML3), so that it maps
    /// the linear map with blocks.
    pub blocks: Blocks,
}

/// On which revisions of a core the kernel maps the linear map with blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// On none of them, unless the CPU announces the feature in a register.
    No,
    /// On all of them.
    Yes,
    /// From revision 0 to this one, each as variant and revision in one byte.
    UpTo(u8),
    /// On this revision only.
    Only(u8),
}

/// The number that a CPU gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Midr(pub u64);

impl Midr {
    // CAST: Each field is cut out by its width.
    fn implementer(self) -> u8 {
        (self.0 >> 24) as u8
    }

    fn part(self) -> u16 {
        (self.0 >> 4) as u16 & 0xfff
    }

    /// Variant and revision: `0x31` is r3p1.
    fn revision(self) -> u8 {
        (((self.0 >> 20) as u8) << 4) | (self.0 as u8 & 0xf)
    }

    /// Returns the core of this number, if the table has it.
    pub fn core(self) -> Option<&'static Core> {
        // X-Gene, whose later generation is eMAG, has part number 0.
        const X_GENE: u8 = 0x50;
        if self.implementer() == X_GENE && self.revision() >> 4 != 3 {
            return None;
        }
        CORES
            .iter()
            .find(|(implementer, part, _)| {
                (self.implementer(), self.part()) == (*implementer, *part)
            })
            .map(|(_, _, core)| core)
    }

    /// Whether the kernel maps the linear map with blocks on this CPU, as far as the number tells.
    pub fn has_blocks(self) -> bool {
        match self.core().map(|core| core.blocks) {
            None | Some(Blocks::No) => false,
            Some(Blocks::Yes) => true,
            Some(Blocks::UpTo(last)) => self.revision() <= last,
            Some(Blocks::Only(revision)) => self.revision() == revision,
        }
    }
}

const fn tlb(l1: u32, l2: u32, largest: u64, source: &'static str) -> Option<Tlb> {
    Some(Tlb {
        l1,
        l2: if l2 == 0 { None } else { Some(l2) },
        largest: if largest == 0 { None } else { Some(largest) },
        source,
    })
}

const fn core(name: &'static str, tlb: Option<Tlb>, blocks: Blocks) -> Core {
    Core { name, tlb, blocks }
}

const A35: &str = "Cortex-A35 TRM (Arm 100236), A6.2";
const A53: &str = "Cortex-A53 TRM (Arm DDI 0500), 5.2.1 and 5.2.2";
const A55: &str = "Altera Agilex 5 HPS TRM (814346), 3.6.3.4.1, table 48";
const A57: &str = "Cortex-A57 TRM (Arm DDI 0488), 5.2.1 and 5.2.3";
const A72: &str = "Cortex-A72 TRM (Arm 100095), 5.2.1 and 5.2.3";
const A76: &str = "Cortex-A76 TRM (Arm 100798), A5.2.1 and A5.2.3";
const N1: &str = "The Arm Neoverse N1 Platform, IEEE Micro 40(2), 2020 (first level); Neoverse N1 \
                  TRM (Arm 100616), as tools/tlb-model has it (second)";
const V2: &str = "Neoverse V2 TRM (Arm 102375), as quoted and measured in jia.je, Neoverse V2 \
                  (instructions seem to get half of the second level)";
const V3: &str = "Neoverse V3 TRM (Arm 107734), as quoted and measured in jia.je, Neoverse V3 \
                  (instructions seem to get half of the second level)";
const X925: &str = "Cortex-X925 TRM (Arm 102807), as quoted in jia.je, Arm core development";
const C1_ULTRA: &str = "C1-Ultra TRM (Arm 108014), as quoted in jia.je, Arm core development";
const APPLE: &str =
    "Apple Silicon CPU Optimization Guide, as quoted and measured in jia.je, M1, M2";
const EMAG: &str = "measured in jia.je, Ampere Skylark";
const ORYON: &str = "Qualcomm at Hot Chips 2024, as quoted and measured in jia.je, Oryon (\"more \
                     than 8K\" in the second level)";

const NONE: Option<Tlb> = None;
const FIRESTORM: Core = core("Apple M1 Firestorm", tlb(192, 3072, 0, APPLE), Blocks::No);
const ICESTORM: Core = core("Apple M1 Icestorm", tlb(128, 1024, 0, APPLE), Blocks::No);
const AVALANCHE: Core = core("Apple M2 Avalanche", tlb(192, 3072, 0, APPLE), Blocks::No);
const BLIZZARD: Core = core("Apple M2 Blizzard", tlb(192, 2048, 0, APPLE), Blocks::No);

/// Implementer, part and core.
const CORES: &[(u8, u16, Core)] = &[
    (
        0x41,
        0xd03,
        core("Cortex-A53", tlb(10, 512, 0, A53), Blocks::No),
    ),
    (
        0x41,
        0xd04,
        core("Cortex-A35", tlb(10, 512, 0, A35), Blocks::No),
    ),
    (
        0x41,
        0xd05,
        core("Cortex-A55", tlb(15, 1024, 0, A55), Blocks::No),
    ),
    (
        0x41,
        0xd07,
        core("Cortex-A57", tlb(48, 1024, MIB, A57), Blocks::No),
    ),
    (
        0x41,
        0xd08,
        core("Cortex-A72", tlb(48, 1024, MIB, A72), Blocks::No),
    ),
    (0x41, 0xd09, core("Cortex-A73", NONE, Blocks::No)),
    (0x41, 0xd0a, core("Cortex-A75", NONE, Blocks::No)),
    (
        0x41,
        0xd0b,
        core("Cortex-A76", tlb(48, 1280, 32 * MIB, A76), Blocks::No),
    ),
    (
        0x41,
        0xd0c,
        core("Neoverse N1", tlb(48, 1280, 0, N1), Blocks::No),
    ),
    (0x41, 0xd0d, core("Cortex-A77", NONE, Blocks::No)),
    (0x41, 0xd0e, core("Cortex-A76AE", NONE, Blocks::No)),
    (0x41, 0xd40, core("Neoverse V1", NONE, Blocks::No)),
    (0x41, 0xd41, core("Cortex-A78", NONE, Blocks::No)),
    (0x41, 0xd42, core("Cortex-A78AE", NONE, Blocks::No)),
    (0x41, 0xd44, core("Cortex-X1", NONE, Blocks::No)),
    (0x41, 0xd46, core("Cortex-A510", NONE, Blocks::No)),
    (0x41, 0xd47, core("Cortex-A710", NONE, Blocks::No)),
    (0x41, 0xd48, core("Cortex-X2", NONE, Blocks::No)),
    (0x41, 0xd49, core("Neoverse N2", NONE, Blocks::No)),
    (0x41, 0xd4b, core("Cortex-A78C", NONE, Blocks::No)),
    (0x41, 0xd4d, core("Cortex-A715", NONE, Blocks::Yes)),
    (0x41, 0xd4e, core("Cortex-X3", NONE, Blocks::No)),
    (
        0x41,
        0xd4f,
        core("Neoverse V2", tlb(48, 2048, 2 * MIB, V2), Blocks::No),
    ),
    (0x41, 0xd80, core("Cortex-A520", NONE, Blocks::No)),
    (0x41, 0xd81, core("Cortex-A720", NONE, Blocks::No)),
    (0x41, 0xd82, core("Cortex-X4", NONE, Blocks::UpTo(0x03))),
    (0x41, 0xd83, core("Neoverse V3AE", NONE, Blocks::UpTo(0x02))),
    (
        0x41,
        0xd84,
        core(
            "Neoverse V3",
            tlb(48, 2048, 2 * MIB, V3),
            Blocks::UpTo(0x02),
        ),
    ),
    (
        0x41,
        0xd85,
        core("Cortex-X925", tlb(128, 2048, 2 * MIB, X925), Blocks::No),
    ),
    (0x41, 0xd87, core("Cortex-A725", NONE, Blocks::Yes)),
    (0x41, 0xd88, core("Cortex-A520AE", NONE, Blocks::Yes)),
    (0x41, 0xd89, core("Cortex-A720AE", NONE, Blocks::Yes)),
    (0x41, 0xd8a, core("C1-Nano", NONE, Blocks::Yes)),
    (0x41, 0xd8b, core("C1-Pro", NONE, Blocks::Yes)),
    (
        0x41,
        0xd8c,
        core(
            "C1-Ultra",
            tlb(128, 2048, 2 * MIB, C1_ULTRA),
            Blocks::Only(0x11),
        ),
    ),
    (0x41, 0xd8e, core("Neoverse N3", NONE, Blocks::Yes)),
    (0x41, 0xd90, core("C1-Premium", NONE, Blocks::Only(0x11))),
    (0x4e, 0x004, core("NVIDIA Carmel", NONE, Blocks::No)),
    (0x4e, 0x010, core("NVIDIA Olympus", NONE, Blocks::Yes)),
    (
        0x50,
        0x000,
        core("Ampere eMAG (Skylark)", tlb(48, 512, 0, EMAG), Blocks::No),
    ),
    (
        0x51,
        0x001,
        core("Qualcomm Oryon", tlb(256, 0, 64 * KIB, ORYON), Blocks::No),
    ),
    (0x61, 0x022, ICESTORM),
    (0x61, 0x023, FIRESTORM),
    (0x61, 0x024, ICESTORM),
    (0x61, 0x025, FIRESTORM),
    (0x61, 0x028, ICESTORM),
    (0x61, 0x029, FIRESTORM),
    (0x61, 0x032, BLIZZARD),
    (0x61, 0x033, AVALANCHE),
    (0x61, 0x034, BLIZZARD),
    (0x61, 0x035, AVALANCHE),
    (0x61, 0x038, BLIZZARD),
    (0x61, 0x039, AVALANCHE),
    // Based on Neoverse N2.
    (
        0x6d,
        0xd49,
        core("Microsoft Azure Cobalt 100", NONE, Blocks::No),
    ),
    (0xc0, 0xac3, core("AmpereOne", NONE, Blocks::Yes)),
    (0xc0, 0xac4, core("AmpereOne A", NONE, Blocks::Yes)),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_core_is_in_the_table_twice() {
        let numbers: BTreeSet<_> = CORES.iter().map(|&(who, part, _)| (who, part)).collect();
        assert_eq!(numbers.len(), CORES.len());
    }

    #[test]
    fn figures_have_sources_and_are_possible() {
        for (_, _, core) in CORES {
            let Some(tlb) = core.tlb else { continue };
            assert!(!tlb.source.is_empty(), "{}", core.name);
            assert!((8..=1024).contains(&tlb.l1), "{}", core.name);
            assert!(tlb.l2.is_none_or(|l2| l2 > tlb.l1), "{}", core.name);
            let sane = |size: u64| size.is_power_of_two() && size >= 4 * KIB;
            assert!(tlb.largest.is_none_or(sane), "{}", core.name);
        }
    }

    #[test]
    fn a_number_names_its_core_whatever_its_revision() {
        for revision in [0x413f_d0c1, 0x410f_d0c0, 0x414f_d0c1] {
            assert_eq!(
                Midr(revision).core().map(|core| core.name),
                Some("Neoverse N1")
            );
        }
        let altra = Midr(0x413f_d0c1).core().and_then(|core| core.tlb);
        assert_eq!(altra.map(|tlb| (tlb.l1, tlb.l2)), Some((48, Some(1280))));
        assert_eq!(Midr(0x000f_0510).core(), None);
    }

    #[test]
    fn x_gene_is_no_emag_but_for_its_third_variant() {
        assert_eq!(
            Midr(0x503f_0002).core().map(|core| core.name),
            Some("Ampere eMAG (Skylark)")
        );
        assert_eq!(Midr(0x500f_0001).core(), None);
    }

    #[test]
    fn blocks_depend_on_the_revision_where_the_kernel_says_so() {
        assert!(Midr(0x410f_d8e0).has_blocks(), "Neoverse N3");
        assert!(Midr(0x410f_d842).has_blocks(), "Neoverse V3 r0p2");
        assert!(!Midr(0x411f_d840).has_blocks(), "Neoverse V3 r1p0");
        assert!(Midr(0x411f_d8c1).has_blocks(), "C1-Ultra r1p1");
        assert!(!Midr(0x411f_d8c0).has_blocks(), "C1-Ultra r1p0");
        assert!(!Midr(0x413f_d0c1).has_blocks(), "Neoverse N1");
    }
}
