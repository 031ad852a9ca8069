// SPDX-License-Identifier: GPL-2.0

//! The screen of `bpfpack top`.

use super::history::{History, Rates};
use crate::output::{bytes, number};
use crate::sources::module::Pack;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, Paragraph, Row, Sparkline, Table};
use ratatui::Frame;

/// What the screen shows besides the figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    /// Seconds between two looks.
    pub(super) interval: f64,
    /// Whether the picture is held.
    pub(super) held: bool,
    /// Whether to use colours.
    pub(super) color: bool,
}

impl Screen {
    fn style(&self, color: Color) -> Style {
        if self.color {
            Style::new().fg(color)
        } else {
            Style::new()
        }
    }
}

/// A screen of fewer columns has the rates in two rows, and less words.
const WIDE: u16 = 80;

/// Draws the screen.
pub(super) fn draw(frame: &mut Frame<'_>, history: &History, screen: &Screen) {
    let wide = frame.area().width >= WIDE;
    let [head, rates, gauges, packs, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(if wide { 6 } else { 8 }),
        Constraint::Length(6),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let held = if screen.held { "  HELD" } else { "" };
    let headline = match history.status() {
        None => "bpf_pack is not loaded".to_owned(),
        Some(status) => format!(
            "{}{}  {} images  {} packs",
            if wide { "bpf_pack: " } else { "" },
            if status.serves() { "serves" } else { "drains" },
            number(status.value("images")),
            number(status.value("packs"))
        ),
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::styled(headline + held, bold), head);
    draw_rates(frame, rates, history, screen);
    draw_gauges(frame, gauges, &history.rates(), screen);
    if let Some(status) = history.status() {
        draw_packs(frame, packs, &status.packs);
    }
    let (interval, help) = (
        screen.interval,
        ["q quit", "p hold", "+ slower", "- faster"],
    );
    let help = if wide {
        format!("every {interval} s   {}", help.join("   "))
    } else {
        format!("{}  {interval} s", help.join("  "))
    };
    frame.render_widget(Paragraph::new(help), keys);
}

/// Picks one of the rates.
type Pick = fn(&Rates) -> f64;

/// The courses of loads, frees, synchronisations and refusals.
fn draw_rates(frame: &mut Frame<'_>, area: Rect, history: &History, screen: &Screen) {
    let in_row = if area.width >= WIDE { 4 } else { 2 };
    // CAST: 4 or 2.
    let rows = Layout::vertical(vec![Constraint::Ratio(1, 4 / in_row as u32); 4 / in_row]);
    let columns = Layout::horizontal(vec![Constraint::Ratio(1, in_row as u32); in_row]);
    let rows = rows.split(area);
    let places: Vec<Rect> = rows
        .iter()
        .flat_map(|row| columns.split(*row).to_vec())
        .collect();
    let courses: [(&str, Pick, Color); 4] = [
        ("loads/s", |rates| rates.loads, Color::Green),
        ("frees/s", |rates| rates.frees, Color::Blue),
        ("syncs/s", |rates| rates.synchronisations, Color::Yellow),
        ("to stock/s", |rates| rates.to_stock, Color::Red),
    ];
    let now = history.rates();
    for ((name, pick, color), column) in courses.into_iter().zip(places.iter()) {
        let block = Block::bordered().title(format!("{name} {:.1}", pick(&now)));
        let width = block.inner(*column).width.into();
        let course = history.course(width, pick);
        let line = Sparkline::default()
            .block(block)
            .style(screen.style(color))
            .data(&course);
        frame.render_widget(line, *column);
    }
}

/// How full the packs are, and how scattered their free memory.
fn draw_gauges(frame: &mut Frame<'_>, area: Rect, rates: &Rates, screen: &Screen) {
    let [above, below] =
        Layout::vertical([Constraint::Length(3), Constraint::Length(3)]).areas(area);
    for (area, name, percent) in [
        (above, "occupancy", rates.occupancy_percent),
        (below, "fragmentation", rates.fragmentation_percent),
    ] {
        let gauge = Gauge::default()
            .block(Block::bordered().title(name))
            .gauge_style(screen.style(Color::Cyan))
            .label(format!("{percent:.1} %"))
            .ratio((percent / 100.0).clamp(0.0, 1.0));
        frame.render_widget(gauge, area);
    }
}

/// The columns of the table of packs: the head, the width, and which one of them goes first where
/// there is no room for all, the one with the largest number.
const COLUMNS: [(&str, u16, u8); 8] = [
    ("PACK", 4, 0),
    ("ADDRESS", 16, 7),
    ("LEAF", 18, 4),
    ("PLACE", 5, 5),
    ("IMAGES", 7, 2),
    ("USED", 10, 1),
    ("RETIRED", 10, 6),
    ("FREE", 10, 3),
];

/// Which of the columns there is room for: a number that is cut off would be a wrong one.
fn columns(width: u16) -> [bool; COLUMNS.len()] {
    let mut shown = [true; COLUMNS.len()];
    for gone in (1..COLUMNS.len()).rev() {
        let kept = COLUMNS.iter().zip(&shown).filter(|(_, shown)| **shown);
        // One more between two of them.
        if kept.map(|(column, _)| column.1 + 1).sum::<u16>() <= width.saturating_add(1) {
            break;
        }
        for (column, shown) in COLUMNS.iter().zip(&mut shown) {
            *shown &= usize::from(column.2) != gone;
        }
    }
    shown
}

fn draw_packs(frame: &mut Frame<'_>, area: Rect, packs: &[Pack]) {
    let block = Block::bordered().title("packs");
    let shown = columns(block.inner(area).width);
    let pick = |cells: [String; COLUMNS.len()]| -> Vec<String> {
        let cells = cells.into_iter().zip(&shown);
        cells
            .filter(|(_, shown)| **shown)
            .map(|(cell, _)| cell)
            .collect()
    };
    let rows = packs.iter().enumerate().map(|(index, pack)| {
        Row::new(pick([
            index.to_string(),
            format!("{:016x}", pack.start),
            pack.leaf.clone(),
            if pack.near { "near" } else { "far" }.to_owned(),
            number(pack.images),
            bytes(pack.live_bytes + pack.reserved_bytes),
            bytes(pack.retired_bytes),
            bytes(pack.free_bytes),
        ]))
    });
    let widths = COLUMNS.iter().zip(&shown).filter(|(_, shown)| **shown);
    let widths = widths.map(|(column, _)| Constraint::Length(column.1));
    let heads = pick(COLUMNS.map(|column| column.0.to_owned()));
    let heads = Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD));
    let table = Table::new(rows, widths).header(heads).block(block);
    frame.render_widget(table, area);
}

#[cfg(test)]
mod tests {
    use super::super::history::Sample;
    use super::*;
    use crate::sources::module::Status;
    use ratatui::backend::TestBackend;
    use ratatui::Terminal;
    use std::time::Instant;

    fn screen_of(status: Option<&str>, width: u16, height: u16, color: bool) -> (String, bool) {
        let mut history = History::default();
        history.add(Sample {
            at: Instant::now(),
            status: status.map(|text| Status::parse(text).expect("well formed")),
        });
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test");
        let screen = Screen {
            interval: 1.0,
            held: true,
            color,
        };
        let drawn = terminal.draw(|frame| draw(frame, &history, &screen));
        drawn.expect("a test never fails to draw");
        let buffer = terminal.backend().buffer();
        let colored = buffer.content.iter().any(|cell| cell.fg != Color::Reset);
        (terminal.backend().to_string(), colored)
    }

    const STATUS: &str = "mode: serve\npacks: 1\nimages: 1204\npack_bytes: 2097152\n\
        free_bytes: 1572864\nlargest_hole_bytes: 1572864\n\
        pack 0xffffc63208c00000-0xffffc63208e00000: 2 MiB block, near, linear alias invalid, \
        3 images, bytes: 524288 live, 0 reserved, 0 retired, 1572864 free\n";

    fn has_all(text: &str, figures: &[&str]) {
        for wanted in figures {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }

    #[test]
    fn the_screen_has_the_figures() {
        let (text, colored) = screen_of(Some(STATUS), 100, 24, false);
        has_all(
            &text,
            &[
                "serves  1,204 images  1 packs  HELD",
                "loads/s 0.0",
                "25.0 %",
                "2 MiB block",
                "512 KiB",
                "q quit",
            ],
        );
        assert!(!colored);
        assert!(screen_of(Some(STATUS), 100, 24, true).1);
    }

    #[test]
    fn a_narrow_screen_has_the_figures_too() {
        let (text, _) = screen_of(Some(STATUS), 40, 24, false);
        has_all(
            &text,
            &[
                "serves  1,204 images  1 packs  HELD",
                "loads/s 0.0",
                "frees/s 0.0",
                "syncs/s 0.0",
                "to stock/s 0.0",
                "25.0 %",
                "512 KiB",
                "1.5 MiB",
                "q quit",
                "- faster",
            ],
        );
        // A column that has no room is left out, not cut off.
        assert!(!text.contains("ADDR") && !text.contains("ffff"), "{text}");
        let (text, _) = screen_of(Some(STATUS), 89, 24, false);
        assert!(text.contains("ffffc63208c00000"), "{text}");
    }

    #[test]
    fn small_screens_and_no_module_do_no_harm() {
        for (width, height) in [(1, 1), (10, 3), (40, 12)] {
            screen_of(Some(STATUS), width, height, true);
        }
        assert!(screen_of(None, 80, 24, false).0.contains("not loaded"));
    }
}
