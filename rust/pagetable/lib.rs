// SPDX-License-Identifier: GPL-2.0

//! Decodes and walks the page tables of the kernel's half of the arm64 address space (TTBR1).
//!
//! Registers and descriptors are integers, and the caller gives a closure that reads tables. So the
//! same crate finds the leaf of an address in the module, audits the whole half in a test module,
//! and has unit tests on the host.
//!
//! It covers stage 1 of EL1 with 64-bit descriptors; granules of 4, 16 and 64 KiB; start levels
//! -1 to 3; LPA2 (`TCR_EL1.DS`) and 52-bit addresses with the 64 KiB granule; blocks, contiguous
//! groups, and the restrictions of table descriptors. It does not cover stage 2, EL2 and 128-bit
//! descriptors.
//!
//! Tables may change during a walk. Its result holds for the descriptors that it has read.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod descriptor;
mod leaf;
mod regime;
mod scan;
#[cfg(test)]
mod tests;

pub use descriptor::Granule;
pub use leaf::{
    Access,
    Form,
    Hole,
    Kind,
    Leaf,
    Walk, //
};
pub use regime::Regime;
pub use scan::{
    End,
    Run,
    Scan, //
};
