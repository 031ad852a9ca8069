// SPDX-License-Identifier: GPL-2.0

//! An instance of every function of the crate that the kernel module calls, so that the compiler
//! emits code for all of them. With `--cfg control` there is also a function that can panic.

#![no_std]

#[cfg(feature = "model")]
use pack_core::model;
use pack_core::AddError;
use pack_core::BadSize;
use pack_core::Batch;
use pack_core::ChunkCount;
use pack_core::ChunkIdx;
use pack_core::ChunkRange;
use pack_core::Error;
use pack_core::Flaw;
use pack_core::OpenBatch;
use pack_core::PackId;
use pack_core::PackStats;
use pack_core::PoolStats;
use pack_core::RangeState;
use pack_core::Rank;
use pack_core::RankSet;
use pack_core::Released;
use pack_core::Reserved;
use pack_core::SlotRange;
use pack_core::Taken;
use pack_core::WriteEnd;

pub type Words = &'static mut [u64];
pub type Slot = pack_core::Slot<Words>;
pub type Pack = pack_core::Pack<Words>;
pub type Pool = pack_core::Pool<Words, &'static mut [Slot]>;
#[cfg(feature = "model")]
pub type Shadow =
    model::Shadow<&'static mut [Option<model::ShadowPack>], &'static mut [model::Cell]>;
#[cfg(feature = "model")]
pub type Trial = model::Trial<
    Words,
    &'static mut [Slot],
    &'static mut [Option<model::ShadowPack>],
    &'static mut [model::Cell],
    fn(usize) -> Option<Words>,
>;

/// Wraps calls in functions that the compiler emits although nobody calls them.
macro_rules! emit {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty { $call:expr })+) => {$(
        #[inline(never)]
        pub fn $name($($argument: $type),*) -> $result {
            $call
        }
    )+};
}

emit! {
    pack_new(words: Words, chunks: ChunkCount, rank: Rank) -> Result<Pack, Error> {
        Pack::new(words, chunks, rank)
    }
    with_origin(pack: Pack, origin: u32) -> Pack { pack.with_origin(origin) }
    pack_words(chunks: ChunkCount) -> usize { Pack::words_needed(chunks) }
    pool_new(slots: &'static mut [Slot], index: Words, recent: Words) -> Result<Pool, Error> {
        Pool::new(slots, index, recent)
    }
    pool_words(slots: usize) -> usize { Pool::index_words(slots) }
    pool_recent() -> usize { Pool::recent_words() }
    add(pool: &mut Pool, pack: Pack) -> Result<PackId, AddError<Words>> { pool.add(pack) }
    add_within(
        pool: &mut Pool, pack: Pack, slots: SlotRange
    ) -> Result<PackId, AddError<Words>> {
        pool.add_within(pack, slots)
    }
    take_empty(pool: &mut Pool) -> Option<(PackId, Pack)> {
        pool.take_empty(|_, stats| stats.empty_for > 3)
    }
    age(pool: &mut Pool) -> () { pool.age() }
    reserve(
        pool: &mut Pool, size: usize, align: ChunkCount, among: RankSet
    ) -> Result<Reserved, Error> {
        pool.reserve(size, align, among)
    }
    reserve_fitting(
        pool: &mut Pool, size: usize, align: ChunkCount, among: RankSet
    ) -> Result<Reserved, Error> {
        pool.reserve_fitting(size, align, among)
    }
    reserve_next(pool: &mut Pool, size: usize, among: RankSet) -> Option<Reserved> {
        pool.reserve_next(size, among)
    }
    reserve_from(
        pool: &mut Pool, size: usize, align: ChunkCount, among: RankSet, from: u32
    ) -> Result<Reserved, Error> {
        pool.reserve_from(size, align, among, from)
    }
    reserve_within(
        pool: &mut Pool, size: usize, align: ChunkCount, among: RankSet, slots: SlotRange,
        from: Option<u32>
    ) -> Result<Reserved, Error> {
        pool.reserve_within(size, align, among, slots, from)
    }
    hole_bound(pool: &Pool, among: RankSet) -> ChunkCount { pool.hole_bound(among) }
    may_hold(pool: &Pool, count: ChunkCount, among: RankSet) -> bool {
        pool.may_hold(count, among)
    }
    len(pool: &Pool) -> (usize, bool) { (pool.len(), pool.is_empty()) }
    begin_image(
        pool: &mut Pool, id: PackId, chunk: ChunkIdx, keep: ChunkCount
    ) -> Result<(ChunkRange, ChunkCount), Error> {
        pool.begin_image(id, chunk, keep)
    }
    begin_write(pool: &mut Pool, id: PackId, range: ChunkRange) -> Result<RangeState, Error> {
        pool.begin_write(id, range)
    }
    abort_write(pool: &mut Pool, id: PackId, range: ChunkRange) -> Result<WriteEnd, Error> {
        pool.abort_write(id, range)
    }
    finalize(pool: &mut Pool, id: PackId, range: ChunkRange) -> Result<WriteEnd, Error> {
        pool.finalize(id, range)
    }
    begin_retire(pool: &mut Pool, id: PackId, chunk: ChunkIdx) -> Result<Taken, Error> {
        pool.begin_retire(id, chunk)
    }
    retired(pool: &mut Pool, id: PackId, range: ChunkRange) -> Result<(), Error> {
        pool.retired(id, range)
    }
    begin_batch(pool: &mut Pool) -> Option<OpenBatch> { pool.begin_batch() }
    extend_batch(pool: &mut Pool, open: &mut OpenBatch) -> () { pool.extend_batch(open) }
    close_batch(open: OpenBatch) -> Batch { open.close() }
    release(pool: &mut Pool, batch: Batch, at_most: u32) -> Released {
        pool.release(batch, at_most)
    }
    containing(pool: &Pool, id: PackId, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        pool.containing(id, chunk)
    }
    ranges_from(pool: &Pool, id: PackId, from: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        pool.pack(id)?.ranges_from(from).last()
    }
    range_end(range: ChunkRange) -> ChunkIdx { range.end() }
    generation(id: PackId) -> u32 { id.generation() }
    id_of_slot(pool: &Pool, slot: u32) -> Option<PackId> { pool.id_of_slot(slot) }
    stats(pool: &Pool) -> (PoolStats, u64, u64) {
        (pool.stats(), pool.stats().free_bytes(), pool.stats().largest_hole_bytes())
    }
    pack_stats(pool: &Pool, id: PackId) -> Option<PackStats> { Some(pool.pack(id)?.stats()) }
    occupied(pool: &Pool, f: &mut dyn FnMut(PackId, Rank)) -> () {
        pool.occupied().for_each(|(id, pack)| f(id, pack.rank()))
    }
    check(pool: &Pool) -> Result<(), Flaw> { pack_core::check_invariants(pool) }
    rank_set(set: RankSet, rank: Rank) -> (RankSet, bool) { (set.with(rank), set.contains(rank)) }
    both(one: RankSet, other: RankSet) -> RankSet { one.and(other) }
    offset(offset: usize) -> Option<ChunkIdx> { ChunkIdx::from_byte_offset(offset) }
    holding(size: usize) -> Result<ChunkCount, BadSize> { ChunkCount::holding(size) }
}

#[cfg(feature = "model")]
emit! {
    pack_ranges(pack: &Pack, f: &mut dyn FnMut(RangeState, ChunkRange)) -> () {
        pack.ranges().for_each(|(state, range)| f(state, range))
    }
    packs(pool: &Pool, f: &mut dyn FnMut(PackId, PackStats)) -> () {
        pool.packs().for_each(|(id, stats)| f(id, stats))
    }
    find(pool: &Pool, id: PackId, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        pool.find(id, chunk)
    }
    trial_new(pool: Pool, shadow: Shadow, supply: fn(usize) -> Option<Words>) -> Option<Trial> {
        Trial::new(pool, shadow, supply)
    }
    trial_step(trial: &mut Trial, op: model::Op) -> Result<(), model::Failure> { trial.step(op) }
    trial_verify(trial: &Trial) -> Result<(), model::Failure> { trial.verify() }
    trial_finish(trial: &mut Trial) -> Result<(), model::Failure> { trial.finish() }
}

/// A function with a panic, which the test has to find.
#[cfg(control)]
#[inline(never)]
pub fn control(words: &[u64], index: usize) -> u64 {
    words[index]
}
