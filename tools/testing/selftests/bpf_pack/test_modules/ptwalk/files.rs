// SPDX-License-Identifier: GPL-2.0

//! The files: the requests that they take, and the answers that they show.

#![deny(unsafe_code)]

use crate::audit::{
    Aliases,
    Census,
    LinearMap,
    Piece,
    Tally,
    MAX_RANGE, //
};
use crate::memory;
use crate::seed::{
    Alias,
    Seed,
    WriteExecute, //
};
use core::str::FromStr;
use kernel::debugfs::{
    Dir,
    File,
    Writer, //
};
use kernel::fmt;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;
use pagetable::{
    Leaf,
    Scan,
    Walk, //
};

/// Bytes of a request.
const MAX_REQUEST: usize = 128;
/// Lines of one kind that are shown; all are counted.
const MAX_LINES: usize = 64;

/// The file `walk`.
pub(crate) fn walk(dir: &Dir) -> impl PinInit<File<Mutex<WalkQuery>>> + '_ {
    dir.read_write_file(c"walk", new_mutex!(WalkQuery(0)))
}

/// The file `check`.
pub(crate) fn check(dir: &Dir) -> impl PinInit<File<Mutex<CheckQuery>>> + '_ {
    dir.read_only_file(c"check", new_mutex!(CheckQuery))
}

/// The file `linear`.
pub(crate) fn linear(dir: &Dir) -> impl PinInit<File<Mutex<LinearQuery>>> + '_ {
    dir.read_only_file(c"linear", new_mutex!(LinearQuery))
}

/// The file `alias`.
pub(crate) fn alias(dir: &Dir) -> impl PinInit<File<Mutex<AliasQuery>>> + '_ {
    dir.read_write_file(c"alias", new_mutex!(AliasQuery { first: 0, last: 0 }))
}

/// The file `seed`.
pub(crate) fn seed(dir: &Dir) -> impl PinInit<File<Mutex<Seed>>> + '_ {
    dir.read_write_callback_file(
        c"seed",
        new_mutex!(Seed::Nothing),
        &|seed, f| seed.lock().write(f),
        &plant,
    )
}

/// A hexadecimal address, with or without `0x`.
fn address(text: &str) -> Result<u64> {
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).map_err(|_| EINVAL)
}

/// A number of bytes, decimal or hexadecimal with `0x`.
fn length(text: &str) -> Result<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => u64::from_str(text),
    }
    .map_err(|_| EINVAL)
}

/// The address to walk to.
pub(crate) struct WalkQuery(u64);

impl FromStr for WalkQuery {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        address(text).map(Self)
    }
}

impl Writer for WalkQuery {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match memory::walk(self.0) {
            Ok(Walk::Leaf(leaf)) => writeln!(
                f,
                "va={:#x} leaf=\"{}\" size={} span={} level={} perm={} pa={:#x} desc={:#018x}",
                self.0,
                leaf.kind(),
                leaf.size,
                leaf.span,
                leaf.level,
                leaf.access(),
                leaf.translate(self.0),
                leaf.descriptor,
            ),
            Ok(Walk::Hole(hole)) => writeln!(
                f,
                "va={:#x} hole level={} size={} desc={:#018x}",
                self.0, hole.level, hole.size, hole.descriptor,
            ),
            Ok(Walk::Unreadable { table, level }) => writeln!(
                f,
                "va={:#x} unreadable level={level} table={table:#x}",
                self.0
            ),
            Ok(Walk::Outside) => writeln!(f, "va={:#x} outside", self.0),
            Err(error) => writeln!(f, "va={:#x} error={}", self.0, error.to_errno()),
        }
    }
}

/// The last line of an audit.
fn write_result(f: &mut fmt::Formatter<'_>, scan: &Scan, violations: usize) -> fmt::Result {
    if !scan.is_complete() {
        // A table that could not be read may hide anything, so that this is never "ok".
        writeln!(f, "incomplete: {scan:?}")?;
        writeln!(f, "result: incomplete")
    } else if violations == 0 {
        writeln!(f, "result: ok")
    } else {
        writeln!(f, "result: {violations} violations")
    }
}

/// The last line of an audit that could not be made.
fn write_failure(f: &mut fmt::Formatter<'_>, error: Error) -> fmt::Result {
    writeln!(f, "error: {}", error.to_errno())?;
    writeln!(f, "result: incomplete")
}

/// The file `check` has no request: it shows the whole kernel half.
pub(crate) struct CheckQuery;

impl Writer for CheckQuery {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let census = match memory::regime().and_then(|regime| Census::take(&regime)) {
            Ok(census) => census,
            Err(error) => return write_failure(f, error),
        };
        write_tallies(f, &census.tallies)?;
        for leaf in census.violations.iter().take(MAX_LINES) {
            write_violation(f, leaf)?;
        }
        writeln!(
            f,
            "tables={} repeated={}",
            census.scan.tables, census.scan.repeated
        )?;
        write_result(f, &census.scan, census.violations.len())
    }
}

/// A line for each kind and access.
fn write_tallies(f: &mut fmt::Formatter<'_>, tallies: &[Tally]) -> fmt::Result {
    for tally in tallies {
        writeln!(
            f,
            "leaf=\"{}\" perm={} leaves={} bytes={}",
            tally.kind, tally.access, tally.leaves, tally.bytes
        )?;
    }
    Ok(())
}

/// The file `linear` has no request.
pub(crate) struct LinearQuery;

impl Writer for LinearQuery {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = match memory::regime().and_then(|regime| LinearMap::take(&regime)) {
            Ok(map) => map,
            Err(error) => return write_failure(f, error),
        };
        write_tallies(f, &map.tallies)?;
        for split in &map.splits {
            writeln!(f, "split bytes={} blocks={}", split.bytes, split.blocks)?;
        }
        write_result(f, &map.scan, 0)
    }
}

/// The line of one W+X mapping.
fn write_violation(f: &mut fmt::Formatter<'_>, leaf: &Leaf) -> fmt::Result {
    writeln!(
        f,
        "violation: va={:#x} perm={} leaf=\"{}\" pa={:#x} desc={:#018x}",
        leaf.va,
        leaf.access(),
        leaf.kind(),
        leaf.pa,
        leaf.descriptor
    )
}

/// The range whose aliases are looked for.
pub(crate) struct AliasQuery {
    first: u64,
    /// Included.
    last: u64,
}

impl FromStr for AliasQuery {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut words = text.split_ascii_whitespace();
        let first = words.next().ok_or(EINVAL).and_then(address)?;
        let len = words.next().ok_or(EINVAL).and_then(length)?;
        let last = len
            .checked_sub(1)
            .and_then(|more| first.checked_add(more))
            .ok_or(EINVAL)?;
        if words.next().is_some() || len > MAX_RANGE {
            return Err(EINVAL);
        }
        Ok(Self { first, last })
    }
}

impl Writer for AliasQuery {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found =
            memory::regime().and_then(|regime| Aliases::find(&regime, self.first, self.last));
        let found = match found {
            Ok(found) => found,
            Err(error) => return write_failure(f, error),
        };
        let mut violations = 0usize;
        write_pieces(f, "self", &found.own, &mut violations, |leaf| {
            leaf.kernel_writable() || !leaf.kernel_executable()
        })?;
        if found.unmapped != 0 {
            violations = violations.saturating_add(1);
            writeln!(f, "violation: unmapped bytes={}", found.unmapped)?;
        }
        write_pieces(f, "alias", &found.others, &mut violations, |leaf| {
            leaf.kernel_writable()
        })?;
        write_result(f, &found.scan, violations)
    }
}

/// One line for each piece; adds those that are `bad` to `violations`.
fn write_pieces(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    pieces: &[Piece],
    violations: &mut usize,
    bad: fn(&Leaf) -> bool,
) -> fmt::Result {
    let mut hidden = 0usize;
    for (line, piece) in pieces.iter().enumerate() {
        let is_bad = bad(&piece.leaf);
        *violations = violations.saturating_add(usize::from(is_bad));
        if line >= MAX_LINES {
            hidden = hidden.saturating_add(1);
            continue;
        }
        writeln!(
            f,
            "{}{name} va={:#x} bytes={} perm={} leaf=\"{}\" pa={:#x}",
            if is_bad { "violation: " } else { "" },
            piece.va,
            piece.bytes,
            piece.leaf.access(),
            piece.leaf.kind(),
            piece.pa
        )?;
    }
    if hidden != 0 {
        writeln!(f, "more: {hidden} of {name}")?;
    }
    Ok(())
}

impl Writer for Seed {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let va = self.address().unwrap_or(0);
        match self {
            Self::Nothing => writeln!(f, "none"),
            Self::WriteExecute(_) => writeln!(f, "wx va={va:#x}"),
            Self::Alias(alias) => writeln!(f, "alias va={va:#x} pa={:#x}", alias.pa()),
        }
    }
}

/// Handles a write to `seed`: removes the old violation, then makes the new one.
fn plant(seed: &Mutex<Seed>, reader: &mut UserSliceReader) -> Result {
    let mut buffer = [0u8; MAX_REQUEST];
    let request = buffer.get_mut(..reader.len()).ok_or(EINVAL)?;
    reader.read_slice(request)?;
    let text = core::str::from_utf8(request).map_err(|_| EINVAL)?;
    let mut words = text.split_ascii_whitespace();
    let request = (words.next(), words.next(), words.next());

    let mut seed = seed.lock();
    *seed = Seed::Nothing;
    *seed = match request {
        (Some("none"), None, None) => Seed::Nothing,
        (Some("wx"), None, None) => Seed::WriteExecute(WriteExecute::new()?),
        (Some("alias"), Some(va), None) => Seed::Alias(Alias::new(address(va)?)?),
        _ => return Err(EINVAL),
    };
    Ok(())
}
