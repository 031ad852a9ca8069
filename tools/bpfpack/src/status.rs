// SPDX-License-Identifier: GPL-2.0

//! `bpfpack status`: is the module loaded, does it serve, and what went to the stock allocator.

use crate::context::Context;
use crate::output::{self, bytes, count, number, paint, percent, Tone};
use crate::sources::module::{self, Pack, Status};
use crate::sources::sysctl;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The options of `bpfpack status`.
#[derive(clap::Args, Clone, Debug)]
pub struct Options {
    /// Print nothing; only the exit status tells
    #[arg(short, long)]
    pub quiet: bool,
}

/// How the module does, which is also the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It serves everything that it should.
    Good = 0,
    /// It is loaded, but some images are not where they should be, or something went wrong.
    Degraded = 1,
    /// It is not loaded.
    NotLoaded = 2,
}

/// What `bpfpack status --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// How the module does.
    pub verdict: Verdict,
    /// Why it is degraded, in sentences.
    pub findings: Vec<String>,
    /// `serve` or `drain`.
    pub mode: Option<String>,
    /// The `key: value` lines of the module, as `Documentation/abi.md` has them.
    pub values: BTreeMap<String, u64>,
    /// The packs.
    pub packs: Vec<Pack>,
    /// The setting `net.core.bpf_jit_limit`, if we may read it.
    pub jit_limit_bytes: Option<u64>,
}

/// Reasons why the stock allocator serves, in words, and whether that is by design.
const REASONS: [(&str, &str, bool); 7] = [
    // Somebody wanted it so; while it lasts, the mode says so.
    ("draining", "new images were switched off (drain)", true),
    ("no_memory", "no memory, or no room for a pack", false),
    ("full", "all packs are in use", false),
    ("size", "size 0 or above 64 MiB", true),
    ("leaving", "the module was being removed", true),
    ("dispatcher", "memory for the XDP dispatcher", true),
    (
        "predictor_flush",
        "the kernel flushes branch predictors",
        true,
    ),
];

/// A reason in words, and whether it is by design. A newer module's reasons have their own words.
pub fn reason(key: &str) -> (String, bool) {
    let known = REASONS.iter().find(|(name, _, _)| *name == key);
    known.map_or_else(
        || (key.replace('_', " "), false),
        |(_, words, design)| ((*words).to_owned(), *design),
    )
}

/// Runs `bpfpack status`.
///
/// # Errors
///
/// If the module is loaded but cannot be asked.
pub fn run(options: &Options, context: &Context) -> Result<ExitCode> {
    let limit = sysctl::number(context, "net.core.bpf_jit_limit");
    let report = report(
        module::status(context)?,
        limit.and_then(|limit| u64::try_from(limit).ok()),
    );
    if options.quiet {
    } else if context.json {
        output::print_json(&report)?;
    } else {
        output::show(&render(&report, context), context)?;
    }
    Ok(ExitCode::from(report.verdict as u8))
}

/// Judges a status; `None` is a module that is not loaded.
pub fn report(status: Option<Status>, jit_limit_bytes: Option<u64>) -> Report {
    let findings = status.as_ref().map_or_else(Vec::new, findings);
    let verdict = match &status {
        None => Verdict::NotLoaded,
        Some(_) if findings.is_empty() => Verdict::Good,
        Some(_) => Verdict::Degraded,
    };
    let loaded = status.is_some();
    let status = status.unwrap_or_default();
    Report {
        version: 2,
        verdict,
        findings,
        mode: loaded.then_some(status.mode),
        values: status.values,
        packs: status.packs,
        jit_limit_bytes,
    }
}

/// What is not as it should be.
fn findings(status: &Status) -> Vec<String> {
    let mut findings = Vec::new();
    if !status.serves() {
        findings.push("new images go to the stock allocator, because of `drain`".to_owned());
    }
    for (key, value) in status.refusals() {
        let (words, by_design) = reason(key);
        if value > 0 && !by_design {
            findings.push(format!(
                "the stock allocator got {}: {words}",
                count(value, "request")
            ));
        }
    }
    let packs = &status.packs;
    let aliases = packs.iter().filter(|pack| pack.writable_alias).count();
    if aliases > 0 {
        findings.push(format!(
            "the linear map has a writable alias of {}: the kernel's policy is not to change it",
            count(aliases as u64, "pack")
        ));
    }
    let small = packs.iter().filter(|pack| pack.leaf.contains("page"));
    let small = small.count();
    if small > 0 {
        findings.push(format!(
            "{} of single pages: no larger memory was to be had",
            count(small as u64, "pack")
        ));
    }
    for (key, words) in [
        ("bad_calls", "call with a wrong address or size (see dmesg)"),
        (
            "copy_errors",
            "copy whose source could not be read (see dmesg)",
        ),
    ] {
        if status.value(key) > 0 {
            findings.push(format!("{} {words}", number(status.value(key))));
        }
    }
    findings
}

fn render(report: &Report, context: &Context) -> String {
    if report.verdict == Verdict::NotLoaded {
        return format!(
            "{} The stock allocator has all images of the BPF JIT.\n\
             `bpfpack doctor` says whether this kernel qualifies, `bpfpack advise` whether it is \
             worth it.\n",
            paint(context, Tone::Warn, "bpf_pack is not loaded.")
        );
    }
    let serves = report.mode.as_deref() == Some("serve");
    let (tone, headline) = match (report.verdict, serves) {
        (Verdict::Good, _) => (Tone::Good, "bpf_pack serves the BPF JIT: good."),
        (_, true) => (Tone::Warn, "bpf_pack serves the BPF JIT: degraded."),
        (_, false) => (Tone::Warn, "bpf_pack is loaded, but drains: degraded."),
    };
    let mut lines = vec![paint(context, tone, headline)];
    for finding in &report.findings {
        lines.push(format!("  ! {finding}"));
    }
    lines.push(String::new());
    let mut field = |name: &str, text: String| lines.push(format!("  {name:<10} {text}"));
    let value = |key: &str| report.values.get(key).copied().unwrap_or(0);
    let used = report
        .packs
        .iter()
        .map(|pack| pack.live_bytes + pack.reserved_bytes)
        .sum();
    field(
        "images",
        format!("{}, {}", number(value("images")), bytes(used)),
    );
    field("packs", packs_in_words(&report.packs));
    field(
        "free",
        format!(
            "{} of {}; the largest hole {}",
            bytes(value("free_bytes")),
            bytes(value("pack_bytes")),
            bytes(value("largest_hole_bytes"))
        ),
    );
    let waiting = report.packs.iter().map(|pack| pack.retired_bytes).sum();
    if waiting > 0 {
        field(
            "retired",
            format!("{} wait for a synchronisation", bytes(waiting)),
        );
    }
    let charged = value("jit_charged_bytes");
    field(
        "charged",
        match report.jit_limit_bytes {
            None => bytes(charged),
            Some(limit) => format!(
                "{} of {} (net.core.bpf_jit_limit), {:.1} %",
                bytes(charged),
                bytes(limit),
                percent(charged, limit)
            ),
        },
    );
    field(
        "since load",
        format!(
            "{} served, {} freed, {} of all CPUs",
            count(value("images_served"), "image"),
            number(value("images_freed")),
            count(value("synchronisations"), "synchronisation")
        ),
    );
    let refused = report.values.iter().filter_map(|(key, &value)| {
        let key = key.strip_prefix("to_stock_").filter(|_| value > 0)?;
        Some(format!("{} {}", number(value), reason(key).0))
    });
    let refused: Vec<String> = refused.collect();
    field(
        "to stock",
        if refused.is_empty() {
            "nothing".to_owned()
        } else {
            refused.join("; ")
        },
    );
    lines.join("\n") + "\n"
}

/// How many packs of which leaf are where.
fn packs_in_words(packs: &[Pack]) -> String {
    let mut kinds: BTreeMap<(bool, &str), u64> = BTreeMap::new();
    for pack in packs {
        *kinds.entry((!pack.near, &pack.leaf)).or_default() += 1;
    }
    let kinds: Vec<String> = kinds
        .iter()
        .map(|((far, leaf), packs)| {
            let place = if *far { "far" } else { "near" };
            format!("{packs} {place} ({leaf})")
        })
        .collect();
    if kinds.is_empty() {
        "none".to_owned()
    } else {
        kinds.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Report {
        report(Some(Status::parse(text).expect("well formed")), None)
    }

    #[test]
    fn the_verdict_is_the_exit_status() {
        assert_eq!(report(None, None).verdict as u8, 2);
        let good = judge("mode: serve\nto_stock_dispatcher: 3\n");
        assert_eq!((good.verdict as u8, good.findings.len()), (0, 0));
        let degraded = [
            "mode: drain\n",
            "mode: serve\nto_stock_no_memory: 1\n",
            "mode: serve\nto_stock_something_new: 1\n",
            "mode: serve\nbad_calls: 1\n",
            "mode: serve\npack 0x0-0x200000: 4 KiB page, near, linear alias invalid, 0 images, \
             bytes: 0 live, 0 reserved, 0 retired, 2097152 free\n",
            "mode: serve\npack 0x0-0x200000: 2 MiB block, near, linear alias WRITABLE, 0 images, \
             bytes: 0 live, 0 reserved, 0 retired, 2097152 free\n",
        ];
        for text in degraded {
            let report = judge(text);
            assert_eq!(report.verdict as u8, 1, "{text}");
            assert_eq!(report.findings.len(), 1, "{text}");
        }
    }

    #[test]
    fn reasons_are_in_words() {
        assert_eq!(reason("something_new"), ("something new".to_owned(), false));
        assert!(reason("dispatcher").1);
    }
}
