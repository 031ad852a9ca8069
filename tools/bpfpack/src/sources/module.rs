// SPDX-License-Identifier: GPL-2.0

//! The module's files in debugfs: `status` and `images`, as `Documentation/abi.md` has them.

use crate::context::Context;
use crate::output;
use anyhow::{bail, Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The module's folder in debugfs.
pub const FOLDER: &str = "/sys/kernel/debug/bpf_pack";

/// What the module says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `serve` or `drain`.
    pub mode: String,
    /// The `key: value` lines.
    pub values: BTreeMap<String, u64>,
    /// The packs, in the module's order.
    pub packs: Vec<Pack>,
}

/// One pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pack {
    /// The address of the first byte.
    #[serde(serialize_with = "output::address")]
    pub start: u64,
    /// The address after the last byte.
    #[serde(serialize_with = "output::address")]
    pub end: u64,
    /// The leaf that maps it, such as `2 MiB block`.
    pub leaf: String,
    /// Whether it is near the kernel's text.
    pub near: bool,
    /// Whether the linear map has a writable alias of it.
    pub writable_alias: bool,
    /// How many images it has.
    pub images: u64,
    /// Bytes of live images.
    pub live_bytes: u64,
    /// Bytes of images that were not finalized, or are written in place.
    pub reserved_bytes: u64,
    /// Bytes of freed images that wait for a synchronisation of all CPUs.
    pub retired_bytes: u64,
    /// Free bytes.
    pub free_bytes: u64,
}

/// An image as the module has it in its books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BookedImage {
    /// The address of its first chunk.
    pub address: u64,
    /// Bytes, whole chunks.
    pub bytes: u64,
    /// Its state: a word of `Documentation/abi.md`.
    pub state: String,
    /// The number of its pack, in the order of `images`.
    pub pack: usize,
}

/// All packs with their images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// The packs.
    pub packs: Vec<Pack>,
    /// Their images, by address within each pack.
    pub images: Vec<BookedImage>,
}

impl Pack {
    /// The sum of its bytes in all states.
    pub fn bytes(&self) -> u64 {
        self.live_bytes + self.reserved_bytes + self.retired_bytes + self.free_bytes
    }

    /// Reads a line `pack 0xSTART-0xEND: LEAF, PLACE, linear alias ...`.
    fn parse(line: &str) -> Option<Self> {
        let (range, rest) = line.strip_prefix("pack ")?.split_once(": ")?;
        let (start, end) = range.split_once('-')?;
        let mut parts = rest.split(", ");
        let leaf = parts.next()?.to_owned();
        let near = match parts.next()? {
            "near" => true,
            "far" => false,
            _ => return None,
        };
        let writable_alias = match parts.next()?.strip_prefix("linear alias ")? {
            "WRITABLE" => true,
            "invalid" => false,
            _ => return None,
        };
        let images = parts.next()?.strip_suffix(" images")?.parse().ok()?;
        let mut bytes = |prefix: &str, state: &str| -> Option<u64> {
            let words = parts.next()?.strip_prefix(prefix)?.strip_suffix(state)?;
            words.trim_end().parse().ok()
        };
        Some(Self {
            start: hex(start)?,
            end: hex(end)?,
            leaf,
            near,
            writable_alias,
            images,
            live_bytes: bytes("bytes: ", "live")?,
            reserved_bytes: bytes("", "reserved")?,
            retired_bytes: bytes("", "retired")?,
            free_bytes: bytes("", "free")?,
        })
    }
}

/// Reads a number as `0x...`.
fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

impl Status {
    /// Reads the text of `status`. Keys that this tool does not know are kept.
    ///
    /// # Errors
    ///
    /// If a line is none that `Documentation/abi.md` describes.
    pub fn parse(text: &str) -> Result<Self> {
        let mut status = Self::default();
        for line in text.lines() {
            if line.starts_with("pack ") {
                let pack = Pack::parse(line);
                status
                    .packs
                    .push(pack.with_context(|| unreadable("status", line))?);
                continue;
            }
            match line.split_once(": ") {
                Some(("mode", mode)) => status.mode = mode.to_owned(),
                Some((key, value)) => {
                    let value = value.parse().with_context(|| unreadable("status", line))?;
                    status.values.insert(key.to_owned(), value);
                }
                None => bail!(unreadable("status", line)),
            }
        }
        if status.mode.is_empty() {
            bail!("{FOLDER}/status: no line \"mode: ...\"");
        }
        Ok(status)
    }

    /// A value by its key; 0 if the module has no such key.
    pub fn value(&self, key: &str) -> u64 {
        self.values.get(key).copied().unwrap_or(0)
    }

    /// The requests that the stock allocator served instead, by reason; also those that were 0.
    pub fn refusals(&self) -> BTreeMap<&str, u64> {
        let refused = self.values.iter();
        refused
            .filter_map(|(key, value)| Some((key.strip_prefix("to_stock_")?, *value)))
            .collect()
    }

    /// Whether new images are served from packs.
    pub fn serves(&self) -> bool {
        self.mode == "serve"
    }
}

impl Books {
    /// Reads the text of `images`.
    ///
    /// # Errors
    ///
    /// If a line is none that `Documentation/abi.md` describes.
    pub fn parse(text: &str) -> Result<Self> {
        let mut books = Self::default();
        for line in text.lines() {
            if let Some(pack) = Pack::parse(line) {
                books.packs.push(pack);
                continue;
            }
            let image = books
                .packs
                .len()
                .checked_sub(1)
                .and_then(|pack| BookedImage::parse(line, pack));
            books
                .images
                .push(image.with_context(|| unreadable("images", line))?);
        }
        Ok(books)
    }
}

impl BookedImage {
    /// Reads a line `image 0xADDRESS BYTES STATE`.
    fn parse(line: &str, pack: usize) -> Option<Self> {
        let mut words = line.strip_prefix("image ")?.split(' ');
        let image = Self {
            address: hex(words.next()?)?,
            bytes: words.next()?.parse().ok()?,
            state: words.next()?.to_owned(),
            pack,
        };
        words.next().is_none().then_some(image)
    }
}

fn unreadable(file: &str, line: &str) -> String {
    format!("{FOLDER}/{file}: this bpfpack does not understand the line \"{line}\"")
}

/// Whether the module is loaded. Anybody may ask.
pub fn is_loaded(context: &Context) -> bool {
    context.path("/sys/module/bpf_pack").exists()
}

/// Reads `status`: `None` if the module is not loaded.
///
/// # Errors
///
/// If the module is loaded but its status cannot be read or understood.
pub fn status(context: &Context) -> Result<Option<Status>> {
    let Some(text) = read(context, "status")? else {
        return Ok(None);
    };
    Status::parse(&text).map(Some)
}

/// Reads `images`: `None` if the module is not loaded.
///
/// # Errors
///
/// As for [`status`].
pub fn books(context: &Context) -> Result<Option<Books>> {
    let Some(text) = read(context, "images")? else {
        return Ok(None);
    };
    Books::parse(&text).map(Some)
}

fn read(context: &Context, file: &str) -> Result<Option<String>> {
    if !is_loaded(context) {
        return Ok(None);
    }
    let path = Path::new(FOLDER).join(file);
    let text = context.read_optional(&path)?;
    if text.is_none() {
        // It may have been removed since.
        if !is_loaded(context) {
            return Ok(None);
        }
        bail!(
            "{} is not there: is debugfs mounted (mount -t debugfs debugfs /sys/kernel/debug), \
             and the module of the version of this tool?",
            path.display()
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: &str =
        "pack 0xffffc63208c00000-0xffffc63208e00000: 2 MiB block, near, linear alias \
                        invalid, 3 images, bytes: 4096 live, 0 reserved, 64 retired, 2092992 free";

    #[test]
    fn a_pack_has_all_its_fields() {
        let pack = Pack::parse(PACK).expect("a line of abi.md");
        assert_eq!(pack.start, 0xffff_c632_08c0_0000);
        assert_eq!(pack.end - pack.start, 2 << 20);
        assert_eq!(pack.leaf, "2 MiB block");
        assert!(pack.near && !pack.writable_alias);
        assert_eq!((pack.images, pack.live_bytes), (3, 4096));
        assert_eq!((pack.retired_bytes, pack.free_bytes), (64, 2_092_992));
        assert_eq!(pack.bytes(), 2 << 20);
    }

    #[test]
    fn status_keeps_keys_that_it_does_not_know() {
        let text = format!("mode: drain\nnew_key: 7\nto_stock_size: 2\n{PACK}\n");
        let status = Status::parse(&text).expect("it is well formed");
        assert!(!status.serves());
        assert_eq!(status.value("new_key"), 7);
        assert_eq!(status.value("missing"), 0);
        assert_eq!(status.refusals(), BTreeMap::from([("size", 2)]));
        assert_eq!(status.packs.len(), 1);
    }

    #[test]
    fn lines_that_are_not_understood_are_named() {
        for text in [
            "mode: serve\npacks: many\n",
            "mode: serve\npack 0x0\n",
            "mode: serve\nnonsense\n",
            "",
        ] {
            assert!(Status::parse(text).is_err(), "{text:?}");
        }
        let error = Books::parse("image 0x40 64 live\n").expect_err("no pack before it");
        assert!(error.to_string().contains("image 0x40"), "{error}");
        for image in ["image 64 64 live", "image 0x40 64", "image 0x40 64 live 1"] {
            assert!(Books::parse(&format!("{PACK}\n{image}\n")).is_err());
        }
    }

    #[test]
    fn images_belong_to_the_pack_before_them() {
        let text =
            format!("{PACK}\nimage 0xffffc63208c00040 192 live\n{PACK}\nimage 0x80 64 retired\n");
        let books = Books::parse(&text).expect("it is well formed");
        let packs: Vec<_> = books.images.iter().map(|image| image.pack).collect();
        assert_eq!(packs, [0, 1]);
        assert_eq!(books.images[0].bytes, 192);
        assert_eq!(books.images[1].state, "retired");
    }
}
