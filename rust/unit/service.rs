// SPDX-License-Identifier: GPL-2.0

//! Cases of the service, each with a service of its own that no hook leads to.

use super::memory::{
    holds,
    is_traps,
    unreadable, //
};
use super::{
    cases,
    ensure,
    worker,
    Fixture,
    Verdict, //
};
use crate::config::{
    Config,
    Knobs, //
};
use crate::faults::{
    self,
    Point, //
};
use crate::plan::MAX_IMAGE;
use crate::poke::Source;
use crate::service::{
    Cursor,
    Customer,
    Outcome,
    Refusal,
    Service, //
};
use kernel::prelude::*;
use pack_core::RangeState;

cases! {
    nothing_is_served_before_the_start,
    an_image_lives_and_leaves_traps,
    wrong_sizes_are_refused,
    an_image_is_final_once_and_freed_once,
    foreign_addresses_are_foreign,
    an_unreadable_image_can_only_be_freed,
    a_copy_that_breaks_off_leaves_traps,
    an_image_without_traps_is_never_trimmed,
    the_tail_of_an_image_is_used_again,
    freed_memory_waits_for_the_cpus,
    draining_refuses_and_still_frees,
    near_packs_can_be_forbidden,
    images_of_a_load_are_live_at_its_end,
    an_image_freed_in_its_load_is_no_bad_call,
    an_image_of_a_load_that_others_free_is_a_bad_call,
    loads_have_an_end,
    the_list_has_each_image_once,
    the_list_goes_on_behind_a_pack_that_is_gone,
}

const WORDS: [u32; 200] = [0xcafe_f00d; 200];
const BYTES: usize = size_of_val(&WORDS);

/// A service; it gives everything back when it is dropped.
pub(super) struct Own(pub(super) Pin<KBox<Service>>);

impl Own {
    fn new(fixture: &Fixture, near_packs: usize) -> Result<Self, &'static str> {
        Self::with(fixture, near_packs, Knobs::default())
    }

    pub(super) fn with(
        fixture: &Fixture,
        near_packs: usize,
        knobs: Knobs,
    ) -> Result<Self, &'static str> {
        let config = Config {
            near_packs,
            retain_seconds: 0,
            randomize: false,
            knobs,
        };
        KBox::pin_init(Service::new(fixture.kernel, config), GFP_KERNEL)
            .map(Self)
            .map_err(|_| "no memory for a service")
    }

    fn started(fixture: &Fixture) -> Result<Self, &'static str> {
        let own = Self::new(fixture, 1)?;
        own.0.start();
        Ok(own)
    }

    pub(super) fn alloc(&self, size: usize) -> Result<usize, &'static str> {
        self.0
            .alloc(size, Customer::Any)
            .map(|address| address.as_ptr() as usize)
            .map_err(|_| "alloc was refused")
    }

    pub(super) fn finalize(&self, address: usize) -> Outcome {
        self.0.finalize(address, Source::from(&WORDS[..]), BYTES)
    }

    fn finalize_all(&self, images: &[usize]) -> Verdict {
        for &image in images {
            ensure!(self.finalize(image) == Outcome::Done, "not finalized");
        }
        Ok(())
    }

    pub(super) fn free_all(&self, images: &[usize]) -> Verdict {
        for &image in images {
            ensure!(self.0.free(image) == Outcome::Done, "not freed");
        }
        Ok(())
    }

    /// No image is left, the books are right, and with them goes all memory.
    pub(super) fn close(self) -> Verdict {
        ensure!(self.0.wait_until_unused().is_ok(), "interrupted");
        ensure!(self.0.check().is_ok(), "the books are wrong");
        self.0.shut_down();
        ensure!(self.0.mapped_bytes() == 0, "a region is left");
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.0.shut_down();
    }
}

fn nothing_is_served_before_the_start(fixture: &Fixture) -> Verdict {
    let own = Own::new(fixture, 1)?;
    let refused = own.0.alloc(64, Customer::Any);
    ensure!(refused == Err(Refusal::Starting), "served");
    own.close()
}

fn an_image_lives_and_leaves_traps(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let image = own.alloc(BYTES)?;
    ensure!(image % 64 == 0, "not aligned");
    ensure!(
        is_traps(image, image + BYTES),
        "reserved memory is no traps"
    );
    ensure!(own.finalize(image) == Outcome::Done, "not finalized");
    ensure!(holds(image, &WORDS), "another image is there");
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    ensure!(is_traps(image, image + BYTES), "freed memory is no traps");
    own.close()
}

fn wrong_sizes_are_refused(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    for size in [0, MAX_IMAGE + 1, usize::MAX] {
        let refused = own.0.alloc(size, Customer::Any);
        ensure!(refused == Err(Refusal::Size), "served");
    }
    let image = own.alloc(64)?;
    let finalized = own.finalize(image);
    ensure!(
        finalized == Outcome::Failed(EINVAL),
        "too long, and finalized"
    );
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    own.close()
}

fn an_image_is_final_once_and_freed_once(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let image = own.alloc(BYTES)?;
    ensure!(own.finalize(image) == Outcome::Done, "not finalized");
    ensure!(
        own.finalize(image) == Outcome::Failed(EBUSY),
        "finalized twice"
    );
    ensure!(
        own.0.free(image + 64) == Outcome::Failed(EINVAL),
        "freed from its middle"
    );
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    ensure!(own.0.free(image) == Outcome::Failed(EINVAL), "freed twice");
    ensure!(
        own.finalize(image) == Outcome::Failed(EINVAL),
        "finalized after that"
    );
    own.close()
}

fn foreign_addresses_are_foreign(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    for address in [0, 4, fixture.kernel.text_start, usize::MAX & !3] {
        let write = own.0.write(address, Source::from(&WORDS[..]));
        let all = [own.finalize(address), write, own.0.free(address)];
        ensure!(all == [Outcome::Foreign; 3], "taken for an image");
    }
    own.close()
}

fn an_unreadable_image_can_only_be_freed(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let image = own.alloc(BYTES)?;
    let copied = own.0.finalize(image, unreadable(BYTES), BYTES);
    ensure!(copied == Outcome::Failed(EFAULT), "no error");
    ensure!(is_traps(image, image + BYTES), "no traps after the failure");
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    own.close()
}

fn a_copy_that_breaks_off_leaves_traps(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let image = own.alloc(BYTES)?;
    let armed = faults::while_armed(Point::CopyRead);
    let copied = own.finalize(image);
    drop(armed);
    ensure!(copied == Outcome::Failed(EFAULT), "no error");
    ensure!(is_traps(image, image + BYTES), "no traps after the failure");
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    own.close()
}

fn an_image_without_traps_is_never_trimmed(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let image = own.alloc(2 * BYTES)?;
    // Neither the image nor, after the failure, the traps can be written.
    let armed = faults::while_armed(Point::Window);
    let copied = own.finalize(image);
    drop(armed);
    ensure!(copied == Outcome::Failed(EFAULT), "no error");
    ensure!(
        own.finalize(image) == Outcome::Failed(EBUSY),
        "finalized, and its tail free"
    );
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    ensure!(
        is_traps(image, image + 2 * BYTES),
        "freed memory is no traps"
    );
    own.close()
}

fn the_tail_of_an_image_is_used_again(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let long = own.alloc(64 << 10)?;
    ensure!(own.finalize(long) == Outcome::Done, "not finalized");
    let next = own.alloc(64)?;
    ensure!(
        next == long + BYTES.next_multiple_of(64),
        "the tail is not used"
    );
    own.free_all(&[long, next])?;
    own.close()
}

fn freed_memory_waits_for_the_cpus(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let first = own.alloc(BYTES)?;
    ensure!(own.0.free(first) == Outcome::Done, "not freed");
    // No finalize came between, and there is room elsewhere.
    let second = own.alloc(BYTES)?;
    ensure!(second != first, "used again at once");
    ensure!(own.0.free(second) == Outcome::Done, "not freed");
    own.close()
}

fn draining_refuses_and_still_frees(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let image = own.alloc(64)?;
    own.0.set_draining(true);
    let refused = own.0.alloc(64, Customer::Any);
    ensure!(refused == Err(Refusal::Draining), "served");
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    own.0.set_draining(false);
    let image = own.alloc(64)?;
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    own.close()
}

fn near_packs_can_be_forbidden(fixture: &Fixture) -> Verdict {
    let own = Own::new(fixture, 0)?;
    own.0.start();
    let image = own.alloc(64)?;
    let away = image.abs_diff(fixture.kernel.text_start);
    ensure!(away > crate::a64::BRANCH_RANGE, "near");
    ensure!(own.0.free(image) == Outcome::Done, "not freed");
    own.close()
}

/// The number of images that are being written.
fn writing(own: &Own) -> u64 {
    own.0.stats().tallies.writing.ranges
}

fn images_of_a_load_are_live_at_its_end(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let images = [own.alloc(BYTES)?, own.alloc(BYTES)?, own.alloc(BYTES)?];
    let before = own.0.synchronisations();
    let load = own.0.begin_load(images.len()).ok_or("no memory")?;
    for image in images {
        ensure!(own.finalize(image) == Outcome::Done, "not finalized");
        ensure!(holds(image, &WORDS), "another image is there");
    }
    ensure!(writing(&own) == 3, "live before the end of the load");
    let twice = own.finalize(images[0]);
    ensure!(twice == Outcome::Failed(EBUSY), "finalized twice");
    drop(load);
    ensure!(writing(&own) == 0, "not live after the load");
    let synchronised = own.0.synchronisations() - before;
    ensure!(synchronised == 1, "synchronised more than once, or never");
    own.free_all(&images)?;
    own.close()
}

fn an_image_freed_in_its_load_is_no_bad_call(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let (kept, freed) = (own.alloc(BYTES)?, own.alloc(BYTES)?);
    let bad_calls = own.0.counters.bad_calls.get();
    let load = own.0.begin_load(2).ok_or("no memory")?;
    own.finalize_all(&[kept, freed])?;
    ensure!(own.0.free(freed) == Outcome::Done, "not freed");
    drop(load);
    ensure!(
        own.0.counters.bad_calls.get() == bad_calls,
        "taken for a bad call"
    );
    ensure!(is_traps(freed, freed + BYTES), "freed memory is no traps");
    ensure!(holds(kept, &WORDS), "the other image is not there");
    ensure!(own.0.free(kept) == Outcome::Done, "not freed");
    own.close()
}

fn an_image_of_a_load_that_others_free_is_a_bad_call(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let (kept, freed) = (own.alloc(BYTES)?, own.alloc(BYTES)?);
    let bad_calls = own.0.counters.bad_calls.get();
    let load = own.0.begin_load(2).ok_or("no memory")?;
    own.finalize_all(&[kept, freed])?;
    worker::free(&own.0, freed)?;
    let reported = own.0.counters.bad_calls.get() - bad_calls;
    ensure!(reported == 1, "not taken for a bad call");
    ensure!(holds(freed, &WORDS), "the claim of the load was broken");
    drop(load);
    ensure!(is_traps(freed, freed + BYTES), "freed memory is no traps");
    ensure!(holds(kept, &WORDS), "the other image is not there");
    ensure!(own.0.free(kept) == Outcome::Done, "not freed");
    own.close()
}

fn loads_have_an_end(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    // It has room for one image: the other one is synchronised by itself.
    let load = own.0.begin_load(1).ok_or("no memory")?;
    let (first, second) = (own.alloc(BYTES)?, own.alloc(BYTES)?);
    own.finalize_all(&[first, second])?;
    ensure!(writing(&own) <= 1, "more images than the load has room for");
    drop(load);
    let third = own.alloc(BYTES)?;
    ensure!(own.finalize(third) == Outcome::Done, "not finalized");
    ensure!(writing(&own) == 0, "not live outside of a load");
    own.free_all(&[first, second, third])?;
    own.close()
}

/// The first place of the list.
fn start_of_list() -> Result<Cursor, &'static str> {
    Cursor::from_number(0).ok_or("the list has no start")
}

/// The whole list: the number of packs and of images, and the state of each image of `images`, which
/// ascend.
fn list(
    own: &Own,
    images: &[usize],
    states: &mut [Option<RangeState>],
) -> Result<(usize, usize), &'static str> {
    let (mut packs, mut count, mut last) = (0, 0, 0);
    let mut place = Some(start_of_list()?);
    while let Some(at) = place {
        let group = own.0.list(at);
        if group.pack.is_some() {
            packs += 1;
            last = 0;
        }
        for image in group.images() {
            ensure!(image.address > last, "not in order");
            last = image.address;
            count += 1;
            let of_image = images.iter().zip(&mut *states);
            for (_, state) in of_image.filter(|(address, _)| **address == image.address) {
                ensure!(state.is_none(), "listed twice");
                *state = Some(image.state);
            }
        }
        ensure!(group.next.number() > at.number(), "the list does not go on");
        place = Cursor::from_number(group.next.number());
    }
    Ok((packs, count))
}

fn the_list_has_each_image_once(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let mut images = [0; 40];
    for image in &mut images {
        *image = own.alloc(BYTES)?;
    }
    let [_, live, freed, writing, doomed, ..] = images;
    ensure!(own.finalize(live) == Outcome::Done, "not finalized");
    ensure!(own.0.free(freed) == Outcome::Done, "not freed");
    let load = own.0.begin_load(2).ok_or("no memory")?;
    own.finalize_all(&[writing, doomed])?;
    ensure!(own.0.free(doomed) == Outcome::Done, "not freed");
    let mut states = [None; 40];
    let found = list(&own, &images, &mut states)?;
    drop(load);
    ensure!(found == (1, 40), "not one pack and 40 images");
    let (first, others) = states.split_at(5);
    let expected = [
        RangeState::Reserved,
        RangeState::Live,
        RangeState::Retired,
        RangeState::Writing,
        RangeState::Doomed,
    ];
    ensure!(
        first.iter().copied().eq(expected.map(Some)),
        "a wrong state"
    );
    let reserved = Some(RangeState::Reserved);
    ensure!(
        others.iter().all(|state| *state == reserved),
        "the others are not reserved"
    );
    for image in images {
        if image != freed && image != doomed {
            ensure!(own.0.free(image) == Outcome::Done, "not freed");
        }
    }
    own.close()
}

fn the_list_goes_on_behind_a_pack_that_is_gone(fixture: &Fixture) -> Verdict {
    let own = Own::started(fixture)?;
    let mut images = [0; 20];
    for image in &mut images {
        *image = own.alloc(BYTES)?;
    }
    let place = own.0.list(start_of_list()?).next;
    let rest = own.0.list(place);
    ensure!(
        rest.pack.is_none() && rest.images().len() == 4,
        "not the other four"
    );
    own.free_all(&images)?;
    ensure!(own.0.wait_until_unused().is_ok(), "interrupted");
    own.0.shut_down();
    ensure!(
        own.0.list(place).images().is_empty(),
        "images without a pack"
    );
    // Another pack in the same slot: none of its images belong to the first.
    for image in &mut images {
        *image = own.alloc(BYTES)?;
    }
    let stale = own.0.list(place);
    ensure!(
        stale.pack.is_none() && stale.images().is_empty(),
        "images of another pack"
    );
    ensure!(
        Cursor::from_number(stale.next.number()).is_some(),
        "the list ends there"
    );
    own.free_all(&images)?;
    own.close()
}
