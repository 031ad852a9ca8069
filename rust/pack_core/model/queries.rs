// SPDX-License-Identifier: GPL-2.0

//! Questions about a pool that tests ask and the kernel module does not.

use core::ops::DerefMut;

use crate::bitmap;
use crate::geometry::ChunkIdx;
use crate::geometry::ChunkRange;
use crate::geometry::PackId;
use crate::pack::parts::Group;
use crate::pack::Pack;
use crate::pool::Pool;
use crate::pool::Slot;
use crate::state::RangeState;
use crate::stats::PackStats;

impl ChunkIdx {
    /// Makes the number of the chunk that has `index` chunks before it.
    pub const fn nth(index: u32) -> Self {
        Self::new(index)
    }
}

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Visits all ranges with their states, lowest first. O(words) for all of them.
    pub fn ranges(&self) -> impl Iterator<Item = (RangeState, ChunkRange)> + '_ {
        let parts = self.parts();
        let words = 0..bitmap::words_for(self.chunks().get());
        words
            .flat_map(move |index| {
                let first = bitmap::first_bit_of(index);
                let starts = Group::read(parts.groups, index).map_or(0, Group::starts);
                bitmap::ones(starts).map(move |bit| first.saturating_add(bit))
            })
            .filter_map(|start| self.find(ChunkIdx::new(start)))
    }
}

impl<S: DerefMut<Target = [u64]>> Pack<S> {
    /// Returns what the pack knows of the chunks that are set aside: the first, the one after the
    /// last used one, the one after the last, and the smallest number of chunks that fits nowhere
    /// before them.
    pub fn unindexed(&self) -> [u32; 4] {
        let fresh = self.fresh();
        [fresh.start(), fresh.end(), fresh.stop(), fresh.least()]
    }
}

impl<S, L> Pool<S, L>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    /// Returns the number of slots.
    pub fn capacity(&self) -> usize {
        self.internals().slots.len()
    }

    /// Tells whether a batch was begun and is not released completely.
    pub fn is_batch_under_way(&self) -> bool {
        self.internals().is_batch_under_way
    }

    /// Returns the range that starts at `chunk`, with its state. O(range/64).
    pub fn find(&self, id: PackId, chunk: ChunkIdx) -> Option<(RangeState, ChunkRange)> {
        self.pack(id)?.find(chunk)
    }

    /// Visits the figures of all packs, lowest slot first. O(slots up to the last pack).
    pub fn packs(&self) -> impl Iterator<Item = (PackId, PackStats)> + '_ {
        self.occupied().map(|(id, pack)| (id, pack.stats()))
    }
}
