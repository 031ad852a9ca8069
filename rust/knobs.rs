// SPDX-License-Identifier: GPL-2.0

//! What only the test build (`CONFIG_ARM64_BPF_PACK_TEST`) lets one set; a shipped module has the
//! defaults and no parameter for them.

#![deny(unsafe_code)]

use crate::plan::{
    LeafLimit,
    MAX_PACKS, //
};
use kernel::str::CStr;
use pack_core::ChunkCount;

/// Settings for the self-tests and the benchmark.
#[derive(Clone, Copy)]
pub(crate) struct Knobs {
    /// The largest leaf to ask for.
    pub(crate) leaf: LeafLimit,
    /// Images start at a multiple of this, in chunks.
    pub(crate) align: ChunkCount,
    /// Packs at most.
    pub(crate) max_packs: usize,
    /// No region is ever to be had.
    pub(crate) no_memory: bool,
    /// One more symbol that the kernel must have, exactly once.
    pub(crate) symbol: Option<&'static CStr>,
    /// The hook whose calls the proof ignores: its place in the life of an image, 0 for none.
    pub(crate) deaf_to: u32,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            leaf: LeafLimit::Huge,
            align: ChunkCount::ONE,
            max_packs: MAX_PACKS,
            no_memory: false,
            symbol: None,
            deaf_to: 0,
        }
    }
}
