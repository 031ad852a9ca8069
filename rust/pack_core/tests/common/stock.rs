// SPDX-License-Identifier: GPL-2.0

//! The stock allocator of Linux 7.3 (`bpf_prog_pack_alloc()` and `bpf_prog_pack_free()` in
//! kernel/bpf/core.c): first fit from bit 0 over a linear list of packs.
//!
//! Predictor flushes, which prefer packs by `was_classic`, are never enabled on arm64 and left out.

use pack_core::CHUNK_SIZE;

/// A pack, with one flag for each chunk.
struct Pack {
    /// A number that is never used again.
    name: usize,
    /// Which chunks are used.
    bits: Vec<bool>,
    /// So many chunks in a row were not to be had since the last free. Only saves searches.
    refuses: usize,
}

/// What the stock allocator does.
pub struct Stock {
    /// The packs in the order of the list.
    packs: Vec<Pack>,
    /// The name of the next pack.
    next: usize,
    /// Chunks in a pack.
    chunks: usize,
}

impl Stock {
    pub fn new(chunks: u32) -> Self {
        Self {
            packs: Vec::new(),
            next: 0,
            chunks: chunks as usize,
        }
    }

    /// The lowest place of `count` clear bits.
    fn next_zero_area(bits: &[bool], count: usize) -> Option<usize> {
        let mut start = 0;
        while start + count <= bits.len() {
            match bits[start..start + count].iter().rposition(|bit| *bit) {
                Some(last) => start += last + 1,
                None => return Some(start),
            }
        }
        None
    }

    /// Takes chunks for `size` bytes and returns the pack and the first chunk.
    pub fn alloc(&mut self, size: usize) -> (usize, usize) {
        let count = size.div_ceil(CHUNK_SIZE);
        for pack in self.packs.iter_mut().filter(|pack| count < pack.refuses) {
            if let Some(start) = Self::next_zero_area(&pack.bits, count) {
                pack.bits[start..start + count].fill(true);
                return (pack.name, start);
            }
            pack.refuses = count;
        }
        let mut bits = vec![false; self.chunks];
        bits[..count].fill(true);
        self.packs.push(Pack {
            name: self.next,
            bits,
            refuses: usize::MAX,
        });
        self.next += 1;
        (self.next - 1, 0)
    }

    /// Where a pack is in the list.
    pub fn position(&self, name: usize) -> Option<usize> {
        self.packs.iter().position(|pack| pack.name == name)
    }

    /// Frees chunks; an empty pack goes at once.
    pub fn free(&mut self, name: usize, start: usize, size: usize) {
        let index = self.position(name).unwrap();
        let pack = &mut self.packs[index];
        pack.bits[start..start + size.div_ceil(CHUNK_SIZE)].fill(false);
        pack.refuses = usize::MAX;
        if pack.bits.iter().all(|bit| !bit) {
            self.packs.remove(index);
        }
    }

    /// Tells whether freeing `size` bytes at `start` takes a pack out before the end of the list.
    pub fn leaves_a_gap(&self, name: usize, size: usize) -> bool {
        let index = self.position(name).unwrap();
        let used = self.packs[index].bits.iter().filter(|bit| **bit).count();
        used == size.div_ceil(CHUNK_SIZE) && index + 1 < self.packs.len()
    }

    /// How many packs there are.
    pub fn packs(&self) -> usize {
        self.packs.len()
    }

    /// Tells which chunks are used, pack by pack in the order of the list.
    pub fn layout(&self) -> Vec<Vec<bool>> {
        self.packs.iter().map(|pack| pack.bits.clone()).collect()
    }
}
