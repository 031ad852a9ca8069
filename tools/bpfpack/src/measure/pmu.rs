// SPDX-License-Identifier: GPL-2.0

//! The events that are counted, and the units of the CPUs that count them.

use crate::context::Context;
use anyhow::{Context as _, Result};
use serde::Serialize;
use std::fs;

const DEVICES: &str = "/sys/bus/event_source/devices";

/// An event of the Arm architecture's performance monitors, version 3 (Arm ARM, D13.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Refills of the first-level instruction TLB.
    L1iTlbRefill,
    /// Walks of the page tables for instructions.
    ItlbWalk,
    /// Instructions that were executed.
    InstRetired,
    /// Cycles.
    CpuCycles,
}

impl Event {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 4] = [
        Self::L1iTlbRefill,
        Self::ItlbWalk,
        Self::InstRetired,
        Self::CpuCycles,
    ];

    /// Its number.
    pub fn code(self) -> u64 {
        match self {
            Self::L1iTlbRefill => 0x02,
            Self::ItlbWalk => 0x35,
            Self::InstRetired => 0x08,
            Self::CpuCycles => 0x11,
        }
    }

    /// The architecture's name for it. The kernel has the same in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1iTlbRefill => "L1I_TLB_REFILL",
            Self::ItlbWalk => "ITLB_WALK",
            Self::InstRetired => "INST_RETIRED",
            Self::CpuCycles => "CPU_CYCLES",
        }
    }

    /// Whether it tells of the TLB.
    pub fn is_tlb(self) -> bool {
        matches!(self, Self::L1iTlbRefill | Self::ItlbWalk)
    }
}

/// The performance monitors of one kind of CPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pmu {
    /// The kernel's name for it, such as `armv8_pmuv3_0`.
    pub name: String,
    /// The kernel's number for it (`perf_event_attr.type`).
    #[serde(skip)]
    pub kind: u32,
    /// The CPUs that have it.
    #[serde(skip)]
    pub cpus: Vec<usize>,
    /// The events that it has.
    pub has: Vec<Event>,
    /// The events that it lacks.
    pub lacks: Vec<Event>,
}

/// Finds the performance monitors of all kinds of CPU.
///
/// An event that they lack can be opened all the same, and counts nothing: the kernel tells in
/// `events/` which there are.
///
/// # Errors
///
/// If the kernel's description of one cannot be read.
pub fn find(context: &Context) -> Result<Vec<Pmu>> {
    let mut found = Vec::new();
    let folder = context.path(DEVICES);
    if !folder.exists() {
        return Ok(found);
    }
    for entry in fs::read_dir(folder).context(DEVICES)? {
        let name = entry.context(DEVICES)?.file_name();
        let name = name.to_string_lossy().into_owned();
        let device = format!("{DEVICES}/{name}");
        // Only the monitors of CPUs have this file, and only the Arm ones these events.
        let Some(cpus) = context.read_optional(format!("{device}/cpus"))? else {
            continue;
        };
        let has = |event: &Event| {
            let event = event.name().to_lowercase();
            context.path(format!("{device}/events/{event}")).exists()
        };
        let (has, lacks): (Vec<_>, _) = Event::ALL.into_iter().partition(has);
        if has.is_empty() {
            continue;
        }
        let kind = context.read(format!("{device}/type"))?;
        found.push(Pmu {
            kind: kind.trim().parse().context(format!("{device}/type"))?,
            cpus: cpu_list(&cpus).with_context(|| format!("{device}/cpus: {cpus}"))?,
            name,
            has,
            lacks,
        });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Reads a list of CPUs such as `0-3,6`.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    const MOST: usize = 1 << 16;
    let mut cpus = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(cpu_list("0-3,6\n"), Some(vec![0, 1, 2, 3, 6]));
        assert_eq!(cpu_list("\n"), Some(vec![]));
        for wrong in ["x", "1-", "0-99999999"] {
            assert_eq!(cpu_list(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_kind_of_cpu_has_its_own_and_other_devices_are_none() {
        let folder = Folder::new("pmu");
        for (device, kind, cpus) in [
            ("armv8_cortex_a72", "9", "4-5"),
            ("armv8_cortex_a53", "8", "0-3"),
        ] {
            let file = |name: &str| format!("{DEVICES}/{device}/{name}");
            folder.write(&file("type"), kind);
            folder.write(&file("cpus"), cpus);
            folder.write(&file("events/inst_retired"), "event=0x008\n");
        }
        let refills = format!("{DEVICES}/armv8_cortex_a72/events/l1i_tlb_refill");
        folder.write(&refills, "event=0x002\n");
        folder.write(&format!("{DEVICES}/arm_cmn_0/cpumask"), "0");
        folder.write(&format!("{DEVICES}/apple_icestorm_pmu/cpus"), "0-3");
        let found = find(&folder.context()).expect("whole descriptions");
        let told: Vec<_> = found
            .iter()
            .map(|pmu| (pmu.name.as_str(), pmu.kind, pmu.cpus.len()))
            .collect();
        assert_eq!(
            told,
            [("armv8_cortex_a53", 8, 4), ("armv8_cortex_a72", 9, 2)]
        );
        assert_eq!(found[0].has, [Event::InstRetired]);
        assert_eq!(found[1].has, [Event::L1iTlbRefill, Event::InstRetired]);
        assert_eq!(found[1].lacks, [Event::ItlbWalk, Event::CpuCycles]);
    }

    #[test]
    fn a_machine_without_any_is_no_error() {
        let found = find(&Folder::new("none").context());
        assert_eq!(found.expect("nothing to read"), []);
    }
}
