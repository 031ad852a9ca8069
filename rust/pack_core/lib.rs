// SPDX-License-Identifier: GPL-2.0

//! The decisions of a program-pack allocator, over plain integers.
//!
//! Programs of a JIT live in *packs*: 2 MiB of memory, mapped read-only and executable by one
//! block. This crate keeps the records of packs. It knows nothing of addresses, mappings, caches or
//! CPUs. It never allocates, sleeps or panics, and it has no `unsafe` code. So the same files run
//! in the kernel and in tests on any host.
//!
//! # Vocabulary
//!
//! - A **chunk** is 64 bytes, the unit of allocation ([`ChunkIdx`], [`ChunkCount`]).
//! - A **pack** is a number of chunks, normally 32,768 ([`Pack`]); images of more than 2 MiB have
//!   larger packs. Its **rank** is the caller's preference for it ([`Rank`]).
//! - A **range** is a run of chunks of one pack that was reserved as a whole ([`ChunkRange`]). Its
//!   first chunk identifies it.
//! - A **hole** is a run of free chunks.
//! - A **pool** is a set of packs, each in a **slot** ([`Pool`], [`PackId`]). Packs that have
//!   something in common can be in slots that are neighbours ([`SlotRange`]).
//! - A **batch** is a set of ranges that wait for the same synchronisation of all CPUs ([`Batch`]).
//!
//! # Life of a range
//!
//! [`RangeState`] has a diagram of the states.
//!
//! `begin_image`, `begin_write` and `begin_retire` give the caller the right to do a piece of work. All other
//! calls report work that the caller has done:
//!
//! - `begin_image` or `begin_write`, copy the image and make it visible, `finalize`;
//! - `begin_retire`, write traps and make them visible, `retired`;
//! - `begin_batch`, `extend_batch` while there is room, `close`, synchronise all CPUs, `release`.
//!
//! The caller does this work with no lock held.
//!
//! A range that is freed while a task writes to it becomes *doomed*. The writer learns that at the
//! end of its copy ([`WriteEnd`]). It then writes the traps and calls `retired`, instead of the
//! task that freed the range ([`Taken`]).
//!
//! A batch has a limited number of packs ([`PACKS_PER_BATCH`]) and takes a few with each call.
//! `release` frees at most as many ranges as the caller says and returns the rest of the batch
//! ([`Released`]). So no call takes long under the caller's lock.
//!
//! # Invariants
//!
//! - Ranges never overlap and never leave their pack.
//! - A chunk is free if and only if no range has it. Chunks of a range become free only when the
//!   range is released, or when they are left over at `begin_image`, before anybody could
//!   branch there.
//! - Only one task at a time copies to a range or fills it with traps. If a range is freed while a
//!   task writes to it, that task fills it with traps.
//! - A range is released only by a batch that took its pack after the range was retired. One that
//!   is retired later, while that batch is under way, waits for the next.
//! - A refused operation changes nothing. Freeing (`begin_retire`, `retired`, `begin_batch`,
//!   `release`) needs no memory, and cannot fail for a range that is allocated and was not freed
//!   before.
//!
//! [`check_invariants`] recounts all of this.
//!
//! # Policy
//!
//! First fit ([`Pool::reserve`]): a reservation takes the lowest hole that fits, in the first pack
//! with room, of the best rank with room among those that the caller names. So low packs fill, and
//! high packs drain and can be removed. `runs.rs` and `tournament.rs` describe the indexes that make
//! this fast. [`Pool::reserve_fitting`] takes a short hole of that rank first, if one that fits is
//! known (`recent.rs`).
//!
//! # Example
//!
//! ```
//! use pack_core::{ChunkCount, Error, OpenBatch, Pack, Pool, Rank, RankSet, Released, Reserved};
//! use pack_core::{Slot, Taken, WriteEnd, PACK_CHUNKS};
//!
//! // The caller lends all storage: here a `Vec`, in the kernel a `KVec`.
//! type Words = Vec<u64>;
//! type Slots = Vec<Slot<Words>>;
//!
//! let slots: Slots = (0..1024).map(|_| Slot::vacant()).collect();
//! let index = vec![0; Pool::<Words, Slots>::index_words(1024)];
//! let recent = vec![0; Pool::<Words, Slots>::recent_words()];
//! let mut pool = Pool::new(slots, index, recent)?;
//!
//! // There is no pack yet. The caller makes one with no lock held, adds it and asks again.
//! let refused = pool.reserve(1000, ChunkCount::ONE, RankSet::ALL);
//! assert_eq!(refused, Err(Error::NeedPack(ChunkCount::new(16))));
//! let storage = vec![0; Pack::<Words>::words_needed(PACK_CHUNKS)];
//! let pack = Pack::new(storage, PACK_CHUNKS, Rank::BEST)?;
//! pool.add(pack).map_err(|failed| failed.error)?;
//! let Reserved { pack, range } = pool.reserve(1000, ChunkCount::ONE, RankSet::ALL)?;
//! assert_eq!((range.start().get(), range.count().get()), (0, 16));
//!
//! // The image is smaller than what was reserved: the caller keeps a part of the range.
//! let (range, freed) = pool.begin_image(pack, range.start(), ChunkCount::holding(700)?)?;
//! assert_eq!((range.count().get(), freed.get()), (11, 5));
//! /* Here the caller copies the image. Nobody else can write there meanwhile. */
//! assert!(pool.begin_write(pack, range).is_err());
//! assert_eq!(pool.finalize(pack, range)?, WriteEnd::Kept);
//!
//! // Freeing: write traps, synchronise all CPUs, and only then use the memory again.
//! assert_eq!(pool.begin_retire(pack, range.start())?, Taken::Retiring(range));
//! /* Here the caller writes the traps. */
//! pool.retired(pack, range)?;
//! let mut rest = pool.begin_batch().map(OpenBatch::close);
//! /* Here the caller synchronises all CPUs. */
//! while let Some(batch) = rest {
//!     let released: Released = pool.release(batch, 64);
//!     /* Here the caller drops its lock, so that others can take it. */
//!     rest = released.rest;
//! }
//! assert_eq!(pool.hole_bound(RankSet::ALL), PACK_CHUNKS);
//! # Ok::<(), Error>(())
//! ```

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// In the kernel a panic is a BUG(). Tests may panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

mod audit;
mod bitmap;
mod counting;
mod error;
mod fresh;
mod geometry;
#[cfg(any(test, feature = "model"))]
pub mod model;
mod pack;
mod pool;
mod probe;
mod recent;
mod runs;
mod state;
mod stats;
mod tournament;

pub use audit::check_invariants;
pub use audit::Flaw;
pub use error::Error;
pub use geometry::BadSize;
pub use geometry::ChunkCount;
pub use geometry::ChunkIdx;
pub use geometry::ChunkRange;
pub use geometry::PackId;
pub use geometry::Rank;
pub use geometry::RankSet;
pub use geometry::SlotRange;
pub use geometry::CHUNK_SIZE;
pub use geometry::MAX_CHUNKS;
pub use geometry::PACK_CHUNKS;
pub use geometry::PACK_SIZE;
pub use pack::Pack;
pub use pool::batch::Batch;
pub use pool::batch::OpenBatch;
pub use pool::batch::Released;
pub use pool::batch::PACKS_PER_BATCH;
pub use pool::ranges::Reserved;
pub use pool::AddError;
pub use pool::Pool;
pub use pool::Slot;
pub use pool::MAX_SLOTS;
pub use state::RangeState;
pub use state::Taken;
pub use state::WriteEnd;
pub use stats::PackStats;
pub use stats::PoolStats;
pub use stats::Tallies;
pub use stats::Tally;
