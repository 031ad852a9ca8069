// SPDX-License-Identifier: GPL-2.0

//! Counting the items of an iterator without a panic.
//!
//! `Iterator::enumerate`, `Iterator::count` and `0..` panic on overflow. No sequence here is long
//! enough for that, but the compiler does not know. The functions here saturate, so that the object
//! code has no panics, which `tests/panic_free.rs` checks.

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
