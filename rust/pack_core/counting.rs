// SPDX-License-Identifier: GPL-2.0

//! Counting what an iterator yields, without a panic.
//!
//! `Iterator::enumerate`, `Iterator::count` and `0..` check for overflow and panic; no sequence
//! here is long enough for that, but a compiler cannot know. These saturate, so that the absence of
//! panics can be checked in the object code.

/// Numbers the items from 0.
#[inline]
pub(crate) fn numbered<I: IntoIterator>(items: I) -> impl Iterator<Item = (u32, I::Item)> {
    (0..u32::MAX).zip(items)
}

/// Returns the number of items.
#[inline]
pub(crate) fn length<I: IntoIterator>(items: I) -> usize {
    items
        .into_iter()
        .fold(0, |length: usize, _| length.saturating_add(1))
}
