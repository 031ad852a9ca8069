// SPDX-License-Identifier: GPL-2.0

//! Counters around a command: of the command and its descendants, or of all CPUs meanwhile.

use super::pmu::{Event, Pmu};
use crate::context::Context;
use crate::sources::sysctl;
use anyhow::{anyhow, Context as _, Result};
use perf_event::events::Raw;
use perf_event::{Builder, Counter, ReadFormat};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

/// What was counted in one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// The number of each event, on all CPUs that can count it.
    pub events: BTreeMap<Event, f64>,
    /// Whether counters were shared with somebody, and the numbers are scaled up.
    pub scaled: bool,
}

/// Counters that are open.
pub struct Counting {
    counters: Vec<(Event, Counter)>,
    all_cpus: bool,
    /// With several kinds of CPU, a counter also stands still while the task is on another kind.
    scales: bool,
}

impl Counting {
    /// Opens counters that stand still until [`Counting::begin`], or, without `all_cpus`, until a
    /// process that is made from now on executes a program.
    ///
    /// # Errors
    ///
    /// If the kernel lets nobody count, or not us; the error names the privilege.
    pub fn open(context: &Context, pmus: &[Pmu], all_cpus: bool) -> Result<Self> {
        let mut counters = Vec::new();
        for pmu in pmus {
            for &event in &pmu.has {
                let cpus = pmu.cpus.iter().filter(|_| all_cpus).map(|&cpu| Some(cpu));
                let no_cpu = (!all_cpus).then_some(None);
                for cpu in cpus.chain(no_cpu) {
                    let counter = build(pmu, event, cpu);
                    let counter = counter.map_err(|error| explain(context, error, all_cpus));
                    let counter =
                        counter.with_context(|| format!("{} of {}", event.name(), pmu.name));
                    counters.push((event, counter?));
                }
            }
        }
        Ok(Self {
            counters,
            all_cpus,
            scales: all_cpus || pmus.len() == 1,
        })
    }

    /// Begins to count on all CPUs, if that is wanted.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn begin(&mut self) -> io::Result<()> {
        let all_cpus = self.all_cpus;
        let mut counters = self.counters.iter_mut().filter(|_| all_cpus);
        counters.try_for_each(|(_, counter)| counter.enable())
    }

    /// Ends the count and sums it up.
    ///
    /// # Errors
    ///
    /// Those of the kernel.
    pub fn end(mut self) -> io::Result<Counts> {
        for (_, counter) in &mut self.counters {
            counter.disable()?;
        }
        let mut counts = Counts::default();
        for (event, counter) in &mut self.counters {
            let data = counter.read_full()?;
            let enabled = data.time_enabled().unwrap_or_default();
            let running = data.time_running().unwrap_or_default();
            let share = running.as_secs_f64() / enabled.as_secs_f64();
            // CAST: Counts up to 2^53 are exact, and more would take days.
            let count = data.count() as f64;
            let scale = self.scales && running < enabled && !running.is_zero();
            counts.scaled |= scale && share < 0.99;
            *counts.events.entry(*event).or_default() += if scale { count / share } else { count };
        }
        Ok(counts)
    }
}

fn build(pmu: &Pmu, event: Event, cpu: Option<usize>) -> io::Result<Counter> {
    let mut builder = Builder::new(Raw::new(event.code()));
    // With the type of raw events, the kernel would choose one of several kinds of CPU.
    builder.attrs_mut().type_ = pmu.kind;
    builder
        .include_kernel()
        .include_hv()
        .read_format(ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING);
    match cpu {
        Some(cpu) => builder.any_pid().one_cpu(cpu),
        None => builder
            .observe_self()
            .any_cpu()
            .inherit(true)
            .enable_on_exec(true),
    };
    builder.build()
}

/// Says what may be wrong when a counter cannot be opened.
fn explain(context: &Context, error: io::Error, all_cpus: bool) -> anyhow::Error {
    let most = if all_cpus { 0 } else { 1 };
    if error.kind() == ErrorKind::PermissionDenied {
        let now = sysctl::number(context, "kernel.perf_event_paranoid");
        let now = now.map_or_else(String::new, |now| format!(" (it is {now})"));
        return anyhow!(error).context(format!(
            "the kernel does not let us count: that needs CAP_PERFMON (try sudo), or \
             kernel.perf_event_paranoid of {most} or less{now}"
        ));
    }
    anyhow!(error).context("the kernel cannot count this event")
}
