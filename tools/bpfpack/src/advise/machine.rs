// SPDX-License-Identifier: GPL-2.0

//! The machine: its cores, its page size, and how the kernel was started.

use super::cores::{Midr, Tlb};
use crate::context::Context;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;

/// CPUs of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// The number that they give themselves (`MIDR_EL1`).
    #[serde(serialize_with = "as_hex")]
    pub midr: u64,
    /// How many there are.
    pub cpus: usize,
    /// The name of the core, if the table has it.
    pub name: Option<&'static str>,
    /// Its TLBs, if a source states them.
    pub tlb: Option<Tlb>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Its kinds of CPU. Those that are offline are missing.
    pub kinds: Vec<Kind>,
    /// The kernel's page size, bytes.
    pub page_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Whether the kernel was told to make no large mappings (`nohugevmalloc`), so that packs
    /// would be mapped by base pages, too.
    pub small_mappings: bool,
}

fn as_hex<S: serde::Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{number:#x}"))
}

impl Machine {
    /// Reads what the machine is.
    ///
    /// # Errors
    ///
    /// If the kernel does not tell.
    pub fn read(context: &Context) -> Result<Self> {
        let command_line = context.read("/proc/cmdline")?;
        let kernel = context.read("/proc/sys/kernel/osrelease")?;
        Ok(Self {
            kinds: kinds(&midrs(context)?),
            page_bytes: page_bytes(context)?,
            kernel: kernel.trim().to_owned(),
            small_mappings: command_line
                .split_whitespace()
                .any(|word| word == "nohugevmalloc"),
        })
    }

    /// The numbers of its kinds of CPU.
    pub fn midrs(&self) -> Vec<Midr> {
        self.kinds.iter().map(|kind| Midr(kind.midr)).collect()
    }

    /// Puts `entries` in place of the table's first level.
    pub fn set_l1(&mut self, entries: u32) {
        for kind in &mut self.kinds {
            let known = kind.tlb;
            kind.tlb = Some(Tlb {
                l1: entries,
                l2: known.and_then(|tlb| tlb.l2),
                largest: known.and_then(|tlb| tlb.largest),
                source: "--itlb",
            });
        }
    }

    /// Bytes that a leaf of a pack maps: a block, or a contiguous run where pages are larger.
    pub fn pack_leaf(&self) -> u64 {
        if self.small_mappings {
            self.page_bytes
        } else {
            super::reckon::PACK
        }
    }
}

/// Reads the numbers of all CPUs that are online; none on a machine that is no arm64 one.
fn midrs(context: &Context) -> Result<Vec<Midr>> {
    const FOLDER: &str = "/sys/devices/system/cpu";
    let mut found = Vec::new();
    for entry in fs::read_dir(context.path(FOLDER)).context(FOLDER)? {
        let name = entry.context(FOLDER)?.file_name();
        let name = name.to_string_lossy();
        let number = name.strip_prefix("cpu").map(str::parse::<u32>);
        if !matches!(number, Some(Ok(_))) {
            continue;
        }
        let path = format!("{FOLDER}/{name}/regs/identification/midr_el1");
        let Some(text) = context.read_optional(&path)? else {
            continue;
        };
        let digits = text.trim();
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        found.push(Midr(u64::from_str_radix(digits, 16).context(path)?));
    }
    Ok(found)
}

fn kinds(midrs: &[Midr]) -> Vec<Kind> {
    let mut counts = BTreeMap::<Midr, usize>::new();
    for midr in midrs {
        *counts.entry(*midr).or_default() += 1;
    }
    let kinds = counts.into_iter().map(|(midr, cpus)| Kind {
        midr: midr.0,
        cpus,
        name: midr.core().map(|core| core.name),
        tlb: midr.core().and_then(|core| core.tlb),
    });
    kinds.collect()
}

/// The kernel's page size; of a recording that in its file `page_bytes`, or 4096.
fn page_bytes(context: &Context) -> Result<u64> {
    if !context.is_live() {
        let text = context.read_optional("/page_bytes")?;
        return text.map_or(Ok(4096), |text| text.trim().parse().context("/page_bytes"));
    }
    // SAFETY: It only returns a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).context("the size of a page")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_counted_by_kind() {
        let kinds = kinds(&[Midr(0x413f_d0c1), Midr(0x410f_d050), Midr(0x413f_d0c1)]);
        let told: Vec<_> = kinds.iter().map(|kind| (kind.name, kind.cpus)).collect();
        assert_eq!(told, [(Some("Cortex-A55"), 1), (Some("Neoverse N1"), 2)]);
    }

    #[test]
    fn an_unknown_cpu_is_one_kind_without_a_name() {
        let kinds = kinds(&[Midr(0x000f_0510)]);
        assert_eq!((kinds[0].name, kinds[0].tlb), (None, None));
    }
}
