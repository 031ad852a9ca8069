// SPDX-License-Identifier: GPL-2.0

//! The subcommand `measure`: counts this CPU's own events around a command, with images in packs
//! and not, in turn.
//!
//! The module's mode decides where *new* images go. An image that is live stays where it is, so the
//! command has to load the programs that it runs. The mode is put back when the measurement ends,
//! also by a signal ([`mode::Mode`]).

pub mod command;
pub mod counting;
pub mod mode;
pub mod pmu;
pub mod report;
pub mod turns;

use crate::context::Context;
use crate::output;
use crate::sources::module;
use anyhow::{bail, Result};
use command::{End, Interrupts};
use counting::Counting;
use mode::Mode;
use pmu::{Event, Pmu};
use report::{Report, Turn};
use std::process::ExitCode;

/// The options of `bpfpack measure`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Turns with packs, and as many without
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub turns: u32,
    /// Runs before the first turn that are not counted
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub warm_up: u32,
    /// Count all CPUs while COMMAND runs, and not only COMMAND
    #[arg(long, short)]
    pub all_cpus: bool,
    /// Leave the module's mode alone and only count; needs no module
    #[arg(long)]
    pub as_is: bool,
    /// Go on when COMMAND fails
    #[arg(long)]
    pub ignore_status: bool,
    /// The command and its arguments
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Runs `bpfpack measure`.
///
/// # Errors
///
/// If the module is not loaded, nothing can be counted, or the command fails.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    if !context.is_live() {
        bail!("only the running machine can be measured");
    }
    let pmus = pmu::find(context)?;
    check(&pmus)?;
    // Before the first turn: missing privilege should not cost a run of the command.
    drop(Counting::open(context, &pmus, options.all_cpus)?);
    let mut interrupts = Interrupts::catch()?;
    let mut mode = if options.as_is {
        None
    } else {
        Some(Mode::hold(context)?)
    };
    let measured = Measurement {
        options,
        context,
        pmus: &pmus,
        interrupts: &mut interrupts,
    }
    .all(mode.as_mut());
    drop(mode);
    let Some(turns) = measured? else {
        let signal = interrupts
            .pending()
            .and_then(|signal| u8::try_from(signal).ok());
        output::say("interrupted; the module's mode is as it was");
        return Ok(ExitCode::from(128 | signal.unwrap_or(0)));
    };
    let report = Report::new(options.command.clone(), options.all_cpus, pmus, turns);
    if context.json {
        output::print_json(&report)?;
    } else {
        output::show(&report.to_string(), context)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Refuses a machine that can count nothing.
fn check(pmus: &[Pmu]) -> Result<()> {
    if pmus.is_empty() {
        bail!(
            "no performance monitor of this machine counts {}: it has none of the Arm \
             architecture's, the virtual machine is not given one, or its kernel has no driver \
             (/sys/bus/event_source/devices)",
            Event::ALL.map(Event::name).join(", ")
        );
    }
    Ok(())
}

/// All turns.
struct Measurement<'a> {
    options: &'a Options,
    context: &'a Context,
    pmus: &'a [Pmu],
    interrupts: &'a mut Interrupts,
}

impl Measurement<'_> {
    /// Runs all turns: `None` if a signal told us to end.
    fn all(&mut self, mode: Option<&mut Mode>) -> Result<Option<Vec<Turn>>> {
        for number in 1..=self.options.warm_up {
            output::say(format_args!("warm-up {number} of {}", self.options.warm_up));
            if self.once()?.is_none() {
                return Ok(None);
            }
        }
        match mode {
            Some(mode) => self.both(mode),
            None => self.as_is(),
        }
    }

    /// The turns of both sides.
    fn both(&mut self, mode: &mut Mode) -> Result<Option<Vec<Turn>>> {
        let order = turns::order(self.options.turns);
        let mut turns = Vec::new();
        for (number, &side) in order.iter().enumerate() {
            output::say(format_args!(
                "turn {} of {}: {}",
                number + 1,
                order.len(),
                side.name()
            ));
            mode.set(side)?;
            let before = self.images()?;
            let Some(counts) = self.once()? else {
                return Ok(None);
            };
            let after = self.images()?;
            turns.push(Turn {
                side: Some(side),
                images_to_packs: after.0.saturating_sub(before.0),
                images_to_stock: after.1.saturating_sub(before.1),
                counts,
            });
        }
        Ok(Some(turns))
    }

    /// The turns without a comparison.
    fn as_is(&mut self) -> Result<Option<Vec<Turn>>> {
        let mut turns = Vec::new();
        for number in 1..=self.options.turns {
            output::say(format_args!("turn {number} of {}", self.options.turns));
            let Some(counts) = self.once()? else {
                return Ok(None);
            };
            turns.push(Turn {
                side: None,
                images_to_packs: 0,
                images_to_stock: 0,
                counts,
            });
        }
        Ok(Some(turns))
    }

    /// Runs the command once and counts: `None` if a signal told us to end.
    fn once(&mut self) -> Result<Option<counting::Counts>> {
        if self.interrupts.pending().is_some() {
            return Ok(None);
        }
        let mut counting = Counting::open(self.context, self.pmus, self.options.all_cpus)?;
        counting.begin()?;
        let end = self.interrupts.run(&self.options.command)?;
        let counts = counting.end()?;
        match end {
            End::Interrupted(_) => Ok(None),
            End::Done(status) if !status.success() && !self.options.ignore_status => {
                bail!("COMMAND failed ({status}); --ignore-status goes on nevertheless")
            }
            End::Done(_) => Ok(Some(counts)),
        }
    }

    /// The module's counts of images so far.
    fn images(&self) -> Result<(u64, u64)> {
        match module::status(self.context)? {
            Some(status) => Ok(mode::images(&status)),
            None => bail!("bpf_pack was removed meanwhile"),
        }
    }
}

#[cfg(test)]
mod tests;
