// SPDX-License-Identifier: GPL-2.0

//! Tests of the set of packs, with the book open: what is private is visible here.

use super::*;
use crate::check_invariants;
use crate::probe;
use crate::Flaw;

/// The pool of the tests.
pub(crate) type TestPool = Pool<Vec<u64>, Vec<Slot<Vec<u64>>>>;

/// A pool without packs.
pub(crate) fn pool(slots: usize) -> TestPool {
    let index = vec![u64::MAX; TestPool::index_words(slots)];
    Pool::new((0..slots).map(|_| Slot::vacant()).collect(), index).unwrap()
}

/// An empty pack.
pub(crate) fn pack(chunks: u32, rank: u8) -> Pack<Vec<u64>> {
    let chunks = ChunkCount::new(chunks);
    let storage = vec![u64::MAX; Pack::<Vec<u64>>::words_needed(chunks)];
    Pack::new(storage, chunks, Rank::new(rank).unwrap()).unwrap()
}

/// Reserves `chunks` chunks.
fn reserve(pool: &mut TestPool, chunks: u32) -> Reserved {
    let size = ChunkCount::new(chunks).bytes();
    pool.reserve(size, ChunkCount::ONE).unwrap()
}

/// Writes an image to a reserved range: it is live.
fn make_live(pool: &mut TestPool, reserved: Reserved) {
    let Reserved { pack, range } = reserved;
    assert_eq!(pool.begin_write(pack, range), Ok(RangeState::Reserved));
    pool.finalize(pack, range).unwrap();
}

/// Retires a range, without a batch.
fn retire(pool: &mut TestPool, reserved: Reserved) {
    let range = pool
        .begin_retire(reserved.pack, reserved.range.start())
        .unwrap();
    pool.retired(reserved.pack, range).unwrap();
}

#[test]
fn storage_must_fit() {
    let slots = |count: usize| (0..count).map(|_| Slot::vacant()).collect::<Vec<_>>();
    for (count, valid) in [
        (0, false),
        (1, true),
        (3, true),
        (MAX_SLOTS, true),
        (MAX_SLOTS + 1, false),
    ] {
        let words = TestPool::index_words(count);
        assert_eq!(
            TestPool::new(slots(count), vec![0; words]).is_ok(),
            valid,
            "{count} slots"
        );
        let short = TestPool::new(slots(count), vec![0; words - 1]).map(|_| ());
        assert_eq!(short, Err(Error::BadStorage));
    }
}

#[test]
fn sizes_and_alignments_that_make_no_sense() {
    let mut pool = pool(1);
    pool.add(pack(64, 0)).unwrap();
    let max = crate::MAX_CHUNKS.bytes();
    for (size, align, want) in [
        (0, 1, Error::Empty),
        (max, 1, Error::NeedPack(crate::MAX_CHUNKS)),
        (max + 1, 1, Error::TooLarge),
        (usize::MAX, 1, Error::TooLarge),
        (1, 0, Error::BadAlign),
        (1, 3, Error::BadAlign),
        (1, u32::MAX, Error::BadAlign),
        (64 * 64 + 1, 1, Error::NeedPack(ChunkCount::new(65))),
    ] {
        assert_eq!(
            pool.reserve(size, ChunkCount::new(align)),
            Err(want),
            "{size}, {align}"
        );
    }
    assert_eq!(pool.stats().free_chunks(), 64);
}

#[test]
fn a_full_pool_gives_the_pack_back() {
    let mut pool = pool(2);
    pool.add(pack(1, 0)).unwrap();
    pool.add(pack(2, 1)).unwrap();
    let failed = pool.add(pack(3, 2)).unwrap_err();
    assert_eq!((failed.error, failed.pack.chunks().get()), (Error::Full, 3));
    assert_eq!(pool.stats().packs, 2);
}

#[test]
fn the_best_rank_with_room_is_taken() {
    let mut pool = pool(4);
    let by_rank: Vec<PackId> = [3, 1, 0, 2]
        .into_iter()
        .map(|rank| pool.add(pack(8, rank)).unwrap())
        .collect();
    let packs: Vec<PackId> = (0..4).map(|_| reserve(&mut pool, 8).pack).collect();
    assert_eq!(packs, [by_rank[2], by_rank[1], by_rank[3], by_rank[0]]);
}

#[test]
fn an_alignment_that_one_pack_cannot_give_is_looked_for_in_the_next() {
    let mut pool = pool(3);
    for _ in 0..3 {
        pool.add(pack(12, 0)).unwrap();
    }
    // Both have 8 free chunks, from 4 on.
    assert_eq!(
        [
            reserve(&mut pool, 4).pack.slot(),
            reserve(&mut pool, 8).pack.slot()
        ],
        [0, 0]
    );
    assert_eq!(
        [
            reserve(&mut pool, 4).pack.slot(),
            reserve(&mut pool, 9).pack.slot()
        ],
        [1, 2]
    );
    let aligned = pool.reserve(5 * 64, ChunkCount::new(8));
    assert_eq!(aligned, Err(Error::NeedPack(ChunkCount::new(5))));
    let aligned = pool.reserve(4 * 64, ChunkCount::new(8)).unwrap();
    assert_eq!((aligned.pack.slot(), aligned.range.start().get()), (1, 8));
}

#[test]
fn a_slot_is_used_again_under_another_name() {
    let mut pool = pool(1);
    let old = pool.add(pack(8, 0)).unwrap();
    let (taken, empty) = pool.take_empty(0, |_, _| true).unwrap();
    assert_eq!((taken, pool.id_of_slot(0)), (old, None));
    let new = pool.add(empty).unwrap();
    assert_eq!((new.slot(), new == old), (0, false));
    let range = reserve(&mut pool, 2).range;
    assert_eq!(pool.begin_write(old, range), Err(Error::Stale));
    assert!(pool.pack(old).is_none());
    assert_eq!(pool.begin_write(new, range), Ok(RangeState::Reserved));
    assert_eq!(pool.finalize(old, range), Err(Error::Stale));
    assert_eq!(pool.finalize(new, range), Ok(()));
}

#[test]
fn empty_packs_are_kept_as_asked() {
    let mut pool = pool(5);
    for rank in [0, 1, 0, 1, 0] {
        pool.add(pack(8, rank)).unwrap();
    }
    let busy = reserve(&mut pool, 1);
    assert_eq!(busy.pack.slot(), 0);
    assert!(pool.take_empty(4, |_, _| true).is_none());
    let mut take = |keep| pool.take_empty(keep, |_, _| true).map(|(id, _)| id.slot());
    assert_eq!(
        [take(3), take(2), take(1), take(1), take(0), take(0)],
        [Some(3), Some(1), Some(4), None, Some(2), None]
    );
}

#[test]
fn the_filter_decides_which_empty_packs_count() {
    let mut pool = pool(3);
    for chunks in [8, 16, 8] {
        pool.add(pack(chunks, 0)).unwrap();
    }
    let mut take = |keep| {
        pool.take_empty(keep, |_, stats| stats.chunks == 16)
            .map(|(id, _)| id.slot())
    };
    assert_eq!([take(1), take(0), take(0)], [None, Some(1), None]);
    pool.age();
    pool.add(pack(8, 0)).unwrap();
    let old = pool
        .take_empty(0, |_, stats| stats.empty_for > 0)
        .map(|(id, _)| id.slot());
    assert_eq!(old, Some(2));
}

#[test]
fn a_pack_that_waits_is_not_empty() {
    let mut pool = pool(1);
    pool.add(pack(8, 0)).unwrap();
    let range = reserve(&mut pool, 8);
    let stays = |pool: &mut TestPool| assert!(pool.take_empty(0, |_, _| true).is_none());
    stays(&mut pool);
    pool.begin_write(range.pack, range.range).unwrap();
    stays(&mut pool);
    pool.finalize(range.pack, range.range).unwrap();
    stays(&mut pool);
    pool.begin_retire(range.pack, range.range.start()).unwrap();
    stays(&mut pool);
    pool.retired(range.pack, range.range).unwrap();
    stays(&mut pool);
    let batch = pool.seal_retired().unwrap();
    stays(&mut pool);
    let _ = pool.release(batch);
    assert!(pool.take_empty(0, |_, _| true).is_some());
}

#[test]
fn what_is_retired_during_a_batch_waits_for_the_next() {
    let mut pool = pool(2);
    pool.add(pack(8, 0)).unwrap();
    let (one, two) = (reserve(&mut pool, 4), reserve(&mut pool, 4));
    assert_eq!(pool.seal_retired(), None);
    retire(&mut pool, one);
    let first = pool.seal_retired().unwrap();
    retire(&mut pool, two);
    assert_eq!(pool.seal_retired(), None);
    assert_eq!(
        pool.release(first),
        Tally {
            ranges: 1,
            chunks: 4
        }
    );
    assert_eq!(
        pool.find(two.pack, two.range.start()).unwrap().0,
        RangeState::Retired
    );
    let second = pool.seal_retired().unwrap();
    assert_eq!(
        second.tally(),
        Tally {
            ranges: 1,
            chunks: 4
        }
    );
    assert_eq!(pool.release(second).chunks, 4);
    assert_eq!(pool.stats().largest_hole, 8);
}

#[test]
fn a_cancelled_batch_joins_what_was_retired_meanwhile() {
    let mut pool = pool(3);
    for _ in 0..3 {
        pool.add(pack(8, 0)).unwrap();
    }
    let ranges: Vec<Reserved> = (0..6).map(|_| reserve(&mut pool, 4)).collect();
    for index in [0, 2] {
        retire(&mut pool, ranges[index]);
    }
    let batch = pool.seal_retired().unwrap();
    for index in [1, 4] {
        retire(&mut pool, ranges[index]);
    }
    pool.cancel(batch);
    check_invariants(&pool).unwrap();
    let batch = pool.seal_retired().unwrap();
    assert_eq!(
        batch.tally(),
        Tally {
            ranges: 4,
            chunks: 16
        }
    );
    assert_eq!(
        pool.release(batch),
        Tally {
            ranges: 4,
            chunks: 16
        }
    );
    check_invariants(&pool).unwrap();
}

#[test]
fn a_strange_batch_has_no_effect() {
    let mut pools = [pool(1), pool(1)];
    let mut sealed = Vec::new();
    for pool in &mut pools {
        pool.add(pack(8, 0)).unwrap();
        let range = reserve(pool, 4);
        retire(pool, range);
        sealed.push(pool.seal_retired());
    }
    let [one, two] = &mut pools;
    // The second pool goes on to its next batch.
    assert_eq!(two.release(sealed.pop().flatten().unwrap()).ranges, 1);
    let range = reserve(two, 2);
    retire(two, range);
    let strange = two.seal_retired().unwrap();
    assert_eq!(one.release(strange), Tally::default());
    assert_eq!(one.stats().tallies.syncing.ranges, 1);
    assert_eq!(one.release(sealed.pop().flatten().unwrap()).ranges, 1);
}

#[test]
fn a_batch_that_is_lost_stops_reuse_and_nothing_else() {
    let mut pool = pool(1);
    pool.add(pack(8, 0)).unwrap();
    let range = reserve(&mut pool, 4);
    retire(&mut pool, range);
    assert!(pool.seal_retired().is_some());
    let range = reserve(&mut pool, 4);
    retire(&mut pool, range);
    assert_eq!(pool.seal_retired(), None);
    assert_eq!(pool.stats().tallies.dying().chunks, 8);
    check_invariants(&pool).unwrap();
}

#[test]
fn the_recount_sees_every_damage() {
    type Damage = fn(&mut TestPool);
    let damages: [(&str, Damage); 8] = [
        ("hole", |pool| pool.holes.update(0, Rank::BEST, 7)),
        ("hole in a vacant slot", |pool| {
            pool.holes.update(3, Rank::BEST, 1)
        }),
        ("hole in another rank", |pool| {
            pool.holes.update(0, Rank::new(1).unwrap(), 1)
        }),
        ("batch", |pool| pool.under_way = None),
        ("retired list ends", |pool| pool.first_retired = None),
        ("syncing list ends", |pool| pool.first_syncing = None),
        ("retired list is a ring", |pool| {
            pool.slots[0].next_retired = Some(0)
        }),
        ("syncing list has another", |pool| {
            pool.slots[0].next_syncing = Some(2)
        }),
    ];
    for (what, damage) in damages {
        let mut pool = pool(4);
        for _ in 0..3 {
            pool.add(pack(8, 0)).unwrap();
        }
        let ranges = [
            reserve(&mut pool, 3),
            reserve(&mut pool, 2),
            reserve(&mut pool, 2),
        ];
        assert!(ranges.iter().all(|range| range.pack.slot() == 0));
        retire(&mut pool, ranges[0]);
        let _batch = pool.seal_retired().unwrap();
        retire(&mut pool, ranges[1]);
        make_live(&mut pool, ranges[2]);
        check_invariants(&pool).unwrap();
        damage(&mut pool);
        let found: Result<(), Flaw> = check_invariants(&pool);
        assert!(found.is_err(), "{what}");
    }
}

/// Changes a pack behind the pool's back.
pub(crate) fn damage(pool: &mut TestPool, slot: usize, f: impl FnOnce(&mut Pack<Vec<u64>>)) {
    pool.slots
        .get_mut(slot)
        .and_then(|slot| slot.pack.as_mut())
        .map(f)
        .unwrap();
}

/// A pool of one 2 MiB pack with `images` live images of one chunk with holes of one chunk between
/// them, and the rest free.
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
    let batch = pool.seal_retired().unwrap();
    assert_eq!(pool.release(batch).ranges, u64::from(holes));
    assert_eq!(pool.stats().tallies.live.ranges, u64::from(images));
    (pool, id)
}

/// No figure of a clock: words and nodes that were looked at.
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
        let ((), abort) = probe::count(|| pool.abort_write(id, range).unwrap());
        pool.begin_write(id, range).unwrap();
        let ((), finalize) = probe::count(|| pool.finalize(id, range).unwrap());
        let (found, find) = probe::count(|| pool.containing(id, range.start()).unwrap());
        assert_eq!(found, (RangeState::Live, range));
        let (retiring, begin) = probe::count(|| pool.begin_retire(id, range.start()).unwrap());
        let ((), retired) = probe::count(|| pool.retired(id, retiring).unwrap());
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
fn the_cost_of_a_large_image_is_its_words() {
    let (mut pool, id) = riddled(10);
    let chunks = 20_000u32;
    let (range, cost) = probe::count(|| reserve(&mut pool, chunks).range);
    // Its words are filled, and the nodes above them computed from two children each.
    assert!(cost <= u64::from(chunks / 64) * 6 + 8 * 19, "{cost}");
    let (_, cost) = probe::count(|| pool.begin_write(id, range).unwrap());
    assert!(cost <= u64::from(chunks / 64) * 2 + 8 * 19, "{cost}");
    let ((), cost) = probe::count(|| pool.finalize(id, range).unwrap());
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
        let (batch, seal) = probe::count(|| pool.seal_retired().unwrap());
        let (tally, release) = probe::count(|| pool.release(batch));
        assert_eq!(tally.chunks, 3);
        assert!(seal > 0 && release > 0);
        costs.push(seal + release);
    }
    // Among packs alike, the index across packs is up to date sooner.
    assert!(costs[1] <= costs[0], "{costs:?}");
}
