// SPDX-License-Identifier: GPL-2.0

//! The description of a function to hook.

#![deny(unsafe_code)]

use kernel::prelude::*;

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
    /// What is lost without this hook, in words, if the module can do without it.
    pub(super) optional: Option<&'static str>,
}

impl Target {
    /// Says in the log that the module goes on without the hook, and why. Returns whether it can.
    pub(super) fn can_miss(&self, why: &str) -> bool {
        match self.optional {
            Some(loss) => {
                pr_warn!("no hook on {}: {}; {}\n", self.name, why, loss);
                true
            }
            None => false,
        }
    }
}
