// SPDX-License-Identifier: GPL-2.0

//! What the memory of packs should hold, and whether it does.

use crate::sys;
use kernel::prelude::*;
use pack_core::PACK_SIZE;

/// Wrong words that are reported one by one, at most.
const MAX_REPORTS: u32 = 16;

/// What an image is, as far as its thread knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Allocated: all of it is traps.
    Reserved,
    /// Finalized.
    Live,
}

/// One image.
#[derive(Clone, Copy)]
pub(crate) struct Image {
    pub(crate) address: usize,
    /// Bytes in whole chunks.
    pub(crate) len: usize,
    /// Bytes that were finalized.
    pub(crate) used: usize,
    /// What tells its words from those of others.
    pub(crate) word: u32,
    pub(crate) state: State,
}

impl Image {
    /// The word number `at` of the image: never a trap.
    pub(crate) fn word_at(&self, at: usize) -> u32 {
        // CAST: An image has fewer words.
        let word = self.word ^ (at as u32).wrapping_mul(0x85eb_ca6b);
        if word == sys::trap() {
            !word
        } else {
            word
        }
    }

    /// What the word at `offset` bytes from the start should be.
    fn expected(&self, offset: usize) -> u32 {
        if self.state == State::Live && offset < self.used {
            self.word_at(offset / size_of::<u32>())
        } else {
            sys::trap()
        }
    }

    fn end(&self) -> usize {
        self.address.saturating_add(self.len)
    }
}

/// Compares the words of `[start, end)` with what they should be; returns the number of wrong ones.
///
/// `image` is the one that the memory belongs to; without, it should be traps.
fn wrong_words(start: usize, end: usize, image: Option<&Image>, reports: &mut u32) -> u32 {
    let mut wrong = 0u32;
    let mut at = start;
    while at < end {
        let is = sys::read(at);
        let expected = image.map_or(sys::trap(), |image| image.expected(at - image.address));
        if is != expected {
            wrong = wrong.saturating_add(1);
            if *reports < MAX_REPORTS {
                *reports += 1;
                pr_err!(
                    "offset {:#x} of a pack: {is:#010x} instead of {expected:#010x} ({})\n",
                    at % PACK_SIZE,
                    if image.is_some() { "image" } else { "no image" }
                );
            }
        }
        at = at.saturating_add(size_of::<u32>());
    }
    wrong
}

/// Compares all memory of the packs that have images, which stand in order of their addresses.
/// Returns the number of bytes that were looked at.
///
/// # Errors
///
/// `EIO` if images overlap, or a word is wrong.
pub(crate) fn compare(images: &[Image]) -> Result<u64> {
    let (mut bytes, mut wrong, mut reports) = (0u64, 0u32, 0u32);
    // Up to where everything was looked at.
    let mut done = 0usize;
    for (at, image) in images.iter().enumerate() {
        if image.address < done {
            pr_err!("two images overlap\n");
            return Err(EIO);
        }
        let pack = image.address & !(PACK_SIZE - 1);
        let from = done.max(pack);
        wrong = wrong.saturating_add(wrong_words(from, image.address, None, &mut reports));
        wrong = wrong.saturating_add(wrong_words(
            image.address,
            image.end(),
            Some(image),
            &mut reports,
        ));
        bytes = bytes.saturating_add((image.end() - from) as u64);
        done = image.end();
        // A large image has whole pages to itself, and nobody knows what follows these.
        let is_large = image.end() > pack.saturating_add(PACK_SIZE);
        let next = images.get(at + 1).map_or(usize::MAX, |next| next.address);
        let end = pack.saturating_add(PACK_SIZE);
        if !is_large && next >= end {
            wrong = wrong.saturating_add(wrong_words(done, end, None, &mut reports));
            bytes = bytes.saturating_add((end - done) as u64);
            done = end;
        }
        sys::yield_cpu();
    }
    if wrong != 0 {
        pr_err!("{wrong} words are wrong\n");
        return Err(EIO);
    }
    Ok(bytes)
}
