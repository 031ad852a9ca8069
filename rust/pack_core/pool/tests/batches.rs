// SPDX-License-Identifier: GPL-2.0

//! Tests of batches: what is retired becomes free, once, and in slices.

use super::*;

#[test]
fn what_is_retired_during_a_batch_waits_for_the_next() {
    let mut pool = pool(2);
    pool.add(pack(8, 0)).unwrap();
    let (one, two) = (reserve(&mut pool, 4), reserve(&mut pool, 4));
    assert_eq!(pool.begin_batch(), None);
    retire(&mut pool, one);
    let first = pool.begin_batch().unwrap().close();
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
    let second = pool.begin_batch().unwrap().close();
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

/// A range that is freed during a copy is retired like all others when the copy ends.
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
        // The second free is refused, and no batch takes a range that does not hold traps.
        let refused = Error::WrongState(RangeState::Doomed);
        assert_eq!(pool.begin_retire(id, range.start()), Err(refused));
        assert_eq!(pool.begin_write(id, range), Err(refused));
        assert_eq!(pool.retired(id, range), Err(refused));
        let again = pool.begin_image(id, range.start(), ChunkCount::ONE);
        assert_eq!(again, Err(refused));
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
        let batch = pool.begin_batch().unwrap().close();
        assert_eq!(release(&mut pool, batch).chunks, 8);
        assert_eq!(pool.hole_bound(RankSet::ALL).get(), 8);
        check_invariants(&pool).unwrap();
    }
}

/// Three packs with two images each. All of them are in a batch, and none is released.
fn a_batch_of_six() -> (TestPool, Batch) {
    let mut pool = pool(3);
    for _ in 0..3 {
        pool.add(pack(8, 0)).unwrap();
    }
    let ranges: Vec<Reserved> = (0..6).map(|_| reserve(&mut pool, 4)).collect();
    ranges
        .into_iter()
        .for_each(|range| retire(&mut pool, range));
    let batch = pool.begin_batch().unwrap().close();
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
            assert!(pool.is_batch_under_way());
            let released = pool.release(batch, at_most);
            let number = left.min(each);
            assert_eq!(released.tally, all(number), "{at_most}");
            left -= number;
            rest = released.rest;
            assert_eq!(rest.is_some(), left != 0);
            assert_eq!(pool.stats().tallies.syncing, all(left));
            check_invariants(&pool).unwrap();
        }
        assert!(!pool.is_batch_under_way());
        assert_eq!(pool.stats().tallies.total(), Tally::default());
    }
}

#[test]
fn between_two_slices_everything_else_goes_on() {
    let (mut pool, batch) = a_batch_of_six();
    let released = pool.release(batch, 3);
    // Free chunks are reserved, trimmed, written and freed. Only a new batch has to wait.
    let taken: Vec<Reserved> = (0..3).map(|_| reserve(&mut pool, 4)).collect();
    let full = pool.reserve(1, ChunkCount::ONE, RankSet::ALL);
    assert_eq!(full, Err(Error::NeedPack(ChunkCount::ONE)));
    make_live(&mut pool, taken[0]);
    retire(&mut pool, taken[0]);
    retire(&mut pool, taken[1]);
    assert_eq!(pool.begin_batch(), None);
    assert!(pool.take_empty(|_, _| true).is_none());
    check_invariants(&pool).unwrap();
    // The rest is what the batch began with, not what was retired since.
    let rest = released.rest.unwrap();
    assert_eq!(rest.tally().ranges, 3);
    assert_eq!(release(&mut pool, rest).ranges, 3);
    assert_eq!(pool.stats().tallies.retired.ranges, 2);
    let next = pool.begin_batch().unwrap().close();
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
        let batch = pool.begin_batch().unwrap().close();
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
    let batch = pool.begin_batch().unwrap().close();
    // One of the seven has two.
    assert_eq!(batch.tally().ranges, PACKS_PER_BATCH as u64 + 1);
    release(&mut pool, batch);
    assert_eq!(
        pool.stats().tallies.retired.ranges,
        PACKS_PER_BATCH as u64 + 7
    );
}

/// Makes a pool of `packs` packs of 2 MiB, each with a retired range in its first and in its last
/// word, and live ones between.
fn with_retired_ends(packs: usize) -> TestPool {
    let mut pool = pool(packs);
    for _ in 0..packs {
        pool.add(pack(32_768, 0)).unwrap();
    }
    for _ in 0..packs {
        let ends = [1, 32_766, 1].map(|chunks| reserve(&mut pool, chunks));
        make_live(&mut pool, ends[1]);
        retire(&mut pool, ends[0]);
        retire(&mut pool, ends[2]);
    }
    pool
}

#[test]
fn a_batch_is_made_of_one_large_pack_a_call() {
    let packs = PACKS_PER_BATCH + 3;
    let mut pool = with_retired_ends(packs);
    let (mut open, begun) = probe::count(|| pool.begin_batch().unwrap());
    let mut costs = vec![begun];
    assert_eq!(open.batch.tally().ranges, 2);
    while open.has_room() {
        let ((), cost) = probe::count(|| pool.extend_batch(&mut open));
        check_invariants(&pool).unwrap();
        costs.push(cost);
        assert_eq!(open.batch.tally().ranges, 2 * costs.len() as u64);
    }
    assert_eq!(costs.len(), PACKS_PER_BATCH);
    assert!(
        costs.iter().all(|cost| (512..560).contains(cost)),
        "{costs:?}"
    );
    assert_eq!(pool.stats().tallies.retired.ranges, 2 * 3);
    // As many ranges fit in a slice, but they are far from each other.
    let mut rest = Some(open.close());
    let mut slices = 0;
    while let Some(batch) = rest {
        let (released, cost) = probe::count(|| pool.release(batch, 64));
        // The last one of a pack, and the first one of the next.
        assert!(cost <= 600 && released.tally.ranges <= 2, "{cost}");
        check_invariants(&pool).unwrap();
        slices += 1;
        rest = released.rest;
    }
    assert!(slices > PACKS_PER_BATCH, "{slices}");
}

#[test]
fn a_batch_takes_what_is_retired_before_it_is_complete() {
    let mut pool = with_retired_ends(3);
    let mut open = pool.begin_batch().unwrap();
    // In the pack that the batch has, and in one that it does not have yet.
    let live: Vec<Reserved> = (0..2)
        .map(|slot| {
            let id = pool.id_of_slot(slot).unwrap();
            let (_, range) = pool.find(id, ChunkIdx::new(1)).unwrap();
            Reserved { pack: id, range }
        })
        .collect();
    for image in live {
        let taken = pool.begin_retire(image.pack, image.range.start());
        assert_eq!(taken, Ok(Taken::Retiring(image.range)));
        pool.retired(image.pack, image.range).unwrap();
    }
    assert_eq!(open.batch.tally().ranges, 2);
    while open.has_room() {
        pool.extend_batch(&mut open);
        check_invariants(&pool).unwrap();
    }
    let batch = open.close();
    assert_eq!(batch.tally().ranges, 3 * 2 + 2);
    assert_eq!(pool.stats().tallies.retired, Tally::default());
    // All of it becomes free, once.
    let (mut freed, mut rest) = (0, Some(batch));
    while let Some(batch) = rest {
        let released = pool.release(batch, u32::MAX);
        freed += released.tally.ranges;
        rest = released.rest;
    }
    assert_eq!(freed, 8);
    check_invariants(&pool).unwrap();
}

#[test]
fn a_batch_that_is_not_under_way_takes_no_more() {
    let mut pools = [with_retired_ends(3), with_retired_ends(2)];
    let [pool, other] = &mut pools;
    let _open = pool.begin_batch().unwrap();
    let mut strange = OpenBatch {
        batch: Batch {
            serial: other.begin_batch().unwrap().batch.serial + 1,
            tally: Tally::default(),
        },
        room: 1,
    };
    for pool in [&mut *pool, other] {
        pool.extend_batch(&mut strange);
        assert!(!strange.has_room());
        strange.room = 1;
    }
    assert_eq!(strange.close().tally(), Tally::default());
    assert_eq!(pool.stats().tallies.retired.ranges, 4);
    check_invariants(pool).unwrap();
}

#[test]
fn a_strange_batch_has_no_effect() {
    let mut pools = [pool(1), pool(1)];
    let mut begun = Vec::new();
    for pool in &mut pools {
        pool.add(pack(8, 0)).unwrap();
        let range = reserve(pool, 4);
        retire(pool, range);
        begun.push(pool.begin_batch().map(OpenBatch::close));
    }
    let [one, two] = &mut pools;
    // The second pool goes on to its next batch.
    let second = begun.pop().flatten().unwrap();
    assert_eq!(release(two, second).ranges, 1);
    let range = reserve(two, 2);
    retire(two, range);
    let strange = two.begin_batch().unwrap().close();
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
fn a_call_releases_a_bounded_number_of_words() {
    let mut pool = pool(32);
    // In each pack a range in the first word and one sixty words further.
    for _ in 0..32 {
        pool.add(pack(61 * 64, 0)).unwrap();
    }
    for _ in 0..32 {
        let ends = [1, 61 * 64 - 2, 1].map(|chunks| reserve(&mut pool, chunks));
        retire(&mut pool, ends[0]);
        retire(&mut pool, ends[2]);
    }
    let mut open = pool.begin_batch().unwrap();
    while open.has_room() {
        pool.extend_batch(&mut open);
    }
    assert_eq!(open.batch.tally().ranges, 64);
    let released = pool.release(open.close(), u32::MAX);
    assert_eq!(released.tally.ranges, 2 * 512u64.div_ceil(61));
    assert!(released.rest.is_some());
}
