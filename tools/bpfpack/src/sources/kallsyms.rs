// SPDX-License-Identifier: GPL-2.0

//! `/proc/kallsyms`: the names of images that are no programs, and of the kernel's own functions.

use crate::context::Context;
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};

/// The symbols that were asked for.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Symbols of BPF images: address and name. Empty if the kernel hides addresses.
    pub bpf: BTreeMap<u64, String>,
    /// How many symbols of the kernel itself have each of the names that were asked for.
    pub counts: BTreeMap<String, usize>,
    /// Whether the kernel shows addresses.
    pub has_addresses: bool,
}

/// Reads the symbols of BPF images, and counts those of the kernel itself that are in `names`.
///
/// The kernel makes this file slowly: its time grows with the square of the number of images.
///
/// # Errors
///
/// If the file cannot be read.
pub fn read(context: &Context, names: &[&str]) -> Result<Symbols> {
    let file = File::open(context.path("/proc/kallsyms")).context("/proc/kallsyms")?;
    parse(BufReader::with_capacity(1 << 18, file), names)
}

fn parse(mut lines: impl BufRead, names: &[&str]) -> Result<Symbols> {
    let mut symbols = Symbols {
        counts: names.iter().map(|name| (name.to_string(), 0)).collect(),
        ..Symbols::default()
    };
    let mut line = String::new();
    while lines.read_line(&mut line).context("/proc/kallsyms")? > 0 {
        symbols.add(line.trim_end());
        line.clear();
    }
    Ok(symbols)
}

impl Symbols {
    /// Adds a line `ADDRESS TYPE NAME`, with a tab and `[MODULE]` after a symbol of a module.
    fn add(&mut self, line: &str) {
        let mut parts = line.splitn(3, ' ');
        let (Some(address), Some(_), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return;
        };
        let address = u64::from_str_radix(address, 16).unwrap_or(0);
        self.has_addresses |= address != 0;
        match name.split_once('\t') {
            None => {
                if let Some(count) = self.counts.get_mut(name) {
                    *count += 1;
                }
            }
            Some((name, "[bpf]")) if address != 0 => {
                self.bpf.insert(address, name.to_owned());
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"ffff800080010000 T _stext\n\
        ffff800080020000 t patch_lock\n\
        ffff800080030000 t patch_lock\n\
        ffff800081000040 t bpf_trampoline_6442461706\t[bpf]\n\
        ffff800081000080 t patch_lock\t[some_module]\n";

    #[test]
    fn symbols_of_modules_are_not_the_kernels() {
        let symbols = parse(TEXT, &["_stext", "patch_lock", "missing"]).expect("text");
        assert_eq!(symbols.counts["_stext"], 1);
        assert_eq!(symbols.counts["patch_lock"], 2);
        assert_eq!(symbols.counts["missing"], 0);
        let bpf: Vec<_> = symbols.bpf.values().collect();
        assert_eq!(bpf, ["bpf_trampoline_6442461706"]);
        assert!(symbols.has_addresses);
    }

    #[test]
    fn hidden_addresses_are_noticed() {
        let text: &[u8] = b"0000000000000000 T _stext\n0000000000000000 t bpf_x\t[bpf]\n";
        let symbols = parse(text, &["_stext"]).expect("text");
        assert!(!symbols.has_addresses && symbols.bpf.is_empty());
        assert_eq!(symbols.counts["_stext"], 1);
    }
}
