// SPDX-License-Identifier: GPL-2.0

//! Tests of short holes that images fit in.

use super::*;

/// Reserves `chunks` chunks in a hole that fits. Returns the slot and the first chunk.
fn fit(pool: &mut TestPool, chunks: u32, among: RankSet) -> (u32, u32) {
    let size = ChunkCount::new(chunks).bytes();
    let reserved = pool.reserve_fitting(size, ChunkCount::ONE, among).unwrap();
    assert_eq!(reserved.range.count().get(), chunks);
    assert_eq!(check_invariants(pool), Ok(()));
    (reserved.pack.slot(), reserved.range.start().get())
}

/// Fills a pool of packs of 200 chunks with the ranks `ranks`, and frees the images of the slots and
/// chunks from `holes`.
fn with_holes(ranks: &[u8], holes: &[(u32, u32, u32)]) -> TestPool {
    let mut pool = pool(ranks.len());
    for rank in ranks {
        pool.add(pack(200, *rank)).unwrap();
    }
    let mut order: Vec<u32> = (0..ranks.len() as u32).collect();
    order.sort_by_key(|slot| ranks[*slot as usize]);
    for slot in order {
        let mut at = 0;
        let of_slot = holes.iter().filter(|hole| hole.0 == slot);
        let mut to_free = Vec::new();
        for (_, start, end) in of_slot {
            let _ = (*start > at).then(|| reserve(&mut pool, start - at));
            to_free.push(reserve(&mut pool, end - start));
            at = *end;
        }
        let _ = (at < 200).then(|| reserve(&mut pool, 200 - at));
        to_free.into_iter().for_each(|hole| retire(&mut pool, hole));
    }
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    pool
}

#[test]
fn the_shortest_hole_is_taken_and_what_is_left_of_it() {
    let mut pool = with_holes(&[0, 0], &[(0, 10, 30), (0, 40, 47), (1, 50, 55)]);
    assert_eq!(fit(&mut pool, 5, RankSet::ALL), (1, 50));
    assert_eq!(fit(&mut pool, 5, RankSet::ALL), (0, 40));
    // Two chunks are left there, and two images of two chunks go elsewhere only then.
    assert_eq!(fit(&mut pool, 2, RankSet::ALL), (0, 45));
    assert_eq!(fit(&mut pool, 2, RankSet::ALL), (0, 10));
}

#[test]
fn the_lowest_of_equal_holes_is_taken() {
    let mut pool = with_holes(&[0, 0], &[(1, 20, 24), (0, 90, 94), (0, 150, 154)]);
    for want in [(0, 90), (0, 150), (1, 20)] {
        assert_eq!(fit(&mut pool, 4, RankSet::ALL), want);
    }
}

#[test]
fn a_hole_that_is_not_as_it_was_is_not_taken() {
    // The first image of the hole is gone, and there is a shorter one behind.
    let mut pool = with_holes(&[0], &[(0, 10, 14), (0, 100, 105)]);
    assert_eq!(reserve(&mut pool, 1).range.start().get(), 10);
    assert_eq!(fit(&mut pool, 4, RankSet::ALL), (0, 100));
    // It has become longer, at its start or at its end.
    for longer in [0, 2] {
        let mut pool = super::pool(1);
        pool.add(pack(64, 0)).unwrap();
        let images = [10, 4, 3, 20, 6, 21].map(|chunks| reserve(&mut pool, chunks));
        for hole in [vec![images[1], images[4]], vec![images[longer]]] {
            hole.into_iter().for_each(|image| retire(&mut pool, image));
            let batch = pool.begin_batch().unwrap().close();
            release(&mut pool, batch);
        }
        assert_eq!(fit(&mut pool, 4, RankSet::ALL), (0, 37), "{longer}");
    }
}

#[test]
fn room_that_is_set_aside_is_not_taken() {
    let mut pool = with_holes(&[0], &[(0, 10, 14), (0, 100, 110)]);
    // It is set aside for the next images, and then it is whole again.
    let image = reserve(&mut pool, 2);
    assert_eq!(image.range.start().get(), 10);
    retire(&mut pool, image);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert_eq!(fit(&mut pool, 1, RankSet::ALL), (0, 100));
}

#[test]
fn holes_over_the_edges_of_words_are_known() {
    let edges = [
        vec![(0, 60, 70)],
        vec![(0, 60, 64), (0, 64, 70)],
        vec![(0, 54, 64)],
        vec![(0, 64, 74)],
        vec![(0, 0, 10)],
        vec![(0, 190, 200)],
        vec![(0, 120, 128), (0, 128, 130)],
        vec![(0, 54, 58), (0, 58, 64)],
    ];
    for hole in edges {
        // First fit would take this one, as long as no other begins before it.
        let mut holes = hole.clone();
        holes.push((0, 12, 40));
        holes.sort();
        let mut pool = with_holes(&[0], &holes);
        assert_eq!(fit(&mut pool, 9, RankSet::ALL), (0, hole[0].1), "{hole:?}");
    }
}

#[test]
fn long_holes_are_left_to_first_fit() {
    let mut pool = with_holes(&[0], &[(0, 10, 74), (0, 80, 150)]);
    assert_eq!(fit(&mut pool, 4, RankSet::ALL), (0, 10));
    assert_eq!(fit(&mut pool, 66, RankSet::ALL), (0, 80));
}

#[test]
fn the_holes_of_slots_are_for_images_within_them() {
    let holes = [
        (0, 10, 14),
        (1, 20, 24),
        (1, 60, 64),
        (2, 30, 33),
        (3, 40, 44),
    ];
    let mut pool = with_holes(&[0, 0, 1, 0], &holes);
    let mut within = |chunks, start, end| {
        let size = ChunkCount::new(chunks).bytes();
        let slots = SlotRange { start, end };
        let found = pool.reserve_within(size, ChunkCount::ONE, RankSet::ALL, slots, None);
        assert_eq!(check_invariants(&pool), Ok(()));
        found.map(|image| (image.pack.slot(), image.range.start().get()))
    };
    assert_eq!(within(3, 1, 4), Ok((1, 20)));
    assert_eq!(within(4, 1, 3), Ok((1, 60)));
    assert_eq!(within(3, 1, 3), Ok((2, 30)));
    let full = |count| Err(Error::NeedPack(ChunkCount::new(count)));
    assert_eq!(within(3, 1, 3), full(3));
    assert_eq!(within(4, 2, 2), full(4));
    assert_eq!(within(1, 0, u32::MAX), Ok((1, 23)));
    assert_eq!(within(3, 0, u32::MAX), Ok((0, 10)));
    assert_eq!(within(4, 3, 9), Ok((3, 40)));
}

/// An image that is made and freed again in one hole leaves room in the list for other holes.
#[test]
fn a_hole_is_noted_once() {
    let mut pool = with_holes(&[0], &[(0, 10, 14), (0, 40, 44), (0, 190, 194)]);
    for _ in 0..40 {
        let image = reserve(&mut pool, 4);
        assert_eq!(image.range.start().get(), 10);
        retire(&mut pool, image);
        let batch = pool.begin_batch().unwrap().close();
        release(&mut pool, batch);
    }
    for start in [10, 40, 190] {
        assert_eq!(fit(&mut pool, 4, RankSet::ALL), (0, start));
    }
}

#[test]
fn a_pack_for_one_image_is_not_used_again() {
    let mut pool = pool(2);
    pool.add(pack(20, 0).for_one_image()).unwrap();
    let only = reserve(&mut pool, 20);
    let _ = pool.add(pack(64, 0)).unwrap();
    retire(&mut pool, only);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert_eq!(fit(&mut pool, 4, RankSet::ALL), (1, 0));
}

#[test]
fn the_ranks_come_first() {
    let mut pool = with_holes(&[1, 0, 2], &[(0, 10, 14), (1, 20, 40), (2, 30, 34)]);
    assert_eq!(fit(&mut pool, 4, ranks(&[2])), (2, 30));
    assert_eq!(fit(&mut pool, 4, RankSet::ALL), (1, 20));
    assert_eq!(fit(&mut pool, 4, ranks(&[1, 2])), (0, 10));
    // A hole of another rank is not lost when it is in the way.
    for other in 1..Rank::COUNT {
        let holes = [(0, 10, 14), (1, 20, 40), (1, 50, 54)];
        let mut pool = with_holes(&[other, 0], &holes);
        assert_eq!(fit(&mut pool, 4, ranks(&[0])), (1, 50), "{other}");
        assert_eq!(fit(&mut pool, 4, ranks(&[other])), (0, 10), "{other}");
    }
}

#[test]
fn a_pack_that_went_takes_its_holes_with_it() {
    let mut pool = pool(1);
    pool.add(pack(20, 0)).unwrap();
    let only = reserve(&mut pool, 20);
    retire(&mut pool, only);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert!(pool.take_empty(|_, _| true).is_some());
    let size = ChunkCount::new(15).bytes();
    let mut refused = || {
        pool.reserve_fitting(size, ChunkCount::ONE, RankSet::ALL)
            .err()
    };
    assert_eq!(refused(), Some(Error::NeedPack(ChunkCount::new(15))));
    // The next pack in the slot is shorter than the hole.
    pool.add(pack(16, 0)).unwrap();
    assert_eq!(fit(&mut pool, 15, RankSet::ALL), (0, 0));
}

/// Holes are taken from the lowest on, not from the origin on, also the largest of all.
#[test]
fn the_largest_hole_is_one_that_fits() {
    let mut pool = pool(1);
    pool.add(pack(200, 0).with_origin(100)).unwrap();
    let mut holes = Vec::new();
    for chunks in [50, 5, 45, 20, 5, 75] {
        let reserved = reserve(&mut pool, chunks);
        if chunks == 5 {
            holes.push(reserved);
        }
    }
    assert!(!pool.may_hold(ChunkCount::ONE, RankSet::ALL));
    let mut starts: Vec<u32> = holes.iter().map(|hole| hole.range.start().get()).collect();
    starts.sort_unstable();
    for hole in holes {
        retire(&mut pool, hole);
    }
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert_eq!(starts, [20, 150]);
    for start in starts {
        assert_eq!(fit(&mut pool, 5, RankSet::ALL), (0, start));
    }
}
