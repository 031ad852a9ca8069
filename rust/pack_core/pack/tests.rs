// SPDX-License-Identifier: GPL-2.0

//! Tests of one pack. Unlike those in `tests/` they see what is private.

use super::*;
use crate::probe;
use crate::state::Taken;
use crate::state::WriteEnd;

/// A pack whose storage had arbitrary content.
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
        pack.reserve(ChunkCount::new(start), ChunkCount::ONE, None)
            .unwrap();
    }
    let count = ChunkCount::new(end - start);
    assert_eq!(
        pack.reserve(count, ChunkCount::ONE, None),
        Ok(range(start, end))
    );
    pack
}

#[test]
fn codes_are_one_to_one() {
    let states: Vec<_> = (0..8).filter_map(RangeState::from_code).collect();
    assert_eq!(states.len(), RangeState::ALL.len());
    for state in RangeState::ALL {
        assert!(states.contains(&state));
        assert_eq!(RangeState::from_code(state.code()), Some(state));
    }
}

#[test]
fn any_state_is_written_over_any_other() {
    for from in RangeState::ALL {
        for to in RangeState::ALL {
            let mut storage = [0; 2 * parts::GROUP];
            parts::set_state(&mut storage, 70, from);
            parts::set_state(&mut storage, 70, to);
            let group = parts::Group::read(&storage, 1).unwrap();
            assert_eq!(group.state(70), Some(to), "after {from:?}");
        }
    }
}

#[test]
fn a_range_in_one_word_is_reserved_without_a_walk() {
    let mut storage = [0; 2 * parts::GROUP];
    for (start, count, visits) in [(0, 1, 0), (5, 9, 0), (14, 30, 0), (50, 20, 2), (70, 58, 0)] {
        let ((), cost) = probe::count(|| parts::reserve(&mut storage, start, count));
        assert_eq!(cost, visits, "{start}, {count}");
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
        // A number of chunks that is out of range is refused, however large the storage is.
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
    assert_eq!(
        pack.reserve(chunks, ChunkCount::ONE, None),
        Ok(range(0, 100))
    );
    assert_eq!(pack.largest_hole().get(), 0);
    assert_eq!(pack.storage_mut().len(), needed + 3);
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
            let reserved = pack.reserve(ChunkCount::new(count), ChunkCount::ONE, None);
            assert_eq!(reserved.is_ok(), fits, "{count} of {chunks}");
            let hole = if fits { chunks - count } else { chunks };
            assert_eq!(pack.largest_hole().get(), hole);
        }
    }
}

#[test]
fn the_search_begins_at_the_origin() {
    let reserve = |pack: &mut Pack<Vec<u64>>, count, align| {
        let reserved = pack.reserve(ChunkCount::new(count), ChunkCount::new(align), None);
        reserved.unwrap().start().get()
    };
    for (origin, count, align, want, next) in [
        (0, 3, 1, 0, 3),
        (70, 3, 1, 70, 73),
        (70, 3, 8, 72, 70),
        // Modulo the length, and at the start if it does not fit behind.
        (170, 3, 1, 70, 73),
        (97, 3, 1, 97, 0),
        (98, 3, 1, 0, 98),
        (99, 2, 64, 0, 2),
    ] {
        let mut pack = pack(100).with_origin(origin);
        let first = reserve(&mut pack, count, align);
        assert_eq!(
            first, want,
            "origin {origin}, {count} chunks, align {align}"
        );
        assert_eq!(
            reserve(&mut pack, 2, 1),
            next,
            "origin {origin}, the next one"
        );
    }
}

#[test]
fn a_search_from_a_chunk_goes_on_at_the_start() {
    let mut pack = pack(100);
    let mut reserve = |count, from| {
        let reserved = pack.reserve(ChunkCount::new(count), ChunkCount::ONE, Some(from));
        reserved.map(|range| range.start().get())
    };
    assert_eq!(reserve(10, 50), Ok(50));
    assert_eq!(reserve(10, 45), Ok(60));
    assert_eq!(reserve(10, 195), Ok(0));
    assert_eq!(reserve(30, 0), Ok(10));
    assert_eq!(reserve(30, 60), Ok(70));
    assert_eq!(reserve(10, 99), Ok(40));
    assert_eq!(reserve(1, 99), Err(Error::NeedPack(ChunkCount::ONE)));
}

#[test]
fn alignment_skips_to_the_next_multiple() {
    for (align, want) in [(1, 3), (2, 4), (4, 4), (8, 8), (64, 64), (128, 128)] {
        let mut pack = pack_with(200, 0, 3);
        let reserved = pack
            .reserve(ChunkCount::new(2), ChunkCount::new(align), None)
            .unwrap();
        assert_eq!(reserved.start().get(), want, "align {align}");
    }
    let mut pack = pack_with(200, 0, 3);
    let refused = pack.reserve(ChunkCount::new(2), ChunkCount::new(256), None);
    assert_eq!(refused, Err(Error::NeedPack(ChunkCount::new(2))));
    // An alignment beyond the pack fits at the beginning.
    let first = self::pack(200).reserve(ChunkCount::new(2), ChunkCount::new(1 << 31), None);
    assert_eq!(first, Ok(range(0, 2)));
}

#[test]
fn what_an_image_leaves_over_at_its_edges() {
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
            let result = pack.begin_image(ChunkIdx::new(start), ChunkCount::new(keep));
            let want = match keep {
                0 => Err(Error::Empty),
                keep if keep > end - start => Err(Error::TooLarge),
                keep => Ok((
                    range(start, start + keep),
                    ChunkCount::new(end - start - keep),
                )),
            };
            assert_eq!(result, want, "{start}..{end} to {keep}");
            let left = match want {
                Ok((kept, _)) => (RangeState::Writing, kept),
                Err(_) => (RangeState::Reserved, range(start, end)),
            };
            assert_eq!(pack.find(ChunkIdx::new(start)), Some(left));
            assert_eq!(pack.largest_hole().get(), 200 - left.1.end().get());
        }
    }
}

/// Brings a range of 70 chunks at 10, in a pack of 100, into a state.
fn bring(state: RangeState) -> Pack<Vec<u64>> {
    use RangeState::*;
    let mut pack = pack_with(100, 10, 80);
    let whole = range(10, 80);
    let path: &[RangeState] = match state {
        Reserved => &[],
        Writing => &[Writing],
        Live => &[Writing, Live],
        Doomed => &[Writing, Doomed],
        Retiring => &[Writing, Live, Retiring],
        Retired => &[Writing, Live, Retiring, Retired],
        Syncing => &[Writing, Doomed, Retiring, Retired, Syncing],
    };
    for to in path {
        let from = pack.find(whole.start()).unwrap().0;
        match (from, to) {
            (Reserved, Writing) => assert_eq!(pack.begin_write(whole), Ok(Reserved)),
            (Writing, Live) => assert_eq!(pack.finalize(whole), Ok(WriteEnd::Kept)),
            (Writing, Doomed) => {
                assert_eq!(pack.begin_retire(whole.start()), Ok(Taken::Doomed(whole)));
            }
            (Live, Retiring) => {
                assert_eq!(pack.begin_retire(whole.start()), Ok(Taken::Retiring(whole)));
            }
            (Doomed, Retiring) => assert_eq!(pack.finalize(whole), Ok(WriteEnd::Doomed)),
            (Retiring, Retired) => pack.retired(whole).unwrap(),
            (Retired, Syncing) => assert_eq!(pack.begin_sync().chunks, 70),
            step => panic!("{step:?}"),
        }
        assert_eq!(pack.find(whole.start()), Some((*to, whole)));
    }
    pack
}

/// The table of all steps. Every other step is refused and changes nothing.
#[test]
fn the_table_of_steps() {
    use RangeState::*;
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
        let (want, finalized, aborted) = match state {
            Writing => (Ok(WriteEnd::Kept), Live, Reserved),
            Doomed => (Ok(WriteEnd::Doomed), Retiring, Retiring),
            _ => (Err(Error::WrongState(state)), state, state),
        };
        assert_eq!(pack.finalize(whole), want);
        assert_eq!(after(&pack), Some(finalized));

        let mut pack = bring(state);
        assert_eq!(pack.abort_write(whole), want);
        assert_eq!(after(&pack), Some(aborted));

        let mut pack = bring(state);
        let (want, taken) = match state {
            Reserved | Live => (Ok(Taken::Retiring(whole)), Retiring),
            Writing => (Ok(Taken::Doomed(whole)), Doomed),
            _ => (Err(Error::WrongState(state)), state),
        };
        assert_eq!(pack.begin_retire(whole.start()), want);
        assert_eq!(after(&pack), Some(taken));

        let mut pack = bring(state);
        let want = if state == Retiring { Ok(()) } else { refused };
        assert_eq!(pack.retired(whole), want);
        assert_eq!(
            after(&pack),
            Some(if state == Retiring { Retired } else { state })
        );

        let mut pack = bring(state);
        let begun = pack.begin_sync();
        assert_eq!(begun.ranges, u64::from(state == Retired));
        assert_eq!(
            after(&pack),
            Some(if state == Retired { Syncing } else { state })
        );

        let mut pack = bring(state);
        let released = pack.release(u32::MAX, |_, _| ());
        assert_eq!(released.chunks, if state == Syncing { 70 } else { 0 });
        assert_eq!(
            after(&pack),
            if state == Syncing { None } else { Some(state) }
        );

        let mut pack = bring(state);
        let begun = pack.begin_image(whole.start(), ChunkCount::ONE);
        let want = if state == Reserved {
            Ok((range(10, 11), ChunkCount::new(69)))
        } else {
            Err(Error::WrongState(state))
        };
        assert_eq!(begun, want);
        assert_eq!(
            after(&pack),
            Some(if state == Reserved { Writing } else { state })
        );
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
    }
    for chunk in [9, 11, 79, 80, 199, 200, 256, u32::MAX] {
        let chunk = ChunkIdx::new(chunk);
        let refused = Err(Error::NotAllocated);
        assert_eq!(pack.begin_retire(chunk), refused, "{chunk:?}");
        let begun = pack.begin_image(chunk, ChunkCount::ONE);
        assert_eq!(begun, Err(Error::NotAllocated), "{chunk:?}");
    }
    assert_eq!(pack.begin_write(range(10, 80)), Ok(RangeState::Reserved));
    for end in [11, 79, 81] {
        assert_eq!(pack.finalize(range(10, end)), Err(Error::WrongRange));
        assert_eq!(pack.abort_write(range(10, end)), Err(Error::WrongRange));
    }
    let taken = pack.begin_retire(ChunkIdx::new(10));
    assert_eq!(taken, Ok(Taken::Doomed(range(10, 80))));
    for end in [11, 79, 81] {
        assert_eq!(pack.finalize(range(10, end)), Err(Error::WrongRange));
        assert_eq!(pack.abort_write(range(10, end)), Err(Error::WrongRange));
    }
    assert_eq!(pack.finalize(range(10, 80)), Ok(WriteEnd::Doomed));
}

/// Frees a range up to where it waits for a batch.
fn retire(pack: &mut Pack<Vec<u64>>, range: ChunkRange) {
    let taken = pack.begin_retire(range.start());
    assert_eq!(taken, Ok(Taken::Retiring(range)));
    pack.retired(range).unwrap();
}

/// The neighbours of the words' masks: what waits for the CPUs, what is being written and what is
/// doomed share planes.
#[test]
fn a_batch_leaves_alone_what_is_being_written() {
    for doomed in [false, true] {
        let mut pack = pack(64);
        let ranges: Vec<_> = (0..64)
            .map(|_| {
                pack.reserve(ChunkCount::ONE, ChunkCount::ONE, None)
                    .unwrap()
            })
            .collect();
        for pair in ranges.chunks(2) {
            pack.begin_write(pair[0]).unwrap();
            if doomed {
                let taken = pack.begin_retire(pair[0].start());
                assert_eq!(taken, Ok(Taken::Doomed(pair[0])));
            }
            retire(&mut pack, pair[1]);
        }
        let half = Tally {
            ranges: 32,
            chunks: 32,
        };
        let (state, end) = if doomed {
            (RangeState::Doomed, WriteEnd::Doomed)
        } else {
            (RangeState::Writing, WriteEnd::Kept)
        };
        assert_eq!(
            [pack.begin_sync(), pack.begin_sync()],
            [half, Tally::default()]
        );
        assert_eq!(
            [
                pack.release(u32::MAX, |_, _| ()),
                pack.release(u32::MAX, |_, _| ())
            ],
            [half, Tally::default()]
        );
        assert_eq!(pack.tallies().of(state), half);
        assert!(ranges.iter().step_by(2).all(|range| {
            pack.find(range.start()) == Some((state, *range)) && pack.finalize(*range) == Ok(end)
        }));
    }
}

/// A doomed range takes the way of all others after the copy, whichever way that ends.
#[test]
fn a_doomed_range_becomes_free() {
    for aborts in [false, true] {
        let mut pack = bring(RangeState::Doomed);
        let whole = range(10, 80);
        assert_eq!(
            [pack.begin_sync(), pack.release(9, |_, _| ())],
            [Tally::default(); 2]
        );
        assert_eq!(pack.largest_hole().get(), 20);
        let end = if aborts {
            pack.abort_write(whole)
        } else {
            pack.finalize(whole)
        };
        assert_eq!(end, Ok(WriteEnd::Doomed));
        let again = pack.begin_retire(whole.start());
        assert_eq!(again, Err(Error::WrongState(RangeState::Retiring)));
        pack.retired(whole).unwrap();
        assert_eq!(
            [pack.begin_sync().chunks, pack.release(1, |_, _| ()).chunks],
            [70, 70]
        );
        assert_eq!(pack.largest_hole().get(), 90);
        assert_eq!(pack.find(whole.start()), None);
    }
}

/// A slice frees the lowest ranges and no others, wherever they meet the edges of words and of the
/// pack.
#[test]
fn slices_of_every_size_and_shape() {
    // The lengths of ranges, which are repeated as long as they fit, and one of how many is freed.
    let shapes: [(&[u32], usize); 9] = [
        (&[1], 1),
        (&[1], 2),
        (&[2, 1], 2),
        (&[64], 1),
        (&[63, 1, 64, 65], 2),
        (&[3, 130, 5], 1),
        (&[3, 130, 5], 2),
        (&[200], 1),
        (&[7, 1, 1, 30], 3),
    ];
    for chunks in [1, 64, 65, 130, 257, 640] {
        for (lengths, one_of) in shapes {
            for at_most in [1, 2, 3, 63, 64, 65, u32::MAX] {
                let mut pack = pack(chunks);
                let lengths = lengths.iter().cycle();
                let ranges: Vec<_> = lengths
                    .map_while(|length| {
                        let count = ChunkCount::new(*length);
                        pack.reserve(count, ChunkCount::ONE, None).ok()
                    })
                    .collect();
                let (dying, others): (Vec<_>, Vec<_>) = (0..)
                    .zip(&ranges)
                    .partition(|(index, _)| index % one_of == 0);
                dying
                    .iter()
                    .for_each(|(_, range)| retire(&mut pack, **range));
                assert_eq!(pack.begin_sync().ranges, dying.len() as u64);
                let mut dying = dying
                    .into_iter()
                    .map(|(_, range)| *range)
                    .collect::<Vec<_>>();
                loop {
                    let number = dying.len().min(at_most as usize);
                    let freed: Vec<_> = dying.drain(..number).collect();
                    let want = freed.iter().map(|range| Tally::one(range.count()));
                    let want = want.fold(Tally::default(), Tally::plus);
                    assert_eq!(
                        pack.release(at_most, |_, _| ()),
                        want,
                        "{chunks}, {at_most}"
                    );
                    for range in freed {
                        assert_eq!(pack.containing(range.start()), None);
                        let last = ChunkIdx::new(range.end().get() - 1);
                        assert_eq!(pack.containing(last), None);
                    }
                    let left = dying.iter().map(|range| (RangeState::Syncing, *range));
                    let others = others.iter().map(|it| (RangeState::Reserved, *it.1));
                    let mut all: Vec<_> = left.chain(others).collect();
                    all.sort_by_key(|(_, range)| range.start());
                    assert!(pack.ranges().eq(all), "{chunks}, {at_most}");
                    assert_eq!(pack.tallies().syncing.ranges, dying.len() as u64);
                    if number == 0 {
                        break;
                    }
                }
                assert_eq!(pack.spans().1, Span::default());
            }
        }
    }
}

#[test]
fn neighbours_stay_apart() {
    let mut pack = pack(200);
    let ranges: Vec<_> = (0..200)
        .map(|_| {
            pack.reserve(ChunkCount::ONE, ChunkCount::ONE, None)
                .unwrap()
        })
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
    let reserved = pack
        .reserve(ChunkCount::ONE, ChunkCount::ONE, None)
        .unwrap();
    assert_eq!(pack.stats().empty_for, 0);
    pack.age();
    assert_eq!(pack.stats().empty_for, 0);
    retire(&mut pack, reserved);
    pack.begin_sync();
    pack.release(1, |_, _| ());
    assert_eq!(pack.stats().empty_for, 0);
    for _ in 0..300 {
        pack.age();
    }
    assert_eq!(pack.stats().empty_for, 255);
}

#[test]
fn a_release_tells_of_the_short_holes() {
    let mut pack = pack(300);
    let lengths = [50, 14, 6, 60, 128, 2, 3, 4, 33];
    let images = lengths.map(|count| {
        let count = ChunkCount::new(count);
        pack.reserve(count, ChunkCount::ONE, None).unwrap()
    });
    let mut told = |indexes: &[usize]| {
        for index in indexes {
            let _ = pack.begin_retire(images[*index].start()).unwrap();
            pack.retired(images[*index]).unwrap();
        }
        pack.begin_sync();
        let mut holes = Vec::new();
        pack.release(u32::MAX, |start, count| holes.push((start, count)));
        holes
    };
    // Before and behind the edge of a word, over it, and next to holes.
    assert_eq!(told(&[1]), [(50, 14)]);
    assert_eq!(told(&[6]), [(260, 3)]);
    assert_eq!(told(&[2]), [(50, 20)]);
    assert_eq!(told(&[5, 7]), [(258, 9)]);
    // Too long.
    assert_eq!(told(&[4]), []);
    assert_eq!(told(&[3]), []);
}

/// What fits nowhere before the fresh run may fit where an image's tail was, if that comes before it
/// in the order from the origin on.
#[test]
fn a_tail_before_the_fresh_run_ends_what_is_known_of_it() {
    for (from, end, keep, kept) in [
        // Before the last image; behind it; before the origin, and up to it.
        (100, 120, 10, false),
        (300, 320, 10, true),
        (50, 70, 10, true),
        (80, 100, 10, true),
        // From before the origin on, and from the origin on.
        (90, 110, 5, false),
        (90, 110, 10, false),
    ] {
        let mut pack = pack(640).with_origin(100);
        let count = ChunkCount::new(end - from);
        let reserved = pack.reserve(count, ChunkCount::ONE, Some(from));
        assert_eq!(reserved, Ok(range(from, end)));
        pack.reserve(ChunkCount::new(8), ChunkCount::ONE, None)
            .unwrap();
        assert_eq!(pack.fresh().least(), 8);
        pack.begin_image(ChunkIdx::new(from), ChunkCount::new(keep))
            .unwrap();
        let least = if kept { 8 } else { u32::MAX };
        assert_eq!(pack.fresh().least(), least, "{from}..{end}, {keep}");
    }
}

/// An image that fills a hole behind the fresh run leaves the run to those that fit in it.
#[test]
fn an_image_elsewhere_leaves_the_fresh_run() {
    let mut pack = pack(640);
    for (from, end) in [(15, 320), (328, 640)] {
        let count = ChunkCount::new(end - from);
        pack.reserve(count, ChunkCount::ONE, Some(from)).unwrap();
    }
    let mut reserve = |count| {
        pack.reserve(ChunkCount::new(count), ChunkCount::ONE, None)
            .unwrap()
    };
    assert_eq!([reserve(2), reserve(6)], [range(0, 2), range(2, 8)]);
    assert_eq!(reserve(8), range(320, 328));
    assert_eq!(pack.reserve_next(ChunkCount::ONE), None);
    let next = pack.reserve_next(ChunkCount::new(2));
    assert_eq!(next, Some(range(8, 10)));
}
