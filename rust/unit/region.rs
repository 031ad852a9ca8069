// SPDX-License-Identifier: GPL-2.0

//! Cases of `region.rs`.

use super::memory::{
    freed_memory,
    is_traps,
    word, //
};
use super::{
    cases,
    ensure,
    Fixture,
    Verdict, //
};
use crate::a64::BRANCH_RANGE;
use crate::faults::{
    self,
    Point, //
};
use crate::node::Node;
use crate::plan::{
    attempts,
    Attempt,
    LeafLimit,
    Place,
    REGION_ALIGN, //
};
use crate::region::{
    self,
    OpenRegion,
    Origins,
    Region, //
};
use kernel::page::PAGE_SIZE;
use kernel::prelude::*;

cases! {
    a_pack_is_one_leaf_and_full_of_traps,
    a_near_pack_is_in_branch_range_of_all_text,
    the_first_near_region_is_where_it_was_drawn,
    base_pages_are_found_one_by_one,
    smaller_leaves_hold_traps_too,
    nothing_is_inside_beyond_the_end,
    a_second_region_does_not_overlap_the_first,
    the_alias_is_valid_again_when_a_pack_is_gone,
    the_alias_is_valid_again_when_sealing_fails,
    an_alias_is_exposed_and_hidden,
    a_pack_is_not_mapped_by_entries_of_the_past,
}

/// A sealed region, as the first attempt of the plan would make it.
pub(super) fn sealed(
    fixture: &Fixture,
    limit: LeafLimit,
    near: bool,
) -> Result<Region, &'static str> {
    let attempt = attempts(limit, 1, near).next().ok_or("no attempt")?;
    open(fixture, attempt)?
        .seal()
        .map_err(|_| "the region was not sealed")
}

fn open(fixture: &Fixture, attempt: Attempt) -> Result<OpenRegion, &'static str> {
    OpenRegion::new(fixture.kernel, &fixture.origins, attempt, Node::here())
        .map_err(|_| "no memory, or no room, for a region")
}

fn end(region: &Region) -> usize {
    region.address().saturating_add(region.len())
}

fn a_pack_is_one_leaf_and_full_of_traps(fixture: &Fixture) -> Verdict {
    let region = sealed(fixture, LeafLimit::Huge, false)?;
    ensure!(region.len() == REGION_ALIGN, "not the length of a pack");
    ensure!(region.address() % REGION_ALIGN == 0, "not aligned");
    ensure!(
        is_traps(region.address(), end(&region)),
        "not full of traps"
    );
    if !OpenRegion::has_huge_memory() {
        return Ok(());
    }
    ensure!(region.is_huge(), "more than one leaf");
    let first = region.physical(0).ok_or("no memory behind it")?;
    let contiguous = (0..region.len())
        .step_by(PAGE_SIZE)
        .all(|offset| region.physical(offset) == first.checked_add(offset as u64));
    ensure!(contiguous, "not contiguous in memory");
    Ok(())
}

fn a_near_pack_is_in_branch_range_of_all_text(fixture: &Fixture) -> Verdict {
    let kernel = fixture.kernel;
    let region = sealed(fixture, LeafLimit::Huge, true)?;
    ensure!(region.place() == Place::Near, "not near");
    let reaches = |from: usize, to: usize| from.abs_diff(to) <= BRANCH_RANGE;
    ensure!(
        reaches(region.address(), kernel.text_end) && reaches(end(&region), kernel.text_start),
        "out of branch range"
    );
    Ok(())
}

/// Not behind something that was there, as the kernel's image, which has a fifth of the addresses.
fn the_first_near_region_is_where_it_was_drawn(fixture: &Fixture) -> Verdict {
    let attempt = attempts(LeafLimit::Huge, 1, true)
        .next()
        .ok_or("no attempt")?;
    let mut elsewhere = 0u32;
    for _ in 0..24 {
        let origins = Origins::new();
        let open = OpenRegion::new(fixture.kernel, &origins, attempt, Node::here())
            .map_err(|_| "no memory, or no room, for a region")?;
        let drawn = origins.start(Place::Near);
        elsewhere = elsewhere.saturating_add((open.region().address() != drawn).into());
    }
    // All addresses that were drawn may be taken, but hardly twice.
    ensure!(
        elsewhere <= 1,
        "regions are at an address that was not drawn"
    );
    Ok(())
}

fn base_pages_are_found_one_by_one(fixture: &Fixture) -> Verdict {
    let region = sealed(fixture, LeafLimit::Page, false)?;
    ensure!(!region.is_huge() || PAGE_SIZE >= REGION_ALIGN, "one leaf");
    let found = (0..region.len())
        .step_by(PAGE_SIZE)
        .all(|offset| region.physical(offset).is_some());
    ensure!(found, "a page is not found");
    let in_page = region.physical(PAGE_SIZE + 64);
    let page = region.physical(PAGE_SIZE);
    ensure!(
        in_page == page.and_then(|page| page.checked_add(64)),
        "wrong address inside of a page"
    );
    ensure!(
        is_traps(region.address(), end(&region)),
        "not full of traps"
    );
    Ok(())
}

fn smaller_leaves_hold_traps_too(fixture: &Fixture) -> Verdict {
    let region = sealed(fixture, LeafLimit::Contiguous, false)?;
    ensure!(
        is_traps(region.address(), end(&region)),
        "not full of traps"
    );
    ensure!(region.leaf().is_some(), "no leaf");
    Ok(())
}

fn nothing_is_inside_beyond_the_end(fixture: &Fixture) -> Verdict {
    let region = sealed(fixture, LeafLimit::Huge, false)?;
    let len = region.len();
    ensure!(region.contains(0, len), "its own bytes are not inside");
    ensure!(region.contains(len, 0), "nothing at its end is not inside");
    for (offset, more) in [(0, len + 1), (len, 1), (usize::MAX, 2), (2, usize::MAX)] {
        ensure!(!region.contains(offset, more), "bytes beyond are inside");
    }
    ensure!(region.physical(len).is_none(), "memory behind the end");
    Ok(())
}

fn a_second_region_does_not_overlap_the_first(fixture: &Fixture) -> Verdict {
    let first = sealed(fixture, LeafLimit::Huge, false)?;
    let second = sealed(fixture, LeafLimit::Huge, false)?;
    ensure!(
        end(&first) <= second.address() || end(&second) <= first.address(),
        "two regions overlap"
    );
    ensure!(
        first.physical(0) != second.physical(0),
        "two regions have the same memory"
    );
    Ok(())
}

/// The physical address of each page of a region.
fn pages(region: &Region) -> Result<KVVec<u64>, &'static str> {
    let mut pages = KVVec::new();
    for offset in (0..region.len()).step_by(PAGE_SIZE) {
        let page = region.physical(offset).ok_or("no memory behind it")?;
        pages.push(page, GFP_KERNEL).map_err(|_| "no memory")?;
    }
    Ok(pages)
}

/// Whether the linear aliases of all pages are valid, or of none.
fn aliases_are(valid: bool, pages: &[u64]) -> bool {
    pages
        .iter()
        .all(|page| Region::is_alias_valid(*page) == Some(valid))
}

fn the_alias_is_valid_again_when_a_pack_is_gone(fixture: &Fixture) -> Verdict {
    for limit in [LeafLimit::Huge, LeafLimit::Contiguous, LeafLimit::Page] {
        let count = region::count_invalid();
        let region = sealed(fixture, limit, false)?;
        let pages = pages(&region)?;
        if region.alias_invalid() {
            ensure!(aliases_are(false, &pages), "a sealed page can be written");
            ensure!(region::count_invalid() == count + 1, "it is not counted");
        }
        drop(region);
        ensure!(aliases_are(true, &pages), "a page came back without alias");
        ensure!(region::count_invalid() == count, "it is counted still");
    }
    Ok(())
}

fn the_alias_is_valid_again_when_sealing_fails(fixture: &Fixture) -> Verdict {
    for limit in [LeafLimit::Huge, LeafLimit::Page] {
        let count = region::count_invalid();
        let attempt = attempts(limit, 1, false).next().ok_or("no attempt")?;
        let region = open(fixture, attempt)?;
        let pages = pages(region.region())?;
        let armed = faults::while_armed(Point::RegionAlias);
        let sealed = region.seal();
        drop(armed);
        if let Ok(region) = sealed {
            ensure!(!region.alias_invalid(), "it was sealed all the same");
        }
        ensure!(aliases_are(true, &pages), "a page came back without alias");
        ensure!(region::count_invalid() == count, "it is counted");
    }
    Ok(())
}

fn an_alias_is_exposed_and_hidden(fixture: &Fixture) -> Verdict {
    for limit in [LeafLimit::Huge, LeafLimit::Contiguous, LeafLimit::Page] {
        let region = sealed(fixture, limit, false)?;
        let pages = pages(&region)?;
        region.expose_alias().map_err(|_| "not exposed")?;
        ensure!(aliases_are(true, &pages), "a page is not exposed");
        region.hide_alias().map_err(|_| "not hidden")?;
        ensure!(
            aliases_are(!region.alias_invalid(), &pages),
            "a page is not hidden"
        );
    }
    Ok(())
}

/// The kernel frees vmalloc memory first and invalidates the TLB later, for much memory at a time.
fn a_pack_is_not_mapped_by_entries_of_the_past(fixture: &Fixture) -> Verdict {
    // One page: it stays in the TLB, and the kernel gives a page out again that was freed last. Of
    // several it takes blocks, in which those that were freed one by one come together late.
    let attempt = Attempt {
        len: PAGE_SIZE,
        place: Place::Far,
        limit: LeafLimit::Page,
    };
    // Another task may take the freed memory, or this one may go to another CPU, which has other free
    // pages at hand.
    for _ in 0..50 {
        let freed = freed_memory(attempt.len).map_err(|_| "no memory")?;
        let region = open(fixture, attempt)?.seal().map_err(|_| "not sealed")?;
        let (mut again, mut mapped) = (0u32, false);
        for offset in (0..region.len()).step_by(PAGE_SIZE) {
            let pa = region.physical(offset);
            if let Some(past) = freed.iter().find(|past| Some(past.pa) == pa) {
                again = again.saturating_add(1);
                mapped |= word(past.address).is_some();
            }
        }
        ensure!(!mapped, "the TLB still has a writable mapping of the pack");
        if again > 0 {
            return Ok(());
        }
    }
    Err("none of the freed memory is in the pack")
}
