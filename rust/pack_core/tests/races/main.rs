// SPDX-License-Identifier: GPL-2.0

//! The protocols that drop the lock between two calls, in every order in which their steps can
//! happen.
//!
//! A call of the pool is one step, because the caller holds a lock during it. Each action with the
//! lock dropped is a step, too. A test has threads, which are lists of steps, and tries every
//! schedule: a schedule says for each step which thread makes it.

mod actors;
#[path = "../common/mod.rs"]
mod common;
mod freeing;
mod growing;
mod schedules;
mod writing;

use common::HostPool;
use pack_core::ChunkCount;
use pack_core::Error;
use pack_core::RankSet;
use pack_core::Reserved;

/// Reserves `chunks` chunks.
fn reserve(pool: &mut HostPool, chunks: u32) -> Result<Reserved, Error> {
    let size = ChunkCount::new(chunks).bytes();
    pool.reserve(size, ChunkCount::ONE, RankSet::ALL)
}
