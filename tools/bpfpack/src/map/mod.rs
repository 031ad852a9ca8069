// SPDX-License-Identifier: GPL-2.0

//! `bpfpack map`: a picture of every pack.

mod cells;
mod svg;
mod text;

use crate::context::Context;
use crate::output;
use crate::sources::images::{self, Census, Image, Owner};
use crate::sources::module::Pack;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// The options of `bpfpack map`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Write the picture to FILE as SVG, with the name of an image where the mouse points
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Cells of a line; without it 64, or as many as the terminal has room for
    #[arg(long, value_name = "CELLS", value_parser = clap::value_parser!(u16).range(8..=1024))]
    pub width: Option<u16>,
    /// Do not name the images beside the lines
    #[arg(long)]
    pub no_names: bool,
}

/// What bytes of a pack are used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Use {
    /// A program.
    Program,
    /// A trampoline.
    Trampoline,
    /// A filter: an image without id and symbol.
    Filter,
    /// Another image.
    Other,
    /// Freed, and waiting for a synchronisation of all CPUs.
    Retired,
}

impl Use {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Program,
        Self::Trampoline,
        Self::Filter,
        Self::Other,
        Self::Retired,
    ];

    /// What `image` is.
    pub fn of(image: &Image) -> Self {
        if image.is_retired() {
            return Self::Retired;
        }
        match image.owner {
            Owner::Program { .. } => Self::Program,
            Owner::Trampoline { .. } => Self::Trampoline,
            Owner::Other { .. } => Self::Other,
            Owner::Anonymous => Self::Filter,
        }
    }

    /// Its letter in a picture; the small one where it uses less than half.
    pub fn letter(self) -> char {
        match self {
            Self::Program => 'P',
            Self::Trampoline => 'T',
            Self::Filter => 'F',
            Self::Other => 'O',
            Self::Retired => 'X',
        }
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Trampoline => "trampoline",
            Self::Filter => "filter",
            Self::Other => "other",
            Self::Retired => "retired",
        }
    }
}

/// What `bpfpack map --json` prints.
#[derive(Clone, Debug, Serialize)]
struct Report<'a> {
    /// The version of this format.
    version: u32,
    /// Whether the module is loaded.
    loaded: bool,
    /// The packs, each with its images.
    packs: Vec<Drawn<'a>>,
    /// Images that the stock allocator has.
    stock: Vec<&'a Image>,
    /// What could not be found out, in sentences.
    notes: &'a [String],
}

/// A pack with its images.
#[derive(Clone, Debug, Serialize)]
struct Drawn<'a> {
    #[serde(flatten)]
    pack: &'a Pack,
    contents: Vec<&'a Image>,
}

/// Runs `bpfpack map`.
///
/// # Errors
///
/// If the images cannot be read, or the file cannot be written.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let census = images::census(context)?;
    if let Some(file) = &options.svg {
        ::svg::save(file, &svg::draw(&census)).with_context(|| file.display().to_string())?;
    }
    if context.json {
        output::print_json(&report(&census))?;
    } else if options.svg.is_none() {
        output::show(&text::draw(&census, options, context), context)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(census: &Census) -> Report<'_> {
    let packs = census.packs.iter().enumerate();
    let images = census.images.iter();
    Report {
        version: 2,
        loaded: census.loaded,
        packs: packs
            .map(|(number, pack)| Drawn {
                pack,
                contents: census.images_of(number).collect(),
            })
            .collect(),
        stock: images.filter(|image| image.pack.is_none()).collect(),
        notes: &census.notes,
    }
}
