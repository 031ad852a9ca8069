// SPDX-License-Identifier: GPL-2.0

//! The BPF programs that the kernel has, with the addresses of their images.

mod kinds;
pub mod live;

use crate::context::Context;
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use kinds::kind_name;

/// The file of recorded programs, below the root of a recording.
pub const RECORDED: &str = "/bpf.json";

/// One loaded program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its id.
    pub id: u32,
    /// Its type, such as `socket_filter`.
    pub kind: String,
    /// Its name, which the kernel cuts off after 15 bytes; may be empty.
    pub name: String,
    /// The hash of its instructions, in hexadecimal.
    pub tag: String,
    /// Nanoseconds from boot to its load.
    pub loaded_ns: u64,
    /// The user who loaded it.
    pub uid: u32,
    /// How often it was run while `kernel.bpf_stats_enabled` was set.
    pub run_count: u64,
    /// The nanoseconds of these runs.
    pub run_time_ns: u64,
    /// The bytes of all its images, without headers and padding. Known even if addresses are not.
    pub jited_bytes: u32,
    /// Its functions, the main one first, each of which is an image. Empty if the kernel hides
    /// addresses.
    pub functions: Vec<Function>,
}

/// A function of a program: an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Where it is entered, some bytes behind the start of its image.
    pub address: u64,
    /// Its bytes.
    pub bytes: u32,
}

/// All programs, and what is needed to name trampolines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bpf {
    /// The programs, by id.
    pub programs: Vec<Program>,
    /// The names of the kernel's own type information by its id: `vmlinux` and modules.
    pub btf_objects: BTreeMap<u32, String>,
}

impl Bpf {
    /// Whether the kernel hides the addresses of images from us.
    pub fn addresses_hidden(&self) -> bool {
        let mut jited = self
            .programs
            .iter()
            .filter(|program| program.jited_bytes > 0);
        jited.clone().next().is_some() && jited.all(|program| program.functions.is_empty())
    }
}

/// Reads all programs, of the running kernel or from a recording.
///
/// # Errors
///
/// If the kernel refuses: without `CAP_SYS_ADMIN` nobody may go through the programs.
pub fn read(context: &Context) -> Result<Bpf> {
    if context.is_live() {
        return live::read();
    }
    let Some(text) = context.read_optional(RECORDED)? else {
        return Ok(Bpf::default());
    };
    serde_json::from_str(&text).context(RECORDED)
}
