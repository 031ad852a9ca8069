// SPDX-License-Identifier: GPL-2.0

//! The picture as SVG: an image is a box at its chunks, with its name where the mouse points.
//! Boxes differ in brightness and pattern, too: they can be told apart in print.

use super::Use;
use crate::output::{bytes, count};
use crate::sources::images::{Census, Image};
use crate::sources::module::Pack;
use svg::node::element::{Definitions, Group, Line, Pattern, Rectangle, Text, Title};
use svg::Document;

/// Bytes of a line, and pixels of a line.
const LINE_BYTES: u64 = 32 << 10;
const LINE_WIDTH: f64 = 1024.0;
const LINE_HEIGHT: f64 = 8.0;
const MARGIN: f64 = 24.0;
const HEAD: f64 = 28.0;

/// Draws all packs, one below the other.
pub(super) fn draw(census: &Census) -> Document {
    let mut y = MARGIN;
    let mut document = Document::new().add(patterns()).add(
        // What a reader for the blind says first.
        Title::new("Packs of the BPF JIT"),
    );
    document = document.add(legend(y));
    y += HEAD;
    if census.packs.is_empty() {
        let words = if census.loaded {
            "bpf_pack has no packs."
        } else {
            "bpf_pack is not loaded."
        };
        document = document.add(words_at(MARGIN, y + 14.0, words));
        y += HEAD;
    }
    for (number, pack) in census.packs.iter().enumerate() {
        document = document.add(draw_pack(census, number, pack, y));
        y += HEAD + lines(pack) * LINE_HEIGHT + MARGIN;
    }
    let width = LINE_WIDTH + 2.0 * MARGIN;
    document
        .set("viewBox", (0.0, 0.0, width, y))
        .set("width", width)
        .set("height", y)
        .set("font-family", "sans-serif")
        .set("font-size", 13)
}

fn lines(pack: &Pack) -> f64 {
    // CAST: Some thousands at most.
    pack.end.saturating_sub(pack.start).div_ceil(LINE_BYTES) as f64
}

fn fill(of: Use) -> &'static str {
    match of {
        Use::Program => "#1b6ca8",
        Use::Trampoline => "#e8a33d",
        Use::Filter => "url(#filter)",
        Use::Other => "#7a7a7a",
        Use::Retired => "url(#retired)",
    }
}

/// The patterns of uses that are not plain.
fn patterns() -> Definitions {
    let pattern = |name: &str, ground: &str, ink: &str, back: bool| {
        let (y1, y2) = if back { (4, 0) } else { (0, 4) };
        Pattern::new()
            .set("id", name)
            .set("width", 4)
            .set("height", 4)
            .set("patternUnits", "userSpaceOnUse")
            .add(
                Rectangle::new()
                    .set("width", 4)
                    .set("height", 4)
                    .set("fill", ground),
            )
            .add(
                Line::new()
                    .set("x1", 0)
                    .set("y1", y1)
                    .set("x2", 4)
                    .set("y2", y2)
                    .set("stroke", ink),
            )
    };
    Definitions::new()
        .add(pattern("filter", "#8fc7a5", "#22543a", false))
        .add(pattern("retired", "#ffffff", "#b3261e", true))
}

fn legend(y: f64) -> Group {
    let mut group = Group::new();
    let mut x = MARGIN;
    for of in Use::ALL {
        group = group
            .add(rectangle(x, y, 12.0, fill(of)).set("height", 12))
            .add(words_at(x + 17.0, y + 11.0, of.word()));
        x += 110.0;
    }
    group
}

fn rectangle(x: f64, y: f64, width: f64, fill: &str) -> Rectangle {
    Rectangle::new()
        .set("x", x)
        .set("y", y)
        .set("width", width)
        .set("height", LINE_HEIGHT - 1.0)
        .set("fill", fill)
}

fn words_at(x: f64, y: f64, words: &str) -> Text {
    Text::new(words).set("x", x).set("y", y)
}

fn draw_pack(census: &Census, number: usize, pack: &Pack, y: f64) -> Group {
    let place = if pack.near { "near" } else { "far" };
    let head = format!(
        "pack {number}: {:#018x}, {}, {place}: {}, {} free",
        pack.start,
        pack.leaf,
        count(pack.images, "image"),
        bytes(pack.free_bytes)
    );
    let mut group = Group::new().add(words_at(MARGIN, y + 16.0, &head));
    let top = y + HEAD;
    // CAST: The number of a line, some thousands at most.
    for line in 0..lines(pack) as u64 {
        group = group.add(rectangle(
            MARGIN,
            top + line as f64 * LINE_HEIGHT,
            LINE_WIDTH,
            "#eeeeee",
        ));
    }
    for image in census.images_of(number) {
        group = group.add(draw_image(image, pack, top));
    }
    group
}

/// A box for an image, in pieces where it goes over the end of a line.
fn draw_image(image: &Image, pack: &Pack, top: f64) -> Group {
    let mut words = format!(
        "{}: {}, {}",
        Use::of(image).word(),
        image.label(),
        bytes(image.bytes)
    );
    if let Some(id) = image.owner.id() {
        words += &format!(", id {id}");
    }
    words += &format!(", {:#018x}", image.address);
    let mut group = Group::new().add(Title::new(words));
    let mut from = image.address.saturating_sub(pack.start);
    let end = from.saturating_add(image.bytes).min(pack.end - pack.start);
    while from < end {
        let line = from / LINE_BYTES;
        let to = end.min((line + 1) * LINE_BYTES);
        // CAST: Parts of a line and numbers of lines, exact as floating point.
        let scale = LINE_WIDTH / LINE_BYTES as f64;
        group = group.add(rectangle(
            MARGIN + (from % LINE_BYTES) as f64 * scale,
            top + line as f64 * LINE_HEIGHT,
            (to - from) as f64 * scale,
            fill(Use::of(image)),
        ));
        from = to;
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Context;
    use std::path::PathBuf;

    #[test]
    fn every_image_of_a_pack_is_a_box_with_a_name() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/loaded");
        let context = Context {
            json: false,
            color: false,
            columns: None,
            root: PathBuf::from(root),
        };
        let mut census = crate::sources::images::census(&context).expect("recorded files");
        let ours = census.images.iter().filter(|image| image.pack.is_some());
        let ours = ours.count();
        let picture = draw(&census).to_string();
        // One more title is the picture's own.
        assert_eq!(picture.matches("<title>").count(), ours + 1);
        assert!(picture.contains("program: filter_in, 6.2 KiB, id 21"));
        // A name is anybody's: it must not become a part of the document.
        for image in &mut census.images {
            image.owner = crate::sources::images::Owner::Other {
                symbol: "<script>&".into(),
            };
        }
        let picture = draw(&census).to_string();
        assert!(!picture.contains("<script>"), "{picture}");
    }
}
