// SPDX-License-Identifier: GPL-2.0

//! Visits every leaf of the kernel's half.

use crate::descriptor::{
    entry_address,
    low_mask,
    Entry, //
};
use crate::leaf::Leaf;
use crate::regime::{
    Position,
    Regime, //
};
use core::ops::ControlFlow;

impl Regime {
    /// Visits every leaf of the kernel's half in the order of addresses.
    ///
    /// It visits a valid contiguous group once, as a leaf whose `span` covers the group. It skips a
    /// table entry that is equal to the one before it, because it has just visited the same leaves
    /// at other addresses; KASAN maps its zero shadow in this way.
    ///
    /// It reads at most `max_tables` tables, whatever they contain, and recurses at most 5 deep.
    /// `read` is that of [`Self::walk`]. If `read` cannot read a part of a table, the scan skips
    /// the rest of that table and counts it. `visit` ends the scan with [`ControlFlow::Break`].
    pub fn for_each_leaf(
        &self,
        max_tables: u64,
        read: impl FnMut(u64) -> Option<u64>,
        visit: impl FnMut(&Leaf) -> ControlFlow<()>,
    ) -> Scan {
        let mut scanner = Scanner {
            regime: self,
            max_tables,
            read,
            visit,
            scan: Scan::default(),
        };
        let end = scanner.table(self.root, self.start_level, self.first_va(), 0);
        scanner.scan.end = match end {
            ControlFlow::Continue(()) => End::Complete,
            ControlFlow::Break(end) => end,
        };
        scanner.scan
    }

    /// As [`Self::for_each_leaf`], but visits runs of leaves.
    pub fn for_each_run(
        &self,
        max_tables: u64,
        read: impl FnMut(u64) -> Option<u64>,
        mut visit: impl FnMut(&Run) -> ControlFlow<()>,
    ) -> Scan {
        let mut open: Option<Run> = None;
        let mut scan = self.for_each_leaf(max_tables, read, |leaf| {
            if open.as_mut().is_some_and(|run| run.extend(leaf)) {
                return ControlFlow::Continue(());
            }
            match open.replace(Run::new(leaf)) {
                Some(run) => visit(&run),
                None => ControlFlow::Continue(()),
            }
        });
        if scan.end != End::Stopped {
            if let Some(run) = open {
                if visit(&run).is_break() {
                    scan.end = End::Stopped;
                }
            }
        }
        scan
    }
}

/// Neighbouring leaves of one kind and access that map contiguous physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first leaf.
    pub first: Leaf,
    /// The number of leaves. A contiguous group counts once.
    pub leaves: u64,
    /// The bytes of all leaves.
    pub bytes: u64,
}

impl Run {
    /// Makes a run of one leaf.
    pub fn new(leaf: &Leaf) -> Self {
        Self {
            first: *leaf,
            leaves: 1,
            bytes: leaf.span,
        }
    }

    /// Appends `leaf` if it continues the run. Returns whether it did.
    pub fn extend(&mut self, leaf: &Leaf) -> bool {
        let goes_on = self.first.kind() == leaf.kind()
            && self.first.access() == leaf.access()
            && self.first.span_va().checked_add(self.bytes) == Some(leaf.span_va())
            && self.first.span_pa().checked_add(self.bytes) == Some(leaf.span_pa());
        if goes_on {
            self.leaves = self.leaves.saturating_add(1);
            self.bytes = self.bytes.saturating_add(leaf.span);
        }
        goes_on
    }
}

/// Why a scan ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The scan has visited the whole half.
    #[default]
    Complete,
    /// The visitor has ended the scan.
    Stopped,
    /// The scan has read the most tables allowed.
    OutOfTables,
}

/// The result of a scan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Why it ended.
    pub end: End,
    /// The tables that were read.
    pub tables: u64,
    /// The tables of which a part could not be read.
    pub unreadable: u64,
    /// The table entries that were skipped because they are equal to the one before.
    pub repeated: u64,
}

impl Scan {
    /// Whether every leaf of the half was visited.
    pub fn is_complete(&self) -> bool {
        self.end == End::Complete && self.unreadable == 0
    }
}

/// The state of [`Regime::for_each_leaf`].
struct Scanner<'a, R, V> {
    regime: &'a Regime,
    max_tables: u64,
    read: R,
    visit: V,
    scan: Scan,
}

impl<R, V> Scanner<'_, R, V>
where
    R: FnMut(u64) -> Option<u64>,
    V: FnMut(&Leaf) -> ControlFlow<()>,
{
    /// Scans the table at `table`, whose first entry translates `first_va`.
    fn table(&mut self, table: u64, level: i8, first_va: u64, limits: u64) -> ControlFlow<End> {
        if self.scan.tables >= self.max_tables {
            return ControlFlow::Break(End::OutOfTables);
        }
        self.scan.tables = self.scan.tables.saturating_add(1);

        let shift = self.regime.granule.shift(level);
        let group = low_mask(self.regime.granule.group_order(level));
        let last = low_mask(self.regime.table_order(level));
        let mut before = None;
        let mut index = 0;
        while index <= last {
            let position = Position {
                table,
                index,
                level,
                va: first_va | (index << shift),
            };
            let Some(descriptor) = (self.read)(entry_address(table, index)) else {
                self.scan.unreadable = self.scan.unreadable.saturating_add(1);
                return ControlFlow::Continue(());
            };
            let mut entries = 1;
            match self.regime.decode(descriptor, level) {
                Entry::Invalid => {}
                Entry::Table(_) if before == Some(descriptor) => {
                    self.scan.repeated = self.scan.repeated.saturating_add(1);
                }
                Entry::Table(next) => {
                    let below = self.regime.limits_below(limits, descriptor);
                    self.table(next, level.saturating_add(1), position.va, below)?;
                }
                Entry::Leaf(pa) => {
                    // A group counts only if it is complete from its first entry on.
                    let grouped = index & group == 0
                        && self
                            .regime
                            .in_contiguous_group(position, descriptor, &mut self.read);
                    let leaf = self.regime.leaf(position, pa, descriptor, limits, grouped);
                    entries = leaf.span >> shift;
                    if (self.visit)(&leaf).is_break() {
                        return ControlFlow::Break(End::Stopped);
                    }
                }
            }
            before = Some(descriptor);
            index = index.saturating_add(entries);
        }
        ControlFlow::Continue(())
    }
}
