// SPDX-License-Identifier: GPL-2.0

//! A task that is not the one that runs the case.

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

extern "C" fn free_image(_work: *mut bindings::work_struct) {
    if let Some(service) = OTHER.enter().target() {
        // The answer is that to the JIT's worker, which has no use for it either.
        let _ = service.free(IMAGE.load(Acquire));
    }
    IMAGE.store(0, Release);
}

/// Frees the image at `address` in a worker of the kernel, as the JIT does. Sleeps until it has.
///
/// # Errors
///
/// The reason, if there is no memory.
pub(super) fn free(service: &Service, address: usize) -> super::Verdict {
    let worker = KBox::pin_init(Delayed::new(free_image), GFP_KERNEL);
    let worker = worker.map_err(|_| "no memory for a worker")?;
    // SAFETY: The gate is closed again when this function returns, and its caller has the service.
    let _opened = unsafe { OTHER.open(service) };
    IMAGE.store(address, Release);
    worker.queue(0);
    while IMAGE.load(Acquire) != 0 {
        sleep_ms(1);
    }
    Ok(())
}
