// SPDX-License-Identifier: GPL-2.0

//! The picture for a terminal: a letter for each cell, so that it needs no colour.

use super::cells::{self, Cell};
use super::{Options, Use};
use crate::context::Context;
use crate::output::{bytes, count, paint, printable, Tone};
use crate::sources::images::{Census, Image};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Cells have the size of the smallest page, the unit in which a TLB would see packs of small pages.
const CELL: u64 = 4096;
/// Larger packs are drawn in this many cells or fewer.
const MOST_CELLS: u64 = 4096;
/// The cells of a line, if the terminal has room for them.
const LINE_CELLS: u16 = 64;
/// The columns before the cells of a line.
const MARGIN: usize = 11;
/// How many images are named beside a line.
const NAMED: usize = 3;

/// Draws all packs, and says where the images of the stock allocator are.
pub(super) fn draw(census: &Census, options: &Options, context: &Context) -> String {
    let mut text = String::new();
    if !census.loaded {
        text += "bpf_pack is not loaded: there are no packs of it.\n";
    } else if census.packs.is_empty() {
        text += "bpf_pack has no packs.\n";
    }
    for number in 0..census.packs.len() {
        draw_pack(&mut text, census, number, options, context);
    }
    if !census.packs.is_empty() {
        text += &legend(context);
    }
    text += &stock(census);
    for note in &census.notes {
        let _ = writeln!(text, "Note: {note}");
    }
    text
}

/// How many cells a line has.
fn width(options: &Options, context: &Context) -> usize {
    let room = context
        .columns
        .map(|columns| columns.saturating_sub(MARGIN));
    let most = usize::from(LINE_CELLS);
    let fitting = room.map_or(most, |room| room.clamp(8, most));
    options.width.map_or(fitting, usize::from)
}

/// The colour of a use, which its letter says, too.
fn tone(of: Use) -> Tone {
    match of {
        Use::Program => Tone::Good,
        Use::Trampoline => Tone::Warn,
        Use::Filter | Use::Other => Tone::Strong,
        Use::Retired => Tone::Bad,
    }
}

fn legend(context: &Context) -> String {
    let uses = Use::ALL.map(|of| {
        let letter = paint(context, tone(of), &of.letter().to_string());
        format!("{letter} {}", of.word())
    });
    format!(
        "{}  . free; small letters: less than half of the cell\n",
        uses.join("  ")
    )
}

fn draw_pack(
    text: &mut String,
    census: &Census,
    number: usize,
    options: &Options,
    context: &Context,
) {
    let Some(pack) = census.packs.get(number) else {
        return;
    };
    let images: Vec<&Image> = census.images_of(number).collect();
    let size = pack.end.saturating_sub(pack.start);
    let mut cell_bytes = CELL;
    while size / cell_bytes > MOST_CELLS {
        cell_bytes *= 2;
    }
    let place = if pack.near { "near" } else { "far" };
    let alias = if pack.writable_alias {
        ", WRITABLE linear alias"
    } else {
        ""
    };
    let head = format!(
        "pack {number}  {:016x}  {} of {}, {place}{alias}: {}, {} free; a cell is {}",
        pack.start,
        bytes(size),
        pack.leaf,
        count(pack.images, "image"),
        bytes(pack.free_bytes),
        bytes(cell_bytes)
    );
    let _ = writeln!(text, "{}", paint(context, Tone::Strong, &head));
    let cells = cells::fill(pack.start, pack.end, cell_bytes, images.iter().copied());
    let width = width(options, context);
    // CAST: A few hundred cells.
    let line_bytes = cell_bytes * width as u64;
    let mut free_lines = 0;
    for (line, part) in cells.chunks(width).enumerate() {
        let from = pack.start + line as u64 * line_bytes;
        if part.iter().all(|cell| cell.main_use(cell_bytes).is_none()) {
            free_lines += 1;
            continue;
        }
        flush_free(text, &mut free_lines, context);
        let letters = letters(part, cell_bytes, context);
        let names = if options.no_names {
            String::new()
        } else {
            names(&images, from, from + line_bytes)
        };
        let padding = " ".repeat(width - part.len());
        let row = format!("  +{:06x}  {letters}{padding}  {names}", from - pack.start);
        let _ = writeln!(text, "{}", row.trim_end());
    }
    flush_free(text, &mut free_lines, context);
    text.push('\n');
}

/// Says how many lines were left out because they are free.
fn flush_free(text: &mut String, lines: &mut usize, context: &Context) {
    if *lines > 0 {
        let words = format!("  ...      {} free", count(*lines as u64, "line"));
        let _ = writeln!(text, "{}", paint(context, Tone::Faint, &words));
    }
    *lines = 0;
}

fn letters(cells: &[Cell], cell_bytes: u64, context: &Context) -> String {
    let letter = |cell: &Cell| match cell.main_use(cell_bytes) {
        None => paint(context, Tone::Faint, "."),
        Some((of, true)) => paint(context, tone(of), &of.letter().to_string()),
        Some((of, false)) => {
            let small = of.letter().to_ascii_lowercase();
            paint(context, tone(of), &small.to_string())
        }
    };
    cells.iter().map(letter).collect()
}

/// The names of some images that begin in a line; equal ones once, with their number.
fn names(images: &[&Image], from: u64, to: u64) -> String {
    let begin = images
        .iter()
        .filter(|image| (from..to).contains(&image.address));
    let mut labels: Vec<(String, usize)> = Vec::new();
    for image in begin {
        let label = printable(&image.label());
        match labels.iter_mut().find(|(known, _)| *known == label) {
            Some((_, number)) => *number += 1,
            None => labels.push((label, 1)),
        }
    }
    let shown = labels.iter().take(NAMED).map(|(label, number)| {
        if *number == 1 {
            label.clone()
        } else {
            format!("{number} {label}")
        }
    });
    let mut names = shown.collect::<Vec<_>>().join(", ");
    let rest: usize = labels.iter().skip(NAMED).map(|(_, number)| number).sum();
    if rest > 0 {
        let _ = write!(names, ", {rest} more");
    }
    names
}

/// Where the images of the stock allocator are, by areas of the size and alignment of its packs.
fn stock(census: &Census) -> String {
    const AREA: u64 = 2 << 20;
    let mut areas: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for image in census.images.iter().filter(|image| image.pack.is_none()) {
        let (images, size) = areas.entry(image.address / AREA).or_default();
        *images += 1;
        *size += image.bytes;
    }
    let mut text = String::new();
    if areas.is_empty() {
        return text;
    }
    text += "The stock allocator's images, by aligned 2 MiB:\n";
    for (area, (images, size)) in areas {
        let pages = pages(census, area * AREA, (area + 1) * AREA);
        let _ = writeln!(
            text,
            "  {:016x}  {}, {}, in {} of 4 KiB",
            area * AREA,
            count(images, "image"),
            bytes(size),
            count(pages, "page")
        );
    }
    text
}

/// How many pages of 4 KiB the stock allocator's images in `from..to` touch.
fn pages(census: &Census, from: u64, to: u64) -> u64 {
    let images = census.images.iter();
    let images = images.filter(|image| image.pack.is_none() && (from..to).contains(&image.address));
    let mut pages: Vec<u64> = images
        .flat_map(|image| {
            let last = image.address + image.bytes.saturating_sub(1);
            (image.address / CELL)..=(last / CELL)
        })
        .collect();
    pages.sort_unstable();
    pages.dedup();
    pages.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn draw_recorded(color: bool, width: u16) -> String {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/loaded");
        let context = Context {
            json: false,
            color,
            columns: None,
            root: PathBuf::from(root),
        };
        let census = crate::sources::images::census(&context).expect("recorded files");
        let options = Options {
            svg: None,
            width: Some(width),
            no_names: false,
        };
        draw(&census, &options, &context)
    }

    #[test]
    fn the_picture_needs_no_colour() {
        let plain = draw_recorded(false, 64);
        assert!(!plain.contains('\x1b'));
        let row = plain.lines().find(|line| line.contains("+000000"));
        let row = row.expect("a line for the first images");
        // Small programs, a trampoline, a program of more than a page and a half.
        assert!(row.contains("  pt......PP..."), "{row}");
        assert!(
            row.contains("sd_devices, on_connect, on_connect/1, 4 more"),
            "{row}"
        );
        let colored = draw_recorded(true, 64);
        let mut stripped = String::new();
        for (number, part) in colored.split('\x1b').enumerate() {
            let part = if number == 0 {
                part
            } else {
                part.split_once('m').map_or("", |(_, rest)| rest)
            };
            stripped += part;
        }
        assert_eq!(stripped, plain);
    }

    #[test]
    fn lines_are_as_wide_as_asked() {
        for width in [8, 100] {
            let text = draw_recorded(false, width);
            let row = text.lines().find(|line| line.starts_with("  +"));
            let cells = row.and_then(|row| row.split_whitespace().nth(1));
            assert_eq!(cells.map(str::len), Some(usize::from(width)));
        }
    }
}
