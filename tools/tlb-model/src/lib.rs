// SPDX-License-Identifier: GPL-2.0

//! A QEMU TCG plugin that models the instruction TLBs of an arm64 guest.
//!
//! The guest's instruction fetches drive one or more modelled TLBs; a miss in both levels walks the
//! guest's own page tables. All decisions are in safe, pure code that is tested on the host; only
//! `ffi` and `plugin` touch QEMU.
//!
//! | file | duty |
//! |---|---|
//! | `geometry` | presets and specifications of modelled TLBs |
//! | `options` | the plugin's command line |
//! | `tlb` | the two TLB structures, replacement, kill rules |
//! | `walk` | translation regime and page-table walk |
//! | `decode` | TLBI, cache maintenance, system register writes, markers |
//! | `guest` | the trait by which the model reads a virtual CPU |
//! | `vcpu` | one virtual CPU: fetches, maintenance, checks |
//! | `counters` | all counters |
//! | `irqs` | stretches with interrupts masked |
//! | `region` | the part of a run between two markers |
//! | `report` | JSON lines |
//! | `ffi`, `plugin` | the unsafe edge |

#![deny(unsafe_code)]

pub mod counters;
pub mod decode;
pub mod geometry;
pub mod guest;
pub mod irqs;
pub mod options;
pub mod region;
pub mod report;
pub mod tlb;
pub mod vcpu;
pub mod walk;

// QEMU provides the symbols that these two need at load time: a test program could not be linked.
#[cfg(not(test))]
mod ffi;
#[cfg(not(test))]
#[expect(unsafe_code, reason = "callbacks that QEMU calls")]
mod plugin;
