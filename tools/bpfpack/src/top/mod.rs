// SPDX-License-Identifier: GPL-2.0

//! `bpfpack top`: what happens now.

mod history;
mod view;

use crate::context::Context;
use crate::output::{self, Reader};
use crate::signals;
use crate::sources::module;
use anyhow::{bail, Result};
use history::{History, Sample};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::DefaultTerminal;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The options of `bpfpack top`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub interval: f64,
    /// End after N looks
    #[arg(short, long, value_name = "N")]
    pub count: Option<u64>,
}

/// How often to see whether a signal tells us to end.
const TICK: Duration = Duration::from_millis(250);
/// The shortest and the longest interval, seconds.
const INTERVALS: (f64, f64) = (0.1, 3600.0);

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (INTERVALS.0..=INTERVALS.1).contains(&value) => Ok(value),
        _ => Err(format!("from {} to {} seconds", INTERVALS.0, INTERVALS.1)),
    }
}

/// Runs `bpfpack top`.
///
/// # Errors
///
/// If the module cannot be asked, or the output is neither JSON nor a terminal.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    if context.json {
        lines(options, context)?;
        return Ok(ExitCode::SUCCESS);
    }
    if !std::io::stdout().is_terminal() {
        bail!("top needs a terminal; --json prints lines");
    }
    // An error that comes at once is one to read, not to flash by.
    look(context)?;
    // Caught before the terminal is as the picture needs it: it must not stay so.
    let interrupted = signals::flag_on_terminal()?;
    let mut terminal = ratatui::try_init()?;
    let result = watch(&mut terminal, options, context, &interrupted);
    ratatui::restore();
    result.map(|()| ExitCode::SUCCESS)
}

fn look(context: &Context) -> Result<Sample> {
    Ok(Sample {
        at: Instant::now(),
        status: module::status(context)?,
    })
}

/// Prints a line of JSON for each look but the first, as long as somebody reads them.
fn lines(options: &Options, context: &Context) -> Result<()> {
    let mut history = History::default();
    history.add(look(context)?);
    let mut looks = 0;
    while options.count.is_none_or(|count| looks < count) {
        sleep(Duration::from_secs_f64(options.interval));
        history.add(look(context)?);
        looks += 1;
        let line = serde_json::to_string(&history.rates())? + "\n";
        if output::print(&line)? == Reader::Gone {
            break;
        }
    }
    Ok(())
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Quit,
    Hold,
    Slower,
    Faster,
    Redraw,
}

/// Shows the picture until somebody wants it to end.
fn watch(
    terminal: &mut DefaultTerminal,
    options: &Options,
    context: &Context,
    interrupted: &AtomicBool,
) -> Result<()> {
    let mut history = History::default();
    let mut screen = view::Screen {
        interval: options.interval,
        held: false,
        color: context.color,
    };
    let mut looks = 0;
    let mut next = Instant::now();
    while !interrupted.load(Ordering::Relaxed) {
        if Instant::now() >= next {
            if !screen.held {
                history.add(look(context)?);
                looks += 1;
            }
            next = Instant::now() + Duration::from_secs_f64(screen.interval);
        }
        terminal.draw(|frame| view::draw(frame, &history, &screen))?;
        if options.count.is_some_and(|count| looks >= count) {
            return Ok(());
        }
        let time = next.saturating_duration_since(Instant::now());
        match wait_for_key(time.min(TICK))? {
            Some(Wish::Quit) => return Ok(()),
            Some(Wish::Hold) => screen.held = !screen.held,
            Some(Wish::Slower) => screen.interval = (screen.interval * 2.0).min(INTERVALS.1),
            Some(Wish::Faster) => {
                screen.interval = (screen.interval / 2.0).max(INTERVALS.0);
                next = Instant::now();
            }
            Some(Wish::Redraw) | None => {}
        }
    }
    Ok(())
}

fn wait_for_key(time: Duration) -> Result<Option<Wish>> {
    if !event::poll(time)? {
        return Ok(None);
    }
    let Event::Key(key) = event::read()? else {
        return Ok(Some(Wish::Redraw));
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(match key.code {
        _ if key.kind != KeyEventKind::Press => None,
        KeyCode::Char('c') if control => Some(Wish::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Char('p' | ' ') => Some(Wish::Hold),
        KeyCode::Char('+') => Some(Wish::Slower),
        KeyCode::Char('-') => Some(Wish::Faster),
        _ => None,
    })
}
