// SPDX-License-Identifier: GPL-2.0

//! Decisions of a program-pack allocator, over plain integers.
//!
//! Programs of a JIT live in *packs*: 2 MiB of memory that is mapped read-only and executable as
//! one block. This crate keeps the books. It knows nothing of addresses, mappings, caches or CPUs;
//! it never allocates, sleeps or panics, and it contains no `unsafe` code. So it runs as it is in
//! the kernel and in tests on any host.
//!
//! # Vocabulary
//!
//! - A **chunk** is 64 bytes, the unit of everything ([`ChunkIdx`], [`ChunkCount`]).
//! - A **pack** is a number of chunks, normally 32,768 ([`Pack`]); larger ones hold images above 2
//!   MiB. Its **rank** says how good a home it is ([`Rank`]).
//! - A **range** is a run of chunks of one pack that was handed out as a whole ([`ChunkRange`]).
//!   Its first chunk is its identity.
//! - A **pool** is a set of packs, each in a **slot** ([`Pool`], [`PackId`]).
//! - A **batch** is all ranges that wait for one and the same synchronisation of all CPUs
//!   ([`Batch`]).
//!
//! # Life of a range
//!
//! [`RangeState`] has a picture of it.
//!
//! The caller does what a step stands for *before* it tells the pool about it, except for
//! `begin_write` and `begin_retire`, which are how it becomes the one that does it: `begin_write`,
//! copy the image, make it visible, `finalize`; `begin_retire`, write traps, make them visible,
//! `retired`; `begin_batch`, synchronise all CPUs, `release`. All of that happens with no lock
//! held.
//!
//! A range that is freed while it is being written is *doomed*: the writer learns of it at the end
//! of the copy ([`WriteEnd`]), and writes the traps and calls `retired` in place of the one that
//! freed it ([`Taken`]).
//!
//! What takes long under the caller's lock comes in slices: a batch has a limited number of packs
//! ([`PACKS_PER_BATCH`]), and `release` frees as many ranges as the caller allows, and hands the
//! batch back while something of it is left ([`Released`]).
//!
//! # Invariants
//!
//! - Ranges never overlap and never leave their pack.
//! - A chunk is free if and only if no range has it. It can be handed out only if no range has had
//!   it since the pack was added, or if the last one was released, or trimmed, which is only
//!   possible before anything could branch there.
//! - One at a time copies to a range or fills it with traps: a range that is being written can be
//!   written to by nobody else, and if it is freed, the writer fills it with traps.
//! - A range is released only by a batch that was begun after the range was retired. A range that
//!   is retired while a batch is under way waits for the next one.
//! - A refused operation changes nothing. Freeing (`begin_retire`, `retired`, `begin_batch`,
//!   `release`) needs no memory and cannot fail on a range that is allocated and was not freed yet.
//! - [`check_invariants`] recounts all of it.
//!
//! # Policy
//!
//! First fit: the lowest place in the first pack of the best rank that has room, of the ranks that
//! the caller names. Low packs fill, high packs drain and can be taken out. The indexes that make
//! this fast are described in `runs.rs` and `tournament.rs`.
//!
//! # Example
//!
//! ```
//! use pack_core::{ChunkCount, Error, Pack, Pool, Rank, RankSet, Released, Reserved, Slot};
//! use pack_core::{Taken, WriteEnd, PACK_CHUNKS};
//!
//! // All storage is lent by the caller: here by `Vec`, in the kernel by `KVec`.
//! type Words = Vec<u64>;
//! type Slots = Vec<Slot<Words>>;
//!
//! let slots: Slots = (0..1024).map(|_| Slot::vacant()).collect();
//! let index = vec![0; Pool::<Words, Slots>::index_words(1024)];
//! let mut pool = Pool::new(slots, index)?;
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
//! // The image turns out to be smaller; then it is copied there, and is live.
//! let range = pool.trim(pack, range, ChunkCount::holding(700)?)?;
//! pool.begin_write(pack, range)?;
//! /* Here the caller copies the image. Until it is done nobody else can write there. */
//! assert!(pool.begin_write(pack, range).is_err());
//! assert_eq!(pool.finalize(pack, range)?, WriteEnd::Kept);
//!
//! // Freeing: traps, synchronise all CPUs, and only then use the memory again.
//! assert_eq!(pool.begin_retire(pack, range.start())?, Taken::Retiring(range));
//! /* Here the caller writes the traps. */
//! pool.retired(pack, range)?;
//! let mut rest = pool.begin_batch();
//! /* Here the caller synchronises all CPUs. */
//! while let Some(batch) = rest {
//!     let released: Released = pool.release(batch, 64);
//!     /* Here the caller lets others have the lock. */
//!     rest = released.rest;
//! }
//! assert_eq!(pool.largest_hole(RankSet::ALL), PACK_CHUNKS);
//! # Ok::<(), Error>(())
//! ```

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
// A panic is a BUG() in the kernel. Tests may.
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
mod geometry;
#[cfg(any(test, feature = "model"))]
pub mod model;
mod pack;
mod pool;
mod probe;
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
pub use geometry::CHUNK_SIZE;
pub use geometry::MAX_CHUNKS;
pub use geometry::PACK_CHUNKS;
pub use geometry::PACK_SIZE;
pub use pack::Pack;
pub use pool::batch::Batch;
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
