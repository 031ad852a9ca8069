// SPDX-License-Identifier: GPL-2.0

//! Finds all mappings of the kernel, and those that must not be.

#![deny(unsafe_code)]

use crate::memory;
use core::ops::ControlFlow;
use kernel::prelude::*;
use pagetable::{
    Access,
    Kind,
    Leaf,
    Regime,
    Scan, //
};

/// Tables that a scan may read: enough for 4 KiB mappings of 1 TiB.
const MAX_TABLES: u64 = 1 << 20;
/// Suspicious leaves that are looked at a second time; if there are more, the audit fails.
const MAX_SUSPECTS: usize = 4096;
/// Bytes that a query for aliases may ask for.
pub(crate) const MAX_RANGE: u64 = 64 << 20;

/// All mappings of one kind and access.
pub(crate) struct Tally {
    /// Size and form.
    pub(crate) kind: Kind,
    /// What the kernel may do there.
    pub(crate) access: Access,
    /// Leaves, a contiguous group counted once.
    pub(crate) leaves: u64,
    /// Bytes of all of them.
    pub(crate) bytes: u64,
}

/// The whole kernel half.
pub(crate) struct Census {
    /// All mappings by kind and access.
    pub(crate) tallies: KVec<Tally>,
    /// Mappings that are writable and executable.
    pub(crate) violations: KVec<Leaf>,
    /// The tables that were read.
    pub(crate) scan: Scan,
}

impl Census {
    /// Reads all tables and looks at each suspect again.
    pub(crate) fn take(regime: &Regime) -> Result<Self> {
        let mut tallies = KVec::new();
        let mut suspects = KVec::new();
        let scan = scan(regime, |leaf| {
            count(&mut tallies, leaf)?;
            if is_write_execute(leaf) {
                if suspects.len() >= MAX_SUSPECTS {
                    return Err(E2BIG);
                }
                suspects.push(*leaf, GFP_KERNEL)?;
            }
            Ok(())
        })?;
        suspects.retain(|leaf| still(regime, leaf, is_write_execute));
        Ok(Self {
            tallies,
            violations: suspects,
            scan,
        })
    }
}

/// The linear map.
pub(crate) struct LinearMap {
    /// Its leaves by kind and access.
    pub(crate) tallies: KVec<Tally>,
    /// The blocks of each size that a table maps instead, the largest first.
    pub(crate) splits: [Split; 2],
    /// The tables that were read.
    pub(crate) scan: Scan,
}

/// Blocks of one size that a table of smaller leaves maps.
pub(crate) struct Split {
    /// The size of each.
    pub(crate) bytes: u64,
    /// Their number. A table without any valid leaf below it does not count.
    pub(crate) blocks: u64,
    /// The last one that was counted, by its address.
    last: Option<u64>,
}

impl Split {
    fn of(bytes: u64) -> Self {
        Self {
            bytes,
            blocks: 0,
            last: None,
        }
    }

    /// Counts the block around a leaf, if the leaf is smaller. Leaves come in ascending order.
    fn count(&mut self, leaf: &Leaf) {
        let block = leaf.va & !self.bytes.saturating_sub(1);
        if leaf.size < self.bytes && self.last != Some(block) {
            self.last = Some(block);
            self.blocks = self.blocks.saturating_add(1);
        }
    }
}

impl LinearMap {
    /// Reads all tables.
    pub(crate) fn take(regime: &Regime) -> Result<Self> {
        let addresses = memory::linear_map();
        let page_shift = regime.granule().page_shift();
        // A table of 8-byte entries has one page.
        let table_order = page_shift.saturating_sub(3);
        let middle = page_shift.saturating_add(table_order);
        let block = |shift: u32| Split::of(1u64.checked_shl(shift).unwrap_or(0));
        let mut splits = [block(middle.saturating_add(table_order)), block(middle)];
        let mut tallies = KVec::new();
        let scan = scan(regime, |leaf| {
            if !addresses.contains(&leaf.va) {
                return Ok(());
            }
            for split in &mut splits {
                split.count(leaf);
            }
            count(&mut tallies, leaf)
        })?;
        Ok(Self {
            tallies,
            splits,
            scan,
        })
    }
}

/// The mappings of a range, and all other mappings of the same memory.
pub(crate) struct Aliases {
    /// The mappings of the range itself, cut to it.
    pub(crate) own: KVec<Piece>,
    /// Bytes of the range that are not mapped.
    pub(crate) unmapped: u64,
    /// Every other mapping of the same memory.
    pub(crate) others: KVec<Piece>,
    /// The tables that were read.
    pub(crate) scan: Scan,
}

/// A part of a mapping.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    /// First virtual address.
    pub(crate) va: u64,
    /// First physical address.
    pub(crate) pa: u64,
    /// Bytes, at least 1.
    pub(crate) bytes: u64,
    /// The first leaf that it is a part of.
    pub(crate) leaf: Leaf,
}

impl Piece {
    /// The part of `leaf`'s span from `first` to `last`, which both lie in the span.
    fn of(leaf: &Leaf, first: u64, last: u64) -> Self {
        Self {
            va: first,
            pa: leaf
                .span_pa()
                .saturating_add(first.saturating_sub(leaf.span_va())),
            bytes: last.saturating_sub(first).saturating_add(1),
            leaf: *leaf,
        }
    }

    /// The last physical address.
    fn last_pa(&self) -> u64 {
        self.pa.saturating_add(self.bytes.saturating_sub(1))
    }

    /// Appends `next` if it is more of the same; returns whether it did.
    fn extend(&mut self, next: &Self) -> bool {
        let goes_on = self.leaf.kind() == next.leaf.kind()
            && self.leaf.access() == next.leaf.access()
            && self.va.checked_add(self.bytes) == Some(next.va)
            && self.pa.checked_add(self.bytes) == Some(next.pa);
        if goes_on {
            self.bytes = self.bytes.saturating_add(next.bytes);
        }
        goes_on
    }
}

impl Aliases {
    /// Finds the mappings for the bytes from `first` to `last`, both included.
    pub(crate) fn find(regime: &Regime, first: u64, last: u64) -> Result<Self> {
        let (own, unmapped) = own_mappings(regime, first, last)?;
        let memory = physical_ranges(&own)?;
        let mut others = KVec::new();
        let scan = scan(regime, |leaf| {
            // A mapping may be gone a moment later: a poke maps its window only for one copy.
            let before = others.len();
            for_each_part(leaf, &memory, |part| {
                outside(&part, first, last, |piece| push_merged(&mut others, piece))
            })?;
            if others.len() != before && others.len() > MAX_SUSPECTS {
                return Err(E2BIG);
            }
            Ok(())
        })?;
        others.retain(|piece: &mut Piece| {
            !is_writable(&piece.leaf) || still(regime, &piece.leaf, is_writable)
        });
        Ok(Self {
            own,
            unmapped,
            others,
            scan,
        })
    }
}

/// Whether the kernel can write through a leaf and execute there.
fn is_write_execute(leaf: &Leaf) -> bool {
    leaf.kernel_writable() && leaf.kernel_executable()
}

/// Whether the kernel can write through a leaf.
fn is_writable(leaf: &Leaf) -> bool {
    leaf.kernel_writable()
}

/// Whether `leaf` is still there and `bad`. Tables change while they are scanned.
fn still(regime: &Regime, leaf: &Leaf, bad: fn(&Leaf) -> bool) -> bool {
    regime
        .walk(leaf.va, memory::descriptor)
        .leaf()
        .is_some_and(|now| now.pa == leaf.pa && bad(&now))
}

/// Visits every leaf until `visit` fails.
fn scan(regime: &Regime, mut visit: impl FnMut(&Leaf) -> Result) -> Result<Scan> {
    let mut outcome = Ok(());
    let scan = regime.for_each_leaf(MAX_TABLES, memory::descriptor, |leaf| {
        outcome = visit(leaf);
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    outcome.map(|()| scan)
}

/// Adds a leaf to the tally of its kind and access.
fn count(tallies: &mut KVec<Tally>, leaf: &Leaf) -> Result {
    let (kind, access) = (leaf.kind(), leaf.access());
    match tallies
        .iter_mut()
        .find(|tally| tally.kind == kind && tally.access == access)
    {
        Some(tally) => {
            tally.leaves = tally.leaves.saturating_add(1);
            tally.bytes = tally.bytes.saturating_add(leaf.span);
        }
        None => tallies.push(
            Tally {
                kind,
                access,
                leaves: 1,
                bytes: leaf.span,
            },
            GFP_KERNEL,
        )?,
    }
    Ok(())
}

/// The mappings of a range, cut to it, and the number of its bytes that are not mapped.
fn own_mappings(regime: &Regime, first: u64, last: u64) -> Result<(KVec<Piece>, u64)> {
    let mut own = KVec::new();
    let mut unmapped = 0u64;
    let page = 1u64 << regime.granule().page_shift();
    let mut va = first;
    while va <= last {
        let end = match regime.walk(va, memory::descriptor).leaf() {
            Some(leaf) => {
                let end = last.min(leaf.span_va() | leaf.span.saturating_sub(1));
                push_merged(&mut own, Piece::of(&leaf, va, end))?;
                end
            }
            None => {
                let end = last.min(va | page.saturating_sub(1));
                unmapped = unmapped.saturating_add(end.saturating_sub(va).saturating_add(1));
                end
            }
        };
        match end.checked_add(1) {
            Some(next) => va = next,
            None => break,
        }
    }
    Ok((own, unmapped))
}

/// Appends a piece, merged with the last one where it is more of the same.
fn push_merged(pieces: &mut KVec<Piece>, piece: Piece) -> Result {
    if !pieces.last_mut().is_some_and(|last| last.extend(&piece)) {
        pieces.push(piece, GFP_KERNEL)?;
    }
    Ok(())
}

/// Physical memory from the first to the second address, both included.
type PhysicalRange = (u64, u64);

/// The physical memory of `pieces`: disjoint ranges in ascending order.
fn physical_ranges(pieces: &[Piece]) -> Result<KVec<PhysicalRange>> {
    let mut sorted = KVec::with_capacity(pieces.len(), GFP_KERNEL)?;
    for piece in pieces {
        sorted.push((piece.pa, piece.last_pa()), GFP_KERNEL)?;
    }
    sorted.sort_unstable();
    let mut ranges: KVec<PhysicalRange> = KVec::new();
    for &(first, last) in &sorted {
        match ranges.last_mut() {
            Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
            _ => ranges.push((first, last), GFP_KERNEL)?,
        }
    }
    Ok(ranges)
}

/// Visits the parts of `leaf` that map some of `memory`.
fn for_each_part(
    leaf: &Leaf,
    memory: &[PhysicalRange],
    mut visit: impl FnMut(Piece) -> Result,
) -> Result {
    let whole = Piece::of(
        leaf,
        leaf.span_va(),
        leaf.span_va() | leaf.span.saturating_sub(1),
    );
    let from = memory.partition_point(|range| range.1 < whole.pa);
    for &(first, last) in memory.iter().skip(from) {
        if first > whole.last_pa() {
            break;
        }
        let offset = |pa: u64| whole.va.saturating_add(pa.saturating_sub(whole.pa));
        let (first, last) = (first.max(whole.pa), last.min(whole.last_pa()));
        visit(Piece::of(leaf, offset(first), offset(last)))?;
    }
    Ok(())
}

/// Visits the parts of `piece` outside the virtual range from `first` to `last`.
fn outside(piece: &Piece, first: u64, last: u64, mut visit: impl FnMut(Piece) -> Result) -> Result {
    let piece_last = piece.va.saturating_add(piece.bytes.saturating_sub(1));
    if piece.va < first {
        let end = piece_last.min(first.saturating_sub(1));
        visit(Piece::of(&piece.leaf, piece.va, end))?;
    }
    if piece_last > last {
        let start = piece.va.max(last.saturating_add(1));
        visit(Piece::of(&piece.leaf, start, piece_last))?;
    }
    Ok(())
}
