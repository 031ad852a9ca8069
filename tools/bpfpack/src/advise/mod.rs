// SPDX-License-Identifier: GPL-2.0

//! The subcommand `advise`.

use crate::context::Context;
use anyhow::{bail, Result};
use std::process::ExitCode;

/// The options of `bpfpack advise`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {}

/// Runs `bpfpack advise`.
///
/// # Errors
///
/// If what it needs cannot be read.
pub fn run(_options: &Options, _context: &Context) -> Result<ExitCode> {
    bail!("not made yet")
}
