// SPDX-License-Identifier: GPL-2.0

//! A slow recount of everything that the pool updates in small steps.

use core::ops::DerefMut;
use core::ops::Range;

use crate::bitmap;
use crate::bitmap::WORD_BITS;
use crate::counting::length;
use crate::counting::numbered;
use crate::fresh::Fresh;
use crate::geometry::ChunkCount;
use crate::geometry::Rank;
use crate::geometry::SlotRange;
use crate::pack::Pack;
use crate::pool::Lead;
use crate::pool::Pool;
use crate::pool::Slot;
use crate::runs::Summary;
use crate::state::RangeState;
use crate::stats::Tallies;
use crate::stats::Tally;

#[cfg(test)]
mod tests;

/// An error in the records of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The rule that is broken, as a sentence for the log.
    pub what: &'static str,
    /// The slot of the pack that it concerns, if it concerns one.
    pub slot: Option<u32>,
    /// The chunk of that pack that it concerns, if it concerns one.
    pub chunk: Option<u32>,
}

impl Flaw {
    fn of_pool(what: &'static str) -> Self {
        Self {
            what,
            slot: None,
            chunk: None,
        }
    }

    fn of_pack(what: &'static str, slot: u32) -> Self {
        Self {
            what,
            slot: Some(slot),
            chunk: None,
        }
    }
}

/// Returns `flaw` unless `holds`.
fn ensure(holds: bool, flaw: impl FnOnce() -> Flaw) -> Result<(), Flaw> {
    if holds {
        Ok(())
    } else {
        Err(flaw())
    }
}

/// Checks every invariant of a pool and of its packs, chunk by chunk.
///
/// O(chunks · log of a pack) for each pack: some milliseconds.
///
/// # Errors
///
/// The first flaw that it finds.
pub fn check_invariants<S, L>(pool: &Pool<S, L>) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    for (id, pack) in pool.occupied() {
        check_pack(pack, id.slot())?;
        ensure(
            pack.tallies().syncing.ranges == 0 || pool.internals().is_batch_under_way,
            || Flaw::of_pack("ranges are syncing but no batch is under way", id.slot()),
        )?;
    }
    ensure(pool.len() == length(pool.occupied()), || {
        Flaw::of_pool("the number of packs is wrong")
    })?;
    let slots = 0..u32::try_from(pool.internals().slots.len()).unwrap_or(u32::MAX);
    let last = slots.filter(|slot| pool.id_of_slot(*slot).is_some()).last();
    // CAST: `usize` has at least 32 bits.
    let end = last.map_or(0, |last| (last as usize).saturating_add(1));
    ensure(pool.internals().end == end, || {
        Flaw::of_pool("the slots with packs end elsewhere")
    })?;
    let syncing = pool.internals().syncing().next();
    ensure(
        syncing.is_some() == pool.internals().is_batch_under_way,
        || Flaw::of_pool("no batch is under way but ranges are syncing, or the reverse"),
    )?;
    check_index(pool)?;
    for (slots, lead) in pool.internals().leads.into_iter().flatten() {
        check_lead(pool, slots, lead)?;
    }
    check_list(pool, pool.internals().retired(), RangeState::Retired)?;
    check_list(pool, pool.internals().syncing(), RangeState::Syncing)?;
    let last = pool.internals().retired().last();
    ensure(last == pool.internals().last_retired, || {
        Flaw::of_pool("the end of the list of retired packs is wrong")
    })
}

/// Checks the index across packs.
fn check_index<S, L>(pool: &Pool<S, L>) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    let holes = pool.internals().holes;
    for rank in Rank::all() {
        for (slot, node) in numbered(holes.leaves()..holes.leaves().saturating_mul(2)) {
            let pack = pool.id_of_slot(slot).and_then(|id| pool.pack(id));
            let hole = pack
                .filter(|pack| pack.rank() == rank)
                .map_or(0, |pack| pack.hole_bound().get());
            let known = holes.node(node, rank);
            ensure(known == hole, || {
                Flaw::of_pack("the index across packs has another hole", slot)
            })?;
        }
        for node in 1..holes.leaves() {
            let left = node.saturating_mul(2);
            let larger = holes
                .node(left, rank)
                .max(holes.node(left.saturating_add(1), rank));
            ensure(holes.node(node, rank) == larger, || {
                Flaw::of_pool("a node of the index across packs is not the larger of its children")
            })?;
        }
    }
    Ok(())
}

/// Checks that nothing that goes to a lead could go to a pack before it.
fn check_lead<S, L>(pool: &Pool<S, L>, slots: SlotRange, lead: Lead) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    let leading = pool.id_of_slot(lead.slot).and_then(|id| pool.pack(id));
    let rank = leading.map(Pack::rank);
    let rank = rank
        .filter(|rank| lead.among.contains(*rank) && slots.contains(lead.slot))
        .ok_or(Flaw::of_pack(
            "the lead is no pack of its ranks and slots",
            lead.slot,
        ))?;
    for (id, pack) in pool.occupied() {
        let before = slots.contains(id.slot()) && (pack.rank(), id.slot()) < (rank, lead.slot);
        ensure(
            !before || !lead.among.contains(pack.rank()) || pack.hole_bound().get() < lead.least,
            || Flaw::of_pack("a pack before the lead may have room", id.slot()),
        )?;
    }
    Ok(())
}

/// Checks that `list` has exactly the packs with ranges in the state `state`, each of them once.
fn check_list<S, L>(
    pool: &Pool<S, L>,
    list: impl Iterator<Item = u32>,
    state: RangeState,
) -> Result<(), Flaw>
where
    S: DerefMut<Target = [u64]>,
    L: DerefMut<Target = [Slot<S>]>,
{
    let has = |pack: &Pack<S>| pack.tallies().of(state).ranges != 0;
    let wanted = length(pool.occupied().filter(|(_, pack)| has(pack)));
    let mut found = 0usize;
    // A pack that is on a list twice makes the list a ring. Walking one step more than there are
    // slots shows that.
    for slot in list.take(pool.internals().slots.len().saturating_add(1)) {
        let pack = pool.id_of_slot(slot).and_then(|id| pool.pack(id));
        ensure(pack.is_some_and(has), || {
            Flaw::of_pack(
                "a list has a pack without ranges in the state of that list",
                slot,
            )
        })?;
        found = found.saturating_add(1);
    }
    ensure(found == wanted, || {
        Flaw::of_pool("a list lacks a pack, or is a ring")
    })
}

/// Checks one pack by looking at every chunk.
fn check_pack<S: DerefMut<Target = [u64]>>(pack: &Pack<S>, slot: u32) -> Result<(), Flaw> {
    let parts = pack.parts();
    let (retired, syncing) = pack.spans();
    let chunks = pack.chunks().get();
    let at = |what, chunk| Flaw {
        what,
        slot: Some(slot),
        chunk: Some(chunk),
    };
    let mut tallies = Tallies::default();
    // The state of the range to which the chunk before belongs.
    let mut current: Option<RangeState> = None;
    for chunk in 0..bitmap::first_bit_of(parts.len()) {
        let used = parts.is_used(chunk);
        let coded = parts.state(chunk).is_some();
        if chunk >= chunks {
            ensure(used && !coded, || {
                at("a chunk beyond the last is free or has a state", chunk)
            })?;
            continue;
        }
        if !used {
            ensure(!coded, || at("a free chunk has a state", chunk))?;
            current = None;
            continue;
        }
        if coded {
            current = parts.state(chunk);
        }
        let spanned = match current.filter(|_| coded) {
            Some(RangeState::Retired) => retired.covers(bitmap::word_of(chunk)),
            Some(RangeState::Syncing) => syncing.covers(bitmap::word_of(chunk)),
            _ => true,
        };
        ensure(spanned, || {
            at(
                "a retired or syncing range starts outside of its span",
                chunk,
            )
        })?;
        let state = current.ok_or(at("a used chunk belongs to no range", chunk))?;
        tallies.add(
            state,
            Tally {
                ranges: u64::from(coded),
                chunks: 1,
            },
        );
    }
    ensure(tallies == pack.tallies(), || {
        Flaw::of_pack("the counters are wrong", slot)
    })?;
    ensure(parts.tree.len() >= parts.len(), || {
        Flaw::of_pack("the index has too few nodes", slot)
    })?;
    ensure(pack.hole_bound().get() == pack.find_bound(), || {
        Flaw::of_pack("the bound of the holes is not that of the index", slot)
    })?;
    check_fresh(pack, slot)?;
    check_tree(pack, slot)
}

/// Checks the chunks that are set aside.
fn check_fresh<S: DerefMut<Target = [u64]>>(pack: &Pack<S>, slot: u32) -> Result<(), Flaw> {
    let (parts, fresh) = (pack.parts(), pack.fresh());
    let used = |chunk| parts.is_used(chunk);
    let ordered = fresh.start() <= fresh.end() && fresh.end() <= fresh.stop();
    ensure(
        ordered && fresh.len() <= Fresh::limit(pack.chunks()),
        || Flaw::of_pack("too many chunks are fresh", slot),
    )?;
    ensure(
        (fresh.start()..fresh.end()).all(used)
            && (fresh.end()..fresh.stop()).all(|chunk| !used(chunk)),
        || Flaw::of_pack("a fresh chunk is free before others that are used", slot),
    )?;
    ensure(!fresh.is_empty() || fresh.least() == u32::MAX, || {
        Flaw::of_pack("it is said what fits before no chunks", slot)
    })?;
    let over_origin = fresh.start() < pack.origin() && pack.origin() < fresh.stop();
    ensure(!over_origin, || {
        Flaw::of_pack("the fresh chunks go over the origin", slot)
    })?;
    // What comes before it, in the order from the origin on.
    let longest = |chunks: Range<u32>| scan(chunks.map(|chunk| !used(chunk))).longest;
    let before = if pack.origin() <= fresh.start() {
        longest(pack.origin()..fresh.start())
    } else {
        longest(pack.origin()..pack.chunks().get()).max(longest(0..fresh.start()))
    };
    ensure(before < fresh.least() || fresh.least() == u32::MAX, || {
        Flaw::of_pack("an image fits before the fresh chunks", slot)
    })?;
    let goes_on = fresh.start() == fresh.end()
        && fresh.start() != pack.origin()
        && fresh
            .start()
            .checked_sub(1)
            .is_some_and(|chunk| !used(chunk));
    ensure(fresh.is_empty() || !goes_on, || {
        Flaw::of_pack("a hole goes on in the fresh chunks", slot)
    })
}

/// Compares every node of a pack's index with a scan of the chunks under it.
fn check_tree<S: DerefMut<Target = [u64]>>(pack: &Pack<S>, slot: u32) -> Result<(), Flaw> {
    let (parts, runs) = (pack.parts(), pack.runs());
    let leaves = parts.tree.len();
    let (mut first_node, mut span) = (leaves, WORD_BITS);
    while first_node >= 1 {
        for (index, node) in numbered(first_node..first_node.saturating_mul(2)) {
            let first = index.saturating_mul(span);
            let free = (first..first.saturating_add(span)).map(|chunk| {
                let free = !parts.is_used(chunk) && !pack.fresh().contains(chunk);
                chunk < pack.chunks().get() && free
            });
            let known = runs.node(node);
            ensure(known == scan(free), || Flaw {
                what: "a node of the index of free runs is wrong",
                slot: Some(slot),
                chunk: Some(first),
            })?;
        }
        first_node /= 2;
        span = span.saturating_mul(2);
    }
    let chunks = ChunkCount::new(pack.chunks().get());
    ensure(
        pack.largest_hole() <= pack.hole_bound() && pack.hole_bound() <= chunks,
        || {
            Flaw::of_pack(
                "the largest hole is larger than its bound or the pack",
                slot,
            )
        },
    )
}

/// Summarises a run of chunks, one at a time.
fn scan(free: impl Iterator<Item = bool>) -> Summary {
    let mut summary = Summary::default();
    let mut only_free = true;
    for free in free {
        if free {
            summary.suffix = summary.suffix.saturating_add(1);
            summary.longest = summary.longest.max(summary.suffix);
        } else {
            summary.suffix = 0;
            only_free = false;
        }
        if only_free {
            summary.prefix = summary.prefix.saturating_add(1);
        }
    }
    summary
}
