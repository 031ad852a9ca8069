// SPDX-License-Identifier: GPL-2.0

//! A task that is not the one that runs the case.

use super::Verdict;
use crate::lifetime::{
    sleep_ms,
    Delayed,
    Gate, //
};
use crate::service::Service;
use kernel::bindings;
use kernel::prelude::*;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Release, //
};

/// The way of the worker to the service of the case.
static OTHER: Gate<Service> = Gate::new();
/// The address of the image that the worker frees; 0 when it has.
static IMAGE: Atomic<usize> = Atomic::new(0);
/// Whether the worker has packs to make where they run low.
static GROW: Atomic<bool> = Atomic::new(false);

extern "C" fn free_image(_work: *mut bindings::work_struct) {
    if let Some(service) = OTHER.enter().target() {
        // The answer is that to the JIT's worker, which has no use for it either.
        let _ = service.free(IMAGE.load(Acquire));
    }
    IMAGE.store(0, Release);
}

extern "C" fn grow_where_low(_work: *mut bindings::work_struct) {
    if let Some(service) = OTHER.enter().target() {
        service.grow_where_low();
    }
    GROW.store(false, Release);
}

/// Frees the image at `address` in a worker of the kernel, as the JIT does. Sleeps until it has.
///
/// # Errors
///
/// The reason, if there is no memory.
pub(super) fn free(service: &Service, address: usize) -> Verdict {
    IMAGE.store(address, Release);
    run(service, free_image, || IMAGE.load(Acquire) == 0, || Ok(()))
}

/// Makes packs in a worker of the kernel where they run low, as the background does, and calls
/// `meanwhile` beside that. Sleeps until both are done.
///
/// # Errors
///
/// Those of `meanwhile`; the reason, if there is no memory.
pub(super) fn grow(service: &Service, meanwhile: impl FnOnce() -> Verdict) -> Verdict {
    GROW.store(true, Release);
    run(service, grow_where_low, || !GROW.load(Acquire), meanwhile)
}

/// Runs `work` in a worker and `meanwhile` here, and sleeps until the worker `is_done`.
fn run(
    service: &Service,
    work: extern "C" fn(*mut bindings::work_struct),
    is_done: impl Fn() -> bool,
    meanwhile: impl FnOnce() -> Verdict,
) -> Verdict {
    let worker = KBox::pin_init(Delayed::new(work), GFP_KERNEL);
    let worker = worker.map_err(|_| "no memory for a worker")?;
    // SAFETY: The gate is closed again when this function returns, and its caller has the service.
    let _opened = unsafe { OTHER.open(service) };
    worker.queue(0);
    let verdict = meanwhile();
    while !is_done() {
        sleep_ms(1);
    }
    verdict
}
