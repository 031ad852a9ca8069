// SPDX-License-Identifier: GPL-2.0

//! The settings of the module.

#![deny(unsafe_code)]

use crate::plan::{
    LeafLimit,
    MAX_PACKS, //
};
use kernel::str::CStr;
use pack_core::ChunkCount;

/// What the module parameters say.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    /// The most packs near the kernel's text; 0 places all packs anywhere.
    pub(crate) near_packs: usize,
    /// Seconds for which an empty pack is kept.
    pub(crate) retain_seconds: u32,
    /// Whether every image goes to a random place of its pack, and not only the first.
    pub(crate) randomize: bool,
    /// The parameters of the test build.
    pub(crate) knobs: Knobs,
}

/// The parameters of the test build (`CONFIG_ARM64_BPF_PACK_TEST`), for the self-tests and the
/// benchmark. A shipped module has the defaults.
#[derive(Clone, Copy)]
pub(crate) struct Knobs {
    /// The largest leaf to ask for.
    pub(crate) leaf: LeafLimit,
    /// The alignment of images, in chunks.
    pub(crate) align: ChunkCount,
    /// The most packs.
    pub(crate) max_packs: usize,
    /// The chunk to which the first image of a pack goes, or [`None`] for a random place.
    pub(crate) origin: Option<u32>,
    /// One more symbol to look up. `insmod` fails if the kernel does not have exactly one of that
    /// name.
    pub(crate) symbol: Option<&'static CStr>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            leaf: LeafLimit::Huge,
            align: ChunkCount::ONE,
            max_packs: MAX_PACKS,
            origin: None,
            symbol: None,
        }
    }
}
