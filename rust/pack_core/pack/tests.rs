// SPDX-License-Identifier: GPL-2.0

//! Tests of one pack, with the book open: what is private is visible here.

use super::*;

/// A book over words full of rubbish.
fn pack(chunks: u32) -> Pack<Vec<u64>> {
    let chunks = ChunkCount::new(chunks);
    let storage = vec![0x0123_4567_89ab_cdef; Pack::<Vec<u64>>::words_needed(chunks)];
    Pack::new(storage, chunks, Rank::BEST).unwrap()
}

/// A range.
fn range(start: u32, end: u32) -> ChunkRange {
    ChunkRange::between(start, end).unwrap()
}

/// A pack of `chunks` chunks with one range from `start` to `end`.
fn pack_with(chunks: u32, start: u32, end: u32) -> Pack<Vec<u64>> {
    let mut pack = pack(chunks);
    if start > 0 {
        pack.reserve(ChunkCount::new(start), ChunkCount::ONE)
            .unwrap();
    }
    let count = ChunkCount::new(end - start);
    assert_eq!(pack.reserve(count, ChunkCount::ONE), Ok(range(start, end)));
    pack
}

#[test]
fn codes_are_one_to_one() {
    let all = [false, true].map(|a| [false, true].map(|b| [false, true].map(|c| (a, b, c))));
    let codes = all.into_iter().flatten().flatten();
    let states: Vec<_> = codes.filter_map(RangeState::from_code).collect();
    assert_eq!(states.len(), RangeState::ALL.len());
    for state in RangeState::ALL {
        assert!(states.contains(&state));
        assert_eq!(RangeState::from_code(state.code()), Some(state));
    }
}

#[test]
fn memory_for_a_pack_is_20_kib() {
    assert_eq!(
        Pack::<Vec<u64>>::words_needed(crate::PACK_CHUNKS) * 8,
        20 << 10
    );
}

#[test]
fn storage_must_fit() {
    for chunks in [
        0,
        1,
        64,
        65,
        32_768,
        40_000,
        MAX_CHUNKS.get(),
        MAX_CHUNKS.get() + 1,
        u32::MAX,
    ] {
        let valid = (1..=MAX_CHUNKS.get()).contains(&chunks);
        let chunks = ChunkCount::new(chunks);
        // What is out of range needs no storage to be refused.
        let needed = if valid {
            Pack::<Vec<u64>>::words_needed(chunks)
        } else {
            8
        };
        let enough = Pack::new(vec![0; needed], chunks, Rank::BEST);
        assert_eq!(
            enough.map(|pack| pack.chunks()).ok(),
            valid.then_some(chunks)
        );
        let short = Pack::new(vec![0; needed - 1], chunks, Rank::BEST);
        assert_eq!(short.map(|_| ()), Err(Error::BadStorage));
    }
}

#[test]
fn more_storage_than_needed_does_no_harm() {
    let chunks = ChunkCount::new(100);
    let needed = Pack::<Vec<u64>>::words_needed(chunks);
    let mut pack = Pack::new(vec![7; needed + 3], chunks, Rank::BEST).unwrap();
    assert_eq!(pack.reserve(chunks, ChunkCount::ONE), Ok(range(0, 100)));
    assert_eq!(pack.largest_hole().get(), 0);
    assert_eq!(pack.into_storage().len(), needed + 3);
}

#[test]
fn sizes_at_the_edges_of_a_pack() {
    for chunks in [1, 63, 64, 65, 1_000, 32_768, 40_000] {
        for (count, fits) in [
            (1, true),
            (chunks - 1, chunks > 1),
            (chunks, true),
            (chunks + 1, false),
        ] {
            let mut pack = pack(chunks);
            if count == 0 {
                continue;
            }
            let reserved = pack.reserve(ChunkCount::new(count), ChunkCount::ONE);
            assert_eq!(reserved.is_ok(), fits, "{count} of {chunks}");
            let hole = if fits { chunks - count } else { chunks };
            assert_eq!(pack.largest_hole().get(), hole);
        }
    }
}

#[test]
fn alignment_skips_to_the_next_multiple() {
    for (align, want) in [(1, 3), (2, 4), (4, 4), (8, 8), (64, 64), (128, 128)] {
        let mut pack = pack_with(200, 0, 3);
        let reserved = pack
            .reserve(ChunkCount::new(2), ChunkCount::new(align))
            .unwrap();
        assert_eq!(reserved.start().get(), want, "align {align}");
    }
    let mut pack = pack_with(200, 0, 3);
    let refused = pack.reserve(ChunkCount::new(2), ChunkCount::new(256));
    assert_eq!(refused, Err(Error::NeedPack(ChunkCount::new(2))));
    // An alignment beyond the pack fits at the beginning.
    let first = self::pack(200).reserve(ChunkCount::new(2), ChunkCount::new(1 << 31));
    assert_eq!(first, Ok(range(0, 2)));
}

#[test]
fn trimming_at_its_edges() {
    for (start, end) in [
        (0, 1),
        (0, 2),
        (5, 64),
        (5, 65),
        (63, 65),
        (64, 200),
        (1, 200),
    ] {
        for keep in [
            0,
            1,
            2,
            end - start - 1,
            end - start,
            end - start + 1,
            u32::MAX,
        ] {
            let mut pack = pack_with(200, start, end);
            let result = pack.trim(range(start, end), ChunkCount::new(keep));
            let want = match keep {
                0 => Err(Error::Empty),
                keep if keep > end - start => Err(Error::TooLarge),
                keep => Ok(range(start, start + keep)),
            };
            assert_eq!(result, want, "{start}..{end} to {keep}");
            let left = want.unwrap_or(range(start, end));
            assert_eq!(pack.find(left.start()), Some((RangeState::Reserved, left)));
            assert_eq!(pack.largest_hole().get(), 200 - left.end().get());
        }
    }
}

/// Which steps lead where; everything else is refused and changes nothing.
#[test]
fn the_table_of_steps() {
    use RangeState::*;
    let bring = |state: RangeState| {
        let mut pack = pack_with(100, 10, 80);
        let whole = range(10, 80);
        let steps = RangeState::ALL
            .iter()
            .position(|known| *known == state)
            .unwrap();
        for step in 0..steps {
            match step {
                0 => assert_eq!(pack.begin_write(whole), Ok(Reserved)),
                1 => pack.finalize(whole).unwrap(),
                2 => assert_eq!(pack.begin_retire(whole.start()), Ok(whole)),
                3 => pack.retired(whole).unwrap(),
                _ => assert_eq!(
                    pack.seal(),
                    Tally {
                        ranges: 1,
                        chunks: 70
                    }
                ),
            }
        }
        assert_eq!(pack.find(whole.start()), Some((state, whole)));
        pack
    };
    let whole = range(10, 80);
    for state in RangeState::ALL {
        let refused = Err(Error::WrongState(state));
        let after = |pack: &Pack<Vec<u64>>| pack.find(whole.start()).map(|found| found.0);

        let mut pack = bring(state);
        let begins = matches!(state, Reserved | Live);
        let want = if begins {
            Ok(state)
        } else {
            Err(Error::WrongState(state))
        };
        assert_eq!(pack.begin_write(whole), want);
        assert_eq!(after(&pack), Some(if begins { Writing } else { state }));

        let mut pack = bring(state);
        let want = if state == Writing { Ok(()) } else { refused };
        assert_eq!(pack.finalize(whole), want);
        assert_eq!(
            after(&pack),
            Some(if state == Writing { Live } else { state })
        );

        let mut pack = bring(state);
        assert_eq!(pack.abort_write(whole), want);
        assert_eq!(
            after(&pack),
            Some(if state == Writing { Reserved } else { state })
        );

        let mut pack = bring(state);
        let retires = matches!(state, Reserved | Live);
        let want = if retires {
            Ok(whole)
        } else {
            Err(Error::WrongState(state))
        };
        assert_eq!(pack.begin_retire(whole.start()), want);
        assert_eq!(after(&pack), Some(if retires { Retiring } else { state }));

        let mut pack = bring(state);
        let want = if state == Retiring { Ok(()) } else { refused };
        assert_eq!(pack.retired(whole), want);
        assert_eq!(
            after(&pack),
            Some(if state == Retiring { Retired } else { state })
        );

        let mut pack = bring(state);
        let sealed = pack.seal();
        assert_eq!(sealed.ranges, u64::from(state == Retired));
        assert_eq!(
            after(&pack),
            Some(if state == Retired { Syncing } else { state })
        );

        let mut pack = bring(state);
        let unsealed = pack.unseal();
        assert_eq!(unsealed.ranges, u64::from(state == Syncing));
        assert_eq!(
            after(&pack),
            Some(if state == Syncing { Retired } else { state })
        );

        let mut pack = bring(state);
        let released = pack.release();
        assert_eq!(released.chunks, if state == Syncing { 70 } else { 0 });
        assert_eq!(
            after(&pack),
            if state == Syncing { None } else { Some(state) }
        );

        let mut pack = bring(state);
        let kept = pack.trim(whole, ChunkCount::ONE).is_ok();
        assert_eq!(kept, state == Reserved);
    }
}

#[test]
fn a_range_must_be_named_exactly() {
    let mut pack = pack_with(200, 10, 80);
    for (start, end, want) in [
        (9, 80, Error::NotAllocated),
        (11, 80, Error::NotAllocated),
        (80, 81, Error::NotAllocated),
        (199, 300, Error::NotAllocated),
        (1_000, 1_001, Error::NotAllocated),
        (10, 79, Error::WrongRange),
        (10, 81, Error::WrongRange),
        (10, 11, Error::WrongRange),
    ] {
        let named = range(start, end);
        assert_eq!(pack.begin_write(named), Err(want), "{start}..{end}");
        assert!(pack.finalize(named).is_err());
        assert!(pack.abort_write(named).is_err());
        assert!(pack.retired(named).is_err());
        assert_eq!(pack.trim(named, ChunkCount::ONE), Err(want));
    }
    for chunk in [9, 11, 79, 80, 199, 200, 256, u32::MAX] {
        assert_eq!(
            pack.begin_retire(ChunkIdx::new(chunk)),
            Err(Error::NotAllocated),
            "{chunk}"
        );
    }
    assert_eq!(pack.begin_write(range(10, 80)), Ok(RangeState::Reserved));
    for end in [11, 79, 81] {
        assert_eq!(pack.finalize(range(10, end)), Err(Error::WrongRange));
        assert_eq!(pack.abort_write(range(10, end)), Err(Error::WrongRange));
    }
    assert_eq!(pack.finalize(range(10, 80)), Ok(()));
}

/// The neighbours of the words' masks: what waits for the CPUs and what is being written share
/// planes.
#[test]
fn a_batch_leaves_alone_what_is_being_written() {
    let mut pack = pack(64);
    let ranges: Vec<_> = (0..64)
        .map(|_| pack.reserve(ChunkCount::ONE, ChunkCount::ONE).unwrap())
        .collect();
    for pair in ranges.chunks(2) {
        pack.begin_write(pair[0]).unwrap();
        pack.begin_retire(pair[1].start()).unwrap();
        pack.retired(pair[1]).unwrap();
    }
    let half = Tally {
        ranges: 32,
        chunks: 32,
    };
    assert_eq!(
        [pack.seal(), pack.unseal(), pack.seal(), pack.release()],
        [half; 4]
    );
    assert_eq!(pack.tallies().writing, half);
    assert!(ranges.iter().step_by(2).all(|range| {
        pack.find(range.start()) == Some((RangeState::Writing, *range))
            && pack.finalize(*range).is_ok()
    }));
}

#[test]
fn neighbours_stay_apart() {
    let mut pack = pack(200);
    let ranges: Vec<_> = (0..200)
        .map(|_| pack.reserve(ChunkCount::ONE, ChunkCount::ONE).unwrap())
        .collect();
    assert!(ranges
        .iter()
        .zip(0..)
        .all(|(it, start)| *it == range(start, start + 1)));
    for chunk in 0..200 {
        let found = Some((RangeState::Reserved, range(chunk, chunk + 1)));
        assert_eq!(pack.find(ChunkIdx::new(chunk)), found);
        assert_eq!(pack.containing(ChunkIdx::new(chunk)), found);
    }
}

#[test]
fn age_counts_empty_rounds() {
    let mut pack = pack(8);
    for _ in 0..3 {
        pack.age();
    }
    assert_eq!(pack.stats().empty_for, 3);
    let reserved = pack.reserve(ChunkCount::ONE, ChunkCount::ONE).unwrap();
    assert_eq!(pack.stats().empty_for, 0);
    pack.age();
    assert_eq!(pack.stats().empty_for, 0);
    pack.begin_retire(reserved.start()).unwrap();
    pack.retired(reserved).unwrap();
    pack.seal();
    pack.release();
    assert_eq!(pack.stats().empty_for, 0);
    for _ in 0..300 {
        pack.age();
    }
    assert_eq!(pack.stats().empty_for, 255);
}
