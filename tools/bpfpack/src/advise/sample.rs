// SPDX-License-Identifier: GPL-2.0

//! How often each program runs: its run count before and after some seconds in which the kernel
//! counts runs.

use crate::context::Context;
use crate::sources::bpf::{self, Bpf, Program};
use anyhow::{Context as _, Result};
use aya::sys::{enable_stats, Stats};
use std::collections::BTreeMap;
use std::io::{stderr, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Seconds for which runs were counted.
    pub seconds: f64,
    /// The programs that were there at the end, with their runs in that time.
    pub programs: Vec<(Program, u64)>,
    /// Whether the kernel hides the addresses of images from us.
    pub addresses_hidden: bool,
}

impl Sample {
    /// Counts runs for `period`. A recording is taken as it is: all its runs are of that period.
    ///
    /// # Errors
    ///
    /// If the kernel does not count, or does not list its programs.
    pub fn take(context: &Context, period: Duration) -> Result<Self> {
        if !context.is_live() {
            return Ok(Self::between(&Bpf::default(), bpf::read(context)?, period));
        }
        // The kernel stops counting when the descriptor is closed, also if a signal ends us.
        let counting = enable_stats(Stats::RunTime).context(
            "the kernel does not count runs of BPF programs for us: that needs CAP_SYS_ADMIN (try \
             sudo) and Linux 5.8",
        )?;
        let before = bpf::read(context)?;
        let begin = Instant::now();
        wait(period)?;
        let after = bpf::read(context)?;
        let elapsed = begin.elapsed();
        drop(counting);
        Ok(Self::between(&before, after, elapsed))
    }

    fn between(before: &Bpf, after: Bpf, period: Duration) -> Self {
        let old: BTreeMap<u32, u64> = before
            .programs
            .iter()
            .map(|program| (program.id, program.run_count))
            .collect();
        Self {
            seconds: period.as_secs_f64(),
            addresses_hidden: after.addresses_hidden(),
            programs: after
                .programs
                .into_iter()
                .map(|program| {
                    let old = old.get(&program.id).copied().unwrap_or(0);
                    let runs = program.run_count.saturating_sub(old);
                    (program, runs)
                })
                .collect(),
        }
    }

    /// Programs that ran at least `rate` times a second.
    pub fn hot(&self, rate: f64) -> impl Iterator<Item = &Program> {
        self.programs
            .iter()
            // CAST: Counts of a few seconds are exact in a double.
            .filter(move |(_, runs)| *runs > 0 && *runs as f64 >= rate * self.seconds)
            .map(|(program, _)| program)
    }
}

/// Waits, and shows on a terminal how long it will take.
fn wait(period: Duration) -> Result<()> {
    let begin = Instant::now();
    let mut out = stderr();
    let shown = out.is_terminal();
    if !shown {
        writeln!(
            out,
            "bpfpack: counting runs of BPF programs for {:.0} s",
            period.as_secs_f64().ceil()
        )?;
    }
    loop {
        let left = period.saturating_sub(begin.elapsed());
        if left.is_zero() {
            break;
        }
        if shown {
            write!(
                out,
                "\rcounting runs of BPF programs: {:.0} s left ",
                left.as_secs_f64().ceil()
            )?;
            out.flush()?;
        }
        thread::sleep(left.min(Duration::from_millis(500)));
    }
    if shown {
        write!(out, "\r{:48}\r", "")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(runs: &[(u32, u64)]) -> Bpf {
        Bpf {
            programs: runs
                .iter()
                .map(|&(id, run_count)| Program {
                    id,
                    run_count,
                    ..Program::default()
                })
                .collect(),
            ..Bpf::default()
        }
    }

    #[test]
    fn runs_are_those_of_the_period() {
        let (before, after) = (
            programs(&[(1, 1000), (2, 5)]),
            programs(&[(1, 1000), (2, 15), (7, 9)]),
        );
        let sample = Sample::between(&before, after, Duration::from_secs(5));
        let runs: Vec<_> = sample
            .programs
            .iter()
            .map(|(program, runs)| (program.id, *runs))
            .collect();
        assert_eq!(runs, [(1, 0), (2, 10), (7, 9)]);
        let hot = |rate| {
            sample
                .hot(rate)
                .map(|program| program.id)
                .collect::<Vec<_>>()
        };
        assert_eq!(hot(2.0), [2]);
        assert_eq!(hot(1.8), [2, 7]);
        assert_eq!(hot(0.0), [2, 7], "what never ran is not hot");
    }

    #[test]
    fn a_count_that_went_back_is_no_run() {
        let sample = Sample::between(
            &programs(&[(1, 9)]),
            programs(&[(1, 3)]),
            Duration::from_secs(1),
        );
        assert_eq!(sample.programs[0].1, 0);
    }
}
