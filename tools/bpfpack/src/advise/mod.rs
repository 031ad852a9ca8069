// SPDX-License-Identifier: GPL-2.0

//! The subcommand `advise`: whether the module would gain anything on this machine.
//!
//! It counts how often each program runs, reckons how many entries of the instruction TLB the hot
//! ones take now and would take in packs ([`reckon`]), and holds that against the TLB of this CPU
//! ([`cores`]). It needs no module.

pub mod cores;
pub mod linear;
pub mod machine;
pub mod reckon;
pub mod report;
pub mod sample;

use crate::context::Context;
use crate::output;
use crate::sources::module;
use anyhow::{bail, Result};
use linear::LinearMap;
use machine::Machine;
use reckon::{Hot, Packs};
use report::{Packed, Report};
use sample::Sample;
use std::process::ExitCode;
use std::time::Duration;

/// The options of `bpfpack advise`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Count runs for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// A program is hot if it runs so many times a second, on all CPUs together
    #[arg(long, value_name = "RUNS", default_value_t = 100.0, value_parser = rate)]
    pub hot_rate: f64,
    /// Entries of this CPU's first-level instruction TLB, in place of the table's
    #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub itlb: Option<u32>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=86400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 86400 is wanted".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=1e9).contains(&rate) => Ok(rate),
        _ => Err("a number of runs a second from 0 to 1000000000 is wanted".to_owned()),
    }
}

/// Runs `bpfpack advise`.
///
/// # Errors
///
/// If the kernel does not tell what is needed, most often for want of privilege.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let report = advise(options, context)?;
    if context.json {
        output::print_json(&report)?;
    } else {
        let columns = context.columns.unwrap_or(report::WIDTH);
        output::print(&format!("{report:columns$}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn advise(options: &Options, context: &Context) -> Result<Report> {
    let mut machine = Machine::read(context)?;
    if machine.kinds.is_empty() {
        bail!(
            "this is no arm64 machine, or its kernel does not tell its CPUs: there is no midr_el1"
        );
    }
    if let Some(entries) = options.itlb {
        machine.set_l1(entries);
    }
    // Status needs root, as counting does; ask before the user has waited.
    let packs = Packed::of(module::status(context)?);
    let linear = linear::find(context, &machine.midrs())?;
    let sample = Sample::take(context, Duration::from_secs_f64(options.seconds))?;
    if sample.addresses_hidden {
        bail!(
            "the kernel hides the addresses of programs: they need CAP_SYS_ADMIN and CAP_SYSLOG \
             (try sudo), and kernel.kptr_restrict less than 2"
        );
    }
    Ok(judge(options, machine, packs, linear, &sample))
}

fn judge(
    options: &Options,
    machine: Machine,
    packed: Packed,
    linear: LinearMap,
    sample: &Sample,
) -> Report {
    let functions = sample
        .hot(options.hot_rate)
        .flat_map(|program| &program.functions);
    let hot: Vec<_> = functions
        .map(|function| Hot {
            address: function.address,
            bytes: function.bytes.into(),
            leaf: packed
                .leaf_at(function.address)
                .unwrap_or(machine.page_bytes),
        })
        .collect();
    let all = sample
        .programs
        .iter()
        .map(|(program, _)| u64::from(program.jited_bytes));
    let packs = Packs {
        bytes: all.sum(),
        leaf: machine.pack_leaf(),
    };
    Report::new(
        machine,
        packed,
        linear,
        sample,
        options.hot_rate,
        &hot,
        packs,
    )
}

#[cfg(test)]
mod tests;
