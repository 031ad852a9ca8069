// SPDX-License-Identifier: GPL-2.0

//! Geometries of modelled TLBs: presets of Arm cores, and the specification `PRESET[/ITEM]...`
//! that names a model on the command line and in reports.

use crate::tlb::Policy;

/// The levels in which four adjacent 4 KiB pages may share an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coalesce {
    /// Nowhere.
    Off,
    /// In the second level.
    L2,
    /// In both levels.
    Both,
}

impl Coalesce {
    /// The name in specifications and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::L2 => "l2",
            Self::Both => "both",
        }
    }
}

/// The geometry and the choices of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The specification that it was made from.
    pub spec: String,
    /// Entries of the first level.
    pub l1_entries: usize,
    /// Sizes that the first level holds, as shifts, ascending. Larger leaves are split.
    pub l1_shifts: Vec<u32>,
    /// Sets of the second level; a power of two.
    pub l2_sets: usize,
    /// Entries per set of the second level.
    pub l2_ways: usize,
    /// Replacement in both levels.
    pub policy: Policy,
    /// Whether data accesses fill the second level too, through a data TLB like the first level.
    pub data: bool,
    /// Whether adjacent pages share entries.
    pub coalesce: Coalesce,
    /// Whether the contiguous hint is used.
    pub contiguous: bool,
}

/// The entry sizes 4K, 16K, 64K, 2M and 32M.
const SIZES_32M: &[u32] = &[12, 14, 16, 21, 25];
/// The entry sizes 4K, 16K, 64K and 2M.
const SIZES_2M: &[u32] = &[12, 14, 16, 21];
/// The entry sizes 4K, 64K and 1M.
const SIZES_1M: &[u32] = &[12, 16, 20];

impl Geometry {
    /// Parses a specification.
    ///
    /// # Errors
    ///
    /// A sentence that describes the mistake.
    pub fn parse(spec: &str) -> Result<Self, String> {
        let mut items = spec.split('/');
        let name = items.next().unwrap_or_default();
        let (l1_entries, shifts, l2_sets, l2_ways) = match name {
            // Neoverse N1, Arm 100616, 6.1 to 6.3.
            "n1" => (48, SIZES_32M, 256, 5),
            // Neoverse V2, Arm 102375; of the 2,048 L2 entries the instruction side gets 1,024.
            "v2" => (48, SIZES_2M, 128, 8),
            // A small core: half of Neoverse N3's first level and a 4-way second level.
            "small" => (32, SIZES_2M, 256, 4),
            // Cortex-A72 TRM, 5.2: a 2 MiB block takes two entries.
            "a72" => (48, SIZES_1M, 256, 4),
            _ => {
                return Err(format!(
                    "model {spec}: no preset {name:?} (n1, v2, small, a72)"
                ))
            }
        };
        let mut geometry = Self {
            spec: spec.to_owned(),
            l1_entries,
            l1_shifts: shifts.to_vec(),
            l2_sets,
            l2_ways,
            policy: Policy::Lru,
            data: false,
            coalesce: Coalesce::Off,
            contiguous: true,
        };
        for item in items {
            geometry
                .set(item)
                .map_err(|why| format!("model {spec}: {item}: {why}"))?;
        }
        Ok(geometry)
    }

    /// Applies one item of a specification.
    fn set(&mut self, item: &str) -> Result<(), String> {
        let number = |value: &str, max: usize| {
            value
                .parse()
                .ok()
                .filter(|n| (1..=max).contains(n))
                .ok_or_else(|| format!("not a number from 1 to {max}"))
        };
        match item.split_once('=') {
            None if item == "lru" => self.policy = Policy::Lru,
            None if item == "random" => self.policy = Policy::Random(1),
            Some(("random", seed)) => {
                self.policy = Policy::Random(seed.parse().map_err(|_| "not a seed".to_owned())?);
            }
            Some(("l1", n)) => self.l1_entries = number(n, 4096)?,
            Some(("sets", n)) => {
                self.l2_sets = number(n, 65536)?;
                if !self.l2_sets.is_power_of_two() {
                    return Err("not a power of two".to_owned());
                }
            }
            Some(("ways", n)) => self.l2_ways = number(n, 64)?,
            Some(("data", value)) => self.data = on_off(value)?,
            Some(("contiguous", value)) => self.contiguous = on_off(value)?,
            Some(("coalesce", value)) => {
                self.coalesce = match value {
                    "off" => Coalesce::Off,
                    "l2" => Coalesce::L2,
                    "both" => Coalesce::Both,
                    _ => return Err("off, l2 or both".to_owned()),
                }
            }
            _ => {
                return Err("not one of lru, random[=SEED], l1=, sets=, ways=, data=, \
                            coalesce=, contiguous="
                    .to_owned())
            }
        }
        Ok(())
    }

    /// The largest size that the first level holds and that is not above `shift`.
    pub fn l1_shift(&self, shift: u32) -> u32 {
        let fits = |&&held: &&u32| held <= shift;
        self.l1_shifts.iter().rfind(fits).copied().unwrap_or(12)
    }
}

/// Parses `on` or `off`.
///
/// # Errors
///
/// Anything else.
pub fn on_off(value: &str) -> Result<bool, String> {
    match value {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("on or off".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_have_the_documented_geometry() {
        for (spec, l1, sizes, sets, ways) in [
            ("n1", 48, SIZES_32M, 256, 5),
            ("v2", 48, SIZES_2M, 128, 8),
            ("small", 32, SIZES_2M, 256, 4),
            ("a72", 48, SIZES_1M, 256, 4),
        ] {
            let g = Geometry::parse(spec).expect(spec);
            assert_eq!(
                (g.l1_entries, &g.l1_shifts[..], g.l2_sets, g.l2_ways),
                (l1, sizes, sets, ways)
            );
            assert_eq!(g.policy, Policy::Lru);
            assert!(!g.data && g.contiguous && g.coalesce == Coalesce::Off);
        }
    }

    #[test]
    fn items_change_the_preset() {
        let g = Geometry::parse(
            "n1/random=7/l1=16/sets=64/ways=3/data=on/coalesce=both/contiguous=off",
        )
        .expect("valid");
        assert_eq!(g.policy, Policy::Random(7));
        assert_eq!((g.l1_entries, g.l2_sets, g.l2_ways), (16, 64, 3));
        assert!(g.data && !g.contiguous && g.coalesce == Coalesce::Both);
        assert_eq!(
            Geometry::parse("small/random").expect("valid").policy,
            Policy::Random(1)
        );
    }

    #[test]
    fn wrong_specifications_are_refused() {
        for spec in [
            "",
            "n2",
            "n1/",
            "n1/mru",
            "n1/lru=1",
            "n1/random=x",
            "n1/l1=0",
            "n1/l1=99999",
            "n1/sets=3",
            "n1/ways=",
            "n1/data",
            "n1/data=maybe",
            "n1/coalesce=l1",
        ] {
            assert!(Geometry::parse(spec).is_err(), "{spec}");
        }
    }

    #[test]
    fn leaves_are_split_to_a_size_that_the_first_level_holds() {
        let shift = |spec, leaf| Geometry::parse(spec).expect(spec).l1_shift(leaf);
        assert_eq!(shift("n1", 30), 25);
        assert_eq!(shift("n1", 25), 25);
        assert_eq!(shift("v2", 25), 21);
        assert_eq!(shift("a72", 21), 20);
        assert_eq!(shift("a72", 14), 12);
        assert_eq!(shift("n1", 12), 12);
    }
}
