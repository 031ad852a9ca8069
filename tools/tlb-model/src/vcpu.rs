// SPDX-License-Identifier: GPL-2.0

//! One virtual CPU: its fetches drive the models, and its TLB maintenance empties them.

use crate::counters::{leaf_column, Class, CpuCounts, ModelCounts};
use crate::decode::{Sgi, Tlbi};
use crate::geometry::{Coalesce, Geometry};
use crate::guest::{Cpu, Reg};
use crate::options::Options;
use crate::tlb::{Entry, FullyAssociative, Kill, SetAssociative};
use crate::walk::{coalesces, sign_extend, walk, Regime, Walk, HALF_BIT};

/// Number of class ranges that the guest can set.
pub const RANGE_SLOTS: usize = 64;
/// These range slots are of class aux, the others of class BPF.
const AUX_SLOTS: core::ops::Range<usize> = 8..16;

/// A range of virtual addresses: the first page, and the page after the last.
type Range = (u64, u64);

/// The switches of [`Options`] that a CPU needs.
#[derive(Clone, Copy, Debug)]
struct Switches {
    /// Tag entries with the ASID.
    asid: bool,
    /// Compare hits with QEMU's translation.
    check_stale: bool,
    /// Compare walks with QEMU's translation.
    check_walk: bool,
}

/// The state of one virtual CPU.
#[derive(Clone, Debug)]
pub struct Vcpu {
    /// The switches.
    switches: Switches,
    /// The translation regime, while `regime_known`.
    regime: Regime,
    /// Whether `regime` is that of the registers.
    regime_known: bool,
    /// The ASID that entries are tagged with.
    asid: Option<u16>,
    /// The class of the code that runs.
    class: Class,
    /// The instruction counter when `class` was entered.
    class_since: u64,
    /// The page of the latest data access; `None` after an event that may change a translation.
    data_page: Option<u64>,
    /// The class ranges that the guest has set, up to the last one that it ever did.
    ranges: Vec<Range>,
    /// The counters that do not depend on a model.
    counts: CpuCounts,
    /// The models.
    models: Vec<Model>,
}

/// One fetch or data access, as all models see it.
struct Access<'a, C> {
    /// The CPU.
    cpu: &'a mut C,
    /// The translation regime.
    regime: Regime,
    /// The switches.
    switches: Switches,
    /// The virtual address.
    va: u64,
    /// The ASID to look for.
    asid: u16,
    /// The walk, if a model needed one. Models share its result, not its cost.
    walked: Option<Walk>,
    /// QEMU's translation, if a check needed it.
    truth: Option<Option<u64>>,
}

impl<C: Cpu> Access<'_, C> {
    /// Walks the tables, or returns what the walk for another model found.
    fn walk(&mut self) -> Walk {
        let (cpu, regime, va) = (&mut *self.cpu, &self.regime, self.va);
        *self
            .walked
            .get_or_insert_with(|| walk(regime, va, |pa| cpu.descriptor(pa)))
    }

    /// Whether QEMU translates the address to `pa`.
    fn agrees(&mut self, pa: u64) -> bool {
        let (cpu, va) = (&mut *self.cpu, self.va);
        *self.truth.get_or_insert_with(|| cpu.translate(va)) == Some(pa)
    }
}

impl Vcpu {
    /// A CPU with empty TLBs. `index` separates the random numbers of several CPUs.
    pub fn new(options: &Options, index: u32) -> Self {
        Self {
            switches: Switches {
                asid: options.asid,
                check_stale: options.check_stale,
                check_walk: options.check_walk,
            },
            regime: Regime::default(),
            regime_known: false,
            asid: None,
            class: Class::Kernel,
            class_since: 0,
            data_page: None,
            ranges: Vec::new(),
            counts: CpuCounts::default(),
            models: options
                .models
                .iter()
                .map(|geometry| Model::new(geometry, index))
                .collect(),
        }
    }

    /// The CPU begins to execute at `va`, on another page than before or after an event that may
    /// have changed a translation; `insns` is its instruction counter.
    pub fn fetch(&mut self, cpu: &mut impl Cpu, va: u64, insns: u64) {
        self.refresh(cpu);
        self.enter(self.classify(va), insns);
        if !self.regime.mmu_on() {
            self.counts.mmu_off += 1;
            return;
        }
        let class = self.class as usize;
        self.counts.lookups[class] += 1;
        let mut access = self.access(cpu, va);
        for model in &mut self.models {
            model.fetch(&mut access, class);
        }
    }

    /// The CPU has read or written data at `va`. Call only if a model looks at data.
    pub fn data(&mut self, cpu: &mut impl Cpu, va: u64) {
        let va = sign_extend(va, HALF_BIT);
        // A regime that is being changed is known again at the next fetch, before the next access.
        if !self.regime_known || !self.regime.mmu_on() || self.data_page == Some(va >> 12) {
            return;
        }
        self.data_page = Some(va >> 12);
        let mut access = self.access(cpu, va);
        for model in &mut self.models {
            model.data(&mut access);
        }
    }

    /// Prepares a lookup of `va`.
    fn access<'a, C: Cpu>(&self, cpu: &'a mut C, va: u64) -> Access<'a, C> {
        Access {
            cpu,
            regime: self.regime,
            switches: self.switches,
            va,
            asid: if self.switches.asid {
                self.asid.unwrap_or_default()
            } else {
                0
            },
            walked: None,
            truth: None,
        }
    }

    /// Reads the translation regime if it may have changed.
    fn refresh(&mut self, cpu: &mut impl Cpu) {
        if self.regime_known {
            return;
        }
        self.regime = Regime {
            ttbr0: cpu.reg(Reg::Ttbr0),
            ttbr1: cpu.reg(Reg::Ttbr1),
            tcr: cpu.reg(Reg::Tcr),
            sctlr: cpu.reg(Reg::Sctlr),
        };
        self.regime_known = true;
        let asid = self.regime.asid();
        if self.asid.is_some_and(|before| before != asid) {
            self.counts.asid_switches += 1;
        }
        self.asid = Some(asid);
    }

    /// A register of the translation regime is about to be written, or the CPU may have been reset.
    pub fn regime_changes(&mut self) {
        self.regime_known = false;
        self.data_page = None;
    }

    /// The class of an address.
    fn classify(&self, va: u64) -> Class {
        for (slot, &(first, end)) in self.ranges.iter().enumerate() {
            if (first..end).contains(&(va >> 12)) {
                return if AUX_SLOTS.contains(&slot) {
                    Class::Aux
                } else {
                    Class::Bpf
                };
            }
        }
        if (va >> HALF_BIT) & 1 != 0 {
            Class::Kernel
        } else {
            Class::User
        }
    }

    /// Credits the instructions since the last call to the class that ran, and enters another.
    fn enter(&mut self, class: Class, insns: u64) {
        self.settle(insns);
        self.class = class;
    }

    /// Credits the instructions since the last call to the class that runs.
    pub fn settle(&mut self, insns: u64) {
        self.counts.insns[self.class as usize] += insns.saturating_sub(self.class_since);
        self.class_since = self.class_since.max(insns);
    }

    /// Sets the class range of a slot to the pages that the bytes from `low` to `high` - 1 touch;
    /// an empty one clears the slot. Returns false if there is no such slot.
    pub fn set_range(&mut self, slot: u64, low: u64, high: u64) -> bool {
        let range = if low < high {
            (low >> 12, ((high - 1) >> 12) + 1)
        } else {
            (0, 0)
        };
        let Some(slot) = usize::try_from(slot).ok().filter(|&at| at < RANGE_SLOTS) else {
            return false;
        };
        if self.ranges.len() <= slot {
            self.ranges.resize(slot + 1, (0, 0));
        }
        if let Some(at) = self.ranges.get_mut(slot) {
            *at = range;
        }
        true
    }

    /// Counts a TLBI that this CPU executes, and returns the entries that it removes.
    pub fn tlbi(&mut self, cpu: &mut impl Cpu, tlbi: Tlbi) -> Option<Kill> {
        self.refresh(cpu);
        let operand = cpu.reg(Reg::X(tlbi.rt));
        self.counts.tlbi[tlbi.slot()] += 1;
        if tlbi.is_repeat(operand) {
            self.counts.tlbi_repeat += 1;
        }
        tlbi.kill(operand, &self.regime)
    }

    /// Counts a software-generated interrupt that this CPU sends.
    pub fn sgi(&mut self, sgi: Sgi) {
        let id = usize::from(sgi.intid & 0xf);
        self.counts.sgi[id] += 1;
        self.counts.sgi_targets[id] += u64::from(sgi.targets);
    }

    /// Removes entries from all models. Entries removed by maintenance are counted, those removed
    /// on the guest's request by a marker are not.
    pub fn kill(&mut self, kill: &Kill, count: bool) {
        self.data_page = None;
        for model in &mut self.models {
            let killed = model.kill(kill);
            if count {
                model.counts.killed += killed;
            }
        }
    }

    /// The counters that do not depend on a model.
    pub fn counts(&self) -> &CpuCounts {
        &self.counts
    }

    /// The counters of each model.
    pub fn model_counts(&self) -> impl Iterator<Item = &ModelCounts> {
        self.models.iter().map(|model| &model.counts)
    }
}

/// The TLBs of one model.
#[derive(Clone, Debug)]
struct Model {
    /// Their geometry.
    geometry: Geometry,
    /// First level for instructions.
    l1i: FullyAssociative,
    /// First level for data, if data is modelled.
    l1d: Option<FullyAssociative>,
    /// Second level.
    l2: SetAssociative,
    /// The counters.
    counts: ModelCounts,
}

impl Model {
    /// An empty model for CPU `index`.
    fn new(geometry: &Geometry, index: u32) -> Self {
        let salt = u64::from(index) * 4;
        let l1 = |salt| FullyAssociative::new(geometry.l1_entries, geometry.policy, salt);
        Self {
            geometry: geometry.clone(),
            l1i: l1(salt),
            l1d: geometry.data.then(|| l1(salt + 1)),
            l2: SetAssociative::new(
                geometry.l2_sets,
                geometry.l2_ways,
                geometry.policy,
                salt + 2,
            ),
            counts: ModelCounts::default(),
        }
    }

    /// An instruction fetch of class number `class`.
    fn fetch<C: Cpu>(&mut self, access: &mut Access<'_, C>, class: usize) {
        let (va, asid) = (access.va, access.asid);
        if let Some(hit) = self.l1i.lookup(va, asid) {
            self.check_hit(access, &hit);
            return;
        }
        self.counts.class[class].misses += 1;
        let entry = match self.l2.lookup(va, asid) {
            Some(hit) => {
                self.check_hit(access, &hit);
                hit
            }
            None => {
                self.counts.class[class].walks += 1;
                let Some(entry) = self.walk(access) else {
                    return;
                };
                self.counts.class[class].leaves[leaf_column(leaf_shift(&entry))] += 1;
                self.l2.insert(entry);
                entry
            }
        };
        self.l1i.insert(self.first_level_part(&entry, va));
    }

    /// A data access.
    fn data<C: Cpu>(&mut self, access: &mut Access<'_, C>) {
        let (va, asid) = (access.va, access.asid);
        let Some(l1d) = &mut self.l1d else {
            return;
        };
        self.counts.data_lookups += 1;
        if l1d.lookup(va, asid).is_some() {
            return;
        }
        self.counts.data_misses += 1;
        let entry = match self.l2.lookup(va, asid) {
            Some(hit) => hit,
            None => {
                self.counts.data_walks += 1;
                let Some(entry) = self.walk(access) else {
                    return;
                };
                self.l2.insert(entry);
                entry
            }
        };
        let part = self.first_level_part(&entry, va);
        if let Some(l1d) = &mut self.l1d {
            l1d.insert(part);
        }
    }

    /// Walks the tables and makes a second-level entry of the mapping.
    fn walk<C: Cpu>(&mut self, access: &mut Access<'_, C>) -> Option<Entry> {
        let Walk { reads, result } = access.walk();
        self.counts.descriptor_reads += u64::from(reads);
        if access.switches.check_walk {
            self.counts.walks_checked += 1;
            let right = match result {
                Ok(leaf) => access.agrees(leaf.pa),
                Err(_) => {
                    let (cpu, va) = (&mut *access.cpu, access.va);
                    access
                        .truth
                        .get_or_insert_with(|| cpu.translate(va))
                        .is_none()
                }
            };
            self.counts.walks_wrong += u64::from(!right);
        }
        let Ok(leaf) = result else {
            self.counts.walk_faults += 1;
            return None;
        };
        let (cpu, va) = (&mut *access.cpu, access.va);
        let coalesced = self.geometry.coalesce != Coalesce::Off
            && coalesces(&access.regime, va, &leaf, |pa| cpu.descriptor(pa));
        let shift = if coalesced {
            leaf.shift + 2
        } else if self.geometry.contiguous {
            leaf.group
        } else {
            leaf.shift
        };
        let low = va & ((1u64 << shift) - 1);
        Some(Entry {
            va: va - low,
            pa: leaf.pa.wrapping_sub(low),
            shift,
            leaf: shift,
            coalesced,
            asid: access.asid,
            global: leaf.global,
        })
    }

    /// The part of an entry that the first level takes.
    fn first_level_part(&self, entry: &Entry, va: u64) -> Entry {
        if !entry.coalesced {
            return entry.part(va, self.geometry.l1_shift(entry.shift));
        }
        if self.geometry.coalesce == Coalesce::Both {
            return *entry;
        }
        let page = entry.part(va, entry.shift - 2);
        Entry {
            leaf: page.shift,
            coalesced: false,
            ..page
        }
    }

    /// Compares a hit with QEMU's translation, if asked to.
    fn check_hit<C: Cpu>(&mut self, access: &mut Access<'_, C>, hit: &Entry) {
        if access.switches.check_stale {
            self.counts.stale_checked += 1;
            let fresh = access.agrees(hit.translate(access.va));
            self.counts.stale_hits += u64::from(!fresh);
        }
    }

    /// Removes entries; returns how many.
    fn kill(&mut self, kill: &Kill) -> u64 {
        let data = self.l1d.as_mut().map_or(0, |l1d| l1d.kill(kill));
        self.l1i.kill(kill) + data + self.l2.kill(kill)
    }
}

/// The size that the leaf histogram shows for an entry: that of the leaf in the page tables.
fn leaf_shift(entry: &Entry) -> u32 {
    if entry.coalesced {
        entry.shift - 2
    } else {
        entry.leaf
    }
}

#[cfg(test)]
mod tests;
