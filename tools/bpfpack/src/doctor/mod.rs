// SPDX-License-Identifier: GPL-2.0

//! `bpfpack doctor`: does this kernel qualify, and what would insmod say, without insmod.

mod hooks;
mod machine;
mod modules;
mod symbols;

use crate::context::Context;
use crate::output::{self, paint, Tone};
use crate::sources::module;
use anyhow::Result;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// The options of `bpfpack doctor`.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Options {
    /// The module to look at instead of the installed one
    #[arg(short, long, value_name = "FILE")]
    pub module: Option<PathBuf>,
}

/// How bad what a check found is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Good,
    /// It works, but not as well as it could; or it could not be found out.
    Warn,
    /// insmod would fail.
    Bad,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, in a word or two.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found, in a sentence.
    pub text: String,
}

impl Finding {
    fn new(check: &'static str, level: Level, text: impl Into<String>) -> Self {
        Self {
            check,
            level,
            text: text.into(),
        }
    }

    /// What could not be found out, and why.
    fn unknown(check: &'static str, error: &anyhow::Error) -> Self {
        Self::new(check, Level::Warn, format!("not known: {error:#}"))
    }
}

/// What `bpfpack doctor --json` prints.
#[derive(Clone, Debug, Serialize)]
struct Report {
    /// The version of this format.
    version: u32,
    /// The release of the kernel.
    release: String,
    /// Whether the module is loaded already.
    loaded: bool,
    /// Whether insmod would succeed, as far as can be told.
    qualifies: bool,
    /// What the checks found.
    findings: Vec<Finding>,
}

/// Runs `bpfpack doctor`. The status is 1 if insmod would fail.
///
/// # Errors
///
/// If not even the kernel's release can be read. What else cannot be is a finding.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let report = examine(options, context)?;
    if context.json {
        output::print_json(&report)?;
    } else {
        output::show(&render(&report, context), context)?;
    }
    Ok(ExitCode::from(u8::from(!report.qualifies)))
}

fn examine(options: &Options, context: &Context) -> Result<Report> {
    let release = context.read("/proc/sys/kernel/osrelease")?;
    let release = release.trim().to_owned();
    let loaded = module::is_loaded(context);
    let mut findings = machine::check(context);
    findings.extend(modules::check(context, &release, options.module.as_deref()));
    let symbols = symbols::check(context);
    findings.push(symbols.unwrap_or_else(|error| Finding::unknown("symbols", &error)));
    findings.extend(hooks::check(context, loaded));
    Ok(Report {
        version: 1,
        loaded,
        qualifies: findings.iter().all(|found| found.level != Level::Bad),
        findings,
        release,
    })
}

fn render(report: &Report, context: &Context) -> String {
    let mut text = format!("Kernel {}:\n", report.release);
    for found in &report.findings {
        let (tone, word) = match found.level {
            Level::Good => (Tone::Good, "good"),
            Level::Warn => (Tone::Warn, "warn"),
            Level::Bad => (Tone::Bad, "bad "),
        };
        text += &format!(
            "  {}  {:<14} {}\n",
            paint(context, tone, word),
            found.check,
            found.text
        );
    }
    text += match (report.loaded, report.qualifies) {
        (true, _) => "\nThe module is loaded already: see `bpfpack status`.\n",
        (false, true) => "\nAs far as can be told without it, insmod would succeed.\n",
        (false, false) => "\ninsmod would fail: see what is bad.\n",
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examine_recorded(name: &str) -> Report {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let context = Context {
            json: false,
            color: false,
            columns: None,
            root: PathBuf::from(folder).join(name),
        };
        examine(&Options::default(), &context).expect("recorded files")
    }

    fn level(report: &Report, check: &str) -> Vec<Level> {
        let findings = report.findings.iter();
        let findings = findings.filter(|found| found.check == check);
        findings.map(|found| found.level).collect()
    }

    #[test]
    fn a_kernel_that_qualifies_has_nothing_bad() {
        for name in ["absent", "loaded"] {
            let report = examine_recorded(name);
            assert!(report.qualifies, "{:#?}", report.findings);
            assert_eq!(level(&report, "symbols"), [Level::Good]);
            assert_eq!(level(&report, "hooks"), [Level::Good]);
            assert_eq!(level(&report, "module"), [Level::Good]);
        }
    }

    #[test]
    fn each_reason_against_a_kernel_is_found() {
        let report = examine_recorded("refused");
        assert!(!report.qualifies);
        for check in ["arch", "modules", "signatures", "JIT", "symbols"] {
            assert_eq!(level(&report, check), [Level::Bad], "{check}");
        }
        assert_eq!(level(&report, "hooks"), [Level::Bad; 3]);
        let text = render(
            &report,
            &Context {
                json: false,
                color: false,
                columns: None,
                root: "/".into(),
            },
        );
        assert!(
            text.contains("bpf_prog_pack_free is redirected by klp_ftrace_handler"),
            "{text}"
        );
    }
}
