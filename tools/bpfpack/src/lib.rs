// SPDX-License-Identifier: GPL-2.0

//! Shows where the images of the BPF JIT are, and what the module `bpf_pack` does for them.
//!
//! [`cli`] has the command line, from which man page and completions are made. Each subcommand is a
//! module of its own, with an `Options` and a `run`; what they show comes from `sources`, which read
//! the module's debugfs files and what the kernel itself tells.

pub mod advise;
pub mod cli;
pub mod context;
pub mod doctor;
pub mod list;
pub mod map;
pub mod measure;
pub mod metrics;
pub mod output;
pub mod signals;
pub mod sources;
pub mod status;
#[cfg(test)]
mod testing;
pub mod top;
pub mod unload;
