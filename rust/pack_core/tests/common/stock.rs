// SPDX-License-Identifier: GPL-2.0

//! The stock allocator of Linux 7.3 (`bpf_prog_pack_alloc()` and `bpf_prog_pack_free()` in
//! kernel/bpf/core.c): first fit from bit 0 over a linear list of packs.
//!
//! It leaves out predictor flushes, which prefer packs by `was_classic`: arm64 never enables them.

use pack_core::CHUNK_SIZE;

/// A pack, with one flag for each chunk.
struct Pack {
    /// A number that no other pack gets.
    name: usize,
    /// Whether each chunk is used.
    bits: Vec<bool>,
    /// The smallest number of chunks that did not fit since the last free. It only saves searches.
    refuses: usize,
}

/// The stock allocator.
pub struct Stock {
    /// The packs in the order of the list.
    packs: Vec<Pack>,
    /// The name of the next pack.
    next: usize,
    /// The number of chunks in a pack.
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

    /// Returns the lowest index at which `count` clear bits start.
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

    /// Allocates chunks for `size` bytes. Returns the pack and the first chunk.
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

    /// Returns the index of a pack in the list.
    pub fn position(&self, name: usize) -> Option<usize> {
        self.packs.iter().position(|pack| pack.name == name)
    }

    /// Frees chunks. Removes the pack at once if it is empty.
    pub fn free(&mut self, name: usize, start: usize, size: usize) {
        let index = self.position(name).unwrap();
        let pack = &mut self.packs[index];
        pack.bits[start..start + size.div_ceil(CHUNK_SIZE)].fill(false);
        pack.refuses = usize::MAX;
        if pack.bits.iter().all(|bit| !bit) {
            self.packs.remove(index);
        }
    }

    /// Tells whether freeing `size` bytes at `start` removes a pack that is not the last of the
    /// list.
    pub fn leaves_a_gap(&self, name: usize, size: usize) -> bool {
        let index = self.position(name).unwrap();
        let used = self.packs[index].bits.iter().filter(|bit| **bit).count();
        used == size.div_ceil(CHUNK_SIZE) && index + 1 < self.packs.len()
    }

    /// Returns the number of packs.
    pub fn packs(&self) -> usize {
        self.packs.len()
    }

    /// Returns which chunks are used, pack by pack in the order of the list.
    pub fn layout(&self) -> Vec<Vec<bool>> {
        self.packs.iter().map(|pack| pack.bits.clone()).collect()
    }
}
