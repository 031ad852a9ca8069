// SPDX-License-Identifier: GPL-2.0

//! Every state that a small pool can reach, and every operation in each of them.

mod common;

use std::collections::BTreeSet;
use std::collections::HashSet;

use common::HostTrial;
use pack_core::model::Op;
use pack_core::RangeState;
use pack_core::Rank;
use pack_core::RankSet;
use pack_core::SlotRange;

/// The packs of a pool, as (chunks, rank).
type Packs = &'static [(u32, u8)];

/// Returns a pool with `packs` after the operations of `path`. The shadow confirms each of them.
fn arrive(packs: Packs, path: &[Op]) -> HostTrial {
    let chunks = packs.iter().map(|pack| pack.0).max().unwrap();
    let mut trial = common::trial(packs.len(), chunks);
    let adds = packs.iter().map(|(chunks, rank)| Op::Add {
        chunks: *chunks,
        rank: *rank,
        slots: SlotRange::ALL,
    });
    for op in adds.chain(path.iter().copied()) {
        if let Err(failure) = trial.step(op) {
            panic!("{packs:?}: {failure:?} at {op:?} of {path:#?}");
        }
    }
    trial
}

/// Returns a key of all that the shadow knows and on which further operations depend.
fn key(trial: &HostTrial) -> Vec<u8> {
    let mut key = vec![u8::from(trial.pool().is_batch_under_way())];
    for slot in 0..trial.pool().capacity() as u32 {
        key.push(u8::from(trial.shadow().pack(slot).is_some()) + 0xf0);
        for cell in trial.shadow().cells(slot) {
            let state = cell.state().map_or(0, |state| 1 + state as u8);
            key.push((state << 1) | u8::from(cell.is_first()));
        }
    }
    key
}

/// Returns the sets of ranks that can give different answers: all ranks and, if the packs have
/// several, each of them.
fn ranks(packs: Packs) -> impl Iterator<Item = RankSet> {
    let ranks: BTreeSet<Rank> = packs.iter().filter_map(|pack| Rank::new(pack.1)).collect();
    let several = ranks.len() > 1;
    let each = ranks.into_iter().filter(move |_| several);
    [RankSet::ALL]
        .into_iter()
        .chain(each.map(|rank| RankSet::NONE.with(rank)))
}

/// Returns the slots before the last one, and the last one, if there are several packs.
fn halves(packs: Packs) -> impl Iterator<Item = SlotRange> {
    let last = packs.len() as u32 - 1;
    let halves = [(0, last), (last, last + 1)].map(|(start, end)| SlotRange { start, end });
    halves.into_iter().filter(move |_| last > 0)
}

/// Returns all operations that can have an effect in a state.
fn operations(trial: &HostTrial, packs: Packs) -> Vec<Op> {
    let largest = packs.iter().map(|pack| pack.0).max().unwrap();
    let mut ops = vec![Op::BeginBatch, Op::Stale, Op::TakeEmpty];
    ops.extend([1, 2, u32::MAX].map(|at_most| Op::Release { at_most }));
    ops.extend(packs.iter().map(|(chunks, rank)| Op::Add {
        chunks: *chunks,
        rank: *rank,
        slots: SlotRange::ALL,
    }));
    for size in [0]
        .into_iter()
        .chain((0..=largest).map(|chunks| chunks * 64 + 1))
    {
        ops.extend(
            (0..2).flat_map(|align| {
                ranks(packs).map(move |among| Op::Reserve { size, align, among })
            }),
        );
        ops.extend(ranks(packs).map(|among| Op::ReserveFitting { size, among }));
        ops.extend(halves(packs).flat_map(|slots| {
            [None, Some(1)].map(|from| Op::ReserveWithin {
                size,
                among: RankSet::ALL,
                slots,
                from,
            })
        }));
    }
    for (slot, _) in trial.shadow().packs() {
        for chunk in 0..largest {
            ops.extend((1..=largest - chunk).map(|count| Op::Meddle {
                slot,
                start: chunk,
                count,
            }));
        }
    }
    let number = |state| {
        let slots = trial.shadow().packs().map(|(slot, _)| slot);
        slots
            .map(|slot| trial.shadow().tallies(slot).of(state).ranges as u32)
            .sum::<u32>()
    };
    for nth in 0..number(RangeState::Reserved) {
        ops.extend([Op::BeginWrite { nth }, Op::Abandon { nth }]);
        ops.extend((0..largest + 2).map(|keep| Op::BeginImage { nth, keep }));
    }
    for nth in 0..number(RangeState::Writing) {
        ops.extend([
            Op::Finalize { nth },
            Op::AbortWrite { nth },
            Op::Doom { nth },
        ]);
    }
    for nth in 0..number(RangeState::Doomed) {
        ops.extend([Op::FinalizeDoomed { nth }, Op::AbortDoomed { nth }]);
    }
    for nth in 0..number(RangeState::Live) {
        ops.extend([Op::BeginRetire { nth }, Op::Rewrite { nth }]);
    }
    ops.extend((0..number(RangeState::Retiring)).map(|nth| Op::Retired { nth }));
    ops
}

/// What a pool knows beyond its shadow, and on which further operations depend, too.
fn hidden(trial: &HostTrial) -> Vec<[u32; 4]> {
    let packs = trial.pool().occupied();
    packs.map(|(_, pack)| pack.unindexed()).collect()
}

/// Visits every state that can be reached, by a shortest path. Returns their number. If `all`, it
/// visits what is one state for the shadow once for each way in which the pool may know it.
fn visit_all_states(packs: Packs, all: bool) -> usize {
    let state = |trial: &HostTrial| (key(trial), all.then(|| hidden(trial)));
    let mut seen = HashSet::from([state(&arrive(packs, &[]))]);
    let mut paths = vec![Vec::new()];
    while !paths.is_empty() {
        let mut next = Vec::new();
        for path in &paths {
            for op in operations(&arrive(packs, path), packs) {
                let mut path = path.clone();
                path.push(op);
                let trial = arrive(packs, &path);
                if let Err(failure) = trial.verify() {
                    panic!("{packs:?}: {failure:?} after {path:#?}");
                }
                if seen.insert(state(&trial)) {
                    next.push(path);
                }
            }
        }
        paths = next;
    }
    let keys: HashSet<&Vec<u8>> = seen.iter().map(|(key, _)| key).collect();
    keys.len()
}

/// The number of states of a range.
const STATES: usize = RangeState::ALL.len();

/// Returns the number of ways to fill a pack of `chunks` chunks with free chunks and with ranges in
/// `states` states.
fn layouts(chunks: usize, states: usize) -> usize {
    let mut ways = vec![1usize];
    for end in 1..=chunks {
        let ranges: usize = ways.iter().map(|before| before * states).sum();
        ways.push(ways[end - 1] + ranges);
    }
    ways[chunks]
}

#[test]
fn every_state_of_one_pack() {
    for packs in [&[(1, 0)], &[(2, 0)], &[(3, 0)], &[(4, 0)], &[(5, 0)]] as [Packs; 5] {
        let chunks = packs[0].0 as usize;
        // The pack may be absent. A batch is under way if and only if a range is syncing.
        assert_eq!(
            visit_all_states(packs, packs[0].0 < 4),
            layouts(chunks, STATES) + 1,
            "{packs:?}"
        );
    }
}

#[test]
fn every_state_of_two_packs() {
    // Both packs have the same number of chunks. Each slot is vacant or has a pack in any layout.
    // With one batch for both, all combinations can be reached.
    let each = layouts(2, STATES) + 1;
    assert_eq!(visit_all_states(&[(2, 0), (2, 0)], true), each * each);
}

#[test]
fn every_state_of_packs_of_two_ranks() {
    assert!(visit_all_states(&[(2, 5), (1, 0)], true) > 1_000);
}

#[test]
#[ignore = "some minutes; host-test.sh --all runs it"]
fn every_state_of_a_pack_of_six_chunks() {
    assert_eq!(visit_all_states(&[(6, 0)], false), layouts(6, STATES) + 1);
}

/// Tries all sequences of `depth` more operations out of `ops`. It recounts everything after each
/// whole sequence, and so after each prefix, which is a whole sequence of a smaller depth.
fn try_sequences(packs: Packs, ops: &[Op], path: &mut Vec<Op>, depth: u32) -> usize {
    if let Err(failure) = arrive(packs, path).verify() {
        panic!("{packs:?}: {failure:?} after {path:#?}");
    }
    let mut tried = 1;
    for op in ops.iter().take(if depth == 0 { 0 } else { ops.len() }) {
        path.push(*op);
        tried += try_sequences(packs, ops, path, depth - 1);
        path.pop();
    }
    tried
}

#[test]
fn every_sequence_of_six_on_eight_chunks() {
    let reserve = |size, align| Op::Reserve {
        size,
        align,
        among: RankSet::ALL,
    };
    let ops = [
        reserve(64, 0),
        reserve(129, 0),
        reserve(300, 2),
        Op::BeginImage { nth: 0, keep: 1 },
        Op::BeginWrite { nth: 0 },
        Op::Finalize { nth: 0 },
        Op::BeginRetire { nth: 0 },
        // Six steps are too few for a whole life: this sequence leaves out its middle.
        Op::Abandon { nth: 0 },
        Op::Retired { nth: 0 },
        Op::BeginBatch,
        Op::Release { at_most: 1 },
    ];
    let tried = try_sequences(&[(8, 0)], &ops, &mut Vec::new(), 6);
    assert_eq!(tried, (0..=6).map(|depth| ops.len().pow(depth)).sum());
}
