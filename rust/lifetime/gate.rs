// SPDX-License-Identifier: GPL-2.0

//! The way of calls into the module, and how it is closed.
//!
//! tools/gate-loom builds this file for the host, too, with other atomics and other waits: there
//! every execution that a weak memory model allows is tried. So it uses nothing else of the kernel.

use super::sleep_ms;
use super::wait_for_tasks;
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed,
    Release, //
};

/// The way of calls from outside to a `T` that exists for a part of the time only.
///
/// The gate counts every call, also those that find no target: they may sleep in the stock function
/// to which we pass them on, and then return to our code.
pub(crate) struct Gate<T> {
    target: Atomic<*mut T>,
    in_flight: Atomic<i64>,
}

/// A call in flight. The target stays valid while it exists.
#[must_use = "the call is in flight only while this exists"]
pub(crate) struct Entered<'a, T> {
    gate: &'a Gate<T>,
}

impl<T> Gate<T> {
    /// Makes a gate without a target.
    pub(crate) const fn new() -> Self {
        Self {
            target: Atomic::new(core::ptr::null_mut()),
            in_flight: Atomic::new(0),
        }
    }

    /// Counts a call. Any context.
    #[inline]
    pub(crate) fn enter(&self) -> Entered<'_, T> {
        // Ordered before the load of the target in `Entered::target`: `close` accesses the two in
        // the other order.
        self.in_flight.fetch_add(1, Full);
        Entered { gate: self }
    }

    /// Leads calls to `target` until the returned value is dropped.
    ///
    /// # Safety
    ///
    /// `target` must stay valid until the returned value is dropped.
    pub(crate) unsafe fn open(&'static self, target: &T) -> Opened<T>
    where
        T: Sync,
    {
        self.target
            .store(core::ptr::from_ref(target).cast_mut(), Release);
        Opened(self)
    }

    /// Waits until no call is in flight. Sleeps.
    pub(crate) fn wait_for_calls(&self) {
        while self.in_flight.fetch_add(0, Full) != 0 {
            sleep_ms(1);
        }
    }

    /// Removes the target and waits for the calls in flight. Sleeps.
    ///
    /// Calls that enter later find no target.
    fn close(&self) {
        self.target.store(core::ptr::null_mut(), Relaxed);
        self.wait_for_calls();
    }
}

/// A gate with a target. Dropping this closes the gate.
#[must_use = "dropping it closes the gate"]
pub(crate) struct Opened<T: 'static>(&'static Gate<T>);

impl<T> Drop for Opened<T> {
    fn drop(&mut self) {
        self.0.close();
        // A task may still be in the last instructions of a call, which is not counted any more.
        wait_for_tasks();
    }
}

impl<T> Entered<'_, T> {
    /// Returns the target of the gate, if it has one.
    #[inline]
    pub(crate) fn target(&self) -> Option<&T> {
        // SAFETY: The caller of `open` keeps the target valid until `close` has returned. Both
        // sides use full ordering: either `close` sees the count of this call and waits for it, or
        // this call sees null.
        unsafe { self.gate.target.load(Acquire).as_ref() }
    }
}

impl<T> Drop for Entered<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.gate.in_flight.fetch_sub(1, Full);
    }
}
