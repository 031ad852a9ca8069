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
