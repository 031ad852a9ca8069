// SPDX-License-Identifier: GPL-2.0

//! Writes man pages and shell completions: `cargo run --example generate -- DIR`.

use bpfpack::cli::Cli;
use clap::CommandFactory;
use clap_complete::Shell;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or("usage: generate DIR")?;
    fs::create_dir_all(&folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "bpfpack", &folder)?;
    }
    // A page for each `bpfpack help ...` would say nothing.
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), &folder)?;
    Ok(())
}
