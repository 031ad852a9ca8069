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
    pool.reserve(size, ChunkCount::ONE, RankSet::ALL).unwrap()
}

/// A set of ranks.
fn ranks(numbers: &[u8]) -> RankSet {
    let ranks = numbers.iter().map(|rank| Rank::new(*rank).unwrap());
    ranks.fold(RankSet::NONE, RankSet::with)
}

/// Releases a batch as a whole.
fn release(pool: &mut TestPool, batch: Batch) -> Tally {
    let Released { tally, rest } = pool.release(batch, u32::MAX);
    assert_eq!(rest, None);
    tally
}

/// Writes an image to a reserved range: it is live.
fn make_live(pool: &mut TestPool, reserved: Reserved) {
    let Reserved { pack, range } = reserved;
    assert_eq!(pool.begin_write(pack, range), Ok(RangeState::Reserved));
    assert_eq!(pool.finalize(pack, range), Ok(WriteEnd::Kept));
}

/// Retires a range, without a batch.
fn retire(pool: &mut TestPool, reserved: Reserved) {
    let Reserved { pack, range } = reserved;
    let taken = pool.begin_retire(pack, range.start());
    assert_eq!(taken, Ok(Taken::Retiring(range)));
    pool.retired(pack, range).unwrap();
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
            pool.reserve(size, ChunkCount::new(align), RankSet::ALL),
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
    let mut pool = pool(6);
    let by_rank: Vec<PackId> = [3, 1, 5, 0, 2, 4]
        .into_iter()
        .map(|rank| pool.add(pack(8, rank)).unwrap())
        .collect();
    let packs: Vec<PackId> = (0..6).map(|_| reserve(&mut pool, 8).pack).collect();
    assert_eq!(packs, [3, 1, 4, 0, 5, 2].map(|slot| by_rank[slot]));
}

#[test]
fn only_the_ranks_that_will_do_are_taken() {
    let mut pool = pool(6);
    // The slot is the rank.
    for rank in 0..6 {
        pool.add(pack(8, rank)).unwrap();
    }
    let mut slot = |size: usize, among: &[u8]| {
        let reserved = pool.reserve(size * 64, ChunkCount::ONE, ranks(among));
        reserved.map(|it| it.pack.slot()).ok()
    };
    assert_eq!(slot(1, &[]), None);
    assert_eq!(slot(6, &[5, 2, 3]), Some(2));
    assert_eq!(slot(6, &[5, 2, 3]), Some(3));
    assert_eq!(slot(6, &[5, 2, 3]), Some(5));
    assert_eq!(slot(6, &[5, 2, 3]), None);
    assert_eq!(slot(2, &[5, 2, 3]), Some(2));
    assert_eq!(slot(8, &[4]), Some(4));
    assert_eq!(slot(1, &[4]), None);
    assert_eq!(slot(8, &[0, 1, 2, 3, 4, 5]), Some(0));
    let full = pool.reserve(7 * 64, ChunkCount::ONE, ranks(&[0, 4]));
    assert_eq!(full, Err(Error::NeedPack(ChunkCount::new(7))));
    check_invariants(&pool).unwrap();
}

#[test]
fn the_largest_hole_of_some_ranks() {
    let mut pool = pool(1024);
    assert_eq!(pool.largest_hole(RankSet::ALL).get(), 0);
    for (chunks, rank) in [(100, 1), (30, 1), (70, 4), (200, 5)] {
        pool.add(pack(chunks, rank)).unwrap();
    }
    for (among, want) in [
        (ranks(&[]), 0),
        (ranks(&[0, 2, 3]), 0),
        (ranks(&[1]), 100),
        (ranks(&[4]), 70),
        (ranks(&[1, 4]), 100),
        (ranks(&[4, 5]), 200),
        (RankSet::ALL, 200),
    ] {
        let (hole, cost) = probe::count(|| pool.largest_hole(among));
        assert_eq!(hole.get(), want, "{among:?}");
        assert_eq!(cost, among.iter().count() as u64);
    }
    let range = pool.reserve(90 * 64, ChunkCount::ONE, ranks(&[1])).unwrap();
    assert_eq!(pool.largest_hole(ranks(&[1])).get(), 30);
    retire(&mut pool, range);
    let batch = pool.begin_batch().unwrap();
    release(&mut pool, batch);
    assert_eq!(pool.largest_hole(ranks(&[1])).get(), 100);
    pool.take_empty(0, |_, stats| stats.chunks == 100).unwrap();
    assert_eq!(pool.largest_hole(ranks(&[1])).get(), 30);
}

#[test]
fn packs_are_counted() {
    let mut pool = pool(3);
    assert!((pool.len(), pool.is_empty()) == (0, true));
    for number in 1..=3 {
        pool.add(pack(8, 0)).unwrap();
        assert!((pool.len(), pool.is_empty()) == (number, false));
    }
    assert!(pool.add(pack(8, 0)).is_err());
    assert_eq!(pool.len(), 3);
    assert!(pool.take_empty(3, |_, _| true).is_none());
    assert_eq!(pool.len(), 3);
    for left in (0..3).rev() {
        pool.take_empty(0, |_, _| true).unwrap();
        assert!((pool.len(), pool.is_empty()) == (left, left == 0));
        check_invariants(&pool).unwrap();
    }
    assert!(pool.take_empty(0, |_, _| true).is_none());
    assert_eq!(pool.len(), 0);
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
    let aligned = pool.reserve(5 * 64, ChunkCount::new(8), RankSet::ALL);
    assert_eq!(aligned, Err(Error::NeedPack(ChunkCount::new(5))));
    let aligned = pool
        .reserve(4 * 64, ChunkCount::new(8), RankSet::ALL)
        .unwrap();
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
    assert_eq!(pool.finalize(new, range), Ok(WriteEnd::Kept));
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
    let taken = pool.begin_retire(range.pack, range.range.start());
    assert_eq!(taken, Ok(Taken::Doomed(range.range)));
    stays(&mut pool);
    let end = pool.finalize(range.pack, range.range);
    assert_eq!(end, Ok(WriteEnd::Doomed));
    stays(&mut pool);
    pool.retired(range.pack, range.range).unwrap();
    stays(&mut pool);
    let batch = pool.begin_batch().unwrap();
    stays(&mut pool);
    release(&mut pool, batch);
    assert!(pool.take_empty(0, |_, _| true).is_some());
}

#[test]
fn what_is_retired_during_a_batch_waits_for_the_next() {
    let mut pool = pool(2);
    pool.add(pack(8, 0)).unwrap();
    let (one, two) = (reserve(&mut pool, 4), reserve(&mut pool, 4));
    assert_eq!(pool.begin_batch(), None);
    retire(&mut pool, one);
    let first = pool.begin_batch().unwrap();
    retire(&mut pool, two);
    assert_eq!(pool.begin_batch(), None);
    assert_eq!(
        release(&mut pool, first),
        Tally {
            ranges: 1,
            chunks: 4
        }
    );
    assert_eq!(
        pool.find(two.pack, two.range.start()).unwrap().0,
        RangeState::Retired
    );
    let second = pool.begin_batch().unwrap();
    assert_eq!(
        second.tally(),
        Tally {
            ranges: 1,
            chunks: 4
        }
    );
    assert_eq!(release(&mut pool, second).chunks, 4);
    assert_eq!(pool.stats().largest_hole, 8);
}

/// Freed while it was being written, a range goes the way of all others when the copy ends.
#[test]
fn an_image_freed_while_it_is_written_does_not_leak() {
    for (rewrites, aborts) in [(false, false), (false, true), (true, false)] {
        let mut pool = pool(1);
        let id = pool.add(pack(8, 0)).unwrap();
        let reserved = reserve(&mut pool, 8);
        let range = reserved.range;
        if rewrites {
            make_live(&mut pool, reserved);
        }
        pool.begin_write(id, range).unwrap();
        let taken = pool.begin_retire(id, range.start());
        assert_eq!(taken, Ok(Taken::Doomed(range)));
        // Whoever comes second is refused, and no batch takes what does not hold traps.
        let refused = Error::WrongState(RangeState::Doomed);
        assert_eq!(pool.begin_retire(id, range.start()), Err(refused));
        assert_eq!(pool.begin_write(id, range), Err(refused));
        assert_eq!(pool.retired(id, range), Err(refused));
        assert_eq!(pool.trim(id, range, ChunkCount::ONE), Err(refused));
        assert_eq!(pool.begin_batch(), None);
        let tallies = pool.stats().tallies;
        assert_eq!(
            (tallies.unfinished().chunks, tallies.dying().chunks),
            (8, 0)
        );
        check_invariants(&pool).unwrap();
        let end = if aborts {
            pool.abort_write(id, range)
        } else {
            pool.finalize(id, range)
        };
        assert_eq!(end, Ok(WriteEnd::Doomed));
        assert_eq!(pool.stats().tallies.dying().chunks, 8);
        pool.retired(id, range).unwrap();
        let batch = pool.begin_batch().unwrap();
        assert_eq!(release(&mut pool, batch).chunks, 8);
        assert_eq!(pool.largest_hole(RankSet::ALL).get(), 8);
        check_invariants(&pool).unwrap();
    }
}

/// Three packs of two images each, all in a batch of which nothing is released.
fn a_batch_of_six() -> (TestPool, Batch) {
    let mut pool = pool(3);
    for _ in 0..3 {
        pool.add(pack(8, 0)).unwrap();
    }
    let ranges: Vec<Reserved> = (0..6).map(|_| reserve(&mut pool, 4)).collect();
    ranges
        .into_iter()
        .for_each(|range| retire(&mut pool, range));
    let batch = pool.begin_batch().unwrap();
    (pool, batch)
}

#[test]
fn a_batch_is_released_in_slices() {
    let all = |ranges: u64| Tally {
        ranges,
        chunks: 4 * ranges,
    };
    for (at_most, each) in [
        (0, 1),
        (1, 1),
        (2, 2),
        (4, 4),
        (5, 5),
        (6, 6),
        (u32::MAX, 6),
    ] {
        let (mut pool, batch) = a_batch_of_six();
        let (mut rest, mut left) = (Some(batch), 6);
        while let Some(batch) = rest {
            assert_eq!(batch.tally(), all(left));
            assert!(pool.batch_under_way());
            let released = pool.release(batch, at_most);
            let number = left.min(each);
            assert_eq!(released.tally, all(number), "{at_most}");
            left -= number;
            rest = released.rest;
            assert_eq!(rest.is_some(), left != 0);
            assert_eq!(pool.stats().tallies.syncing, all(left));
            check_invariants(&pool).unwrap();
        }
        assert!(!pool.batch_under_way());
        assert_eq!(pool.stats().tallies.total(), Tally::default());
    }
}

#[test]
fn between_two_slices_everything_else_goes_on() {
    let (mut pool, batch) = a_batch_of_six();
    let released = pool.release(batch, 3);
    // What is free already is handed out, trimmed, written and freed; only a new batch has to wait.
    let taken: Vec<Reserved> = (0..3).map(|_| reserve(&mut pool, 4)).collect();
    let full = pool.reserve(1, ChunkCount::ONE, RankSet::ALL);
    assert_eq!(full, Err(Error::NeedPack(ChunkCount::ONE)));
    make_live(&mut pool, taken[0]);
    retire(&mut pool, taken[0]);
    retire(&mut pool, taken[1]);
    assert_eq!(pool.begin_batch(), None);
    assert!(pool.take_empty(0, |_, _| true).is_none());
    check_invariants(&pool).unwrap();
    // The rest is what the batch began with, not what was retired since.
    let rest = released.rest.unwrap();
    assert_eq!(rest.tally().ranges, 3);
    assert_eq!(release(&mut pool, rest).ranges, 3);
    assert_eq!(pool.stats().tallies.retired.ranges, 2);
    let next = pool.begin_batch().unwrap();
    assert_eq!(release(&mut pool, next).ranges, 2);
    assert_eq!(pool.stats().tallies.total(), Tally::one(ChunkCount::new(4)));
    check_invariants(&pool).unwrap();
}

#[test]
fn the_rest_of_a_batch_that_is_lost_stops_reuse_of_it_and_nothing_else() {
    let (mut pool, batch) = a_batch_of_six();
    assert!(pool.release(batch, 4).rest.is_some());
    let range = reserve(&mut pool, 4);
    retire(&mut pool, range);
    assert_eq!(pool.begin_batch(), None);
    assert_eq!(pool.stats().tallies.dying().chunks, 12);
    assert_eq!(pool.stats().free_chunks(), 12);
    check_invariants(&pool).unwrap();
}

#[test]
fn a_batch_has_a_limited_number_of_packs_and_packs_take_turns() {
    let packs = 2 * PACKS_PER_BATCH + 7;
    let mut pool = pool(packs);
    for _ in 0..packs {
        pool.add(pack(2, 0)).unwrap();
    }
    let ranges: Vec<Reserved> = (0..2 * packs).map(|_| reserve(&mut pool, 1)).collect();
    // Each waits in the order in which its first range was retired.
    let order: Vec<usize> = (0..packs).map(|turn| (turn * 5 + 3) % packs).collect();
    order
        .iter()
        .for_each(|slot| retire(&mut pool, ranges[2 * slot]));
    retire(&mut pool, ranges[2 * order[packs - 1] + 1]);
    for turn in 0..2 {
        let mine = &order[turn * PACKS_PER_BATCH..(turn + 1) * PACKS_PER_BATCH];
        let batch = pool.begin_batch().unwrap();
        assert_eq!(batch.tally().ranges, PACKS_PER_BATCH as u64);
        for (slot, pair) in ranges.chunks(2).enumerate() {
            let state = pool
                .find(pair[0].pack, pair[0].range.start())
                .map(|it| it.0);
            assert_eq!(state == Some(RangeState::Syncing), mine.contains(&slot));
        }
        // Packs with something new come last again, so nobody waits for ever.
        mine.iter()
            .for_each(|slot| retire(&mut pool, ranges[2 * slot + 1]));
        assert_eq!(pool.begin_batch(), None);
        check_invariants(&pool).unwrap();
        release(&mut pool, batch);
        check_invariants(&pool).unwrap();
    }
    let batch = pool.begin_batch().unwrap();
    // One of the seven has two.
    assert_eq!(batch.tally().ranges, PACKS_PER_BATCH as u64 + 1);
    release(&mut pool, batch);
    assert_eq!(
        pool.stats().tallies.retired.ranges,
        PACKS_PER_BATCH as u64 + 7
    );
}

#[test]
fn a_strange_batch_has_no_effect() {
    let mut pools = [pool(1), pool(1)];
    let mut begun = Vec::new();
    for pool in &mut pools {
        pool.add(pack(8, 0)).unwrap();
        let range = reserve(pool, 4);
        retire(pool, range);
        begun.push(pool.begin_batch());
    }
    let [one, two] = &mut pools;
    // The second pool goes on to its next batch.
    let second = begun.pop().flatten().unwrap();
    assert_eq!(release(two, second).ranges, 1);
    let range = reserve(two, 2);
    retire(two, range);
    let strange = two.begin_batch().unwrap();
    assert_eq!(release(one, strange), Tally::default());
    assert_eq!(one.stats().tallies.syncing.ranges, 1);
    let first = begun.pop().flatten().unwrap();
    assert_eq!(release(one, first).ranges, 1);
}

#[test]
fn a_batch_that_is_lost_stops_reuse_and_nothing_else() {
    let mut pool = pool(1);
    pool.add(pack(8, 0)).unwrap();
    let range = reserve(&mut pool, 4);
    retire(&mut pool, range);
    assert!(pool.begin_batch().is_some());
    let range = reserve(&mut pool, 4);
    retire(&mut pool, range);
    assert_eq!(pool.begin_batch(), None);
    assert_eq!(pool.stats().tallies.dying().chunks, 8);
    check_invariants(&pool).unwrap();
}

#[test]
fn the_recount_sees_every_damage() {
    type Damage = fn(&mut TestPool);
    let damages: [(&str, Damage); 13] = [
        ("hole", |pool| pool.holes.update(0, Rank::BEST, 7)),
        ("hole in a vacant slot", |pool| {
            pool.holes.update(3, Rank::BEST, 1)
        }),
        ("hole in another rank", |pool| {
            pool.holes.update(0, Rank::new(1).unwrap(), 1)
        }),
        ("hole in the last rank", |pool| {
            pool.holes.update(0, Rank::new(Rank::COUNT - 1).unwrap(), 1)
        }),
        ("number of packs", |pool| pool.packs += 1),
        ("batch", |pool| pool.under_way = None),
        ("batch of nothing", |pool| {
            let batch = Batch {
                serial: pool.under_way.unwrap(),
                tally: Tally::default(),
            };
            release(pool, batch);
            pool.under_way = Some(0);
        }),
        ("retired list has no end", |pool| pool.last_retired = None),
        ("retired list ends elsewhere", |pool| {
            pool.last_retired = Some(1)
        }),
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
        let _batch = pool.begin_batch().unwrap();
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
    let batch = pool.begin_batch().unwrap();
    assert_eq!(release(&mut pool, batch).ranges, u64::from(holes));
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
        let (batch, begin) = probe::count(|| pool.begin_batch().unwrap());
        let (tally, release) = probe::count(|| release(&mut pool, batch));
        assert_eq!(tally.chunks, 3);
        assert!(begin > 0 && release > 0);
        costs.push(begin + release);
    }
    // Among packs alike, the index across packs is up to date sooner.
    assert!(costs[1] <= costs[0], "{costs:?}");
}

/// What a slice of so many ranges and words may cost in one normal pack.
fn slice_bound(words: u64) -> u64 {
    // Each word is looked at once, and the nodes above it are computed from two children each; then
    // the levels of both indexes.
    words * 3 + 2 * 9 + 4 * 10
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
    let mut rest = pool.begin_batch();
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
    let (batch, begin) = probe::count(|| pool.begin_batch().unwrap());
    let (tally, release) = probe::count(|| release(&mut pool, batch));
    assert_eq!(tally.ranges, u64::from(RANGES));
    let words = u64::from(RANGES.div_ceil(64));
    assert!(begin <= words + 40, "{begin}");
    assert!(release <= slice_bound(words), "{release}");
}

#[test]
fn a_slice_of_large_images_costs_their_words() {
    let mut pool = pool(1024);
    pool.add(pack(32_768, 0)).unwrap();
    let ranges: Vec<Reserved> = (0..8).map(|_| reserve(&mut pool, 4_096)).collect();
    ranges
        .into_iter()
        .for_each(|range| retire(&mut pool, range));
    let mut rest = pool.begin_batch();
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
        let (batch, cost) = probe::count(|| pool.begin_batch().unwrap());
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
