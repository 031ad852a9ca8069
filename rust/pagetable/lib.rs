// SPDX-License-Identifier: GPL-2.0

//! Decodes and walks the page tables of the kernel's half of the arm64 address space (TTBR1).
//!
//! Pure: registers and descriptors come in as integers, tables are read through a closure of the
//! caller. So the same crate says in the module which leaf really maps an address, lets a test
//! module audit the whole half, and is unit tested on the host.
//!
//! Covered: stage 1 of EL1 with 64-bit descriptors; granules of 4, 16 and 64 KiB; start levels
//! -1 to 3; LPA2 (`TCR_EL1.DS`) and 52-bit addresses with the 64 KiB granule; blocks, contiguous
//! groups, and the restrictions of table descriptors. Not covered: stage 2, EL2, 128-bit
//! descriptors.
//!
//! Tables may change while they are walked; an answer is about the descriptors that were read.

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
