// SPDX-License-Identifier: GPL-2.0

//! Tests of the room that is set aside for the next images.

use super::*;
use crate::audit::check_invariants;

/// A pool of one pack of `chunks` chunks.
fn one_pack(chunks: u32, origin: u32) -> TestPool {
    let mut pool = pool(1);
    pool.add(pack(chunks, 0).with_origin(origin)).ok().unwrap();
    pool
}

/// Reserves `chunks` chunks, and returns the first.
fn place(pool: &mut TestPool, chunks: u32) -> u32 {
    reserve(pool, chunks).range.start().get()
}

/// Retires ranges and makes their memory free, `at_most` ranges at a time.
fn free(pool: &mut TestPool, ranges: impl IntoIterator<Item = Reserved>, at_most: u32) {
    for range in ranges {
        retire(pool, range);
    }
    let mut batch = pool.begin_batch().map(OpenBatch::close);
    while let Some(begun) = batch {
        batch = pool.release(begun, at_most).rest;
    }
}

#[test]
fn the_index_learns_of_images_that_filled_the_room() {
    let mut pool = one_pack(4_096, 0);
    let _ = reserve(&mut pool, 60);
    let hole = reserve(&mut pool, 8);
    let _ = reserve(&mut pool, 4_096 - 68);
    free(&mut pool, [hole], u32::MAX);
    let first = reserve(&mut pool, 5);
    assert_eq!((first.range.start().get(), place(&mut pool, 3)), (60, 65));
    free(&mut pool, [first], u32::MAX);
    assert_eq!(check_invariants(&pool), Ok(()));
    assert_eq!(place(&mut pool, 5), 60);
}

#[test]
fn nothing_is_lost_when_full_room_is_released_in_slices() {
    let mut pool = one_pack(32_768, 0);
    for _ in 0..3 {
        let images: Vec<_> = (0..256).map(|_| reserve(&mut pool, 2)).collect();
        assert_eq!(
            images.first().map(|image| image.range.start().get()),
            Some(0)
        );
        free(&mut pool, images, 128);
        assert_eq!(check_invariants(&pool), Ok(()));
    }
    assert_eq!(place(&mut pool, 32_768), 0);
}

#[test]
fn the_room_does_not_go_over_the_origin() {
    let mut pool = one_pack(4_096, 100);
    let [at_origin, _, far, _, _, before] =
        [10, 90, 5, 4_096 - 205, 90, 10].map(|chunks| reserve(&mut pool, chunks));
    assert_eq!(before.range.start().get(), 90);
    free(&mut pool, [at_origin, far, before], u32::MAX);
    // The holes are 90 to 110 and 200 to 205.
    assert_eq!(place(&mut pool, 15), 90);
    assert_eq!(check_invariants(&pool), Ok(()));
    assert_eq!(place(&mut pool, 5), 105);
}

#[test]
fn a_hole_before_the_origin_does_not_count_twice() {
    let mut pool = one_pack(32_768, 1_850);
    let first = reserve(&mut pool, 600);
    let _ = reserve(&mut pool, 32_768 - 1_850 - 600);
    free(&mut pool, [first], u32::MAX);
    assert_eq!(place(&mut pool, 200), 1_850);
    assert_eq!(pool.stats().largest_hole, 1_850);
    assert_eq!(pool.hole_bound(RankSet::ALL), ChunkCount::new(1_850 + 600));
}

#[test]
fn the_next_image_goes_behind_the_last() {
    let mut pool = one_pack(6_400, 0);
    let bytes = |chunks| ChunkCount::new(chunks).bytes();
    assert_eq!(pool.reserve_next(bytes(4), RankSet::ALL), None);
    assert_eq!(place(&mut pool, 4), 0);
    let mut next = |chunks, among| {
        let reserved = pool.reserve_next(bytes(chunks), among);
        reserved.map(|reserved| reserved.range.start().get())
    };
    assert_eq!(next(4, RankSet::ALL), Some(4));
    assert_eq!(next(5, RankSet::ALL), Some(8));
    // What is smaller may fit before, and other ranks may have room elsewhere.
    assert_eq!(next(3, RankSet::ALL), None);
    assert_eq!(next(4, ranks(&[0])), None);
    assert_eq!(next(4, ranks(&[1])), None);
    // More than the room.
    assert_eq!(next(101, RankSet::ALL), None);
    assert_eq!(next(4, RankSet::ALL), Some(13));
}

#[test]
fn a_longer_image_does_not_hide_the_room_from_shorter_ones() {
    let mut pool = one_pack(640, 0);
    assert_eq!([place(&mut pool, 4), place(&mut pool, 20)], [0, 4]);
    let next = pool.reserve_next(ChunkCount::new(4).bytes(), RankSet::ALL);
    assert_eq!(next.map(|next| next.range.start().get()), Some(24));
}

#[test]
fn what_the_last_image_gives_back_is_for_the_next() {
    let mut pool = one_pack(640, 0);
    for (chunks, keep) in [(8, 1), (8, 4), (6, 6)] {
        let last = reserve(&mut pool, chunks);
        let keep = ChunkCount::new(keep);
        pool.begin_image(last.pack, last.range.start(), keep)
            .unwrap();
        assert_eq!(check_invariants(&pool), Ok(()));
    }
    assert_eq!(place(&mut pool, 8), 11);

    // Without a walk through the index, where the run behind the image has all of it.
    let mut pool = one_pack(640, 0);
    let last = reserve(&mut pool, 8);
    pool.begin_image(last.pack, last.range.start(), ChunkCount::new(4))
        .unwrap();
    let next = pool.reserve_next(ChunkCount::new(8).bytes(), RankSet::ALL);
    assert_eq!(next.map(|next| next.range.start().get()), Some(4));
}

#[test]
fn what_the_only_image_gives_back_is_known() {
    let mut pool = one_pack(64, 0);
    let whole = reserve(&mut pool, 64);
    assert!(!pool.may_hold(ChunkCount::ONE, RankSet::ALL));
    pool.begin_image(whole.pack, whole.range.start(), ChunkCount::new(30))
        .unwrap();
    assert!(pool.may_hold(ChunkCount::new(34), RankSet::ALL));
    assert_eq!(place(&mut pool, 34), 30);
}

#[test]
fn an_aligned_image_does_not_go_behind_the_last() {
    let mut pool = one_pack(640, 0);
    let _ = reserve(&mut pool, 3);
    let (size, align) = (ChunkCount::new(3).bytes(), ChunkCount::new(4));
    let aligned = pool.reserve(size, align, RankSet::ALL).unwrap();
    assert_eq!(aligned.range.start().get(), 4);
}
