// SPDX-License-Identifier: GPL-2.0

//! Cases of `poke.rs`.

use super::memory::{
    holds,
    is_traps,
    unreadable,
    writable, //
};
use super::region::sealed;
use super::{
    cases,
    ensure,
    Fixture,
    Verdict, //
};
use crate::plan::LeafLimit;
use crate::poke::{
    Source,
    WINDOWS, //
};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

cases! {
    odd_places_are_refused,
    a_copy_lands_there_and_nowhere_else,
    a_copy_may_cross_pages,
    lengths_have_to_agree,
    an_unreadable_source_is_an_error,
    traps_cover_a_copy,
    each_page_has_a_window_of_its_own,
}

const WORDS: [u32; 32] = [0x1234_5678; 32];
const BYTES: usize = size_of_val(&WORDS);

fn odd_places_are_refused(fixture: &Fixture) -> Verdict {
    let mut region = sealed(fixture, LeafLimit::Huge, false)?;
    let len = region.len();
    for (offset, bytes) in [(2, 4), (0, 6), (len, 4), (len - 4, 8), (usize::MAX - 3, 8)] {
        let refused = writable(fixture.kernel, &mut region, offset, bytes).is_err();
        ensure!(refused, "accepted");
    }
    Ok(())
}

/// Copies the words to `offset` and compares what is there and around it.
fn copied_to(fixture: &Fixture, limit: LeafLimit, offset: usize) -> Verdict {
    let mut region = sealed(fixture, limit, false)?;
    writable(fixture.kernel, &mut region, offset, BYTES)
        .and_then(|mut place| place.copy(Source::from(&WORDS[..])))
        .map_err(|_| "the copy failed")?;
    let start = region.address();
    let (from, to) = (start + offset, start + offset + BYTES);
    ensure!(holds(from, &WORDS), "the words are not there");
    ensure!(is_traps(start, from), "something is before them");
    ensure!(
        is_traps(to, start + region.len()),
        "something is after them"
    );
    Ok(())
}

fn a_copy_lands_there_and_nowhere_else(fixture: &Fixture) -> Verdict {
    copied_to(fixture, LeafLimit::Huge, 0)?;
    copied_to(fixture, LeafLimit::Huge, 4096 + 64)?;
    copied_to(fixture, LeafLimit::Contiguous, 4096 + 64)
}

fn a_copy_may_cross_pages(fixture: &Fixture) -> Verdict {
    copied_to(fixture, LeafLimit::Huge, PAGE_SIZE - 64)?;
    copied_to(fixture, LeafLimit::Page, PAGE_SIZE - 64)
}

fn lengths_have_to_agree(fixture: &Fixture) -> Verdict {
    let mut region = sealed(fixture, LeafLimit::Huge, false)?;
    for bytes in [BYTES - 4, BYTES + 4] {
        let copied = writable(fixture.kernel, &mut region, 0, bytes)
            .and_then(|mut place| place.copy(Source::from(&WORDS[..])));
        ensure!(copied == Err(EINVAL), "accepted");
    }
    ensure!(
        is_traps(region.address(), region.address() + 2 * BYTES),
        "written"
    );
    Ok(())
}

fn an_unreadable_source_is_an_error(fixture: &Fixture) -> Verdict {
    let mut region = sealed(fixture, LeafLimit::Huge, false)?;
    let copied = writable(fixture.kernel, &mut region, 0, BYTES)
        .and_then(|mut place| place.copy(unreadable(BYTES)));
    ensure!(copied == Err(EFAULT), "no error");
    Ok(())
}

fn traps_cover_a_copy(fixture: &Fixture) -> Verdict {
    let mut region = sealed(fixture, LeafLimit::Page, false)?;
    writable(fixture.kernel, &mut region, PAGE_SIZE - 64, BYTES)
        .and_then(|mut place| {
            place.copy(Source::from(&WORDS[..]))?;
            place.fill_with_traps()
        })
        .map_err(|_| "the copy or the traps failed")?;
    let start = region.address();
    ensure!(is_traps(start, start + 2 * PAGE_SIZE), "not traps again");
    Ok(())
}

fn each_page_has_a_window_of_its_own(fixture: &Fixture) -> Verdict {
    let mut region = sealed(fixture, LeafLimit::Huge, false)?;
    let before = WINDOWS.get();
    writable(fixture.kernel, &mut region, PAGE_SIZE - 64, PAGE_SIZE + 128)
        .and_then(|mut place| place.fill_with_traps())
        .map_err(|_| "the traps failed")?;
    // Others may have opened some meanwhile.
    ensure!(WINDOWS.get() >= before + 3, "fewer windows than pages");
    Ok(())
}
