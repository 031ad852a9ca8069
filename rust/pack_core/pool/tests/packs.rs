// SPDX-License-Identifier: GPL-2.0

//! Tests of how packs are added, chosen, counted and removed.

use super::*;

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
        let lists = TestPool::recent_words();
        let made =
            |words, lists| TestPool::new(slots(count), vec![0; words], vec![0; lists]).map(|_| ());
        assert_eq!(made(words, lists).is_ok(), valid, "{count} slots");
        assert_eq!(made(words - 1, lists), Err(Error::BadStorage));
        assert_eq!(made(words, lists - 1), Err(Error::BadStorage));
    }
}

#[test]
fn sizes_and_alignments_that_make_no_sense() {
    let mut pool = pool(1);
    pool.add(pack(64, 0)).unwrap();
    let max = MAX_CHUNKS.bytes();
    for (size, align, want) in [
        (0, 1, Error::Empty),
        (max, 1, Error::NeedPack(MAX_CHUNKS)),
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
    assert!(format!("{failed:?}").contains("Full"));
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
    assert_eq!(pool.hole_bound(RankSet::ALL).get(), 0);
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
        let (hole, cost) = probe::count(|| pool.hole_bound(among));
        assert_eq!(hole.get(), want, "{among:?}");
        assert_eq!(cost, among.iter().count() as u64);
        assert!(pool.may_hold(hole, among) || among.iter().next().is_none());
        assert!(
            !pool.may_hold(ChunkCount::new(want + 1), among),
            "{among:?}"
        );
    }
    let range = pool.reserve(90 * 64, ChunkCount::ONE, ranks(&[1])).unwrap();
    assert_eq!(pool.hole_bound(ranks(&[1])).get(), 30);
    retire(&mut pool, range);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert_eq!(pool.hole_bound(ranks(&[1])).get(), 100);
    pool.take_empty(|_, stats| stats.chunks == 100).unwrap();
    assert_eq!(pool.hole_bound(ranks(&[1])).get(), 30);
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
    for left in (0..3).rev() {
        pool.take_empty(|_, _| true).unwrap();
        assert!((pool.len(), pool.is_empty()) == (left, left == 0));
        check_invariants(&pool).unwrap();
    }
    assert!(pool.take_empty(|_, _| true).is_none());
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
    let (taken, empty) = pool.take_empty(|_, _| true).unwrap();
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
fn the_worst_empty_pack_in_the_highest_slot_goes_first() {
    let mut pool = pool(5);
    for rank in [0, 1, 0, 1, 0] {
        pool.add(pack(8, rank)).unwrap();
    }
    let busy = reserve(&mut pool, 1);
    assert_eq!(busy.pack.slot(), 0);
    let mut take = || pool.take_empty(|_, _| true).map(|(id, _)| id.slot());
    assert_eq!(
        [take(), take(), take(), take(), take()],
        [Some(3), Some(1), Some(4), Some(2), None]
    );
}

#[test]
fn the_filter_decides_which_empty_packs_count() {
    let mut pool = pool(3);
    for chunks in [8, 16, 8] {
        pool.add(pack(chunks, 0)).unwrap();
    }
    let mut take = || {
        pool.take_empty(|_, stats| stats.chunks == 16)
            .map(|(id, _)| id.slot())
    };
    assert_eq!([take(), take()], [Some(1), None]);
    pool.age();
    pool.add(pack(8, 0)).unwrap();
    let old = pool
        .take_empty(|_, stats| stats.empty_for > 0)
        .map(|(id, _)| id.slot());
    assert_eq!(old, Some(2));
}

#[test]
fn a_pack_that_waits_is_not_empty() {
    let mut pool = pool(1);
    pool.add(pack(8, 0)).unwrap();
    let range = reserve(&mut pool, 8);
    let stays = |pool: &mut TestPool| assert!(pool.take_empty(|_, _| true).is_none());
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
    let batch = pool.begin_batch().unwrap().close();
    stays(&mut pool);
    release(&mut pool, batch);
    assert!(pool.take_empty(|_, _| true).is_some());
}

#[test]
fn the_slots_that_are_visited_end_behind_the_last_pack() {
    let mut pool = pool(8);
    let within = |start| SlotRange { start, end: 8 };
    for (start, end) in [(0, 1), (5, 6), (2, 6), (5, 7), (7, 8), (7, 8)] {
        pool.add_within(pack(8, 0), within(start)).unwrap();
        assert_eq!(pool.end, end, "{start}");
        assert_eq!(check_invariants(&pool), Ok(()));
    }
    // The last one found no slot where it wanted to be.
    let slots: Vec<u32> = pool.occupied().map(|(id, _)| id.slot()).collect();
    assert_eq!(slots, [0, 1, 2, 5, 6, 7]);
    for (slot, end) in [(5, 8), (7, 7), (6, 3), (0, 3), (2, 2), (1, 0)] {
        let (id, _) = pool.take_empty(|id, _| id.slot() == slot).unwrap();
        assert_eq!((id.slot(), pool.end), (slot, end));
        assert_eq!(check_invariants(&pool), Ok(()));
    }
    assert!(pool.take_empty(|_, _| true).is_none());
}

#[test]
fn the_recount_sees_every_damage() {
    type Damage = fn(&mut TestPool);
    let damages: [(&str, Damage); 15] = [
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
        ("end behind the packs", |pool| pool.end += 1),
        ("end before the packs", |pool| pool.end -= 1),
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
        let _batch = pool.begin_batch().unwrap().close();
        retire(&mut pool, ranges[1]);
        make_live(&mut pool, ranges[2]);
        check_invariants(&pool).unwrap();
        damage(&mut pool);
        let found: Result<(), Flaw> = check_invariants(&pool);
        assert!(found.is_err(), "{what}");
    }
}

#[test]
fn a_pack_for_one_image_takes_no_other() {
    let mut pool = pool(2);
    let mut number = 0;
    let mut is_offered = |pool: &mut TestPool| {
        number += 1;
        let reserved = reserve(pool, number);
        retire(pool, reserved);
        let batch = pool.begin_batch().unwrap().close();
        release(pool, batch);
        reserved.pack.slot() == 0
    };
    pool.add(pack(640, 0).for_one_image()).ok().unwrap();
    pool.add(pack(64, 1)).ok().unwrap();
    let large = reserve(&mut pool, 640);
    assert!(!is_offered(&mut pool), "while it is full");
    let kept = pool.begin_image(large.pack, large.range.start(), ChunkCount::new(400));
    let (range, freed) = kept.unwrap();
    assert_eq!(freed, ChunkCount::new(240));
    assert!(!is_offered(&mut pool), "when the image was trimmed");
    assert_eq!(pool.stats().largest_hole, 64);
    assert_eq!(pool.finalize(large.pack, range), Ok(WriteEnd::Kept));
    retire(
        &mut pool,
        Reserved {
            pack: large.pack,
            range,
        },
    );
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert!(!is_offered(&mut pool), "when the image is gone");
    assert_eq!(check_invariants(&pool), Ok(()));
    let taken = pool.take_empty(|_, stats| stats.chunks == 640);
    assert_eq!(taken.map(|(id, _)| id), Some(large.pack));
}

/// A search that began elsewhere says nothing about the chunks from the origin on.
#[test]
fn a_search_from_elsewhere_hides_no_lower_place() {
    let mut pool = pool(1);
    pool.add(pack(640, 0).with_origin(100)).ok().unwrap();
    let behind_origin = reserve(&mut pool, 240);
    assert_eq!(behind_origin.range.start().get(), 100);
    for (chunks, place) in [(300, 340), (50, 0), (2, 50)] {
        assert_eq!(reserve(&mut pool, chunks).range.start().get(), place);
    }
    retire(&mut pool, behind_origin);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    let size = ChunkCount::new(3).bytes();
    let wrapped = pool.reserve_from(size, ChunkCount::ONE, RankSet::ALL, 400);
    assert_eq!(wrapped.map(|found| found.range.start().get()), Ok(52));
    assert_eq!(check_invariants(&pool), Ok(()));
    assert_eq!(reserve(&mut pool, 3).range.start().get(), 100);
}

#[test]
fn a_pack_goes_to_its_slots_while_one_is_vacant() {
    let mut pool = pool(5);
    let slots = SlotRange { start: 2, end: 4 };
    let mut add = |slots| pool.add_within(pack(8, 0), slots).unwrap().slot();
    assert_eq!((add(slots), add(SlotRange::ALL)), (2, 0));
    assert_eq!((add(slots), add(slots), add(slots)), (3, 1, 4));
    assert!(pool.add_within(pack(8, 0), slots).is_err());
}

/// Reserves `chunks` chunks in a pack in one of `slots`, and returns the range.
fn within(pool: &mut TestPool, chunks: u32, slots: SlotRange) -> Result<Reserved, Error> {
    let size = ChunkCount::new(chunks).bytes();
    pool.reserve_within(size, ChunkCount::ONE, RankSet::ALL, slots, None)
}

#[test]
fn images_stay_within_their_slots() {
    let mut pool = pool(6);
    for rank in [0, 0, 1, 0, 0, 0] {
        pool.add(pack(64, rank)).unwrap();
    }
    let [first, middle] = [(0, 2), (2, 4)].map(|(start, end)| SlotRange { start, end });
    let mut place = |chunks, slots| {
        let slot = within(&mut pool, chunks, slots).map(|image| image.pack.slot());
        assert_eq!(check_invariants(&pool), Ok(()));
        slot
    };
    assert_eq!(place(60, middle), Ok(3));
    // By turns: the lead of one is none of the other.
    for _ in 0..2 {
        assert_eq!(place(2, first), Ok(0));
        assert_eq!(place(2, middle), Ok(3));
    }
    assert_eq!(place(1, middle), Ok(2));
    let full = Err(Error::NeedPack(ChunkCount::new(64)));
    assert_eq!(place(64, middle), full);
    assert_eq!(place(64, SlotRange { start: 6, end: 9 }), full);
    assert_eq!(place(64, SlotRange::ALL), Ok(1));
    assert_eq!(reserve(&mut pool, 2).pack.slot(), 0);
}

#[test]
fn room_before_the_lead_within_slots_is_found() {
    let mut pool = pool(3);
    for _ in 0..3 {
        pool.add(pack(64, 0)).unwrap();
    }
    let slots = SlotRange { start: 1, end: 3 };
    let first = within(&mut pool, 64, slots).unwrap();
    assert_eq!(within(&mut pool, 2, slots).unwrap().pack.slot(), 2);
    retire(&mut pool, first);
    let batch = pool.begin_batch().unwrap().close();
    release(&mut pool, batch);
    assert_eq!(check_invariants(&pool), Ok(()));
    assert_eq!(within(&mut pool, 2, slots).unwrap().pack.slot(), 1);
}

#[test]
fn a_pack_added_before_the_lead_within_slots_is_found() {
    let mut pool = pool(3);
    let slots = SlotRange { start: 1, end: 3 };
    let later = SlotRange { start: 2, end: 3 };
    pool.add_within(pack(64, 0), later).unwrap();
    assert_eq!(within(&mut pool, 2, slots).unwrap().pack.slot(), 2);
    pool.add_within(pack(64, 0), slots).unwrap();
    assert_eq!(check_invariants(&pool), Ok(()));
    assert_eq!(within(&mut pool, 2, slots).unwrap().pack.slot(), 1);
}

/// A pack that images go to tells nothing of the holes before it that are for shorter ones.
#[test]
fn shorter_images_go_to_packs_before_the_lead() {
    for first in [4, 60] {
        let mut pool = pool(2);
        for _ in 0..2 {
            pool.add(pack(64, 0)).unwrap();
        }
        // 60 chunks of the first pack, in one image or two.
        let _ = reserve(&mut pool, first);
        if first < 60 {
            let _ = reserve(&mut pool, 60 - first);
        }
        assert_eq!(reserve(&mut pool, 10).pack.slot(), 1);
        assert_eq!(check_invariants(&pool), Ok(()));
        assert_eq!(reserve(&mut pool, 4).pack.slot(), 0, "first {first}");
    }
}
