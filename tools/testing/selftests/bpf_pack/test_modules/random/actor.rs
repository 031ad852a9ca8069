// SPDX-License-Identifier: GPL-2.0

//! One thread with its images.

use crate::memory::{
    Image,
    State, //
};
use crate::sys;
use core::ptr::null;
use kernel::prelude::*;
use pack_core::model::{
    Generator,
    Limits,
    Op, //
};
use pack_core::{
    CHUNK_SIZE,
    PACK_SIZE, //
};

/// The most images that a thread has at a time.
const MAX_IMAGES: usize = 2048;
/// The most bytes that a thread has at a time: 64 MiB.
const MAX_BYTES: usize = 64 << 20;
/// The largest image: 4 MiB, which has a region to itself.
const MAX_SIZE: usize = 4 << 20;
/// The largest image that the generator makes by itself, in chunks: 256 KiB. Most are below 4 KiB.
const MODEL_CHUNKS: u32 = 4096;
/// One image of this many is larger.
const LARGE_ONE_IN: u32 = 1024;
/// An address that no kernel maps.
const UNREADABLE: usize = 8;
/// One in 256 operations that abort a write copies from an unreadable address: the module logs each.
const SELDOM: u32 = 256;

/// What came of the operations.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) images: u64,
    pub(crate) finalized: u64,
    pub(crate) misuses: u64,
    /// Allocations that were refused, for good reasons or for lack of memory.
    pub(crate) refused: u64,
    /// Answers that should have been others.
    pub(crate) wrong: u64,
}

/// A thread's operations and its images.
pub(crate) struct Actor {
    generator: Generator,
    /// Steps of one round.
    steps: u32,
    images: KVVec<Image>,
    bytes: usize,
    /// The words that are copied.
    source: KVVec<u32>,
    next_word: u32,
    pub(crate) tally: Tally,
}

// SAFETY: An actor is addresses, numbers and vectors.
unsafe impl Send for Actor {}

impl Actor {
    /// Makes an actor that does `steps` operations in a round.
    pub(crate) fn new(seed: u64, steps: u32) -> Result<Self> {
        let limits = Limits {
            slots: 1,
            chunks: MODEL_CHUNKS,
            any_chunks: false,
            any_rank: false,
            align: 0,
            image: 0,
        };
        Ok(Self {
            generator: Generator::new(seed, limits),
            steps,
            images: KVVec::with_capacity(MAX_IMAGES, GFP_KERNEL)?,
            bytes: 0,
            source: KVVec::from_elem(0, MAX_SIZE / size_of::<u32>(), GFP_KERNEL)?,
            // CAST: The lower half differs between threads.
            next_word: (seed as u32).wrapping_mul(0x0100_0193),
            tally: Tally::default(),
        })
    }

    /// Its images.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.iter()
    }

    /// Does the operations of one round.
    pub(crate) fn run(&mut self) {
        for _ in 0..self.steps {
            let op = self.generator.next();
            self.step(op);
            self.tally.steps = self.tally.steps.saturating_add(1);
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Reserve { size, .. } => {
                if self.images.len() < MAX_IMAGES && self.bytes < MAX_BYTES {
                    self.alloc(size);
                } else if let Some(index) = self.nth(size, |_| true) {
                    self.free(index);
                }
            }
            Op::BeginWrite { nth } | Op::Finalize { nth } => {
                if let Some(index) = self.nth(nth, |state| state == State::Reserved) {
                    self.finalize(index, nth);
                }
            }
            Op::BeginRetire { nth } | Op::Retired { nth } => {
                if let Some(index) = self.nth(nth, |state| state == State::Live) {
                    self.free(index);
                }
            }
            Op::Abandon { nth } => {
                if let Some(index) = self.nth(nth, |state| state == State::Reserved) {
                    self.free(index);
                }
            }
            Op::Rewrite { nth } => {
                if let Some(index) = self.nth(nth, |state| state == State::Live) {
                    self.finalize_again(index);
                }
            }
            Op::AbortWrite { nth } => {
                let reserved = self.nth(nth, |state| state == State::Reserved);
                if let Some(index) = reserved.filter(|_| nth % SELDOM == 0) {
                    self.finalize_unreadable(index);
                }
            }
            Op::Meddle { start, count, .. } => self.meddle(start, count),
            _ => sys::yield_cpu(),
        }
    }

    /// The index of the `nth` image, counted around, from which on the first in the wanted state is
    /// taken.
    fn nth(&self, nth: u32, wanted: impl Fn(State) -> bool) -> Option<usize> {
        let len = self.images.len();
        let from = (nth as usize).checked_rem(len)?;
        let mut around = Iterator::chain(from..len, 0..from);
        around.find(|index| self.state_of(*index).is_some_and(&wanted))
    }

    fn state_of(&self, index: usize) -> Option<State> {
        Some(self.images.get(index)?.state)
    }

    fn expect(&mut self, what: &str, holds: bool) {
        if !holds {
            pr_err!("wrong answer: {what}\n");
            self.tally.wrong = self.tally.wrong.saturating_add(1);
        }
    }

    fn alloc(&mut self, size: u32) {
        let size = match size % LARGE_ONE_IN {
            1 => MAX_SIZE as u32,
            2 => PACK_SIZE as u32,
            3 => size.saturating_mul(5).min(MAX_SIZE as u32),
            _ => size,
        };
        let address = sys::alloc(size);
        if address == 0 {
            self.tally.refused = self.tally.refused.saturating_add(1);
            return;
        }
        self.expect("an image of size 0", size != 0);
        self.expect("an image that is not aligned", address % CHUNK_SIZE == 0);
        let len = (size as usize).next_multiple_of(CHUNK_SIZE);
        self.next_word = self.next_word.wrapping_add(0x9e37_79b9);
        let image = Image {
            address,
            len,
            used: 0,
            word: self.next_word,
            state: State::Reserved,
        };
        if self.images.push_within_capacity(image).is_ok() {
            self.bytes = self.bytes.saturating_add(len);
            self.tally.images = self.tally.images.saturating_add(1);
        }
    }

    /// Finalizes with as many words as `nth` says: all, or fewer.
    fn finalize(&mut self, index: usize, nth: u32) {
        let Some(image) = self.images.get(index).copied() else {
            return;
        };
        let words = (image.len / size_of::<u32>()).min(self.source.len());
        let used = if nth % 2 == 0 {
            words
        } else {
            (nth as usize)
                .checked_rem(words)
                .map_or(1, |words| words + 1)
        };
        let filled = Image {
            used: used * size_of::<u32>(),
            state: State::Live,
            len: (used * size_of::<u32>()).next_multiple_of(CHUNK_SIZE),
            ..image
        };
        for (at, word) in self.source.iter_mut().take(used).enumerate() {
            *word = filled.word_at(at);
        }
        // What makes no sense is refused first, and changes nothing.
        for size in [0, filled.used + 1, image.len + size_of::<u32>()] {
            if nth % 16 == 3 {
                let answer = sys::finalize(image.address, self.source.as_ptr() as usize, size);
                self.expect("finalize with a wrong size", answer == EINVAL.to_errno());
                self.tally.misuses = self.tally.misuses.saturating_add(1);
            }
        }
        let answer = sys::finalize(image.address, self.source.as_ptr() as usize, filled.used);
        self.expect("finalize of a reserved image", answer == 0);
        self.bytes = self
            .bytes
            .saturating_sub(image.len.saturating_sub(filled.len));
        if let Some(image) = self.images.get_mut(index) {
            *image = filled;
        }
        self.tally.finalized = self.tally.finalized.saturating_add(1);
    }

    fn finalize_again(&mut self, index: usize) {
        let Some(image) = self.images.get(index).copied() else {
            return;
        };
        let answer = sys::finalize(image.address, self.source.as_ptr() as usize, image.used);
        self.expect("finalize of a live image", answer == EBUSY.to_errno());
        self.tally.misuses = self.tally.misuses.saturating_add(1);
    }

    fn finalize_unreadable(&mut self, index: usize) {
        let Some(image) = self.images.get(index).copied() else {
            return;
        };
        let answer = sys::finalize(image.address, UNREADABLE, image.len);
        self.expect("finalize from nowhere", answer == EFAULT.to_errno());
        self.tally.misuses = self.tally.misuses.saturating_add(1);
        self.free(index);
    }

    /// Calls everything with addresses where no image of anybody starts.
    fn meddle(&mut self, start: u32, count: u32) {
        let inside = self.nth(start, |_| true).and_then(|index| {
            let image = self.images.get(index)?;
            let step = (count as usize).checked_mul(4)?.checked_add(4)?;
            (step < image.len).then(|| image.address + step)
        });
        let addresses = [
            inside.unwrap_or(UNREADABLE),
            UNREADABLE,
            self.source.as_ptr() as usize,
            null::<u8>() as usize,
        ];
        for address in addresses {
            let answer = sys::finalize(address, self.source.as_ptr() as usize, 4);
            self.expect("finalize of no image", answer == EINVAL.to_errno());
            sys::free(address);
            self.tally.misuses = self.tally.misuses.saturating_add(2);
        }
    }

    fn free(&mut self, index: usize) {
        if let Ok(image) = self.images.remove(index) {
            sys::free(image.address);
            self.bytes = self.bytes.saturating_sub(image.len);
        }
    }
}

impl Drop for Actor {
    /// Frees what is left, also after a round that went wrong: else bpf_pack could not be removed.
    fn drop(&mut self) {
        while !self.images.is_empty() {
            self.free(0);
        }
    }
}
