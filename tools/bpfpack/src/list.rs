// SPDX-License-Identifier: GPL-2.0

//! `bpfpack list`: every image that is not retired, what it is, and where.

use crate::context::Context;
use crate::output::{self, age, bytes, count, Column, Table};
use crate::sources::holders::{self, Holders};
use crate::sources::images::{self, Census, Image, Owner};
use crate::sources::module::Pack;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::process::ExitCode;

/// The options of `bpfpack list`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// What to sort by
    #[arg(short, long, value_name = "KEY", default_value = "address")]
    pub sort: SortKey,
    /// The other way round
    #[arg(short, long)]
    pub reverse: bool,
    /// Only images that are here
    #[arg(short, long, value_name = "PLACE")]
    pub place: Option<Place>,
    /// Only images of this type: that of a program, or trampoline, dispatcher, other, or - for
    /// images without an id
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub kind: Option<String>,
    /// Only images whose name has this text
    #[arg(short, long, value_name = "TEXT")]
    pub name: Option<String>,
    /// Only images of the program of this id
    #[arg(short, long, value_name = "ID")]
    pub id: Option<u32>,
    /// Retired images, too: freed ones that wait for a synchronisation of all CPUs
    #[arg(short, long)]
    pub all: bool,
    /// Only retired images
    #[arg(long, conflicts_with = "all")]
    pub retired: bool,
    /// Do not say who holds images without an id
    #[arg(long)]
    pub no_holders: bool,
}

/// What to sort by.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortKey {
    /// The address
    #[default]
    Address,
    /// The size, the largest first
    Size,
    /// The id of the program
    Id,
    /// The name
    Name,
    /// The age, the youngest first
    Age,
    /// How often the program was run, the most first
    Runs,
}

/// Where an image is.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In a pack near the kernel's text
    Near,
    /// In another pack
    Far,
    /// The stock allocator has it
    Stock,
}

/// Images that were freed and wait for a synchronisation of all CPUs.
#[derive(Clone, Debug, Serialize)]
pub struct Retired {
    /// How many of them passed the other filters.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Whether `images` has them.
    pub listed: bool,
}

/// What `bpfpack list --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// Whether the module is loaded.
    pub loaded: bool,
    /// The packs.
    pub packs: Vec<Pack>,
    /// The images that were asked for.
    pub images: Vec<Image>,
    /// What there is of retired images.
    pub retired: Retired,
    /// Who holds images without an id, if there are any.
    pub holders: Option<Holders>,
    /// What could not be found out, in sentences.
    pub notes: Vec<String>,
}

/// Runs `bpfpack list`.
///
/// # Errors
///
/// If the images cannot be read.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let census = images::census(context)?;
    let (shown, retired) = select(&census, options);
    let anonymous = shown
        .iter()
        .any(|image| image.owner == Owner::Anonymous && !image.is_retired());
    let holders = if anonymous && !options.no_holders {
        Some(holders::find(context)?)
    } else {
        None
    };
    if context.json {
        output::print_json(&Report {
            version: 3,
            loaded: census.loaded,
            images: shown.into_iter().cloned().collect(),
            retired,
            packs: census.packs,
            holders,
            notes: census.notes,
        })?;
    } else {
        let text = render(&census, &shown, &retired, holders.as_ref(), context);
        output::show(&text, context)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where `image` is.
pub fn place(census: &Census, image: &Image) -> Place {
    match census.pack_of(image) {
        None => Place::Stock,
        Some(pack) if pack.near => Place::Near,
        Some(_) => Place::Far,
    }
}

/// The images that were asked for, in order, and what there is of retired ones.
fn select<'a>(census: &'a Census, options: &Options) -> (Vec<&'a Image>, Retired) {
    let wanted = |image: &&Image| {
        options
            .place
            .is_none_or(|wanted| wanted == place(census, image))
            && options
                .kind
                .as_deref()
                .is_none_or(|kind| kind == image.owner.kind())
            && options
                .name
                .as_deref()
                .is_none_or(|name| image.owner.label().contains(name))
            && options.id.is_none_or(|id| image.owner.id() == Some(id))
    };
    let (gone, live): (Vec<&Image>, Vec<&Image>) = census
        .images
        .iter()
        .filter(wanted)
        .partition(|image| image.is_retired());
    let retired = Retired {
        count: gone.len(),
        bytes: gone.iter().map(|image| image.bytes).sum(),
        listed: options.all || options.retired,
    };
    let mut images = if options.retired { Vec::new() } else { live };
    if retired.listed {
        images.extend(gone);
    }
    match options.sort {
        SortKey::Address => images.sort_by_key(|image| image.address),
        SortKey::Size => images.sort_by_key(|image| u64::MAX - image.bytes),
        SortKey::Id => images.sort_by_key(|image| image.owner.id().unwrap_or(u32::MAX)),
        SortKey::Name => images.sort_by_key(|image| image.owner.label()),
        SortKey::Age => images.sort_by_key(|image| image.age_seconds.unwrap_or(u64::MAX)),
        SortKey::Runs => images.sort_by_key(|image| u64::MAX - image.run_count.unwrap_or(0)),
    }
    if options.reverse {
        images.reverse();
    }
    (images, retired)
}

fn render(
    census: &Census,
    shown: &[&Image],
    retired: &Retired,
    holders: Option<&Holders>,
    context: &Context,
) -> String {
    let mut table = Table::new(&[
        Column::Right("ID"),
        Column::Left("TYPE"),
        Column::Left("NAME"),
        Column::Left("TAG"),
        Column::Left("ADDRESS"),
        Column::Right("SIZE"),
        Column::Left("PACK"),
        Column::Left("LEAF"),
        Column::Left("PLACE"),
        Column::Right("AGE"),
    ]);
    let dash = || "-".to_owned();
    for image in shown {
        let pack = census.pack_of(image);
        table.row(vec![
            image.owner.id().map_or_else(dash, |id| id.to_string()),
            image.owner.kind().to_owned(),
            image.label(),
            image.owner.tag().map_or_else(dash, str::to_owned),
            format!("{:016x}", image.address),
            if image.bytes == 0 {
                "?".to_owned()
            } else {
                bytes(image.bytes)
            },
            image.pack.map_or_else(dash, |pack| pack.to_string()),
            pack.map_or_else(dash, |pack| pack.leaf.clone()),
            match place(census, image) {
                Place::Near => "near",
                Place::Far => "far",
                Place::Stock => "stock",
            }
            .to_owned(),
            image.age_seconds.map_or_else(dash, age),
        ]);
    }
    let mut text = table.render(context);
    let ours = shown.iter().filter(|image| image.pack.is_some()).count();
    text += &format!(
        "\n{}: {ours} in {}, {} of the stock allocator\n",
        count(shown.len() as u64, "image"),
        count(census.packs.len() as u64, "pack"),
        shown.len() - ours
    );
    if retired.count > 0 {
        text += &format!(
            "Retired: {} ({}), until a synchronisation of all CPUs{}\n",
            count(retired.count as u64, "image"),
            bytes(retired.bytes),
            if retired.listed {
                ""
            } else {
                "; --all lists them, too"
            }
        );
    }
    for note in &census.notes {
        text += &format!("Note: {note}\n");
    }
    if let Some(holders) = holders {
        text += "\n";
        text += &holders.render();
    }
    text
}
