// SPDX-License-Identifier: GPL-2.0

//! Code that the host tests share: pools and trials over `Vec`.

#![allow(dead_code, unreachable_pub)]

pub mod stock;

use pack_core::model::Cell;
use pack_core::model::Failure;
use pack_core::model::Generator;
use pack_core::model::Limits;
use pack_core::model::Op;
use pack_core::model::Shadow;
use pack_core::model::ShadowPack;
use pack_core::model::Trial;
use pack_core::Batch;
use pack_core::ChunkCount;
use pack_core::ChunkRange;
use pack_core::Pack;
use pack_core::PackId;
use pack_core::Pool;
use pack_core::RangeState;
use pack_core::Rank;
use pack_core::Released;
use pack_core::Slot;
use pack_core::Tallies;
use pack_core::Tally;
use pack_core::WriteEnd;

pub type Words = Vec<u64>;
pub type Slots = Vec<Slot<Words>>;
pub type HostPool = Pool<Words, Slots>;
pub type HostPack = Pack<Words>;
pub type HostTrial =
    Trial<Words, Slots, Vec<Option<ShadowPack>>, Vec<Cell>, fn(usize) -> Option<Words>>;

/// A pool without packs.
pub fn pool(slots: usize) -> HostPool {
    // The content of the storage is arbitrary.
    let index = vec![0xa5a5_a5a5_5a5a_5a5a; HostPool::index_words(slots)];
    let recent = vec![0xa5a5_a5a5_5a5a_5a5a; HostPool::recent_words()];
    Pool::new((0..slots).map(|_| Slot::vacant()).collect(), index, recent).unwrap()
}

/// An empty pack.
pub fn pack(chunks: u32, rank: u8) -> HostPack {
    let chunks = ChunkCount::new(chunks);
    let storage = words(HostPack::words_needed(chunks)).unwrap();
    Pack::new(storage, chunks, Rank::new(rank).unwrap()).unwrap()
}

/// Writes an image to a reserved range, which is then live.
pub fn make_live(pool: &mut HostPool, pack: PackId, range: ChunkRange) {
    assert_eq!(pool.begin_write(pack, range), Ok(RangeState::Reserved));
    assert_eq!(pool.finalize(pack, range), Ok(WriteEnd::Kept));
}

/// The number of a range's first chunk.
pub fn start(range: ChunkRange) -> usize {
    range.start().get() as usize
}

/// The number after that of a range's last chunk.
pub fn end(range: ChunkRange) -> usize {
    start(range) + range.count().as_usize()
}

/// The sum over all states.
pub fn total(tallies: &Tallies) -> Tally {
    tallies
        .live
        .plus(tallies.unfinished())
        .plus(tallies.dying())
}

/// Whether a pool has no range.
pub fn is_all_free(pool: &HostPool) -> bool {
    total(&pool.stats().tallies) == Tally::default()
}

/// Releases all of a batch.
pub fn release(pool: &mut HostPool, batch: Batch) -> Tally {
    let (mut freed, mut left) = (Tally::default(), Some(batch));
    while let Some(batch) = left {
        let Released { tally, rest } = pool.release(batch, u32::MAX);
        freed = freed.plus(tally);
        left = rest;
    }
    freed
}

/// Words with arbitrary content.
pub fn words(count: usize) -> Option<Words> {
    Some(vec![0x5a5a_a5a5_dead_beef; count])
}

/// A pool with its shadow.
pub fn trial(slots: usize, chunks: u32) -> HostTrial {
    let cells = vec![Cell::default(); slots * chunks as usize];
    let shadow = Shadow::new(vec![None; slots], cells, ChunkCount::new(chunks)).unwrap();
    Trial::new(pool(slots), shadow, words as fn(usize) -> Option<Words>).unwrap()
}

/// Applies all operations, and then frees everything. Returns the step that failed, and the
/// failure.
pub fn replay(limits: &Limits, ops: &[Op]) -> Result<(), (usize, Failure)> {
    let mut trial = trial(limits.slots as usize, limits.chunks);
    for (step, op) in ops.iter().enumerate() {
        let result = trial.step(*op).and_then(|()| trial.verify());
        result.map_err(|failure| (step, failure))?;
    }
    trial.finish().map_err(|failure| (ops.len(), failure))
}

/// Removes operations, in ever smaller pieces, as long as the rest still fails.
pub fn shrink(ops: &[Op], fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut ops = ops.to_vec();
    let mut piece = ops.len() / 2;
    while piece > 0 {
        let mut start = 0;
        while start < ops.len() {
            let mut fewer = ops.clone();
            fewer.drain(start..(start + piece).min(ops.len()));
            if fails(&fewer) {
                ops = fewer;
            } else {
                start += piece;
            }
        }
        piece /= 2;
    }
    ops
}

/// The seeds to try: only `SEED` from the environment if it is set, otherwise `count` fixed ones.
pub fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..count).collect(),
    }
}

/// Runs `steps` operations from each seed. If they fail, it panics with the seed and with a short
/// sequence that fails, too.
#[track_caller]
pub fn check_seeds(limits: Limits, count: u64, steps: usize) {
    for seed in seeds(count) {
        let mut generator = Generator::new(seed, limits);
        let ops: Vec<Op> = (0..steps).map(|_| generator.next()).collect();
        if let Err((step, failure)) = replay(&limits, &ops) {
            let short = shrink(&ops, |ops| replay(&limits, ops).is_err());
            let (_, shrunk) = replay(&limits, &short).unwrap_err();
            panic!(
                "\nSEED={seed}: step {step}: {failure:?}\n{limits:?}\n\
                 {} operations suffice ({shrunk:?}):\n{short:#?}",
                short.len()
            );
        }
    }
}
