// SPDX-License-Identifier: GPL-2.0

//! Random operations, compared with the shadow, with many numbers of slots and chunks. Every step
//! is followed by a recount of everything.
//!
//! `SEED=n` runs only that seed.

mod common;

use common::check_seeds;
use pack_core::model::Generator;
use pack_core::model::Limits;
use pack_core::model::Op;
use pack_core::ChunkCount;
use pack_core::ChunkRange;
use pack_core::RangeState;
use pack_core::RankSet;
use pack_core::SlotRange;
use pack_core::PACKS_PER_BATCH;

/// Limits without variations.
const fn plain(slots: u32, chunks: u32) -> Limits {
    Limits {
        slots,
        chunks,
        any_chunks: false,
        any_rank: false,
        align: 0,
        image: 0,
    }
}

/// Limits with packs of any size and rank, and alignment.
const fn varied(slots: u32, chunks: u32) -> Limits {
    Limits {
        any_chunks: true,
        any_rank: true,
        align: 6,
        ..plain(slots, chunks)
    }
}

#[test]
fn one_tiny_pack() {
    check_seeds(plain(1, 8), 60, 1_500);
}

#[test]
fn one_chunk_packs() {
    check_seeds(plain(4, 1), 20, 1_000);
}

#[test]
fn a_word_and_its_neighbours() {
    for chunks in [63, 64, 65, 127, 128, 129] {
        check_seeds(plain(3, chunks), 12, 1_500);
    }
}

#[test]
fn odd_numbers_of_words_and_chunks() {
    for chunks in [5 * 64, 5 * 64 + 1, 777, 1_000] {
        check_seeds(plain(2, chunks), 8, 1_500);
    }
}

#[test]
fn many_varied_packs() {
    check_seeds(varied(13, 300), 20, 2_000);
}

/// Room that was set aside is used up exactly, and parts of it become free before others.
#[test]
fn small_images_fill_what_is_set_aside() {
    for (chunks, image) in [(8, 2), (64, 2), (130, 2), (300, 2)] {
        let limits = Limits {
            image,
            align: 0,
            any_chunks: false,
            ..varied(1, chunks)
        };
        check_seeds(limits, 10, 2_000);
    }
}

#[test]
fn varied_alignment_in_larger_packs() {
    check_seeds(varied(4, 3_000), 6, 1_000);
}

#[test]
fn a_real_pack() {
    check_seeds(plain(1, 32_768), 2, 400);
}

#[test]
fn real_packs_with_alignment() {
    check_seeds(varied(3, 32_768), 2, 300);
}

#[test]
fn larger_than_a_pack() {
    check_seeds(varied(2, 100_000), 2, 150);
}

/// More packs than fit into a batch wait at the same time: no operation removes packs, and few
/// begin batches.
#[test]
fn more_packs_than_a_batch() {
    let limits = plain(PACKS_PER_BATCH as u32 + 16, 3);
    let mut begun_in_part = 0;
    for seed in common::seeds(6) {
        let mut generator = Generator::new(seed, limits);
        let add = Op::Add {
            chunks: 3,
            rank: 0,
            slots: SlotRange::ALL,
        };
        let mut ops = vec![add; limits.slots as usize];
        let mut begins = 0u32;
        while ops.len() < 4_000 {
            let op = generator.next();
            begins += u32::from(op == Op::BeginBatch);
            let left_out = matches!(op, Op::TakeEmpty) || op == Op::BeginBatch && begins % 8 != 0;
            ops.extend((!left_out).then_some(op));
        }
        if let Err((step, failure)) = common::replay(&limits, &ops) {
            panic!("SEED={seed}: step {step}: {failure:?}");
        }
        let mut trial = common::trial(limits.slots as usize, limits.chunks);
        for op in ops {
            let begins = op == Op::BeginBatch && !trial.pool().is_batch_under_way();
            trial.step(op).unwrap();
            let left = trial.pool().stats().tallies.retired.ranges;
            begun_in_part += u32::from(begins && left > 0);
        }
    }
    assert!(begun_in_part >= 3, "{begun_in_part}");
}

/// The first place for an image that may also go to a hole that fits.
fn first_fit(trial: &common::HostTrial, op: Op) -> Option<(u32, ChunkRange)> {
    match op {
        Op::ReserveFitting { size, among } => {
            let count = ChunkCount::holding(size as usize).ok()?;
            trial
                .shadow()
                .first_fit(count, ChunkCount::ONE, among, SlotRange::ALL, None)
        }
        _ => None,
    }
}

/// The other tests rely on this: the random operations reach every kind of situation.
#[test]
fn the_operations_reach_everything() {
    let limits = varied(13, 300);
    let mut seen = std::collections::BTreeMap::<&str, u32>::new();
    for seed in 0..20 {
        let mut generator = Generator::new(seed, limits);
        let mut trial = common::trial(limits.slots as usize, limits.chunks);
        for _ in 0..3_000 {
            let before = trial.pool().stats();
            let op = generator.next();
            let first = first_fit(&trial, op);
            trial.step(op).unwrap();
            let after = trial.pool().stats();
            let (was, is) = (before.tallies, after.tallies);
            let happened = |state| is.of(state).ranges > was.of(state).ranges;
            let many_packs = |state: RangeState| {
                let packs = trial.pool().packs();
                packs
                    .filter(|(_, stats)| stats.tallies.of(state).ranges > 1)
                    .count()
                    > 2
            };
            let corners = [
                ("reserves", happened(RangeState::Reserved)),
                (
                    "is refused",
                    matches!(op, Op::Reserve { .. }) && was == is && before.packs > 3,
                ),
                (
                    "reserves aligned",
                    matches!(op, Op::Reserve { align: 4.., .. }) && happened(RangeState::Reserved),
                ),
                (
                    "reserves in a hole that fits",
                    first.is_some_and(|(slot, range)| {
                        trial.shadow().find(slot, range.start()).is_none()
                    }),
                ),
                (
                    "leaves a tail over",
                    matches!(op, Op::BeginImage { .. })
                        && happened(RangeState::Writing)
                        && is.unfinished().chunks < was.unfinished().chunks,
                ),
                (
                    "begins to write",
                    matches!(op, Op::BeginWrite { .. }) && happened(RangeState::Writing),
                ),
                (
                    "writes to a live one",
                    matches!(op, Op::Rewrite { .. }) && happened(RangeState::Writing),
                ),
                (
                    "gives up writing",
                    matches!(op, Op::AbortWrite { .. }) && happened(RangeState::Reserved),
                ),
                ("writes in many packs", many_packs(RangeState::Writing)),
                ("finalizes", happened(RangeState::Live)),
                ("retires", happened(RangeState::Retired)),
                (
                    "retires during a batch",
                    matches!(op, Op::Retired { .. })
                        && happened(RangeState::Retired)
                        && was.syncing.ranges > 0,
                ),
                ("dooms", happened(RangeState::Doomed)),
                (
                    "dooms in several packs",
                    happened(RangeState::Doomed)
                        && trial
                            .pool()
                            .packs()
                            .filter(|(_, stats)| stats.tallies.doomed.ranges > 0)
                            .count()
                            > 2,
                ),
                (
                    "finalizes a doomed one",
                    matches!(op, Op::FinalizeDoomed { .. }) && happened(RangeState::Retiring),
                ),
                (
                    "gives up writing to a doomed one",
                    matches!(op, Op::AbortDoomed { .. }) && happened(RangeState::Retiring),
                ),
                (
                    "begins among doomed",
                    happened(RangeState::Syncing) && was.doomed.ranges > 2,
                ),
                ("abandons", matches!(op, Op::Abandon { .. }) && was != is),
                (
                    "begins in many packs",
                    happened(RangeState::Syncing) && many_packs(RangeState::Syncing),
                ),
                ("releases", was.syncing.ranges > 3 && is.syncing.ranges == 0),
                (
                    "releases a slice",
                    is.syncing.ranges < was.syncing.ranges && is.syncing.ranges > 3,
                ),
                (
                    "releases among doomed",
                    is.syncing.ranges < was.syncing.ranges && was.doomed.ranges > 2,
                ),
                (
                    "reserves in some ranks",
                    matches!(op, Op::Reserve { among, .. } if among != RankSet::ALL)
                        && happened(RangeState::Reserved),
                ),
                ("adds", after.packs > before.packs),
                ("takes out", after.packs < before.packs),
                ("is full of packs", after.packs == u64::from(limits.slots)),
                (
                    "is crowded",
                    after.packs > 3 && after.free_bytes() * 8 < after.bytes(),
                ),
                (
                    "is riddled",
                    after.largest_hole_bytes() * 5 < after.free_bytes(),
                ),
                (
                    "meddles with a range",
                    matches!(op, Op::Meddle { .. }) && was != is,
                ),
            ];
            for (corner, reached) in corners {
                *seen.entry(corner).or_default() += u32::from(reached);
            }
        }
    }
    assert!(seen.values().all(|count| *count >= 10), "{seen:#?}");
}
