// SPDX-License-Identifier: GPL-2.0

//! Tests of the set of packs. Unlike those in `tests/` they see what is private.

use super::batch::Batch;
use super::batch::OpenBatch;
use super::batch::Released;
use super::batch::PACKS_PER_BATCH;
use super::ranges::Reserved;
use super::*;
use crate::audit::check_invariants;
use crate::audit::Flaw;
use crate::geometry::ChunkIdx;
use crate::geometry::MAX_CHUNKS;
use crate::probe;
use crate::state::RangeState;
use crate::state::Taken;
use crate::state::WriteEnd;
use crate::stats::Tally;

mod batches;
mod costs;
mod fitting;
mod packs;
mod room;

pub(crate) type TestPool = Pool<Vec<u64>, Vec<Slot<Vec<u64>>>>;

/// A pool without packs.
pub(crate) fn pool(slots: usize) -> TestPool {
    let index = vec![u64::MAX; TestPool::index_words(slots)];
    let recent = vec![u64::MAX; TestPool::recent_words()];
    Pool::new((0..slots).map(|_| Slot::vacant()).collect(), index, recent).unwrap()
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

/// Releases all of a batch.
fn release(pool: &mut TestPool, batch: Batch) -> Tally {
    let (mut freed, mut left) = (Tally::default(), Some(batch));
    while let Some(batch) = left {
        let Released { tally, rest } = pool.release(batch, u32::MAX);
        freed = freed.plus(tally);
        left = rest;
    }
    freed
}

/// Writes an image to a reserved range, which is then live.
fn make_live(pool: &mut TestPool, reserved: Reserved) {
    let Reserved { pack, range } = reserved;
    assert_eq!(pool.begin_write(pack, range), Ok(RangeState::Reserved));
    assert_eq!(pool.finalize(pack, range), Ok(WriteEnd::Kept));
}

/// Retires a range. No batch is begun.
fn retire(pool: &mut TestPool, reserved: Reserved) {
    let Reserved { pack, range } = reserved;
    let taken = pool.begin_retire(pack, range.start());
    assert_eq!(taken, Ok(Taken::Retiring(range)));
    pool.retired(pack, range).unwrap();
}

/// Changes a pack without the pool's knowledge.
pub(crate) fn damage(pool: &mut TestPool, slot: usize, f: impl FnOnce(&mut Pack<Vec<u64>>)) {
    pool.slots
        .get_mut(slot)
        .and_then(|slot| slot.pack.as_mut())
        .map(f)
        .unwrap();
}
