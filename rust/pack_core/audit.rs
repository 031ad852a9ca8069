// SPDX-License-Identifier: GPL-2.0

//! A slow recount of everything that the pool updates in small steps.

use core::ops::DerefMut;
use core::ops::Range;

use crate::bitmap;
use crate::bitmap::WORD_BITS;
use crate::counting::length;
use crate::counting::numbered;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::geometry::Rank;
use crate::pack::Pack;
use crate::pool::Pool;
use crate::pool::Slot;
use crate::runs::Summary;
use crate::state::RangeState;
use crate::stats::Tallies;
use crate::stats::Tally;

/// An error in the records of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The rule that is broken, as a sentence for the log.
    pub what: &'static str,
    /// The slot of the pack that it concerns, if it concerns one.
    pub slot: Option<u32>,
    /// The chunk of that pack that it concerns, if it concerns one.
    pub chunk: Option<u32>,
}

impl Flaw {
    fn of_pool(what: &'static str) -> Self {
        Self {
            what,
            slot: None,
            chunk: None,
        }
    }

    fn of_pack(what: &'static str, slot: u32) -> Self {
        Self {
            what,
            slot: Some(slot),
            chunk: None,
        }
    }
}

/// Returns `flaw` unless `holds`.
fn ensure(holds: bool, flaw: impl FnOnce() -> Flaw) -> Result<(), Flaw> {
    if holds {
        Ok(())
    } else {
        Err(flaw())
    }
}

/// Checks every invariant of a pool and of its packs, chunk by chunk.
///
/// O(chunks · log of a pack) for each pack: some milliseconds.
///
/// # Errors
///
/// The first flaw that it finds.
pub fn check_invariants<S, L>(pool: &Pool<S, L>) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    for (id, pack) in pool.occupied() {
        check_pack(pack, id.slot())?;
        ensure(
            pack.tallies().syncing.ranges == 0 || pool.internals().is_batch_under_way,
            || Flaw::of_pack("ranges are syncing but no batch is under way", id.slot()),
        )?;
    }
    ensure(pool.len() == length(pool.occupied()), || {
        Flaw::of_pool("the number of packs is wrong")
    })?;
    let syncing = pool.internals().syncing().next();
    ensure(
        syncing.is_some() == pool.internals().is_batch_under_way,
        || Flaw::of_pool("no batch is under way but ranges are syncing, or the reverse"),
    )?;
    check_index(pool)?;
    check_list(pool, pool.internals().retired(), RangeState::Retired)?;
    check_list(pool, pool.internals().syncing(), RangeState::Syncing)?;
    let last = pool.internals().retired().last();
    ensure(last == pool.internals().last_retired, || {
        Flaw::of_pool("the end of the list of retired packs is wrong")
    })
}

/// Checks the index across packs.
fn check_index<S, L>(pool: &Pool<S, L>) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    let holes = pool.internals().holes;
    for rank in Rank::all() {
        for (slot, node) in numbered(holes.leaves()..holes.leaves().saturating_mul(2)) {
            let pack = pool.id_of_slot(slot).and_then(|id| pool.pack(id));
            let hole = pack
                .filter(|pack| pack.rank() == rank)
                .map_or(0, |pack| pack.hole_bound().get());
            let known = holes.node(node, rank);
            ensure(known == hole, || {
                Flaw::of_pack("the index across packs has another hole", slot)
            })?;
        }
        for node in 1..holes.leaves() {
            let left = node.saturating_mul(2);
            let larger = holes
                .node(left, rank)
                .max(holes.node(left.saturating_add(1), rank));
            ensure(holes.node(node, rank) == larger, || {
                Flaw::of_pool("a node of the index across packs is not the larger of its children")
            })?;
        }
    }
    Ok(())
}

/// Checks that `list` has exactly the packs with ranges in the state `state`, each of them once.
fn check_list<S, L>(
    pool: &Pool<S, L>,
    list: impl Iterator<Item = u32>,
    state: RangeState,
) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    let has = |pack: &Pack<S>| pack.tallies().of(state).ranges != 0;
    let wanted = length(pool.occupied().filter(|(_, pack)| has(pack)));
    let mut found = 0usize;
    // A pack that is on a list twice makes the list a ring. Walking one step more than there are
    // slots shows that.
    for slot in list.take(pool.internals().slots.len().saturating_add(1)) {
        let pack = pool.id_of_slot(slot).and_then(|id| pool.pack(id));
        ensure(pack.is_some_and(has), || {
            Flaw::of_pack(
                "a list has a pack without ranges in the state of that list",
                slot,
            )
        })?;
        found = found.saturating_add(1);
    }
    ensure(found == wanted, || {
        Flaw::of_pool("a list lacks a pack, or is a ring")
    })
}

/// Checks one pack by looking at every chunk.
fn check_pack<S: DerefMut<Target = [u64]>>(pack: &Pack<S>, slot: u32) -> Result<(), Flaw> {
    let parts = pack.parts();
    let (retired, syncing) = pack.spans();
    let chunks = pack.chunks().get();
    let at = |what, chunk| Flaw {
        what,
        slot: Some(slot),
        chunk: Some(chunk),
    };
    let mut tallies = Tallies::default();
    // The state of the range to which the chunk before belongs.
    let mut current: Option<RangeState> = None;
    for chunk in 0..bitmap::first_bit_of(parts.len()) {
        let used = parts.is_used(chunk);
        let coded = parts.state(chunk).is_some();
        if chunk >= chunks {
            ensure(used && !coded, || {
                at("a chunk beyond the last is free or has a state", chunk)
            })?;
            continue;
        }
        if !used {
            ensure(!coded, || at("a free chunk has a state", chunk))?;
            current = None;
            continue;
        }
        if coded {
            current = parts.state(chunk);
        }
        let spanned = match current.filter(|_| coded) {
            Some(RangeState::Retired) => retired.covers(bitmap::word_of(chunk)),
            Some(RangeState::Syncing) => syncing.covers(bitmap::word_of(chunk)),
            _ => true,
        };
        ensure(spanned, || {
            at(
                "a retired or syncing range starts outside of its span",
                chunk,
            )
        })?;
        let state = current.ok_or(at("a used chunk belongs to no range", chunk))?;
        tallies.add(
            state,
            Tally {
                ranges: u64::from(coded),
                chunks: 1,
            },
        );
    }
    ensure(tallies == *pack.tallies(), || {
        Flaw::of_pack("the counters are wrong", slot)
    })?;
    ensure(parts.tree.len() >= parts.len(), || {
        Flaw::of_pack("the index has too few nodes", slot)
    })?;
    ensure(pack.hole_bound().get() == pack.true_bound(), || {
        Flaw::of_pack("the bound of the holes is not that of the index", slot)
    })?;
    check_fresh(pack, slot)?;
    check_tree(pack, slot)
}

/// Checks the chunks that the index does not know of.
fn check_fresh<S: DerefMut<Target = [u64]>>(pack: &Pack<S>, slot: u32) -> Result<(), Flaw> {
    let (parts, fresh) = (pack.parts(), pack.fresh());
    let used = |chunk| parts.is_used(chunk);
    ensure(fresh.count() <= Fresh::limit(pack.chunks()), || {
        Flaw::of_pack("too many chunks are fresh", slot)
    })?;
    ensure((fresh.start()..fresh.end()).all(used), || {
        Flaw::of_pack("a fresh chunk is free", slot)
    })?;
    // What comes before it, in the order from the origin on.
    let longest = |chunks: Range<u32>| scan(chunks.map(|chunk| !used(chunk))).longest;
    let before = if pack.origin() <= fresh.start() {
        longest(pack.origin()..fresh.start())
    } else {
        longest(pack.origin()..pack.chunks().get()).max(longest(0..fresh.start()))
    };
    ensure(
        fresh.is_empty() || before < fresh.least() || fresh.least() == u32::MAX,
        || Flaw::of_pack("an image fits before the fresh chunks", slot),
    )
}

/// Compares every node of a pack's index with a scan of the chunks under it.
fn check_tree<S: DerefMut<Target = [u64]>>(pack: &Pack<S>, slot: u32) -> Result<(), Flaw> {
    let (parts, runs) = (pack.parts(), pack.runs());
    let leaves = parts.tree.len();
    let (mut first_node, mut span) = (leaves, WORD_BITS);
    while first_node >= 1 {
        for (index, node) in numbered(first_node..first_node.saturating_mul(2)) {
            let first = index.saturating_mul(span);
            let free = (first..first.saturating_add(span)).map(|chunk| {
                let free = !parts.is_used(chunk) || pack.fresh().contains(chunk);
                chunk < pack.chunks().get() && free
            });
            let known = runs.node(node);
            ensure(known == scan(free), || Flaw {
                what: "a node of the index of free runs is wrong",
                slot: Some(slot),
                chunk: Some(first),
            })?;
        }
        first_node /= 2;
        span = span.saturating_mul(2);
    }
    let chunks = ChunkCount::new(pack.chunks().get());
    ensure(
        pack.largest_hole() <= pack.hole_bound() && pack.hole_bound() <= chunks,
        || {
            Flaw::of_pack(
                "the largest hole is larger than its bound or the pack",
                slot,
            )
        },
    )
}

/// Summarises a run of chunks, one at a time.
fn scan(free: impl Iterator<Item = bool>) -> Summary {
    let mut summary = Summary::default();
    let mut only_free = true;
    for free in free {
        if free {
            summary.suffix = summary.suffix.saturating_add(1);
            summary.longest = summary.longest.max(summary.suffix);
        } else {
            summary.suffix = 0;
            only_free = false;
        }
        if only_free {
            summary.prefix = summary.prefix.saturating_add(1);
        }
    }
    summary
}

#[cfg(test)]
mod tests {
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
        let batch = pool.begin_batch().unwrap();
        assert_eq!(pool.release(batch, 1).tally.chunks, 1);
        pool.retired(id, ranges[3]).unwrap();
        let batch = pool.begin_batch().unwrap();
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

    #[test]
    fn the_fresh_chunks_are_checked() {
        let fresh = |pool: &TestPool| {
            let pack = pool.id_of_slot(0).and_then(|id| pool.pack(id));
            pack.map(Pack::fresh).unwrap()
        };
        // Three chunks are fresh, from the second on, and one is free before them.
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
            let batch = pool.begin_batch().unwrap();
            assert_eq!(pool.release(batch, 1).rest, None);
            // One chunk would fit where two became free: these are the next.
            for chunks in [2, 3, 1] {
                let size = ChunkCount::new(chunks).bytes();
                let among = RankSet::ALL;
                let _ = pool.reserve(size, ChunkCount::ONE, among).unwrap();
            }
            pool
        };
        let pool = sound();
        assert_eq!(check_invariants(&pool), Ok(()));
        let is = fresh(&pool);
        assert!(is.count() > 1 && is.start() > 0, "{is:?}");
        let changes: [fn(&mut Fresh); 6] = [
            |fresh| *fresh = Fresh::default(),
            |fresh| *fresh = Fresh::first(fresh.start(), fresh.count() - 1),
            |fresh| *fresh = Fresh::first(fresh.start(), fresh.count() + 1),
            |fresh| *fresh = Fresh::first(fresh.start() + 1, fresh.count() - 1),
            |fresh| *fresh = Fresh::first(fresh.start() - 1, fresh.count() + 1),
            |fresh| *fresh = Fresh::first(fresh.start() - 1, fresh.count()),
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
        assert_eq!((fresh.count(), fresh.least()), (3, 3));
        damage(&mut pool, 0, |pack| pack.fresh_mut().note(2));
        assert!(check_invariants(&pool).is_err());
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
}
