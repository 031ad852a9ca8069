// SPDX-License-Identifier: GPL-2.0

//! The machine, and settings under which the module is refused or serves worse.

use super::{Finding, Level};
use crate::context::{is_root, Context};
use crate::sources::sysctl;
use anyhow::Result;

/// Checks the architecture, who we are, and the settings.
pub(super) fn check(context: &Context) -> Vec<Finding> {
    let arch = arch(context).unwrap_or_else(|error| Finding::unknown("arch", &error));
    let mut findings = vec![arch];
    if context.is_live() && !is_root() {
        let text = "not root: some checks see less, and insmod needs CAP_SYS_MODULE";
        findings.push(Finding::new("privilege", Level::Warn, text));
    }
    findings.extend(loading(context));
    findings.push(jit(context));
    findings.extend(
        command_line(context)
            .unwrap_or_else(|error| vec![Finding::unknown("command line", &error)]),
    );
    findings
}

fn arch(context: &Context) -> Result<Finding> {
    let arch = context.read("/proc/sys/kernel/arch")?;
    let arch = arch.trim();
    Ok(if arch == "aarch64" {
        Finding::new("arch", Level::Good, "this is an arm64 machine")
    } else {
        let text = format!("this is an {arch} machine: the module is for arm64");
        Finding::new("arch", Level::Bad, text)
    })
}

/// Whether modules may be loaded at all, and what lockdown forbids.
fn loading(context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    if sysctl::number(context, "kernel.modules_disabled") == Some(1) {
        let text = "loading modules was switched off until the next boot (kernel.modules_disabled)";
        findings.push(Finding::new("modules", Level::Bad, text));
    }
    // Its kprobe is no reason against the module: lockdown forbids those that tracefs makes.
    findings.push(match lockdown(context) {
        Err(error) => Finding::unknown("lockdown", &error),
        Ok(None) => Finding::new("lockdown", Level::Good, "the kernel is not locked down"),
        Ok(Some(mode)) => Finding::new(
            "lockdown",
            Level::Warn,
            format!(
                "the kernel is locked down ({mode}): it loads only signed modules, and the \
                 module's mode cannot be changed"
            ),
        ),
    });
    findings
}

/// How the kernel is locked down; `None` if it is not.
pub(super) fn lockdown(context: &Context) -> Result<Option<String>> {
    let modes = context.read_optional("/sys/kernel/security/lockdown")?;
    let modes = modes.unwrap_or_default();
    let mode = modes.split(['[', ']']).nth(1).unwrap_or("none");
    Ok((mode != "none").then(|| mode.to_owned()))
}

fn jit(context: &Context) -> Finding {
    match sysctl::number(context, "net.core.bpf_jit_enable") {
        Some(0) => Finding::new(
            "JIT",
            Level::Bad,
            "the BPF JIT is off: sysctl net.core.bpf_jit_enable=1",
        ),
        Some(_) => Finding::new("JIT", Level::Good, "the BPF JIT is on"),
        None => Finding::new(
            "JIT",
            Level::Warn,
            "net.core.bpf_jit_enable cannot be read: is there a BPF JIT?",
        ),
    }
}

/// Words of the kernel's command line that make packs worse.
fn command_line(context: &Context) -> Result<Vec<Finding>> {
    const WORDS: [(&str, &str); 2] = [
        (
            "nohugevmalloc",
            "packs have 4 KiB pages, not one block (nohugevmalloc)",
        ),
        (
            "bpf_pack.disable",
            "the module is switched off at boot (bpf_pack.disable)",
        ),
    ];
    let line = context.read_optional("/proc/cmdline")?.unwrap_or_default();
    let found = WORDS.iter().filter(|(word, _)| {
        let mut given = line.split_whitespace();
        given.any(|given| given.split('=').next() == Some(word))
    });
    let mut findings: Vec<Finding> = found
        .map(|(_, text)| Finding::new("command line", Level::Warn, *text))
        .collect();
    findings
        .extend(writable_alias(&line).map(|text| Finding::new("command line", Level::Warn, text)));
    Ok(findings)
}

/// Whether packs keep a writable alias in the linear map, as far as a kernel's command line tells: with
/// these values of `rodata=`, arm64's `can_set_direct_map()` is true only if the kernel was built or
/// booted without KFENCE's early start, or with `debug_pagealloc=on`.
fn writable_alias(line: &str) -> Option<String> {
    let rodata = last(line, "rodata").filter(|value| ["off", "noalias"].contains(value))?;
    if last(line, "debug_pagealloc") == Some("on") {
        return None;
    }
    match last(line, "kfence.sample_interval") {
        Some("0") => None,
        Some(interval) => Some(format!(
            "packs keep a writable alias in the linear map (rodata={rodata}, \
             kfence.sample_interval={interval})"
        )),
        None => Some(format!(
            "packs keep a writable alias in the linear map (rodata={rodata}) if the kernel has a \
             CONFIG_KFENCE_SAMPLE_INTERVAL other than 0; status shows it"
        )),
    }
}

/// The value of the last `name=value` of a command line.
fn last<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let given = line.split_whitespace().rev();
    let mut values = given.filter_map(|word| word.split_once('='));
    values
        .find(|(word, _)| *word == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::writable_alias;

    #[test]
    fn an_alias_is_writable_with_rodata_and_kfence() {
        for (line, expected) in [
            ("quiet", None),
            ("rodata=on kfence.sample_interval=100", None),
            ("rodata=noalias", Some("if the kernel has")),
            ("rodata=off kfence.sample_interval=0", None),
            (
                "rodata=noalias kfence.sample_interval=0 kfence.sample_interval=100",
                Some("=100)"),
            ),
            ("rodata=off rodata=full kfence.sample_interval=100", None),
            (
                "rodata=off debug_pagealloc=on kfence.sample_interval=100",
                None,
            ),
        ] {
            let found = writable_alias(line);
            assert_eq!(found.is_some(), expected.is_some(), "{line}");
            let (found, expected) = (found.unwrap_or_default(), expected.unwrap_or_default());
            assert!(found.contains(expected), "{line}: {found}");
        }
    }
}
