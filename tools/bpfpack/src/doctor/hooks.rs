// SPDX-License-Identifier: GPL-2.0

//! Whether ftrace can redirect the functions that the module hooks, and nobody else does.

use super::symbols::TABLE;
use super::{Finding, Level};
use crate::context::Context;
use crate::sources::sysctl;
use anyhow::Result;
use std::path::Path;

/// Where tracefs may be mounted.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Checks ftrace, and each hooked function.
pub(super) fn check(context: &Context, loaded: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if sysctl::number(context, "kernel.ftrace_enabled") == Some(0) {
        let text = "ftrace is off: sysctl kernel.ftrace_enabled=1";
        findings.push(Finding::new("hooks", Level::Bad, text));
    }
    let available = match read(context, "available_filter_functions") {
        Ok(Some(available)) => available,
        Ok(None) => {
            let text = "the functions that ftrace can hook are not known: is tracefs mounted \
                        (mount -t tracefs tracefs /sys/kernel/tracing)?";
            findings.push(Finding::new("hooks", Level::Warn, text));
            return findings;
        }
        Err(error) => {
            findings.push(Finding::unknown("hooks", &error));
            return findings;
        }
    };
    let hooked = TABLE.iter().filter(|symbol| symbol.hooked);
    let available: Vec<&str> = available
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    // A function that no kernel of this version has is a matter of the check of symbols.
    let missing = hooked
        .clone()
        .filter(|symbol| !symbol.is_optional() && !available.contains(&symbol.name));
    let missing: Vec<&str> = missing.map(|symbol| symbol.name).collect();
    if !missing.is_empty() {
        let text = format!("ftrace cannot hook {}", missing.join(", "));
        findings.push(Finding::new("hooks", Level::Bad, text));
    }
    let enabled = read(context, "enabled_functions").unwrap_or_else(|error| {
        findings.push(Finding::unknown("hooks", &error));
        None
    });
    let enabled = enabled.unwrap_or_default();
    for symbol in hooked {
        // Only one user can redirect a function: if the module is loaded, it is the one.
        if loaded {
            break;
        }
        if let Some(holder) = redirected_by(&enabled, symbol.name) {
            let text = format!("{} is redirected by {holder}", symbol.name);
            findings.push(Finding::new("hooks", Level::Bad, text));
        }
    }
    if findings.is_empty() {
        let text = if loaded {
            "the module holds all functions that it hooks"
        } else {
            "ftrace can hook all functions, and nobody else redirects them"
        };
        findings.push(Finding::new("hooks", Level::Good, text));
    }
    findings
}

/// Reads a file of tracefs: `None` if it is not there.
fn read(context: &Context, file: &str) -> Result<Option<String>> {
    for folder in TRACEFS {
        if let Some(text) = context.read_optional(Path::new(folder).join(file))? {
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Who redirects `function`, by the text of `enabled_functions`: its line has the flag `I`. What
/// follows names a trampoline or a callback, if the kernel tells.
fn redirected_by(enabled: &str, function: &str) -> Option<String> {
    let mut lines = enabled.lines();
    let line = lines.find(|line| line.split_whitespace().next() == Some(function))?;
    let flags = line.split_once(')')?.1;
    let (flags, rest) = flags.split_once("tramp:").unwrap_or((flags, ""));
    if !flags.split_whitespace().any(|flag| flag == "I") {
        return None;
    }
    let name = rest.split_once('(').map_or("", |(_, name)| name);
    let name = name.split(')').next().unwrap_or("").replace("->", " ");
    let name = name.split('+').next().unwrap_or("").trim().to_owned();
    let module = rest
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    Some(match (name.is_empty(), module) {
        (_, Some((module, _))) => format!("module {module}"),
        (false, None) => name,
        (true, None) => "another user of ftrace".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_redirections_count() {
        let enabled = "a (1)            \tops: x\n\
                       b (1) R          \ttramp: 0x1 (f+0x0/0x10)\n\
                       c (2) R I     M  \ttramp: 0x1 (klp_ftrace_handler+0x0/0x1c0)\n\
                       d (1) R I\n\
                       e (1) R I   \ttramp: 0x1 (entry+0x0/0x10 [other])\n";
        let redirected = ["a", "b", "c", "d", "e", "f"].map(|name| redirected_by(enabled, name));
        let expected = [
            None,
            None,
            Some("klp_ftrace_handler"),
            Some("another user of ftrace"),
            Some("module other"),
            None,
        ];
        assert_eq!(redirected, expected.map(|holder| holder.map(str::to_owned)));
    }
}
