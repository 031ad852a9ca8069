// SPDX-License-Identifier: GPL-2.0

//! Damage that the recount has to find.

use super::*;
use crate::geometry::RankSet;
use crate::pack::parts::GROUP;
use crate::pool::batch::Batch;
use crate::pool::tests::damage;
use crate::pool::tests::pack;
use crate::pool::tests::pool;
use crate::pool::tests::TestPool;
use crate::state::Taken;
use crate::state::WriteEnd;

/// A pool with one pack of 150 chunks, in which there is a range in every state, and holes.
fn one_of_each() -> (TestPool, Batch) {
    let mut pool = pool(2);
    let id = pool.add(pack(150, 0)).unwrap();
    let sizes = [3, 70, 1, 20, 2, 9, 4, 5];
    let ranges = sizes.map(|chunks| {
        let size = ChunkCount::new(chunks).bytes();
        pool.reserve(size, ChunkCount::ONE, RankSet::ALL)
            .unwrap()
            .range
    });
    for range in [ranges[1], ranges[6], ranges[7]] {
        pool.begin_write(id, range).unwrap();
    }
    assert_eq!(pool.finalize(id, ranges[1]), Ok(WriteEnd::Kept));
    for range in [ranges[2], ranges[3], ranges[4], ranges[5]] {
        let taken = pool.begin_retire(id, range.start());
        assert_eq!(taken, Ok(Taken::Retiring(range)));
    }
    let doomed = pool.begin_retire(id, ranges[7].start());
    assert_eq!(doomed, Ok(Taken::Doomed(ranges[7])));
    pool.retired(id, ranges[2]).unwrap();
    let batch = pool.begin_batch().unwrap().close();
    assert_eq!(pool.release(batch, 1).tally.chunks, 1);
    pool.retired(id, ranges[3]).unwrap();
    let batch = pool.begin_batch().unwrap().close();
    pool.retired(id, ranges[4]).unwrap();
    let tallies = pool.stats().tallies;
    assert!(RangeState::ALL
        .into_iter()
        .all(|state| tallies.of(state).ranges == 1));
    (pool, batch)
}

#[test]
fn every_bit_of_the_books_is_checked() {
    let (mut pool, _batch) = one_of_each();
    assert_eq!(check_invariants(&pool), Ok(()));
    let words = Pack::<Vec<u64>>::words_needed(ChunkCount::new(150));
    let bitmaps = GROUP * bitmap::words_for(150);
    for word in 0..words {
        for bit in 0..64 {
            // Node 0 does not exist, and a node has 63 bits.
            if word == bitmaps || (word > bitmaps && bit == 63) {
                continue;
            }
            let flip = |pack: &mut Pack<Vec<u64>>| pack.storage_mut()[word] ^= 1 << bit;
            damage(&mut pool, 0, flip);
            assert!(check_invariants(&pool).is_err(), "word {word}, bit {bit}");
            damage(&mut pool, 0, flip);
        }
    }
    assert_eq!(check_invariants(&pool), Ok(()));
}

#[test]
fn every_counter_is_checked() {
    for state in RangeState::ALL {
        for tally in [
            Tally {
                ranges: 1,
                chunks: 0,
            },
            Tally {
                ranges: 0,
                chunks: 1,
            },
        ] {
            let (mut pool, _batch) = one_of_each();
            damage(&mut pool, 0, |pack| pack.tallies_mut().add(state, tally));
            assert!(check_invariants(&pool).is_err(), "{state:?}: {tally:?}");
        }
    }
}

#[test]
fn both_spans_are_checked() {
    for which in [0, 1] {
        let (mut pool, _batch) = one_of_each();
        damage(&mut pool, 0, |pack| {
            let (retired, syncing) = pack.spans_mut();
            *[retired, syncing][which] = bitmap::Span::default();
        });
        assert!(check_invariants(&pool).is_err());
    }
}

/// A run of fresh chunks from `start` up to `stop`, the first `count` of which are used.
fn run(start: u32, count: u32, stop: u32) -> Fresh {
    Fresh::new(start..start + count, stop, count)
}

#[test]
fn the_fresh_chunks_are_checked() {
    let fresh = |pool: &TestPool| {
        let pack = pool.id_of_slot(0).and_then(|id| pool.pack(id));
        pack.map(Pack::fresh).unwrap()
    };
    // Three chunks of the run are used, and one is free behind them.
    let sound = || {
        let mut pool = pool(1);
        let id = pool.add(pack(300, 0)).unwrap();
        let mut make = |chunks| {
            let size = ChunkCount::new(chunks).bytes();
            let reserved = pool.reserve(size, ChunkCount::ONE, RankSet::ALL);
            reserved.unwrap().range
        };
        let ranges = [5, 2, 2, 1].map(&mut make);
        let taken = pool.begin_retire(id, ranges[1].start());
        assert_eq!(taken, Ok(Taken::Retiring(ranges[1])));
        pool.retired(id, ranges[1]).unwrap();
        let batch = pool.begin_batch().unwrap().close();
        assert_eq!(pool.release(batch, 1).rest, None);
        // The first two go where two became free, and the last to a run of their own.
        for chunks in [2, 3, 1, 2, 1] {
            let size = ChunkCount::new(chunks).bytes();
            let among = RankSet::ALL;
            let _ = pool.reserve(size, ChunkCount::ONE, among).unwrap();
        }
        pool
    };
    let pool = sound();
    assert_eq!(check_invariants(&pool), Ok(()));
    let is = fresh(&pool);
    assert_eq!((is.end() - is.start(), is.room()), (3, 1), "{is:?}");
    let changes: [fn(&mut Fresh); 8] = [
        |fresh| *fresh = Fresh::default(),
        |fresh| *fresh = run(fresh.start(), 2, fresh.stop()),
        |fresh| *fresh = run(fresh.start(), 4, fresh.stop()),
        |fresh| *fresh = run(fresh.start(), 3, fresh.stop() - 1),
        |fresh| *fresh = run(fresh.start(), 3, fresh.stop() + 1),
        |fresh| *fresh = run(fresh.start() + 1, 2, fresh.stop()),
        |fresh| *fresh = run(fresh.start() - 1, 4, fresh.stop()),
        |fresh| *fresh = run(fresh.start(), 3, fresh.start()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut pool = sound();
        damage(&mut pool, 0, |pack| change(pack.fresh_mut()));
        assert!(check_invariants(&pool).is_err(), "change {number}");
    }
}

/// What is known to fit nowhere before the fresh chunks must not fit there.
#[test]
fn a_hole_before_the_fresh_chunks_is_checked() {
    let mut pool = pool(1);
    let id = pool.add(pack(300, 0)).unwrap();
    let reserve = |pool: &mut TestPool, chunks, align| {
        let size = ChunkCount::new(chunks).bytes();
        let reserved = pool.reserve(size, ChunkCount::new(align), RankSet::ALL);
        reserved.unwrap().range
    };
    let _ = reserve(&mut pool, 2, 1);
    // Leaves two chunks free before it.
    let _ = reserve(&mut pool, 4, 4);
    let _ = reserve(&mut pool, 3, 1);
    assert_eq!(check_invariants(&pool), Ok(()));
    let fresh = pool.pack(id).map(Pack::fresh).unwrap();
    assert_eq!((fresh.end() - fresh.start(), fresh.least()), (2, 3));
    damage(&mut pool, 0, |pack| pack.fresh_mut().note(2));
    assert!(check_invariants(&pool).is_err());
}

/// Where no chunks are fresh, nothing is known of what comes before them.
#[test]
fn what_no_fresh_chunks_know_is_checked() {
    let mut pool = pool(1);
    pool.add(pack(300, 0)).unwrap();
    assert_eq!(check_invariants(&pool), Ok(()));
    damage(&mut pool, 0, |pack| pack.fresh_mut().note(301));
    assert!(check_invariants(&pool).is_err());
}

/// A hole before the fresh chunks must not go on in them.
#[test]
fn a_hole_that_goes_on_is_checked() {
    let mut pool = pool(1);
    let id = pool.add(pack(300, 0)).unwrap();
    let _ = pool.reserve(1, ChunkCount::new(64), RankSet::ALL).unwrap();
    damage(&mut pool, 0, |pack| pack.set_aside(70, 74));
    let flaw = check_invariants(&pool).unwrap_err();
    assert_eq!(flaw.what, "a hole goes on in the fresh chunks");
    damage(&mut pool, 0, |pack| pack.set_aside(1, 5));
    assert_eq!(check_invariants(&pool), Ok(()));
    assert_eq!(pool.pack(id).map(|pack| pack.fresh().room()), Some(4));
}

/// What is wrong with the fresh chunks is said by the rule that they break first.
#[test]
fn each_rule_of_the_fresh_chunks_is_checked() {
    let says = |origin, change: &dyn Fn(&mut Pack<Vec<u64>>)| {
        let mut pool = pool(1);
        let pack = pack(300, 0).with_origin(origin);
        pool.add(pack).unwrap();
        let _ = pool.reserve(1, ChunkCount::new(64), RankSet::ALL).unwrap();
        assert_eq!(check_invariants(&pool), Ok(()));
        damage(&mut pool, 0, change);
        check_invariants(&pool).map_err(|flaw| flaw.what)
    };
    assert_eq!(says(0, &|pack| pack.set_aside(1, 5)), Ok(()));
    let long = says(0, &|pack| pack.set_aside(1, 6));
    assert_eq!(long, Err("too many chunks are fresh"));
    let behind_stop = says(0, &|pack| *pack.fresh_mut() = run(0, 1, 0));
    assert_eq!(behind_stop, Err("too many chunks are fresh"));
    let over_origin = says(130, &|pack| pack.set_aside(128, 132));
    assert_eq!(over_origin, Err("the fresh chunks go over the origin"));
}

#[test]
fn the_lead_is_checked() {
    let among = RankSet::NONE.with(Rank::BEST);
    let sound = |slot, least| {
        let mut pool = pool(3);
        for (chunks, rank) in [(10, 0), (100, 0), (100, 1)] {
            pool.add(pack(chunks, rank)).unwrap();
        }
        let _ = pool.reserve(20 * 64, ChunkCount::ONE, among).unwrap();
        let lead = pool.lead_mut().as_mut().unwrap();
        assert_eq!((lead.slot, lead.least), (1, 20));
        (lead.slot, lead.least) = (slot, least);
        pool
    };
    assert_eq!(check_invariants(&sound(1, 11)), Ok(()));
    // The first pack has room, the third is none of its ranks, and there is no fourth.
    for (slot, least) in [(1, 10), (2, 20), (3, 20)] {
        assert!(check_invariants(&sound(slot, least)).is_err(), "{slot}");
    }
}

#[test]
fn the_lead_within_slots_is_checked() {
    let sound = |start, end, least| {
        let mut pool = pool(4);
        for chunks in [100, 10, 100, 100] {
            pool.add(pack(chunks, 0)).unwrap();
        }
        let slots = SlotRange { start: 1, end: 4 };
        let image = pool.reserve_within(20 * 64, ChunkCount::ONE, RankSet::ALL, slots, None);
        assert_eq!(image.unwrap().pack.slot(), 2);
        let (of, lead) = pool.lead_within_mut().as_mut().unwrap();
        assert_eq!((*of, lead.slot, lead.least), (slots, 2, 20));
        (*of, lead.least) = (SlotRange { start, end }, least);
        pool
    };
    assert_eq!(check_invariants(&sound(1, 4, 11)), Ok(()));
    assert_eq!(check_invariants(&sound(2, 3, 1)), Ok(()));
    // The second pack has room, or the first, or the lead is in none of the slots.
    for (start, end, least) in [(1, 4, 10), (0, 4, 11), (1, 2, 20), (3, 4, 20)] {
        assert!(
            check_invariants(&sound(start, end, least)).is_err(),
            "{start}"
        );
    }
}

#[test]
fn the_bound_of_the_holes_is_checked() {
    for by in [1, u32::MAX] {
        let (mut pool, _batch) = one_of_each();
        damage(&mut pool, 0, |pack| {
            *pack.bound_mut() = pack.bound_mut().wrapping_add(by)
        });
        assert!(check_invariants(&pool).is_err());
    }
}

#[test]
fn the_flaw_says_where() {
    let (mut pool, _batch) = one_of_each();
    // Chunk 149 is free.
    damage(&mut pool, 0, |pack| {
        pack.storage_mut()[2 * GROUP] |= 1 << (149 - 128)
    });
    let flaw = check_invariants(&pool).unwrap_err();
    assert_eq!((flaw.slot, flaw.chunk), (Some(0), Some(149)));
}
