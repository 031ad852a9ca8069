// SPDX-License-Identifier: GPL-2.0

//! Cases of the packs of a service: when they are made, who is placed there, and when they go.

use super::service::Own;
use super::{
    cases,
    ensure,
    worker,
    Fixture,
    Verdict, //
};
use crate::config::Knobs;
use crate::faults::{
    self,
    Point, //
};
use crate::service::{
    Customer,
    Outcome, //
};
use kernel::prelude::*;
use pack_core::PACK_SIZE;

cases! {
    packs_are_not_made_again_and_again_for_classic_programs,
    a_large_image_shares_its_region_with_nobody,
    a_pack_that_is_late_for_a_drain_is_freed,
}

/// A service whose packs are filled from their first chunk on.
fn started(fixture: &Fixture, near_packs: usize) -> Result<Own, &'static str> {
    let knobs = Knobs {
        origin: Some(0),
        ..Knobs::default()
    };
    let own = Own::with(fixture, near_packs, knobs)?;
    own.0.start();
    Ok(own)
}

fn packs_are_not_made_again_and_again_for_classic_programs(fixture: &Fixture) -> Verdict {
    let own = started(fixture, 2)?;
    // The pack that classic programs share is nearly full, and they cannot use the next one.
    let kept = [own.alloc(PACK_SIZE - (128 << 10))?, own.alloc(200 << 10)?];
    own.0.grow_where_low();
    let before = own.0.counters.regions_made.get();
    for _ in 0..3 {
        let image = own.0.alloc(64, Customer::Classic);
        let image = image.map_err(|_| "alloc was refused")?.as_ptr() as usize;
        own.0.grow_where_low();
        ensure!(own.0.free(image) == Outcome::Done, "not freed");
        own.0.tidy_up();
    }
    let made = own.0.counters.regions_made.get() - before;
    ensure!(made <= 1, "a pack was made for each program");
    own.free_all(&kept)?;
    own.close()
}

fn a_large_image_shares_its_region_with_nobody(fixture: &Fixture) -> Verdict {
    let own = started(fixture, 1)?;
    let size = 2 * PACK_SIZE;
    let full = own.alloc(PACK_SIZE / 8 * 7)?;
    let large = own.alloc(size)?;
    // It keeps a few hundred bytes.
    ensure!(own.finalize(large) == Outcome::Done, "not finalized");
    let next = own.alloc(PACK_SIZE / 2)?;
    ensure!(
        !(large..large + size).contains(&next),
        "another image is in what it does not need"
    );
    let mapped = own.0.mapped_bytes();
    ensure!(own.0.free(large) == Outcome::Done, "not freed");
    own.0.tidy_up();
    ensure!(
        own.0.mapped_bytes() + size as u64 == mapped,
        "its region is still there"
    );
    own.free_all(&[full, next])?;
    own.close()
}

fn a_pack_that_is_late_for_a_drain_is_freed(fixture: &Fixture) -> Verdict {
    let own = started(fixture, 1)?;
    // Only images that are placed queue the work that makes a pack.
    let kept = own.alloc(PACK_SIZE - (64 << 10))?;
    let stop = faults::stop_at(Point::PackWords);
    worker::grow(&own.0, || {
        let stopped = stop.wait();
        // What `control` does, and the work that it queues: no empty pack is in the books yet.
        own.0.set_draining(true);
        own.0.tidy_up();
        let queued = own.0.will_tidy();
        drop(stop);
        ensure!(stopped, "no pack is being made");
        ensure!(!queued, "the work has something left to do");
        Ok(())
    })?;
    let whole = own.0.mapped_bytes();
    ensure!(whole == 2 * PACK_SIZE as u64, "not one pack more");
    ensure!(own.0.will_tidy(), "nobody looks at the pack again");
    own.0.tidy_up();
    ensure!(
        own.0.mapped_bytes() + PACK_SIZE as u64 == whole,
        "it is still there"
    );
    ensure!(own.0.free(kept) == Outcome::Done, "not freed");
    own.close()
}
