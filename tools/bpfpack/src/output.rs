// SPDX-License-Identifier: GPL-2.0

//! Text for people: sizes, tables and colours. Nothing is said by a colour alone. On a terminal, text
//! is no wider than that.

mod fold;

use crate::context::Context;
use anyhow::Result;
use serde::{Serialize, Serializer};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::ops::Range;

/// What a colour stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Strong => "1",
            Self::Faint => "2",
        }
    }
}

/// Colours `text`, if colours are wanted.
pub fn paint(context: &Context, tone: Tone, text: &str) -> String {
    if context.color && !text.is_empty() {
        format!("\x1b[{}m{text}\x1b[0m", tone.code())
    } else {
        text.to_owned()
    }
}

/// A size with its unit: `0 B`, `92.3 KiB`, `2 MiB`.
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    // CAST: Rounding does no harm to what is printed with one decimal.
    let (mut value, mut unit) = (size as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let text = format!("{value:.1}");
    format!("{} {}", text.trim_end_matches(".0"), UNITS[unit])
}

/// A number with separators: `1,204`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 pack`, `2 packs`.
pub fn count(value: u64, thing: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", number(value))
}

/// How long ago, in the largest unit that fits: `45s`, `3m`, `5h`, `12d`.
pub fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A share of a whole, in percent.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    // CAST: Rounding does no harm to what is printed with one decimal.
    part as f64 * 100.0 / whole as f64
}

/// A table whose columns are as wide as their contents.
pub struct Table {
    heads: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// The head of a column, and on which side its contents stand.
#[derive(Clone, Copy, Debug)]
pub enum Column {
    /// Text, on the left.
    Left(&'static str),
    /// Numbers, on the right.
    Right(&'static str),
}

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Left(head) | Self::Right(head) => head,
        }
    }
}

impl Table {
    /// An empty table.
    pub fn new(heads: &[Column]) -> Self {
        Self {
            heads: heads.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; it should have a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text, each line with its newline.
    pub fn render(&self, context: &Context) -> String {
        let widths: Vec<usize> = (0..self.heads.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
                widest.max(self.heads[column].head().len())
            })
            .collect();
        let parts = parts(&widths, context.columns.unwrap_or(usize::MAX));
        let heads: Vec<String> = self.heads.iter().map(|head| head.head().into()).collect();
        let mut text = String::new();
        for part in &parts {
            let line = self.line(&heads, &widths, part);
            text += &(paint(context, Tone::Strong, &line) + "\n");
        }
        for row in &self.rows {
            for part in &parts {
                text += &(self.line(row, &widths, part) + "\n");
            }
        }
        text
    }

    /// The line with those cells of a row that are in `part`.
    fn line(&self, cells: &[String], widths: &[usize], part: &Range<usize>) -> String {
        let mut line = " ".repeat(if part.start > 0 { INDENT } else { 0 });
        let cells = cells.iter().zip(&self.heads).zip(widths);
        for ((cell, head), width) in cells.skip(part.start).take(part.len()) {
            let cell = printable(cell);
            // Writing to a string does not fail.
            let _ = match head {
                Column::Left(_) => write!(line, "{cell:<width$}  "),
                Column::Right(_) => write!(line, "{cell:>width$}  "),
            };
        }
        line.trim_end().to_owned()
    }
}

/// By how many columns a table's further lines are indented.
const INDENT: usize = 4;

/// Divides a table's columns of these widths among lines, so that they have room in `columns`.
fn parts(widths: &[usize], columns: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (column, width) in widths.iter().enumerate() {
        if column > start && used + width > columns {
            parts.push(start..column);
            (start, used) = (column, INDENT);
        }
        used += width + 2;
    }
    parts.push(start..widths.len());
    parts
}

/// `text` without characters that a terminal would act upon: names come from anybody.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// Whether somebody reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Somebody may.
    There,
    /// Nobody will: what prints on and on should end.
    Gone,
}

/// Prints `text`.
///
/// # Errors
///
/// Those of writing. A reader that has gone away is no error.
pub fn print(text: &str) -> Result<Reader> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        result => Ok(result.map(|()| Reader::There)?),
    }
}

/// Prints `text`, which is for people: lines that the terminal has no room for are folded.
///
/// # Errors
///
/// As for [`print`].
pub fn show(text: &str, context: &Context) -> Result<Reader> {
    match context.columns {
        None => print(text),
        Some(columns) => print(&fold::lines(text, columns)),
    }
}

/// Says `text` on standard error. That it cannot be said there is no error: what is under way
/// has to come to its end. The macros of the standard library would panic.
pub fn say(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "bpfpack: {text}");
}

/// Writes an address for JSON as `0x` and 16 digits: as a number, a reader would round it that
/// takes all of them for floating point, as most do.
///
/// # Errors
///
/// Those of writing.
pub fn address<S: Serializer>(address: &u64, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{address:#018x}"))
}

/// Prints `report` as JSON.
///
/// # Errors
///
/// As for [`print`].
pub fn print_json(report: &impl Serialize) -> Result<Reader> {
    print(&(serde_json::to_string_pretty(report)? + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn context(color: bool) -> Context {
        Context {
            json: false,
            color,
            columns: None,
            root: PathBuf::from("/"),
        }
    }

    #[test]
    fn sizes_have_units() {
        let sizes = [0, 1023, 1024, 94_515, 2 << 20, 264 << 20, u64::MAX];
        let texts = sizes.map(bytes);
        let expected = [
            "0 B", "1023 B", "1 KiB", "92.3 KiB", "2 MiB", "264 MiB", "16 EiB",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn numbers_have_separators() {
        let texts = [0, 999, 1_000, 1_234_567].map(number);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(count(1, "pack") + &count(2, "pack"), "1 pack2 packs");
    }

    #[test]
    fn ages_have_one_unit() {
        let texts = [0, 119, 120, 7_199, 7_200, 172_800].map(age);
        assert_eq!(texts, ["0s", "119s", "2m", "119m", "2h", "2d"]);
        assert_eq!(percent(1, 0), 0.0);
    }

    #[test]
    fn tables_are_aligned_and_say_nothing_to_the_terminal() {
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("SIZE")]);
        table.row(vec!["a\x1b[31m".into(), "1".into()]);
        table.row(vec!["longer".into(), "12345".into()]);
        let text = table.render(&context(false));
        assert_eq!(text, "NAME     SIZE\na?[31m      1\nlonger  12345\n");
    }

    #[test]
    fn wide_tables_have_several_lines_for_each_row() {
        let columns = ["A", "B", "C", "D"].map(Column::Left);
        let mut table = Table::new(&columns);
        table.row(
            ["1234567", "12345", "12345678901234", "x"]
                .map(str::to_owned)
                .into(),
        );
        let mut narrow = context(false);
        narrow.columns = Some(16);
        let expected = "A        B\n    C\n    D\n1234567  12345\n    12345678901234\n    x\n";
        assert_eq!(table.render(&narrow), expected);
        narrow.columns = Some(33);
        let expected = "A        B      C               D\n1234567  12345  12345678901234  x\n";
        assert_eq!(table.render(&narrow), expected);
    }

    #[test]
    fn colours_only_where_they_are_wanted() {
        assert_eq!(paint(&context(false), Tone::Bad, "x"), "x");
        assert_eq!(paint(&context(true), Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
