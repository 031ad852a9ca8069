// SPDX-License-Identifier: GPL-2.0

//! How the kernel maps memory for itself (the linear map): from its page tables if it shows them,
//! else from what the CPUs can do.

use super::cores::Midr;
use crate::context::Context;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;

const TABLES: &str = "/sys/kernel/debug/kernel_page_tables";

/// How the linear map is mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum LinearMap {
    /// The kernel's page tables: bytes by leaf, such as `PTE`, `PTE contiguous`, `PMD`.
    PageTables {
        /// Bytes by leaf.
        bytes: BTreeMap<String, u64>,
    },
    /// The model of the CPUs: what the kernel does on it with its default settings.
    Cpus {
        /// Whether the kernel uses blocks.
        blocks: bool,
    },
}

impl LinearMap {
    /// Says in a sentence or two what is known and what packs would change.
    pub fn sentence(&self) -> String {
        match self {
            Self::PageTables { bytes } => {
                let parts = bytes
                    .iter()
                    .map(|(leaf, bytes)| format!("{} MiB {leaf}", bytes >> 20));
                let parts: Vec<_> = parts.collect();
                format!(
                    "its page tables have {}. {}",
                    parts.join(", "),
                    change(bytes.keys().any(|leaf| leaf != "PTE"))
                )
            }
            Self::Cpus { blocks: false } => format!(
                "base pages, unless the kernel was started with another rodata= or these CPUs \
                 announce BBML3 in a register. {}",
                change(false)
            ),
            Self::Cpus { blocks: true } => format!(
                "probably blocks: the kernel may split them on these CPUs. {}",
                change(true)
            ),
        }
    }
}

fn change(blocks: bool) -> &'static str {
    if blocks {
        "Each pack takes 2 MiB out of it; where they lie in a larger block or a contiguous run, \
         the kernel splits that."
    } else {
        "Each pack takes 2 MiB out of it, which splits nothing."
    }
}

/// Finds out how the linear map is mapped.
///
/// # Errors
///
/// If the kernel shows its page tables but they cannot be read.
pub fn find(context: &Context, cpus: &[Midr]) -> Result<LinearMap> {
    if let Some(text) = context.read_optional(TABLES)? {
        let bytes = parse(&text);
        if !bytes.is_empty() {
            return Ok(LinearMap::PageTables { bytes });
        }
    }
    let blocks = !cpus.is_empty() && cpus.iter().all(|cpu| cpu.has_blocks());
    Ok(LinearMap::Cpus { blocks })
}

/// Sums up the lines of the linear map:
/// `0xffff000000000000-0xffff000000210000  2112K PTE  RW NX SHD AF  CON  UXN  MEM/NORMAL`.
fn parse(text: &str) -> BTreeMap<String, u64> {
    let mut bytes = BTreeMap::new();
    let lines = text.lines();
    let lines = lines.skip_while(|line| !line.contains("Linear Mapping start"));
    for line in lines.take_while(|line| !line.contains("Linear Mapping end")) {
        let Some((range, rest)) = line.trim_start().split_once(' ') else {
            continue;
        };
        let words: Vec<_> = rest.split_whitespace().collect();
        let Some(size) = range.split_once('-').and_then(|(start, end)| {
            let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            hex(end)?.checked_sub(hex(start)?)
        }) else {
            continue;
        };
        // A line without the access flag is a hole.
        if let (Some(level), true) = (words.get(1), words.contains(&"AF")) {
            let contiguous = if words.contains(&"CON") {
                " contiguous"
            } else {
                ""
            };
            *bytes.entry(format!("{level}{contiguous}")).or_default() += size;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "\
---[ Linear Mapping start ]---
0xffff000000000000-0xffff000000200000           2M PTE       RW NX SHD AF            UXN    MEM/NORMAL-TAGGED
0xffff000000200000-0xffff000000400000           2M PMD       ro NX SHD AF        BLK UXN    MEM/NORMAL
0xffff000000400000-0xffff000002400000          32M PMD       RW NX SHD AF    CON BLK UXN    MEM/NORMAL-TAGGED
0xffff000002400000-0xffff000040000000         988M PMD
0xffff000040000000-0xffff000080000000           1G PUD       RW NX SHD AF        BLK UXN    MEM/NORMAL-TAGGED
---[ Linear Mapping end ]---
0xffff800000000000-0xffff800000001000           4K PTE       RW NX SHD AF            UXN    MEM/NORMAL
";

    #[test]
    fn leaves_of_the_linear_map_are_summed_up_and_nothing_else() {
        let expected = [
            ("PTE", 2 << 20),
            ("PMD", 2 << 20),
            ("PMD contiguous", 32 << 20),
            ("PUD", 1 << 30),
        ];
        let expected = expected.map(|(leaf, bytes)| (leaf.to_owned(), bytes));
        assert_eq!(parse(DUMP), BTreeMap::from(expected));
    }

    #[test]
    fn what_is_no_dump_has_no_leaves() {
        assert!(parse("").is_empty());
        assert!(
            parse("---[ Linear Mapping start ]---\nnonsense AF\n0x2-0x1 1K PTE AF\n").is_empty()
        );
    }

    #[test]
    fn blocks_need_all_cpus() {
        let context = |root: &str| Context {
            json: false,
            color: false,
            columns: None,
            root: root.into(),
        };
        let (n1, n3) = (Midr(0x413f_d0c1), Midr(0x410f_d8e0));
        let find = |cpus: &[Midr]| find(&context("/nowhere"), cpus).expect("nothing is read");
        assert_eq!(find(&[n3, n3]), LinearMap::Cpus { blocks: true });
        assert_eq!(find(&[n3, n1]), LinearMap::Cpus { blocks: false });
        assert_eq!(find(&[]), LinearMap::Cpus { blocks: false });
    }
}
