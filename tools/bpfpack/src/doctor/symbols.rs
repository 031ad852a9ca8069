// SPDX-License-Identifier: GPL-2.0

//! The symbols of the kernel that the module looks up.

use super::{Finding, Level};
use crate::context::Context;
use crate::sources::kallsyms;
use anyhow::Result;

/// A symbol of the module's table.
pub(super) struct Symbol {
    /// Its name.
    pub(super) name: &'static str,
    /// Whether the module does without it.
    optional: bool,
    /// Whether the module redirects it, a function.
    pub(super) hooked: bool,
}

impl Symbol {
    /// Whether the module does without it.
    pub(super) fn is_optional(&self) -> bool {
        self.optional
    }
}

/// The table, which `build.rs` takes from `rust/ksym.rs`.
pub(super) const TABLE: &[Symbol] = &include!(concat!(env!("OUT_DIR"), "/symbols.rs"));

/// What the module needs to look symbols up at all.
const LOOKUP: [&str; 3] = [
    "kallsyms_lookup_name",
    "kallsyms_on_each_match_symbol",
    "register_kprobe",
];

/// Checks that the kernel has each symbol, and once.
pub(super) fn check(context: &Context) -> Result<Finding> {
    let needed = TABLE.iter().map(|symbol| symbol.name).chain(LOOKUP);
    let needed: Vec<&str> = needed.collect();
    let symbols = kallsyms::read(context, &needed)?;
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for name in &needed {
        let optional = TABLE
            .iter()
            .any(|symbol| symbol.name == *name && symbol.optional);
        match symbols.counts.get(*name).copied().unwrap_or(0) {
            1 => {}
            0 if optional => {}
            0 => missing.push(*name),
            // The module asks for these through a kprobe, which takes the first.
            _ if LOOKUP.contains(name) => {}
            several => wrong.push(format!(
                "it has {several} symbols {name}, no telling which is meant"
            )),
        }
    }
    if !missing.is_empty() {
        wrong.insert(0, format!("it has no {}", missing.join(", ")));
    }
    Ok(if wrong.is_empty() {
        let text = format!("the kernel has all {} that the module needs", needed.len());
        Finding::new("symbols", Level::Good, text)
    } else {
        let text = format!("this kernel is not supported: {}", wrong.join("; "));
        Finding::new("symbols", Level::Bad, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_modules() {
        let hooked: Vec<&str> = TABLE
            .iter()
            .filter(|symbol| symbol.hooked)
            .map(|symbol| symbol.name)
            .collect();
        assert!(
            hooked.contains(&"bpf_prog_pack_alloc") && hooked.len() >= 5,
            "{hooked:?}"
        );
        assert!(TABLE.iter().any(|symbol| symbol.name == "_etext"));
        let text = include_str!("../../../../rust/ksym.rs");
        let table = text.split("\nsymbols! {").nth(1).expect("the table");
        let table = table.split("\n}").next().expect("its end");
        assert_eq!(table.matches("= c\"").count(), TABLE.len());
    }
}
