// SPDX-License-Identifier: GPL-2.0

//! The description of a function to hook.

#![deny(unsafe_code)]

/// The most functions that are hooked.
pub(super) const COUNT: usize = 6;

/// A function to hook.
///
/// # Invariants
///
/// `function` is the address of the kernel function `name`. `replacement` is the address of a
/// function of the same type that takes over from it. Only [`targets()`](super::entry::targets)
/// makes targets.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) function: usize,
    pub(super) replacement: usize,
}
