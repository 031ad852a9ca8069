// SPDX-License-Identifier: GPL-2.0

//! Bounds on the words and nodes that a call looks at. No clock is involved (`probe.rs`).

use super::*;

/// A pool of one 2 MiB pack. It has `images` live images of one chunk with holes of one chunk
/// between them; the rest is free.
fn riddled(images: u32) -> (TestPool, PackId) {
    let mut pool = pool(1024);
    let id = pool.add(pack(32_768, 0)).unwrap();
    let holes = images.min(32_768 - images - 64);
    let ranges: Vec<Reserved> = (0..images + holes).map(|_| reserve(&mut pool, 1)).collect();
    for (index, reserved) in ranges.into_iter().enumerate() {
        if index % 2 == 1 && index / 2 < holes as usize {
            retire(&mut pool, reserved);
        } else {
            make_live(&mut pool, reserved);
        }
    }
    let batch = pool.begin_batch().unwrap().close();
    assert_eq!(release(&mut pool, batch).ranges, u64::from(holes));
    assert_eq!(pool.stats().tallies.live.ranges, u64::from(images));
    (pool, id)
}

#[test]
fn the_cost_of_a_call_does_not_depend_on_the_number_of_images() {
    // Levels of the index of a pack and of the index across packs; a handful of looks at each.
    let levels = 9 + 10;
    let mut costs = Vec::new();
    for images in [10, 20_000] {
        let (mut pool, id) = riddled(images);
        // Past all the small holes: a scan would look at up to 512 words.
        let (range, reserve) = probe::count(|| super::tests::reserve(&mut pool, 5).range);
        let (_, write) = probe::count(|| pool.begin_write(id, range).unwrap());
        let (end, abort) = probe::count(|| pool.abort_write(id, range).unwrap());
        assert_eq!(end, WriteEnd::Kept);
        pool.begin_write(id, range).unwrap();
        let (end, finalize) = probe::count(|| pool.finalize(id, range).unwrap());
        assert_eq!(end, WriteEnd::Kept);
        let (found, find) = probe::count(|| pool.containing(id, range.start()).unwrap());
        assert_eq!(found, (RangeState::Live, range));
        let (taken, begin) = probe::count(|| pool.begin_retire(id, range.start()).unwrap());
        assert_eq!(taken, Taken::Retiring(range));
        let ((), retired) = probe::count(|| pool.retired(id, range).unwrap());
        for (what, cost) in [
            ("reserve", reserve),
            ("begin_write", write),
            ("abort_write", abort),
            ("finalize", finalize),
            ("find", find),
            ("begin", begin),
            ("retired", retired),
        ] {
            assert!(cost <= 8 * levels, "{what} among {images} images: {cost}");
            assert!(cost > 0, "{what} is not counted");
        }
        costs.push(reserve);
    }
    assert!(costs[1] <= costs[0] + 2 * levels, "{costs:?}");
}

#[test]
fn the_cost_of_the_next_images_is_the_words_between_them() {
    let words = 32_768 / 64;
    for images in [10, 20_000] {
        let (pool, id) = riddled(images);
        let pack = pool.pack(id).unwrap();
        let all: Vec<_> = pack.ranges_from(ChunkIdx::new(0)).collect();
        assert_eq!(all.len(), images as usize);
        // From the last image on there is nothing: the rest of the pack is looked at once.
        let last = all[all.len() - 1].1;
        let (none, cost) = probe::count(|| pack.ranges_from(last.end()).next());
        assert!(none.is_none() && cost <= words, "{cost} among {images}");
        let (ten, cost) = probe::count(|| pack.ranges_from(ChunkIdx::new(0)).take(10).count());
        // Images of one chunk with a hole behind each: ten of them lie in one word.
        assert!(ten == 10 && cost <= 2 * 10 + 2, "{cost} among {images}");
    }
}

#[test]
fn the_cost_of_a_large_image_is_its_words() {
    let (mut pool, id) = riddled(10);
    let chunks = 20_000u32;
    let (range, cost) = probe::count(|| reserve(&mut pool, chunks).range);
    // Its words are filled, and the nodes above them computed from two children each.
    assert!(cost <= u64::from(chunks / 64) * 6 + 8 * 19, "{cost}");
    let (_, cost) = probe::count(|| pool.begin_write(id, range).unwrap());
    assert!(cost <= u64::from(chunks / 64) * 2 + 8 * 19, "{cost}");
    let (end, cost) = probe::count(|| pool.finalize(id, range).unwrap());
    assert_eq!(end, WriteEnd::Kept);
    assert!(cost <= u64::from(chunks / 64) * 2 + 8 * 19, "{cost}");
}

#[test]
fn a_reservation_among_full_packs_costs_a_logarithm() {
    let mut pool = pool(1024);
    for rank in [0, 0, 0, 1] {
        for _ in 0..250 {
            pool.add(pack(64, rank)).unwrap();
        }
    }
    for _ in 0..999 {
        let _ = reserve(&mut pool, 64);
    }
    let (last, cost) = probe::count(|| reserve(&mut pool, 64));
    assert_eq!(last.pack.slot(), 999);
    assert!(cost <= 8 * 10 + 16, "{cost}");
}

#[test]
fn a_batch_costs_nothing_for_packs_without_retired_ranges() {
    let mut costs = Vec::new();
    for packs in [1, 1_000] {
        let mut pool = pool(1024);
        for _ in 0..packs {
            pool.add(pack(640, 0)).unwrap();
        }
        let range = reserve(&mut pool, 3);
        retire(&mut pool, range);
        let (batch, begin) = probe::count(|| pool.begin_batch().unwrap().close());
        let (tally, release) = probe::count(|| release(&mut pool, batch));
        assert_eq!(tally.chunks, 3);
        assert!(begin > 0 && release > 0);
        costs.push(begin + release);
    }
    // Among packs alike, the index across packs is up to date sooner.
    assert!(costs[1] <= costs[0], "{costs:?}");
}

/// The most visits that a slice over `words` words may make in one normal pack.
fn slice_bound(words: u64) -> u64 {
    // Each word is looked at once, and the nodes above it are computed from two children each; then
    // the levels of both indexes.
    words * 3 + 2 * 9 + 5 * 10
}

#[test]
fn a_slice_costs_what_it_frees() {
    const RANGES: u32 = 10_000;
    let mut pool = pool(1024);
    let id = pool.add(pack(32_768, 0)).unwrap();
    let ranges: Vec<Reserved> = (0..2 * RANGES).map(|_| reserve(&mut pool, 1)).collect();
    for pair in ranges.chunks(2) {
        retire(&mut pool, pair[0]);
        make_live(&mut pool, pair[1]);
    }
    let mut rest = pool.begin_batch().map(OpenBatch::close);
    assert_eq!(rest.as_ref().unwrap().tally().ranges, u64::from(RANGES));
    let (mut total, mut slices) = (0, 0);
    while let Some(batch) = rest {
        let (released, cost) = probe::count(|| pool.release(batch, 64));
        // 64 of 128 chunks in a row are in three words at most.
        assert!(cost <= slice_bound(3), "slice {slices}: {cost}");
        total += cost;
        slices += 1;
        rest = released.rest;
    }
    assert_eq!(slices, RANGES.div_ceil(64));
    assert!(total <= 2 * u64::from(RANGES), "{total}");
    assert_eq!(pool.stats().tallies.live.ranges, u64::from(RANGES));
    assert_eq!(pool.find(id, ranges[0].range.start()), None);
    check_invariants(&pool).unwrap();
}

#[test]
fn a_whole_batch_costs_its_words() {
    const RANGES: u32 = 10_000;
    let mut pool = pool(1024);
    pool.add(pack(32_768, 0)).unwrap();
    let ranges: Vec<Reserved> = (0..RANGES).map(|_| reserve(&mut pool, 1)).collect();
    ranges
        .into_iter()
        .for_each(|range| retire(&mut pool, range));
    let (batch, begin) = probe::count(|| pool.begin_batch().unwrap().close());
    let (tally, release) = probe::count(|| release(&mut pool, batch));
    assert_eq!(tally.ranges, u64::from(RANGES));
    let words = u64::from(RANGES.div_ceil(64));
    assert!(begin <= words + 40, "{begin}");
    // In slices of 64 words.
    let slices = words.div_ceil(64);
    assert!(release <= slices * slice_bound(64), "{release}");
}

#[test]
fn a_slice_of_neighbours_costs_a_few_words() {
    let mut pool = pool(1);
    pool.add(pack(32_768, 0)).unwrap();
    // Each ends with a word, and the next one begins there.
    let ranges: Vec<Reserved> = (0..32).map(|_| reserve(&mut pool, 1_024)).collect();
    ranges
        .into_iter()
        .for_each(|range| retire(&mut pool, range));
    let (mut rest, mut slices) = (pool.begin_batch().map(OpenBatch::close), 0);
    while let Some(batch) = rest {
        let (released, cost) = probe::count(|| pool.release(batch, 32));
        assert!(cost <= slice_bound(64 + 16), "slice {slices}: {cost}");
        assert_eq!(released.tally.chunks % 1_024, 0);
        check_invariants(&pool).unwrap();
        slices += 1;
        rest = released.rest;
    }
    assert_eq!(slices, 8);
}

#[test]
fn a_slice_of_large_images_costs_their_words() {
    let mut pool = pool(1024);
    pool.add(pack(32_768, 0)).unwrap();
    let ranges: Vec<Reserved> = (0..8).map(|_| reserve(&mut pool, 4_096)).collect();
    ranges
        .into_iter()
        .for_each(|range| retire(&mut pool, range));
    let mut rest = pool.begin_batch().map(OpenBatch::close);
    for slice in 0..8 {
        let (released, cost) = probe::count(|| pool.release(rest.take().unwrap(), 1));
        // The word after the last is looked at, too.
        assert!(cost <= slice_bound(4_096 / 64 + 1), "slice {slice}: {cost}");
        assert_eq!(released.tally.chunks, 4_096);
        rest = released.rest;
    }
    assert_eq!(rest, None);
}

#[test]
fn beginning_costs_no_more_than_a_batch_of_packs() {
    let mut costs = Vec::new();
    for packs in [PACKS_PER_BATCH, 8 * PACKS_PER_BATCH] {
        let mut pool = pool(1024);
        for _ in 0..packs {
            pool.add(pack(640, 0)).unwrap();
        }
        for _ in 0..packs {
            // One at each end of a pack.
            let ends = [1, 638, 1].map(|chunks| reserve(&mut pool, chunks));
            make_live(&mut pool, ends[1]);
            retire(&mut pool, ends[0]);
            retire(&mut pool, ends[2]);
        }
        let (batch, cost) = probe::count(|| pool.begin_batch().unwrap().close());
        assert_eq!(batch.tally().ranges, 2 * PACKS_PER_BATCH as u64);
        let words = PACKS_PER_BATCH as u64 * 10;
        assert!(
            cost >= words && cost <= words + PACKS_PER_BATCH as u64 * 40,
            "{cost}"
        );
        costs.push(cost);
    }
    assert!(costs[1] <= costs[0], "{costs:?}");
}

#[test]
fn the_figures_of_a_pack_cost_little() {
    let mut pool = pool(1);
    let id = pool.add(pack(32_768, 0)).unwrap();
    // The free chunks that are set aside end in a hole of 100 chunks.
    let images = [30_000, 100, 2_000].map(|chunks| reserve(&mut pool, chunks));
    retire(&mut pool, images[1]);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    let _ = reserve(&mut pool, 2);
    let (stats, cost) = probe::count(|| pool.pack(id).unwrap().stats());
    assert_eq!(stats.largest_hole, 668);
    assert!(cost <= 20, "{cost}");
}

#[test]
fn the_cost_of_large_images_in_a_row_is_that_of_one_look_at_the_index() {
    for live in [0, 1_000] {
        let mut pool = pool(1024);
        pool.add(pack(32_768, 0).with_origin(1_234)).unwrap();
        for index in 0..live.max(1) {
            let image = reserve(&mut pool, 4 + index % 7);
            make_live(&mut pool, image);
        }
        // A short one between them goes to the room behind the last, or beyond it.
        for chunks in [256, 256, 256, 256, 4, 1_024, 1_024, 4, 1_024, 257, 4] {
            let (image, cost) = probe::count(|| reserve(&mut pool, chunks));
            make_live(&mut pool, image);
            // Its words, the eight words of the next room, and the nodes above, from two each.
            let words = u64::from(chunks / 64);
            let most = 3 * words + 70;
            assert!(cost <= most, "{chunks} beside {live}: {cost} of {most}");
        }
    }
}

#[test]
fn full_packs_before_the_lead_cost_nothing() {
    let costs = [0, 40].map(|full| {
        let mut pool = pool(64);
        for _ in 0..=full {
            pool.add(pack(640, 0)).unwrap();
        }
        for _ in 0..full {
            let _ = reserve(&mut pool, 640);
        }
        assert_eq!(reserve(&mut pool, 30).pack.slot(), full);
        // More than the room behind the last image, so that it is looked for.
        let (next, cost) = probe::count(|| reserve(&mut pool, 30));
        assert_eq!(next.pack.slot(), full);
        cost
    });
    assert_eq!(costs[0], costs[1]);
}
