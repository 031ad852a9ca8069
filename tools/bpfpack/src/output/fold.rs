// SPDX-License-Identifier: GPL-2.0

//! Folds lines that are wider than a terminal.

use std::mem::take;

/// By how many columns more than the line itself its further lines are indented.
const HANGING: usize = 2;

/// Folds all lines of `text` at spaces, so that each has room in `columns`. A word is never torn.
pub(super) fn lines(text: &str, columns: usize) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => fold(line, columns) + "\n",
            None => fold(line, columns),
        })
        .collect()
}

fn fold(line: &str, columns: usize) -> String {
    let own = line.len() - line.trim_start_matches(' ').len();
    let indent = " ".repeat(own + HANGING);
    let mut folded = String::new();
    // What is still to be placed in a line, which has spaces as they are, and the line so far.
    let (mut spaces, mut row) = (String::new(), String::new());
    for word in line.split(' ') {
        let room = columns.saturating_sub(width(&row) + spaces.len());
        if width(word) > room && !row.trim().is_empty() && !word.is_empty() {
            folded += row.trim_end_matches(' ');
            folded.push('\n');
            row = indent.clone();
            spaces.clear();
        }
        row += &take(&mut spaces);
        row += word;
        spaces.push(' ');
    }
    folded + &row
}

/// The columns of `text`: its characters without the sequences that colour it.
fn width(text: &str) -> usize {
    let mut parts = text.split('\x1b');
    let plain = parts.next().unwrap_or("").chars().count();
    let colored = parts.map(|part| part.split_once('m').map_or("", |(_, rest)| rest));
    plain + colored.map(|part| part.chars().count()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_at_spaces_and_hang() {
        let text = "  good  arch    it is one, and of the right kind\n\nshort\n";
        let folded = "  good  arch    it\n    is one, and of\n    the right kind\n\nshort\n";
        assert_eq!(lines(text, 18), folded);
        assert_eq!(lines(text, 48), text);
        assert_eq!(lines("no end of it", 9), "no end of\n  it");
    }

    #[test]
    fn words_are_not_torn() {
        assert_eq!(
            lines("at /a/very/long/path/of/it\n", 8),
            "at\n  /a/very/long/path/of/it\n"
        );
        assert_eq!(
            lines("/a/very/long/path is\n", 8),
            "/a/very/long/path\n  is\n"
        );
    }

    #[test]
    fn colours_take_no_room() {
        let text = "\x1b[32mgood\x1b[0m as it is\n";
        assert_eq!(lines(text, 13), text);
        assert_eq!(lines(text, 12), "\x1b[32mgood\x1b[0m as it\n  is\n");
    }
}
