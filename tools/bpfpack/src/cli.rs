// SPDX-License-Identifier: GPL-2.0

//! The command line. Man page and completions are made from it (`examples/generate.rs`).

mod examples;

use crate::context::Context;
use crate::{advise, doctor, list, map, measure, metrics, output, status, top, unload};
use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use terminal_size::Width;

/// Show where the images of the BPF JIT are, and what the module bpf_pack does for them
#[derive(Parser, Clone, Debug)]
#[command(name = "bpfpack", version, max_term_width = 100, after_help = examples::ALL)]
pub struct Cli {
    /// Options of all subcommands
    #[command(flatten)]
    pub globals: Globals,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all subcommands.
#[derive(Args, Clone, Debug)]
pub struct Globals {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours; NO_COLOR switches them off, too
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Read recorded files below DIR instead of the running kernel's
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        hide = true
    )]
    pub root: PathBuf,
}

/// When to use colours.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Columns than which no terminal is taken to be narrower.
const NARROWEST: usize = 20;

impl Globals {
    /// Returns what subcommands are given.
    pub fn context(&self) -> Context {
        let wanted = match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_some_and(|value| value != "dumb")
            }
        };
        Context {
            json: self.json,
            color: wanted && !self.json,
            columns: terminal_size::terminal_size_of(std::io::stdout())
                .map(|(Width(columns), _)| usize::from(columns).max(NARROWEST)),
            root: self.root.clone(),
        }
    }
}

/// The subcommands.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Say whether the module is loaded, serves, and what went to the stock allocator
    #[command(after_help = examples::STATUS)]
    Status(status::Options),
    /// List every image: what it is, and where
    #[command(after_help = examples::LIST)]
    List(list::Options),
    /// Draw every pack: who is where, what is free
    #[command(after_help = examples::MAP)]
    Map(map::Options),
    /// Watch loads, frees, synchronisations and the use of packs
    #[command(after_help = examples::TOP)]
    Top(top::Options),
    /// Say whether the module would gain anything on this machine
    #[command(after_help = examples::ADVISE)]
    Advise(advise::Options),
    /// Count this CPU's events around a command, with images in packs and not
    #[command(after_help = examples::MEASURE)]
    Measure(measure::Options),
    /// Say whether this kernel qualifies, and what insmod would say
    #[command(after_help = examples::DOCTOR)]
    Doctor(doctor::Options),
    /// Print metrics for a monitor
    #[command(after_help = examples::METRICS)]
    Metrics(metrics::Options),
    /// Remove the module, and say who holds the images that are left
    #[command(after_help = examples::UNLOAD)]
    Unload(unload::Options),
}

/// Runs a subcommand.
///
/// # Errors
///
/// Those of the subcommand.
pub fn run(cli: &Cli) -> Result<ExitCode> {
    let context = cli.globals.context();
    match &cli.command {
        Command::Status(options) => status::run(options, &context),
        Command::List(options) => list::run(options, &context),
        Command::Map(options) => map::run(options, &context),
        Command::Top(options) => top::run(options, &context),
        Command::Advise(options) => advise::run(options, &context),
        Command::Measure(options) => measure::run(options, &context),
        Command::Doctor(options) => doctor::run(options, &context),
        Command::Metrics(options) => metrics::run(options, &context),
        Command::Unload(options) => unload::run(options, &context),
    }
}

/// The exit status after an error: `status` itself means something by 1 and 2.
pub const FAILED: u8 = 3;
/// The exit status after wrong arguments.
pub const WRONG_ARGUMENTS: u8 = 64;

/// Reads the command line and runs it; says on standard error what went wrong.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            // A reader that has gone away needs no message.
            let _ = message.print();
            return if message.use_stderr() {
                ExitCode::from(WRONG_ARGUMENTS)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    run(&cli).unwrap_or_else(|error| {
        output::say(format_args!("{error:#}"));
        ExitCode::from(FAILED)
    })
}
