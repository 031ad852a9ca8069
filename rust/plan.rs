// SPDX-License-Identifier: GPL-2.0

//! Limits, and the ways to map a region. Decisions only, without unsafe code; tests run on the
//! host.

#![cfg_attr(not(test), deny(unsafe_code))]

/// The most packs: 1 GiB of programs if each pack has 2 MiB.
pub(crate) const MAX_PACKS: usize = 512;

/// The largest image, in bytes. The verifier lets no program become that large.
pub(crate) const MAX_IMAGE: usize = 64 << 20;

/// The alignment of every region, in bytes, whatever the size of its leaves.
pub(crate) const REGION_ALIGN: usize = 2 << 20;

/// The length of a region with 64 KiB leaves, in bytes: with 4 KiB pages the kernel uses contiguous
/// runs of 64 KiB for a length below 2 MiB.
const CONTIGUOUS_LEN: usize = REGION_ALIGN - (64 << 10);

/// The place of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Within ±128 MiB of all kernel text.
    Near,
    /// Anywhere in vmalloc space.
    Far,
}

/// The largest leaf to ask for when mapping a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafLimit {
    /// One TLB entry for 2 MiB: a block, or a contiguous run where pages are larger than 4 KiB.
    Huge,
    /// What the kernel uses for a length below 2 MiB: contiguous runs of 64 KiB where pages have 4
    /// KiB.
    Contiguous,
    /// Base pages.
    Page,
}

/// Returns the first slot of the packs on a memory node, and the number after that of the last. The
/// nodes' numbers are below `nodes`. [`None`] if there is one node: then no slot is better than
/// another.
pub(crate) fn slots_of_node(node: u32, nodes: u32) -> Option<(u32, u32)> {
    // CAST: 512.
    let slots = MAX_PACKS as u32;
    let each = slots
        .checked_div(nodes)
        .filter(|each| *each < slots)?
        .max(1);
    let start = node.checked_rem(slots / each)?.saturating_mul(each);
    Some((start, start.saturating_add(each)))
}

/// One way to map a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The length in bytes: a multiple of 2 MiB, or less than 2 MiB.
    pub(crate) len: usize,
    pub(crate) place: Place,
    pub(crate) limit: LeafLimit,
}

/// Lists the ways to map a region for an image of `size` bytes, best first: 2 MiB leaves before
/// smaller ones, near the kernel's text (if `near`) before far from it.
///
/// The list is empty if `size` is too large to be rounded up to 2 MiB.
pub(crate) fn attempts(limit: LeafLimit, size: usize, near: bool) -> impl Iterator<Item = Attempt> {
    let len = size.checked_next_multiple_of(REGION_ALIGN);
    let huge = (limit == LeafLimit::Huge).then_some(LeafLimit::Huge);
    let small = if limit != LeafLimit::Page && size <= CONTIGUOUS_LEN {
        LeafLimit::Contiguous
    } else {
        LeafLimit::Page
    };
    let limits = huge.into_iter().chain([small]);
    limits.flat_map(move |limit| {
        let len = match limit {
            LeafLimit::Contiguous => Some(CONTIGUOUS_LEN),
            LeafLimit::Huge | LeafLimit::Page => len,
        };
        let places = near.then_some(Place::Near).into_iter().chain([Place::Far]);
        places.filter_map(move |place| {
            Some(Attempt {
                len: len?,
                place,
                limit,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::LeafLimit::{Contiguous, Huge, Page};
    use super::Place::{Far, Near};
    use super::*;

    const MIB: usize = 1 << 20;
    const SMALL: usize = 2 * MIB - (64 << 10);

    fn list(limit: LeafLimit, size: usize, near: bool) -> Vec<(usize, Place, LeafLimit)> {
        attempts(limit, size, near)
            .map(|a| (a.len, a.place, a.limit))
            .collect()
    }

    #[test]
    fn a_small_image_tries_everything_best_first() {
        assert_eq!(
            list(Huge, 4096, true),
            [
                (2 * MIB, Near, Huge),
                (2 * MIB, Far, Huge),
                (SMALL, Near, Contiguous),
                (SMALL, Far, Contiguous),
            ]
        );
    }

    #[test]
    fn nothing_is_tried_near_when_that_is_closed() {
        assert!(list(Huge, 4096, false).iter().all(|a| a.1 == Far));
        assert_eq!(list(Page, 4096, false), [(2 * MIB, Far, Page)]);
    }

    #[test]
    fn what_does_not_fit_a_contiguous_region_falls_back_to_pages() {
        assert_eq!(
            list(Huge, SMALL + 1, false),
            [(2 * MIB, Far, Huge), (2 * MIB, Far, Page)]
        );
        assert_eq!(
            list(Contiguous, SMALL, true),
            [(SMALL, Near, Contiguous), (SMALL, Far, Contiguous)]
        );
        assert_eq!(list(Contiguous, SMALL + 1, false), [(2 * MIB, Far, Page)]);
    }

    #[test]
    fn lengths_are_whole_regions_that_hold_the_image() {
        for size in [1, 2 * MIB - 1, 2 * MIB, 2 * MIB + 1, 64 * MIB] {
            for limit in [Huge, Contiguous, Page] {
                for a in attempts(limit, size, true) {
                    assert!(a.len >= size);
                    assert!(a.len % REGION_ALIGN == 0 || a.limit == Contiguous);
                    assert!(a.len < size + REGION_ALIGN || a.limit == Contiguous);
                }
            }
        }
    }

    #[test]
    fn the_limits_are_whole_regions() {
        assert_eq!(MAX_PACKS * REGION_ALIGN, 1 << 30);
        assert_eq!(list(Page, MAX_IMAGE, false), [(MAX_IMAGE, Far, Page)]);
    }

    #[test]
    fn each_node_has_slots_of_its_own() {
        assert_eq!(slots_of_node(0, 0), None);
        assert_eq!(slots_of_node(0, 1), None);
        assert_eq!(slots_of_node(0, 2), Some((0, 256)));
        assert_eq!(slots_of_node(1, 2), Some((256, 512)));
        for nodes in 2..=MAX_PACKS as u32 {
            let mut end = 0;
            for node in 0..nodes {
                let slots = slots_of_node(node, nodes).unwrap();
                assert_eq!(slots, (end, end + MAX_PACKS as u32 / nodes));
                end = slots.1;
            }
            assert!(end <= MAX_PACKS as u32);
        }
        // More nodes than slots share them.
        assert_eq!(slots_of_node(1_023, 1_024), Some((511, 512)));
        assert_eq!(slots_of_node(u32::MAX, 2), Some((256, 512)));
    }

    #[test]
    fn a_size_beyond_all_bounds_has_no_way() {
        assert!(list(Huge, usize::MAX, true).is_empty());
        assert!(list(Page, usize::MAX, false).is_empty());
    }
}
