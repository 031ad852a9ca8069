// SPDX-License-Identifier: GPL-2.0

//! Seeded operations against the shadow, in many geometries, with a recount of everything after
//! every step.
//!
//! `SEED=n` runs that seed alone.

mod common;

use common::check_seeds;
use pack_core::model::Limits;

/// Limits without variations.
const fn plain(slots: u32, chunks: u32) -> Limits {
    Limits {
        slots,
        chunks,
        any_chunks: false,
        any_rank: false,
        align: 0,
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
