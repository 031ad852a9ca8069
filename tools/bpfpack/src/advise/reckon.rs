// SPDX-License-Identifier: GPL-2.0

//! How many entries of a TLB the hot images take, now and with the module. Pure arithmetic.

use super::cores::Tlb;
use serde::Serialize;
use std::collections::BTreeSet;

/// Bytes of a pack.
pub const PACK: u64 = 2 << 20;

/// Entries of the first level that are reckoned with where the core's are not known: those of all
/// of Arm's own server cores in the table.
pub const USUAL_L1: u32 = 48;

/// An image, or a function of a program, that is hot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hot {
    /// Its first byte.
    pub address: u64,
    /// Its bytes, not 0.
    pub bytes: u64,
    /// Bytes that the leaf maps in which it lies.
    pub leaf: u64,
}

/// What the module would make of all images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packs {
    /// Bytes of all images that are loaded, hot or not: they share packs.
    pub bytes: u64,
    /// Bytes that a leaf of the module's packs maps.
    pub leaf: u64,
}

/// Entries that the hot images take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Entries {
    /// Now.
    pub now: u64,
    /// With all images in packs, at most.
    pub packed_at_most: u64,
    /// Pages that the hot images touch, of the kernel's page size.
    pub pages: u64,
    /// Bytes of the hot images.
    pub bytes: u64,
}

impl Entries {
    /// How many entries become free, at least.
    pub fn saved(&self) -> u64 {
        self.now.saturating_sub(self.packed_at_most)
    }
}

/// How much there is to gain, from nothing to something that one should measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// No program is hot, or packs would free hardly any entry.
    Nothing,
    /// The hot pages take less than half of the first level.
    Little,
    /// They take more than half of it.
    Perhaps,
    /// They alone do not fit into it.
    Something,
    /// They alone do not fit into the second level either.
    Much,
}

/// Returns the numbers of the aligned pieces of `size` bytes that hold a byte of the range.
fn pieces(address: u64, bytes: u64, size: u64) -> std::ops::RangeInclusive<u64> {
    let last = address.saturating_add(bytes.saturating_sub(1));
    address / size..=last / size
}

/// Counts the different pieces that `hot` touches, where `size` tells the size of a piece.
fn touched(hot: &[Hot], size: impl Fn(&Hot) -> u64) -> u64 {
    let mut all = BTreeSet::new();
    for image in hot.iter().filter(|image| image.bytes > 0) {
        let size = size(image).max(1);
        all.extend(pieces(image.address, image.bytes, size).map(|piece| (size, piece)));
    }
    all.len() as u64
}

/// Counts the entries that the hot images take. `page` is the kernel's page size; `largest` bytes
/// is the largest mapping that one entry holds, if that is known.
pub fn entries(hot: &[Hot], packs: Packs, page: u64, largest: Option<u64>) -> Entries {
    let held = |leaf: u64| leaf.min(largest.unwrap_or(leaf)).max(page).max(1);
    let piece = held(packs.leaf);
    let whole_packs = packs.bytes.div_ceil(PACK) * PACK;
    // An image that is no longer than a piece touches two of them at most, as it does not begin at
    // the start of one.
    let apart: u64 = hot
        .iter()
        .map(|image| image.bytes.div_ceil(piece) + 1)
        .sum();
    Entries {
        now: touched(hot, |image| held(image.leaf)),
        packed_at_most: apart.min(whole_packs / piece),
        pages: touched(hot, |_| page),
        bytes: hot.iter().map(|image| image.bytes).sum(),
    }
}

/// Judges the entries against the TLB of a core.
pub fn verdict(entries: &Entries, tlb: Option<Tlb>) -> Verdict {
    let l1 = u64::from(tlb.map_or(USUAL_L1, |tlb| tlb.l1));
    let l2 = tlb.and_then(|tlb| tlb.l2).map(u64::from);
    if entries.saved() <= l1 / 16 {
        Verdict::Nothing
    } else if l2.is_some_and(|l2| entries.now > l2) {
        Verdict::Much
    } else if entries.now > l1 {
        Verdict::Something
    } else if entries.now > l1 / 2 {
        Verdict::Perhaps
    } else {
        Verdict::Little
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;
    const BLOCKS: Packs = Packs {
        bytes: 100_000,
        leaf: PACK,
    };

    fn stock(address: u64, bytes: u64) -> Hot {
        Hot {
            address,
            bytes,
            leaf: PAGE,
        }
    }

    fn tlb(l1: u32, l2: u32) -> Option<Tlb> {
        Some(Tlb {
            l1,
            l2: Some(l2),
            largest: None,
            source: "",
        })
    }

    /// `count` small images on a page each.
    fn scattered(count: u64) -> Vec<Hot> {
        (0..count).map(|at| stock(at * PAGE + 64, 200)).collect()
    }

    #[test]
    fn images_on_one_page_share_its_entry() {
        let hot = [stock(0x1000, 100), stock(0x1800, 0x800), stock(0x3fff, 1)];
        let entries = entries(&hot, BLOCKS, PAGE, None);
        assert_eq!((entries.now, entries.pages), (2, 2));
        assert_eq!(entries.packed_at_most, 1);
        assert_eq!(entries.bytes, 100 + 0x800 + 1);
    }

    #[test]
    fn an_image_across_a_boundary_touches_both_pages() {
        let count = |address, bytes| entries(&[stock(address, bytes)], BLOCKS, PAGE, None).now;
        assert_eq!(count(0x1ffc, 4), 1);
        assert_eq!(count(0x1ffc, 5), 2);
        assert_eq!(count(0x1ffc, 4 + PAGE), 2);
        assert_eq!(count(0x1ffc, 5 + PAGE), 3);
    }

    #[test]
    fn an_entry_holds_no_more_than_the_core_lets_it() {
        // Cortex-A72: a block of 2 MiB takes two entries of 1 MiB.
        let hot = scattered(100);
        assert_eq!(entries(&hot, BLOCKS, PAGE, Some(1 << 20)).packed_at_most, 2);
        // Oryon: 64 KiB.
        assert_eq!(
            entries(&hot, BLOCKS, PAGE, Some(64 << 10)).packed_at_most,
            32
        );
        assert_eq!(
            entries(&hot, BLOCKS, PAGE, Some(32 << 20)).packed_at_most,
            1
        );
    }

    #[test]
    fn a_few_images_never_take_more_entries_than_they_can_touch() {
        let many = Packs {
            bytes: 100 * PACK,
            leaf: PACK,
        };
        assert_eq!(entries(&scattered(3), many, PAGE, None).packed_at_most, 6);
        assert_eq!(
            entries(&scattered(3000), many, PAGE, None).packed_at_most,
            100
        );
    }

    #[test]
    fn images_that_are_in_packs_already_take_the_entries_of_their_leaf() {
        let hot: Vec<_> = scattered(100)
            .into_iter()
            .map(|image| Hot {
                leaf: PACK,
                ..image
            })
            .collect();
        let entries = entries(&hot, BLOCKS, PAGE, None);
        assert_eq!((entries.now, entries.pages, entries.saved()), (1, 100, 0));
        assert_eq!(verdict(&entries, None), Verdict::Nothing);
    }

    #[test]
    fn packs_of_base_pages_gain_nothing() {
        let small = Packs {
            bytes: 100_000,
            leaf: PAGE,
        };
        let entries = entries(&scattered(100), small, PAGE, None);
        assert_eq!(verdict(&entries, tlb(48, 1280)), Verdict::Nothing);
    }

    #[test]
    fn the_verdict_grows_with_the_hot_pages() {
        let judge = |count| {
            let entries = entries(&scattered(count), BLOCKS, PAGE, None);
            verdict(&entries, tlb(48, 1280))
        };
        assert_eq!(judge(0), Verdict::Nothing);
        assert_eq!(judge(4), Verdict::Nothing);
        assert_eq!(judge(5), Verdict::Little);
        assert_eq!(judge(24), Verdict::Little);
        assert_eq!(judge(25), Verdict::Perhaps);
        assert_eq!(judge(48), Verdict::Perhaps);
        assert_eq!(judge(49), Verdict::Something);
        assert_eq!(judge(1280), Verdict::Something);
        assert_eq!(judge(1281), Verdict::Much);
    }

    #[test]
    fn an_unknown_core_is_judged_by_the_usual_first_level() {
        let entries = entries(&scattered(2000), BLOCKS, PAGE, None);
        assert_eq!(verdict(&entries, None), Verdict::Something);
    }

    #[test]
    fn nothing_overflows_at_the_ends() {
        let hot = [stock(u64::MAX - 3, u64::MAX), stock(0, 0)];
        let entries = entries(&hot, BLOCKS, PAGE, Some(0));
        assert_eq!(entries.now, 1);
    }
}
